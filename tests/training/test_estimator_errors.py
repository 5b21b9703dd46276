"""Held-out errors, against a slow obvious version."""

import numpy as np
import pytest
from scipy.stats import rankdata

from vec2face.config.estimators import EstimatedAttribute
from vec2face.training.estimator_errors import BINS, errors_table, held_out_errors

AGE = EstimatedAttribute(name="age", unit="years", centre=30, spread=10, low=0, high=90, tolerance=5)


def test_errors_agree_with_a_slow_version() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(30, 12, 400)
    predicted = true + rng.normal(1, 4, 400)
    found = held_out_errors(predicted, true, guess=28.0)
    assert found["error"] == pytest.approx(sum(abs(p - t) for p, t in zip(predicted, true, strict=True)) / 400)
    assert found["guess_error"] == pytest.approx(sum(abs(28 - t) for t in true) / 400)
    assert found["bias"] == pytest.approx(sum(predicted - true) / 400)
    ranks = np.corrcoef(rankdata(predicted), rankdata(true))[0, 1]
    assert found["rank_correlation"] == pytest.approx(ranks)
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(true, [0.5, 99.5])))
    width = (found["high"] - found["low"]) / BINS
    for number, part in enumerate(found["bins"]):
        start, last = found["low"] + number * width, number == BINS - 1
        rows = [i for i, t in enumerate(true) if start <= t < start + width or (last and t == found["high"])]
        assert part["pictures"] == len(rows)
        assert part["error"] == pytest.approx(np.mean([abs(predicted[i] - true[i]) for i in rows]))
        assert part["bias"] == pytest.approx(np.mean([predicted[i] - true[i] for i in rows]))
    assert sum(part["pictures"] for part in found["bins"]) == ((true >= found["low"]) & (true <= found["high"])).sum()


def test_the_table_has_a_row_a_bin_and_says_where_there_was_no_face() -> None:
    true = np.array([0.0] * 10 + [60.0] * 10)
    table = errors_table([AGE], {"age": held_out_errors(true + 2, true, guess=30.0)})
    rows = table.splitlines()
    assert len(rows) == 3 + BINS
    assert rows[2] == "| **age** | 0 to 60 years | 20 | **2** | +2 | 30 |"
    assert rows[3] == "| | 0 to 10 | 10 | 2 | +2 | |"
    assert rows[4] == "| | 10 to 20 | 0 | - | - | |"


def test_a_network_that_always_says_the_same_has_no_rank_correlation() -> None:
    assert held_out_errors(np.full(3, 30.0), np.array([10.0, 20.0, 50.0]), guess=20.0)["rank_correlation"] is None
