"""A whole run: what is written, what is left out, and that a stopped run ends in the same bytes."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.faces import jpeg, write_insightface
from vec2face.config.preparing import PrepareOptions
from vec2face.config.training import PackRecipe
from vec2face.data.facepack import FacePack, build_pack
from vec2face.data.prepare.folder import PreparedFolder
from vec2face.data.prepare.run import PrepareSummary, prepare
from vec2face.data.readers import open_reader
from vec2face.errors import DatasetError, InputError
from vec2face.fileio.images import decode_image, encode_image
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.progress import SilentProgress


def reencoded(seed: int) -> bytes:
    """The picture of `jpeg(seed)` with other bytes."""
    return encode_image(decode_image(jpeg(seed), where="x"), format="jpeg", quality=93)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three people with four pictures each, of which some are of no use."""
    folder = tmp_path / "source"
    pictures = {
        "ann": [jpeg(0), jpeg(1), reencoded(0), jpeg(2)],
        "bob": [jpeg(3), b"no image", jpeg(3), jpeg(4)],
        "cid": [jpeg(5), reencoded(3), encode_image(np.full((112, 112, 3), 99, np.uint8), format="png"), jpeg(0)],
    }
    for person, files in pictures.items():
        (folder / person).mkdir(parents=True)
        for number, data in enumerate(files):
            (folder / person / f"{number}.jpg").write_bytes(data)
    return folder


DROPPED = {
    "ann/2.jpg": "near duplicate",
    "bob/1.jpg": "not an image",
    "bob/2.jpg": "same file",
    "cid/2.jpg": "too blurred",
    "cid/3.jpg": "same file",
}


@pytest.fixture(autouse=True)
def _embedder(monkeypatch: pytest.MonkeyPatch, pattern_embedders: dict[str, FaceEmbedder]) -> None:
    """Embed by a network that tells pictures apart, where a random one finds them all alike."""
    monkeypatch.setattr("vec2face.data.prepare.run.load_embedder", lambda ref: pattern_embedders[ref])
    monkeypatch.setattr("vec2face.data.prepare.run.weights_digest", lambda ref, kind: f"{kind} {ref}")


def run(source: Path, out: Path, *, progress: Any = None, workers: int = 1, **changes: Any) -> PrepareSummary:
    values = {"alignment": "aligned", "embedder": "pattern", "shard_size": 5, "feature_batch": 3, "dedupe": 0.98}
    options = PrepareOptions.model_validate({**values, **changes})
    reader = open_reader(source, people=options.people)
    return prepare(reader, options, out, workers=workers, progress=progress or SilentProgress())


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_written(source: Path, tmp_path: Path) -> None:
    summary = run(source, tmp_path / "out")
    assert (summary.images, summary.kept, summary.people) == (12, 7, 3)
    assert summary.dropped == {"not an image": 1, "too blurred": 1, "same file": 2, "near duplicate": 1}
    with open(tmp_path / "out" / "dropped.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["source"]: row["reason"] for row in rows} == DROPPED
    assert {row["source"]: row["detail"] for row in rows if row["reason"] == "same file"} == {
        "bob/2.jpg": "as bob/0.jpg",
        "cid/3.jpg": "as ann/0.jpg of another person, ann",
    }
    reader = open_reader(tmp_path / "out")
    assert reader.format == "prepared faces"
    records = list(reader)
    assert [record.key for record in records] == [f"{index:09d}" for index in (0, 1, 3, 4, 7, 8, 9)]
    assert [(record.label, record.person) for record in records][2:4] == [(0, "ann"), (1, "bob")]
    assert [record.facts["source"] for record in records][-1] == "cid/1.jpg"
    assert records[0].data == jpeg(0)
    index = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert (index["shards"], index["images"], index["people"]) == (3, 7, 3)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"prepare.json", "prepared.json", "dropped.csv", "kept.jpg", "dropped.jpg", "shards"}


def test_features_are_the_embedders_of_image_and_mirror(
    source: Path, tmp_path: Path, pattern_embedders: dict[str, FaceEmbedder]
) -> None:
    import torch

    run(source, tmp_path / "out")
    embedder = pattern_embedders["pattern"]
    for record in open_reader(tmp_path / "out").records(0, 3):
        pixels = torch.from_numpy(record.decode()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            expected = embedder.embed(torch.cat([pixels, pixels.flip(3)])).numpy()
        assert record.feature is not None
        assert record.mirror_feature is not None
        assert np.allclose([record.feature, record.mirror_feature], expected, rtol=2e-3, atol=2e-3)


def test_near_duplicates_are_looked_for_everywhere_where_nobody_is_known(source: Path, tmp_path: Path) -> None:
    summary = run(source, tmp_path / "out", people="none")
    assert summary.people is None
    # cid/1 shows what bob/0 shows; with people known it is another person's picture.
    assert summary.dropped["near duplicate"] == 2
    assert open_reader(tmp_path / "out").record(0).label is None
    assert run(source, tmp_path / "all", people="none", dedupe=1.0).dropped.get("near duplicate") is None


class Plug(SilentProgress):
    """Pulls the plug after some images."""

    def __init__(self, images: int) -> None:
        self.left = images

    def advance(self, amount: int, *, note: str = "") -> None:
        self.left -= amount
        if amount and self.left <= 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("images", [1, 5, 8, 12])
@pytest.mark.parametrize("people", ["auto", "none"])
def test_a_stopped_run_ends_in_the_same_bytes(source: Path, tmp_path: Path, images: int, people: str) -> None:
    run(source, tmp_path / "whole", people=people)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "stopped", people=people, progress=Plug(images))
    assert not (tmp_path / "stopped" / "prepared.json").exists()
    run(source, tmp_path / "stopped", people=people)
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("lost", ["shards/000001.json", "shards/000001.tar", "shards/000000.parquet", "prepared.json"])
def test_what_is_lost_is_made_again(source: Path, tmp_path: Path, lost: str) -> None:
    run(source, tmp_path / "out")
    before = files_of(tmp_path / "out")
    (tmp_path / "out" / lost).unlink()
    run(source, tmp_path / "out")
    assert files_of(tmp_path / "out") == before


