"""Face packs: what goes in comes out, people are held out whole, unusable sources are refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.faces import jpeg, npy
from tests.training.conftest import write_source
from vec2face.config.base import parse
from vec2face.config.training import PackRecipe, PackSource
from vec2face.data.facepack import FacePack, build_pack
from vec2face.errors import ConfigError, InputError
from vec2face.fileio.tar import write_tar


def test_people_are_held_out_whole(tmp_path: Path):
    recipe = PackRecipe(sources=(write_source(tmp_path),), holdout_share=0.4, holdout_seed=1)
    faces = build_pack(recipe, root=tmp_path, out=tmp_path / "pack")
    assert faces.images.shape == (12, 112, 112, 3)
    assert len(set(faces.groups)) == 6
    for group in set(faces.groups):
        assert len({bool(h) for g, h in zip(faces.groups, faces.holdout, strict=True) if g == group}) == 1
    assert 0 < faces.holdout.sum() < 12
    assert FacePack.load(tmp_path / "pack").names == faces.names


def test_flagged_rows_are_left_out_and_features_stay_with_their_image(tmp_path: Path):
    source = write_source(tmp_path)
    lines = ["key,near_duplicate"]
    lines += [f"person{p}_{i},{1 if (p, i) == (0, 1) else 0}" for p in range(6) for i in range(2)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    source = source.model_copy(update={"table": "table.csv", "exclude_where": ("near_duplicate",)})
    faces = build_pack(PackRecipe(sources=(source,)), root=tmp_path, out=tmp_path / "pack")
    stored = np.load(tmp_path / "features.npy")
    assert len(faces.names) == 11
    assert "person0_1" not in faces.names
    assert np.array_equal(faces.require_features(), np.delete(stored, 1, axis=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tar": "missing.tar"}, "does not exist"),
        ({"features": "short.npy"}, "fewer than the images"),
        ({"features": "flat.npy"}, r"must be \(N, 2, D\)"),
        ({"table": "empty.csv"}, "has no row in empty.csv"),
    ],
)
def test_an_unusable_source_is_named(tmp_path: Path, change: dict, message: str):
    source = write_source(tmp_path).model_copy(update=change)
    np.save(tmp_path / "short.npy", np.zeros((3, 2, 16), np.float16))
    np.save(tmp_path / "flat.npy", np.zeros((12, 16), np.float16))
    (tmp_path / "empty.csv").write_text("key\n")
    with pytest.raises(InputError, match=message):
        build_pack(PackRecipe(sources=(source,)), root=tmp_path, out=tmp_path / "pack")


def test_an_unfinished_pack_is_refused(tmp_path: Path):
    source = PackSource(tar="faces.tar", features="short.npy", grouped=True)
    write_source(tmp_path)
    np.save(tmp_path / "short.npy", np.zeros((3, 2, 16), np.float16))
    with pytest.raises(InputError):
        build_pack(PackRecipe(sources=(source,)), root=tmp_path, out=tmp_path / "pack")
    with pytest.raises(InputError, match="not a finished face pack"):
        FacePack.load(tmp_path / "pack")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "either a tar or a path"),
        ({"tar": "a.tar", "path": "b"}, "either a tar or a path"),
        ({"path": "b", "grouped": True}, "grouped belongs to a tar"),
        ({"tar": "a.tar", "people": "none"}, "people belongs to a path"),
    ],
)
def test_a_source_is_of_one_kind(values: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        parse(PackSource, values, where="source")


def test_stored_features_need_those_of_the_mirror(tmp_path: Path):
    members = [("a.jpg", jpeg(0)), ("a.npy", npy(np.ones(4, np.float32)))]
    write_tar(tmp_path / "a.tar", members)
    with pytest.raises(InputError, match="no embedding of the mirror image"):
        build_pack(PackRecipe(sources=(PackSource(path="a.tar"),)), root=tmp_path, out=tmp_path / "pack")


def test_sources_that_differ_in_features(tmp_path: Path):
    write_tar(tmp_path / "a.tar", [("a.jpg", jpeg(0)), ("a.npy", npy(np.ones((2, 4), np.float32)))])
    write_tar(tmp_path / "b.tar", [("b.jpg", jpeg(1)), ("b.npy", npy(np.ones((2, 6), np.float32)))])
    write_tar(tmp_path / "c.tar", [("c.jpg", jpeg(2))])
    for other, message in (
        ("b.tar", "differ in width: 4 and 6"),
        ("c.tar", "some sources have features and some have"),
    ):
        recipe = PackRecipe(sources=(PackSource(path="a.tar"), PackSource(path=other)))
        with pytest.raises(InputError, match=message):
            build_pack(recipe, root=tmp_path, out=tmp_path / "pack")
    assert [path.name for path in (tmp_path / "pack").iterdir()] == []


def test_the_real_region_comes_with_the_image(tmp_path: Path):
    corners = [[10.0, 0.0], [112.0, 0.0], [112.0, 112.0], [10.0, 112.0]]
    write_tar(tmp_path / "a.tar", [("a.jpg", jpeg(0)), ("a.json", json.dumps({"valid": corners}).encode())])
    recipe = PackRecipe(sources=(PackSource(path="a.tar"),))
    faces = build_pack(recipe, root=tmp_path, out=tmp_path / "pack")
    assert faces.valid.tolist() == [corners]
    assert not faces.whole.any()
    write_tar(tmp_path / "a.tar", [("a.jpg", jpeg(0)), ("a.json", b'{"valid": [1, 2]}')])
    with pytest.raises(InputError, match="'valid' must be the four corners"):
        build_pack(recipe, root=tmp_path, out=tmp_path / "pack")
