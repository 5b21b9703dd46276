"""The pose demonstration counts what it did, goes on where it ended, and refuses another run's folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vec2face.fileio.images import decode_image
from vec2face.identities import IdentityBank

MODULE = """
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.targets import AttributeFacts

class Yaw(AttributeEstimator):
    facts = AttributeFacts("yaw", "degrees", -90, 90, tolerance=5)
    def estimate(self, images):
        return 400 * (images[..., :56].mean(dim=(1, 2, 3)) - images[..., 56:].mean(dim=(1, 2, 3)))
"""


def test_the_demonstration_counts_and_resumes(
    run_benchmark: Callable[..., list[dict[str, Any]]],
    tiny_generator_dir: Path,
    tiny_embedder_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "half_light.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    vectors = np.random.default_rng(0).normal(size=(6, 128)).astype(np.float32)
    IdentityBank(vectors, tuple("abcdef"), {}).save(tmp_path / "bank.safetensors")
    out = tmp_path / "out"
    arguments = ["--bank", tmp_path / "bank.safetensors", "--weights", tiny_generator_dir, "--people", 2]
    arguments += ["--embedder", tiny_embedder_dir, "--estimator", "half_light:Yaw", "--direction-people", 4]
    arguments += ["--targets", -2, 0, 2, "--tolerance", 1, "--aim", 0.5, "--floor", -1, "--batch-size", 2, "--cap", 8]

    def run(*more: object) -> dict:
        return run_benchmark("steering_pose", *arguments, "--out", out, *more)[0]

    result = run("--judge", tiny_embedder_dir)
    assert result["all"]["samples"] == 6
    assert result["left"]["samples"] == result["right"]["samples"] == 2
    lines = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    converged = [line for line in lines if line["status"] == "converged"]
    assert 0 < len(converged) == round(6 * result["all"]["converged"])
    assert all(abs(line["after"] - line["target"]) <= 0.5 for line in converged)
    within = [abs(line["after"] - line["target"]) <= 1 for line in lines]
    assert result["all"]["within_by_steering"] == pytest.approx(np.mean(within))
    assert result["passes_per_accepted"] == sum(line["passes"] for line in lines) / len(converged)
    assert result["judge"]["same_person"]["0.0"] == pytest.approx(1.0)
    assert decode_image((out / "sheet.png").read_bytes(), where="sheet").shape[1] > 4 * 112

    # What is there is not made again; what is missing is, alike.
    before = {path.name: path.read_bytes() for path in (out / "images").iterdir()}
    kept = [line for line in lines if line["index"] != 3]
    (out / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    again = run("--judge", tiny_embedder_dir, "--published", 1, "--published-moves", "both")
    assert {path.name: path.read_bytes() for path in (out / "images").iterdir()} == before
    assert again["all"] == result["all"]
    published = again["published"]["both"]
    assert published["samples"] == 3
    assert published["batches"] == 2
    assert 3 <= published["passes"] <= 24
    with pytest.raises(SystemExit, match="begun with other settings"):
        run("--aim", 0.4)
