"""Group probes: linear maps from an embedding to the group that a face looks like, and how they err on faces held out.

They say how a *set* is divided over groups of sex, ethnicity or age. What a network takes a face for says nothing of
who somebody is or how they describe themselves, so no image gets a label from them.

Folder:
```
GROUPS/
  groups.json          format, name, embedder (reference, name, sha256), window, fitted_on, and of each probe name,
                       note, lasting, groups, confusion and, where there was one, the confusion on a further set
  groups.safetensors   NAME.weight float32 (K, D), on vectors of length 1, and NAME.bias float32 (K,)
```
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from vec2face.config.base import parse
from vec2face.config.groups import Window
from vec2face.errors import ConfigError, ContractError, InputError
from vec2face.evaluation.people import unit
from vec2face.fileio.atomic import sha256_file, write_bytes, write_json
from vec2face.registry import ENTRIES

FORMAT = "vec2face-groups/1"
EMBEDDED, NONE = "embedded", "none"
_ENTRY = "embedded-groups"
_DOCUMENT, _ARRAYS = "groups.json", "groups.safetensors"


@dataclass(frozen=True, eq=False)
class GroupProbe:
    """What decides between the groups of one kind.

    Attributes:
        name: what divides people, such as an age.
        note: what a reader of its results must know.
        groups: their names, K of them.
        weight: float32 (K, D), on vectors of length 1.
        bias: float32 (K,).
        confusion: int64 (K, K), faces held out: rows are the groups they are labelled with, columns those counted.
        further: the same of faces that neither the probe nor its embedder has seen; None where there are none.
        lasting: whether somebody is in one group in every picture.
    """

    name: str
    note: str
    groups: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    confusion: NDArray[np.int64]
    further: NDArray[np.int64] | None = None
    lasting: bool = False

    def count(self, vectors: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the number of the group (N,) that each raw embedding (N, D) is counted for."""
        return np.asarray((unit(vectors) @ self.weight.T + self.bias).argmax(axis=1), np.int64)

    @property
    def missed(self) -> NDArray[np.float64]:
        """(K,) share of each group's held-out faces that are counted for another."""
        return np.asarray(1 - np.diagonal(self.rates))

    @property
    def mistaken(self) -> NDArray[np.float64]:
        """(K,) share of the other groups' held-out faces that are counted for each, these groups weighing the same."""
        return np.asarray((self.rates.sum(axis=0) - np.diagonal(self.rates)) / (len(self.groups) - 1))

    @property
    def rates(self) -> NDArray[np.float64]:
        """(K, K) the confusion, each row divided by its faces."""
        return np.asarray(self.confusion / self.confusion.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class GroupProbes:
    """Probes of one embedder.

    Attributes:
        name: what they are called.
        embedder: {"reference", "name", "sha256"} of the network whose vectors they read.
        fitted_on: what they were fitted on, JSON values.
        probes: one for each kind of groups.
        window: what audited pictures are seen through; None: they are seen whole.
        sha256: of the file of weights; "" before they are saved.
    """

    name: str
    embedder: dict[str, str]
    fitted_on: dict[str, Any]
    probes: tuple[GroupProbe, ...]
    window: Window | None = None
    sha256: str = ""

    def save(self, folder: Path) -> None:
        """Write the folder. Raises `StorageError`."""
        arrays = {}
        for one in self.probes:
            # The file takes an array's memory as it lies, whatever its strides say.
            arrays[f"{one.name}.weight"] = np.ascontiguousarray(one.weight)
            arrays[f"{one.name}.bias"] = np.ascontiguousarray(one.bias)
        write_bytes(folder / _ARRAYS, safetensors.numpy.save(arrays))
        described = [
            {
                "name": one.name,
                "note": one.note,
                "lasting": one.lasting,
                "groups": list(one.groups),
                "confusion": one.confusion.tolist(),
                "further": None if one.further is None else one.further.tolist(),
            }
            for one in self.probes
        ]
        document = {"format": FORMAT, "name": self.name, "embedder": self.embedder, "fitted_on": self.fitted_on}
        window = None if self.window is None else self.window.model_dump()
        write_json(folder / _DOCUMENT, {**document, "window": window, "probes": described})

    @classmethod
    def load(cls, folder: Path) -> "GroupProbes":
        """Read a folder. Raises `InputError` if it holds no probes of groups, or damaged ones."""
        try:
            document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
            arrays = safetensors.numpy.load_file(folder / _ARRAYS)
            if document["format"] != FORMAT:
                raise InputError(f"{folder} holds probes of another version; this one reads {FORMAT}.")
            found = tuple(_probe(one, arrays) for one in document["probes"])
            embedder = {key: str(document["embedder"][key]) for key in ("reference", "name", "sha256")}
            window = None if document["window"] is None else parse(Window, document["window"], where=str(folder))
            return cls(document["name"], embedder, document["fitted_on"], found, window, sha256_file(folder / _ARRAYS))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, ConfigError) as error:
            raise InputError(
                f"{folder} holds no readable probes of groups ({error}); make them with 'attributes fit-groups'."
            ) from None

    def require_embedder(self, sha256: str) -> None:
        """Raise `ContractError` where the embedder is not the one whose vectors the probes were fitted on."""
        if sha256 != self.embedder["sha256"]:
            raise ContractError(
                f"the embedder {self.embedder['reference']} is not the one that the groups {self.name} were fitted on; "
                "fit them again with 'attributes fit-groups', or leave them out with --groups none."
            )


def open_group_probes(reference: str) -> GroupProbes | None:
    """Return the probes of a reference: "embedded", a folder, or "none" for none.

    Raises:
        InputError: the folder holds none.
    """
    if reference == NONE:
        return None
    return GroupProbes.load(ENTRIES[_ENTRY].path if reference == EMBEDDED else Path(reference))


def _probe(one: dict[str, Any], arrays: dict[str, Any]) -> GroupProbe:
    name, groups = one["name"], tuple(one["groups"])
    further = one["further"]
    found = GroupProbe(
        name=name,
        note=one["note"],
        lasting=one["lasting"],
        groups=groups,
        weight=arrays[f"{name}.weight"],
        bias=arrays[f"{name}.bias"],
        confusion=np.array(one["confusion"], np.int64),
        further=None if further is None else np.array(further, np.int64),
    )
    square = (len(groups), len(groups))
    if found.weight.shape[:1] != square[:1] or found.bias.shape != square[:1] or found.confusion.shape != square:
        raise ValueError(f"the arrays of {name} do not fit its {len(groups)} groups")
    if not found.confusion.sum(axis=1).all():
        raise ValueError(f"a group of {name} was not measured")
    return found
