"""A foreign set gives the records that a dataset gives, also after a stop."""

import numpy as np
import pytest

from vec2face.errors import DatasetError, InputError
from vec2face.evaluation import face_sets
from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.embeddings import embed_dataset
from vec2face.evaluation.face_sets import ForeignSet, open_audited
from vec2face.fileio.images import encode_image


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for person in ("ann", "bea", "cid"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(28, 0).repeat(28, 1)
            (tmp_path / "faces" / person / f"{number}.png").write_bytes(encode_image(pixels, format="png"))
    return tmp_path / "faces"


@pytest.fixture(autouse=True)
def short_ranges(monkeypatch):
    monkeypatch.setattr(face_sets, "IMAGES_PER_RANGE", 5)


def test_images_are_numbered_within_their_person_wherever_reading_begins(folder, tmp_path):
    whole = ForeignSet(str(folder), report=tmp_path / "report")
    assert [shard.count for shard in whole.shards] == [5, 5, 2]
    records = [record for shard in whole.shards for record in whole.records(shard)]
    assert [record.identity for record in records] == [0] * 4 + [1] * 4 + [2] * 4
    assert [record.image for record in records] == list(range(4)) * 3
    assert {record.person for record in records} == {"ann", "bea", "cid"}
    resumed = ForeignSet(str(folder), report=tmp_path / "report")
    assert [r.image for r in resumed.records(resumed.shards[2])] == [2, 3]
    assert [r.image for r in resumed.records(resumed.shards[1])] == [1, 2, 3, 0, 1]
    assert resumed.fetch_rows([9, 0])[9].key == records[9].key


def test_without_people_each_image_is_its_own(folder, tmp_path):
    alone = ForeignSet(str(folder), report=tmp_path / "report", people="none")
    assert [record.identity for record in alone.records(alone.shards[2])] == [10, 11]


def test_a_foreign_set_is_embedded_and_capped_like_a_dataset(folder, tmp_path, pattern_embedders):
    source = ForeignSet(str(folder), report=tmp_path / "report")
    found = embed_dataset(
        source, pattern_embedders["pattern"], embedder_digest="a" * 64, images_per_identity=2, batch_size=3
    )
    assert found.identity.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.rows.tolist() == [0, 1, 4, 5, 8, 9]


def test_what_cannot_be_audited_is_told(folder, tmp_path, build_dataset):
    with pytest.raises(DatasetError, match="no such file or folder"):
        open_audited(str(tmp_path / "absent"), report=None, people="auto")
    with pytest.raises(DatasetError, match="--out"):
        open_audited(str(folder), report=None, people="auto")
    dataset = build_dataset(tmp_path / "data", identities=2, images=2)
    with pytest.raises(InputError, match="leave --out away"):
        open_audited(str(dataset), report=tmp_path / "report", people="auto")
    reader = open_audited(str(dataset), report=None, people="auto")
    assert isinstance(reader, DatasetReader)
    assert reader.fetch_rows([3])[3].key == "0000001_0001"
    assert reader.fetch_rows([3])[3].person == "person-1"
    with pytest.raises(DatasetError, match="no image at 4"):
        reader.fetch_rows([4])
