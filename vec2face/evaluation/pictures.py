"""Distributions of what is seen in the pictures: light, sharpness, pose, age; how much of it varies within a person.

Also which pictures are too poor to use, how identities are divided over groups, and how far measured attributes are
from requested ones.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vec2face.errors import DatasetError
from vec2face.evaluation.embeddings import EmbeddedImages
from vec2face.evaluation.people import People
from vec2face.evaluation.traits import Traits

Values = NDArray[np.floating]

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 24
PROBABILITY = "probability"
"""Unit of an attribute that says how likely a picture belongs to a group."""


@dataclass(frozen=True)
class PoorBounds:
    """Values that make a picture too poor: below `low` or above `high`, in the trait's unit."""

    trait: str
    low: float
    high: float
    reason: str


# Conventions. Of 300 photographs of LFW the least sharp has 3.8 grey levels, brightness lies in 59..170 and contrast in
# 26..86; blurred by a Gaussian of 3 pixels, none is sharper than 2.6. Quality is the percentage of the identity that a
# recogniser still sees.
POOR = (
    PoorBounds("sharpness", 3.0, np.inf, "blurred"),
    PoorBounds("brightness", 30.0, 225.0, "too dark or too bright"),
    PoorBounds("contrast", 12.0, np.inf, "flat"),
    PoorBounds("quality", 50.0, np.inf, "hardly recognisable"),
)
# A yaw in degrees from which a face looks to a side, and how many such faces it takes to speak of sides.
TURNED, FEWEST_TURNED = 10.0, 20


def poor_pictures(traits: Traits) -> dict[int, list[str]]:
    """Return position -> what is wrong, of pictures that are too poor."""
    found: dict[int, list[str]] = {}
    for bound in POOR:
        if bound.trait in traits.values:
            values = traits.values[bound.trait]
            for place in np.flatnonzero((values < bound.low) | (values > bound.high)).tolist():
                found.setdefault(place, []).append(f"{bound.reason} ({bound.trait} {values[place]:.3g})")
    return dict(sorted(found.items()))


def sidedness(traits: Traits) -> dict[str, Any] | None:
    """Which side turned faces look to: {"turned", "left", "share"}; None where yaw is not measured.

    `left` is the share of turned faces (beyond `TURNED` degrees) with a positive yaw, nose towards the image's left;
    `share` is that of the larger side, None with fewer than `FEWEST_TURNED` turned faces.
    """
    if "yaw" not in traits.values:
        return None
    yaw = traits.values["yaw"]
    left, right = int((yaw > TURNED).sum()), int((yaw < -TURNED).sum())
    turned = left + right
    larger = max(left, right) / turned if turned >= FEWEST_TURNED else None
    return {"turned": turned, "left": left / turned if turned else None, "share": larger}


def trait_facts(traits: Traits, people: People) -> dict[str, Any]:
    """Distribution of each trait over all images, and its standard deviation within a person (None: single images)."""
    return {
        name: {
            "unit": traits.units[name],
            "error": traits.errors[name],
            "mean": float(values.mean(dtype=np.float64)),
            "std": float(values.std(dtype=np.float64)),
            "within_identity_std": _within(values, people),
            "quantiles": {f"q{100 * q:g}": float(np.quantile(values, q)) for q in QUANTILES},
            "histogram": _histogram(values),
        }
        for name, values in traits.values.items()
    }


