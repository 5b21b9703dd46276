"""Run a study: make datasets, train a recogniser on each (or a part of each), measure all alike, and tabulate.

```
OUT/
  datasets/NAME/       a dataset, resumed like any other; audited if a trial leaves out images by what was measured
  runs/TRIAL-seedN/    a training run, resumed like any other; recognizer/ in it
  results/TRIAL-seedN.json    what was measured
  study.json, study.md, study.png    every finished run; written anew after each
```

A stopped study goes on where it stopped, and a trial that is added to the recipe later is run alone.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vec2face.config.generation import GenerateRecipe
from vec2face.config.study import StudyRecipe, StudyRun, StudyTrial, resolve
from vec2face.errors import DatasetError
from vec2face.evaluation.plots import SizedAccuracy, plot_accuracy_by_size
from vec2face.evaluation.subjects import open_subject
from vec2face.evaluation.verification import SetResult, measure_sets
from vec2face.evaluation.verification_sets import VerificationSet, open_verification_sets
from vec2face.fileio.atomic import fingerprint, write_json, write_text
from vec2face.generation.folder import DatasetFolder, read_description
from vec2face.progress import ProgressReporter
from vec2face.recognition import run_recognizer_training
from vec2face.training.loop import TrainingReporter
from vec2face.training.precision import settled
from vec2face.training.processes import find_processes
from vec2face.training.recognizer_result import RESULT
from vec2face.workflow import make_dataset

EMBED_BATCH = 64
RESAMPLES = 1000


@dataclass(frozen=True)
class SetAccuracy:
    """Ten-fold accuracy on one verification set, in [0, 1], with the bounds of its bootstrap interval (95 %)."""

    name: str
    pairs: int
    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True)
class RunResult:
    """What was measured of one training.

    Attributes:
        trial, seed: which.
        people, images: of the part of the dataset that it was trained on.
        seen: images seen in the training.
        validation: on the validation set.
        tests: on the test sets; empty for a trial that is not tested.
        seconds: of the training, on a machine as busy as it was.
    """

    trial: str
    seed: int
    people: int
    images: int
    seen: int
    validation: SetAccuracy
    tests: tuple[SetAccuracy, ...]
    seconds: float


class StudyProgress:
    """How a study shows its work: a reporter for the making of a dataset, one for a training, and notes between them.

    Args:
        dataset: gives a context with the reporter of a dataset's making.
        training: gives a context with the reporter of a training.
        note: told what begins.
    """

    def __init__(
        self,
        *,
        dataset: Callable[[], AbstractContextManager[ProgressReporter]],
        training: Callable[[], AbstractContextManager[TrainingReporter]],
        note: Callable[[str], None],
    ) -> None:
        self.dataset, self.training, self.note = dataset, training, note


def run_study(
    study: StudyRecipe,
    *,
    out: Path,
    validation: str,
    tests: Sequence[str],
    progress: StudyProgress,
    workers: int | None = None,
    device: str = "auto",
) -> list[RunResult]:
    """Make the datasets, train and measure every run that is not finished yet, in order.

    Args:
        study: datasets and trials.
        out: folder of the study.
        validation: verification set on which settings are compared, of people who are in no test set.
        tests: verification sets that tested trials are measured on, `PATH` or `NAME=PATH`.
        progress: how the work is shown.
        workers: rendering processes; None uses one per core or GPU.
        device: of the trainings; see `run_recognizer_training`.

    Returns:
        The results in the order of the study.

    Raises:
        ConfigError: see `resolve`.
        InputError: a set is unusable or given twice, or see `run_recognizer_training`.
        DatasetError: `out` holds a run of that name with other settings, data or sets.
    """
    recipes, runs = resolve(study)
    processes = find_processes(device)
    runs = tuple(replace(run, recipe=settled(run.recipe, processes)) for run in runs)
    sets = open_verification_sets([validation, *tests])  # refuses a validation set among the test sets
    results: dict[str, RunResult] = {}
    described: dict[str, str] = {}
    audited = {trial.dataset for trial in study.trials if trial.at_least}
    for number, run in enumerate(runs, start=1):
        dataset = out / "datasets" / run.trial.dataset
        if run.trial.dataset not in described:
            described[run.trial.dataset] = _make(
                recipes[run.trial.dataset], dataset, workers, progress, audit=run.trial.dataset in audited
            )
        measured = [sets[0], *(sets[1:] if run.trial.tested else ())]
        identity = fingerprint(
            {
                "dataset": described[run.trial.dataset],
                "recipe": run.recipe.model_dump(mode="json"),
                "sets": [one.digest for one in measured],
            }
        )
        finished = _read(out, run, identity)
        if finished is None:
            progress.note(f"run {number} of {len(runs)}: {run.name}")
            finished = _run(run, dataset, out / "runs" / run.name, measured, progress, device)
            write_json(_path(out, run), {"identity": identity, "result": asdict(finished)})
        results[run.name] = finished
        write_reports(out, study, list(results.values()))
    return list(results.values())


def _make(recipe: GenerateRecipe, dataset: Path, workers: int | None, progress: StudyProgress, *, audit: bool) -> str:
    with progress.dataset() as reporter:
        make_dataset(recipe, dataset, workers=workers, audit=audit, progress=reporter)
    return str(read_description(DatasetFolder(dataset))["fingerprint"])


def _run(
    run: StudyRun,
    dataset: Path,
    out: Path,
    sets: Sequence[VerificationSet],
    progress: StudyProgress,
    device: str,
) -> RunResult:
    with progress.training() as reporter:
        run_recognizer_training(run.recipe, data=[dataset], out=out, reporter=reporter, device=device)
    facts = json.loads((out / RESULT).read_text(encoding="utf-8"))
    subject = open_subject(str(out / "recognizer"))
    found = [
        _accuracy(one.result)
        for one in measure_sets(subject, sets, batch_size=EMBED_BATCH, resamples=RESAMPLES, seed=0)
    ]
    return RunResult(
        trial=run.trial.name,
        seed=run.seed,
        people=sum(entry["people"] for entry in facts["datasets"]),
        images=sum(entry["taken"] for entry in facts["datasets"]),
        seen=facts["images_seen"],
        validation=found[0],
        tests=tuple(found[1:]),
        seconds=facts["seconds"],
    )


def _accuracy(result: SetResult) -> SetAccuracy:
    interval = result.intervals.accuracy
    accuracy = result.accuracy
    return SetAccuracy(result.title, result.pairs, accuracy.mean, accuracy.std, *interval)


def _path(out: Path, run: StudyRun) -> Path:
    return out / "results" / f"{run.name}.json"


def _read(out: Path, run: StudyRun, identity: str) -> RunResult | None:
    path = _path(out, run)
    if not path.is_file():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["identity"] != identity:
        raise DatasetError(
            f"{path} was measured with another dataset, recipe or set; choose another --out, or remove it and "
            f"{out / 'runs' / run.name}."
        )
    facts = values["result"]
    sets = {
        "validation": SetAccuracy(**facts["validation"]),
        "tests": tuple(SetAccuracy(**entry) for entry in facts["tests"]),
    }
    return RunResult(**(facts | sets))


def write_reports(out: Path, study: StudyRecipe, results: Sequence[RunResult]) -> None:
    """Write `study.json`, `study.md` and, once two sizes were tested, `study.png`. Raises `StorageError`."""
    write_json(out / "study.json", {"runs": [asdict(result) for result in results]})
    write_text(out / "study.md", markdown_table(study.trials, results))
    tested = [result for result in results if result.tests]
    if len({result.images for result in tested}) > 1:
        points = [
            SizedAccuracy(one.name, result.images, one.mean, one.low, one.high)
            for result in tested
            for one in (result.validation, *result.tests)
        ]
        plot_accuracy_by_size(out / "study.png", points, title="Recognisers trained on synthetic faces alone")


def markdown_table(trials: Sequence[StudyTrial], results: Sequence[RunResult]) -> str:
    """Return a row per trial: mean over its seeds, their standard deviation, and the interval of a single seed."""
    tests = list(dict.fromkeys(one.name for result in results for one in result.tests))
    validation = results[0].validation.name if results else "validation"
    lines = [
        f"| trial | people x images | seeds | {validation} (validation) | "
        + "".join(f"{name} | " for name in tests)
        + "seconds a run |",
        "|---|---|---:|---:|" + "---:|" * len(tests) + "---:|",
    ]
    for trial in trials:
        own = [result for result in results if result.trial == trial.name]
        if not own:
            continue
        cells = [_cell([result.validation for result in own])]
        for name in tests:
            found = [one for result in own for one in result.tests if one.name == name]
            cells.append(_cell(found) if found else "-")
        size = f"{own[0].people:,} x {own[0].images / own[0].people:.3g}"
        seconds = statistics.mean(result.seconds for result in own)
        lines.append(f"| {trial.name} | {size} | {len(own)} | " + " | ".join(cells) + f" | {seconds:,.0f} |")
    lines += ["", *(f"- **{trial.name}**: {trial.purpose}" for trial in trials)]
    lines += [
        "",
        "Accuracy in percent by insightface's ten folds. In brackets: the 95 % bootstrap interval over pairs for one "
        "seed, or, for several, the standard deviation between them. Settings were compared on the validation set; the "
        "test sets were measured for the trials that show a figure. Seconds are those of a machine as busy as it was.",
    ]
    return "\n".join(lines) + "\n"


def _cell(found: Sequence[SetAccuracy]) -> str:
    mean = 100 * statistics.mean(one.mean for one in found)
    if len(found) == 1:
        return f"{mean:.2f} ({100 * found[0].low:.1f} to {100 * found[0].high:.1f})"
    return f"{mean:.2f} (± {100 * statistics.stdev(one.mean for one in found):.2f})"
