"""Join what was measured on verification sets into the facts of one result, with its plots."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import vec2face
from vec2face.evaluation.plots import plot_roc, plot_scores
from vec2face.evaluation.published_rows import BENCHMARKS, column_of
from vec2face.evaluation.rates import operating_curve
from vec2face.evaluation.subjects import EVALUATION_FORMAT, NetworkSubject, Subject
from vec2face.evaluation.verification import Measured, SetResult, measure_sets
from vec2face.evaluation.verification_groups import group_results, require_groups
from vec2face.evaluation.verification_sets import VerificationSet
from vec2face.progress import ProgressReporter

FORMAT = f"{EVALUATION_FORMAT}/1"
RESULT_FILE = "result.json"
ROC_FILE = "roc.png"


def run_verification(
    subject: Subject,
    sets: Sequence[VerificationSet],
    *,
    batch_size: int,
    resamples: int,
    seed: int,
    figures: Path | None = None,
    progress: ProgressReporter | None = None,
) -> dict[str, Any]:
    """Measure a subject on every set and return the facts of the result, as `result.json` holds them.

    Args:
        batch_size: images in one forward pass; it changes speed only.
        resamples, seed: of the bootstrap.
        figures: folder for ROC and score plots; None draws none.

    Raises:
        InputError, ContractError: see `measure_sets`; or a benchmark has one group only.
        StorageError: a plot cannot be written.
    """
    require_groups([found.group for found in sets])
    started = time.perf_counter()
    measured = measure_sets(subject, sets, batch_size=batch_size, resamples=resamples, seed=seed, progress=progress)
    seconds = time.perf_counter() - started
    results = [entry.result for entry in measured]
    return {
        "format": FORMAT,
        "protocol": "verification",
        "vec2face": vec2face.__version__,
        "subject": subject.facts,
        "training": subject.training if isinstance(subject, NetworkSubject) else None,
        "options": {"batch_size": batch_size, "resamples": resamples, "seed": seed},
        "sets": [result.to_dict() for result in results],
        "groups": [group.to_dict() for group in group_results(measured)],
        "benchmarks": benchmark_scores(results),
        "figures": draw_figures(measured, figures) if figures is not None else None,
        "seconds": seconds,
    }


def benchmark_scores(results: Sequence[SetResult]) -> dict[str, float]:
    """Accuracy in percent by published column; "Avg", the mean of the five, stands there if all of them do."""
    scores = {}
    for result in results:
        column = column_of(result.name, result.pairs) if result.group is None else None
        if column is not None:
            scores[column] = 100 * result.accuracy.mean
    five = [scores[benchmark.column] for benchmark in BENCHMARKS if benchmark.column in scores]
    if len(five) == len(BENCHMARKS):
        scores["Avg"] = float(np.mean(five))
    return scores


def draw_figures(measured: Sequence[Measured], folder: Path) -> dict[str, Any]:
    """Draw the ROC of every set in one plot, and each set's scores; return the files' names by set."""
    curves = {
        entry.result.title: operating_curve(-entry.distances[entry.same], -entry.distances[~entry.same])
        for entry in measured
    }
    plot_roc(folder / ROC_FILE, curves, title="ROC")
    names = {}
    for number, entry in enumerate(measured):
        title = entry.result.title
        names[title] = f"scores-{number:02d}.png"
        # |a - b|^2 = 2 - 2 cos for vectors of length 1.
        cosines = 1.0 - entry.distances / 2
        plot_scores(
            folder / names[title],
            cosines[entry.same],
            cosines[~entry.same],
            threshold=1.0 - float(np.mean(entry.result.accuracy.thresholds)) / 2,
            title=title,
        )
    return {"roc": ROC_FILE, "scores": names}
