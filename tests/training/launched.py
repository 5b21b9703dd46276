"""A program for a launcher: trains a recipe on a pack, as one of several processes, and writes down what it was told.

Arguments: embedder or generator, the recipe as JSON, the pack, the run's folder, and a folder for the losses.
"""

import json
import os
import sys
from pathlib import Path

import torch

from vec2face.config.training import EmbedderRecipe, GeneratorRecipe
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.training.embedder import train_embedder
from vec2face.training.generator import train_generator


class Listener:
    """Keeps the losses it is told."""

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []

    def training_step(self, images: int, total: int, images_per_second: float, losses: dict[str, float]) -> None:
        self.losses.append(losses)

    def training_note(self, text: str) -> None:
        pass


def main() -> None:
    kind, recipe, pack, out, told = sys.argv[1], *map(Path, sys.argv[2:])
    listener = Listener()
    if kind == "embedder":
        values = EmbedderRecipe.model_validate_json(recipe.read_text())
        train_embedder(values, pack=pack, out=out, reporter=listener)
    else:
        torch.manual_seed(0)
        critic = CompactEmbedder(name="tiny", dim=16, widths=(8, 8, 8, 8), depths=(0, 1, 0, 0))
        train_generator(
            GeneratorRecipe.model_validate_json(recipe.read_text()),
            pack=pack,
            out=out,
            embedder=critic,
            judge=None,
            initial=None,
            reporter=listener,
        )
    (told / f"{os.environ.get('RANK', '0')}.json").write_text(json.dumps(listener.losses))


if __name__ == "__main__":
    main()
