"""The steering benchmark counts what both rules do on the same samples."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from vec2face.identities import IdentityBank


def test_the_comparison_counts_both_sides(
    repo_root: Path,
    tiny_generator_dir: Path,
    tiny_embedder_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)
    IdentityBank(vectors, tuple("abc"), {}).save(tmp_path / "bank.safetensors")
    arguments = ["--bank", tmp_path / "bank.safetensors", "--weights", tiny_generator_dir]
    arguments += ["--embedder", tiny_embedder_dir, "--floor", -1, "--count", 3, "--batch-size", 2, "--cap", 3]
    script = repo_root / "benchmarks" / "steering.py"
    monkeypatch.syspath_prepend(script.parent)

    def run(*more: object) -> dict:
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, [*arguments, *more])])
        runpy.run_path(str(script), run_name="__main__")
        return json.loads(capsys.readouterr().out)

    # Within tolerance from the start: one pass a sample for both, all accepted.
    near = run("--by", 1)
    assert near["ours"] == {"passes": 3, "accepted": 3, "capped": 0, "rejected": 0}
    assert near["published"] == {"passes": 3, "accepted": 3, "batches_at_cap": 0, "batches": 2}
    assert near["ratio"] == 1.0
    # Out of reach of a random generator: the cap ends both, and no ratio is made up.
    far = run("--by", 100)
    assert far["ours"] == {"passes": 9, "accepted": 0, "capped": 3, "rejected": 0}
    assert far["published"] == {"passes": 9, "accepted": 0, "batches_at_cap": 2, "batches": 2}
    assert far["ratio"] is None
