"""A face pack: aligned faces, their embeddings and the region that is real, in memory-mapped arrays.

```
PACK/
  images.npy     uint8 (N, 112, 112, 3) RGB
  features.npy   float16 (N, 2, D): stored embedding of each image and of its mirror (absent if the sources have none)
  valid.npy      float32 (N, 4, 2): corners (x, y) of the region with real pixels, pixels of the crop
  index.json     names, groups, held-out flags, sources with their digests; written last
```
"""

import json
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vec2face.config.training import PackRecipe
from vec2face.data.pack_sources import WHOLE_IMAGE, OpenedSource, SourceFace
from vec2face.errors import InputError
from vec2face.fileio.atomic import explain_os_error, write_json
from vec2face.seeding import seed_for

FORMAT = "vec2face-facepack/1"


@dataclass(frozen=True)
class FacePack:
    """An opened face pack; arrays are memory-mapped and read-only.

    Attributes:
        images: uint8 `(N, 112, 112, 3)` RGB.
        features: float16 `(N, 2, D)` or None.
        valid: float32 `(N, 4, 2)` corners, clockwise from the top left.
        names, groups: a name per image; its person, or "" where unknown.
        holdout: bool `(N,)`, true where the image is kept out of training.
        facts: what the pack was made of.
    """

    images: np.ndarray
    features: np.ndarray | None
    valid: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    holdout: np.ndarray
    facts: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> "FacePack":
        """Open a pack. Raises `InputError` if `path` holds none, or an unfinished one."""
        index_file = path / "index.json"
        if not index_file.is_file():
            raise InputError(f"{path} is not a finished face pack (no index.json); make one with 'vec2face data pack'.")
        index = json.loads(index_file.read_text(encoding="utf-8"))
        if index.get("format") != FORMAT:
            raise InputError(f"{index_file} has format {index.get('format')!r}, but this version reads {FORMAT!r}.")
        features = path / "features.npy"
        return cls(
            images=np.load(path / "images.npy", mmap_mode="r"),
            features=np.load(features, mmap_mode="r") if features.is_file() else None,
            valid=np.load(path / "valid.npy", mmap_mode="r"),
            names=tuple(index["names"]),
            groups=tuple(index["groups"]),
            holdout=np.array(index["holdout"], dtype=bool),
            facts=index["facts"],
        )

    @property
    def whole(self) -> np.ndarray:
        """Bool `(N,)`: whether the whole crop is a real picture."""
        whole: np.ndarray = np.isclose(self.valid, WHOLE_IMAGE).all(axis=(1, 2))
        return whole

    def require_features(self) -> np.ndarray:
        """Return the stored features; raises `InputError` where the pack has none."""
        if self.features is None:
            raise InputError(
                "the face pack stores no features; prepare its sources with 'vec2face data prepare', "
                "or name a 'features' file for each, and pack again."
            )
        return self.features


def build_pack(recipe: PackRecipe, *, root: Path, out: Path, on_image: Callable[[int], None] | None = None) -> FacePack:
    """Read every source under `root` and write a pack to `out`.

    Raises:
        InputError: a source is missing, holds something that is not a 112x112 image, or its rows do not match.
        StorageError: the pack cannot be written.
    """
    sources = [OpenedSource(source, root) for source in recipe.sources]
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "index.json").unlink(missing_ok=True)
        with _RawRows(out / "images") as images, _RawRows(out / "features") as features:
            listed = _Listed()
            for source in sources:
                for face in source.faces():
                    images.add(face.pixels)
                    if face.features is not None:
                        features.add(face.features)
                    listed.add(face)
                    if on_image is not None:
                        on_image(len(listed.names))
            if features.count not in (0, images.count):
                raise InputError(
                    "some sources have features and some have none; name a features file for all or for none, "
                    "or prepare all of them with one embedder."
                )
            if not images.count:
                raise InputError("the sources hold no image that is not left out by its table.")
            images.save()
            features.save()
        np.save(out / "valid.npy", np.array(listed.valid, np.float32).reshape(-1, 4, 2))
    except OSError as error:
        raise explain_os_error(error, out) from error
    holdout = [_held_out(group, recipe) for group in listed.groups]
    facts = {
        "sources": [source.facts() for source in sources],
        "images": len(listed.names),
        "held_out_images": sum(holdout),
        "held_out_people": len({g for g, h in zip(listed.groups, holdout, strict=True) if h}),
    }
    write_json(
        out / "index.json",
        {"format": FORMAT, "names": listed.names, "groups": listed.groups, "holdout": holdout, "facts": facts},
    )
    return FacePack.load(out)


class _Listed:
    """What the index says of each face; names and people are held once each."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.groups: list[str] = []
        self.valid = array("f")

    def add(self, face: SourceFace) -> None:
        self.names.append(face.name)
        self.groups.append(sys.intern(face.group))
        self.valid.extend(face.valid.ravel().tolist())


class _RawRows:
    """Rows of one shape, written as they come and saved as an array when their number is known."""

    def __init__(self, path: Path) -> None:
        self._raw, self._array = path.with_suffix(".raw"), path.with_suffix(".npy")
        self.count = 0
        self._row: np.ndarray | None = None

    def __enter__(self) -> "_RawRows":
        self._array.unlink(missing_ok=True)
        self._stream = open(self._raw, "wb")  # closed by __exit__
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()
        self._raw.unlink(missing_ok=True)

    def add(self, row: np.ndarray) -> None:
        """Write a row. Raises `InputError` if it differs from the first one in shape."""
        if self._row is not None and row.shape != self._row.shape:
            raise InputError(
                f"the sources' features differ in width: {self._row.shape[-1]} and {row.shape[-1]}; "
                "use one embedder for all."
            )
        self._row = row
        self._stream.write(row.tobytes())
        self.count += 1

    def save(self) -> None:
        """Write the `.npy` file; none where there are no rows."""
        if self._row is None:
            return
        self._stream.flush()
        np.save(self._array, np.memmap(self._raw, self._row.dtype, "r", shape=(self.count, *self._row.shape)))


def _held_out(group: str, recipe: PackRecipe) -> bool:
    if not group:
        return False
    return seed_for(recipe.holdout_seed, f"holdout:{group}") / 2**64 < recipe.holdout_share
