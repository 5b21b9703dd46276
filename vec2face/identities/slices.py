"""Rows of a saved identity bank without reading the rest: what a worker needs of a bank of any size."""

from pathlib import Path

import numpy as np
import safetensors
from safetensors import SafetensorError

from vec2face.errors import InputError
from vec2face.identities.bank import METADATA_KEY, VECTORS_TENSOR, read_document


class BankSlices:
    """A bank on disk, memory-mapped; the ids are held, the vectors are not.

    Args:
        path: a file that `IdentityBank.save` wrote.

    Raises:
        InputError: the file is missing, damaged, or holds plain vectors.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = safetensors.safe_open(path, framework="numpy")
            metadata = self._file.metadata() or {}
            self._vectors = self._file.get_slice(VECTORS_TENSOR)
        except (SafetensorError, OSError) as error:
            raise InputError(f"cannot read the identity bank {path}: {error}.") from None
        if METADATA_KEY not in metadata:
            raise InputError(f"{path} holds plain vectors; an identity bank was expected.")
        self.ids: tuple[str, ...] = tuple(read_document(metadata[METADATA_KEY], path)["ids"])

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, start: int, count: int) -> np.ndarray:
        """Return the vectors `start` to `start + count - 1`, float32 `(count, D)`. Raises `InputError`."""
        if start < 0 or count < 0 or start + count > len(self):
            raise InputError(
                f"{self._path} holds {len(self)} identities; {start} to {start + count - 1} is beyond them."
            )
        rows: np.ndarray = self._vectors[start : start + count]
        return rows
