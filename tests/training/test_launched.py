"""Several processes compute what one does: the same images at each step, the same losses but for rounding."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vec2face.config.training import EmbedderRecipe, GeneratorRecipe, Schedule
from vec2face.training.embedder import train_embedder

from .conftest import SilentReporter
from .test_runs import embedder_recipe, generator_recipe, run_generator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PROGRAM = Path(__file__).with_name("launched.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(kind: str, recipe: EmbedderRecipe | GeneratorRecipe, pack: Path, folder: Path) -> list[dict[str, float]]:
    """Train in two processes connected by gloo; return what the main one was told."""
    folder.mkdir()
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, str(PROGRAM), kind, str(folder / "recipe.json"), str(pack), str(folder / "run")]
    children = [
        subprocess.Popen(
            [*command, str(folder)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        ends = [child.communicate(timeout=1100) for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], ends
    assert json.loads((folder / "1.json").read_text()) == [], "one process reports for all"
    told: list[dict[str, float]] = json.loads((folder / "0.json").read_text())
    return told


def assert_alike(told: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert [losses.keys() for losses in told] == [losses.keys() for losses in expected]
    for ours, theirs in zip(told, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)
    assert told[0] == pytest.approx(expected[0], rel=1e-5), "before the weights part by rounding"


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_embedder_is_trained_alike_by_one_process_and_by_two(pack: Path, tmp_path: Path, accumulate: int) -> None:
    schedule = Schedule(images=16, batch_size=4, learning_rate=1e-3, accumulate=accumulate)
    recipe = embedder_recipe().model_copy(update={"schedule": schedule})
    alone = SilentReporter()
    train_embedder(recipe, pack=pack, out=tmp_path / "alone", reporter=alone)
    told = launch("embedder", recipe, pack, tmp_path / "two")
    assert_alike(told, alone.losses)
    one, two = (
        torch.load(tmp_path / run / "checkpoint.pt", weights_only=True)["average"] for run in ("alone", "two/run")
    )
    for name, tensor in one.items():
        assert torch.allclose(tensor.float(), two[name].float(), rtol=1e-2, atol=1e-3), name
    lines = (tmp_path / "two" / "run" / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 4]


def test_a_generator_is_trained_alike_by_one_process_and_by_two(pack: Path, tmp_path: Path) -> None:
    """With mixtures, masked means and a discriminator that learns beside it."""
    recipe = generator_recipe()
    recipe = recipe.model_copy(
        update={
            "schedule": Schedule(images=12, batch_size=4, learning_rate=1e-3),
            "losses": recipe.losses.model_copy(update={"adversarial_start_images": 0, "identity_start_images": 0}),
        }
    )
    alone = SilentReporter()
    run_generator(pack, tmp_path / "alone", recipe, alone)
    told = launch("generator", recipe, pack, tmp_path / "two")
    assert "adversarial" in told[-1]
    assert_alike(told, alone.losses)