@pytest.mark.integration
def test_workers_change_no_byte(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "one")
    run(source, tmp_path / "two", workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_other_settings_and_another_source_are_refused(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    with pytest.raises(DatasetError, match=r"begun with other settings \(options.min_sharpness: 12.0 there, 5.0 now\)"):
        run(source, tmp_path / "out", min_sharpness=5.0)
    (source / "cid" / "9.jpg").write_bytes(jpeg(9))
    with pytest.raises(DatasetError, match=r"source.files: \w{12}... there"):
        run(source, tmp_path / "out")


def test_places_that_cannot_be_written_to(source: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("")
    with pytest.raises(DatasetError, match="holds something else"):
        run(source, tmp_path / "other")
    with pytest.raises(InputError, match="lies inside the source"):
        run(source, source / "out")
    with pytest.raises(InputError, match="the alignment 'detector' needs a detector"):
        run(source, tmp_path / "out", alignment="detector")
    assert not (tmp_path / "out").exists()


def test_a_source_of_no_use_is_told_and_packed_by_nobody(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of the 1 images .* can be used \(not an image: 1\)"):
        run(tmp_path / "source", tmp_path / "out")
    assert (tmp_path / "out" / "dropped.csv").read_text().count("\n") == 2
    with pytest.raises(InputError, match="not finished"):
        open_reader(tmp_path / "out")


def test_a_prepared_folder_can_be_prepared_again(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    assert run(tmp_path / "out", tmp_path / "again").kept == 7


def test_a_shard_of_which_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for number in range(12):
        picture = jpeg(number) if number >= 10 else b"no image"
        (tmp_path / "source" / f"{number:02d}.jpg").write_bytes(picture)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "source", tmp_path / "out", progress=Plug(12))
    assert run(tmp_path / "source", tmp_path / "out").kept == 2
    assert [record.key for record in open_reader(tmp_path / "out")] == ["000000010", "000000011"]


def test_a_shard_that_lost_images_is_not_built_upon(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    folder = PreparedFolder(tmp_path / "out")
    size = folder.archive(0).stat().st_size
    # Of the right size, so that only reading it shows the damage.
    folder.archive(0).write_bytes(bytes(size))
    folder.manifest(1).unlink()
    with pytest.raises(InputError, match="holds no images"):
        run(source, tmp_path / "out")
    rows = folder.read_table(0)
    folder.write_table(0, [*rows, {**rows[0], "index": 99}])
    run(source, tmp_path / "whole")
    folder.archive(0).write_bytes(PreparedFolder(tmp_path / "whole").archive(0).read_bytes())
    with pytest.raises(DatasetError, match=r"000000\.tar holds 4 embeddings, but its table has 5 images"):
        run(source, tmp_path / "out")


def test_a_damaged_table_is_named(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    PreparedFolder(tmp_path / "out").table(0).write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"000000\.parquet is damaged"):
        run(source, tmp_path / "out")


def test_prepared_faces_become_a_pack(source: Path, tmp_path: Path, pattern_embedders: dict[str, FaceEmbedder]) -> None:
    run(source, tmp_path / "out")
    recipe = PackRecipe.model_validate({"sources": [{"path": "out"}], "holdout_share": 0.5})
    faces = build_pack(recipe, root=tmp_path, out=tmp_path / "pack")
    records = list(open_reader(tmp_path / "out"))
    assert faces.groups == tuple(record.person for record in records)
    assert np.array_equal(faces.images[3], records[3].decode())
    assert np.array_equal(faces.require_features()[:, 0], np.stack([record.feature for record in records]))
    assert faces.facts["sources"][0]["embedder"]["feature_space"] == pattern_embedders["pattern"].name
    assert faces.whole.all()
    assert FacePack.load(tmp_path / "pack").names[0] == "000000000"


def test_any_reader_is_a_source_of_a_pack(tmp_path: Path) -> None:
    write_insightface(tmp_path / "train.rec", [0, 0, 1])
    recipe = PackRecipe.model_validate({"sources": [{"path": "train.rec"}]})
    faces = build_pack(recipe, root=tmp_path, out=tmp_path / "pack")
    assert (faces.groups, faces.features) == (("0", "0", "1"), None)
    assert np.array_equal(faces.images[2], decode_image(jpeg(3), where="x"))
