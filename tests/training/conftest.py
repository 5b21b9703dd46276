"""A small face pack with pictures that differ, and vectors that go with them."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vec2face.config.training import PackRecipe, PackSource
from vec2face.data.facepack import build_pack


def write_source(folder: Path, *, people: int = 6, images: int = 2, dim: int = 16, seed: int = 3) -> PackSource:
    """Write a tar of PERSON/KEY.jpg and a features file beside it; returns the source that names them."""
    rng = np.random.default_rng(seed)
    rows = []
    with tarfile.open(folder / "faces.tar", "w") as archive:
        for person in range(people):
            base = rng.integers(40, 215, (14, 14, 3))
            for image in range(images):
                pixels = np.kron(base, np.ones((8, 8, 1))).astype(np.uint8)
                stream = io.BytesIO()
                Image.fromarray(pixels).save(stream, "JPEG", quality=95)
                member = tarfile.TarInfo(f"person{person}/person{person}_{image}.jpg")
                member.size = len(stream.getvalue())
                archive.addfile(member, io.BytesIO(stream.getvalue()))
                rows.append(rng.normal(size=(2, dim)))
    np.save(folder / "features.npy", np.array(rows, np.float16))
    return PackSource(tar="faces.tar", features="features.npy", grouped=True)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack of 6 people x 2 images with 16-d stored features; some of the people are held out."""
    source = write_source(tmp_path)
    build_pack(PackRecipe(sources=(source,), holdout_share=0.4, holdout_seed=1), root=tmp_path, out=tmp_path / "pack")
    return tmp_path / "pack"


class SilentReporter:
    """A reporter that keeps what it is told, and can stop a run like a pulled plug."""

    def __init__(self, stop_after_images: int | None = None) -> None:
        self.losses: list[dict[str, float]] = []
        self.notes: list[str] = []
        self.stop_after_images = stop_after_images

    def training_step(self, images: int, total: int, images_per_second: float, losses: dict[str, float]) -> None:
        self.losses.append(losses)
        if self.stop_after_images is not None and images >= self.stop_after_images:
            raise KeyboardInterrupt

    def training_note(self, text: str) -> None:
        self.notes.append(text)
