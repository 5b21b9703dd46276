"""What is asked of an attribute: an interval, and the words users write it in. No torch here.

Every form is an interval of accepted values: `30` is 30 within the attribute's tolerance, `30+-2` within 2, `>=20` and
`<=20` have one end, `10..20` two. Numbers are in the attribute's unit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vec2face.config.attributes import TARGET_FORMS, Point, read_target
from vec2face.errors import ConfigError


@dataclass(frozen=True)
class AttributeFacts:
    """What is known of an attribute and of how it is measured.

    Attributes:
        name: what users call it.
        unit: of its values.
        low, high: the range in which the measurement was validated; targets outside it are refused.
        tolerance: a deviation of this much is accepted where none is stated, and is one unit of its loss.
        error: mean absolute error on people held out, in the unit; None for a value that is true by definition, or
            where nobody has measured it.
    """

    name: str
    unit: str
    low: float
    high: float
    tolerance: float
    error: float | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(
                f"the attribute {self.name}: its range must have low below high, not {self.low:g} and more."
            )
        if not 0 < self.tolerance < math.inf:
            raise ConfigError(f"the attribute {self.name}: its tolerance must be positive, not {self.tolerance:g}.")


@dataclass(frozen=True)
class Target:
    """The values of an attribute that are accepted.

    Attributes:
        attribute: its name.
        low, high: ends of the interval, both accepted; infinite where there is none.
        margin: how far inside the interval is aimed, so that a sample does not stop short of its edge.
    """

    attribute: str
    low: float
    high: float
    margin: float

    def accepts(self, value: float) -> bool:
        """Whether a measured value is accepted; NaN never is."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"<={self.high:g}"
        return f">={self.low:g}" if math.isinf(self.high) else f"{self.low:g}..{self.high:g}"


def interval(facts: AttributeFacts, low: float = -math.inf, high: float = math.inf) -> Target:
    """Accept values from `low` to `high`; an end left out is open.

    The margin is half the tolerance, or less in an interval so narrow that its middle would be lost.

    Raises:
        ConfigError: low is above high, neither end is given, or one lies outside the attribute's measured range.
    """
    ends = [end for end in (low, high) if not math.isinf(end)]
    if not ends or any(math.isnan(end) for end in ends):
        raise ConfigError(f"the target of {facts.name} needs a number; write {TARGET_FORMS}.")
    if low > high:
        raise ConfigError(
            f"the target of {facts.name} asks for at least {low:g} and at most {high:g}; no value is both."
        )
    for end in ends:
        _require_in_range(facts, end)
    return Target(facts.name, low, high, min(facts.tolerance, (high - low) / 2) / 2)


def point(facts: AttributeFacts, value: float, tolerance: float | None = None) -> Target:
    """Accept values within `tolerance` (None: the attribute's) of `value`, which must lie in the measured range.

    Raises:
        ConfigError: the value lies outside the range, or the tolerance is not positive.
    """
    width = facts.tolerance if tolerance is None else tolerance
    if not 0 < width < math.inf:
        raise ConfigError(f"the tolerance of {facts.name} must be a positive number, not {width:g}.")
    _require_in_range(facts, value)
    return Target(facts.name, value - width, value + width, width / 2)


def parse_target(text: str, facts: AttributeFacts) -> Target:
    """Read a target as users write it; see the module's head.

    Raises:
        ConfigError: the text has none of the forms, contradicts itself, or asks for values outside the range.
    """
    asked = read_target(text, quoted=f"the target {facts.name}={text}")
    if isinstance(asked, Point):
        return point(facts, asked.value, asked.tolerance)
    return interval(facts, asked.low, asked.high)


def as_asked(text: str, facts: AttributeFacts) -> str:
    """Return a target that can be read in its shortest form, such as "40+-2.1".

    A tolerance that was left out is the attribute's, to two digits.
    """
    asked = read_target(text)
    if isinstance(asked, Point) and asked.tolerance is None:
        return f"{asked.value:.15g}+-{facts.tolerance:.2g}"
    return str(asked)


def split_assignments(pairs: Iterable[str]) -> dict[str, str]:
    """Read `name=spec` texts as {name: spec}.

    Raises:
        ConfigError: a text without a name or a spec, or an attribute that is named twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        # The first "=" that is no part of ">=" or "<=".
        name, sign, spec = (part.strip() for part in pair.partition("="))
        if not sign or not name or not spec or name.endswith((">", "<")):
            raise ConfigError(f"{pair!r} is not NAME=TARGET, such as yaw=-30 or 'brightness=>=120'.")
        if name in found:
            raise ConfigError(f"{name} is given two targets, {found[name]} and {spec}; keep one.")
        found[name] = spec
    return found


def require_known(names: Iterable[str], known: Mapping[str, object] | Iterable[str]) -> None:
    """Raise `ConfigError`, which lists the known attributes, unless every name is one of them."""
    listed = sorted(known)
    for name in names:
        if name not in listed:
            raise ConfigError(f"there is no attribute {name!r}; known: {', '.join(listed)}.")


def _require_in_range(facts: AttributeFacts, value: float) -> None:
    if not facts.low <= value <= facts.high:  # NaN fails too
        raise ConfigError(
            f"{facts.name} {value:g} lies outside the range in which it was validated, {facts.low:g} to {facts.high:g} "
            f"{facts.unit}; ask for a value inside it."
        )
