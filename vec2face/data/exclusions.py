"""Identities that are left out of a dataset without touching its shards.

`DATASET/exclusions.json` is a JSON object: `format`, `fingerprint` (of the dataset), `identities` (pairs of number and
reason). Every reader of this toolkit passes their images over, and so does what is exported. Programs that read the
archives themselves do not know of it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vec2face.errors import DatasetError
from vec2face.fileio.atomic import write_json

FORMAT = "vec2face-exclusions/1"
FILE_NAME = "exclusions.json"


def read_exclusions(dataset: Path) -> dict[int, str]:
    """Return identity -> reason of what is excluded from a dataset; empty where nothing is.

    An identity that was drawn again since (a repair changes the dataset's fingerprint) is somebody else: a list of
    another fingerprint excludes nobody.

    Raises:
        DatasetError: the list is damaged.
    """
    path = dataset / FILE_NAME
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise DatasetError(f"{path} is of format {values['format']!r}; this version reads {FORMAT!r}.")
        listed = {int(identity): str(reason) for identity, reason in values["identities"]}
        fingerprint = values["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is damaged ({error}); audit the dataset again, or remove it.") from None
    return listed if fingerprint == _fingerprint(dataset) else {}


def exclude(dataset: Path, identities: Mapping[int, str]) -> dict[int, str]:
    """Add identities, with the reason, to those that are excluded; return all that are now.

    Raises:
        DatasetError: the folder is no dataset, or its list is damaged.
        StorageError: the list cannot be written.
    """
    everyone = dict(sorted({**read_exclusions(dataset), **identities}.items()))
    document: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": _fingerprint(dataset),
        "identities": [[identity, reason] for identity, reason in everyone.items()],
    }
    write_json(dataset / FILE_NAME, document)
    return everyone


def _fingerprint(dataset: Path) -> str:
    try:
        return str(json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{dataset} is not a dataset ({error}).") from None
