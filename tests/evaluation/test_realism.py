"""Realism of sets with known answers, read from every kind of set, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vec2face.errors import ContractError, DatasetError, InputError
from vec2face.evaluation.realism import measure_realism, rebuilt_frechet, split_people
from vec2face.evaluation.realism_faces import (
    EmbeddedFaces,
    FolderFaces,
    StoredVectors,
    choose,
    embed_faces,
    number_people,
    open_faces,
)
from vec2face.fileio.images import encode_image

OPTIONS = {"embedder": "test", "splits": 3, "resamples": 10, "neighbours": 3, "seed": 0}


def embedded(values: np.ndarray, name: str = "the faces") -> EmbeddedFaces:
    return EmbeddedFaces(name, values.astype(np.float32), np.arange(len(values)), len(values))


def normal(seed: int, count: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4)) + shift


def test_faces_of_the_real_distribution_stand_at_the_floor():
    found = measure_realism(embedded(normal(0, 80)), embedded(normal(1, 80), "the reference"), **OPTIONS)
    assert found.size == 40
    assert found.frechet.faces.mean == pytest.approx(found.frechet.real.mean, rel=0.6)
    assert found.frechet_all.low < 0.1
    assert found.precision.faces.mean > 0.8
    assert abs(found.kernel.faces.mean) < 0.3


def test_other_faces_stand_far_from_it():
    found = measure_realism(embedded(normal(0, 80, shift=3.0)), embedded(normal(1, 80), "the reference"), **OPTIONS)
    assert found.frechet.faces.mean > 10 * found.frechet.real.mean
    assert found.frechet_all.low > 20  # 4 * 3^2 = 36 in truth
    assert found.precision.faces.mean < 0.2 < 0.7 < found.precision.real.mean
    assert found.kernel.faces.mean > 10 * abs(found.kernel.real.mean)


def test_the_figures_repeat_and_can_be_written():
    sets = embedded(normal(0, 30)), embedded(normal(1, 30), "the reference")
    first, second = measure_realism(*sets, **OPTIONS), measure_realism(*sets, **OPTIONS)
    assert first == second
    assert json.loads(json.dumps(first.to_dict()))["counts"]["faces_people"] == 30


def test_few_images_are_warned_of():
    few = measure_realism(embedded(normal(0, 9)), embedded(normal(1, 9), "the reference"), **OPTIONS)
    assert any("4 images a side are too few for 4 dimensions" in line for line in few.warnings)
    crowded = EmbeddedFaces("the faces", normal(0, 90).astype(np.float32), np.arange(90) // 9, 90)
    found = measure_realism(crowded, embedded(normal(1, 90), "the reference"), **OPTIONS)
    assert any("90 images of 10 people" in line for line in found.warnings)
    assert measure_realism(embedded(normal(0, 90)), embedded(normal(1, 90)), **OPTIONS).warnings == ()


def test_halves_share_no_person_and_are_about_equal():
    people = np.random.default_rng(0).integers(0, 30, 200)
    for first, second in split_people(people, splits=4, seed=0):
        assert sorted([*first, *second]) == list(range(200))
        assert not set(people[first]) & set(people[second])
        assert 60 < len(first) < 140


def test_too_few_people_and_other_widths_are_refused():
    with pytest.raises(InputError, match="3 people, too few to be halved"):
        list(split_people(np.array([0, 1, 2, 2]), splits=1, seed=0))
    with pytest.raises(ContractError, match=r"width 4.*width 3"):
        measure_realism(embedded(normal(0, 20)), embedded(normal(1, 20)[:, :3], "the reference"), **OPTIONS)


def test_perfect_renderings_are_as_far_from_other_people_as_real_faces():
    real = normal(0, 40)
    perfect = rebuilt_frechet(real, real, splits=4, seed=0)
    assert perfect.faces == perfect.real
    assert rebuilt_frechet(0.3 * real, real, splits=4, seed=0).faces.mean > perfect.real.mean


def test_choice_takes_so_many_of_each_person():
    people = np.repeat([3, 1, 2], [50, 1, 5])
    chosen = choose(people, images_per_person=2, limit=100, rng=np.random.default_rng(0))
    assert np.bincount(people[chosen]).tolist() == [0, 1, 2, 2]
    assert list(chosen) == sorted(chosen)
    assert len(choose(people, images_per_person=9, limit=4, rng=np.random.default_rng(0))) == 4
    assert number_people(["a", "", "a", ""]).tolist() == [0, 1, 0, 2]


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "crops", np.random.default_rng(0)
    for name in ("ann/1.png", "ann/2.png", "bob/1.png", "loose.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (4, 4, 3), np.uint8).repeat(28, 0).repeat(28, 1)
        (folder / name).write_bytes(encode_image(pixels, format="png"))
    return folder


def embed(source, embedder, **changes) -> EmbeddedFaces:
    options = {"images_per_person": 99, "limit": 10_000, "seed": 0, "batch_size": 3} | changes
    return embed_faces(source, name="the faces", embedder=embedder, **options)


def test_a_folder_groups_its_folders(crops: Path, pattern_embedders):
    source = open_faces(crops)
    assert isinstance(source, FolderFaces)
    found = embed(source, pattern_embedders["pattern"])
    assert found.people.tolist() == [0, 0, 1, 2]
    assert np.unique(found.vectors.round(3), axis=0).shape == (4, 48)
    assert embed(source, pattern_embedders["pattern"], images_per_person=1).people.tolist() == [0, 1, 2]


def test_a_folder_with_other_sizes_is_refused(crops: Path, pattern_embedders):
    (crops / "small.png").write_bytes(encode_image(np.zeros((8, 9, 3), np.uint8), format="png"))
    with pytest.raises(InputError, match=r"small\.png is 9x8; align"):
        embed(open_faces(crops), pattern_embedders["pattern"])


def test_a_dataset_is_read_by_identity(build_dataset, pattern_embedders, tmp_path: Path):
    source = open_faces(build_dataset(tmp_path / "data", identities=6, images=4, rejected=True))
    everything = embed(source, pattern_embedders["pattern"])
    assert np.bincount(everything.people).tolist() == [3, 4, 4, 4, 4, 4]
    centres = np.stack([everything.vectors[everything.people == person].mean(axis=0) for person in range(6)])
    some = embed(source, pattern_embedders["pattern"], images_per_person=1)
    assert (np.linalg.norm(some.vectors[:, None] - centres, axis=2).argmin(axis=1) == some.people).all()
    assert some.available == 23


def test_an_unfinished_dataset_and_a_missing_set_are_refused(build_dataset, tmp_path: Path):
    folder = build_dataset(tmp_path / "data")
    (folder / "metadata.parquet").unlink()
    with pytest.raises(DatasetError, match=r"metadata\.parquet is missing"):
        open_faces(folder)
    with pytest.raises(InputError, match="there is no photo or folder"):
        open_faces(tmp_path / "nothing")


def test_stored_vectors_are_taken_as_they_are(pattern_embedders, tmp_path: Path):
    values = np.random.default_rng(0).normal(size=(7, 48)).astype(np.float16)
    np.save(tmp_path / "v.npy", values)
    source = open_faces(tmp_path / "v.npy")
    assert isinstance(source, StoredVectors)
    np.testing.assert_array_equal(embed(source, pattern_embedders["pattern"]).vectors, values.astype(np.float32))
    with pytest.raises(ContractError, match=r"width 48.*width 36"):
        embed(source, pattern_embedders["mixed"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones(3), "must hold a table"),
        (np.ones((3, 2), int), "must hold a table"),
        (np.full((3, 2), np.nan), "NaN or infinity"),
    ],
)
def test_unusable_vectors_are_refused(table: np.ndarray, message: str, tmp_path: Path):
    np.save(tmp_path / "v.npy", table)
    with pytest.raises(InputError, match=message):
        open_faces(tmp_path / "v.npy")


def test_the_command_prints_and_writes(tiny_embedder_dir: Path, tmp_path: Path):
    from vec2face_cli.evaluate import evaluate

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(30, 128)).astype(np.float32))
    arguments = ["realism", str(tmp_path / "a.npy"), "--reference", str(tmp_path / "b.npy"), "--resamples", "10"]
    arguments += ["--splits", "2", "--embedder", str(tiny_embedder_dir), "--json", str(tmp_path / "out.json")]
    result = CliRunner().invoke(evaluate, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "Frechet distance" in result.output
    assert "Warning: 15 images a side are too few for 128 dimensions" in result.output
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["size"] == 15
    assert written["frechet"]["faces"]["mean"] > 0
