"""Foreign sets as datasets: what goes in comes out, in every format and back, and what is hostile stays out."""

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import lmdb
import msgpack
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.data.faces import jpeg, npy, write_folders, write_im2rec, write_insightface, write_shards
from tests.interchange.sets import FORMATS, content, options, tree
from vec2face.config.recognition import DatasetOptions
from vec2face.data.formats.lmdb_file import write_lmdb
from vec2face.data.formats.lmdb_values import LmdbValue
from vec2face.data.readers import open_reader
from vec2face.errors import DatasetError, InputError
from vec2face.fileio.images import encode_image
from vec2face.fileio.tar import write_tar
from vec2face.generation.recipe import find_recipe
from vec2face.generation.verify import verify
from vec2face.interchange.export import export
from vec2face.interchange.imports import import_set
from vec2face.training.recognizer_index import index_set


def describe(dataset: Path) -> dict:
    return json.loads((dataset / "dataset.json").read_text())


@pytest.mark.parametrize("format", FORMATS)
def test_there_and_back(dataset: Path, tmp_path: Path, format: str) -> None:
    export(dataset, tmp_path / "there", images_per_file=10, **options(format))  # type: ignore[arg-type]
    import_set(tmp_path / "there", tmp_path / "back", images_per_shard=7)
    back = tmp_path / "back"
    assert content(back) == content(dataset)
    result = verify(back)
    assert result.whole
    assert (result.images, result.shards) == (23, 4)
    assert [record.person for record in open_reader(back)] == [record.person for record in open_reader(dataset)]
    before = pq.read_table(dataset / "metadata.parquet").to_pylist()[1:]
    after = pq.read_table(back / "metadata.parquet").to_pylist()
    assert [row["identity"] for row in after] == [row["identity"] for row in before]
    if format in ("folder", "parquet", "webdataset"):
        for name in ("seed", "sigma", "mask_rate"):
            assert [row[name] for row in after] == [row[name] for row in before]
    else:
        assert {row["sigma"] for row in after} == {None}
    # And there again: the formats hold the same as the first time.
    export(back, tmp_path / "again", images_per_file=10, **options(format))  # type: ignore[arg-type]
    assert content(tmp_path / "again") == content(dataset)


