"""A store that fails one request in ten and is restarted: the end is that of a quiet run, nothing false before it."""

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from tests.servers.fixtures import Connect
from tests.servers.flaky_proxy import BLOCK, WAYS, FlakyProxy
from vec2face.fileio.mirror import local_folder
from vec2face.fileio.remote import RemotePath
from vec2face.generation.executor import LocalProcesses
from vec2face.generation.verify import verify

if TYPE_CHECKING:
    from tests.servers.s3 import S3Server

pytestmark = pytest.mark.integration


def require_nothing_false(objects: dict[str, bytes]) -> int:
    """Return how many shards look finished; each of them must be what its manifest says."""
    manifests = [key for key in objects if key.rpartition("/")[0].endswith("/shards") and key.endswith(".json")]
    for key in manifests:
        archive = objects[key.removesuffix(".json") + ".tar"]
        assert json.loads(objects[key])["sha256"] == hashlib.sha256(archive).hexdigest(), f"{key} looks finished"
    return len(manifests)


def at_shards(server: "S3Server", prefix: str, counts: list[int], action: Callable[[], None]) -> threading.Thread:
    """Do something each time so many manifests stand in the store."""

    def watch() -> None:
        for count in counts:
            while sum(key.endswith(".json") for key in server.keys(f"{prefix}/shards/")) < count:
                time.sleep(0.05)
            action()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_one_request_in_ten_fails(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, s3_server: "S3Server", connect: Connect, tmp_path: Path
) -> None:
    recipe = make_recipe(shards={"identities_per_shard": 1})
    make_dataset(recipe, tmp_path / "quiet")
    prefix = uuid.uuid4().hex[:8]
    with FlakyProxy(s3_server.port, seed=1) as proxy:
        connect(proxy.endpoint)
        make_dataset(recipe, RemotePath(f"s3://faces/{prefix}"))
        assert make_dataset(recipe, RemotePath(f"s3://faces/{prefix}")).was_complete
        copy = local_folder(RemotePath(f"s3://faces/{prefix}"))
    assert proxy.spoilt.total() >= proxy.requests // BLOCK >= 3
    assert contents(copy) == contents(tmp_path / "quiet")
    assert require_nothing_false(s3_server.objects(prefix)) == 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_one_request_in_ten_fails_and_the_server_is_restarted(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, s3_server: "S3Server", connect: Connect, tmp_path: Path
) -> None:
    recipe = make_recipe(
        identities={"source": "gaussian", "count": 60, "ceiling": 0.9},
        images_per_identity=16,
        shards={"identities_per_shard": 1},
    )
    make_dataset(recipe, tmp_path / "quiet")
    prefix = uuid.uuid4().hex[:8]
    out = RemotePath(f"s3://faces/{prefix}")
    seen: list[int] = []
    with FlakyProxy(s3_server.port, seed=2) as proxy:
        connect(proxy.endpoint)

        def restart() -> None:
            with proxy.out_of_reach():
                seen.append(require_nothing_false(s3_server.objects(prefix)))
                s3_server.restart()

        watching = at_shards(s3_server, prefix, [10, 35], restart)
        make_dataset(recipe, out, executor=LocalProcesses(2))
        watching.join(timeout=60)
        assert make_dataset(recipe, out, check="content").was_complete
        assert verify(out).whole
        copy = local_folder(out)
    assert len(seen) == 2
    assert all(10 <= count <= 60 for count in seen)
    assert set(proxy.spoilt) == set(WAYS)
    assert contents(copy) == contents(tmp_path / "quiet")
    assert require_nothing_false(s3_server.objects(prefix)) == 60


def test_a_store_that_stays_away_is_told_and_what_is_finished_stays(
    make_recipe: MakeRecipe,
    make_dataset: MakeDataset,
    s3_server: "S3Server",
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vec2face.errors import StorageError
    from vec2face.fileio import remote
    from vec2face.progress import SilentProgress

    monkeypatch.setattr(remote, "PATIENT", (0.01,))
    recipe = make_recipe(shards={"identities_per_shard": 1})
    prefix = uuid.uuid4().hex[:8]
    out = RemotePath(f"s3://faces/{prefix}")
    with FlakyProxy(s3_server.port, seed=3, spoil=False) as proxy:
        connect(proxy.endpoint)

        class Away(SilentProgress):
            def advance(self, amount: int, *, note: str = "") -> None:
                if note.startswith("2 of"):
                    proxy.go_away()

        with pytest.raises(
            StorageError, match=f"cannot (read|write) {out}/shards/.*: the store failed 2 times in a row"
        ):
            make_dataset(recipe, out, progress=Away())
        proxy.come_back()
        assert require_nothing_false(s3_server.objects(prefix)) == 2
        assert make_dataset(recipe, out).rendered_shards == 3
