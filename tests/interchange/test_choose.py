"""Subsets and splits: the right images, people who do not meet, and a description of where they come from."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.data.faces import write_im2rec
from tests.interchange.sets import content, tree
from vec2face.data.readers import open_reader
from vec2face.errors import InputError
from vec2face.generation.verify import verify
from vec2face.identities.bank import IdentityBank
from vec2face.interchange.choose import Wanted, draw_parts, split, subset


def kept(dataset: Path) -> list[dict]:
    return [row for row in pq.read_table(dataset / "metadata.parquet").to_pylist() if row["status"] == "kept"]


def test_people_by_place(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    subset(dataset, out, Wanted(first=2, last=5))
    assert [(label, data) for label, data in content(out)] == [
        (label - 2, data) for label, data in content(dataset) if label in (2, 3, 4)
    ]
    assert verify(out).whole
    rows = list(csv.DictReader((out / "origin.csv").open()))
    assert [(row["label"], row["source_label"], row["person"]) for row in rows] == [
        ("0", "2", "person-2"),
        ("1", "3", "person-3"),
        ("2", "4", "person-4"),
    ]
    bank, whole = (IdentityBank.load(folder / "identities.safetensors") for folder in (out, dataset))
    np.testing.assert_array_equal(bank.vectors, whole.vectors[2:5])
    origin = json.loads((out / "dataset.json").read_text())["origin"]
    assert origin["command"] == "subset"
    assert origin["sources"][0]["fingerprint"] == json.loads((dataset / "dataset.json").read_text())["fingerprint"]
    assert origin["sources"][0]["generator"]["sha256"] == "0" * 64


def test_images_by_condition_and_number(dataset: Path, tmp_path: Path) -> None:
    subset(dataset, tmp_path / "weak", Wanted(where="sigma < 0.4"))
    wanted = [row["key"] for row in kept(dataset) if row["sigma"] < 0.4]
    found = pq.read_table(tmp_path / "weak" / "metadata.parquet").to_pylist()
    assert [row["source_key"] for row in found] == wanted
    assert [row["seed"] for row in found] == [row["seed"] for row in kept(dataset) if row["sigma"] < 0.4]
    subset(dataset, tmp_path / "first", Wanted(last=3, where="image != 0", images_per_identity=2))
    assert [record.facts["source_key"] for record in open_reader(tmp_path / "first")] == [
        f"{person:07d}_{image:04d}" for person in range(3) for image in (1, 2)
    ]
    keys = [record.key for record in open_reader(tmp_path / "first")]
    assert keys[:3] == ["0000000_0000", "0000000_0001", "0000001_0000"]


def test_a_subset_of_a_subset(dataset: Path, tmp_path: Path) -> None:
    subset(dataset, tmp_path / "a", Wanted(first=1))
    subset(tmp_path / "a", tmp_path / "b", Wanted(first=1, last=2, where="identity_name == 'person-2'"))
    assert [data for _, data in content(tmp_path / "b")] == [data for label, data in content(dataset) if label == 2]
    origin = json.loads((tmp_path / "b" / "dataset.json").read_text())["origin"]
    assert origin["sources"][0]["origin"]["sources"][0]["name"] == "patterns"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(first=3, last=3), "--identities 3:3 names nobody"),
        (Wanted(first=6), "--identities 6:6 names nobody"),
        (Wanted(last=7), "has 6 people, fewer than --identities asks for"),
        (Wanted(where="sigma > 9"), "no image of .* is left by these conditions"),
        (Wanted(where="yaw > 9"), r"there is no column 'yaw' in the table; it has key, shard, .* \(an audit adds"),
    ],
)
def test_what_cannot_be_taken_is_said(dataset: Path, tmp_path: Path, wanted: Wanted, message: str) -> None:
    with pytest.raises(InputError, match=message):
        subset(dataset, tmp_path / "out", wanted)
    assert not list(tmp_path.iterdir())


def test_other_formats_give_subsets_but_have_no_table(tmp_path: Path) -> None:
    source = write_im2rec(tmp_path / "train.rec", [4, 2, 4, 9])
    subset(source, tmp_path / "out", Wanted(last=2))
    assert [label for label, _ in content(tmp_path / "out")] == [1, 0, 1]
    with pytest.raises(
        InputError, match="has no table to ask 'sigma < 1' of; make it a dataset with 'vec2face import'"
    ):
        subset(source, tmp_path / "other", Wanted(where="sigma < 1"))


def test_a_split_shares_out_people(dataset: Path, tmp_path: Path) -> None:
    parts = {"train": 0.5, "val": 0.3, "test": 0.2}
    written = split(dataset, tmp_path / "parts", parts, seed=3)
    assert [part.people for part in written] == [3, 2, 1]
    names = [{record.person for record in open_reader(tmp_path / "parts" / name)} for name in parts]
    assert set.union(*names) == {f"person-{number}" for number in range(6)}
    assert sum(map(len, names)) == 6
    assert sum(part.images for part in written) == 23
    everything = sorted(data for name in parts for _, data in content(tmp_path / "parts" / name))
    assert everything == sorted(data for _, data in content(dataset))
    assert all(verify(tmp_path / "parts" / name).whole for name in parts)
    before = tree(tmp_path / "parts")
    assert [part.written for part in split(dataset, tmp_path / "parts", parts, seed=3)] == [0, 0, 0]
    assert tree(tmp_path / "parts") == before


def test_the_draw_depends_on_the_seed_alone() -> None:
    people = [f"p{number}" for number in range(1000)]
    shares = {"train": 0.9, "val": 0.1}
    first = draw_parts(people, shares, seed=0)
    assert np.bincount(first).tolist() == [900, 100]
    np.testing.assert_array_equal(first, draw_parts(people, shares, seed=0))
    other = draw_parts(people, shares, seed=1)
    # Of two independent draws of a tenth, about a tenth is common.
    assert (first & other).sum() < 30


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"all": 1.0}, "needs two parts or more"),
        ({"a": 0.5, "b": 0.4}, "add up to 0.9, not to 1"),
        ({"a": 0.5, "../b": 0.5}, "'../b' cannot be the name of a part"),
        ({"a": 1.5, "b": -0.5}, "the share of the part 'a' is 1.5; it must lie between 0 and 1"),
        ({"a": 0.99, "b": 0.01}, "the part 'b' of 0.01 gets none of 6 people; enlarge it"),
        ({"a": float("nan"), "b": 0.5}, "the share of the part 'a' is nan"),
    ],
)
def test_unusable_shares_are_said(dataset: Path, tmp_path: Path, shares: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(dataset, tmp_path / "parts", shares)
    assert not list(tmp_path.iterdir())