FOREIGN: dict[str, Callable[[Path], Path]] = {
    "folder": lambda root: write_folders(root / "faces", ["bob", "ann"]),
    "webdataset": lambda root: write_shards(root / "faces"),
    "recordio": lambda root: write_insightface(root / "train.rec", [0, 0, 7, 9]),
    "lmdb": lambda root: (
        (write_lmdb(root / "f.lmdb", [LmdbValue(jpeg(i), i % 2) for i in range(4)], classes=2), root)[1] / "f.lmdb"
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_sets_become_datasets(tmp_path: Path, kind: str) -> None:
    source = FOREIGN[kind](tmp_path)
    written = import_set(source, tmp_path / "out", expected=kind, licence="ours", consent="given")  # type: ignore[arg-type]
    assert [data for _, data in content(tmp_path / "out")] == [data for _, data in content(source)]
    assert sorted({label for label, _ in content(tmp_path / "out")}) == list(range(written.people))  # type: ignore[type-var]
    description = describe(tmp_path / "out")
    assert description["origin"]["command"] == "import"
    assert description["origin"]["terms"] == {"licence": "ours", "consent": "given"}
    assert description["origin"]["sources"][0]["name"] == source.name
    rows = list(csv.DictReader((tmp_path / "out" / "origin.csv").open()))
    assert len(rows) == written.people
    if kind == "recordio":
        assert [row["source_label"] for row in rows] == ["0", "7", "9"]
    if kind == "folder":
        assert [row["person"] for row in rows] == ["ann", "bob"]
    indexed = index_set(tmp_path / "out", DatasetOptions(), cache=tmp_path / "cache.npz", on_note=print)
    assert indexed.classes == written.people
    again = import_set(source, tmp_path / "out", expected=kind, licence="ours", consent="given")  # type: ignore[arg-type]
    assert again.written == 0


def test_vectors_and_landmarks_are_kept(tmp_path: Path) -> None:
    vectors = [np.arange(4, dtype=np.float32) + i for i in range(4)]
    values = [LmdbValue(jpeg(i), i // 2, vectors[i], jpeg(100 + i)) for i in range(4)]
    write_lmdb(tmp_path / "poses.lmdb", values, classes=2)
    import_set(tmp_path / "poses.lmdb", tmp_path / "out")
    assert verify(tmp_path / "out").whole
    export(tmp_path / "out", tmp_path / "back", to="lmdb", features="stored")
    stored = [(r.data, r.feature.tolist(), r.facts) for r in open_reader(tmp_path / "back")]  # type: ignore[union-attr]
    assert stored == [(jpeg(i), vectors[i].tolist(), {"landmark_image": jpeg(100 + i)}) for i in range(4)]


def test_a_foreign_table_of_facts_becomes_columns(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "faces", ["ann", "bob"])
    (root / "metadata.csv").write_text(
        "file_name,age,glasses,note\nbob/0.jpg,31,true,\nann/1.jpg,44.5,false,side view\n"
    )
    import_set(root, tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "metadata.parquet")
    assert table["age"].to_pylist() == [None, 44.5, 31.0, None]
    assert table["glasses"].to_pylist() == [None, False, True, None]
    assert table["note"].to_pylist() == [None, "side view", None, None]
    assert table["source_key"].to_pylist() == ["ann/0.jpg", "ann/1.jpg", "bob/0.jpg", "bob/1.jpg"]


def test_an_imported_dataset_is_not_generated_on(tmp_path: Path) -> None:
    import_set(write_folders(tmp_path / "faces", ["ann", "bob"]), tmp_path / "out")
    with pytest.raises(DatasetError, match="was made by 'vec2face import', so there is nothing to generate in it"):
        find_recipe(None, tmp_path / "out", changes={})
    with pytest.raises(InputError, match="is a dataset already; use it as it is"):
        import_set(tmp_path / "out", tmp_path / "other")
    archive = tmp_path / "out" / "shards" / "000000.tar"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    result = verify(tmp_path / "out")
    assert (result.command, [damage.path for damage in result.damaged]) == ("import", [archive])


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    header = tarfile.TarInfo(name)
    header.type, header.size, header.linkname = kind, len(data), link
    archive.addfile(header, io.BytesIO(data))


def hostile_tar(path: Path, name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Path:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, "a.jpg", jpeg(0))
        add(archive, "a.cls", b"0")
        add(archive, name, jpeg(1) if kind == tarfile.REGTYPE else b"", kind, link)
    return path


def lmdb_with(path: Path, value: bytes) -> Path:
    write_lmdb(path, [LmdbValue(jpeg(0), 0), LmdbValue(jpeg(1), 1)], classes=2)
    with lmdb.open(str(path), subdir=False, map_size=0, lock=False) as database, database.begin(write=True) as change:
        change.put(b"1", value)
    return path


def parquet_with(path: Path, image: dict[str, object], label: int = 1) -> Path:
    rows = [{"image": {"bytes": jpeg(0), "path": "0.jpg"}, "label": 0}, {"image": image, "label": label}]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([("image", kind), ("label", pa.int64())])), path)
    return path


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def rec_with_damage(path: Path) -> Path:
    write_im2rec(path, [0, 1])
    data = bytearray(path.read_bytes())
    second = int(path.with_suffix(".idx").read_text().splitlines()[1].split("\t")[1])
    data[second : second + 4] = b"none"
    path.write_bytes(data)
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "parent": (lambda root: hostile_tar(root / "a.tar", "../b.jpg"), r"'../b.jpg', which could reach outside"),
    "absolute": (lambda root: hostile_tar(root / "a.tar", "/etc/b.jpg"), "could reach outside its folder"),
    "drive": (lambda root: hostile_tar(root / "a.tar", "C:\\b.jpg"), "could reach outside its folder"),
    "symbolic link": (
        lambda root: hostile_tar(root / "a.tar", "b.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        "'b.jpg', a link or a device",
    ),
    "hard link": (lambda root: hostile_tar(root / "a.tar", "b.jpg", tarfile.LNKTYPE, "a.jpg"), "a link or a device"),
    "device": (lambda root: hostile_tar(root / "a.tar", "b.jpg", tarfile.CHRTYPE), "a link or a device"),
    "same name twice": (lambda root: hostile_tar(root / "a.tar", "a.jpg"), "two files named 'a.jpg'"),
    "cut archive": (lambda root: cut(hostile_tar(root / "a.tar", "b.jpg"), 3000), "cut short"),
    "no image": (lambda root: write_one(root / "faces", b"<html>"), "is no image: it begins with b'<html>'"),
    "no dataset's image": (lambda root: write_one(root / "faces", gif()), "kind GIF"),
    "not msgpack": (lambda root: lmdb_with(root / "f.lmdb", b"\xc1"), "f.lmdb:1 is not msgpack"),
    "pickle": (lambda root: lmdb_with(root / "f.lmdb", b"\x80\x04cos\nsystem\n."), "f.lmdb:1 is not"),
    "label of text": (
        lambda root: lmdb_with(root / "f.lmdb", msgpack.packb((jpeg(1), "one"))),
        r"f.lmdb:1 is not \(image, label\)",
    ),
    "pickled vector": (
        lambda root: lmdb_with(root / "f.lmdb", msgpack.packb((jpeg(1), npy(np.array([{}], object), pickled=True), 1))),
        "is not a readable .npy array",
    ),
    "cut LMDB": (lambda root: cut(lmdb_with(root / "f.lmdb", b"\xc1"), 8192), "is cut short"),
    "cut record": (lambda root: cut(write_im2rec(root / "a.rec", [0, 1]), -20), "cut short"),
    "damaged record": (lambda root: rec_with_damage(root / "a.rec"), "holds no record at byte"),
    "path in parquet": (
        lambda root: parquet_with(root / "a.parquet", {"bytes": None, "path": "/etc/passwd"}),
        "row 1 holds no image bytes, only a path",
    ),
    "negative label": (
        lambda root: parquet_with(root / "a.parquet", {"bytes": jpeg(1), "path": None}, label=-1),
        "row 1 has the label -1",
    ),
    "cut parquet": (
        lambda root: cut(parquet_with(root / "a.parquet", {"bytes": jpeg(1), "path": None}), 2000),
        "is not a whole parquet file",
    ),
}


def gif() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (112, 112)).save(stream, "GIF")
    return stream.getvalue()


def write_one(root: Path, data: bytes) -> Path:
    (write_folders(root, ["ann", "bob"]) / "bob" / "0.jpg").write_bytes(data)
    return root


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_hostile_or_damaged_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    make, message = HOSTILE[kind]
    source = make(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        import_set(source, tmp_path / "out")
    assert str(caught.value).count("\n") == 0
    assert not (tmp_path / "out").exists()


def test_a_member_that_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vec2face.data.readers.tars.MAX_FILE_BYTES", 100_000)
    write_tar(tmp_path / "a.tar", [("a.jpg", jpeg(0)), ("a.cls", b"0" * 200_000)])
    with pytest.raises(
        InputError, match=r"holds 'a\.cls' of 200000 bytes; no file of a sample may be larger than 100000"
    ):
        import_set(tmp_path / "a.tar", tmp_path / "out")


def test_links_and_names_in_folders_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "eve").mkdir(parents=True)
    (tmp_path / "elsewhere" / "eve" / "0.jpg").write_bytes(jpeg(9))
    root = write_folders(tmp_path / "faces", ["ann"])
    (root / "eve").symlink_to(tmp_path / "elsewhere" / "eve")
    strange = root / 'b\nob,"x"'
    strange.mkdir()
    (strange / "0.jpg").write_bytes(jpeg(5))
    import_set(root, tmp_path / "out")
    export(tmp_path / "out", tmp_path / "back", to="folder")
    assert sorted(name for name in tree(tmp_path / "back") if name.endswith("jpg")) == [
        "0000000/0000.jpg",
        "0000000/0001.jpg",
        "0000001/0000.jpg",
    ]
    rows = list(csv.DictReader((tmp_path / "back" / "metadata.csv").open(newline="")))
    assert rows[2]["identity_name"] == 'b\nob,"x"'


def test_the_expected_format_is_checked(tmp_path: Path) -> None:
    source = write_im2rec(tmp_path / "train.rec", [0, 1])
    with pytest.raises(InputError, match="is MXNet RecordIO, not lmdb; say --from recordio, or leave it out"):
        import_set(source, tmp_path / "out", expected="lmdb")


def test_png_and_webp_keep_their_kind(tmp_path: Path) -> None:
    pixels = np.zeros((112, 112, 3), np.uint8)
    root = tmp_path / "faces" / "ann"
    root.mkdir(parents=True)
    for kind in ("png", "webp"):
        (root / f"a.{kind}").write_bytes(encode_image(pixels, format=kind))
    import_set(tmp_path / "faces", tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "shards" / "000000.tar") as archive:
        assert [name for name in archive.getnames() if not name.endswith(("cls", "json"))] == [
            "0000000_0000.png",
            "0000000_0001.webp",
        ]
    assert verify(tmp_path / "out").whole
