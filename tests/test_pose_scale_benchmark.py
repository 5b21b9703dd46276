"""The scale of yaw between instruments."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest


def test_the_slope_between_two_readings_is_one_over_itself_the_other_way(
    load_benchmark: Callable[[str], ModuleType],
) -> None:
    scale = load_benchmark("pose_scale")
    random = np.random.default_rng(0)
    truth = random.uniform(-40, 40, 400)
    first, second = truth + random.normal(0, 2, 400), 1.25 * truth + random.normal(0, 2.5, 400)
    there, back = scale.related(first, second), scale.related(second, first)
    assert there["slope"] == pytest.approx(1.25, abs=0.02)
    assert there["slope"] * back["slope"] == pytest.approx(1)
    assert there["correlation"] == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert there["spread"] == pytest.approx(np.std(second - first))
