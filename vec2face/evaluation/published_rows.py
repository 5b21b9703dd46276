"""Published recognition accuracies of synthetic and real training sets, as a table that results can be set beside."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from vec2face.errors import InputError

DATA_NAME = "published_rows.json"

MARKS = {
    "V": "read in the published source named beside it",
    "A": "read in an abstract only",
    "R": "recalled, unconfirmed",
}


@dataclass(frozen=True)
class Benchmark:
    """A verification set that papers report.

    Attributes:
        column: its name in tables.
        pairs: how many it has; a set of that name with another number is another set. None where the sources do not
            state it: then the name alone decides.
        names: what its file is called, without ending.
    """

    column: str
    pairs: int | None
    names: tuple[str, ...]


BENCHMARKS = (
    Benchmark("LFW", 6000, ("lfw",)),
    Benchmark("CFP-FP", 7000, ("cfp_fp", "cfp-fp", "cfpfp")),
    Benchmark("CPLFW", 6000, ("cplfw",)),
    Benchmark("AgeDB", 6000, ("agedb_30", "agedb-30", "agedb30", "agedb")),
    Benchmark("CALFW", 6000, ("calfw",)),
)
"""The five sets whose mean papers call the average, in the order of their tables."""

HARD_BENCHMARKS = (
    Benchmark("Hadrian", None, ("hadrian",)),
    Benchmark("Eclipse", None, ("eclipse",)),
    Benchmark("SLLFW", 6000, ("sllfw",)),
    Benchmark("DoppelVer", None, ("doppelver",)),
)
"""Harder sets (facial hair, exposure, and two of look-alikes) that papers report beside the average, never in it."""


@dataclass(frozen=True)
class PublishedRow:
    """One published training set.

    Attributes:
        dataset: its name.
        kind: "synthetic", "real" or "mixed".
        images: number of images as published, such as "0.5M"; None where not stated.
        scores: column -> accuracy in percent; "Avg" is as published, of the five. A column that was not published is
            absent.
        source: where it was read.
        mark: how sure that is, a key of `MARKS`.
        recipe: how it was trained, as far as known; see `vec2face.evaluation.trainings.published_training`.
        note: what else must be known to compare.
    """

    dataset: str
    kind: str
    images: str | None
    scores: dict[str, float]
    source: str
    mark: str
    recipe: dict[str, Any]
    note: str | None


def published_rows() -> list[PublishedRow]:
    """Return every row, in the order of the file. Raises `InputError` if the package's table is damaged."""
    values = published_table()
    recipes = values["recipes"]
    return [
        PublishedRow(
            dataset=row["dataset"],
            kind=row["kind"],
            images=row["images"],
            scores=row["scores"],
            source=row["source"],
            mark=row["mark"],
            recipe=recipes[row["recipe"]],
            note=row.get("note"),
        )
        for row in values["rows"]
    ]


def published_table() -> dict[str, Any]:
    """Return the table as it is stored: `rows`, `recipes` and `warning`."""
    try:
        table: dict[str, Any] = json.loads((files("vec2face.evaluation") / DATA_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"this installation's {DATA_NAME} cannot be read ({error}); install the package again."
        ) from None
    return table


def column_of(name: str, pairs: int) -> str | None:
    """Return the published column that a measured set belongs to, or None.

    Both its name (letter case aside) and its number of pairs, where the benchmark's is known, must be the benchmark's.
    """
    for benchmark in (*BENCHMARKS, *HARD_BENCHMARKS):
        if name.lower() in benchmark.names and benchmark.pairs in (pairs, None):
            return benchmark.column
    return None
