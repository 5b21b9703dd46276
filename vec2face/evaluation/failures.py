"""Which identities fail an audit, each by itself, and why: what `vec2face generate --repair` draws again.

`report/failed_identities.json` is a JSON object:

    format       version of this layout
    fingerprint  of the dataset that was judged
    judges       name, sha256 and threshold of each embedder
    identities   identity and reasons of each that fails, in rising order
    real_faces   what the dataset was last compared with: against and strangers (paths), leak_rate; null for nothing.
                 Who takes somebody's place is to be compared with the same faces, so an audit without them keeps this

An identity fails where it alone would not pass a check of the whole dataset, so a dataset without failed identities
passes these checks. Of two that look alike the later one fails; that images of the first are taken for it is not held
against the first, which is alone once the other is gone.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.config.audit import AuditOptions
from vec2face.errors import DatasetError
from vec2face.evaluation.measure import Measurement
from vec2face.evaluation.verdict import LIMITS
from vec2face.fileio.location import is_url

FORMAT = 1
FILE_NAME = "failed_identities.json"

NOT_UNIQUE = "not unique"
INCONSISTENT = "inconsistent"
NEARER_TO_ANOTHER = "images nearer to another identity"
NOT_ITS_VECTOR = "images nearer to another vector"
REJECTED = "rejected images"

_GOOD = {limit.path: limit.good for limit in LIMITS}


@dataclass(frozen=True)
class RealFaceCheck:
    """With which real faces a dataset was compared, and how.

    Attributes:
        against: the references, as absolute paths or URLs.
        strangers: the set whose people set the limits; None where the references' own did.
        leak_rate: see `AuditOptions`.
    """

    against: tuple[str, ...]
    strangers: str | None
    leak_rate: float

    @classmethod
    def of(cls, options: AuditOptions) -> "RealFaceCheck | None":
        """The check that options ask for; None for none."""
        if not options.against:
            return None
        strangers = None if options.strangers is None else _absolute(options.strangers)
        return cls(tuple(map(_absolute, options.against)), strangers, options.leak_rate)

    def options(self, given: AuditOptions) -> AuditOptions:
        """Return options that make this check beside what is given."""
        return given.model_copy(update=asdict(self))


def _absolute(source: str) -> str:
    return source if is_url(source) else str(Path(source).absolute())


def failures_of(measurement: Measurement) -> dict[int, list[str]]:
    """Return identity -> reasons for one embedder's view."""
    people, images = measurement.people, measurement.images
    own = np.repeat(np.arange(len(people)), people.counts)
    double = np.zeros(len(people), bool) if measurement.centres is None else ~measurement.centres.unique
    failing = {
        NOT_UNIQUE: double,
        INCONSISTENT: _below(
            images.to_centre >= measurement.threshold,
            ~np.isnan(images.to_centre),
            measurement,
            ("consistency", "share_at_threshold"),
        ),
        NEARER_TO_ANOTHER: _below(
            (images.nearest == own) | double[images.nearest],
            images.nearest >= 0,
            measurement,
            ("separation", "nearest_is_own_share"),
        ),
    }
    if measurement.vector_rank_one is not None:
        nearest = measurement.vector_rank_one
        failing[NOT_ITS_VECTOR] = _below(
            (nearest == measurement.embedded.identity) | np.isin(nearest, people.identities[double]),
            nearest >= 0,
            measurement,
            ("to_vector", "nearest_is_own_share"),
        )
    found: dict[int, list[str]] = {}
    for reason, people_failing in failing.items():
        for person in np.flatnonzero(people_failing):
            found.setdefault(int(people.identities[person]), []).append(reason)
    return found


def failed_identities(
    *,
    fingerprint: str,
    judges: Iterable[Mapping[str, Any]],
    measurements: Iterable[Measurement],
    images: NDArray[np.integer],
    planned: int,
    others: Mapping[int, Iterable[str]],
    real_faces: RealFaceCheck | None = None,
) -> dict[str, Any]:
    """Return the content of `failed_identities.json`.

    Args:
        fingerprint: of the dataset.
        judges: facts of each embedder: "name", "sha256", "threshold".
        measurements: theirs.
        images: (B,) kept images of each identity.
        planned: images each should have.
        others: identity -> what else is held against it.
        real_faces: what the dataset was compared with, now or at last.
    """
    reasons: dict[int, list[str]] = {}
    for found in (
        *(failures_of(measurement) for measurement in measurements),
        {int(identity): [REJECTED] for identity in np.flatnonzero(images < planned)},
        others,
    ):
        for identity, held in found.items():
            reasons.setdefault(identity, []).extend(reason for reason in held)
    return {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "judges": [
            {"name": judge["name"], "sha256": judge["sha256"], "threshold": judge["threshold"]["value"]}
            for judge in judges
        ],
        "identities": [
            {"identity": identity, "reasons": list(dict.fromkeys(reasons[identity]))} for identity in sorted(reasons)
        ],
        "real_faces": None if real_faces is None else asdict(real_faces) | {"against": list(real_faces.against)},
    }


def read_failed(report: Path) -> dict[str, Any]:
    """Read `failed_identities.json` in a report folder. Raises `DatasetError` if it is missing or damaged."""
    path = report / FILE_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] == FORMAT and {"fingerprint", "judges", "identities"} <= set(found):
            return dict(found)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise DatasetError(f"{path} is missing or damaged; run `vec2face audit` on the dataset.")


def read_real_faces(report: Path) -> RealFaceCheck | None:
    """Read from a report folder what the dataset was last compared with; None where nothing says so."""
    try:
        found = json.loads((report / FILE_NAME).read_text(encoding="utf-8"))["real_faces"]
        strangers = found["strangers"]
        against = tuple(str(source) for source in found["against"])
        return RealFaceCheck(against, strangers and str(strangers), float(found["leak_rate"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, of an earlier version, or compared with nothing


def _below(
    hits: NDArray[np.bool_], counted: NDArray[np.bool_], measurement: Measurement, limit: tuple[str, str]
) -> NDArray[np.bool_]:
    """(K,) people of whose counted images a smaller share hits than is good; False where none is counted."""
    starts = measurement.people.starts[:-1]
    totals = np.add.reduceat(counted.astype(np.int64), starts)
    shares = np.add.reduceat((hits & counted).astype(np.int64), starts) / np.maximum(totals, 1)
    below: NDArray[np.bool_] = (totals > 0) & (shares < _GOOD[limit])
    return below
