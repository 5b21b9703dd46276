"""Files behind URLs: in memory for the rules, on a real S3 server for the store's own behaviour."""

import json
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.fixtures import Connect
from tests.servers.flaky_proxy import FlakyProxy
from vec2face.errors import InputError, MissingDependencyError, StorageError
from vec2face.fileio import local_copies, transfer
from vec2face.fileio.atomic import atomic_write, sha256_file, write_json
from vec2face.fileio.location import is_url, parse_location
from vec2face.fileio.outputs import require_writable
from vec2face.fileio.remote import RemotePath
from vec2face.fileio.tar import write_tar

if TYPE_CHECKING:
    from tests.servers.s3 import S3Server


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RemotePath:
    monkeypatch.setenv("VEC2FACE_CACHE", str(tmp_path / "copies"))
    return RemotePath(f"memory://{uuid.uuid4().hex}/faces")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Count the pauses instead of making them."""
    slept: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", slept.append)
    return slept


def test_paths_and_urls_are_told_apart(tmp_path: Path) -> None:
    assert parse_location("faces/a") == Path("faces/a")
    assert parse_location(f"file://{tmp_path}") == tmp_path
    assert parse_location("S3://bucket/a/") == RemotePath("s3://bucket/a")
    assert is_url("hf://datasets/a/b")
    assert not is_url("C:\\faces")
    with pytest.raises(InputError, match="names no place"):
        parse_location("s3://")


def test_parts_of_a_url() -> None:
    path = RemotePath("s3://bucket/faces") / "shards" / "000000.tar"
    assert (path.name, path.suffix, str(path.parent)) == ("000000.tar", ".tar", "s3://bucket/faces/shards")
    assert str(path.with_suffix(".json")) == "s3://bucket/faces/shards/000000.json"
    assert RemotePath("s3://bucket").parent == RemotePath("s3://bucket")
    assert pickle.loads(pickle.dumps(path)) == path  # noqa: S301  our own bytes


def test_what_is_written_can_be_read_listed_and_removed(folder: RemotePath) -> None:
    assert not folder.exists()
    assert list(folder.iterdir()) == []
    write_json(folder / "a.json", {"one": 1})
    digest = write_tar(folder / "shards" / "0.tar", [("a.txt", b"content")])
    assert [entry.name for entry in folder.iterdir()] == ["a.json", "shards"]
    assert [str(entry) for entry in folder.glob("*.json")] == [f"{folder}/a.json"]
    assert list(folder.files()) == ["a.json", "shards/0.tar"]
    assert list(folder.files(depth=1)) == ["a.json"]
    assert folder.is_dir()
    assert (folder / "a.json").is_file()
    assert json.loads((folder / "a.json").read_text()) == {"one": 1}
    assert sha256_file(folder / "shards" / "0.tar") == digest
    with (folder / "shards" / "0.tar").open() as stream:
        stream.seek(257)
        assert stream.read(5) == b"ustar"
    (folder / "a.json").unlink()
    with pytest.raises(FileNotFoundError):
        (folder / "a.json").unlink()
    with pytest.raises(FileNotFoundError):
        (folder / "a.json").stat()


def test_a_write_that_fails_leaves_nothing_behind(folder: RemotePath) -> None:
    def write_half() -> None:
        with atomic_write(folder / "a") as stream:
            stream.write(b"half of it")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert not (folder / "a").exists()
    assert list((local_copies.copies_folder() / "spool").iterdir()) == []


def test_what_killed_processes_left_on_the_way_is_removed(folder: RemotePath) -> None:
    spool = local_copies.copies_folder() / "spool"
    spool.mkdir(parents=True)
    for name, age in (("old", 3600), ("new", 0)):
        (spool / name).write_bytes(b"")
        os.utime(spool / name, (spool.stat().st_mtime - age,) * 2)
    with local_copies.spool_file("x") as mine:
        os.utime(mine, (0, 0))
        local_copies._remove_orphans.cache_clear()
        with local_copies.spool_file("y"):
            assert mine.exists(), "a file whose holder lives was removed"
    assert [entry.name for entry in spool.iterdir()] == ["new"]


def test_a_store_that_stumbles_is_asked_again(
    folder: RemotePath, no_pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    put, calls = MemoryFileSystem.put_file, []

    def stumbling(self: MemoryFileSystem, *arguments: object, **options: object) -> None:
        calls.append(arguments)
        if len(calls) < 3:
            raise ConnectionResetError("connection reset")
        put(self, *arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", stumbling)
    write_json(folder / "a", 1)
    assert (len(calls), len(no_pauses)) == (3, 2)


def test_an_upload_of_too_few_bytes_is_repeated(
    folder: RemotePath, no_pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    put, calls = MemoryFileSystem.put_file, []

    def short(self: MemoryFileSystem, local: str, place: str) -> None:
        calls.append(place)
        if len(calls) == 1:
            self.pipe_file(place, b"ha")
        else:
            put(self, local, place)

    monkeypatch.setattr(MemoryFileSystem, "put_file", short)
    write_json(folder / "a", "half")
    assert (folder / "a").read_text() == '"half"\n'
    assert len(calls) == 2


def test_trying_again_has_an_end_and_the_message_names_the_url(
    folder: RemotePath, no_pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def broken(*_: object, **__: object) -> None:
        raise TimeoutError("too slow")

    write_json(folder / "a", 1)  # a store that has answered is waited for longer
    monkeypatch.setattr(MemoryFileSystem, "cat_file", broken)
    with pytest.raises(StorageError, match=f"cannot read {folder}/a: the store failed 10 times in a row .too slow"):
        (folder / "a").read_bytes()
    assert len(no_pauses) == len(transfer.PATIENT)
    assert sum(no_pauses) <= sum(transfer.PATIENT)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError("Forbidden"), "access is denied"),
        (type("NoCredentialsError", (Exception,), {})("Unable to locate"), "no credentials for the store were found"),
        (ValueError("no such option"), "no such option"),
    ],
)
def test_errors_that_stay_are_told_at_once(
    error: Exception, told: str, folder: RemotePath, no_pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(MemoryFileSystem, "info", broken)
    with pytest.raises(StorageError, match=told):
        folder.exists()
    assert no_pauses == []


def test_an_unknown_protocol_and_a_missing_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown protocol 'carrier-pigeon' in carrier-pigeon://coop/7; known are"):
        require_writable(RemotePath("carrier-pigeon://coop/7"), output=RemotePath("carrier-pigeon://coop/7"))
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'vec2face\[gs\]'"):
        RemotePath("gs://bucket/faces").exists()


@pytest.mark.integration
def test_a_real_store_keeps_the_same_rules(s3_folder: str, s3_server: "S3Server") -> None:
    folder = RemotePath(s3_folder)
    prefix = f"{folder.name}/"
    assert not folder.exists()
    require_writable(folder, output=folder)
    assert s3_server.keys(prefix) == []
    s3_server.put(prefix, b"")  # as consoles mark an empty folder
    assert list(folder.iterdir()) == []
    write_json(folder / "a.json", [1])
    write_json(folder / "deep" / "b.json", [2])
    assert [entry.name for entry in folder.iterdir()] == ["a.json", "deep"]
    assert list(folder.files()) == ["a.json", "deep/b.json"]
    assert list(folder.files(depth=1)) == ["a.json"]
    before = (folder / "a.json").stat()
    assert before == folder.files()["a.json"]
    write_json(folder / "a.json", [3])
    assert (folder / "a.json").stat().version != before.version
    s3_server.remove(f"{prefix}a.json")  # behind the client's back: nothing is remembered
    assert [entry.name for entry in folder.iterdir()] == ["deep"]
    assert not (folder / "a.json").exists()


@pytest.mark.slow
def test_an_upload_in_parts_that_breaks_off_shows_nothing(
    s3_server: "S3Server", connect: Connect, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    with open(large, "wb") as stream:
        stream.truncate(120_000_000)  # from 100 MB on an upload is cut into parts
    place = RemotePath(f"s3://faces/{uuid.uuid4().hex[:8]}")
    broken_off = []
    with FlakyProxy(s3_server.port, seed=0, spoil=False) as proxy:
        connect(proxy.endpoint)

        def go_away_once_begun() -> None:
            while not s3_server.client.list_multipart_uploads(Bucket="faces").get("Uploads"):
                time.sleep(0.01)
            broken_off.append(True)
            proxy.go_away()

        threading.Thread(target=go_away_once_begun, daemon=True).start()
        with pytest.raises(StorageError, match=f"cannot write {place}"):
            place.upload(large, pauses=())
        assert broken_off
        assert s3_server.keys(place.name) == []
        proxy.come_back()
        assert not place.exists()
        place.upload(large)
        assert place.sha256() == sha256_file(large)


@pytest.mark.integration
def test_a_missing_bucket_is_told_at_once(s3_folder: str) -> None:
    folder = RemotePath("s3://no-such-bucket/faces")
    with pytest.raises(StorageError, match="cannot write s3://no-such-bucket/faces: there is no such bucket"):
        require_writable(folder, output=folder)


@pytest.mark.integration
def test_missing_credentials_are_told(connect: Connect, s3_server: "S3Server", monkeypatch: pytest.MonkeyPatch) -> None:
    connect(s3_server.endpoint)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(StorageError, match=r"no credentials for the store were found .*; set AWS_ACCESS_KEY_ID"):
        require_writable(RemotePath("s3://faces/x"), output=RemotePath("s3://faces/x"))


def test_naming_a_url_imports_no_store() -> None:
    code = (
        "import sys; from vec2face.fileio.location import parse_location; parse_location('s3://b/x');"
        "sys.exit('fsspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
