"""Runs that are killed, interrupted or lose a worker: nothing finished is lost, and the end is the same to the byte."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from vec2face.config.generation import GenerateRecipe

pytestmark = pytest.mark.integration

SHARDS = 16
SCRIPT = """
import signal
import sys
from pathlib import Path

from vec2face.config.generation import GenerateRecipe
from vec2face.errors import Vec2FaceError
from vec2face.generation.inputs import prepare
from vec2face.generation.run import generate

if __name__ == "__main__":
    # Started from a background job, a process inherits an ignored Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    recipe, out, workers = sys.argv[1:]
    try:
        plan, bank = prepare(GenerateRecipe.model_validate_json(recipe), Path(out))
        generate(plan, Path(out), bank=bank, workers=int(workers))
    except Vec2FaceError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> GenerateRecipe:
    return make_recipe(
        identities={"source": "gaussian", "count": SHARDS, "ceiling": 0.5},
        images_per_identity=150,
        compute={"batch_size": 16},
        shards={"identities_per_shard": 1},
    )


@pytest.fixture
def start(tmp_path: Path, recipe: GenerateRecipe) -> Iterator[Start]:
    """Start a run in a process group of its own, as a terminal does."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    started: list[subprocess.Popen[str]] = []

    def begin(out: Path, workers: int) -> "subprocess.Popen[str]":
        command = [sys.executable, str(script), recipe.model_dump_json(), str(out), str(workers)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for_shards(out: Path, count: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while len(list(out.glob("shards/*.json"))) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """The processes that a run started, the resource tracker left out; none where there is no /proc to tell."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        return []
    pids = [int(pid) for pid in children.read_text().split()]
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def wait_until_ended(pids: list[int]) -> None:
    """Workers must not outlive a parent that was killed."""
    deadline = time.monotonic() + 30
    while not all(map(ended, pids)):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.05)


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_runs_killed_at_random_moments_end_with_the_bytes_of_a_quiet_run(
    start: Start, recipe: GenerateRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(recipe, tmp_path / "quiet")
    out, moments = tmp_path / "killed", random.Random(5)
    finished = 0
    for workers in (1, 2):
        process = start(out, workers)
        wait_for_shards(out, finished + 2, process)
        time.sleep(moments.uniform(0, 0.3))
        children = workers_of(process) if workers > 1 else []
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until_ended(children)
        finished = len(list(out.glob("shards/*.json")))
        assert finished < SHARDS
    before = {path: path.stat().st_mtime_ns for path in out.glob("shards/*.json")}
    assert make_dataset(recipe, out).rendered_shards == SHARDS - len(before)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(out) == contents(tmp_path / "quiet")


def test_a_killed_worker_is_reported_and_finished_shards_stay(
    start: Start, recipe: GenerateRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    out = tmp_path / "d"
    process = start(out, 2)
    wait_for_shards(out, 1, process)
    workers = workers_of(process)
    if not workers:
        pytest.skip("needs /proc to find a process's children")
    os.kill(workers[0], signal.SIGKILL)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert told.startswith("Error: a worker process died")
    assert "Traceback" not in told
    kept = len(list(out.glob("shards/*.json")))
    assert kept >= 1
    assert make_dataset(recipe, out).rendered_shards == SHARDS - kept


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_a_run_quietly(start: Start, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "d"
    process = start(out, workers)
    wait_for_shards(out, 1, process)
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert told == ""
    assert not [path.name for path in out.rglob("*.tmp")]
