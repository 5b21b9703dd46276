"""A face pack: aligned faces, their embeddings and the region that is real, in memory-mapped arrays.

```
PACK/
  images.npy     uint8 (N, 112, 112, 3) RGB
  features.npy   float16 (N, 2, D): stored embedding of each image and of its mirror (absent if the sources have none)
  valid.npy      float32 (N, 4, 2): corners (x, y) of the region with real pixels, pixels of the crop
  index.json     names, groups, held-out flags, sources with their digests; written last
```
"""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vec2face.config.training import PackRecipe, PackSource
from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import InputError
from vec2face.fileio.atomic import sha256_file, write_json
from vec2face.seeding import seed_for

FORMAT = "vec2face-facepack/1"
CORNERS = ("tl", "tr", "br", "bl")
WHOLE_IMAGE = np.array([[0, 0], [IMAGE_SIZE, 0], [IMAGE_SIZE, IMAGE_SIZE], [0, IMAGE_SIZE]], np.float32)


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
            raise InputError("the face pack stores no features; name a 'features' file for each source and pack again.")
        return self.features


@dataclass(frozen=True)
class _Item:
    name: str
    group: str
    pixels: np.ndarray
    features: np.ndarray | None
    valid: np.ndarray


def build_pack(recipe: PackRecipe, *, root: Path, out: Path, on_image: Callable[[int], None] | None = None) -> FacePack:
    """Read every source under `root` and write a pack to `out`.

    Raises:
        InputError: a source is missing, holds something that is not a 112x112 image, or its rows do not match.
    """
    for source in recipe.sources:
        for name in (source.tar, source.table, source.features):
            if name is not None and not (root / name).is_file():
                raise InputError(f"the source file {root / name} does not exist; give its folder with --root.")
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.json").unlink(missing_ok=True)
    names: list[str] = []
    groups: list[str] = []
    valid: list[np.ndarray] = []
    features: list[np.ndarray] = []
    raw_path = out / "images.raw"
    with open(raw_path, "wb") as raw:
        for source in recipe.sources:
            for item in _read_source(source, root):
                raw.write(item.pixels.tobytes())
                names.append(item.name)
                groups.append(item.group)
                valid.append(item.valid)
                if item.features is not None:
                    features.append(item.features)
                if on_image is not None:
                    on_image(len(names))
    if features and len(features) != len(names):
        raise InputError("some sources have features and some have none; name a features file for all or for none.")
    flat = np.memmap(raw_path, np.uint8, "r", shape=(len(names), IMAGE_SIZE, IMAGE_SIZE, 3))
    np.save(out / "images.npy", flat)
    del flat
    raw_path.unlink()
    np.save(out / "valid.npy", np.stack(valid))
    if features:
        np.save(out / "features.npy", np.stack(features))
    holdout = [_held_out(group, recipe) for group in groups]
    facts = {
        "sources": [{**source.model_dump(), "sha256": sha256_file(root / source.tar)} for source in recipe.sources],
        "images": len(names),
        "held_out_images": sum(holdout),
        "held_out_people": len({g for g, h in zip(groups, holdout, strict=True) if h}),
    }
    write_json(
        out / "index.json",
        {"format": FORMAT, "names": names, "groups": groups, "holdout": holdout, "facts": facts},
    )
    return FacePack.load(out)


def _held_out(group: str, recipe: PackRecipe) -> bool:
    if not group:
        return False
    return seed_for(recipe.holdout_seed, f"holdout:{group}") / 2**64 < recipe.holdout_share


def _read_source(source: PackSource, root: Path) -> Iterator[_Item]:
    table = _read_table(root / source.table) if source.table else None
    features = np.load(root / source.features, mmap_mode="r") if source.features else None
    if features is not None and (features.ndim != 3 or features.shape[1] != 2):
        raise InputError(
            f"{root / str(source.features)} must be (N, 2, D): an embedding per image and per mirror image."
        )
    position = -1
    with tarfile.open(root / source.tar) as archive:
        for member in archive:
            if not member.isfile():
                continue
            position += 1
            parts = member.name.split("/")
            key = parts[-1].rsplit(".", 1)[0]
            row = table.get(key) if table is not None else None
            if table is not None and row is None:
                raise InputError(f"{source.tar}: image {key} has no row in {source.table}.")
            if row is not None and any(row[column] == "1" for column in source.exclude_where):
                continue
            if features is not None and position >= len(features):
                raise InputError(f"{source.features} has {len(features)} rows, fewer than the images in {source.tar}.")
            stream = archive.extractfile(member)
            data = stream.read() if stream is not None else b""
            yield _Item(
                name=key,
                group=parts[-2] if source.grouped and len(parts) > 1 else "",
                pixels=_decode(data, f"{source.tar}:{member.name}"),
                features=features[position] if features is not None else None,
                valid=_corners(row) if row is not None else WHOLE_IMAGE,
            )


def _read_table(path: Path) -> dict[str, dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return {row["key"]: row for row in csv.DictReader(stream)}


def _corners(row: dict[str, str]) -> np.ndarray:
    if "valid_tl_x" not in row:
        return WHOLE_IMAGE
    return np.array([[float(row[f"valid_{c}_{axis}"]) for axis in "xy"] for c in CORNERS], np.float32)


def _decode(data: bytes, where: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError):
        raise InputError(f"{where} is not an image that can be read.") from None
    if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise InputError(f"{where} is {pixels.shape[1]}x{pixels.shape[0]}; a pack takes aligned 112x112 crops.")
    return pixels
