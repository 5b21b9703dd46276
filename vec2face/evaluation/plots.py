"""Plots of audits and evaluations as PNG files, drawn without pyplot, so that no global state is touched."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.rates import OperatingCurve
from vec2face.fileio.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GENUINE = "#1f77b4"
IMPOSTOR = "#c8553d"
INK = "#22262b"
SIZE = (5.8, 3.4)  # inches
DPI = 160
# In plots over sizes: the factor between the places of two sets, and the share of the axis that a label takes.
_BESIDE = 1.02
_LABEL_WIDTH = 0.12
BINS = 120
ROC_POINTS = 2000


def plot_scores(
    path: Path,
    genuine: NDArray[np.floating],
    impostor: NDArray[np.floating],
    *,
    threshold: float,
    title: str,
) -> None:
    """Densities of same-person and different-person cosines, with a line at the threshold. Raises `StorageError`."""
    figure, axes = _axes(title)
    genuine, impostor = np.minimum(genuine, 1.0), np.minimum(impostor, 1.0)  # rounding may reach beyond
    everything = np.concatenate([genuine, impostor])
    edges = np.linspace(min(-0.2, float(everything.min())), 1.0, BINS + 1)
    for scores, color, label in ((impostor, IMPOSTOR, "different people"), (genuine, GENUINE, "same person")):
        axes.hist(
            scores, bins=edges.tolist(), density=True, color=color, alpha=0.62, label=f"{label} ({len(scores):,} pairs)"
        )
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set_xlabel("cosine similarity")
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=8.5)
    _save(figure, path)


def plot_nearest(
    path: Path,
    dataset: NDArray[np.floating],
    strangers: NDArray[np.floating],
    *,
    threshold: float | None,
    title: str,
) -> None:
    """Densities of the cosine to the nearest real face: of a dataset's images and of real strangers'.

    Args:
        strangers: may be none.
        threshold: the limit of a likeness; None where there is none.

    Raises:
        StorageError: the file cannot be written.
    """
    figure, axes = _axes(title)
    dataset, strangers = np.minimum(dataset, 1.0), np.minimum(strangers, 1.0)
    low = float(np.concatenate([dataset, strangers, [0.95 if threshold is None else threshold - 0.05]]).min())
    edges = np.linspace(low, 1.0, BINS // 2 + 1)
    for scores, color, label in ((strangers, IMPOSTOR, "real strangers"), (dataset, GENUINE, "the dataset")):
        if not len(scores):
            continue
        label = f"{label} ({len(scores):,} images)"
        axes.hist(scores, bins=edges.tolist(), density=True, color=color, alpha=0.62, label=label)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"limit {threshold:.3g}")
    axes.set_xlabel("cosine to the nearest real face")
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=8.5)
    _save(figure, path)


def plot_by_sigma(path: Path, cosines: NDArray[np.floating], sigma: NDArray[np.floating], *, title: str) -> None:
    """Cosine of each image to its identity's vector, a histogram for each strength. Raises `StorageError`."""
    import matplotlib

    figure, axes = _axes(title)
    cosines = np.minimum(cosines, 1.0)  # rounding may reach beyond
    strengths = np.unique(sigma)
    colors = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.8, len(strengths)))
    low = min(0.0, float(cosines.min()))
    edges = np.linspace(low, 1.0, BINS // 2 + 1)
    for strength, color in zip(strengths, colors, strict=True):
        chosen = cosines[sigma == strength]
        label = f"sigma {strength:.3g}: mean {chosen.mean():.3f} ({len(chosen):,} images)"
        axes.hist(chosen, bins=edges.tolist(), density=True, histtype="step", linewidth=1.6, color=color, label=label)
    axes.set_xlabel("cosine of the image's embedding to its identity's vector")
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    _save(figure, path)


def plot_requested(
    path: Path,
    measured: NDArray[np.floating],
    asked: NDArray[np.floating] | Sequence[tuple[float, float]],
    *,
    label: str,
    title: str,
) -> None:
    """Distribution of an attribute's measured values beside the one asked for.

    Args:
        measured: values of the images in the dataset, in the attribute's unit.
        asked: the values asked for, or the accepted intervals, which may be open (infinite).
        label: name and unit of the attribute.

    Raises:
        StorageError: the file cannot be written.
    """
    figure, axes = _axes(title)
    values = None if isinstance(asked, Sequence) else asked
    shown = measured if values is None else np.concatenate([measured, values])
    bars = int(np.clip(np.sqrt(len(measured)), 5, BINS // 3))
    edges = np.linspace(float(shown.min()), float(shown.max()) + 1e-6, bars + 1)
    axes.hist(measured, bins=edges.tolist(), density=True, color=GENUINE, alpha=0.62, label="measured")
    if values is not None:
        axes.hist(
            values, bins=edges.tolist(), density=True, histtype="step", linewidth=1.8, color=IMPOSTOR, label="asked for"
        )
    elif isinstance(asked, Sequence):
        for number, (low, high) in enumerate(asked):
            ends = (max(low, float(edges[0])), min(high, float(edges[-1])))
            axes.axvspan(*ends, color=IMPOSTOR, alpha=0.14, label="" if number else "accepted")
    axes.set_xlabel(label)
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=8.5)
    _save(figure, path)


def plot_roc(path: Path, curves: Mapping[str, OperatingCurve], *, title: str) -> None:
    """True against false accept rate of each named set, the latter logarithmic. Raises `StorageError`."""
    import matplotlib

    figure, axes = _axes(title)
    colors = matplotlib.colormaps["viridis"](np.linspace(0.05, 0.85, len(curves)))
    lowest = min(1.0 / curve.impostor for curve in curves.values())
    for (name, curve), color in zip(curves.items(), colors, strict=True):
        # Zero has no place on a logarithmic axis, and a curve of millions of pairs has more points than the picture.
        targets = np.geomspace(1.0 / curve.impostor, 1.0, ROC_POINTS)
        shown = np.unique(np.searchsorted(curve.fmr, targets * (1 + 1e-9), side="right") - 1)
        shown = shown[curve.fmr[shown] > 0]
        axes.step(curve.fmr[shown], 1.0 - curve.fnmr[shown], where="post", color=color, linewidth=1.6, label=name)
    axes.set_xscale("log")
    axes.set_xlim(lowest, 1.0)
    axes.set_xlabel("false accept rate")
    axes.set_ylabel("true accept rate")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    _save(figure, path)


def plot_cmc(path: Path, rates: NDArray[np.floating], *, title: str) -> None:
    """Share of probes (R,) whose person is among the first 1 to R of the gallery. Raises `StorageError`."""
    figure, axes = _axes(title)
    axes.plot(np.arange(1, len(rates) + 1), rates, color=GENUINE, linewidth=1.6)
    axes.set_xscale("log")
    axes.set_xlabel("rank")
    axes.set_ylabel("share of probes identified")
    _save(figure, path)


def plot_comparison(path: Path, values: Mapping[str, tuple[float, bool]], *, label: str) -> None:
    """Bars of figures in percent by name, highest first, each with whether it is ours. Raises `StorageError`."""
    from matplotlib.figure import Figure

    ranked = sorted(values.items(), key=lambda entry: entry[1][0])
    figure = Figure(figsize=(SIZE[0] + 1, 0.9 + 0.19 * len(ranked)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    names = [name for name, _ in ranked]
    scores = [score for _, (score, _) in ranked]
    axes.barh(names, scores, color=[IMPOSTOR if ours else GENUINE for _, (_, ours) in ranked], height=0.7)
    for place, score in enumerate(scores):
        axes.text(score, place, f" {score:.2f}", va="center", fontsize=7, color=INK)
    low = min(scores)
    axes.set_xlim(low - 0.08 * (100 - low) - 1, 100.5)
    axes.set_xlabel(f"{label}, %")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


@dataclass(frozen=True)
class SizedAccuracy:
    """A point of an accuracy curve: verification set, images trained on, accuracy and its interval, in [0, 1]."""

    name: str
    images: int
    accuracy: float
    low: float
    high: float


def plot_accuracy_by_size(path: Path, points: Sequence[SizedAccuracy], *, title: str) -> None:
    """Accuracy on each set against the number of images trained on, with intervals. Raises `StorageError`."""
    figure, axes = _axes(title)
    names = list(dict.fromkeys(point.name for point in points))
    for place, (name, color) in enumerate(zip(names, [GENUINE, IMPOSTOR, INK] * len(names), strict=False)):
        own = sorted((point for point in points if point.name == name), key=lambda point: point.images)
        beside = _BESIDE ** (place - (len(names) - 1) / 2)  # or intervals of different sets would hide each other
        sizes = [point.images * beside for point in own]
        values = np.array([[point.accuracy, point.low, point.high] for point in own]).T * 100
        bars = np.maximum(np.stack([values[0] - values[1], values[2] - values[0]]), 0)
        axes.errorbar(sizes, values[0], yerr=bars, fmt="o", color=color, markersize=4, capsize=2, linewidth=1.0)
        at = sorted(set(sizes))
        means = [float(np.mean([v for size, v in zip(sizes, values[0], strict=True) if size == one])) for one in at]
        axes.plot(at, means, color=color, linewidth=1.6, label=name)
    axes.set_xscale("log")
    ticks = _apart(sorted({point.images for point in points}))
    axes.set_xticks(ticks, [f"{images:,}" for images in ticks])
    axes.minorticks_off()
    axes.set_xlabel("images trained on")
    axes.set_ylabel("accuracy, %")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    _save(figure, path)


def _apart(sizes: Sequence[int]) -> list[int]:
    """Of rising sizes, those whose labels have room beside the one before."""
    kept = list(sizes[:1])
    for size in sizes[1:]:
        if size / kept[-1] >= (sizes[-1] / sizes[0]) ** _LABEL_WIDTH:
            kept.append(size)
    return kept


def _axes(title: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, loc="left", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})
    write_bytes(path, stream.getvalue())
