"""Pull a published file from its hub repository, verify it, convert it."""

import os
import shutil
from pathlib import Path

from vec2face.checkpoints.convert import import_checkpoint
from vec2face.checkpoints.hub import download_file
from vec2face.checkpoints.store import PROVENANCE_NAME, read_provenance
from vec2face.errors import WeightsError
from vec2face.fileio.atomic import explain_os_error, sha256_file, write_json
from vec2face.registry import WeightsEntry


def pull(entry: WeightsEntry, *, expected: str | None = None) -> Path:
    """Bring a published entry onto this machine, and return where it lies.

    The file's SHA-256 must be `expected`, or else the entry's digest, or else the one that the first pull recorded.

    Raises:
        WeightsError: the entry ships with the package, the download fails, or the digest differs.
    """
    repository, path = entry.published_at
    pinned = expected or entry.digest or _recorded(entry)
    file = download_file(repository, path, entry.repository_type)
    found = sha256_file(file)
    if pinned is not None and found != pinned.lower():
        raise WeightsError(
            f"{repository}/{path} has the SHA-256 {found}, but {pinned} is expected; the file was changed "
            f"or damaged. If the new one is meant: vec2face weights pull {entry.name} --sha256 {found}."
        )
    source = {"repository": repository, "repository_type": entry.repository_type, "path": path}
    if entry.holds_network:
        import_checkpoint(
            file,
            entry.format,
            entry.path,
            name=_feature_space(entry),
            licence=entry.licence,
            source=source,
            replace=True,
        )
    else:
        _keep(file, entry, {"file": file.name, "sha256": found, "licence": entry.licence, **source})
    return entry.path


def _recorded(entry: WeightsEntry) -> str | None:
    return read_provenance(entry.path).get("sha256") if entry.present else None


def _feature_space(entry: WeightsEntry) -> str | None:
    """A generator keeps the feature space of its format; anything else is called by its entry's name."""
    return None if entry.kind == "generator" else entry.name


def _keep(file: Path, entry: WeightsEntry, provenance: dict[str, str]) -> None:
    """Put a file that needs no conversion into the entry's folder; its provenance is written last."""
    target = entry.path / file.name
    temporary = entry.path / f".{file.name}.{os.getpid()}.tmp"
    try:
        entry.path.mkdir(parents=True, exist_ok=True)
        try:
            # Datasets are large: share the bytes with the download cache where both lie on one file system.
            os.link(file.resolve(), temporary)
        except OSError:
            shutil.copyfile(file, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)
    write_json(entry.path / PROVENANCE_NAME, provenance)
