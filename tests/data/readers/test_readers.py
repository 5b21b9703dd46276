"""Every format through the one interface: what goes in comes out, at any position, in any process."""

import io
import multiprocessing
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.faces import jpeg, npy, write_folders, write_im2rec, write_insightface, write_shards
from vec2face.data.formats.lmdb_file import write_lmdb
from vec2face.data.formats.lmdb_values import LmdbValue
from vec2face.data.formats.recordio import PackHeader, pack
from vec2face.data.formats.recordio_file import RecordWriter
from vec2face.data.readers import FaceReader, open_reader
from vec2face.errors import InputError
from vec2face.fileio.tar import write_tar

LABELS = [0, 0, 1, 2, 2]


def make_lmdb(path: Path, *, features: bool = False) -> Path:
    vectors = [np.full(4, i, np.float32) if features else None for i in range(5)]
    write_lmdb(path, (LmdbValue(jpeg(i), LABELS[i], vectors[i]) for i in range(5)), classes=3)
    return path


SOURCES: dict[str, Callable[[Path], str | Path]] = {
    "folders": lambda root: write_folders(root / "set", ["ann", "bob", "cid"]),
    "shards": lambda root: write_shards(root / "set"),
    "pattern": lambda root: f"{write_shards(root / 'set')}/{{000000..000001}}.tar",
    "insightface": lambda root: write_insightface(root / "train.rec", LABELS),
    "im2rec": lambda root: write_im2rec(root / "train.rec", LABELS),
    "lmdb": lambda root: make_lmdb(root / "set.lmdb"),
    "lmdb-features": lambda root: make_lmdb(root / "set.lmdb", features=True),
}


@pytest.fixture(params=SOURCES)
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> FaceReader:
    return open_reader(SOURCES[request.param](tmp_path))


def summary(reader: FaceReader) -> list[tuple[str, bytes, int | None, str | None]]:
    return [(record.key, record.data, record.label, record.person) for record in reader]


def test_order_positions_and_windows_agree(reader: FaceReader) -> None:
    everything = summary(reader)
    assert len(everything) == len(reader) >= 5
    assert reader.labelled
    for index, expected in enumerate(everything):
        record = reader.record(index)
        assert (record.key, record.data, record.label, record.person) == expected
        assert record.decode().shape == (112, 112, 3)
    assert [record.key for record in reader.records(2, 4)] == [row[0] for row in everything[2:4]]
    assert list(reader.records(len(reader))) == []
    for beyond in (-1, len(reader)):
        with pytest.raises(IndexError):
            reader.record(beyond)
    assert len(list(reader.files())) >= 1


def test_a_reader_goes_through_pickle_and_into_other_processes(reader: FaceReader) -> None:
    everything = summary(reader)
    assert summary(pickle.loads(pickle.dumps(reader))) == everything  # noqa: S301  our own bytes
    # A fork with the files open, as data loaders do it: parent and child must not move each other's place in a file.
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pending = pool.apply_async(summary, (reader,))
        assert summary(reader) == everything
        assert pending.get(timeout=60) == everything


def test_two_readers_of_one_file(tmp_path: Path) -> None:
    path = make_lmdb(tmp_path / "set.lmdb")
    assert summary(open_reader(path)) == summary(open_reader(path))


def test_folders(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "set", ["bob", "ann"])
    (root / "ann" / "notes.txt").write_text("")
    (root / "ann" / ".hidden.jpg").write_bytes(b"")
    reader = open_reader(root)
    assert [record.key for record in reader] == ["ann/0.jpg", "ann/1.jpg", "bob/0.jpg", "bob/1.jpg"]
    assert [record.label for record in reader] == [0, 0, 1, 1]
    assert (reader.classes, reader.passed_over) == (2, (1, "ann/notes.txt"))
    alone = open_reader(root, people="none")
    assert not alone.labelled
    assert alone.record(0).person is None
    flat = open_reader(root / "bob")
    assert (flat.labelled, flat.classes, flat.record(1).key) == (False, None, "1.jpg")


def test_folders_that_cannot_be_told_apart(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "set", ["ann"])
    (root / "other.jpg").write_bytes(jpeg(0))
    with pytest.raises(InputError, match="unclear whether a folder is a person; say --people"):
        open_reader(root)
    assert len(open_reader(root, people="none")) == 3
    with pytest.raises(InputError, match="stands in no folder"):
        open_reader(root, people="folders")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("")
    with pytest.raises(InputError, match=r"holds no images \(it holds 'a.txt'\)"):
        open_reader(tmp_path / "empty")


