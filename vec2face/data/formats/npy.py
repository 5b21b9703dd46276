"""Arrays as the bytes of an `.npy` file, without pickles."""

import io

import numpy as np

from vec2face.errors import InputError

_NPY_MAGIC = b"\x93NUMPY"


def encode_array(array: np.ndarray) -> bytes:
    """Return the bytes of an `.npy` file (format 1.0)."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def decode_vector(data: bytes, *, where: str) -> np.ndarray:
    """Read a vector from the bytes of an `.npy` file: float `(D,)`, also where it is stored as `(1, D)`.

    Raises:
        InputError: it is no `.npy`, holds no numbers (nothing is unpickled), or is no single finite vector.
    """
    array = decode_array(data, where=where)
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1:
        raise InputError(f"{where} is of shape {array.shape}; a feature is one vector.")
    return array


def decode_array(data: bytes, *, where: str) -> np.ndarray:
    """Read finite floats from the bytes of an `.npy` file; nothing is unpickled. Raises `InputError`."""
    if not data.startswith(_NPY_MAGIC):
        raise InputError(f"{where} is not an .npy array.")
    try:
        array: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError, MemoryError) as error:
        raise InputError(f"{where} is not a readable .npy array ({str(error).splitlines()[0]}).") from None
    if array.dtype.kind != "f" or not array.size:
        raise InputError(f"{where} holds {array.size} values of type {array.dtype}, not floating-point numbers.")
    if not np.isfinite(array).all():
        raise InputError(f"{where} holds values that are not finite.")
    return array
