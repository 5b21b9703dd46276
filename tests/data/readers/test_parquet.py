"""Parquet as the `datasets` library writes it, and what is no such thing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.faces import jpeg, write_folders
from vec2face.data.readers import open_reader
from vec2face.errors import InputError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, columns: dict[str, tuple[pa.DataType, list[Any]]], **options: Any) -> Path:
    fields = [pa.field(name, kind) for name, (kind, _) in columns.items()]
    table = pa.table([pa.array(values, kind) for kind, values in columns.values()], schema=pa.schema(fields, **options))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)
    return path


def images(*seeds: int) -> tuple[pa.DataType, list[Any]]:
    return IMAGE, [{"bytes": jpeg(seed), "path": f"../{seed}.jpg"} for seed in seeds]


def test_positions_labels_vectors_and_facts(tmp_path: Path) -> None:
    for number, seeds in enumerate(([0, 1, 2], [3, 4])):
        write(
            tmp_path / "data" / f"train-0000{number}-of-00002.parquet",
            {
                "image": images(*seeds),
                "label": (pa.int64(), [seed // 2 for seed in seeds]),
                "yaw": (pa.float32(), [0.5 * seed if seed else None for seed in seeds]),
                "feature": (pa.list_(pa.float32()), [[seed, 1.0] for seed in seeds]),
            },
        )
    reader = open_reader(tmp_path)
    assert (reader.format, len(reader), reader.labelled) == ("Hugging Face parquet", 5, True)
    records = list(reader)
    assert [record.data for record in records] == [jpeg(seed) for seed in range(5)]
    assert [(record.label, record.person) for record in records] == [(seed // 2, str(seed // 2)) for seed in range(5)]
    assert [record.facts for record in records] == [{}, {"yaw": 0.5}, {"yaw": 1.0}, {"yaw": 1.5}, {"yaw": 2.0}]
    np.testing.assert_array_equal(records[3].feature, [3.0, 1.0])  # type: ignore[arg-type]
    for start, stop in ((0, 5), (1, 4), (2, 3), (4, 9)):
        assert [r.key for r in reader.records(start, stop)] == [str(place) for place in range(5)[start:stop]]
    assert reader.record(3).data == jpeg(3)
    outlines = list(reader.outlines())
    assert [(o.label, o.data, o.feature, o.facts) for o in outlines] == [(r.label, b"", None, r.facts) for r in records]


def test_names_of_classes_come_from_the_schema(tmp_path: Path) -> None:
    described = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["ann", "bob"]}}}}
    path = write(
        tmp_path / "a.parquet",
        {"image": images(0, 1), "label": (pa.int64(), [1, 0])},
        metadata={"huggingface": json.dumps(described)},
    )
    assert [record.person for record in open_reader(path)] == ["bob", "ann"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": (pa.int64(), [0])}, "must have one column of images, .*; it has none among label"),
        ({"a": images(0), "b": images(1)}, r"it has 2 \(a, b\)"),
        ({"image": (IMAGE, [])}, "holds no images"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_reader(write(tmp_path / "a.parquet", columns))


def test_folders_of_several_splits_or_sets(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", {"image": images(0)})
    with pytest.raises(InputError, match=r"holds several splits \(test, train\)"):
        open_reader(tmp_path)
    write(tmp_path / "two" / "a.parquet", {"image": images(0)})
    write(tmp_path / "two" / "b.parquet", {"image": images(0), "label": (pa.int64(), [0])})
    with pytest.raises(InputError, match=r"b\.parquet has other columns than"):
        open_reader(tmp_path / "two")
    assert not open_reader(tmp_path / "two" / "a.parquet").labelled


def test_a_table_beside_an_image_folder(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "faces", ["ann", "bob"])
    (root / "metadata.csv").write_text("seed,file_name\n18446744073709551615,bob/1.jpg\n,ann/0.jpg\n")
    assert [record.facts for record in open_reader(root)] == [{}, {}, {}, {"seed": 2**64 - 1}]
    (root / "metadata.csv").write_text("file_name\nann/0.jpg\nann/0.jpg\n")
    with pytest.raises(InputError, match=r"names 'ann/0\.jpg' twice"):
        next(iter(open_reader(root)))
    (root / "metadata.csv").write_text("name\nann/0.jpg\n")
    with pytest.raises(InputError, match="has no column 'file_name'"):
        next(iter(open_reader(root)))
    (root / "metadata.csv").write_text("file_name,a\nann/0.jpg\n")
    with pytest.raises(InputError, match="is not a readable table"):
        next(iter(open_reader(root)))
