"""Schema of measured rates of generation, as `vec2face plan --measure` writes them down. No torch here."""

from typing import Any

from pydantic import Field

from vec2face.config.base import Schema
from vec2face.config.generation import GenerateRecipe

# What decides how fast an image is made and how many bytes it has.
_DECISIVE = ("weights", "variation", "mask", "image", "pose", "attributes", "steering", "compute")


class Rates(Schema):
    """What a short run of a recipe measured on one machine."""

    machine: str = Field(description="what it was measured on")
    recipe: dict[str, Any] = Field(description="the parts of the recipe that decide the rates")
    images: int = Field(ge=1, description="images that were rendered, encoded and written")
    images_per_second: float = Field(gt=0, description="of one worker, alone on the machine")
    archive_bytes_per_image: float = Field(gt=0, description="bytes of the archives for each image")
    other_bytes_per_image: float = Field(ge=0, description="bytes of manifests and table for each image")
    sampled: int | None = Field(None, ge=1, description="identities of a trial sampling; null: they are not sampled")
    sampling_seconds: float | None = Field(None, ge=0, description="how long the trial sampling took")


def decisive_parts(recipe: GenerateRecipe) -> dict[str, Any]:
    """Return the parts of a recipe that its rates depend on, as JSON values."""
    return recipe.resolved().model_dump(mode="json", include=set(_DECISIVE))
