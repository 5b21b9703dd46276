"""Verification names what is missing or damaged, and nothing else."""

import json
from pathlib import Path

import pytest

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from vec2face.errors import DatasetError
from vec2face.generation.verify import verify


@pytest.fixture
def dataset(make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path) -> Path:
    make_dataset(make_recipe(), tmp_path / "d")
    return tmp_path / "d"


def test_a_whole_dataset_is_whole_and_untouched(dataset: Path) -> None:
    before = contents(dataset)
    result = verify(dataset)
    assert (result.whole, result.shards, result.images, result.damaged) == (True, 3, 20, [])
    assert contents(dataset) == before


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def test_each_damaged_file_is_named_with_its_problem(dataset: Path) -> None:
    shards = dataset / "shards"
    flip(shards / "000000.tar", 700)
    (shards / "000001.tar").unlink()
    (shards / "000002.json").write_text("{}")
    flip(dataset / "identities.safetensors", -1)
    result = verify(dataset)
    assert {(damage.path.name, damage.problem) for damage in result.damaged} == {
        ("000000.tar", "damaged: its content changed"),
        ("000001.tar", "missing"),
        ("000002.json", "damaged: it is not a shard's manifest"),
        ("identities.safetensors", "damaged: its content changed"),
    }
    assert not result.whole


@pytest.mark.parametrize("position", [0, 300, 600, 1500, -1, -11000])
def test_any_flipped_bit_of_an_archive_is_noticed(dataset: Path, position: int) -> None:
    flip(dataset / "shards" / "000001.tar", position)
    assert [damage.path.name for damage in verify(dataset).damaged] == ["000001.tar"]


def test_an_unfinished_shard_is_told_from_a_missing_one(dataset: Path) -> None:
    (dataset / "shards" / "000000.json").unlink()
    (dataset / "shards" / "000001.json").unlink()
    (dataset / "shards" / "000001.tar").unlink()
    problems = {damage.path.name: damage.problem for damage in verify(dataset).damaged}
    assert problems == {"000000.tar": "unfinished: it has no manifest", "000001.tar": "missing"}


def test_the_manifest_of_another_plan_does_not_pass(dataset: Path) -> None:
    path = dataset / "shards" / "000001.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "plan": "0" * 64}))
    assert [damage.problem for damage in verify(dataset).damaged] == ["of another plan"]


def test_a_cut_archive_and_table_are_noticed(dataset: Path) -> None:
    for name in ("shards/000002.tar", "metadata.parquet"):
        (dataset / name).write_bytes((dataset / name).read_bytes()[:1000])
    named = [damage.path.name for damage in verify(dataset).damaged]
    assert named == ["000002.tar"]  # the table is judged once the shards are whole
    (dataset / "shards" / "000002.tar").unlink()
    assert verify(dataset).damaged[0].problem == "missing"


def test_a_missing_or_cut_table_is_noticed(dataset: Path) -> None:
    table = dataset / "metadata.parquet"
    table.write_bytes(table.read_bytes()[:-10])
    (damage,) = verify(dataset).damaged
    assert damage.path == table
    assert damage.problem.startswith("unreadable")
    table.unlink()
    assert [damage.problem for damage in verify(dataset).damaged] == ["missing"]


def test_what_stands_among_the_shards_and_is_none_of_them_is_named(dataset: Path) -> None:
    shards = dataset / "shards"
    (shards / "000009.tar").write_bytes((shards / "000000.tar").read_bytes())
    (shards / "notes.txt").write_text("mine")
    result = verify(dataset)
    assert not result.whole
    assert result.damaged == []
    assert result.foreign == [shards / "000009.tar", shards / "notes.txt"]


def test_what_is_not_a_dataset_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing is not a dataset: there is no such folder"):
        verify(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty is not a dataset: it has no dataset\.json"):
        verify(tmp_path / "empty")
    description = json.loads((dataset / "dataset.json").read_text())
    description["determinants"]["seed"] = 77
    (dataset / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(DatasetError, match="was edited"):
        verify(dataset)
    (dataset / "dataset.json").write_text(json.dumps({**description, "format": 99}))
    with pytest.raises(DatasetError, match="is of format 99"):
        verify(dataset)
    (dataset / "dataset.json").write_text("[1")
    with pytest.raises(DatasetError, match="is damaged"):
        verify(dataset)
