"""Fairness figures against a count over single pairs."""

from types import SimpleNamespace

import numpy as np
import pytest

from vec2face.cards.benchmark import _group_section
from vec2face.errors import InputError
from vec2face.evaluation.verification_groups import COMMON_FMR, group_results, require_groups

RNG = np.random.default_rng(3)


def group(name, accuracy, *, pairs=200, shift=0.0, benchmark="RFW"):
    """A group whose same-person pairs have cosines around 0.6, the others around `shift`."""
    same = np.arange(pairs) % 2 == 0
    cosines = np.where(same, RNG.normal(0.6, 0.15, pairs), RNG.normal(shift, 0.15, pairs)).clip(-1, 1)
    result = SimpleNamespace(name=name, group=benchmark, accuracy=SimpleNamespace(mean=accuracy))
    return SimpleNamespace(result=result, distances=2 - 2 * cosines, same=same)


def naive(members):
    """Try every score as the threshold, count pair by pair, keep the lowest that is within the rate."""
    pairs = [(1 - d / 2, bool(s), m.result.name) for m in members for d, s in zip(m.distances, m.same, strict=True)]
    impostors = [score for score, same, _ in pairs if not same]
    best = min(
        threshold
        for threshold in sorted(score for score, _, _ in pairs)
        if sum(score >= threshold for score in impostors) / len(impostors) <= COMMON_FMR
    )
    rates = {}
    for name in [m.result.name for m in members]:
        mine = [(score, same) for score, same, owner in pairs if owner == name]
        strangers = [score for score, same in mine if not same]
        friends = [score for score, same in mine if same]
        rates[name] = (
            sum(score >= best for score in strangers) / len(strangers),
            sum(score < best for score in friends) / len(friends),
        )
    return best, rates


def test_figures_are_those_of_a_slow_count():
    members = [
        group("African", 0.90, shift=0.2),
        group("Asian", 0.92, shift=0.1),
        group("Caucasian", 0.96, shift=0.0),
        group("Indian", 0.94, shift=0.05),
    ]
    (found,) = group_results([*members, group("lfw", 0.99, benchmark=None)])
    accuracies = [0.90, 0.92, 0.96, 0.94]
    mean = sum(accuracies) / 4
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx((sum((a - mean) ** 2 for a in accuracies) / 4) ** 0.5)
    assert found.skewed_error_ratio == pytest.approx(0.10 / 0.04)
    threshold, rates = naive(members)
    assert found.common.cosine == pytest.approx(threshold, abs=1e-12)
    for name, (false_match, false_non_match) in rates.items():
        assert found.common.false_matches[name] == pytest.approx(false_match)
        assert found.common.false_non_matches[name] == pytest.approx(false_non_match)
    assert max(rates, key=lambda name: rates[name][0]) == "African"


def test_all_served_alike_is_one_and_no_error_is_undefined():
    (even,) = group_results([group("a", 0.9), group("b", 0.9)])
    assert even.skewed_error_ratio == pytest.approx(1.0)
    assert even.std == 0
    (perfect,) = group_results([group("a", 1.0), group("b", 0.9)])
    assert perfect.skewed_error_ratio is None


def test_too_few_pairs_set_no_common_threshold():
    members = [group("a", 0.9, pairs=40), group("b", 0.8, pairs=40)]
    (found,) = group_results(members)
    assert found.common is None
    section = _group_section(found.to_dict())
    assert [row[0] for row in section.rows] == ["accuracy"]
    assert section.rows[0][1:] == ("90.00", "80.00", "85.00", "5.00", "2.00")


def test_the_table_holds_each_group_at_the_common_threshold():
    (found,) = group_results([group("a", 0.9, shift=0.3), group("b", 0.8)])
    section = _group_section(found.to_dict())
    assert [row[0] for row in section.rows] == ["accuracy", "FMR", "FNMR"]
    assert all(len(row) == len(section.columns) for row in section.rows)
    assert section.rows[1][1] == f"{100 * found.common.false_matches['a']:.2f}"


def test_a_benchmark_of_one_group_is_refused():
    with pytest.raises(InputError, match="RFW has one group only"):
        require_groups(["RFW", None, "BFW", "BFW"])
    require_groups([None, "RFW", "RFW"])
