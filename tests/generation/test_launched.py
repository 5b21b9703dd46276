"""Processes of a launcher share a dataset's shards."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from torch.distributed import HashStore

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from vec2face.errors import ConfigError, DatasetError, StorageError, WorkerError
from vec2face.generation.executor import ShardJob
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.inputs import prepare
from vec2face.generation.launched import LaunchedProcesses
from vec2face.generation.launcher import ProcessPlace, find_place
from vec2face.generation.plan import Plan

LAUNCHED = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def test_a_launcher_is_told_by_its_variables() -> None:
    assert find_place(LAUNCHED) == ProcessPlace(index=1, local_index=1, count=2)
    assert find_place({**LAUNCHED, "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}) is None
    assert find_place({"WORLD_SIZE": "2", "RANK": "0"}) is None
    for changes in ({"RANK": "2"}, {"RANK": "x"}, {"LOCAL_RANK": "-1"}):
        with pytest.raises(ConfigError, match="the launcher's variables make no sense"):
            find_place({**LAUNCHED, **changes})


@pytest.fixture
def processes() -> tuple[LaunchedProcesses, LaunchedProcesses]:
    """Two processes of a launcher, to be played by two threads."""
    store = HashStore()
    first, second = (LaunchedProcesses(ProcessPlace(index, index, 2), store) for index in range(2))
    return first, second


def test_two_processes_share_the_shards_and_the_first_hears_of_all(
    processes: tuple[LaunchedProcesses, LaunchedProcesses],
    make_recipe: MakeRecipe,
    make_dataset: MakeDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe, out = make_recipe(), tmp_path / "shared"
    make_dataset(recipe, tmp_path / "quiet")
    first, second = processes
    rendered: list[str] = []
    turns = threading.Barrier(2)
    render = ShardJob.render

    def by_turns(self: ShardJob, *arguments: object) -> None:
        rendered.append(threading.current_thread().name)
        if len(rendered) < 3:
            turns.wait(60)  # each has one before either has two
        render(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ShardJob, "render", by_turns)
    server = threading.Thread(target=second.serve, args=(out, lambda: prepare(recipe, out)[0]), name="second")
    server.start()
    heard: list[int] = []

    class Progress:
        def begin(self, stage: str, *, total: int, unit: str, done: int = 0) -> None:
            pass

        def advance(self, amount: int, *, note: str = "") -> None:
            if "processes" in note:
                heard.append(amount)

    with first.others_waiting():
        summary = make_dataset(recipe, out, executor=first, progress=Progress())
    server.join(60)
    assert not server.is_alive()
    assert set(rendered) == {"MainThread", "second"}
    assert sum(heard) == summary.images == 20
    assert contents(out) == contents(tmp_path / "quiet")


def test_the_first_process_is_told_why_another_failed(
    processes: tuple[LaunchedProcesses, LaunchedProcesses], make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    first, second = processes
    plan, _ = prepare(make_recipe(), tmp_path / "d")
    failed: list[str] = []

    def full() -> Plan:
        raise StorageError("the disk is full.")

    def serve() -> None:
        with pytest.raises(StorageError) as caught:
            second.serve(tmp_path / "d", full)
        failed.append(str(caught.value))

    first.store.add("taken", 1)  # so that the only shard is none of the first process's
    server = threading.Thread(target=serve)
    server.start()
    run = first.run(ShardJob(plan, DatasetFolder(tmp_path / "d")), [0], lambda count: None)
    with pytest.raises(WorkerError, match=r"process 1 of the launcher failed: the disk is full\."):
        next(run)
    server.join(10)
    assert failed == ["the disk is full."]


def test_what_comes_after_the_others_left_is_rendered_by_the_first_alone(
    processes: tuple[LaunchedProcesses, LaunchedProcesses], make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    plan, bank = prepare(make_recipe(), tmp_path / "d")
    bank.save(tmp_path / "d" / "identities.safetensors")
    first, _ = processes
    job = ShardJob(plan, DatasetFolder(tmp_path / "d"))
    first.store.add("gone", 1)
    for shards in ([0, 1], [2]):
        assert list(first.run(job, shards, lambda count: None)) == shards


def test_a_process_with_another_recipe_is_told(
    processes: tuple[LaunchedProcesses, LaunchedProcesses], make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    first, second = processes
    first.store.set("work", '{"plan": "other", "shards": [0]}')
    with pytest.raises(DatasetError, match=r"would render another dataset than .*; start all processes alike"):
        second.serve(tmp_path / "d", lambda: prepare(make_recipe(), tmp_path / "d")[0])


def test_a_run_that_ends_early_lets_the_others_go(
    processes: tuple[LaunchedProcesses, LaunchedProcesses], tmp_path: Path
) -> None:
    first, second = processes
    server = threading.Thread(target=second.serve, args=(tmp_path, lambda: None))
    server.start()
    with pytest.raises(ZeroDivisionError), first.others_waiting():
        _ = 1 / 0
    server.join(10)
    assert not server.is_alive()


@pytest.mark.integration
def test_torchrun_makes_a_dataset_with_two_processes(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    recipe = make_recipe()
    make_dataset(recipe, tmp_path / "quiet")
    (tmp_path / "recipe.yaml").write_text(recipe.model_dump_json(exclude_none=True))  # JSON is YAML
    vec2face = str(Path(sys.executable).with_name("vec2face"))
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"),
            *(vec2face, "generate", str(tmp_path / "recipe.yaml"), "--audit", "none", "--out", str(tmp_path / "d")),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("20 images of 5 identities (20 rendered in ") == 1, "one process reports for all"
    assert contents(tmp_path / "d") == contents(tmp_path / "quiet")