def test_shards_carry_labels_facts_and_features(tmp_path: Path) -> None:
    record = open_reader(write_shards(tmp_path)).record(4)
    assert (record.key, record.label, record.person, record.facts) == ("0004", 3, "3", {"sigma": 0.5})
    assert record.feature is not None
    assert record.mirror_feature is not None
    assert record.feature.dtype == np.float32
    assert (record.feature.tolist(), record.mirror_feature.tolist()) == ([4.0] * 4, [-4.0] * 4)
    assert not open_reader(tmp_path, people="none").labelled


def test_folders_in_a_tar_name_people(tmp_path: Path) -> None:
    path = tmp_path / "faces.tar"
    members = [
        ("B.J._Upton/a.1.jpg", jpeg(0)),
        ("ann/b.jpg", jpeg(1)),
        ("B.J._Upton/c.jpg", jpeg(2)),
        ("README.md", b""),
    ]
    write_tar(path, [*members, ("ann/.hidden.jpg", b"")])
    reader = open_reader(path)
    assert [(r.key, r.label, r.person) for r in reader] == [
        ("B.J._Upton/a.1", 0, "B.J._Upton"),
        ("ann/b", 1, "ann"),
        ("B.J._Upton/c", 0, "B.J._Upton"),
    ]
    assert (reader.classes, reader.passed_over) == (2, (1, "README.md"))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.jpg", b"1"), ("b.jpg", b"2"), ("a.cls", b"0")], r"holds 'a.cls' without its image next to it"),
        ([("a.jpg", b"1"), ("a.cls", b"0"), ("b.jpg", b"2")], r"has a .cls file for 1 of its 2 images"),
        ([("a.jpg", b"1"), ("a.png", b"2")], "several images for the sample 'a'"),
        ([("a.jpg", b"1"), ("a.cls", b"one")], r"a.cls must hold the number of a person, not b'one'"),
        ([("a.jpg", b"1"), ("a.json", b"[1]")], "a.json must hold a JSON object"),
        ([("a.jpg", b"1"), ("a.json", b"{")], "a.json is not readable JSON"),
        ([("a.jpg", b"1"), ("a.npy", npy(np.zeros((3, 4), np.float32)))], r"a.npy is of shape \(3, 4\)"),
        ([("a.txt", b"1")], r"holds no images \(it holds 'a.txt'\)"),
        ([("p/a.jpg", b"1"), ("b.jpg", b"1")], "say --people"),
    ],
)
def test_damaged_shards_are_refused(tmp_path: Path, members: list[tuple[str, bytes]], message: str) -> None:
    write_tar(tmp_path / "a.tar", members)
    with pytest.raises(InputError, match=message):
        list(open_reader(tmp_path / "a.tar"))


@pytest.mark.parametrize(("name", "kind"), [("../a.jpg", b"0"), ("/a.jpg", b"0"), ("a.jpg", b"2"), ("a.jpg", b"1")])
def test_hostile_shards_are_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        header = tarfile.TarInfo(name)
        header.type, header.linkname = kind, "/etc/passwd"
        archive.addfile(header, io.BytesIO(b""))
    with pytest.raises(InputError, match=r"reach outside|link or a device"):
        len(open_reader(tmp_path / "a.tar"))


def test_a_shard_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_shards(tmp_path, shards=1) / "000000.tar"
    whole = path.read_bytes()
    for length in (600, 6000, 9000):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut short|unexpected end of data"):
            len(open_reader(path))


def test_both_dialects_of_recordio(tmp_path: Path) -> None:
    header = open_reader(write_insightface(tmp_path / "a.rec", LABELS))
    plain = open_reader(write_im2rec(tmp_path / "b.rec", LABELS))
    assert [record.label for record in header] == [record.label for record in plain] == LABELS
    assert [record.key for record in header] == ["1", "2", "3", "4", "5"]
    assert [record.key for record in plain] == ["0", "1", "2", "3", "4"]
    assert (header.classes, plain.classes) == (3, None)
    (tmp_path / "property").write_text("3,112,112\n")
    assert (header.classes, plain.classes) == (3, 3)
    (tmp_path / "property").write_text("4,112,112\n")
    with pytest.raises(InputError, match=r"says 4 people, but .* has records of 3"):
        _ = header.classes
    (tmp_path / "property").write_text("many")
    with pytest.raises(InputError, match="must hold 'people,height,width'"):
        _ = plain.classes


@pytest.mark.parametrize("write", [write_insightface, write_im2rec])
def test_recordio_without_its_index(tmp_path: Path, write: Callable[[Path, list[int]], Path]) -> None:
    path = write(tmp_path / "a.rec", LABELS)
    expected = summary(open_reader(path))
    path.with_suffix(".idx").unlink()
    assert summary(open_reader(path)) == expected


