"""Sets whose place is a URL: equal to those in folders, stopped and gone on with, never mixed with others."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.interchange.sets import FORMATS, content, options, tree
from vec2face.errors import InputError, StorageError
from vec2face.fileio.atomic import write_bytes
from vec2face.fileio.mirror import local_copy
from vec2face.fileio.remote import RemotePath
from vec2face.interchange import outbound
from vec2face.interchange.choose import Wanted, split, subset
from vec2face.interchange.export import export
from vec2face.interchange.merge import merge


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RemotePath:
    monkeypatch.setenv("VEC2FACE_CACHE", str(tmp_path / "copies"))
    return RemotePath(f"memory://{tmp_path.name}")


def fail_at(monkeypatch: pytest.MonkeyPatch, nth: int, error: type[BaseException]) -> None:
    """Break the upload of the nth file, counted from 1, and of all after it."""
    original, sent = RemotePath.upload, []

    def upload(self: RemotePath, local: Path, **rest: Any) -> None:
        if self.name != ".vec2face-probe":
            sent.append(self)
            if len(sent) >= nth:
                raise error("the line is cut")
        original(self, local, **rest)

    monkeypatch.setattr(RemotePath, "upload", upload)
    monkeypatch.setattr(outbound, "_AT_ONCE", 1)


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_to_a_url_is_that_to_a_folder(dataset: Path, place: RemotePath, tmp_path: Path, format: str) -> None:
    out = place / "set"
    written = export(dataset, out, **options(format), images_per_file=5)
    export(dataset, tmp_path / "set", **options(format), images_per_file=5)
    assert written.sentence.startswith(f"{out}: 23 images of 6 people as ")
    assert tree(local_copy(out)) == tree(tmp_path / "set")
    # What is kept here is not the set.
    here = [path.name for path in (tmp_path / "copies" / "outgoing").rglob("*") if path.is_file()]
    assert sorted(here)[-2:] == ["export.json", "uploaded.json"]
    assert len([name for name in here if not name.endswith(".lock")]) == 2
    assert export(dataset, out, **options(format), images_per_file=5).written == 0


@pytest.mark.parametrize("error", [StorageError, KeyboardInterrupt])
@pytest.mark.parametrize("nth", [1, 2, 5])
def test_a_stopped_upload_goes_on(
    dataset: Path, place: RemotePath, tmp_path: Path, error: type[BaseException], nth: int
) -> None:
    out = place / "set"
    with pytest.MonkeyPatch.context() as broken:
        fail_at(broken, nth, error)
        with pytest.raises(error, match="the line is cut"):
            export(dataset, out, to="webdataset", images_per_file=5)
    assert len(out.files()) == nth - 1
    assert "export.json" not in out.files()
    # As a killed run leaves it: it uploaded more than it took down.
    record = next((tmp_path / "copies" / "outgoing").glob("*/uploaded.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), "arrived": {}}))
    export(dataset, out, to="webdataset", images_per_file=5)
    export(dataset, tmp_path / "set", to="webdataset", images_per_file=5)
    assert tree(local_copy(out)) == tree(tmp_path / "set")


def test_what_others_put_there_is_left_alone(dataset: Path, place: RemotePath) -> None:
    write_bytes(place / "set" / "notes.txt", b"mine")
    with pytest.raises(InputError, match=r"set holds notes.txt, which this command has not put there; choose another"):
        export(dataset, place / "set", to="lmdb")
    assert list((place / "set").files()) == ["notes.txt"]


def test_another_command_does_not_take_the_place(dataset: Path, place: RemotePath) -> None:
    subset(dataset, place / "set", Wanted(last=2))
    with pytest.raises(InputError, match=rf"{place}/set exists already, and is not what this command makes"):
        subset(dataset, place / "set", Wanted(last=3))
    assert subset(dataset, place / "set", Wanted(last=2)).written == 0


def test_a_set_that_was_damaged_or_removed_there_is_noticed(dataset: Path, place: RemotePath) -> None:
    out = place / "set"
    subset(dataset, out, Wanted(last=2))
    write_bytes(out / "origin.csv", b"another")
    with pytest.raises(InputError, match=r"set holds origin.csv, which this command has not put there"):
        subset(dataset, out, Wanted(last=2))
    for name in out.files():
        (out / name).unlink()
    assert subset(dataset, out, Wanted(last=2)).written == 7
    assert len(content(local_copy(out))) == 7


def test_parts_of_a_dataset_behind_a_url_are_split_and_joined_there(dataset: Path, place: RemotePath) -> None:
    for name in (path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file()):
        write_bytes(place / "faces" / name, (dataset / name).read_bytes())
    parts = split(str(place / "faces"), place / "parts", {"a": 0.5, "b": 0.5})
    assert [str(part.out) for part in parts] == [f"{place}/parts/a", f"{place}/parts/b"]
    whole = merge([str(part.out) for part in parts], place / "whole")
    assert (whole.images, whole.people) == (23, 6)
    described = json.loads((place / "whole" / "dataset.json").read_bytes())
    assert [source["name"] for source in described["origin"]["sources"]] == ["a", "b"]
    assert sorted(content(local_copy(place / "whole"))) != []
    assert {data for _, data in content(local_copy(place / "whole"))} == {data for _, data in content(dataset)}
