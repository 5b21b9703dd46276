"""Embeddings that were computed elsewhere, as `.npy` or `.safetensors`, in the order of a set's images."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from vec2face.errors import InputError

EMBEDDING_FILES = (".npy", ".safetensors")


def read_embeddings(path: Path, *, name: str | None = None, count: int | None = None) -> NDArray[np.float64]:
    """Read one set's embeddings, (N, D).

    The file holds (N, D), or (N, 2, D) with an image's and its mirror image's embedding, which are summed. A
    `.safetensors` file may hold several sets, each under its name; with one array only, that one is taken.

    Args:
        name: the set; needed where the file holds several.
        count: N that is expected; None takes any.

    Raises:
        InputError: the file cannot be read, lacks the set, is of another shape or count, or holds NaN, infinity or
            rows of zeros.
    """
    array = _from_safetensors(path, name) if path.suffix == ".safetensors" else _from_npy(path)
    where = str(path) if name is None else f"{path} (for {name})"
    if array.dtype.kind != "f" or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[1] != 2):
        raise InputError(
            f"{where} holds {array.dtype} of shape {array.shape}; embeddings are floating numbers of shape (N, D), or "
            "(N, 2, D) with the mirror image's beside."
        )
    if count is not None and len(array) != count:
        raise InputError(
            f"{where} holds {len(array):,} embeddings for {count:,} images; give one for each, in the set's order."
        )
    vectors = array.astype(np.float64)
    if vectors.ndim == 3:
        vectors = vectors.sum(axis=1)
    if not vectors.size:
        raise InputError(f"{where} holds no embeddings.")
    broken = ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        raise InputError(
            f"{where} holds NaN or infinity in {int(broken.sum()):,} of {len(vectors):,} rows, the first is row "
            f"{int(np.argmax(broken))}; compute them again."
        )
    empty = ~vectors.any(axis=1)
    if empty.any():
        raise InputError(f"{where}: row {int(np.argmax(empty))} is all zeros, which has no direction to compare.")
    return vectors


def _from_npy(path: Path) -> NDArray:
    try:
        array: NDArray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is not a readable .npy array ({str(error).splitlines()[0]}).") from None
    return array


def _from_safetensors(path: Path, name: str | None) -> NDArray:
    try:
        with safe_open(path, framework="np") as file:
            keys = list(file.keys())
            key = name if name in keys else keys[0] if len(keys) == 1 else None
            if key is not None:
                array: NDArray = file.get_tensor(key)
                return array
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not a readable .safetensors file ({str(error).splitlines()[0]}).") from None
    listed = ", ".join(keys[:4]) + (", ..." if len(keys) > 4 else "")
    raise InputError(
        f"{path} holds no embeddings named {name!r} (it holds {len(keys)} arrays: {listed}); if it holds a network's "
        "weights, say which with --format."
    )
