"""Unfinished work beside its output, so that a long search goes on where it was stopped.

File format: safetensors with the arrays of the work, and one metadata entry `partial_work`, canonical JSON
`{"request": {...}, "state": {...}}`. The request is everything the result depends on.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from vec2face.errors import InputError
from vec2face.fileio.atomic import canonical_json, write_bytes

SAVE_SECONDS = 60.0
_METADATA_KEY = "partial_work"


class PartialWork:
    """One file of unfinished work, written now and then; whoever saves the finished work removes it then.

    Args:
        output: the file that the finished work goes to; the unfinished stands beside it as `OUTPUT.partial`.
        interval: seconds between two writings at least.
    """

    def __init__(self, output: Path, *, interval: float = SAVE_SECONDS) -> None:
        self.path = output.with_name(f"{output.name}.partial")
        self._interval = interval
        self._written = time.monotonic()

    def load(self, request: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Return the arrays and the state that were saved for an equal request, or None where nothing is there.

        Raises:
            InputError: the file is damaged, or belongs to another request.
        """
        if not self.path.exists():
            return None
        try:
            with safetensors.safe_open(self.path, framework="numpy") as file:
                document = json.loads((file.metadata() or {})[_METADATA_KEY])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            saved, state = document["request"], dict(document["state"])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            raise InputError(f"the unfinished work in {self.path} is damaged; remove it to begin anew.") from None
        wanted = json.loads(canonical_json(request))
        if saved != wanted:
            differing = ", ".join(sorted(name for name in {*saved, *wanted} if saved.get(name) != wanted.get(name)))
            raise InputError(
                f"{self.path} holds unfinished work that was asked for with another {differing}; "
                "remove it to begin anew, or ask for the same again to go on."
            )
        return arrays, state

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._written >= self._interval

    def save(self, request: Mapping[str, Any], arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Write atomically. Raises `StorageError`."""
        document = canonical_json({"request": request, "state": state}).decode()
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_bytes(self.path, safetensors.numpy.save(contiguous, {_METADATA_KEY: document}))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove the file, if there is one: the finished work is saved."""
        self.path.unlink(missing_ok=True)
