"""The files of one image in an archive: KEY.jpg, KEY.cls, KEY.json and, where there are any, a vector and landmarks."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vec2face.data.formats.npy import encode_array
from vec2face.fileio.atomic import canonical_json
from vec2face.generation.plan import sample_key
from vec2face.interchange.selection import Item

LANDMARKS = "landmark_image"


def key_of(item: Item) -> str:
    """Return the name of an image in a new archive."""
    return sample_key(item.label, item.number)


def facts_of(item: Item) -> dict[str, Any]:
    """Return what `KEY.json` holds: who it is, which image, what it was called before, and all other facts."""
    return {
        **item.facts,
        "identity": item.label,
        "identity_name": item.person,
        "image": item.number,
        "source_key": text(item.record.key),
    }


def members(item: Item, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file; the image's own bytes come first, untouched."""
    key, record = key_of(item), item.record
    yield f"{key}.{suffix}", record.data
    yield f"{key}.cls", str(item.label).encode("ascii")
    yield f"{key}.json", canonical_json(facts_of(item))
    if record.feature is not None:
        both = [record.feature] if record.mirror_feature is None else [record.feature, record.mirror_feature]
        yield f"{key}.npy", encode_array(record.feature if len(both) == 1 else np.stack(both))
    landmarks = record.facts.get(LANDMARKS)
    if isinstance(landmarks, bytes):
        yield f"{key}.landmarks", landmarks


def text(name: str) -> str:
    """Return a name that can be written as UTF-8: names of files need not be valid."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
