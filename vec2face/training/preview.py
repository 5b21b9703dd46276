"""Preview sheets of a training run."""

from pathlib import Path

import numpy as np
from PIL import Image


def save_grid(rows: list[np.ndarray], path: Path, *, gap: int = 2) -> None:
    """Write rows of equally many uint8 `(N, H, W, 3)` pictures as one PNG, white gaps between them."""
    count, height, width, _ = rows[0].shape
    sheet = np.full((len(rows) * (height + gap) - gap, count * (width + gap) - gap, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            top, left = r * (height + gap), c * (width + gap)
            sheet[top : top + height, left : left + width] = picture
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)
