"""A source is told by what it holds; what is unclear is said."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.faces import jpeg, write_folders, write_im2rec, write_shards
from tests.data.readers.test_readers import make_lmdb
from vec2face.data.readers import open_reader
from vec2face.errors import InputError
from vec2face.fileio.atomic import write_json


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards")
    (shards / "000000.tar").rename(tmp_path / "shards.bin")
    assert open_reader(tmp_path / "shards.bin").format == "WebDataset archives"
    make_lmdb(tmp_path / "a.lmdb").rename(tmp_path / "plain")
    assert open_reader(tmp_path / "plain").format == "LMDB"
    write_im2rec(tmp_path / "a.rec", [0]).rename(tmp_path / "b.data")
    assert open_reader(tmp_path / "b.data").format == "MXNet RecordIO"


def test_folders_of_each_kind(tmp_path: Path) -> None:
    write_im2rec(tmp_path / "rec" / "train.rec", [0])
    (tmp_path / "rec" / "property").write_text("1,112,112")
    make_lmdb(tmp_path / "lmdb" / "a.lmdb")
    make_lmdb(tmp_path / "env" / "data.mdb")
    write_shards(tmp_path / "tars")
    write_folders(tmp_path / "people", ["ann"])
    formats = {name: open_reader(tmp_path / name).format for name in ("rec", "lmdb", "env", "tars", "people")}
    assert formats == {
        "rec": "MXNet RecordIO",
        "lmdb": "LMDB",
        "env": "LMDB",
        "tars": "WebDataset archives",
        "people": "image folder",
    }


def test_a_generated_dataset_is_read_and_an_unfinished_one_refused(
    tmp_path: Path, build_dataset: Callable[..., Path]
) -> None:
    dataset = build_dataset(tmp_path / "dataset", identities=5, images=2)
    reader = open_reader(dataset)
    assert (reader.format, len(reader), reader.classes) == ("generated dataset", 10, 5)
    record = reader.record(3)
    assert (record.key, record.label, record.person, record.facts["image"]) == ("0000001_0001", 1, "person-1", 1)
    (dataset / "shards" / "000001.json").unlink()
    with pytest.raises(InputError, match=r"000001\.tar or its manifest is missing; run 'vec2face generate"):
        open_reader(dataset)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tar.gz", gzip.compress(b"x"), "compressed by gzip; decompress it"),
        ("a.zip", b"PK\x03\x04", "is a zip file; unpack it"),
        ("lfw.bin", b"\x80\x04", "looks like a pickle"),
        ("a.jpg", jpeg(0), "is a single image; name the folder"),
        ("a.idx", b"0\t0\n", r"belongs to a RecordIO set; name its \.rec file"),
        ("a.csv", b"a,b\n", r"neither a tar, nor RecordIO, LMDB or parquet \(it begins with b'a,b"),
        ("empty", b"", "neither a tar"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_reader(tmp_path / name)


def test_several_things_at_once_are_listed(tmp_path: Path) -> None:
    write_shards(tmp_path / "a")
    (tmp_path / "a" / "x.jpg").write_bytes(jpeg(0))
    with pytest.raises(InputError, match=r"unclear what to read .*2 tar files .*1 image files"):
        open_reader(tmp_path / "a")
    write_im2rec(tmp_path / "b" / "1.rec", [0])
    write_im2rec(tmp_path / "b" / "2.rec", [0])
    with pytest.raises(InputError, match=r"holds 2 RecordIO files \(1\.rec, 2\.rec\); name one"):
        open_reader(tmp_path / "b")


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file or folder"):
        open_reader(tmp_path / "nothing")
    with pytest.raises(InputError, match="stands for 3 files, but there is no"):
        open_reader(f"{tmp_path}/{{0..2}}.tar")
    with pytest.raises(InputError, match="no numbers, or more than a million"):
        open_reader(f"{tmp_path}/{{0..99999999999}}.tar")
    for name in ("images.npy", "index.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match="is a face pack already"):
        open_reader(tmp_path)


def test_an_unfinished_prepared_folder_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "prepare.json", {})
    with pytest.raises(InputError, match="is not finished; run 'vec2face data prepare'"):
        open_reader(tmp_path)
    (tmp_path / "prepared.json").write_text("[")
    with pytest.raises(InputError, match="is damaged: it is not a JSON object"):
        open_reader(tmp_path)
    write_json(tmp_path / "prepared.json", {"shards": "many"})
    with pytest.raises(InputError, match="does not say how many shards"):
        open_reader(tmp_path)


def test_patterns_expand_in_order(tmp_path: Path) -> None:
    write_shards(tmp_path / "a", shards=3, images=1)
    for pattern, keys in (
        ("{000000..000002}", ["0000", "0001", "0002"]),
        ("{000002,000001}", ["0002", "0001"]),
        ("00000{1..2}", ["0001", "0002"]),
    ):
        assert [record.key for record in open_reader(f"{tmp_path}/a/{pattern}.tar")] == keys
