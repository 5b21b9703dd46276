"""From what a recipe asks of an attribute to a target for each image, by inverse distribution. No torch here."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist

from vec2face.config.attributes import Bins, Interval, Normal, Point, Request, Uniform
from vec2face.steering.targets import AttributeFacts, Target, interval, point

# Keeps a position inside (0, 1), where the inverse of a distribution is finite.
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Wanted:
    """What is asked of one image.

    Attributes:
        target: the values that are accepted.
        value: the one that was asked for; None where an interval was.
    """

    target: Target
    value: float | None


@dataclass(frozen=True)
class AttributeRequest:
    """What is asked of an attribute in a whole dataset.

    Attributes:
        facts: of the attribute.
        form: what is asked of its values.

    Raises:
        ConfigError: a value that is asked for lies outside the attribute's range.
    """

    facts: AttributeFacts
    form: Request

    def __post_init__(self) -> None:
        form = self.form
        for part in form.intervals if isinstance(form, Bins) else [form]:
            if isinstance(part, Interval):
                interval(self.facts, part.low, part.high)
            elif isinstance(part, Uniform):
                point(self.facts, part.low, part.tolerance)
                point(self.facts, part.high, part.tolerance)
            else:
                point(self.facts, part.mean if isinstance(part, Normal) else part.value, part.tolerance)

    def at(self, position: float) -> Wanted:
        """Return what is asked of the image at a position of the distribution, 0 to 1: its quantile."""
        form = self.form
        inside = min(max(position, _SMALLEST), 1 - _SMALLEST)
        if isinstance(form, Bins):
            form = form.intervals[bisect_right(list(accumulate(form.shares[:-1])), inside)]
        if isinstance(form, Interval):
            return Wanted(interval(self.facts, form.low, form.high), None)
        if isinstance(form, Point):
            value = form.value
        elif isinstance(form, Uniform):
            value = form.low + position * (form.high - form.low)
        else:
            value = _truncated(form, inside, self.facts)
        return Wanted(point(self.facts, value, form.tolerance), value)


def _truncated(form: Normal, position: float, facts: AttributeFacts) -> float:
    """Return a quantile of the normal distribution cut off at the ends of the attribute's range."""
    normal = NormalDist(form.mean, form.std)
    low, high = normal.cdf(facts.low), normal.cdf(facts.high)
    value = normal.inv_cdf(low + position * (high - low))
    return min(max(value, facts.low), facts.high)
