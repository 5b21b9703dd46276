"""The dataset folder: its layout, what may stand in it, and whether it can be written. No torch here."""

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vec2face.errors import DatasetError, StorageError
from vec2face.fileio.atomic import explain_os_error, fingerprint
from vec2face.fileio.local_copies import copies_folder
from vec2face.fileio.location import Location
from vec2face.fileio.outputs import require_writable
from vec2face.fileio.remote import PROBE_NAME
from vec2face.generation.plan import FORMAT, PRECISION, Plan, differences

# What a killed run leaves behind: names that `vec2face.fileio.atomic` gives unfinished files, or a trial write.
_LEFTOVER = re.compile(
    r"^\.(dataset\.json|identities\.safetensors|metadata\.parquet|\d{6,}\.(tar|json))\.[0-9a-f]+\.tmp$"
    rf"|^{re.escape(PROBE_NAME)}$"
)
_SHARD_FILE = re.compile(r"^(\d{6,})\.(tar|json)$")

# Encoded bytes of a 112x112 photograph of a face, the mean of 200, rounded up (jpeg: of quality 95). Each of an image's
# three members has a header besides, and is filled up to whole blocks.
_IMAGE_BYTES = {"jpeg": 6_000, "png": 20_000, "webp": 14_000}
_MEMBER_OVERHEAD = 3 * 512 + 3 * 256 + 512


@dataclass(frozen=True)
class DatasetFolder:
    """Paths inside a dataset, on this machine or behind a URL."""

    root: Location

    @property
    def description(self) -> Location:
        """The resolved recipe, fingerprint, digests and versions."""
        return self.root / "dataset.json"

    @property
    def identities(self) -> Location:
        """The identity bank."""
        return self.root / "identities.safetensors"

    @property
    def shards(self) -> Location:
        """The folder of archives and manifests."""
        return self.root / "shards"

    @property
    def metadata(self) -> Location:
        """The table with a row per image."""
        return self.root / "metadata.parquet"

    def archive(self, shard: int) -> Location:
        """The archive of a shard."""
        return self.shards / f"{shard:06d}.tar"

    def manifest(self, shard: int) -> Location:
        """The manifest of a shard."""
        return self.shards / f"{shard:06d}.json"


def read_description(folder: DatasetFolder) -> dict[str, Any]:
    """Read `dataset.json`.

    Raises:
        DatasetError: it is missing or damaged, or of a format this version does not know.
    """
    path = folder.description
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {"format", "fingerprint", "determinants", "recipe", "identities", "images", "shards"}
        damaged = not isinstance(values, dict) or not known <= set(values)
    except (FileNotFoundError, NotADirectoryError):
        missing = f"it has no {path.name}" if folder.root.is_dir() else "there is no such folder"
        raise DatasetError(f"{folder.root} is not a dataset: {missing}.") from None
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}.") from None
    except ValueError:
        damaged = True
    if damaged:
        raise DatasetError(f"{path} is damaged; generate the dataset again into an empty folder.")
    if values["format"] != FORMAT:
        raise DatasetError(f"{path} is of format {values['format']}; this version reads format {FORMAT}.")
    # Before anything is continued by it: an edited plan would take every finished shard for another's and replace it.
    if fingerprint(values["determinants"]) != values["fingerprint"]:
        raise DatasetError(f"{path} was edited: its fingerprint does not fit; restore it from a copy.")
    if not isinstance(values["shards"], int) or values["shards"] < 1:
        raise DatasetError(f"{path} is damaged: it does not say how many shards there are.")
    return dict(values)


def check_destination(folder: DatasetFolder) -> None:
    """Make sure that a dataset can be written or resumed there; nothing is made yet.

    Raises:
        DatasetError: the folder holds files that are not a dataset's, or shards of another kind.
        StorageError: the folder cannot be made or written.
    """
    root = folder.root
    if root.exists() and not root.is_dir():
        raise StorageError(f"{root} is a file, not a folder; choose another output folder.")
    require_writable(root, output=root)
    if not root.exists():
        return
    try:
        entries = sorted(entry.name for entry in root.iterdir() if not _LEFTOVER.match(entry.name))
    except OSError as error:
        raise explain_os_error(error, root) from None
    if folder.description.name not in entries:
        if entries:
            raise DatasetError(
                f"{root} holds {entries[0]!r}, which is not part of a dataset; choose an empty or a new folder."
            )
        return
    for path in foreign_files(folder):
        raise DatasetError(f"{folder.shards} holds {path.name!r}, which is not part of the dataset; move it elsewhere.")


