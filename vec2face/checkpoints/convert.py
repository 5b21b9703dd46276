"""Import published checkpoints into folders of ours, and export such folders again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vec2face.checkpoints.formats import Format, find_format
from vec2face.checkpoints.safe_load import safe_load
from vec2face.checkpoints.store import build, read_folder, write_folder
from vec2face.errors import WeightsError
from vec2face.fileio.atomic import atomic_write, sha256_file


def import_checkpoint(
    file: Path,
    format: str,
    out: Path,
    *,
    name: str | None = None,
    licence: str = "not stated",
    source: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> None:
    """Convert a published checkpoint to a folder that `load_generator` or `load_embedder` reads.

    Args:
        file: the checkpoint.
        format: a name of `formats.FORMATS`.
        out: the new folder.
        name: the feature space: of an embedder, what its vectors are called (by default the folder's name); of a
            generator, whose vectors it takes (by default the published generators' embedder).
        licence: terms of the weights, for the folder's provenance.
        source: further facts for the provenance, such as the hub repository.
        replace: whether a folder of that name gives way.

    Raises:
        WeightsError: the file is damaged, unsafe, or not of that format; every key that does not fit is named.
    """
    file, out = Path(file), Path(out)
    source_format = find_format(format)
    if out.exists() and not replace:
        raise WeightsError(f"{out} exists already; choose another folder or remove it.")
    state = source_format.unwrap(safe_load(file), where=str(file))
    layout = source_format.recognise(state, str(file))
    ours = layout.table.to_ours(state, where=str(file))
    config = layout.config | _naming(source_format, name, out)
    network = build(layout.model, config, ours, where=str(file), table=layout.table)
    provenance = {
        "file": file.name,
        "sha256": sha256_file(file),
        "format": format,
        "licence": licence,
        **dict(source or {}),
    }
    write_folder(network, out, provenance=provenance, replace=replace)


def export_checkpoint(folder: Path, format: str, file: Path) -> None:
    """Write a folder's network as its published code reads it; the inverse of `import_checkpoint`.

    Keys that an import drops because no output depends on them are written as zeros.

    Raises:
        WeightsError: the network cannot be stored in that format, or the file exists or has another suffix.
    """
    folder, file = Path(folder), Path(file)
    target = find_format(format)
    if file.suffix != ".pth":
        raise WeightsError(f"published checkpoints are .pth files; name the export so, not {file.name}.")
    if file.exists():
        raise WeightsError(f"{file} exists already; choose another name or remove it.")
    network = read_folder(folder)
    table = target.table_for(network)
    if table is None:
        raise WeightsError(f"{folder} holds a {type(network).__name__} that the format {format} cannot store.")
    state = table.to_foreign(network.state_dict(), where=str(folder))
    with atomic_write(file) as stream:
        torch.save(target.wrap(state), stream)


def _naming(source_format: Format, name: str | None, out: Path) -> dict[str, str]:
    """Return the constructor argument that names the feature space, if one is to be set."""
    if source_format.kind == "generator":
        return {} if name is None else {"feature_space": name}
    return {"name": name or out.name}
