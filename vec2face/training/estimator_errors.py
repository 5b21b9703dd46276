"""How far estimators are off on faces they never saw, all in all and over the range, beside a guess."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vec2face.config.estimators import EstimatedAttribute

BINS = 6
# The range that targets may have: between these percentiles of the held-out labels.
RANGE = (0.5, 99.5)


def held_out_errors(
    predicted: np.ndarray, true: np.ndarray, *, guess: float, stated: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Compare values with labels.

    Args:
        predicted, true: `(N,)` in the attribute's unit, 2 or more, labels that differ.
        guess: what a guess that looks at no face says: the median of the training labels.
        stated: the range that targets may have; None for the percentiles `RANGE` of the labels.

    Returns:
        `pictures`; `low`, `high` (ends of the range); `error` and `guess_error` (mean
        absolute); `bias` (mean of predicted - true); `rank_correlation` (Spearman; None where all
        predictions or all true values are equal, so that there are no ranks); and `bins`, equal parts of low..high,
        each with `from`, `to`, `pictures`, `error`, `bias` (None where a bin is empty).
    """
    from scipy.stats import spearmanr

    low, high = stated or (float(end) for end in np.percentile(true, RANGE))
    edges = np.linspace(low, high, BINS + 1)
    place = np.clip(np.searchsorted(edges, true, side="right") - 1, 0, BINS - 1)
    inside = (true >= low) & (true <= high)
    bins = []
    for index in range(BINS):
        off = (predicted - true)[inside & (place == index)]
        bins.append(
            {
                "from": float(edges[index]),
                "to": float(edges[index + 1]),
                "pictures": len(off),
                "error": float(np.abs(off).mean()) if len(off) else None,
                "bias": float(off.mean()) if len(off) else None,
            }
        )
    ranked = np.ptp(predicted) > 0 and np.ptp(true) > 0
    return {
        "pictures": len(true),
        "low": low,
        "high": high,
        "error": float(np.abs(predicted - true).mean()),
        "guess_error": float(np.abs(guess - true).mean()),
        "bias": float((predicted - true).mean()),
        "rank_correlation": float(spearmanr(predicted, true).statistic) if ranked else None,
        "bins": bins,
    }


def errors_table(attributes: Sequence[EstimatedAttribute], errors: dict[str, dict[str, Any]]) -> str:
    """Return the errors of all attributes as a Markdown table, a row a bin, for a model card."""
    lines = ["| attribute | range | pictures | error | bias | a guess |", "|---|---|---|---|---|---|"]
    for one in attributes:
        found = errors[one.name]
        whole = f"{found['low']:.3g} to {found['high']:.3g} {one.unit}"
        lines.append(
            f"| **{one.name}** | {whole} | {found['pictures']} | **{found['error']:.3g}** | {found['bias']:+.2g} | "
            f"{found['guess_error']:.3g} |"
        )
        for part in found["bins"]:
            measured = f"{part['error']:.3g} | {part['bias']:+.2g}" if part["pictures"] else "- | -"
            lines.append(f"| | {part['from']:.3g} to {part['to']:.3g} | {part['pictures']} | {measured} | |")
    return "\n".join(lines) + "\n"
