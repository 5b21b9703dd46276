"""The steering benchmark counts what both rules do on the same samples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vec2face.identities import IdentityBank


def test_the_comparison_counts_both_sides(
    run_benchmark: Callable[..., list[dict[str, Any]]],
    tiny_generator_dir: Path,
    tiny_embedder_dir: Path,
    tmp_path: Path,
) -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)
    IdentityBank(vectors, tuple("abc"), {}).save(tmp_path / "bank.safetensors")
    arguments = ["--bank", tmp_path / "bank.safetensors", "--weights", tiny_generator_dir]
    arguments += ["--embedder", tiny_embedder_dir, "--floor", -1, "--count", 3, "--batch-size", 2, "--cap", 3]

    def run(*more: object) -> dict:
        return run_benchmark("steering", *arguments, *more)[0]

    # Within tolerance from the start: one pass a sample for both, all accepted.
    near = run("--by", 1)
    assert near["tolerance"] == pytest.approx(4)
    assert near["ours"] == {"passes": 3, "accepted": 3, "capped": 0, "rejected": 0, "passes_per_accepted": 1.0}
    counts = {"samples": 3, "passes": 3, "accepted": 3, "batches_at_cap": 0, "batches": 2}
    assert near["published"] == {
        moves: {**counts, "passes_per_accepted": 1.0, "ratio": 1.0} for moves in ("vector", "both")
    }
    # Out of reach of a random generator: the cap ends both, and no ratio is made up.
    far = run("--by", 100, "--moves", "vector")
    assert far["ours"] == {"passes": 9, "accepted": 0, "capped": 3, "rejected": 0, "passes_per_accepted": None}
    counts = {"samples": 3, "passes": 9, "accepted": 0, "batches_at_cap": 2, "batches": 2}
    assert far["published"] == {"vector": {**counts, "passes_per_accepted": None, "ratio": None}}
    # The tolerance that is given holds for both, and the code helps where it may move.
    narrow = run("--by", 1.5, "--tolerance", 0.05, "--cap", 20)
    assert narrow["tolerance"] == pytest.approx(0.05, rel=1e-3)
    assert narrow["ours"]["passes"] > 3
    assert all(one["passes"] > 3 for one in narrow["published"].values())
    assert narrow["published"]["vector"] != narrow["published"]["both"]
