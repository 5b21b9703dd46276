"""Rendering on Ray: the bytes of a quiet run whatever is killed, and a sentence for each thing that ends a run."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from vec2face.config.cluster import RayOptions
from vec2face.errors import ConfigError, MissingDependencyError, StorageError, WorkerError
from vec2face.generation.executor import ShardJob
from vec2face.generation.ray_executor import RayActors

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

KILLS = 3
BETWEEN_KILLS = 2.0  # seconds, and long enough for a restarted worker to be seen at work


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster of one node with two CPUs."""
    ray = pytest.importorskip("ray", reason="Ray is not installed (the extra named ray)")
    before = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Else its workers starve behind whatever else a busy machine does.
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=128 << 20)
    signal.signal(signal.SIGTERM, before)
    yield
    ray.shutdown()


def kill_workers_at_work(over: threading.Event, killed: list[int]) -> None:
    """Kill a worker of this process's cluster that is rendering, every few seconds."""
    while len(killed) < KILLS and not over.wait(0.02):
        for process in psutil.Process().children(recursive=True):
            try:
                if process.cmdline()[:1] == ["ray::ShardWorker.render"]:
                    process.kill()
                    killed.append(process.pid)
                    over.wait(BETWEEN_KILLS)
                    break
            except psutil.Error:
                continue


def test_workers_killed_every_few_seconds_do_not_change_a_byte(
    cluster: None, make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    recipe = make_recipe(
        identities={"source": "gaussian", "count": 8, "ceiling": 0.5},
        images_per_identity=150,
        shards={"identities_per_shard": 1},
        compute={"batch_size": 16},
    )
    make_dataset(recipe, tmp_path / "quiet")
    over: threading.Event = threading.Event()
    killed: list[int] = []
    killer = threading.Thread(target=kill_workers_at_work, args=(over, killed))
    actors = RayActors(RayOptions(retries=100))
    killer.start()
    try:
        summary = make_dataset(recipe, tmp_path / "killed", executor=actors)
    finally:
        over.set()
        killer.join()
    assert killed
    assert (summary.rendered_shards, summary.images) == (8, 1200)
    assert contents(tmp_path / "killed") == contents(tmp_path / "quiet")


@pytest.fixture
def with_job(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[ShardJob]], None]:
    """Put another job in the place of the one that renders."""

    def put(job: type[ShardJob]) -> None:
        monkeypatch.setattr("vec2face.generation.run.ShardJob", job)

    return put


def test_a_shard_that_kills_its_worker_is_given_up_and_named_and_the_others_are_finished(
    cluster: None, make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, with_job: Callable[..., None]
) -> None:
    # Defined here, so that it travels to the workers whole.
    class Deadly(ShardJob):
        def render(self, index: int, on_images: Callable[[int], None]) -> None:
            if index == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            super().render(index, on_images)

    with_job(Deadly)
    with pytest.raises(
        WorkerError, match=r"1 of 3 shards lost their worker 2 times and are given up \(shard 1: The actor"
    ):
        make_dataset(make_recipe(), tmp_path / "d", executor=RayActors(RayOptions(retries=1, workers=1)))
    assert sorted(path.name for path in (tmp_path / "d" / "shards").glob("*.json")) == ["000000.json", "000002.json"]


def test_what_a_worker_fails_with_is_what_the_run_fails_with(
    cluster: None, make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, with_job: Callable[..., None]
) -> None:
    class Full(ShardJob):
        def render(self, index: int, on_images: Callable[[int], None]) -> None:
            raise StorageError("the disk is full; free some space.")

    with_job(Full)
    with pytest.raises(StorageError, match=r"^the disk is full; free some space\.$"):
        make_dataset(make_recipe(), tmp_path / "d", executor=RayActors(RayOptions(workers=1)))


def test_a_cluster_without_a_place_is_told(
    cluster: None, make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    for changes, told in (
        ({"gpus_per_worker": 0.5}, r"needs 1 CPU and 0\.5 GPU: none of its nodes has as much \(.*: 2 CPU and 0 GPU\)"),
        ({"cpus_per_worker": 3}, r"needs 3 CPU and 0 GPU: none of its nodes has as much"),
    ):
        with pytest.raises(ConfigError, match=f"the Ray cluster has no place for a worker that {told}"):
            make_dataset(make_recipe(), tmp_path / "d", executor=RayActors(RayOptions(wait_seconds=0, **changes)))


def test_a_gpu_recipe_needs_workers_with_gpus(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (the extra named ray)")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(ConfigError, match="renders on cuda, but workers reserve no GPU"):
        make_dataset(
            make_recipe(compute={"device": "cuda"}),
            tmp_path / "d",
            executor=RayActors(RayOptions(gpus_per_worker=0)),
        )


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}"])
def test_an_address_where_nobody_answers_is_told_at_once(
    make_recipe: MakeRecipe,
    make_dataset: MakeDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed (the extra named ray)")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, and not listening
        named = address.format(port=bound.getsockname()[1])
        with pytest.raises(ConfigError, match=rf"no Ray cluster can be used at {named} \(.*refused.*\); start one"):
            make_dataset(make_recipe(), tmp_path / "d", executor=RayActors(RayOptions(address=named)))


def test_without_ray_the_extra_to_install_is_named(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"install it with: pip install 'vec2face\[ray\]'"):
        make_dataset(make_recipe(), tmp_path / "d", executor=RayActors(RayOptions()))
