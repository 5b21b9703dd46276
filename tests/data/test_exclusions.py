"""Excluded identities are passed over by every reader, and by the audit, until the dataset changes."""

import json

import pytest

from vec2face.data.exclusions import FILE_NAME, exclude, read_exclusions
from vec2face.data.readers import open_reader
from vec2face.errors import DatasetError
from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.embeddings import embed_dataset


def test_readers_leave_excluded_identities_out(tmp_path, build_dataset):
    dataset = build_dataset(tmp_path / "data", identities=5, images=3)
    assert read_exclusions(dataset) == {}
    whole = [record.key for record in open_reader(dataset)]
    exclude(dataset, {3: "a leak"})
    assert exclude(dataset, {0: "another"}) == {0: "another", 3: "a leak"}
    reader = open_reader(dataset)
    left = [key for key in whole if not key.startswith(("0000000_", "0000003_"))]
    assert len(reader) == len(left) == 9
    assert [record.key for record in reader] == left
    assert reader.record(4).key == left[4]
    assert {record.label for record in reader} == {1, 2, 4}


def test_excluded_identities_are_not_measured(tmp_path, build_dataset, pattern_embedders):
    dataset = build_dataset(tmp_path / "data", identities=5, images=3)
    exclude(dataset, {1: "a leak"})
    found = embed_dataset(
        DatasetReader(dataset),
        pattern_embedders["pattern"],
        embedder_digest="a" * 64,
        images_per_identity=None,
        batch_size=8,
        excluded=read_exclusions(dataset),
    )
    assert sorted(set(found.identity.tolist())) == [0, 2, 3, 4]


def test_a_list_of_another_state_of_the_dataset_excludes_nobody(tmp_path, build_dataset):
    dataset = build_dataset(tmp_path / "data", identities=2, images=2)
    exclude(dataset, {1: "a leak"})
    description = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps({**description, "fingerprint": "f" * 64}))
    assert read_exclusions(dataset) == {}


def test_a_damaged_list_and_a_folder_without_dataset_are_refused(tmp_path, build_dataset):
    with pytest.raises(DatasetError, match="is not a dataset"):
        exclude(tmp_path, {0: "a leak"})
    dataset = build_dataset(tmp_path / "data", identities=2, images=2)
    (dataset / FILE_NAME).write_text('{"format": "vec2face-exclusions/1"')
    with pytest.raises(DatasetError, match="is damaged"):
        read_exclusions(dataset)
    with pytest.raises(DatasetError, match="is damaged"):
        open_reader(dataset)
