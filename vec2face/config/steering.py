"""How samples are steered: limits, step sizes and what may move; and the section of a recipe that says so."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from vec2face.config.attributes import read_request
from vec2face.config.base import Schema
from vec2face.errors import ConfigError

DEFAULT_DIRECTION_PICTURES = 64
MOST_REDRAWS = 100


class SteeringOptions(Schema):
    """Settings of `vec2face.steering.optimise.Steering`."""

    max_evaluations: int = Field(60, ge=1, description="most passes through the generator a sample takes")
    patience: int = Field(
        20, ge=1, description="passes in a row that bring a sample no nearer, after which it is given up as capped"
    )
    batch_size: int = Field(
        8, ge=1, description="images in a pass; it may change last bits, so it is part of the plan, on every machine"
    )
    steer_vector: bool = Field(True, description="whether the identity vector may move")
    steer_code: bool = Field(True, description="whether the appearance code may move, where the generator has one")
    vector_step: float = Field(0.05, gt=0, description="Adam's step for the vector, in sigma units a dimension")
    code_step: float = Field(0.1, gt=0, description="Adam's step for the code, in standard deviations a dimension")
    vector_limit: float = Field(0.7, gt=0, description="largest move of the vector, root mean square, in sigma units")
    code_limit: float = Field(1.5, gt=0, description="largest code, root mean square, in standard deviations")
    identity_floor: float = Field(0.5, ge=-1, le=1, description="cosine to the identity's vector that is kept")


def _canonical(written: object) -> str:
    """Return a request as text that reads as the same request."""
    try:
        return str(read_request(written))
    except ConfigError as error:
        raise ValueError(str(error).rstrip(".")) from None


RequestText = Annotated[str, BeforeValidator(_canonical)]


class RecipeSteering(SteeringOptions):
    """How the images of a dataset are steered to the attributes that its recipe asks for."""

    capped: Literal["keep", "drop"] = Field("keep", description="what becomes of an image that misses its targets")
    redraws: int = Field(
        0, ge=0, le=MOST_REDRAWS, description="fresh draws of an image that misses its targets or loses its identity"
    )
    estimators: tuple[str, ...] = Field((), description="further estimators: module:attribute, or a probe's folder")
    embedder: str | None = Field(
        None, description="embedder that watches identity; null: that of the generator's feature space"
    )
    directions: Path | None = Field(
        None, description="directions to jump along first; null: estimated from direction_pictures"
    )
    direction_pictures: int | None = Field(
        None,
        ge=0,
        description="pictures that directions are estimated from before the first image; 0: no jumps; "
        f"null: {DEFAULT_DIRECTION_PICTURES}",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "RecipeSteering":
        problems = []
        if self.directions is not None and self.direction_pictures is not None:
            problems.append("directions and direction_pictures exclude each other; keep one")
        if self.direction_pictures == 1:
            problems.append("direction_pictures must be 2 or more, or 0 for no jumps")
        if not (self.steer_vector or self.steer_code):
            problems.append("nothing may be moved: turn steer_vector or steer_code on")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def resolved(self) -> "RecipeSteering":
        """Return the same section with the number that null stands for."""
        if self.directions is not None or self.direction_pictures is not None:
            return self
        return self.model_copy(update={"direction_pictures": DEFAULT_DIRECTION_PICTURES})
