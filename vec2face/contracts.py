"""Contracts between the parts: what an image, an embedding and a network's input are. No torch here.

Inside the toolkit an image batch is `(B, 3, 112, 112)` RGB float32 in [-1, 1]; a network that was trained on something
else says so in its `InputContract`, and the code that feeds it converts explicitly.
"""

from dataclasses import asdict, dataclass
from typing import Any

from vec2face.errors import ContractError

IMAGE_SIZE = 112

# Five-point ArcFace template in a 112x112 crop: eyes, nose, mouth corners, as (x, y) pixels, the image's left first.
# Source: insightface `face_align.py` (arcface_dst).
ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


def require_image_batch(shape: tuple[int, ...]) -> None:
    """Raise `ContractError` unless a batch of images is of the shape `(B, 3, 112, 112)`."""
    if len(shape) != 4 or tuple(shape[1:]) != (3, IMAGE_SIZE, IMAGE_SIZE):
        raise ContractError(
            f"an image batch must be (B, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), not {tuple(shape)}; align the faces first."
        )


@dataclass(frozen=True)
class InputContract:
    """What pixels a network expects.

    Attributes:
        size: side of the square input in pixels.
        color_order: "RGB" or "BGR".
        mean, std: per channel (in `color_order`), on pixels scaled to [0, 1]: input = (pixel / 255 - mean) / std.
        alignment: the crop the network was trained on; "arcface112" is the five-point template above.
    """

    size: int = IMAGE_SIZE
    color_order: str = "RGB"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    alignment: str = "arcface112"

    def __post_init__(self) -> None:
        if self.color_order not in ("RGB", "BGR"):
            raise ContractError(f"color_order must be 'RGB' or 'BGR', not {self.color_order!r}.")
        if self.size < 1:
            raise ContractError(f"size must be a positive number of pixels, not {self.size}.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "InputContract":
        return cls(
            size=int(values["size"]),
            color_order=values["color_order"],
            mean=tuple(values["mean"]),
            std=tuple(values["std"]),
            alignment=values.get("alignment", "arcface112"),
        )


def require_same_width(what: str, width: int, other: str, other_width: int) -> None:
    """Raise `ContractError` unless two feature widths agree; both sides are named in the message."""
    if width != other_width:
        raise ContractError(
            f"{what} has width {width}, but {other} has width {other_width}; "
            "use vectors and weights made for each other."
        )
