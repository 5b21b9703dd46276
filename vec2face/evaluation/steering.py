"""What a steered dataset was asked to measure, and what it measures: distributions of each attribute, from its table.

The values are those of the estimators that steered, on the pictures as they were written: how far the generator was
brought, not how right the estimators are.

`facts["steering"]` of an audit:

    images, kept      asked for, and in the dataset
    statuses          images by status: converged, capped, rejected
    redrawn           images whose first draw was given up
    passes, gradients through the generator and back, for each converged image
    attributes        a list: name, unit, asked (as in the recipe), tolerance, error (the estimator's; null: not known),
                      met: share of kept images that measure what was asked of them,
                      requested, measured: {"min", "q10", "q50", "q90", "max"}; requested is null for intervals,
                      distance: greatest difference of the two cumulative distributions (Kolmogorov-Smirnov), or null,
                      bins: [{"interval", "asked", "measured"}], shares of images by interval, or null
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vec2face.config.attributes import Interval
from vec2face.errors import DatasetError
from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.plots import plot_requested

_QUANTILES = {"min": 0.0, "q10": 0.1, "q50": 0.5, "q90": 0.9, "max": 1.0}
_STATUSES = ("converged", "capped", "rejected")

Values = NDArray[np.float64]


@dataclass(frozen=True)
class SteeredAttribute:
    """One attribute of N images.

    Attributes:
        described: its facts and what was asked, as in `dataset.json`.
        requested: (N,) values asked for; NaN where an interval was.
        low, high: (N,) accepted values; infinite where there is no end.
        measured: (N,) of the delivered pictures; NaN where there is none.
        kept: (N,) bool, whether the image is in the dataset.
    """

    described: Mapping[str, Any]
    requested: Values
    low: Values
    high: Values
    measured: Values
    kept: NDArray[np.bool_]

    @property
    def by_value(self) -> bool:
        """Whether values were asked for, rather than intervals."""
        return bool(np.isfinite(self.requested).all())

    def facts(self) -> dict[str, Any]:
        """Return what `facts["steering"]["attributes"]` says of it."""
        seen = self.measured[self.kept]
        met = (seen >= self.low[self.kept]) & (seen <= self.high[self.kept])
        return {
            **{key: self.described[key] for key in ("name", "unit", "asked", "tolerance", "error")},
            "met": float(met.mean()) if len(seen) else None,
            "requested": _quantiles(self.requested) if self.by_value else None,
            "measured": _quantiles(seen),
            "distance": greatest_difference(self.requested, seen) if self.by_value and len(seen) else None,
            "bins": None if self.by_value else self._bins(seen),
        }

    def _bins(self, seen: Values) -> list[dict[str, Any]]:
        asked = np.stack([self.low, self.high], axis=1)
        intervals, counts = np.unique(asked, axis=0, return_counts=True)
        return [
            {
                "interval": str(Interval(float(low), float(high))),
                "asked": float(count / len(asked)),
                "measured": float(((seen >= low) & (seen <= high)).mean()) if len(seen) else None,
            }
            for (low, high), count in zip(intervals, counts, strict=True)
        ]


@dataclass(frozen=True)
class SteeringMeasurement:
    """What the table of a steered dataset says.

    Attributes:
        attributes: in the recipe's order.
        statuses: (N,) of every image.
        passes, gradients, redraws: (N,) whole numbers.
    """

    attributes: tuple[SteeredAttribute, ...]
    statuses: NDArray[np.str_]
    passes: NDArray[np.int64]
    gradients: NDArray[np.int64]
    redraws: NDArray[np.int64]

    def facts(self) -> dict[str, Any]:
        """Return `facts["steering"]`."""
        converged = int((self.statuses == "converged").sum())
        return {
            "images": len(self.statuses),
            "kept": int(self.attributes[0].kept.sum()),
            "statuses": {name: int((self.statuses == name).sum()) for name in _STATUSES},
            "redrawn": int((self.redraws > 0).sum()),
            "passes": float(self.passes.sum() / converged) if converged else None,
            "gradients": float(self.gradients.sum() / converged) if converged else None,
            "attributes": [one.facts() for one in self.attributes],
        }

    def draw(self, report: Path) -> list[dict[str, Any]]:
        """Plot each attribute into the report folder; described as by `figures.draw_figures`. Raises `StorageError`."""
        figures = []
        for number, one in enumerate(self.attributes):
            if not one.kept.any():
                continue
            name, path = one.described["name"], report / f"attribute-{number}.png"
            if one.by_value:
                asked: Values | list[tuple[float, float]] = one.requested
            else:
                asked = sorted(set(zip(one.low.tolist(), one.high.tolist(), strict=True)))
            label = f"{name}, {one.described['unit']}"
            plot_requested(path, one.measured[one.kept], asked, label=label, title=f"{name}: asked for and measured")
            caption = f"What the recipe asks ({one.described['asked']}) and what the steering estimator measures."
            title = f"{name}, in {one.described['unit']}"
            figures.append({"file": path.name, "kind": "attributes", "title": title, "caption": caption})
        return figures


def measure_steering(reader: DatasetReader) -> SteeringMeasurement | None:
    """Read the steered columns of a dataset's table; None for a dataset without attributes.

    Raises:
        DatasetError: the table or the description is damaged.
    """
    described = reader.description.get("steering")
    if described is None:
        return None
    try:
        attributes = described["attributes"]
        columns = ["status", "steering", "steering_passes", "steering_gradients", "redraws"]
        parts = ("requested_{}", "requested_{}_low", "requested_{}_high", "measured_{}")
        columns += [part.format(one["name"]) for one in attributes for part in parts]
        table = pq.read_table(reader.metadata_path, columns=columns)
        kept = table["status"].to_numpy() == "kept"
        return SteeringMeasurement(
            attributes=tuple(_attribute(table, one, kept) for one in attributes),
            statuses=table["steering"].to_numpy().astype(str),
            passes=table["steering_passes"].to_numpy().astype(np.int64),
            gradients=table["steering_gradients"].to_numpy().astype(np.int64),
            redraws=table["redraws"].to_numpy().astype(np.int64),
        )
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"{reader.metadata_path} does not say how images were steered ({reason}); generate the dataset again to "
            "mend it."
        ) from None


def greatest_difference(first: Values, second: Values) -> float:
    """Return the Kolmogorov-Smirnov statistic of two samples: sup |F1 - F2|, 0 to 1."""
    places = np.concatenate([first, second])
    cumulative = [np.searchsorted(np.sort(one), places, side="right") / len(one) for one in (first, second)]
    return float(np.abs(cumulative[0] - cumulative[1]).max())


def _attribute(table: pa.Table, described: Mapping[str, Any], kept: NDArray[np.bool_]) -> SteeredAttribute:
    def column(name: str, missing: float) -> Values:
        values = table[name].to_numpy().astype(np.float64)
        return np.where(np.isnan(values), missing, values)

    name = described["name"]
    return SteeredAttribute(
        described=described,
        requested=column(f"requested_{name}", np.nan),
        low=column(f"requested_{name}_low", -np.inf),
        high=column(f"requested_{name}_high", np.inf),
        measured=column(f"measured_{name}", np.nan),
        kept=kept,
    )


def _quantiles(values: Values) -> dict[str, float] | None:
    if not len(values):
        return None
    return {name: float(np.quantile(values, share)) for name, share in _QUANTILES.items()}
