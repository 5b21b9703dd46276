"""Set evaluations beside each other and beside published rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vec2face
from vec2face.errors import InputError
from vec2face.evaluation.published_rows import (
    BENCHMARKS,
    HARD_BENCHMARKS,
    MARKS,
    column_of,
    published_rows,
    published_table,
)
from vec2face.evaluation.trainings import Training, differences, published_training, read_training, unstated

FORMAT = "vec2face-comparison/2"
AVERAGE = "Avg"

Facts = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A verification result that was read back.

    Attributes:
        name: what tables call it.
        path: its `result.json`.
        facts: what that holds.
    """

    name: str
    path: Path
    facts: Facts


def read_runs(arguments: Sequence[str]) -> list[Run]:
    """Read results of `evaluate verification`: `result.json`, its folder, or `NAME=` and either.

    Raises:
        InputError: a file is missing, damaged or no verification result, or a result or a name is given twice.
    """
    runs: list[Run] = []
    for argument in arguments:
        name, path = None, Path(argument)
        if not path.exists() and "=" in argument:
            name, _, rest = argument.partition("=")
            path = Path(rest)
        path = path / "result.json" if path.is_dir() else path
        run = Run(name or "", path, _read(path))
        run = Run(name or str(run.facts["subject"]["name"]), path, run.facts)
        for other in runs:
            if other.path.resolve() == path.resolve():
                raise InputError(f"{path} is given twice; give each result once.")
            if other.name == run.name:
                raise InputError(f"two results are called {run.name!r}; name one of them with NAME=RESULT.")
        runs.append(run)
    return runs


def compare(runs: Sequence[Run], *, published: bool) -> Facts:
    """Return the facts of a comparison: columns, and a row for each run and, if asked for, each published one.

    A benchmark's column takes a set by name and number of pairs; any other set has a column of its own. Rows keep the
    given order, published ones follow in rising order of their average. Each says how it was trained (`recipe`, by
    `vec2face.evaluation.trainings.PARTS`), in what that differs from the first row (`differs`), and of what it says
    nothing (`unstated`).
    """
    digests = _digests(runs)
    first = _training(runs[0])
    rows = [_own_row(run, first) for run in runs]
    others = list(dict.fromkeys(column for row in rows for column in row["scores"] if column not in _known()))
    used = {column for row in rows for column in row["scores"]}
    if published:
        rows += _published(first)
    columns = [column for column in _known() if published or column in used] + others
    return {
        "format": FORMAT,
        "vec2face": vec2face.__version__,
        "columns": columns,
        "rows": rows,
        "any_size": [one.column for one in HARD_BENCHMARKS if one.pairs is None and one.column in used],
        "differing": sorted(column for column, found in digests.items() if len(found) > 1),
        "warning": published_table()["warning"] if published else None,
        "marks": MARKS if published else None,
    }


def bars(facts: Facts) -> tuple[str, dict[str, tuple[float, bool]]]:
    """What to plot: the average, if a run of ours has it, else the first column that one has; (column, name -> value).

    Raises:
        InputError: no run of ours has any figure.
    """
    own = [row for row in facts["rows"] if row["own"]]
    held = [column for column in (AVERAGE, *facts["columns"]) if any(column in row["scores"] for row in own)]
    if not held:
        raise InputError("none of the results holds a verification set; there is nothing to plot.")
    column = held[0]
    values = {row["name"]: (row["scores"][column], row["own"]) for row in facts["rows"] if column in row["scores"]}
    return column, values


def _known() -> tuple[str, ...]:
    five, hard = ([benchmark.column for benchmark in group] for group in (BENCHMARKS, HARD_BENCHMARKS))
    return (*five, AVERAGE, *hard)


def _read(path: Path) -> Facts:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read the result {path} ({reason}).") from None
    if not isinstance(facts, dict) or facts.get("protocol") != "verification":
        raise InputError(f"{path} is no result of `vec2face evaluate verification`.")
    missing = [key for key in ("subject", "sets", "benchmarks") if key not in facts]
    if missing:
        raise InputError(f"{path} is damaged: it lacks {', '.join(missing)}; run the evaluation again.")
    return facts


def _column(found: Mapping[str, Any]) -> str:
    title = found["name"] if found["group"] is None else f"{found['group']}/{found['name']}"
    column = column_of(title, found["pairs"]) if found["group"] is None else None
    return column or f"{title} ({found['pairs']:,} pairs)"


def _digests(runs: Sequence[Run]) -> dict[str, set[str]]:
    digests: dict[str, set[str]] = {}
    for run in runs:
        for found in run.facts["sets"]:
            digests.setdefault(_column(found), set()).add(found["digest"])
    return digests


def _own_row(run: Run, first: Training) -> Facts:
    facts = run.facts
    subject = facts["subject"]
    scores = {_column(found): 100 * found["accuracy"]["mean"] for found in facts["sets"]}
    if AVERAGE in facts["benchmarks"]:
        scores[AVERAGE] = facts["benchmarks"][AVERAGE]
    training = _training(run)
    return {
        "name": run.name,
        "own": True,
        "kind": None,
        "images": None if training.images is None else f"{training.images:,}",
        "people": training.people,
        "scores": scores,
        "source": str(run.path),
        "mark": None,
        "recipe": training.parts,
        "differs": differences(training, first),
        "unstated": unstated(training, first),
        "note": "its pixels are assumed, without a contract file" if subject.get("contract_assumed") else None,
    }


def _training(run: Run) -> Training:
    return read_training(run.facts.get("training") or {}, network=run.facts["subject"].get("network"))


def _published(first: Training) -> list[Facts]:
    rows = sorted(published_rows(), key=lambda row: row.scores[AVERAGE])
    trainings = [published_training(row.recipe) for row in rows]
    return [
        {
            "name": row.dataset,
            "own": False,
            "kind": row.kind,
            "images": row.images,
            "people": None,
            "scores": row.scores,
            "source": row.source,
            "mark": row.mark,
            "recipe": training.parts,
            "differs": differences(training, first),
            "unstated": unstated(training, first),
            "note": row.note,
        }
        for row, training in zip(rows, trainings, strict=True)
    ]
