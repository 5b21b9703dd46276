"""Joined datasets: people one after another, nobody's image twice."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.data.faces import jpeg, write_folders, write_im2rec
from tests.interchange.sets import content
from vec2face.data.readers import open_reader
from vec2face.errors import InputError
from vec2face.generation.verify import verify
from vec2face.identities.bank import IdentityBank
from vec2face.interchange.choose import Wanted, subset
from vec2face.interchange.merge import merge


def test_parts_merge_to_the_whole(dataset: Path, tmp_path: Path) -> None:
    subset(dataset, tmp_path / "a", Wanted(last=2))
    subset(dataset, tmp_path / "b", Wanted(first=2))
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out", images_per_shard=8)
    assert content(tmp_path / "out") == content(dataset)
    assert verify(tmp_path / "out").whole
    rows = list(csv.DictReader((tmp_path / "out" / "origin.csv").open()))
    assert [(row["source"], row["source_label"]) for row in rows] == [
        *[("0", str(n)) for n in range(2)],
        *[("1", str(n)) for n in range(4)],
    ]
    bank, whole = (IdentityBank.load(folder / "identities.safetensors") for folder in (tmp_path / "out", dataset))
    np.testing.assert_array_equal(bank.vectors, whole.vectors)
    sources = json.loads((tmp_path / "out" / "dataset.json").read_text())["origin"]["sources"]
    assert [source["name"] for source in sources] == ["a", "b"]


def test_names_that_two_sets_share_are_told_apart(tmp_path: Path) -> None:
    first = write_folders(tmp_path / "x", ["ann", "bob"])
    second = tmp_path / "y" / "ann"
    second.mkdir(parents=True)
    (second / "0.jpg").write_bytes(jpeg(77))
    merge([first, tmp_path / "y"], tmp_path / "out")
    assert {record.label: record.person for record in open_reader(tmp_path / "out")} == {
        0: "0:ann",
        1: "0:bob",
        2: "1:ann",
    }
    assert not (tmp_path / "out" / "identities.safetensors").exists()
    assert verify(tmp_path / "out").whole


def test_columns_of_both_are_kept(dataset: Path, tmp_path: Path) -> None:
    other = write_folders(tmp_path / "y", ["ann"], images=1)
    (other / "metadata.csv").write_text("file_name,age,sigma\nann/0.jpg,30,2\n")
    merge([dataset, other], tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "metadata.parquet")
    assert table["age"].to_pylist() == [None] * 23 + [30]
    assert table["sigma"].to_pylist()[-1] == 2


def test_what_does_not_belong_together_is_refused(
    dataset: Path, tmp_path: Path, build_dataset: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match="is the same dataset as"):
        merge([dataset, dataset], tmp_path / "out")
    with pytest.raises(InputError, match="a merge needs two datasets or more"):
        merge([dataset], tmp_path / "out")
    subset(dataset, tmp_path / "part", Wanted(first=3))
    with pytest.raises(
        InputError,
        match=r"12 images of .*part stand in .*faces as well \(the first: .*0000000_0000 is .*0000003_0000\)",
    ):
        merge([dataset, tmp_path / "part"], tmp_path / "out")
    small = tmp_path / "small" / "ann"
    small.mkdir(parents=True)
    (small / "0.jpg").write_bytes(jpeg(1, size=96))
    with pytest.raises(InputError, match=r"0.jpg is 96x96, but .* is 112x112; merge sets of one size"):
        merge([dataset, small.parent], tmp_path / "out")
    write_im2rec(tmp_path / "a.rec", [0, 1])
    write_im2rec(tmp_path / "b.rec", [0, 1])
    with pytest.raises(InputError, match=r"2 images of .*b\.rec stand in .*a\.rec as well"):
        merge([tmp_path / "a.rec", tmp_path / "b.rec"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()
