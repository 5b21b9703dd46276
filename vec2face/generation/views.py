"""Views of a dataset for a generator with a pose condition: what the recipe asks for, resolved, and drawn per image.

No torch here. A view is a range of angles, from which each image draws its own, or one landmark picture. `dataset.json`
keeps the pictures, so that a dataset can be continued after their files are gone.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vec2face.config.pose import LandmarkStyle, PoseControl, PoseView
from vec2face.contracts import IMAGE_SIZE
from vec2face.data.landmarks.files import POINT_FILES, read_picture, read_points
from vec2face.data.landmarks.head import HeadPose, aligned_landmarks
from vec2face.data.landmarks.picture import draw_landmarks, to_aligned
from vec2face.errors import DatasetError
from vec2face.fileio.images import decode_image, encode_image
from vec2face.identities.variation import apportion
from vec2face.seeding import rng_for

_ANGLES = ("yaw", "pitch", "roll")


@dataclass(frozen=True)
class View:
    """One view, resolved.

    Attributes:
        share: relative weight.
        ranges: ends of yaw, pitch and roll in degrees; None for a picture.
        picture: the landmark picture as PNG; None for angles.
    """

    share: float
    ranges: tuple[tuple[float, float], ...] | None
    picture: bytes | None

    @cached_property
    def pixels(self) -> np.ndarray | None:
        """The picture, uint8 `(112, 112, 3)`; None for angles."""
        return None if self.picture is None else decode_image(self.picture, where="a landmark picture")

    def determinant(self) -> list[Any]:
        """What decides bytes: the ranges, or the digest of the picture's pixels."""
        if self.pixels is None:
            return [self.share, [list(ends) for ends in self.ranges or ()]]
        return [self.share, hashlib.sha256(np.ascontiguousarray(self.pixels).tobytes()).hexdigest()]


@dataclass(frozen=True)
class DrawnViews:
    """The views of some images of one identity.

    Attributes:
        view: int64 `(B,)` index of the view in the recipe.
        angles: float32 `(B, 3)` yaw, pitch, roll in degrees; NaN for a landmark picture.
        landmarks: uint8 `(B, 112, 112, 3)` RGB landmark pictures.
    """

    view: np.ndarray
    angles: np.ndarray
    landmarks: np.ndarray


NO_PICTURE = (0, 0, 3)


def no_views(images: int) -> DrawnViews:
    """Return what images of a generator without a pose condition have: view -1, and pictures of no pixels."""
    return DrawnViews(
        np.full(images, -1), np.full((images, 3), np.nan, np.float32), np.empty((images, *NO_PICTURE), np.uint8)
    )


@dataclass(frozen=True)
class PosePlan:
    """The pose section of a recipe, resolved by `resolve_pose`.

    Attributes:
        views: one or more.
        style: how landmarks are drawn for views of angles.
        adapter_strength: factor on the generator's low-rank adapters.
    """

    views: tuple[View, ...]
    style: LandmarkStyle
    adapter_strength: float

    def determinants(self) -> dict[str, Any]:
        """What decides bytes, under the names of the recipe."""
        return {
            "pose.views": [view.determinant() for view in self.views],
            "pose.style": self.style.model_dump(mode="json"),
            "pose.adapter_strength": self.adapter_strength,
        }

    def describe(self) -> list[str | None]:
        """The pictures as base64 text, for `dataset.json`; null for views of angles."""
        return [None if view.picture is None else base64.b64encode(view.picture).decode("ascii") for view in self.views]

    def draw(self, *, images_per_identity: int, seed: int, identity: int, numbers: Sequence[int]) -> DrawnViews:
        """Draw for some images of one identity; any part equals that part of the whole.

        Shares are exact inside the identity, in an order shuffled by key; angles are uniform in their range.

        Args:
            images_per_identity: of the dataset.
            seed: the run's.
            identity: its index.
            numbers: indices of the images.
        """
        parts = apportion(images_per_identity, [view.share for view in self.views])
        schedule = rng_for(seed, "view-schedule", identity).permutation(np.repeat(np.arange(len(parts)), parts))
        chosen = schedule[list(numbers)]
        angles = np.full((len(chosen), 3), np.nan, np.float32)
        landmarks = np.empty((len(chosen), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        for row, (number, index) in enumerate(zip(numbers, chosen, strict=True)):
            view = self.views[index]
            if view.ranges is None:
                landmarks[row] = view.pixels
                continue
            low, high = np.array(view.ranges).T
            drawn = low + (high - low) * rng_for(seed, "view", identity, number).random(3)
            angles[row] = drawn
            landmarks[row] = draw_landmarks(aligned_landmarks(HeadPose(*drawn.tolist())), self.style)
        return DrawnViews(chosen.astype(np.int64), angles, landmarks)


def resolve_pose(control: PoseControl, *, recorded: Mapping[str, Any] | None) -> PosePlan:
    """Read the files that a recipe's pose section names.

    Args:
        control: the section.
        recorded: the description of the dataset that is continued; a file that has gone since is taken from it.

    Raises:
        InputError: a file is missing, or holds neither five points nor a landmark picture.
        DatasetError: the pictures in the description are damaged.
    """
    kept: Sequence[Any] = (recorded or {}).get("landmark_pictures") or ()
    before: Sequence[Any] = (((recorded or {}).get("recipe") or {}).get("pose") or {}).get("views") or ()
    views = []
    for index, view in enumerate(control.views):
        same = index < len(kept) and index < len(before) and before[index] == view.model_dump(mode="json")
        views.append(_resolve(view, control.style, kept=kept[index] if same else None))
    return PosePlan(tuple(views), control.style, control.adapter_strength)


def _resolve(view: PoseView, style: LandmarkStyle, *, kept: str | None) -> View:
    path = view.landmarks
    if path is None:
        return View(view.share, tuple(_ends(getattr(view, name)) for name in _ANGLES), None)
    if kept is not None and not path.is_file():
        try:
            return View(view.share, None, base64.b64decode(kept, validate=True))
        except binascii.Error:
            raise DatasetError("the landmark pictures in dataset.json are damaged; restore it from a copy.") from None
    if path.suffix.lower() in POINT_FILES:
        pixels = draw_landmarks(to_aligned(read_points(path)), style)
    else:
        pixels = read_picture(path)
    return View(view.share, None, encode_image(pixels, format="png"))


def _ends(angle: float | tuple[float, float] | None) -> tuple[float, float]:
    if angle is None:
        return (0.0, 0.0)
    return angle if isinstance(angle, tuple) else (angle, angle)
