"""Fit linear probes: read labels, cross-validate with people kept apart, fit on everything."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vec2face.errors import InputError
from vec2face.steering.linear_probe import Kind
from vec2face.steering.targets import AttributeFacts

_PENALTIES = tuple(10.0**power for power in range(-2, 6))
_INVERSE_PENALTIES = tuple(10.0**power for power in range(-4, 2))
_ITERATIONS = 1000
_INNER_FOLDS = 3
_RANGE = (1, 99)
_PROBABILITY_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class Fit:
    """A probe's numbers.

    Attributes:
        weight: float64 `(F,)`, on raw features.
        bias: of the linear part.
        error: mean absolute error on folds held out, in the attribute's unit (logistic: of the probability).
        baseline: the same for predicting the other folds' median (logistic: their share of ones).
        score: on folds held out, R squared (logistic: area under the ROC curve).
        missed, mistaken: of a logistic probe on folds held out, the share of ones below a probability of one half, and
            of zeros from it on; None for a regression.
        folds: how many.
        people_apart: whether nobody stood on both sides of a fold.
    """

    weight: np.ndarray
    bias: float
    error: float
    baseline: float
    score: float
    missed: float | None
    mistaken: float | None
    folds: int
    people_apart: bool


def read_labels(path: Path) -> dict[str, float]:
    """Read a CSV file with the columns `key` and `value`.

    Raises:
        InputError: the file cannot be read, lacks a column, is empty, or a line has no number or a key that was there.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            table = csv.DictReader(stream)
            missing = {"key", "value"} - set(table.fieldnames or ())
            if missing:
                raise InputError(f"{path} has no column {' and no column '.join(sorted(missing))}; it needs key,value.")
            labels: dict[str, float] = {}
            for number, row in enumerate(table, start=2):
                value = _number(row["value"])
                if not row["key"] or math.isnan(value):
                    raise InputError(f"{path}, line {number}: {row['key']!r},{row['value']!r} is no key and number.")
                if row["key"] in labels:
                    raise InputError(f"{path}, line {number}: {row['key']} is labelled twice.")
                labels[row["key"]] = value
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the labels {path} ({error}).") from None
    if not labels:
        raise InputError(f"{path} holds no labels.")
    return labels


def fit_probe(
    features: np.ndarray, values: np.ndarray, *, kind: Kind, people: Sequence[str] | None, folds: int, seed: int
) -> Fit:
    """Fit a probe on all faces, and measure it on folds held out.

    Features are standardised inside each fold. The penalty of the ridge is chosen by leaving one out inside the
    training folds, that of the logistic regression by three folds inside them.

    Args:
        features: `(N, F)`.
        values: `(N,)`; for "logistic" 0 or 1.
        kind: of the probe.
        people: N names; faces of one person stay in one fold. None where people are not known.
        folds: 2 or more.
        seed: of the folds, where people are not known.

    Raises:
        InputError: fewer faces or people than folds, values that do not vary, or other values than 0 and 1 for
            "logistic".
    """
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.model_selection import GroupKFold, KFold

    check_labels(values, kind=kind, people=people, folds=folds)
    if people is None:
        splits = KFold(folds, shuffle=True, random_state=seed).split(features)
    else:
        splits = GroupKFold(folds).split(features, groups=list(people))
    predicted, plain = np.empty(len(values)), np.empty(len(values))
    for train, held in splits:
        if len(np.unique(values[train])) < 2:
            raise InputError("all faces of some training folds have one value; label more people, or use fewer folds.")
        weight, bias = _solve(features[train], values[train], kind)
        predicted[held] = _link(features[held] @ weight + bias, kind)
        plain[held] = np.median(values[train]) if kind == "regression" else values[train].mean()
    weight, bias = _solve(features, values, kind)
    return Fit(
        weight=weight,
        bias=bias,
        error=float(np.abs(predicted - values).mean()),
        baseline=float(np.abs(plain - values).mean()),
        score=float(r2_score(values, predicted) if kind == "regression" else roc_auc_score(values, predicted)),
        missed=float((predicted[values == 1] < 0.5).mean()) if kind == "logistic" else None,
        mistaken=float((predicted[values == 0] >= 0.5).mean()) if kind == "logistic" else None,
        folds=folds,
        people_apart=people is not None,
    )


def probe_facts(
    name: str, unit: str, values: np.ndarray, *, kind: Kind, error: float, tolerance: float | None
) -> AttributeFacts:
    """Return the facts of a probe: the range of its labels, and its held-out error as tolerance if none is given.

    A regression was validated where labels were: from their 1st to their 99th percentile. A probability may be anything
    from 0 to 1.
    """
    if kind == "logistic":
        return AttributeFacts(name, unit, 0.0, 1.0, tolerance=tolerance or _PROBABILITY_TOLERANCE, error=error)
    low, high = (float(end) for end in np.percentile(values, _RANGE))
    # A probe without error, of made-up labels, still needs a tolerance.
    return AttributeFacts(name, unit, low, high, tolerance=tolerance or max(error, (high - low) / 1000), error=error)


def _solve(features: np.ndarray, values: np.ndarray, kind: Kind) -> tuple[np.ndarray, float]:
    """Return weight and bias on raw features."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.model_selection import GridSearchCV

    features = features.astype(np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    standard = (features - mean) / scale
    if kind == "regression":
        ridge = RidgeCV(alphas=_PENALTIES).fit(standard, values)
        weight, bias = ridge.coef_, float(ridge.intercept_)
    else:
        search = GridSearchCV(
            LogisticRegression(max_iter=_ITERATIONS),
            {"C": list(_INVERSE_PENALTIES)},
            cv=_INNER_FOLDS,
            scoring="neg_log_loss",
        ).fit(standard, values)
        weight, bias = search.best_estimator_.coef_[0], float(search.best_estimator_.intercept_[0])
    weight = weight / scale
    return weight, bias - float(mean @ weight)


def _link(linear: np.ndarray, kind: Kind) -> np.ndarray:
    from scipy.special import expit

    return np.asarray(expit(linear)) if kind == "logistic" else linear


def check_labels(values: np.ndarray, *, kind: Kind, people: Sequence[str] | None, folds: int) -> None:
    """Raise `InputError` where `fit_probe` would for these labels, before anything is embedded."""
    units, what = (len(values), "faces") if people is None else (len(set(people)), "people")
    if units < max(folds, 2):
        raise InputError(f"{units} {what} cannot be divided into {folds} folds; label more, or lower --folds.")
    found = np.unique(values)
    if len(found) < 2:
        raise InputError(f"all labels are {found[0]:g}; an attribute that does not vary cannot be learned.")
    if kind == "logistic" and not np.isin(found, (0.0, 1.0)).all():
        raise InputError("a logistic probe takes the values 0 and 1 alone; use --kind regression for others.")


def _number(text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
