"""Schemas of pose control: which views a dataset shows, and how landmark pictures are drawn."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from vec2face.config.base import Schema

LARGEST_ANGLE = 90.0  # degrees; beyond a profile landmarks are hidden

Angle = Annotated[float, Field(ge=-LARGEST_ANGLE, le=LARGEST_ANGLE)]
# One angle, or the ends of a range from which each image draws its own.
AngleOrRange = Angle | tuple[Angle, Angle]
Channel = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Channel, Channel, Channel]


class LandmarkStyle(Schema):
    """How landmarks become a picture. A network takes the style it was trained with."""

    radius: float = Field(2.0, gt=0, le=20, description="of a dot, in pixels of the 112x112 picture")
    colour: Colour = Field((255, 255, 255), description="of the dots: red, green, blue, 0 to 255")
    background: Colour = Field((0, 0, 0), description="red, green, blue, 0 to 255")


class PoseView(Schema):
    """One way of being seen: by angles, or by the landmarks of a file."""

    yaw: AngleOrRange | None = Field(None, description="degrees, > 0: nose to the picture's left; null: 0")
    pitch: AngleOrRange | None = Field(None, description="degrees, > 0: nose up; null: 0")
    roll: AngleOrRange | None = Field(None, description="degrees, > 0: clockwise in the picture; null: 0")
    landmarks: Path | None = Field(
        None, description="landmark picture of 112x112 pixels, taken as it is, or a file of five points"
    )
    share: float = Field(1.0, gt=0, description="relative weight; the shares are normalised to their sum")

    @model_validator(mode="after")
    def _one_kind(self) -> "PoseView":
        given = [name for name in ("yaw", "pitch", "roll") if getattr(self, name) is not None]
        if self.landmarks is not None and given:
            raise ValueError(f"landmarks and {given[0]} exclude each other; give the view by one of them")
        if self.landmarks is None and not given:
            raise ValueError("a view needs an angle (yaw, pitch, roll) or landmarks")
        for name in given:
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name} must have its lower end first, not {value[0]:g} and then {value[1]:g}")
        return self


class PoseControl(Schema):
    """Poses of a dataset's images, for a generator with a pose condition (Vec2Face+)."""

    views: tuple[PoseView, ...] = Field(
        min_length=1, description="exact shares inside each identity, by largest remainder"
    )
    style: LandmarkStyle = Field(LandmarkStyle(), description="how landmarks are drawn; pictures are taken as they are")
    adapter_strength: float = Field(
        1.0, ge=0, le=4, description="factor on the low-rank adapters' share in the network; 1: as trained, 0: without"
    )
