"""The benchmark of the leakage check makes the check of an audit, in all three comparisons, from stored faces."""

import json
import sys
from collections.abc import Callable
from types import ModuleType

import pytest


def test_the_whole_check_is_measured(
    load_benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = load_benchmark("leakage")
    monkeypatch.setattr(
        sys, "argv", ["leakage.py", "--images", "300", "--references", "250", "--width", "32", "--threads", "1"]
    )
    benchmark.main()
    facts = json.loads(capsys.readouterr().out)
    assert list(facts["comparisons"]) == ["image to image", "image to centre", "centre to centre"]
    sizes = [(one["queries"], one["references"]) for one in facts["comparisons"].values()]
    assert sizes == [(300, 250), (300, 50), (15, 50)]
    assert all(one["threshold"] < 1 for one in facts["comparisons"].values())
    # People of five images, with whom all but their own are compared.
    assert facts["comparisons"]["image to image"]["stranger_pairs"] == 250 * 245
    assert facts["copies_found"] == facts["copies"]
    assert facts["seconds"] >= facts["reading_seconds"] >= 0
