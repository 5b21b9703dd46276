"""What a training run shows of itself: a sheet of held-out faces with their renderings, and figures about them."""

import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from vec2face.config.training import GeneratorRecipe
from vec2face.data.facepack import FacePack
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.pixels import to_pixels
from vec2face.seeding import rng_for
from vec2face.training import losses
from vec2face.training.appearance import fit_appearance
from vec2face.training.batches import read_batch
from vec2face.training.journal import preview_path
from vec2face.training.masks import draw_step_masks
from vec2face.training.vectors import Vectors

SHEET_COLUMNS = 8
RENDER_BATCH = 64
# Faces looked at where a pack holds nobody out.
SEEN_FACES = 256


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


class GeneratorPreview:
    """Saves the moving average and a sheet of held-out faces with their renderings; measures them.

    A generator with an appearance code is shown twice: with the average look, which the figures are of, and with a look
    drawn for each face.
    """

    def __init__(
        self,
        recipe: GeneratorRecipe,
        faces: FacePack,
        vectors: Vectors,
        judge: FaceEmbedder | None,
        out: Path,
        device: torch.device,
    ) -> None:
        self.recipe, self.faces, self.vectors = recipe, faces, vectors
        self.judge, self.out, self.device = judge, out, device
        held_out = np.flatnonzero(faces.holdout)
        # Figures of faces that were trained on must not pass for held-out ones.
        self.prefix = "" if len(held_out) else "seen_"
        if not len(held_out):
            held_out = np.arange(min(SEEN_FACES, len(faces.images)))
        # One image per person, so that a person's two photos do not count as strangers.
        _, first = np.unique(np.array(faces.groups)[held_out], return_index=True)
        self.rows = held_out[np.sort(first)] if len(first) > 1 else held_out

    @torch.no_grad()
    def __call__(self, average: nn.Module, step: int) -> dict[str, float]:
        if not isinstance(average, Vec2FaceGenerator):
            raise RuntimeError("the moving average is not a generator")
        # On a copy: the codes' distribution belongs to the finished network, not to its training.
        generator = copy.deepcopy(average)
        fit_appearance(generator, self.faces)
        generator.save_pretrained(self.out / "generator")
        batch = read_batch(self.faces, self.rows, np.zeros(len(self.rows), bool))
        vectors = self.vectors.of(batch)
        images = torch.cat([self._render(generator, part) for part in vectors.split(RENDER_BATCH)])
        valid = losses.valid_region(batch.valid, images.shape[-1])
        figures = {"pixel_absolute": float(losses.absolute_loss(images, batch.images, valid))}
        if self.judge is not None:
            ours = F.normalize(
                torch.cat([self.judge.embed(part) for part in images.clamp(-1, 1).split(RENDER_BATCH)]), dim=1
            )
            theirs = F.normalize(
                torch.cat([self.judge.embed(part) for part in batch.images.split(RENDER_BATCH)]), dim=1
            )
            cosines = ours @ theirs.T
            figures["judge_cosine"] = float(cosines.diagonal().mean())
            strangers = cosines[~torch.eye(len(cosines), dtype=torch.bool)]
            figures["judge_stranger_cosine"] = float(strangers.mean())
            figures["judge_rank1"] = float((cosines.argmax(dim=1) == torch.arange(len(cosines))).float().mean())
        count = min(self.recipe.sheet_faces, len(self.rows))
        rows = []
        sheet = [batch.images, images]
        if generator.config.appearance_dim:
            sheet.append(self._render(generator, vectors[:count], drawn_look=True))
        for start in range(0, count, SHEET_COLUMNS):
            for shown in sheet:
                rows.append(to_pixels(shown[start : start + SHEET_COLUMNS]).numpy())
        complete = [row for row in rows if len(row) == len(rows[0])]
        save_grid(complete, preview_path(self.out, step))
        return {self.prefix + name: value for name, value in figures.items()}

    def _render(self, generator: Vec2FaceGenerator, features: Tensor, *, drawn_look: bool = False) -> Tensor:
        mask = generator.config.sampling_mask
        noise, rate = draw_step_masks(self.recipe.run.seed, "preview-mask", 0, len(features), mask)
        appearance = None
        if drawn_look:
            rng = rng_for(self.recipe.run.seed, "preview-appearance")
            drawn = rng.standard_normal((len(features), generator.config.appearance_dim), dtype=np.float32)
            appearance = torch.from_numpy(drawn).to(self.device)
        output = generator(
            features.to(self.device),
            mask_noise=noise.to(self.device),
            mask_rate=rate.to(self.device),
            appearance=appearance,
        )
        return output.image.float().cpu()
