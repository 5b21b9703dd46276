"""The LMDB layout of Vec2Face and SOTA-FR: what stands under a key; `lmdb_file` writes files of it.

Keys are decimal numbers in ASCII from 0. A value is a msgpack list: `(image, label)` in recognition sets, `(image,
feature, label)` in sets for generator training, and a fourth element with the image of the landmarks where poses are
trained. The image is an encoded file, the feature the bytes of an `.npy` file. `__keys__` (a list of all keys),
`__len__` and `__classnum__` stand beside them, packed likewise.
"""

from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from vec2face.data.formats.npy import decode_vector, encode_array
from vec2face.errors import InputError

KEYS, LENGTH, CLASSES = b"__keys__", b"__len__", b"__classnum__"


@dataclass(frozen=True, eq=False)
class LmdbValue:
    """One record.

    Attributes:
        image: an encoded image.
        label: number of the person, 0 or more.
        feature: `(D,)` floats, or None in sets without.
        landmarks: an encoded image of the landmarks, or None; only beside a feature.
    """

    image: bytes
    label: int
    feature: np.ndarray | None = None
    landmarks: bytes | None = None


def key_of(index: int) -> bytes:
    """Return the key of record `index`."""
    return str(index).encode("ascii")


def encode_value(value: LmdbValue) -> bytes:
    """Return a record's bytes. Raises `InputError` for landmarks without a feature, which the layout cannot hold."""
    if value.feature is None:
        if value.landmarks is not None:
            raise InputError("this LMDB layout holds an image of the landmarks beside a feature only.")
        return bytes(msgpack.packb((value.image, int(value.label))))
    parts: list[Any] = [value.image, encode_array(value.feature), int(value.label)]
    return bytes(msgpack.packb(parts if value.landmarks is None else [*parts, value.landmarks]))


def decode_value(data: bytes, *, where: str) -> LmdbValue:
    """Read a record's bytes; `where` is the record, for messages. Raises `InputError` where they are none."""
    parts = _unpack(data, where)
    if not isinstance(parts, list) or not 2 <= len(parts) <= 4:
        raise InputError(
            f"{where} is not (image, label), (image, feature, label) or that with landmarks: {_shape(parts)}."
        )
    image, label = parts[0], parts[1 if len(parts) == 2 else 2]
    rest = [parts[1], *parts[3:]] if len(parts) > 2 else []
    whole = isinstance(label, int) and not isinstance(label, bool) and label >= 0
    if not whole or not all(isinstance(part, bytes) for part in (image, *rest)):
        raise InputError(
            f"{where} is not (image, label), (image, feature, label) or that with landmarks: {_shape(parts)}."
        )
    feature = decode_vector(rest[0], where=f"the feature of {where}") if rest else None
    return LmdbValue(image, label, feature, rest[1] if len(rest) > 1 else None)


def decode_count(data: bytes, *, where: str) -> int:
    """Read `__len__` or `__classnum__`. Raises `InputError` unless it is a whole number of 0 or more."""
    count = _unpack(data, where)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InputError(f"{where} is not a number of records: {_shape(count)}.")
    return count


def decode_keys(data: bytes, *, where: str) -> list[bytes]:
    """Read `__keys__`. Raises `InputError` unless it is a list of keys."""
    keys = _unpack(data, where)
    if not isinstance(keys, list) or not all(isinstance(key, bytes) for key in keys):
        raise InputError(f"{where} is not a list of keys: {_shape(keys)}.")
    return keys


def _unpack(data: bytes, where: str) -> Any:
    try:
        # raw: files of msgpack before 1.0 store bytes and text alike, and there is no text in this layout.
        return msgpack.unpackb(data, raw=True, use_list=True, strict_map_key=False)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise InputError(f"{where} is not msgpack ({str(error) or type(error).__name__}).") from None


def _shape(value: Any) -> str:
    if isinstance(value, list):
        return f"it holds {', '.join(type(part).__name__ for part in value[:6]) or 'nothing'}"
    return f"it holds {type(value).__name__}"
