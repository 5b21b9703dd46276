"""What a distillation shows of itself: renderings by both generators, and how far apart they are."""

from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.pixels import to_pixels
from vec2face.training import losses
from vec2face.training.distill_step import Student, render
from vec2face.training.distill_vectors import Requests
from vec2face.training.journal import preview_path
from vec2face.training.preview import RENDER_BATCH, SHEET_COLUMNS, save_grid


class DistillPreview:
    """Saves the student's moving average, a sheet of both generators' renderings, and measures their difference.

    Args:
        teacher: frozen, on `device`.
        requests: what both render.
        held_out: whether training never sees these vectors; figures of others are marked "seen_".
        mask_ratio_min: share of tokens dropped from both encoders.
        judge: compares whom the two show; None leaves that out.
        sheet_faces: renderings on the sheet.
        out: folder of the run.
        device: where the generators are.
    """

    def __init__(
        self,
        *,
        teacher: Vec2FaceGenerator,
        requests: Requests,
        held_out: bool,
        mask_ratio_min: float,
        judge: FaceEmbedder | None,
        sheet_faces: int,
        out: Path,
        device: torch.device,
    ) -> None:
        self.teacher, self.requests, self.mask_ratio_min = teacher, requests, mask_ratio_min
        self.judge, self.sheet_faces, self.out, self.device = judge, sheet_faces, out, device
        self.prefix = "" if held_out else "seen_"

    @torch.no_grad()
    def __call__(self, average: nn.Module, step: int) -> dict[str, float]:
        if not isinstance(average, Student):
            raise RuntimeError("the moving average is not a student")
        average.generator.save_pretrained(self.out / "generator")
        ours, theirs = self._render(average.generator), self._targets
        everywhere = torch.ones_like(theirs[:, :1])
        figures = {
            "pixel_absolute": float(losses.absolute_loss(ours, theirs, everywhere)),
            "structure": float(losses.structure_loss(ours, theirs, everywhere)),
        }
        if self.judge is not None:
            cosines = self._directions(self.judge, theirs) @ self._directions(self.judge, ours).T
            figures["judge_cosine"] = float(cosines.diagonal().mean())
            figures["judge_rank1"] = float((cosines.argmax(dim=1) == torch.arange(len(cosines))).float().mean())
        count = min(self.sheet_faces, len(ours))
        columns = min(SHEET_COLUMNS, count)
        rows = [
            to_pixels(shown[start : start + columns]).numpy()
            for start in range(0, count - count % columns, columns)
            for shown in (theirs, ours)
        ]
        save_grid(rows, preview_path(self.out, step))
        return {self.prefix + name: value for name, value in figures.items()}

    @cached_property
    def _targets(self) -> Tensor:
        return self._render(self.teacher)

    def _render(self, generator: Vec2FaceGenerator) -> Tensor:
        parts = zip(*(tensor.split(RENDER_BATCH) for tensor in vars(self.requests).values()), strict=True)
        images = [
            render(generator, Requests(*part).to(self.device), mask_ratio_min=self.mask_ratio_min).image
            for part in parts
        ]
        return torch.cat(images).float().cpu().clamp(-1, 1)

    @staticmethod
    def _directions(judge: FaceEmbedder, images: Tensor) -> Tensor:
        return F.normalize(torch.cat([judge.embed(part) for part in images.split(RENDER_BATCH)]), dim=1)
