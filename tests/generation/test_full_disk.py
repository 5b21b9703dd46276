"""A disk that fills while a dataset is written: one sentence, finished shards stay, and the same command goes on."""

import contextlib
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from vec2face.config.generation import GenerateRecipe
from vec2face.errors import StorageError
from vec2face.fileio.mirror import local_folder
from vec2face.fileio.remote import RemotePath
from vec2face.generation.verify import verify
from vec2face.progress import SilentProgress

pytestmark = pytest.mark.integration

SHARDS = 6
IMAGES = 12


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if not mounted or mounted.returncode:
        pytest.skip(f"cannot mount a small disk here ({mounted.stderr.strip() if mounted else 'there is no mount'})")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> GenerateRecipe:
    return make_recipe(
        identities={"source": "gaussian", "count": SHARDS, "ceiling": 0.9},
        images_per_identity=IMAGES,
        compute={"batch_size": 4},
        shards={"identities_per_shard": 1},
    )


class FillingUp(SilentProgress):
    """Leaves a disk so many free bytes once so many images have been rendered."""

    def __init__(self, disk: Path, *, after: int, free: int) -> None:
        self.filler, self.after, self.free = disk / "filler", after, free
        self.images = 0
        self.rendering = False

    def begin(self, stage: str, *, total: int, unit: str, done: int = 0) -> None:
        self.rendering = stage == "rendering"

    def advance(self, amount: int, *, note: str = "") -> None:
        self.images += amount if self.rendering else 0
        if self.images >= self.after and not self.filler.exists():
            fill(self.filler, free=self.free)


def fill(filler: Path, *, free: int) -> None:
    """Write a file that leaves so many bytes, rounded up to whole pages, and none where there are fewer."""
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as stream:
        for _ in range(max(0, (shutil.disk_usage(filler.parent).free - free) // 4096)):
            stream.write(bytes(4096))


def temporary_files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.tmp")]


def test_a_disk_that_fills_keeps_what_is_finished(
    disk: Path, recipe: GenerateRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(recipe, tmp_path / "quiet")
    out = disk / "faces"
    filling = FillingUp(disk, after=2 * IMAGES + 4, free=0)
    with pytest.raises(
        StorageError, match=r"cannot write .*faces.*: the disk is full; free some space and run the same"
    ):
        make_dataset(recipe, out, progress=filling)
    assert sorted(path.name for path in out.glob("shards/*")) == [
        "000000.json",
        "000000.tar",
        "000001.json",
        "000001.tar",
    ]
    assert temporary_files(out) == []
    with pytest.raises(StorageError):  # while it is full, nothing changes
        make_dataset(recipe, out)
    assert {damage.problem for damage in verify(out).damaged} == {"missing"}
    filling.filler.unlink()
    assert make_dataset(recipe, out).rendered_shards == SHARDS - 2
    assert contents(out) == contents(tmp_path / "quiet")


def test_a_disk_too_small_is_told_before_rendering(
    disk: Path, recipe: GenerateRecipe, make_dataset: MakeDataset
) -> None:
    fill(disk / "filler", free=200_000)
    with pytest.raises(
        StorageError, match=r"needs about 0\.\d MB|needs about \d+\.\d [kM]B for 72 images, but the disk"
    ):
        make_dataset(recipe, disk / "faces")
    assert not list((disk / "faces").rglob("*.tar"))


def test_a_full_disk_on_the_way_to_a_store(
    disk: Path,
    recipe: GenerateRecipe,
    make_dataset: MakeDataset,
    s3_folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_dataset(recipe, tmp_path / "quiet")
    out = RemotePath(s3_folder)
    monkeypatch.setenv("VEC2FACE_CACHE", str(disk / "copies"))
    filling = FillingUp(disk, after=2 * IMAGES + 4, free=0)
    with pytest.raises(StorageError, match=r"cannot write .*copies/spool/.*: the disk is full"):
        make_dataset(recipe, out, progress=filling)
    assert [path.name for path in (out / "shards").iterdir()] == [
        "000000.json",
        "000000.tar",
        "000001.json",
        "000001.tar",
    ]
    filling.filler.unlink()
    assert make_dataset(recipe, out).rendered_shards == SHARDS - 2
    monkeypatch.setenv("VEC2FACE_CACHE", str(tmp_path / "copies"))
    assert contents(local_folder(out)) == contents(tmp_path / "quiet")


@pytest.mark.slow
def test_a_disk_that_fills_again_and_again(
    disk: Path, recipe: GenerateRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(recipe, tmp_path / "quiet")
    out, randomness = disk / "faces", random.Random(4)
    full = 0
    for _ in range(60):
        filling = FillingUp(disk, after=randomness.randint(1, IMAGES), free=randomness.randint(0, 60_000))
        try:
            make_dataset(recipe, out, progress=filling)
        except StorageError as error:
            assert "disk" in str(error)  # noqa: PT017  any file of the dataset may be the one
            full += 1
        filling.filler.unlink(missing_ok=True)
        assert temporary_files(out) == []
        assert {damage.problem for damage in verify(out).damaged} <= {"missing", "unfinished: it has no manifest"}
    assert full >= 5
    make_dataset(recipe, out)
    assert contents(out) == contents(tmp_path / "quiet")
