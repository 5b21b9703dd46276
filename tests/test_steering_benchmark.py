"""The steering benchmark counts what both rules do on the same samples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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
    assert near["ours"] == {"passes": 3, "accepted": 3, "capped": 0, "rejected": 0}
    assert near["published"] == {"passes": 3, "accepted": 3, "batches_at_cap": 0, "batches": 2}
    assert near["ratio"] == 1.0
    # Out of reach of a random generator: the cap ends both, and no ratio is made up.
    far = run("--by", 100)
    assert far["ours"] == {"passes": 9, "accepted": 0, "capped": 3, "rejected": 0}
    assert far["published"] == {"passes": 9, "accepted": 0, "batches_at_cap": 2, "batches": 2}
    assert far["ratio"] is None
