"""Pull a published file from its hub repository, verify it, convert it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from vec2face.checkpoints.convert import import_checkpoint
from vec2face.checkpoints.load import first_line
from vec2face.checkpoints.store import PROVENANCE_NAME, read_provenance
from vec2face.errors import WeightsError
from vec2face.fileio.atomic import explain_os_error, sha256_file, write_json
from vec2face.registry import WeightsEntry

Download = Callable[[WeightsEntry], Path]


def hub_download(entry: WeightsEntry) -> Path:
    """Download an entry's file into the hub client's own cache and return its path.

    Raises:
        WeightsError: the hub cannot be reached or does not have the file.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
    from huggingface_hub.utils import logging

    # The client reports every retry; one sentence at the end says the same.
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    repository, file = entry.published_at
    where = f"{repository}/{file}"
    try:
        return Path(hf_hub_download(repository, file, repo_type=entry.repository_type))
    except LocalEntryNotFoundError:
        raise WeightsError(f"cannot reach the hub for {where}; check the network connection and try again.") from None
    except (EntryNotFoundError, HfHubHTTPError) as error:
        raise WeightsError(f"the hub does not give {where}: {first_line(error)}.") from None
    except OSError as error:
        raise WeightsError(f"cannot download {where}: {first_line(error)}; check network and disk.") from None
    finally:
        logging.set_verbosity(verbosity)


def pull(entry: WeightsEntry, *, expected: str | None = None, download: Download = hub_download) -> Path:
    """Bring a published entry onto this machine, and return where it lies.

    The file's SHA-256 must be `expected`, or else the entry's digest, or else the one that the first pull recorded.

    Raises:
        WeightsError: the entry ships with the package, the download fails, or the digest differs.
    """
    repository, path = entry.published_at
    pinned = expected or entry.digest or _recorded(entry)
    file = download(entry)
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
        _copy(file, entry, {"file": file.name, "sha256": found, "licence": entry.licence, **source})
    return entry.path


def _recorded(entry: WeightsEntry) -> str | None:
    return read_provenance(entry.path).get("sha256") if entry.present else None


def _feature_space(entry: WeightsEntry) -> str | None:
    """A generator keeps the feature space of its format; anything else is called by its entry's name."""
    return None if entry.kind == "generator" else entry.name


def _copy(file: Path, entry: WeightsEntry, provenance: dict[str, str]) -> None:
    """Put a file that needs no conversion into the entry's folder; its provenance is written last."""
    target = entry.path / file.name
    try:
        entry.path.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{file.name}.tmp")
        shutil.copyfile(file, temporary)
        temporary.replace(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    write_json(entry.path / PROVENANCE_NAME, provenance)
