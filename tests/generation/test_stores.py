"""Datasets behind URLs: the same files as in a folder, on a real S3 server."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from vec2face.checkpoints import digest, load_generator
from vec2face.checkpoints.load import locate
from vec2face.data.readers import open_reader
from vec2face.errors import DatasetError, InputError, StorageError, WeightsError
from vec2face.fileio.mirror import local_folder
from vec2face.fileio.remote import RemotePath
from vec2face.generation.executor import LocalProcesses
from vec2face.generation.recipe import find_recipe
from vec2face.generation.verify import verify

if TYPE_CHECKING:
    from tests.servers.s3 import S3Server

pytestmark = pytest.mark.integration


@pytest.fixture
def out(s3_folder: str) -> RemotePath:
    return RemotePath(s3_folder)


def copy_of(out: RemotePath) -> dict[str, str]:
    return contents(local_folder(out))


def test_a_dataset_in_a_store_has_the_bytes_of_one_in_a_folder(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, out: RemotePath, tmp_path: Path
) -> None:
    make_dataset(make_recipe(), tmp_path / "folder")
    summary = make_dataset(make_recipe(), out)
    assert (summary.images, summary.rendered_shards, summary.out) == (20, 3, out)
    assert copy_of(out) == contents(tmp_path / "folder")
    assert verify(out).whole
    assert list((tmp_path / "copies" / "spool").iterdir()) == []
    again = make_dataset(find_recipe(None, out, changes={}), out)
    assert again.was_complete
    reader = open_reader(str(out))
    assert (len(reader), reader.classes) == (20, 5)
    assert next(reader.records()).key == "0000000_0000"


def test_a_store_is_resumed_and_mended(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, out: RemotePath, s3_server: "S3Server"
) -> None:
    make_dataset(make_recipe(), out)
    whole = s3_server.objects(out.name)
    s3_server.remove(f"{out.name}/shards/000001.json")  # as if it had ended between archive and manifest
    s3_server.put(f"{out.name}/shards/000002.tar", whole[f"{out.name}/shards/000002.tar"][:-512])
    assert {damage.path.name for damage in verify(out).damaged} == {"000001.tar", "000002.tar"}
    assert make_dataset(make_recipe(), out).rendered_shards == 2
    assert s3_server.objects(out.name) == whole


def test_damage_of_the_same_size_is_found_where_content_is_checked(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, out: RemotePath, s3_server: "S3Server"
) -> None:
    make_dataset(make_recipe(), out)
    whole = s3_server.objects(out.name)
    archive = f"{out.name}/shards/000000.tar"
    s3_server.put(archive, bytes(len(whole[archive])))
    assert [str(damage.path) for damage in verify(out).damaged] == [f"{out}/shards/000000.tar"]
    assert make_dataset(make_recipe(), out).was_complete  # sizes alone are looked at
    assert make_dataset(make_recipe(), out, check="content").rendered_shards == 1
    assert s3_server.objects(out.name) == whole


def test_processes_write_to_the_store_themselves(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, out: RemotePath, tmp_path: Path
) -> None:
    make_dataset(make_recipe(), tmp_path / "folder")
    make_dataset(make_recipe(), out, executor=LocalProcesses(2))
    assert copy_of(out) == contents(tmp_path / "folder")


def test_other_settings_and_other_files_are_refused(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, out: RemotePath, s3_server: "S3Server"
) -> None:
    s3_server.put(f"{out.name}/holiday.jpg", b"x")
    with pytest.raises(DatasetError, match=f"{out} holds 'holiday.jpg', which is not part of a dataset"):
        make_dataset(make_recipe(), out)
    s3_server.remove(f"{out.name}/holiday.jpg")
    make_dataset(make_recipe(), out)
    with pytest.raises(DatasetError, match="seed: 3 there, 4 wanted"):
        make_dataset(make_recipe(seed=4), out)


def test_mistakes_are_told_before_any_work(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, out: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vec2face.generation.inputs.draw_apart", lambda *_, **__: pytest.fail("identities were drawn"))
    with pytest.raises(StorageError, match="there is no such bucket"):
        make_dataset(make_recipe(), RemotePath("s3://no-such-bucket/faces"))
    with pytest.raises(InputError, match="unknown protocol 'floppy'"):
        make_dataset(make_recipe(), RemotePath("floppy://a/faces"))


def test_a_store_of_one_process_is_not_for_several(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEC2FACE_CACHE", str(tmp_path / "copies"))
    out = RemotePath(f"memory://{tmp_path.name}")
    with pytest.raises(InputError, match="is seen by one process alone; render with --workers 1"):
        make_dataset(make_recipe(), out, workers=2)
    make_dataset(make_recipe(), out)
    assert verify(out).whole


def test_weights_are_read_from_a_store(
    tiny_generator_dir: Path, out: RemotePath, s3_server: "S3Server", tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=f"there are no weights at {out}"):
        load_generator(str(out))
    for file in tiny_generator_dir.iterdir():
        s3_server.put(f"{out.name}/{file.name}", file.read_bytes())
    assert load_generator(str(out)).config.feature_dim == load_generator(str(tiny_generator_dir)).config.feature_dim
    assert digest(str(out), kind="generator") == digest(str(tiny_generator_dir), kind="generator")
    versions = tmp_path / "copies" / "versions"
    assert len([entry for entry in versions.iterdir() if entry.is_dir()]) == 1
    s3_server.put(f"{out.name}/provenance.json", b"{}")  # another version is another copy
    load_generator(str(out))
    assert len([entry for entry in versions.iterdir() if entry.is_dir()]) == 2


def test_an_onnx_file_is_read_from_a_store_with_what_stands_beside_it(out: RemotePath, s3_server: "S3Server") -> None:
    for name in ("net.onnx", "net.contract.json", "net.onnx.data", "other.onnx"):
        s3_server.put(f"{out.name}/{name}", name.encode())
    found = locate(f"{out}/net.onnx", kind="embedder")
    assert found.read_bytes() == b"net.onnx"
    assert sorted(path.name for path in found.parent.iterdir()) == ["net.contract.json", "net.onnx", "net.onnx.data"]
    with pytest.raises(WeightsError, match=f"there are no weights at {out}/absent.onnx"):
        locate(f"{out}/absent.onnx", kind="embedder")


def test_archives_are_read_by_a_pattern(
    out: RemotePath, s3_server: "S3Server", build_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    faces = build_dataset(tmp_path / "faces")
    for tar in (faces / "shards").glob("*.tar"):
        s3_server.put(f"{out.name}/{tar.name}", tar.read_bytes())
    reader = open_reader(f"{out}/{{000000..000001}}.tar")
    assert (len(reader), reader.labelled) == (48, True)
    assert len(open_reader(f"{out}/000001.tar")) == 16
    with pytest.raises(InputError, match=f"stands for 3 files, but there is no {out}/000002.tar"):
        open_reader(f"{out}/{{000000..000002}}.tar")