def group_facts(traits: Traits, people: People) -> dict[str, Any]:
    """How identities, by the mean of their images, are divided by each probability that was measured.

    The estimators' errors on held-out faces stand beside, for a share is no more certain than they are. `corrected` is
    the share that would be counted so if it erred here as there (Rogan and Gladen, 1978): (counted - mistaken) /
    (1 - missed - mistaken), within 0 and 1. The errors are of single images, so for this images are counted, each
    identity weighing the same. Estimators judge what a picture looks like to a network and say nothing of how anybody
    describes themselves.
    """
    found: dict[str, Any] = {}
    for name, values in traits.values.items():
        if traits.units[name] != PROBABILITY:
            continue
        means = np.add.reduceat(values.astype(np.float64), people.starts[:-1]) / people.counts
        shares = {name: float((means >= 0.5).mean()), f"not {name}": float((means < 0.5).mean())}
        found[name] = {"shares": shares, "unit": traits.units[name], "error": traits.errors[name]}
        if name in traits.misjudged:
            missed, mistaken = traits.misjudged[name]
            counted = np.add.reduceat((values >= 0.5).astype(np.float64), people.starts[:-1]) / people.counts
            found[name] |= {
                "missed": missed,
                "mistaken": mistaken,
                "corrected": _corrected(float(counted.mean()), missed, mistaken),
            }
    return found


def requested_facts(path: Path, traits: Traits, embedded: EmbeddedImages) -> dict[str, Any]:
    """Compare what was asked of each image, columns `requested_NAME` of the table, with what is measured now.

    Raises:
        DatasetError: the table cannot be read.
    """
    try:
        with pq.ParquetFile(path) as table:
            names = [name for name in table.schema_arrow.names if name.startswith("requested_")]
            wanted = [name for name in names if name.removeprefix("requested_") in traits.values]
            numeric = [name for name in wanted if pa.types.is_floating(table.schema_arrow.field(name).type)]
            rows = table.read(columns=["identity", "image", *numeric]) if numeric else None
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path} is damaged ({reason}); remove it and generate the dataset again.") from None
    if rows is None:
        return {}
    keys = (rows["identity"].to_numpy().astype(np.int64) << 32) | rows["image"].to_numpy()
    own = (embedded.identity.astype(np.int64) << 32) | embedded.image
    order = np.argsort(keys)
    at = order[np.searchsorted(keys[order], own).clip(max=len(keys) - 1)]
    found = {}
    for column in numeric:
        name = column.removeprefix("requested_")
        asked = rows[column].to_numpy(zero_copy_only=False).astype(np.float64)[at]
        known = np.isfinite(asked) & (keys[at] == own)
        if known.any():
            found[name] = _compared(asked[known], traits.values[name][known].astype(np.float64), traits, name)
    return found


def _compared(asked: Values, seen: Values, traits: Traits, name: str) -> dict[str, Any]:
    both = np.sort(np.concatenate([asked, seen]))
    below = [np.searchsorted(np.sort(side), both, side="right") / len(side) for side in (asked, seen)]
    return {
        "unit": traits.units[name],
        "images": len(asked),
        "mean_absolute_difference": float(np.abs(asked - seen).mean()),
        "mean_difference": float((seen - asked).mean()),
        "largest_share_misplaced": float(np.abs(below[0] - below[1]).max()),
        "requested": {f"q{100 * q:g}": float(np.quantile(asked, q)) for q in QUANTILES},
        "measured": {f"q{100 * q:g}": float(np.quantile(seen, q)) for q in QUANTILES},
        "estimator_error": traits.errors[name],
    }


def _corrected(counted: float, missed: float, mistaken: float) -> float | None:
    told = 1.0 - missed - mistaken
    return min(1.0, max(0.0, (counted - mistaken) / told)) if told > 0 else None


def _within(values: Values, people: People) -> float | None:
    """Root mean square deviation from each person's own mean, of people with two images or more, unbiased."""
    several = people.counts >= 2
    if not several.any():
        return None
    wide = values.astype(np.float64)
    means = np.add.reduceat(wide, people.starts[:-1]) / people.counts
    squares = np.add.reduceat(np.square(wide - np.repeat(means, people.counts)), people.starts[:-1])
    return float(np.sqrt(squares[several].sum() / (people.counts[several] - 1).sum()))


def _histogram(values: Values) -> dict[str, list[float] | list[int]]:
    low, high = (float(end) for end in np.quantile(values, (0.001, 0.999)))
    if high <= low:
        high = low + 1.0
    counts, edges = np.histogram(np.clip(values, low, high), bins=BINS, range=(low, high))
    return {"edges": [float(edge) for edge in edges], "counts": [int(count) for count in counts]}
