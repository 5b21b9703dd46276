"""Import published checkpoints into folders of ours, and export such folders again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin

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
    file_format = find_format(format)
    if out.exists() and not replace:
        raise WeightsError(f"{out} exists already; choose another folder or remove it.")
    if file_format.kind == "generator":
        naming = {} if name is None else {"feature_space": name}
    else:
        naming = {"name": name or out.name}
    network = to_network(safe_load(file), file_format, where=str(file), config=naming)
    provenance = {"file": file.name, "sha256": sha256_file(file), "format": format, "licence": licence}
    write_folder(network, out, provenance=provenance | dict(source or {}), replace=replace)


def export_checkpoint(folder: Path, format: str, file: Path) -> None:
    """Write a folder's network as its published code reads it; the inverse of `import_checkpoint`.

    Keys that an import drops because no output depends on them are written as zeros.

    Raises:
        WeightsError: the network cannot be stored in that format, or the file exists or has another suffix.
    """
    folder, file = Path(folder), Path(file)
    file_format = find_format(format)
    if file.suffix != ".pth":
        raise WeightsError(f"published checkpoints are .pth files; name the export so, not {file.name}.")
    if file.exists():
        raise WeightsError(f"{file} exists already; choose another name or remove it.")
    content = to_checkpoint(read_folder(folder), file_format, where=str(folder))
    with atomic_write(file) as stream:
        torch.save(content, stream)


def to_network(
    content: Mapping[str, Any], file_format: Format, *, where: str, config: Mapping[str, Any] | None = None
) -> ModelMixin:
    """Build the network that a checkpoint's content fits.

    Args:
        content: what `safe_load` returned.
        file_format: how it is laid out.
        where: the file, for messages.
        config: constructor arguments that no weight tells.

    Raises:
        WeightsError: the content is not of that format; every key that does not fit is named.
    """
    state = file_format.unwrap(content, where=where)
    layout = file_format.recognise(state, where)
    ours = layout.table.to_ours(state, where=where)
    return build(layout.model, layout.config | dict(config or {}), ours, where=where, table=layout.table)


def to_checkpoint(network: ModelMixin, file_format: Format, *, where: str) -> dict[str, Any]:
    """Lay a network's weights out as a format has them; the inverse of `to_network`.

    Raises:
        WeightsError: the format cannot store such a network.
    """
    table = file_format.table_for(network)
    if table is None:
        raise WeightsError(
            f"{where} holds a {type(network).__name__} that the format {file_format.name} cannot store as it is."
        )
    return file_format.wrap(table.to_foreign(network.state_dict(), where=where))
