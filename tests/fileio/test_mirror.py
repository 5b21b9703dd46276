"""Local copies of folders and files behind URLs."""

import uuid
from pathlib import Path

import pytest

from vec2face.errors import InputError, StorageError
from vec2face.fileio import mirror
from vec2face.fileio.atomic import write_text
from vec2face.fileio.mirror import local_file, local_folder, local_version, send_back
from vec2face.fileio.remote import RemotePath


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RemotePath:
    monkeypatch.setenv("VEC2FACE_CACHE", str(tmp_path / "copies"))
    place = RemotePath(f"memory://{uuid.uuid4().hex}/faces")
    write_text(place / "a.txt", "one")
    write_text(place / "deep" / "b.txt", "two")
    return place


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is downloaded."""
    names: list[str] = []
    download = RemotePath.download

    def recorded(self: RemotePath, local: Path) -> None:
        names.append(self.name)
        download(self, local)

    monkeypatch.setattr(RemotePath, "download", recorded)
    return names


def test_a_path_is_its_own_copy(tmp_path: Path) -> None:
    assert local_folder(tmp_path) == local_file(tmp_path) == tmp_path
    send_back(tmp_path, files=["not there"])


def test_a_copy_follows_its_folder(folder: RemotePath, fetched: list[str]) -> None:
    copy = local_folder(folder)
    assert (copy / "deep" / "b.txt").read_text() == "two"
    assert sorted(fetched) == ["a.txt", "b.txt"]
    fetched.clear()
    write_text(folder / "a.txt", "new")
    (folder / "deep" / "b.txt").unlink()
    (copy / "own.npy").write_bytes(b"kept")
    assert local_folder(folder) == copy
    assert fetched == ["a.txt"]
    assert (copy / "a.txt").read_text() == "new"
    assert not (copy / "deep" / "b.txt").exists()
    assert (copy / "own.npy").exists()


def test_a_copy_that_was_changed_or_lost_is_fetched_again(folder: RemotePath, fetched: list[str]) -> None:
    copy = local_folder(folder)
    fetched.clear()
    (copy / "a.txt").write_text("edited")
    (copy / "deep" / "b.txt").unlink()
    local_folder(folder)
    assert sorted(fetched) == ["a.txt", "b.txt"]
    assert (copy / "a.txt").read_text() == "one"


def test_what_was_written_is_sent_back(folder: RemotePath, fetched: list[str]) -> None:
    copy = local_folder(folder)
    write_text(folder / "report" / "old.png", "of an earlier audit")
    write_text(copy / "report" / "facts.json", "{}")
    write_text(copy / "report" / "cache" / "vectors.npy", "large")
    write_text(copy / "a.txt", "with more columns")
    send_back(folder, files=["a.txt"], folders=["report"], but="cache")
    assert list(folder.files()) == ["a.txt", "deep/b.txt", "report/facts.json"]
    assert (folder / "a.txt").read_text() == "with more columns"
    fetched.clear()
    local_folder(folder)
    assert fetched == []


def test_nothing_there_is_told(folder: RemotePath) -> None:
    with pytest.raises(InputError, match=f"there is nothing at {folder}x"):
        local_folder(RemotePath(f"{folder}x"))


def test_a_name_that_leads_outside_is_refused(folder: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {**folder.files(), "../outside": (folder / "a.txt").stat()}
    monkeypatch.setattr(RemotePath, "files", lambda self: files)
    with pytest.raises(InputError, match=r"a file named '../outside', which is refused"):
        local_folder(folder)


def test_a_disk_too_small_for_the_copy_is_told_before_it_fills(
    folder: RemotePath, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 3}))
    with pytest.raises(StorageError, match=r"needs 0.0 MB more in .*; name a larger disk by VEC2FACE_CACHE"):
        local_folder(folder)
    assert fetched == []


def test_a_version_never_changes(folder: RemotePath, fetched: list[str]) -> None:
    first = {"a.txt": (folder / "a.txt").stat()}
    copy = local_version(folder, first)
    assert local_version(folder, first) == copy
    assert fetched == ["a.txt"]
    write_text(folder / "a.txt", "another")
    assert local_file(folder / "a.txt").read_text() == "another"
    assert (copy / "a.txt").read_text() == "one"


def test_a_version_that_cannot_be_fetched_leaves_nothing(folder: RemotePath, tmp_path: Path) -> None:
    gone = {"a.txt": (folder / "a.txt").stat(), "gone": (folder / "a.txt").stat()}
    with pytest.raises(StorageError, match=f"{folder}/gone has gone while it was read"):
        local_version(folder, gone)
    assert [entry.suffix for entry in (tmp_path / "copies" / "versions").iterdir()] == [".lock"]
