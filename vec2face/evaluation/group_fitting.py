"""Fit group probes on stored embeddings and a table of labels, and measure them on people held out."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vec2face.config.groups import GroupsOf, GroupsRecipe
from vec2face.config.groups import Rows as Conditions
from vec2face.errors import InputError
from vec2face.evaluation.group_probes import GroupProbe, GroupProbes
from vec2face.evaluation.people import unit
from vec2face.evaluation.stored_faces import StoredFaces
from vec2face.progress import ProgressReporter
from vec2face.seeding import seed_for

_BLOCK = 1024
_ITERATIONS = 1000
_NOBODY = -1
Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


def fit_groups(
    recipe: GroupsRecipe,
    faces: StoredFaces,
    labels: Path,
    *,
    embedder: Mapping[str, str],
    progress: ProgressReporter,
) -> GroupProbes:
    """Fit every probe of a recipe, and count how it errs on faces that it was not fitted on.

    A probe is a multinomial logistic regression on standardised vectors of length 1, of images and their mirror
    images, in which every group weighs the same, so that it leans to none. To measure it, people are divided into folds
    by a key (where nobody is named, each face is a person), and each fold is counted by a probe that was fitted on the
    others, without the faces that look like one of the fold. The probe that is returned is fitted on all.

    Args:
        recipe: the probes.
        faces: embeddings of `recipe.embedder`.
        labels: CSV file with the column `key`, the faces' names, and those that the recipe names; a cell that is in no
            group of a probe is unknown to it. Faces without a row, and rows without a face, are passed over.
        embedder: {"reference", "name", "sha256"} of the network of the embeddings.
        progress: receives the stage.

    Raises:
        InputError: the table cannot be read, lacks a column or labels a face twice; a group has too few faces.
    """
    rows = _read_table(labels, recipe)
    places = {key: place for place, key in enumerate(faces.keys) if key in rows}
    vectors, mirrored = unit(faces.plain), unit(faces.both - faces.plain if faces.mirrored else faces.plain)
    used = {place for key, place in places.items() if _hold(recipe.rows, rows[key])}
    apart = {place for key, place in places.items() if recipe.further and _hold(recipe.further, rows[key])}
    further = np.array(sorted(apart - used), np.int64)
    folds = _folds_of(faces, recipe)
    progress.begin("fitting groups", total=len(recipe.probes), unit="probes")
    found = []
    for probe in recipe.probes:
        group = np.full(len(faces), _NOBODY)
        for key, place in places.items():
            try:
                number = probe.group_of(rows[key], where=f"{labels}, {key}")
            except ValueError as error:
                raise InputError(f"{error}; ranges and labels of groups must not overlap.") from None
            group[place] = _NOBODY if number is None else number
        known = np.array(sorted(place for place in used if group[place] != _NOBODY), np.int64)
        _require_enough(probe, group[known], recipe.folds, labels)
        fitting = _Fitting(vectors, mirrored, group, len(probe.groups), recipe)
        known_further = further[group[further] != _NOBODY]
        found.append(_fit_one(probe, fitting, known, known_further, folds))
        progress.advance(1)
    fitted_on = {
        "faces": len(used),
        "source": faces.name,
        "further": len(further),
        "recipe": recipe.model_dump(mode="json"),
    }
    return GroupProbes(recipe.name, dict(embedder), fitted_on, tuple(found), recipe.window)


class _Fitting:
    """Fits one kind of groups on any faces, and counts others."""

    def __init__(self, vectors: Vectors, mirrored: Vectors, group: Rows, groups: int, recipe: GroupsRecipe) -> None:
        self._vectors, self._mirrored, self._group, self.groups = vectors, mirrored, group, groups
        self._apart, self._penalty = recipe.apart, recipe.penalty

    def solve(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights (K, D) and biases (K,) on vectors of length 1."""
        from sklearn.linear_model import LogisticRegression

        given = np.concatenate([self._vectors[rows], self._mirrored[rows]]).astype(np.float64)
        mean, scale = given.mean(axis=0), given.std(axis=0)
        scale[scale == 0] = 1.0
        model = LogisticRegression(C=self._penalty, class_weight="balanced", max_iter=_ITERATIONS)
        model.fit((given - mean) / scale, np.tile(self._group[rows], 2))
        weight, bias = model.coef_, model.intercept_
        if len(weight) == 1:  # two groups share one row: the second's
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        weight = weight / scale
        return weight, bias - weight @ mean

    def confusion(self, rows: Rows, held_out: Rows) -> NDArray[np.int64]:
        """Count held-out faces by a probe fitted on those of `rows` that look like none of them."""
        table = np.zeros((self.groups, self.groups), np.int64)
        if not len(held_out):
            return table
        weight, bias = self.solve(rows[self._closest(rows, held_out) < self._apart])
        counted = (self._vectors[held_out] @ weight.T + bias).argmax(axis=1)
        np.add.at(table, (self._group[held_out], counted), 1)
        return table

    def _closest(self, rows: Rows, others: Rows) -> Vectors:
        """Largest cosine of each row's vector to one of the others', a block at a time."""
        blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
        return np.concatenate([(self._vectors[block] @ self._vectors[others].T).max(axis=1) for block in blocks])


