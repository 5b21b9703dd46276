"""The benchmark of identities counts pairs as they are compared, and finds the lowest ceiling that admits so many."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vec2face.identities import IdentityBank, sample
from vec2face.identities.proof import first_pair_reaching
from vec2face.identities.sources import GaussianSource
from vec2face.identities.tables import usable_kinds

Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(
    load_benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    benchmark = load_benchmark("identities")
    monkeypatch.setattr(benchmark, "PRODUCT_ROWS", 2048)
    monkeypatch.setattr(benchmark, "GaussianSource", lambda width, std: GaussianSource(16, std))

    def run_it(*arguments: object) -> list[dict[str, Any]]:
        monkeypatch.setattr("sys.argv", ["identities.py", *map(str, arguments)])
        benchmark.main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run_it


def test_sampling_and_proof_are_measured_apart(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "bank.safetensors"
    (facts,) = run("scale", "--count", 200, "--ceiling", 0.7, "--out", out)
    expected = sample(GaussianSource(16, 0.967), count=200, ceiling=0.7, seed=0)
    assert facts["candidates"] == expected.provenance["candidates"] > 200
    np.testing.assert_array_equal(IdentityBank.load(out).vectors, expected.vectors)
    assert facts["proof"]["apart"]
    assert facts["seconds"] == pytest.approx(facts["sampling"]["seconds"] + facts["proof"]["seconds"], abs=0.02)
    assert set(facts["bare_product_gflops"]) == set(usable_kinds(512))
    assert facts["peak_memory_gib"]["all"] >= facts["peak_memory_gib"]["sampling"] > 0


def test_the_lowest_ceiling_is_the_one_before_the_first_that_fails(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "bank.safetensors"
    *tried, last = run("lowest", "--count", 150, "--highest", 0.8, "--step", 0.05, "--out", out)
    assert [line["fits"] for line in tried] == [True] * (len(tried) - 1) + [False]
    assert len(tried) > 1
    assert "only" in tried[-1]["reason"] or "out of reach" in tried[-1]["reason"]
    assert last["lowest_ceiling"] == tried[-2]["ceiling"] == pytest.approx(0.8 - 0.05 * (len(tried) - 2))
    assert last["apart"]
    assert first_pair_reaching(IdentityBank.load(out).vectors, last["lowest_ceiling"]) is None
    with pytest.raises(SystemExit, match=r"150 identities do not fit under 0\.2; begin with a higher --highest"):
        run("lowest", "--count", 150, "--highest", 0.2)