def foreign_files(folder: DatasetFolder, shards: int | None = None) -> list[Location]:
    """Return what stands among the shards but is none: a loader that takes all archives would read it.

    Args:
        folder: the dataset's folder.
        shards: their number; a higher one is foreign too. None takes any number.
    """
    found = []
    entries: Iterable[Location] = folder.shards.iterdir() if folder.shards.is_dir() else ()
    for entry in sorted(entries, key=str):
        shard = _SHARD_FILE.match(entry.name)
        beyond = shard is not None and shards is not None and int(shard[1]) >= shards
        if beyond or (shard is None and not _LEFTOVER.match(entry.name)):
            found.append(entry)
    return found


def make_folder(folder: DatasetFolder) -> None:
    """Make the folder, and those above it, where they do not exist. Raises `StorageError`."""
    if not isinstance(folder.root, Path):
        return  # stores have no folders, only names with slashes
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder.root) from None


def holds_plan(folder: DatasetFolder, plan: Plan, *, alone: bool = True) -> bool:
    """Tell whether the folder's dataset is of this plan, rather than not begun yet.

    Another plan's dataset of which nothing was ever finished counts as not begun: it holds no work to lose, and a run
    that failed for its settings can be repeated with better ones. Not so unless this run is `alone`: another one may
    be about to finish some of it.

    Raises:
        DatasetError: the folder holds another plan's dataset; the message names each field that differs.
    """
    if not folder.description.exists():
        return False
    # Through JSON, so that both sides are made of the same types.
    wanted = json.loads(json.dumps(plan.determinants()))
    recorded = read_description(folder)["determinants"]
    differing = differences(recorded, wanted)
    if differing and alone and not _anything_finished(folder):
        return False
    if differing:
        there = recorded.get(PRECISION)
        chosen = "" if there == wanted[PRECISION] else f", with --dtype {there} if auto chose that,"
        raise DatasetError(
            f"{folder.root} holds a dataset made with other settings ({'; '.join(differing)}); "
            f"run the first command again{chosen} to continue it, or choose another folder."
        )
    for shard in _shards_on_disk(folder):
        if shard >= plan.shard_count:
            raise DatasetError(f"{folder.archive(shard)} is beyond the plan's last shard; move it elsewhere.")
    return True


def check_space(folder: DatasetFolder, plan: Plan, *, images: int) -> None:
    """Raise `StorageError` unless the disk has room for about this many more images.

    A store has no end, but a shard on its way there is a local file first.
    """
    disk = folder.root
    if not isinstance(disk, Path):
        disk, images = copies_folder(), min(images, plan.shard(0).images)
        make_folder(DatasetFolder(disk))
    needed = images * assumed_image_bytes(plan.recipe.image.format)
    free = shutil.disk_usage(disk).free
    if needed > free:
        raise StorageError(
            f"{disk} needs about {_size(needed)} for {images} images, but the disk has {_size(free)} free; "
            "free some space or choose another folder."
        )


def assumed_image_bytes(image_format: str) -> int:
    """Return how many bytes of an archive an image is taken to need before any was rendered."""
    return _IMAGE_BYTES[image_format] + _MEMBER_OVERHEAD


def remove_leftovers(folder: DatasetFolder) -> None:
    """Remove the unfinished files that a killed run left behind. Raises `StorageError`."""
    for parent in (folder.root, folder.shards):
        for entry in parent.iterdir() if parent.is_dir() else ():
            if _LEFTOVER.match(entry.name):
                try:
                    entry.unlink(missing_ok=True)
                except OSError as error:
                    raise explain_os_error(error, entry) from None


def _anything_finished(folder: DatasetFolder) -> bool:
    return folder.metadata.exists() or any(folder.manifest(shard).exists() for shard in _shards_on_disk(folder))


def _shards_on_disk(folder: DatasetFolder) -> list[int]:
    names = [entry.name for entry in folder.shards.iterdir()] if folder.shards.is_dir() else []
    return sorted({int(match[1]) for match in map(_SHARD_FILE.match, names) if match})


def _size(count: int) -> str:
    scale, unit = next(((s, u) for s, u in ((1e9, "GB"), (1e6, "MB")) if count >= s), (1e3, "kB"))
    return f"{count / scale:.1f} {unit}"
