"""What a recipe asks of an attribute, as written: one target for every image, or a distribution of targets.

| written | asks |
|---|---|
| `30`, `30+-2` | 30 of every image, within the attribute's tolerance or the one given |
| `>=30`, `<=30`, `20..40` | any value there of every image |
| `uniform[-60, 60]` | a value of each image, spread evenly; `uniform[-60, 60]+-3` states the tolerance |
| `normal(0, 20)` | a value of each image, by mean and standard deviation, truncated to the attribute's range |
| `{18-30: .4, >=50: .6}` | one of several intervals of each image, by shares |

Numbers are in the attribute's unit, which is not known here: ranges are checked where the estimator is.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from vec2face.errors import ConfigError

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TOLERANCE = rf"(?:(?:\+-|±)(?P<tolerance>{_NUMBER}))?"
_POINT = re.compile(rf"(?P<value>{_NUMBER}){_TOLERANCE}")
_BOUND = re.compile(rf"(?P<side>>=|<=)(?P<value>{_NUMBER})")
_INTERVAL = re.compile(rf"(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})")
_HYPHENED = re.compile(rf"(?P<low>{_NUMBER})-(?P<high>{_NUMBER})")
_UNIFORM = re.compile(rf"uniform\[(?P<low>{_NUMBER}),(?P<high>{_NUMBER})\]{_TOLERANCE}")
_NORMAL = re.compile(rf"normal\((?P<mean>{_NUMBER}),(?P<std>{_NUMBER})\){_TOLERANCE}")
_BINS = re.compile(r"\{(?P<bins>.*)\}")

TARGET_FORMS = "30, 30+-2, >=30, <=30 or 20..40"
FORMS = "30, 30+-2, >=30, <=30, 20..40, uniform[-60, 60], normal(0, 20) or {18-30: .4, 30-50: .6}"


@dataclass(frozen=True)
class Point:
    """A value; a tolerance of None is the attribute's own."""

    value: float
    tolerance: float | None = None

    def __str__(self) -> str:
        return f"{_number(self.value)}{_written(self.tolerance)}"


@dataclass(frozen=True)
class Interval:
    """Values from `low` to `high`; infinite where there is no end."""

    low: float
    high: float

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"<={_number(self.high)}"
        low = _number(self.low)
        return f">={low}" if math.isinf(self.high) else f"{low}..{_number(self.high)}"


@dataclass(frozen=True)
class Uniform:
    """A value of each image, spread evenly from `low` to `high`."""

    low: float
    high: float
    tolerance: float | None = None

    def __str__(self) -> str:
        return f"uniform[{_number(self.low)}, {_number(self.high)}]{_written(self.tolerance)}"


@dataclass(frozen=True)
class Normal:
    """A value of each image from a normal distribution, truncated where the attribute's range ends."""

    mean: float
    std: float
    tolerance: float | None = None

    def __str__(self) -> str:
        return f"normal({_number(self.mean)}, {_number(self.std)}){_written(self.tolerance)}"


@dataclass(frozen=True)
class Bins:
    """An interval of each image, in proportion to weights; the intervals rise and do not overlap."""

    intervals: tuple[Interval, ...]
    weights: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """The weights, divided by their sum."""
        total = math.fsum(self.weights)
        return tuple(weight / total for weight in self.weights)

    def __str__(self) -> str:
        parts = zip(self.intervals, self.weights, strict=True)
        return f"{{{', '.join(f'{interval}: {_number(weight)}' for interval, weight in parts)}}}"


Request = Point | Interval | Uniform | Normal | Bins


def read_request(written: object) -> Request:
    """Read what is asked of an attribute, as text, a number, or a mapping of intervals to shares.

    Raises:
        ConfigError: it has none of the forms, or contradicts itself.
    """
    if isinstance(written, Mapping):
        return _bins(list(written.items()))
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        raise ConfigError(f"{written!r} cannot be read; write {FORMS}.")
    text = str(written).replace(" ", "")
    if found := _UNIFORM.fullmatch(text):
        low, high = float(found["low"]), float(found["high"])
        if not low < high:
            raise ConfigError(f"{written} spreads values from {low:g} to {high:g}; the first must be the lower one.")
        return Uniform(low, high, _tolerance(found, written))
    if found := _NORMAL.fullmatch(text):
        std = float(found["std"])
        if not std > 0:
            raise ConfigError(f"{written} has a standard deviation of {std:g}; it must be above 0.")
        return Normal(float(found["mean"]), std, _tolerance(found, written))
    if found := _BINS.fullmatch(text):
        pairs = [part.rpartition(":") for part in found["bins"].split(",") if part]
        return _bins([(name, share) for name, _, share in pairs])
    return read_target(str(written), forms=FORMS)


def read_target(written: str, *, quoted: str | None = None, forms: str = TARGET_FORMS) -> Point | Interval:
    """Read a target that is no distribution.

    Args:
        written: the text.
        quoted: how a message names it; None: as the text itself.
        forms: what a message says can be written.

    Raises:
        ConfigError: as `read_request`.
    """
    text, quoted = written.replace(" ", ""), written if quoted is None else quoted
    if found := _POINT.fullmatch(text):
        return Point(float(found["value"]), _tolerance(found, quoted))
    if found := _BOUND.fullmatch(text):
        value = float(found["value"])
        return Interval(value, math.inf) if found["side"] == ">=" else Interval(-math.inf, value)
    if found := _INTERVAL.fullmatch(text):
        return _interval(float(found["low"]), float(found["high"]), quoted)
    raise ConfigError(f"{quoted} cannot be read; write {forms}.")


def _tolerance(found: re.Match[str], written: object) -> float | None:
    if found["tolerance"] is None:
        return None
    tolerance = float(found["tolerance"])
    if not 0 < tolerance < math.inf:
        raise ConfigError(f"{written} has a tolerance of {tolerance:g}; it must be above 0.")
    return tolerance


def _interval(low: float, high: float, written: object) -> Interval:
    if low > high:
        raise ConfigError(f"{written} asks for at least {low:g} and at most {high:g}; no value is both.")
    return Interval(low, high)


def _bins(items: list[tuple[object, object]]) -> Bins:
    found: list[tuple[Interval, float]] = []
    for name, share in items:
        if hyphened := _HYPHENED.fullmatch(str(name).replace(" ", "")):
            interval: Point | Interval = _interval(float(hyphened["low"]), float(hyphened["high"]), name)
        else:
            interval = read_target(str(name), forms="18-30, 18..30, >=50 or <=18")
        if isinstance(interval, Point) or interval.low == interval.high:
            raise ConfigError(f"{name} is no interval to give a share to; write 18-30, 18..30, >=50 or <=18.")
        try:
            weight = float(share)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ConfigError(f"the share of {name} must be a number above 0, not {share!r}.") from None
        if not 0 < weight < math.inf:
            raise ConfigError(f"the share of {name} must be a number above 0, not {weight:g}.")
        found.append((interval, weight))
    if not found:
        raise ConfigError("{} has no intervals; write them with their shares, such as {18-30: .4, 30-50: .6}.")
    found.sort(key=lambda one: one[0].low)
    for (first, _), (second, _) in pairwise(found):
        if second.low < first.high:
            raise ConfigError(f"the intervals {first} and {second} overlap; a value may belong to one of them only.")
    return Bins(tuple(one for one, _ in found), tuple(weight for _, weight in found))


def _written(tolerance: float | None) -> str:
    return "" if tolerance is None else f"+-{_number(tolerance)}"


def _number(value: float) -> str:
    # As it was written, so that what is recorded reads as the same request again.
    return f"{value:.15g}"
