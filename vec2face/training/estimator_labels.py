"""What estimators learn from: tables of labels, and which faces are kept out of training."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vec2face.data.facepack import FacePack
from vec2face.errors import InputError
from vec2face.seeding import seed_for

_BLOCK = 512


def read_label_tables(paths: Sequence[Path], *, names: Sequence[str], keys: Sequence[str]) -> np.ndarray:
    """Read labels of a pack's faces from CSV files: the column `key`, and one for each attribute the file knows of.

    A blank cell is an unknown value. Rows of faces that the pack does not hold are passed over: it may leave some out.

    Args:
        paths: the files, each of other faces.
        names: attributes, as their columns are called; further columns are not read. A file may lack some, not all.
        keys: the names of the pack's faces.

    Returns:
        float32 `(len(keys), len(names))`, NaN where unknown.

    Raises:
        InputError: a file cannot be read, lacks a column, labels a face twice, has a cell that is no number; or no
            file labels any face of the pack with one of the attributes.
    """
    place = {key: row for row, key in enumerate(keys)}
    values = np.full((len(keys), len(names)), np.nan, np.float32)
    seen: dict[str, Path] = {}
    known: set[str] = set()
    for path in paths:
        for where, cells in _rows(path, names, alone=len(paths) == 1):
            key = cells["key"]
            if key in seen:
                before = "" if seen[key] == path else f", before in {seen[key]}"
                raise InputError(f"{where}: {key} is labelled twice{before}.")
            seen[key] = path
            for at, name in enumerate(names):
                if name in cells:
                    known.add(name)
                    if key in place:
                        values[place[key], at] = _number(cells[name], f"{where}, {name}")
    named = " and ".join(map(str, paths))
    for name, column in zip(names, values.T, strict=True):
        if np.isnan(column).all():
            if name not in known and len(paths) > 1:
                raise InputError(f"none of {named} has a column {name}, which the recipe learns.")
            raise InputError(f"{named} labels no face of the pack with {name}; its keys must be the names in the pack.")
    return values


def labelled_keys(path: Path) -> frozenset[str]:
    """Return the keys of a table of labels. Raises `InputError` where it cannot be read or has no column `key`."""
    return frozenset(cells["key"] for _, cells in _rows(path, (), alone=True))


def _rows(path: Path, names: Sequence[str], *, alone: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield place and cells of each line of a table that has a key and, when `alone`, all of the names, or one."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            table = csv.DictReader(stream)
            columns = table.fieldnames or ()
            missing = [name for name in ("key", *names) if name not in columns]
            if "key" in missing or (alone and missing):
                raise InputError(
                    f"{path} has no column {' and no column '.join(missing)}; it needs {','.join(('key', *names))}."
                )
            if names and len(missing) == len(names):
                raise InputError(f"{path} has none of the columns {', '.join(names)}.")
            for number, cells in enumerate(table, start=2):
                yield f"{path}, line {number}", cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the labels {path} ({error}).") from None


def hold_out(faces: FacePack, *, share: float, apart: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide a pack's rows into those that are trained on and those that are only measured on.

    The people that the pack keeps out are held out; of faces whose person is unknown a share is, chosen by their names.
    A face that looks like one held out, by the pack's embeddings, is in neither part: it may be the same person.

    Args:
        faces: the pack.
        share: of the faces without a known person, 0 to 1.
        apart: largest cosine to a held-out face that is trained on; nothing is compared where the pack has no features.
        seed: of the choice.

    Returns:
        int64 rows to train on, int64 rows held out.

    Raises:
        InputError: one of the parts is empty.
    """
    chosen = np.array(
        [not group and seed_for(seed, f"held-out:{name}") / 2**64 < share for name, group in _named(faces)], bool
    )
    held = np.flatnonzero(faces.holdout | chosen)
    kept = np.flatnonzero(~(faces.holdout | chosen))
    if faces.features is not None and len(held):
        kept = kept[_largest_cosines(faces.features, kept, held) <= apart]
    if not len(held) or not len(kept):
        what = "holds no face out" if not len(held) else "leaves no face to train on"
        raise InputError(f"the pack {what}; add faces, or set held_out_share and apart in the recipe.")
    return kept, held


def _largest_cosines(features: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    reference = _unit(features[others, 0])
    blocks = (_unit(features[rows[start : start + _BLOCK], 0]) for start in range(0, len(rows), _BLOCK))
    return np.concatenate([(block @ reference.T).max(axis=1) for block in blocks])


def _unit(vectors: np.ndarray) -> np.ndarray:
    wide = np.asarray(vectors, np.float32)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(1e-12)


def _named(faces: FacePack) -> list[tuple[str, str]]:
    return list(zip(faces.names, faces.groups, strict=True))


def _number(text: str | None, where: str) -> float:
    if not (text or "").strip():
        return math.nan
    try:
        value = float(str(text))
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise InputError(f"{where}: {text!r} is no number; leave the cell blank where the value is unknown.")
    return value
