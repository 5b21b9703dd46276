"""Exports, read by the readers that others use, or byte by byte as the formats say."""

import csv
import io
import json
import struct
from pathlib import Path

import lmdb
import msgpack
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.data.faces import jpeg, write_folders, write_im2rec
from tests.interchange.sets import FORMATS, content, options, tree
from vec2face.data.readers import open_reader
from vec2face.errors import DatasetError, InputError
from vec2face.fileio.atomic import sha256_file
from vec2face.interchange.export import export
from vec2face.interchange.writers.base import SetFacts
from vec2face.interchange.writers.recordio import EXACT_LABELS, InsightfaceWriter


def exported(dataset: Path, out: Path, format: str, **more: object) -> Path:
    export(dataset, out, images_per_file=10, **options(format), **more)  # type: ignore[arg-type]
    return out


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_keeps_bytes_labels_and_names(dataset: Path, tmp_path: Path, format: str) -> None:
    out = exported(dataset, tmp_path / "out", format)
    assert content(out) == content(dataset)
    assert not (tmp_path / "out.partial").exists()
    rows = list(csv.DictReader((out / "labels.csv").open()))
    assert [(row["label"], row["person"], row["images"]) for row in rows[:2]] == [
        ("0", "person-0", "3"),
        ("1", "person-1", "4"),
    ]
    described = json.loads((out / "export.json").read_text())
    assert (described["images"], described["people"], described["format"]) == (23, 6, format)
    for file in described["files"]:
        assert sha256_file(out / file["name"]) == file["sha256"]
    assert described["source"]["fingerprint"] == json.loads((dataset / "dataset.json").read_text())["fingerprint"]


def test_the_same_command_finds_nothing_to_do_and_another_is_refused(dataset: Path, tmp_path: Path) -> None:
    out = exported(dataset, tmp_path / "out", "lmdb")
    before = tree(out)
    assert export(dataset, out, to="lmdb", images_per_file=10).written == 0
    assert tree(out) == before
    assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(InputError, match="exists already, and is not what this command makes"):
        export(dataset, out, to="webdataset")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="other exists already"):
        export(dataset, tmp_path / "other", to="lmdb")
    with pytest.raises(InputError, match="lies inside"):
        export(dataset, dataset / "out", to="lmdb")


def rec_payload(data: bytes, offset: int) -> bytes:
    """Read one record as dmlc-core's recordio.h describes it; nothing here is split, since no image holds the magic."""
    magic, length = struct.unpack_from("<II", data, offset)
    assert magic == 0xCED7230A
    assert length >> 29 == 0
    return data[offset + 8 : offset + 8 + length]


def header(payload: bytes) -> tuple[list[float], int, int, bytes]:
    """Take apart a payload as mxnet's recordio.unpack does: labels, id, id2, image."""
    flag, label, number, second = struct.unpack_from("<IfQQ", payload)
    labels = list(struct.unpack_from(f"<{flag}f", payload, 24)) if flag else [label]
    return labels, number, second, payload[24 + 4 * flag :]


def test_insightface_dialect_as_arcface_torch_reads_it(dataset: Path, tmp_path: Path) -> None:
    out = exported(dataset, tmp_path / "out", "recordio-insightface")
    data = (out / "train.rec").read_bytes()
    offsets = dict(tuple(map(int, line.split("\t"))) for line in (out / "train.idx").read_text().splitlines())
    bounds, _, second, nothing = header(rec_payload(data, offsets[0]))
    # arcface_torch: with a flag above 0, the images are those under the keys 1 up to, not including, the first label.
    assert (bounds, second, nothing) == ([24.0, 30.0], 1, b"")
    found = [header(rec_payload(data, offsets[key])) for key in range(1, int(bounds[0]))]
    assert [(int(labels[0]), image) for labels, _, _, image in found] == content(dataset)
    assert [number for _, number, _, _ in found] == list(range(1, 24))
    people = [header(rec_payload(data, offsets[key]))[0] for key in range(24, 30)]
    assert people == [[1, 4], [4, 8], [8, 12], [12, 16], [16, 20], [20, 24]]
    assert (out / "property").read_text() == "6,112,112\n"
    assert sorted(offsets) == list(range(30))
    assert offsets[0] + 8 + len(rec_payload(data, offsets[0])) == len(data)
    assert (out / "train.lst").read_text().splitlines()[3] == "4\t1\t0000001/0000.jpg"


def test_im2rec_dialect_has_images_alone(dataset: Path, tmp_path: Path) -> None:
    out = exported(dataset, tmp_path / "out", "recordio-im2rec")
    data = (out / "train.rec").read_bytes()
    offsets = [tuple(map(int, line.split("\t"))) for line in (out / "train.idx").read_text().splitlines()]
    found = [header(rec_payload(data, offset)) for _, offset in offsets]
    assert [key for key, _ in offsets] == list(range(23))
    assert [(int(labels[0]), image) for labels, _, _, image in found] == content(dataset)


def test_people_that_stand_apart_are_brought_together_for_insightface(tmp_path: Path) -> None:
    source = write_im2rec(tmp_path / "train.rec", [1, 0, 1, 0, 2])
    out = exported(source, tmp_path / "out", "recordio-insightface")
    assert content(out) == [(0, jpeg(1)), (0, jpeg(3)), (1, jpeg(0)), (1, jpeg(2)), (2, jpeg(4))]
    assert content(exported(source, tmp_path / "same", "lmdb")) == content(source)


def test_a_set_too_large_for_float32_is_refused(tmp_path: Path) -> None:
    facts = SetFacts(EXACT_LABELS, ("a",), np.array([EXACT_LABELS]), pq.read_schema, None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="use --dialect im2rec, or export a subset"):
        InsightfaceWriter(tmp_path, facts, block=10)


