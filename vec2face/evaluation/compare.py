"""Set evaluations beside each other and beside published rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vec2face
from vec2face.errors import InputError
from vec2face.evaluation.published_rows import BENCHMARKS, MARKS, published_rows, published_table

FORMAT = "vec2face-comparison/1"
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
    given order, published ones follow in rising order of their average.
    """
    digests = _digests(runs)
    rows = [_own_row(run) for run in runs]
    others = list(dict.fromkeys(column for row in rows for column in row["scores"] if column not in _known()))
    used = {column for row in rows for column in row["scores"]}
    if published:
        rows += _published()
    columns = [column for column in _known() if published or column in used] + others
    return {
        "format": FORMAT,
        "vec2face": vec2face.__version__,
        "columns": columns,
        "rows": rows,
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
    return (*(benchmark.column for benchmark in BENCHMARKS), AVERAGE)


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
    for benchmark in BENCHMARKS:
        if found["group"] is None and found["pairs"] == benchmark.pairs and title.lower() in benchmark.names:
            return benchmark.column
    return f"{title} ({found['pairs']:,} pairs)"


def _digests(runs: Sequence[Run]) -> dict[str, set[str]]:
    digests: dict[str, set[str]] = {}
    for run in runs:
        for found in run.facts["sets"]:
            digests.setdefault(_column(found), set()).add(found["digest"])
    return digests


def _own_row(run: Run) -> Facts:
    facts = run.facts
    scores = {_column(found): 100 * found["accuracy"]["mean"] for found in facts["sets"]}
    if AVERAGE in facts["benchmarks"]:
        scores[AVERAGE] = facts["benchmarks"][AVERAGE]
    training = facts.get("training") or {}
    recipe = _mapping(training, "recipe")
    chosen = {"best": "the checkpoint best on a validation set", "last": "the last checkpoint"}
    augmentation = ", ".join(f"{key} {value}" for key, value in _mapping(recipe, "augmentation").items())
    return {
        "name": run.name,
        "own": True,
        "kind": None,
        "images": f"{training['images_seen']:,} seen" if isinstance(training.get("images_seen"), int) else None,
        "scores": scores,
        "source": str(run.path),
        "mark": None,
        "recipe": {
            "backbone": facts["subject"].get("network"),
            "head": _mapping(recipe, "head").get("kind"),
            "augmentation": augmentation or None,
            "selection": chosen.get(str(recipe.get("keep"))),
        },
        "note": None,
    }


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping under a key, or an empty one: results of other programs may lack it."""
    inner = values.get(key)
    return inner if isinstance(inner, Mapping) else {}


def _published() -> list[Facts]:
    rows = sorted(published_rows(), key=lambda row: row.scores[AVERAGE])
    return [
        {
            "name": row.dataset,
            "own": False,
            "kind": row.kind,
            "images": row.images,
            "scores": row.scores,
            "source": row.source,
            "mark": row.mark,
            "recipe": row.recipe,
            "note": row.note,
        }
        for row in rows
    ]
