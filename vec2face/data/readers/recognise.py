"""Tell what a source of faces is from what it holds, and open the reader for it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vec2face.data.exclusions import read_exclusions
from vec2face.data.formats.recordio import MAGIC
from vec2face.data.readers.base import FaceReader, People, cannot_read
from vec2face.data.readers.folders import FolderReader
from vec2face.data.readers.lmdb import LmdbReader
from vec2face.data.readers.names import IMAGE_ENDINGS, ending
from vec2face.data.readers.parquet import ParquetReader
from vec2face.data.readers.recordio import RecordIoReader
from vec2face.data.readers.tars import TarReader
from vec2face.errors import InputError
from vec2face.fileio.location import Location, is_url, parse_location
from vec2face.fileio.mirror import local_file, local_folder, local_version
from vec2face.fileio.remote import RemotePath

PREPARED_NAME = "prepared.json"
# A table of what was measured of the images beside it, as in a dataset; it holds no images.
MEASURED_NAME = "metadata.parquet"
_MOST_ARCHIVES = 1_000_000
_TAR_MAGIC_AT, _TAR_MAGIC = 257, b"ustar"
# The number stands after the page header: 16 bytes of page number, padding, flags and bounds.
_LMDB_MAGIC_AT, _LMDB_MAGIC = 16, (0xBEEFC0DE).to_bytes(4, "little")
_PARQUET_MAGIC = b"PAR1"
_SPLIT_NUMBER = re.compile(r"-\d+-of-\d+$")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
# What a file begins with -> what it is, and what to do.
_OTHERS = (
    (b"\x1f\x8b", "is compressed by gzip; decompress it first, so that images can be read at any place"),
    (b"BZh", "is compressed by bzip2; decompress it first, so that images can be read at any place"),
    (b"\xfd7zXZ", "is compressed by xz; decompress it first, so that images can be read at any place"),
    (b"PK", "is a zip file; unpack it and name the folder"),
    (b"\x80", "looks like a pickle, as verification sets (.bin) are; it is no training set and is not opened"),
    (b"\xff\xd8", "is a single image; name the folder it stands in"),
    (b"\x89PNG", "is a single image; name the folder it stands in"),
)


def open_reader(source: str | Location, *, people: People = "auto") -> FaceReader:
    """Open a face set in whatever format it is.

    Args:
        source: an image folder; a tar file, a folder of tar files, or names of tar files with a pattern such as
            `shards/{000000..000009}.tar`; a dataset folder of this toolkit, or a prepared one; a RecordIO `.rec` file
            or its folder; an LMDB file or its folder; Hugging Face parquet, a file or the folder of the files, or that
            with them in its folder `data`.
            Any of these may be a URL, such as s3://bucket/faces: it is read from a local copy, brought up to date here
            (`vec2face.fileio.mirror`).
        people: whether folders name people, where only folders could; see `People`.

    Raises:
        InputError: there is nothing, it is nothing known or several things at once (the message says what was found),
            or it is damaged.
    """
    if is_url(source):
        return _open_url(parse_location(str(source)), people)
    text = str(source)
    path = Path(text)
    if path.is_dir():
        return _open_folder(path, people)
    if path.is_file():
        return _open_file(path, people)
    if "{" in text:
        paths = [Path(name) for name in _expand(text)]
        if missing := next((name for name in paths if not name.is_file()), None):
            raise InputError(f"{text} stands for {len(paths)} files, but there is no {missing}.")
        return TarReader(paths, source=text, people=people)
    raise InputError(f"there is no file or folder {text}.")


def _open_url(place: Location, people: People) -> FaceReader:
    if isinstance(place, Path):
        return open_reader(place, people=people)
    if "{" in place.url:
        # The names of one pattern lie in one folder; other files there are not fetched.
        folder, names = place.parent, [RemotePath(url).name for url in _expand(place.url)]
        there = folder.files(depth=1)
        if missing := next((name for name in names if name not in there), None):
            raise InputError(f"{place} stands for {len(names)} files, but there is no {folder / missing}.")
        copy = local_version(folder, {name: there[name] for name in names})
        return TarReader([copy / name for name in names], source=str(place), people=people)
    if place.is_file():
        return open_reader(local_file(place), people=people)
    return open_reader(local_folder(place), people=people)


def _open_file(path: Path, people: People) -> FaceReader:
    try:
        with open(path, "rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise cannot_read(path, error) from None
    if head.startswith(MAGIC.to_bytes(4, "little")):
        return RecordIoReader(path)
    if head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
        return TarReader([path], source=str(path), people=people)
    if head[_LMDB_MAGIC_AT:].startswith(_LMDB_MAGIC):
        return LmdbReader(path)
    if head.startswith(_PARQUET_MAGIC):
        return ParquetReader([path], source=str(path))
    if path.suffix in (".idx", ".lst") or path.name == "property":
        raise InputError(f"{path} belongs to a RecordIO set; name its .rec file.")
    for magic, meaning in _OTHERS:
        if head.startswith(magic):
            raise InputError(f"{path} {meaning}.")
    raise InputError(
        f"{path} is no face set known here: it is neither a tar, nor RecordIO, LMDB or parquet (it begins with "
        f"{head[:8]!r})."
    )


def _open_folder(path: Path, people: People) -> FaceReader:
    try:
        names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise cannot_read(path, error) from None
    if PREPARED_NAME in names or "prepare.json" in names:
        return _open_prepared(path, people)
    if "dataset.json" in names:
        return _open_dataset(path, people)
    if {"images.npy", "index.json"} <= set(names):
        raise InputError(f"{path} is a face pack already; give it to 'vec2face train' as --data.")
    found: dict[str, list[str]] = {
        "LMDB": [name for name in names if name == "data.mdb" or ending(name) == "lmdb"],
        "RecordIO": [name for name in names if ending(name) == "rec"],
        "parquet": _parquet_names(path, names),
        "tar": [name for name in names if ending(name) == "tar"],
        "image": [name for name in names if ending(name) in IMAGE_ENDINGS],
    }
    kinds = {kind: files for kind, files in found.items() if files}
    if len(kinds) > 1:
        counts = ", ".join(f"{len(files)} {kind} files ({files[0]}, ...)" for kind, files in kinds.items())
        raise InputError(f"it is unclear what to read in {path}: it holds {counts}; name one of them.")
    for kind in ("LMDB", "RecordIO"):
        if len(kinds.get(kind, [])) > 1:
            raise InputError(f"{path} holds {len(kinds[kind])} {kind} files ({', '.join(kinds[kind][:4])}); name one.")
    if "LMDB" in kinds:
        return LmdbReader(path if kinds["LMDB"] == ["data.mdb"] else path / kinds["LMDB"][0])
    if "RecordIO" in kinds:
        return RecordIoReader(path / kinds["RecordIO"][0])
    if "parquet" in kinds:
        return ParquetReader([path / name for name in kinds["parquet"]], source=str(path))
    if "tar" in kinds:
        return TarReader([path / name for name in kinds["tar"]], source=str(path), people=people)
    return FolderReader(path, people=people)


def _parquet_names(path: Path, names: list[str]) -> list[str]:
    """Return the parquet files of one split, in the folder or in its folder `data`."""
    found = [name for name in names if ending(name) == "parquet" and name != MEASURED_NAME]
    if not found and "data" in names and (path / "data").is_dir():
        found = sorted(f"data/{entry.name}" for entry in (path / "data").glob("*.parquet"))
    splits = sorted({_SPLIT_NUMBER.sub("", Path(name).stem) for name in found if _SPLIT_NUMBER.search(Path(name).stem)})
    if len(splits) > 1:
        raise InputError(
            f"{path} holds several splits ({', '.join(splits)}); put the files of the one to read into a folder alone."
        )
    return found


def _open_prepared(path: Path, people: People) -> FaceReader:
    description = _read_description(path / PREPARED_NAME, "is not finished; run 'vec2face data prepare' on it again")
    paths = _shards(path, description.get("shards"), "run 'vec2face data prepare' on it again")
    return TarReader(paths, source=str(path), people=people, format="prepared faces")


def _open_dataset(path: Path, people: People) -> FaceReader:
    description = _read_description(path / "dataset.json", "is no dataset")
    generated = "origin" not in description
    repair = f"run 'vec2face generate --out {path}' to finish it" if generated else "make it again"
    paths = _shards(path, description.get("shards"), repair)
    identities = description.get("identities")
    classes = identities.get("count") if isinstance(identities, dict) else None
    format = "generated dataset" if generated else "dataset"
    excluded = read_exclusions(path)
    return TarReader(paths, source=str(path), people=people, classes=classes, format=format, excluded=excluded)


def _read_description(file: Path, otherwise: str) -> dict[str, Any]:
    try:
        values = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{file.parent} {otherwise}.") from None
    except OSError as error:
        raise cannot_read(file, error) from None
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise InputError(f"{file} is damaged: it is not a JSON object.")
    return values


def _shards(path: Path, count: Any, repair: str) -> list[Path]:
    """Return the archives that a description promises, each of which must be finished."""
    if not isinstance(count, int) or not 1 <= count <= _MOST_ARCHIVES:
        raise InputError(f"the description in {path} is damaged: it does not say how many shards there are.")
    shards = [path / "shards" / f"{number:06d}.tar" for number in range(count)]
    for shard in shards:
        if not (shard.is_file() and shard.with_suffix(".json").is_file()):
            raise InputError(f"{path} is incomplete: {shard.name} or its manifest is missing; {repair}.")
    return shards


def _expand(pattern: str) -> Iterator[str]:
    """Expand `{000..009}` and `{a,b}`; the numbers keep their leading zeros."""
    match = _RANGE.search(pattern)
    if match:
        first, last = int(match[1]), int(match[2])
        if not 0 <= last - first < _MOST_ARCHIVES:
            raise InputError(f"the range {match[0]} in {pattern} has no numbers, or more than a million.")
        choices = [str(number).zfill(len(match[1])) for number in range(first, last + 1)]
    else:
        match = _CHOICE.search(pattern)
        choices = match[1].split(",") if match else []
    if not match:
        yield pattern
        return
    for choice in choices:
        yield from _expand(pattern[: match.start()] + choice + pattern[match.end() :])
