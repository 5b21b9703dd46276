"""Pair lists: text files that name the two images of each pair and say whether they show one person.

Two dialects are read. LFW's `pairs.txt`, which RFW's lists follow: a first line "FOLDS PAIRS" or "PAIRS", which may be
absent, then "PERSON N M" for images N and M of one person and "PERSON N OTHER M" for two people; image N of PERSON is
the file PERSON/PERSON_000N. And plain lists: "FIRST SECOND 0|1" with paths below the image folder, divided by tabs
where a path has spaces. Plain lists are what is written.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vec2face.data.readers.names import IMAGE_ENDINGS
from vec2face.errors import InputError
from vec2face.fileio.atomic import write_text

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class NamedPair:
    """Two images by name, and whether they show one person.

    Attributes:
        first, second: paths below the image folder; without an ending where the list does not state one.
    """

    first: str
    second: str
    same: bool


@dataclass(frozen=True)
class PairList:
    """Pairs in file order, and the number of folds where the list states it (LFW's first line), else None."""

    pairs: list[NamedPair]
    folds: int | None


def read_pair_list(path: Path) -> PairList:
    """Read a list of pairs in either dialect.

    Raises:
        InputError: it cannot be read, is empty, a line is neither dialect's, or its first line promises other counts.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a list of pairs: it is not text in UTF-8.") from None
    lines = [(number, _fields(line)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise InputError(f"{path} names no pairs.")
    header = lines[0][1]
    if len(header) <= 2 and all(_NUMBER.fullmatch(field) for field in header):
        return _read_lfw(path, lines[1:], [int(field) for field in header])
    if _is_lfw([fields for _, fields in lines]):
        return _read_lfw(path, lines, [])
    return PairList([_plain(path, number, fields) for number, fields in lines], None)


def write_pair_list(path: Path, pairs: Iterable[NamedPair]) -> None:
    """Write a plain list, divided by tabs. Raises `StorageError` if it cannot be written."""
    write_text(path, "".join(f"{pair.first}\t{pair.second}\t{int(pair.same)}\n" for pair in pairs))


def find_images(names: Iterable[str], folder: Path, *, where: str) -> dict[str, Path]:
    """Find the file of every name below a folder; a name without an image's ending may have any.

    Args:
        where: the list, for messages.

    Raises:
        InputError: a name leads out of the folder, or files are missing; how many, and the first.
    """
    if not folder.is_dir():
        raise InputError(f"there is no image folder {folder}; give the folder of the images with --images.")
    found: dict[str, Path] = {}
    missing: list[str] = []
    find = _finder(folder)
    for name in dict.fromkeys(names):
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts:
            raise InputError(f"{where} names {name!r}, which leads out of the image folder; name files inside it.")
        path = find(name)
        if path is None:
            missing.append(name)
        else:
            found[name] = path
    if missing:
        raise InputError(
            f"{len(missing):,} of the {len(missing) + len(found):,} images that {where} names are missing in {folder}, "
            f"the first is {missing[0]}; give the right folder with --images."
        )
    return found


def _finder(folder: Path) -> Callable[[str], Path | None]:
    listed: dict[Path, dict[str, str]] = {}

    def find(name: str) -> Path | None:
        path = folder / name
        if path.suffix[1:].lower() in IMAGE_ENDINGS:
            return path if path.is_file() else None
        if path.parent not in listed:
            files = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
            listed[path.parent] = {
                file.name.rpartition(".")[0]: file.name for file in files if file.suffix[1:].lower() in IMAGE_ENDINGS
            }
        file = listed[path.parent].get(path.name)
        return None if file is None else path.with_name(file)

    return find


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.split("\t")] if "\t" in line else line.split()


def _is_lfw(lines: list[list[str]]) -> bool:
    """Whether lines without a first line of counts are LFW's: four fields somewhere, or a number in the middle."""
    return any(len(fields) == 4 for fields in lines) or all(
        len(fields) == 3 and _NUMBER.fullmatch(fields[1]) and _NUMBER.fullmatch(fields[2]) for fields in lines
    )


def _read_lfw(path: Path, lines: list[tuple[int, list[str]]], header: list[int]) -> PairList:
    pairs = []
    for number, fields in lines:
        numbers = fields[1::2] if len(fields) == 4 else fields[1:]
        if len(fields) not in (3, 4) or not all(_NUMBER.fullmatch(field) for field in numbers):
            raise InputError(
                f'{path}, line {number}: a line of LFW\'s pair lists is "PERSON N M" or "PERSON N OTHER M", '
                f"not {' '.join(fields)!r}."
            )
        first, second = (fields[0], fields[-2]) if len(fields) == 4 else (fields[0], fields[0])
        pairs.append(NamedPair(_lfw_name(first, numbers[0]), _lfw_name(second, numbers[1]), len(fields) == 3))
    if not header:
        return PairList(pairs, None)
    folds, each = (header[0], header[1]) if len(header) == 2 else (1, header[0])
    if len(pairs) != 2 * folds * each:
        raise InputError(
            f"{path} promises {folds} folds of {each} pairs of each kind, {2 * folds * each:,} in all, "
            f"but holds {len(pairs):,}; get a whole copy."
        )
    return PairList(pairs, folds if folds > 1 else None)


def _lfw_name(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}"


def _plain(path: Path, number: int, fields: list[str]) -> NamedPair:
    if len(fields) != 3 or fields[2] not in ("0", "1") or not all(fields):
        raise InputError(
            f'{path}, line {number}: a line of a pair list is "FIRST SECOND 0" or "FIRST SECOND 1" (with tabs where a '
            f"path has spaces), not {' '.join(fields)!r}."
        )
    return NamedPair(fields[0], fields[1], fields[2] == "1")
