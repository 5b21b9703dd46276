"""What can be said about weights without loading them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from vec2face.checkpoints.load import EMBEDDED, EMBEDDED_NAMES
from vec2face.checkpoints.safe_load import count_parameters
from vec2face.checkpoints.store import PROVENANCE_NAME, network_of, read_config, read_provenance, weights_file
from vec2face.errors import WeightsError
from vec2face.fileio.atomic import sha256_file
from vec2face.registry import ENTRIES


def describe(ref: str) -> dict[str, Any]:
    """Return the facts about a registry name, or about a network's folder.

    Raises:
        WeightsError: `ref` is neither, or the folder is damaged.
    """
    facts: dict[str, Any] = {}
    folder = Path(ref).expanduser()
    if ref in ENTRIES:
        entry = ENTRIES[ref]
        facts = {key: value for key, value in asdict(entry).items() if value is not None}
        facts["present"] = entry.present
        folder = entry.path
        if not entry.present:
            return facts
    elif ref == EMBEDDED:
        names = " or ".join(EMBEDDED_NAMES.values())
        raise WeightsError(f"{EMBEDDED!r} stands for another network wherever it is used; show {names}.")
    elif not folder.is_dir():
        raise WeightsError(f"{ref} is neither a network's folder nor one of the known names: {', '.join(ENTRIES)}.")
    facts["path"] = str(folder)
    facts |= {"provenance": provenance} if (provenance := read_provenance(folder)) else {}
    if ref in ENTRIES and not ENTRIES[ref].holds_network:
        facts["files"] = sorted(path.name for path in folder.iterdir() if path.name != PROVENANCE_NAME)
        return facts
    network_of(folder)
    facts["configuration"] = read_config(folder)
    weights = weights_file(folder)
    facts["parameters"] = count_parameters(weights)
    facts["weights_sha256"] = sha256_file(weights)
    return facts