@pytest.mark.parametrize("features", [None, "stored"])
def test_lmdb_as_the_published_loaders_read_it(
    dataset: Path, tmp_path: Path, tiny_embedder_dir: Path, features: str | None
) -> None:
    source = dataset
    if features:
        source = exported(dataset, tmp_path / "vectors", "webdataset", features=str(tiny_embedder_dir))
    out = exported(source, tmp_path / "out", "lmdb", features=features)
    path = str(out / "train.lmdb")
    database = lmdb.open(path, subdir=False, readonly=True, lock=False, readahead=False, meminit=False)
    with database, database.begin(write=False) as transaction:
        keys = msgpack.loads(transaction.get(b"__keys__"))
        assert msgpack.loads(transaction.get(b"__len__")) == len(keys) == 23
        assert msgpack.loads(transaction.get(b"__classnum__")) == 6
        values = [msgpack.loads(transaction.get(key)) for key in keys]
    assert keys == [str(index).encode() for index in range(23)]
    assert [(value[-1], value[0]) for value in values] == content(dataset)
    assert Image.open(io.BytesIO(values[0][0])).size == (112, 112)
    if features:
        vectors = np.stack([np.load(io.BytesIO(value[1]), allow_pickle=False) for value in values])
        stored = [record.feature for record in open_reader(source)]
        np.testing.assert_array_equal(vectors, np.stack(stored))  # type: ignore[arg-type]
        assert vectors.dtype == np.float32
    else:
        assert all(len(value) == 2 for value in values)


def test_parquet_as_the_datasets_library_reads_it(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    out = exported(dataset, tmp_path / "out", "parquet")
    found = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(found.features["image"], datasets.Image)
    assert found["label"] == [label for label, _ in content(dataset)]
    assert found[5]["image"].size == (112, 112)
    raw = found.cast_column("image", datasets.Image(decode=False))
    assert [row["image"]["bytes"] for row in raw] == [data for _, data in content(dataset)]
    assert found[0]["identity_name"] == "person-0"
    assert found[0]["seed"] == 1
    assert found[0]["sigma"] == pytest.approx(0.5)


def test_a_folder_as_the_datasets_library_reads_it(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    out = exported(dataset, tmp_path / "out", "folder")
    found = datasets.load_dataset("imagefolder", data_dir=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(found["label"]) == sorted(label for label, _ in content(dataset))
    assert set(found.column_names) >= {"image", "label", "identity_name", "sigma", "seed"}


def test_webdataset_as_its_own_library_reads_it(dataset: Path, tmp_path: Path, tiny_embedder_dir: Path) -> None:
    wds = pytest.importorskip("webdataset")
    out = exported(dataset, tmp_path / "out", "webdataset", features=str(tiny_embedder_dir))
    shards = sorted(map(str, out.glob("*.tar")))
    assert len(shards) == 3
    samples = list(wds.WebDataset(shards, shardshuffle=False).decode())
    raw = list(wds.WebDataset(shards, shardshuffle=False))
    assert [(sample["cls"], data["jpg"]) for sample, data in zip(samples, raw, strict=True)] == content(dataset)
    assert samples[0]["__key__"] == "0000000_0000"
    facts = samples[0]["json"]
    assert (facts["identity_name"], facts["source_key"], facts["seed"]) == ("person-0", "0000000_0001", 1)
    assert samples[0]["npy"].shape == (128,)


def test_audit_columns_travel_where_there_is_a_place(dataset: Path, tmp_path: Path) -> None:
    table = pq.read_table(
        exported(dataset, tmp_path / "out", "parquet") / "data", columns=["sigma", "mask_rate", "key"]
    )
    assert table["sigma"].to_pylist()[:2] == [pytest.approx(0.5), pytest.approx(0.3)]
    rows = list(csv.DictReader((exported(dataset, tmp_path / "folder", "folder") / "metadata.csv").open()))
    assert rows[0]["file_name"] == "0000000/0000.jpg"
    assert rows[0]["source_key"] == "0000000_0001"
    assert float(rows[0]["sigma"]) == pytest.approx(0.5)


def test_what_cannot_be_exported_is_said(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder has no place for vectors"):
        export(dataset, tmp_path / "out", to="folder", features="embedded")
    with pytest.raises(InputError, match="a dialect belongs to RecordIO; lmdb has none"):
        export(dataset, tmp_path / "out", to="lmdb", dialect="im2rec")
    with pytest.raises(InputError, match="no vector stored with it; name an embedder"):
        export(dataset, tmp_path / "out", to="lmdb", features="stored")
    flat = write_folders(tmp_path / "flat", ["ann"]) / "ann"
    with pytest.raises(InputError, match="does not say who is in its pictures"):
        export(flat, tmp_path / "out", to="lmdb")
    assert not list(tmp_path.glob("out*"))


def test_a_table_of_another_dataset_is_noticed(dataset: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "faces"
    shutil.copytree(dataset, broken)
    table = pq.read_table(broken / "metadata.parquet")
    order = np.arange(len(table))
    order[[2, 3]] = [3, 2]
    pq.write_table(table.take(order), broken / "metadata.parquet")
    with pytest.raises(DatasetError, match=r"does not fit its dataset \(it lists '0000000_0003' where the archives"):
        export(broken, tmp_path / "out", to="parquet")
    pq.write_table(table.slice(0, 20), broken / "metadata.parquet")
    with pytest.raises(DatasetError, match="it lists 19 images, but the archives hold 23"):
        export(broken, tmp_path / "out2", to="parquet")