def test_a_list_names_the_images(tmp_path: Path) -> None:
    path = write_im2rec(tmp_path / "a.rec", LABELS)
    path.with_suffix(".lst").write_bytes("".join(f"{i}\t{LABELS[i]}\tp/{i} é.jpg\n" for i in (3, 0, 1)).encode())
    assert [record.key for record in open_reader(path)] == ["p/0 é.jpg", "p/1 é.jpg", "2", "p/3 é.jpg", "4"]
    path.with_suffix(".lst").write_bytes(b"no list\n")
    with pytest.raises(InputError, match="index, label and path"):
        list(open_reader(path))


def test_several_labels_and_the_limit_of_float32(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write(1, pack(PackHeader((4.0, 0.25)), jpeg(0)))
        writer.write(2, pack(PackHeader(4.5), jpeg(0)))
    reader = open_reader(tmp_path / "a.rec")
    assert (reader.record(0).label, reader.record(0).facts["labels"]) == (4, [4.0, 0.25])
    with pytest.raises(InputError, match=r"label 4.5, which is no number of a person"):
        reader.record(1)


def test_a_header_beyond_exact_float32_is_not_believed(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec") as writer:
        for key in (1, 2, 3):
            writer.write(key, pack(PackHeader(0.0), jpeg(0)))
        writer.write(4, pack(PackHeader((1.0, 4.0)), b""))
        # 2^24 + 1 is no float32: what is stored says one image too few, and cannot be trusted.
        writer.write(0, pack(PackHeader((float(2**24), float(2**24))), b""))
    reader = open_reader(tmp_path / "a.rec")
    assert (len(reader), reader.classes) == (3, 1)


def test_damaged_recordio_is_refused(tmp_path: Path) -> None:
    path = write_insightface(tmp_path / "a.rec", LABELS)
    index, whole = path.with_suffix(".idx"), path.read_bytes()
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(lines[:2] + lines[3:]))
    with pytest.raises(InputError, match="promises 5 images, but its index has 4"):
        open_reader(path)
    index.write_text("".join(lines))
    path.write_bytes(whole[:-60])
    with pytest.raises(InputError, match="do not belong together, or the file is cut short"):
        open_reader(path)
    index.unlink()
    with pytest.raises(InputError, match="cut short inside the record"):
        open_reader(path)
    index.write_text("1\t0\n2\t4\n")
    path.write_bytes(whole)
    with pytest.raises(InputError, match="holds no record at byte 4"):
        list(open_reader(path))
    index.write_text("1\t0\n1\t0\n")
    with pytest.raises(InputError, match="names the key 1 twice"):
        open_reader(path)
    index.write_text("")
    with pytest.raises(InputError, match="is empty"):
        open_reader(path)


def test_lmdb_with_and_without_features(tmp_path: Path) -> None:
    with_features = open_reader(make_lmdb(tmp_path / "a.lmdb", features=True)).record(3)
    assert with_features.feature is not None
    assert with_features.feature.tolist() == [3.0] * 4
    assert with_features.mirror_feature is None
    plain = open_reader(make_lmdb(tmp_path / "b.lmdb"))
    assert plain.classes == 3
    assert plain.record(3).feature is None


def write_raw_lmdb(path: Path, entries: dict[bytes, bytes]) -> Path:
    import lmdb

    with lmdb.open(str(path), subdir=False, lock=False) as database, database.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key, value)
    return path


def test_lmdb_of_other_keys_and_damaged_ones(tmp_path: Path) -> None:
    from msgpack import packb

    value = packb((jpeg(0), 1))
    named = {b"x": value, b"y": value, b"__len__": packb(2), b"__keys__": packb([b"y", b"x"])}
    assert [record.key for record in open_reader(write_raw_lmdb(tmp_path / "a.lmdb", named))] == ["y", "x"]
    for name, entries, message in (
        ("b", {b"0": value}, "another layout: it has no __len__"),
        ("c", {b"__len__": packb(0)}, "holds no images"),
        ("d", {b"__len__": packb(2), b"0": value}, "another layout: it has no __keys__"),
        ("e", {**named, b"__keys__": packb([b"x"])}, "states 2 images, but lists 1 keys"),
        ("f", {**named, b"__keys__": packb([b"x", b"z"])}, "none under the key 'z'"),
        ("g", {b"__len__": packb(1), b"0": packb([1, 2, 3])}, r"g.lmdb:0 is not \(image, label\)"),
    ):
        path = write_raw_lmdb(tmp_path / f"{name}.lmdb", entries)
        with pytest.raises(InputError, match=message):
            list(open_reader(path))


def test_an_lmdb_cut_short_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    path = make_lmdb(tmp_path / "a.lmdb")
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(InputError, match="cut short"):
        open_reader(path)


def test_bytes_that_are_no_image_are_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("a.jpg", b"no image")])
    with pytest.raises(InputError, match=r"a\.tar:a is not an image"):
        open_reader(tmp_path / "a.tar").record(0).decode()
