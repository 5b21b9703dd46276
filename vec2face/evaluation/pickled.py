"""Read the pickles of verification sets without running anything that stands in them.

A pickle can name any function and call it, so these files are read with stand-ins: only the names by which NumPy arrays
of bytes, NumPy booleans and byte strings are stored are known, and none of them is the real function.
"""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vec2face.errors import InputError

_HEADER = "not an insightface verification set"


@dataclass
class _Value:
    """Stands for a NumPy array or scalar: its element type and raw bytes."""

    typecode: str = ""
    raw: bytes = b""

    def __setstate__(self, state: Any) -> None:
        # The pickled state of ndarray: (version, shape, dtype, is Fortran order, bytes).
        _, shape, dtype, _, raw = state
        _check(dtype, raw)
        if len(shape) != 1 or shape[0] != len(raw):
            raise pickle.UnpicklingError("an array is not one-dimensional")
        self.typecode, self.raw = dtype.typecode, bytes(raw)


class _Dtype:
    def __init__(self, typecode: str) -> None:
        self.typecode = typecode

    def __setstate__(self, state: Any) -> None:
        """The state holds byte order and alignment, which single bytes do not have."""


class _StandIn:
    """A callable that cannot be given attributes, so that a pickle cannot change it."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *arguments: Any) -> Any:
        return getattr(self, self._name)(*arguments)

    def array(self, *_: Any) -> _Value:
        return _Value()

    def dtype(self, code: Any, *_: Any) -> _Dtype:
        code = code.decode("ascii") if isinstance(code, bytes) else code
        if code not in ("u1", "uint8", "b1", "bool", "?", "B"):
            raise pickle.UnpicklingError(f"an array has elements of type {code!r}, not bytes or booleans")
        return _Dtype("b1" if code in ("b1", "bool", "?") else "u1")

    def scalar(self, dtype: _Dtype, raw: Any) -> _Value:
        _check(dtype, raw)
        if len(raw) != 1:
            raise pickle.UnpicklingError("a scalar is not one byte")
        return _Value(dtype.typecode, bytes(raw))

    def from_buffer(self, raw: Any, dtype: _Dtype, shape: Any, _order: Any) -> _Value:
        value = _Value()
        value.__setstate__((1, shape, dtype, False, bytes(raw)))
        return value

    def encode(self, text: Any, codec: Any) -> bytes:
        # Python 3 writes bytes this way in pickle protocols 0 to 2.
        if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("text in another coding than latin-1")
        return text.encode("latin-1")

    def ndarray(self, *_: Any) -> Any:
        raise pickle.UnpicklingError("numpy.ndarray is called directly")


def _check(dtype: Any, raw: Any) -> None:
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes | bytearray):
        raise pickle.UnpicklingError("an array has unusable contents")


_KNOWN = {
    **{
        (f"numpy.{core}.multiarray", name): _StandIn(method)
        for core in ("core", "_core")
        for name, method in (("_reconstruct", "array"), ("scalar", "scalar"))
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): _StandIn("from_buffer") for core in ("core", "_core")},
    ("numpy", "ndarray"): _StandIn("ndarray"),
    ("numpy", "dtype"): _StandIn("dtype"),
    ("_codecs", "encode"): _StandIn("encode"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image list needs") from None


def read_pickled_pairs(path: Path) -> tuple[list[bytes], list[bool]]:
    """Read the two lists of an insightface `.bin`: encoded images and, for each pair, whether it is one person.

    The file is a pickle of `(images, issame)`; images are byte strings or uint8 arrays. No code in it can run.

    Raises:
        InputError: the file is missing, cut short, not such a pickle, or holds anything else than images and booleans.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None
    return unpickle_pairs(data, path)


def unpickle_pairs(data: bytes, path: Path) -> tuple[list[bytes], list[bool]]:
    """Read the bytes of such a file; as `read_pickled_pairs`, and `path` names it in messages."""
    try:
        # encoding="bytes" gives Python 2's strings, in which old sets hold their images, as bytes.
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except MemoryError:
        raise InputError(
            f"{path} is {_HEADER}: it asks for more memory than there is; it is damaged or hostile."
        ) from None
    except Exception as error:  # a damaged pickle can fail in any way; none of them is a defect of this program
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is {_HEADER}, or it is cut short ({reason}); fetch it again.") from None
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise InputError(f"{path} is {_HEADER}: it must hold two lists, images and same-person flags.")
    images, same = content
    if not isinstance(images, tuple | list) or not isinstance(same, tuple | list | _Value):
        raise InputError(f"{path} is {_HEADER}: it must hold two lists, images and same-person flags.")
    return [_image(path, n, image) for n, image in enumerate(images)], _flags(path, same)


def _image(path: Path, number: int, image: Any) -> bytes:
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    if isinstance(image, _Value) and image.typecode == "u1":
        return image.raw
    raise InputError(
        f"{path}: image {number} is a {type(image).__name__.strip('_').lower()}, not the bytes of an image."
    )


def _flags(path: Path, same: Any) -> list[bool]:
    if isinstance(same, _Value):
        return [byte != 0 for byte in same.raw]
    flags = []
    for number, flag in enumerate(same):
        if isinstance(flag, _Value) and flag.raw in (b"\x00", b"\x01"):
            flag = flag.raw == b"\x01"
        if flag not in (True, False):
            raise InputError(f"{path}: same-person flag {number} is neither true nor false.")
        flags.append(bool(flag))
    return flags
