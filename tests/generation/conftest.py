"""A small plan over the tiny random generator, and what a dataset holds."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vec2face.config.base import parse
from vec2face.config.generation import GenerateRecipe
from vec2face.generation.run import GenerationSummary

MakeRecipe = Callable[..., GenerateRecipe]
MakeDataset = Callable[..., GenerationSummary]


@pytest.fixture
def make_recipe(tiny_generator_dir: Path) -> MakeRecipe:
    """Return a recipe of 5 identities x 4 images in 3 shards, in which keywords replace top-level values."""

    def make(**changes: Any) -> GenerateRecipe:
        values = {
            "name": "tiny",
            "seed": 3,
            "weights": str(tiny_generator_dir),
            "identities": {"source": "gaussian", "count": 5, "ceiling": 0.5},
            "images_per_identity": 4,
            "shards": {"identities_per_shard": 2},
            "compute": {"batch_size": 3},
            **changes,
        }
        return parse(GenerateRecipe, values, where="test")

    return make


@pytest.fixture
def make_dataset() -> MakeDataset:
    """Plan and generate."""

    def make(recipe: GenerateRecipe, out: Path, *, workers: int = 1, **options: Any) -> GenerationSummary:
        from vec2face.generation.inputs import prepare
        from vec2face.generation.run import generate

        plan, bank = prepare(recipe, out)
        return generate(plan, out, bank=bank, workers=workers, **options)

    return make


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder with the digest of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
