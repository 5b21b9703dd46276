"""SIGKILL at random moments: what looks finished is, nothing occurs twice, and the end is that of a quiet run."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.generation.conftest import MakeRecipe, contents
from tests.generation.zygote import Moments, Zygote, zygote
from vec2face.config.generation import GenerateRecipe
from vec2face.fileio.location import Location, parse_location
from vec2face.fileio.mirror import local_folder
from vec2face.fileio.tar import read_tar
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.verify import verify

if TYPE_CHECKING:
    from tests.servers.s3 import S3Server

pytestmark = pytest.mark.integration

MakeShards = Callable[[int], GenerateRecipe]


@pytest.fixture
def make_shards(make_recipe: MakeRecipe) -> MakeShards:
    """A recipe of so many shards of one identity."""

    def make(shards: int) -> GenerateRecipe:
        return make_recipe(
            identities={"source": "gaussian", "count": shards, "ceiling": 0.9},
            images_per_identity=8,
            compute={"batch_size": 4},
            shards={"identities_per_shard": 1},
        )

    return make


def finished_shards(out: Location) -> set[str]:
    """The shards that have a manifest."""
    folder = DatasetFolder(out).shards
    return {path.name for path in folder.glob("*.json")} if folder.is_dir() else set()


def kill_often(runs: Zygote, out: str, quiet: str, *, shards: int, kills: int, seed: int) -> None:
    """Make `quiet` undisturbed, and `out` with so many kills; look after each that nothing false stands there."""
    _, whole = runs.run(quiet)
    _, start = runs.run(quiet)  # nothing left to do but to look
    moments, randomness = Moments(start, max(whole - start, 0.0) / shards), random.Random(seed)
    place, done = parse_location(out), 0
    finished: set[str] = set()
    while done < kills:
        left = shards - len(finished)
        ended, _ = runs.run(out, kill_after=moments.draw(randomness, shards_left=left, kills_left=kills - done))
        assert not ended or done == kills - 1, f"finished after {done} kills already; give it more shards"
        done += not ended
        now = finished_shards(place)
        assert finished <= now, "a finished shard is gone"
        finished = now
        if (DatasetFolder(place).description).exists():
            damaged = {damage.path.name: damage.problem for damage in verify(place).damaged}
            wrong = {name: problem for name, problem in damaged.items() if problem.startswith("damaged")}
            assert not wrong, "something looks finished and is not"
            assert not {name.replace(".tar", ".json") for name in damaged} & finished
    assert runs.run(out)[0]
    assert verify(place).whole


def keys(folder: Path) -> Counter[str]:
    return Counter(name for tar in sorted(folder.glob("shards/*.tar")) for name, _ in read_tar(tar))


def test_a_few_kills(make_shards: MakeShards, tmp_path: Path) -> None:
    with zygote(make_shards(10)) as runs:
        kill_often(runs, str(tmp_path / "killed"), str(tmp_path / "quiet"), shards=10, kills=5, seed=1)
    assert contents(tmp_path / "killed") == contents(tmp_path / "quiet")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_kills(make_shards: MakeShards, tmp_path: Path) -> None:
    with zygote(make_shards(150)) as runs:
        kill_often(runs, str(tmp_path / "killed"), str(tmp_path / "quiet"), shards=150, kills=100, seed=2)
    assert contents(tmp_path / "killed") == contents(tmp_path / "quiet")
    found = keys(tmp_path / "killed")
    assert len(found) == 150 * 8 * 3
    assert set(found.values()) == {1}, "an image occurs twice"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_while_writing_to_a_store(
    make_shards: MakeShards, s3_folder: str, s3_server: "S3Server", tmp_path: Path
) -> None:
    with zygote(make_shards(40), store=True) as runs:
        kill_often(runs, f"{s3_folder}/killed", str(tmp_path / "quiet"), shards=40, kills=25, seed=3)
    copy = local_folder(parse_location(f"{s3_folder}/killed"))
    assert contents(copy) == contents(tmp_path / "quiet")
    assert set(keys(copy).values()) == {1}
    uploads = s3_server.client.list_multipart_uploads(Bucket="faces").get("Uploads", ())
    assert not [upload for upload in uploads if upload["Key"].startswith(s3_folder.removeprefix("s3://faces/"))]