def _fit_one(probe: GroupsOf, fitting: _Fitting, known: Rows, further: Rows, folds: Rows) -> GroupProbe:
    parts = [known[folds[known] == fold] for fold in np.unique(folds[known])]
    confusion = np.sum([fitting.confusion(np.setdiff1d(known, part), part) for part in parts], axis=0)
    weight, bias = fitting.solve(known)
    return GroupProbe(
        name=probe.name,
        note=probe.note,
        lasting=probe.lasting,
        groups=tuple(group.name for group in probe.groups),
        weight=weight.astype(np.float32),
        bias=bias.astype(np.float32),
        confusion=confusion,
        further=fitting.confusion(known, further) if len(further) else None,
    )


def _folds_of(faces: StoredFaces, recipe: GroupsRecipe) -> Rows:
    """Fold of each face, by its person's name, or its own where nobody is named."""
    units = [faces.person_of(row) or faces.keys[row] for row in range(len(faces))]
    return np.array([seed_for(recipe.seed, f"fold:{unit}") % recipe.folds for unit in units], np.int64)


def _require_enough(probe: GroupsOf, group: Rows, folds: int, labels: Path) -> None:
    counts = np.bincount(group, minlength=len(probe.groups))
    least = int(counts.argmin())
    if counts[least] < 2 * folds:
        raise InputError(
            f"{labels}: {counts[least]} of the embedded faces are of the group {probe.groups[least].name!r} of "
            f"{probe.name}; it takes at least {2 * folds}. Label more faces, or leave the group out."
        )


def _hold(conditions: Sequence[Conditions], row: Mapping[str, str]) -> bool:
    return all(one.hold_row(row) for one in conditions)


def _read_table(path: Path, recipe: GroupsRecipe) -> dict[str, dict[str, str]]:
    wanted = recipe.columns
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            table = csv.DictReader(stream)
            _require_columns(path, table.fieldnames or (), wanted)
            rows: dict[str, dict[str, str]] = {}
            for number, row in enumerate(table, start=2):
                if row["key"] in rows:
                    raise InputError(f"{path}, line {number}: {row['key']} is labelled twice.")
                rows[row["key"]] = {column: row[column] or "" for column in wanted}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the labels {path} ({error}).") from None
    return rows


def _require_columns(path: Path, found: Sequence[str], wanted: set[str]) -> None:
    missing = sorted(({"key"} | wanted) - set(found))
    if missing:
        raise InputError(f"{path} has no column {' and no column '.join(missing)}, which the recipe reads.")
