"""The identity bank: one vector per identity, validated, with its origin in the file.

File format: safetensors with one float32 tensor `vectors` `(N, D)` and one metadata entry `identity_bank`, canonical
JSON `{"format": "vec2face-bank/1", "ids": [...], "provenance": {...}}`. Equal banks give equal bytes.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from vec2face.contracts import require_same_width
from vec2face.errors import InputError
from vec2face.fileio.atomic import atomic_write, canonical_json, sha256_file
from vec2face.fileio.location import Location
from vec2face.fileio.mirror import reading

BANK_FORMAT = "vec2face-bank/1"
METADATA_KEY = "identity_bank"
VECTORS_TENSOR = "vectors"
_NPY_MAGIC = b"\x93NUMPY"
_NAMED_ROWS = 5
_ROWS_WRITTEN = 8192


@dataclass(frozen=True, eq=False)
class IdentityBank:
    """Vectors of identities that keep their order.

    Attributes:
        vectors: float32 `(N, D)` raw embeddings, one row per identity, in raw feature units (not normalised);
            read-only.
        ids: N unique names.
        provenance: JSON values that say where the vectors come from: `source`, and where they apply `ceiling`, `seed`,
            `feature_space` and others.

    Raises:
        InputError: no rows, not two-dimensional, not finite, a zero row, more or fewer ids than rows, a repeated id.
    """

    vectors: np.ndarray
    ids: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vectors = check_vectors(self.vectors, where="the identity bank").view()
        vectors.flags.writeable = False
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "ids", tuple(self.ids))
        _check_ids(self.ids, len(vectors), where="the identity bank")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def width(self) -> int:
        """Number of features per vector, D."""
        return int(self.vectors.shape[1])

    def subset(self, rows: np.ndarray, facts: dict[str, Any]) -> "IdentityBank":
        """Return the identities `rows` `(M,)`, in that order, with `facts` added to the provenance.

        Names are kept; identities that were called by number are numbered anew.
        """
        numbered = self.ids == numbered_ids(len(self))
        ids = numbered_ids(len(rows)) if numbered else tuple(self.ids[row] for row in rows)
        return IdentityBank(self.vectors[rows], ids, {**self.provenance, **facts})

    def require_width(self, other: str, width: int) -> None:
        """Raise `ContractError` unless the vectors have `width` features, as `other` needs."""
        require_same_width("the identity bank", self.width, other, width)

    def save(self, path: Location) -> None:
        """Write the bank atomically, without a copy of it in memory. Raises `StorageError` if that is not possible."""
        document = {"format": BANK_FORMAT, "ids": list(self.ids), "provenance": self.provenance}
        metadata = {METADATA_KEY: canonical_json(document).decode()}
        tensor = {"dtype": "F32", "shape": list(self.vectors.shape), "data_offsets": [0, self.vectors.nbytes]}
        header = json.dumps(
            {"__metadata__": metadata, VECTORS_TENSOR: tensor}, separators=(",", ":"), ensure_ascii=False
        )
        encoded = header.encode()
        encoded += b" " * (-len(encoded) % 8)
        with atomic_write(path) as stream:
            stream.write(struct.pack("<Q", len(encoded)) + encoded)
            for start in range(0, len(self), _ROWS_WRITTEN):
                stream.write(self.vectors[start : start + _ROWS_WRITTEN].astype("<f4", copy=False).tobytes())

    @classmethod
    def load(cls, place: Location | str) -> "IdentityBank":
        """Read a bank, or plain vectors from a `.npy` or a safetensors file (told apart by content, not by name).

        Plain vectors, of any floating type, get the ids "0000000", "0000001", ... and a provenance that names the file
        and its digest. A safetensors file of several tensors must call the vectors `vectors`.

        Raises:
            InputError: the file is missing, of another kind, damaged, or holds unusable vectors or ids.
            StorageError: a store cannot be read.
        """
        with reading(place) as path:
            return cls._read(path)

    @classmethod
    def _read(cls, path: Path) -> "IdentityBank":
        magic = _read_start(path)
        if magic == _NPY_MAGIC:
            return cls._from_plain(_load_npy(path), path)
        vectors, metadata = _load_safetensors(path)
        if METADATA_KEY not in metadata:
            return cls._from_plain(vectors, path)
        document = read_document(metadata[METADATA_KEY], path)
        ids = tuple(document["ids"])
        checked = check_vectors(vectors, where=str(path))
        _check_ids(ids, len(checked), where=str(path))
        return cls(checked, ids, document["provenance"])

    @classmethod
    def _from_plain(cls, vectors: np.ndarray, path: Path) -> "IdentityBank":
        checked = check_vectors(vectors, where=str(path))
        provenance = {"source": "file", "file": path.name, "sha256": sha256_file(path)}
        return cls(checked, numbered_ids(len(checked)), provenance)


def numbered_ids(count: int) -> tuple[str, ...]:
    """Return the ids of identities that have no names: their index, seven digits or more."""
    return tuple(f"{index:07d}" for index in range(count))


def check_vectors(vectors: np.ndarray, *, where: str) -> np.ndarray:
    """Return `vectors` as C-contiguous float32 `(N, D)`, or raise `InputError` naming the first bad rows."""
    if vectors.ndim != 2 or 0 in vectors.shape:
        shape = " x ".join(map(str, vectors.shape)) or "a single number"
        raise InputError(f"{where}: identity vectors must be a table of rows x features, not {shape}.")
    if not np.issubdtype(vectors.dtype, np.floating):
        raise InputError(f"{where}: identity vectors must be floating-point numbers, not {vectors.dtype}.")
    with np.errstate(over="ignore"):
        checked = np.ascontiguousarray(vectors, dtype=np.float32)
    unusable = np.flatnonzero(~np.isfinite(checked).all(axis=1))
    if unusable.size:
        raise InputError(f"{where}: NaN, infinity or a number beyond float32 in {_rows(unusable)}; remove those rows.")
    zero = np.flatnonzero(~checked.any(axis=1))
    if zero.size:
        raise InputError(f"{where}: all features are zero in {_rows(zero)}, which is no direction; remove those rows.")
    return checked


def _rows(rows: np.ndarray) -> str:
    named = ", ".join(map(str, rows[:_NAMED_ROWS]))
    more = f" and {len(rows) - _NAMED_ROWS} more" if len(rows) > _NAMED_ROWS else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {named}{more} (counted from 0)"


def _check_ids(ids: tuple[str, ...], rows: int, *, where: str) -> None:
    if len(ids) != rows:
        raise InputError(f"{where}: {rows} vectors have {len(ids)} ids; every vector needs one.")
    if not all(isinstance(name, str) and name for name in ids):
        raise InputError(f"{where}: every identity needs a non-empty text as its id.")
    if len(set(ids)) < len(ids):
        first: dict[str, int] = {}
        for row, name in enumerate(ids):
            if name in first:
                rows_named = f"row {first[name]} and row {row}"
                raise InputError(f"{where}: the id {name!r} stands for both {rows_named}; ids must be unique.")
            first[name] = row


def _read_start(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(len(_NPY_MAGIC))
    except OSError as error:
        raise InputError(f"cannot read the identity vectors {path}: {error.strerror}.") from None


def _load_npy(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:  # a damaged header may ask for any amount of memory
        raise InputError(f"{path} is not a readable .npy table of numbers ({error}).") from None
    return array


def _load_safetensors(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = sorted(file.keys())
            if len(names) != 1 and VECTORS_TENSOR not in names:
                raise InputError(
                    f"{path} holds {len(names)} tensors ({', '.join(names[:_NAMED_ROWS])}), "
                    f"none called {VECTORS_TENSOR!r}; give a file with identity vectors alone."
                )
            return file.get_tensor(VECTORS_TENSOR if VECTORS_TENSOR in names else names[0]), metadata
    except (SafetensorError, TypeError, OSError) as error:
        raise InputError(
            f"{path} is neither a .npy nor a readable safetensors file ({error}); "
            "give an identity bank or plain vectors."
        ) from None


def read_document(text: str, path: Path) -> dict[str, Any]:
    """Return the bank's description from its metadata entry: `format`, `ids`, `provenance`. Raises `InputError`."""
    try:
        document = json.loads(text)
        found = document["format"]
        if found == BANK_FORMAT and isinstance(document["ids"], list) and isinstance(document["provenance"], dict):
            return dict(document)
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(f"{path}: the description of the identity bank in the file's header is damaged.") from None
    raise InputError(f"{path} is an identity bank of format {found!r}; this version reads {BANK_FORMAT!r}.")
