"""Labels of estimators: the table, and who is held out."""

from pathlib import Path

import numpy as np
import pytest

from vec2face.config.training import PackRecipe
from vec2face.data.facepack import FacePack, build_pack
from vec2face.errors import InputError
from vec2face.training.estimator_labels import hold_out, read_label_tables

from .conftest import write_source


def test_a_table_is_laid_over_the_pack_and_blank_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("key,other,yaw,age\nb,x,-3.5,\nelsewhere,x,1,1\na,x,,41\n")
    found = read_label_tables([file], names=["age", "yaw"], keys=["a", "b", "c"])
    assert np.array_equal(found, np.array([[41, np.nan], [np.nan, -3.5], [np.nan, np.nan]], np.float32), equal_nan=True)


def test_several_tables_label_faces_of_their_own_with_what_they_know(tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("key,yaw,age\na,1,30\n")
    second.write_text("key,misfit,yaw\nb,0.1,2\nc,0.1,\n")

    def read(*names: str) -> np.ndarray:
        return read_label_tables([first, second], names=names, keys=["a", "b", "c"])

    nan = np.nan
    assert np.array_equal(read("yaw", "age"), np.array([[1, 30], [2, nan], [nan, nan]], np.float32), equal_nan=True)
    with pytest.raises(InputError, match=r"second.csv has none of the columns age\."):
        read("age")
    with pytest.raises(InputError, match=r"none of .*first.csv and .*second.csv has a column roll"):
        read("yaw", "roll")
    second.write_text("key,yaw\na,2\n")
    with pytest.raises(InputError, match=r"second.csv, line 2: a is labelled twice, before in .*first.csv"):
        read("yaw")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("key,yaw\na,1\n", "has no column age; it needs key,yaw,age"),
        ("name,yaw,age\na,1,2\n", "has no column key; it needs key,yaw,age"),
        ("key,yaw,age\na,1,2\na,1,2\n", "line 3: a is labelled twice"),
        ("key,yaw,age\na,left,2\n", "line 2, yaw: 'left' is no number; leave the cell blank"),
        ("key,yaw,age\na,nan,2\n", "line 2, yaw: 'nan' is no number"),
        ("key,yaw,age\na,,2\nelse,3,\n", "labels no face of the pack with yaw"),
    ],
)
def test_tables_that_cannot_be_used_are_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(InputError) as mistake:
        read_label_tables([file], names=["yaw", "age"], keys=["a", "b"])
    assert sentence in str(mistake.value)


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the labels"):
        read_label_tables([tmp_path / "none.csv"], names=["yaw"], keys=["a"])


@pytest.fixture
def strangers(tmp_path: Path) -> FacePack:
    """Sixty faces of which nobody knows who they are."""
    source = write_source(tmp_path, people=30, images=2).model_copy(update={"grouped": False})
    return build_pack(PackRecipe(sources=(source,)), root=tmp_path, out=tmp_path / "pack")


def test_nobody_like_a_held_out_face_is_trained_on(strangers: FacePack) -> None:
    kept, held = hold_out(strangers, share=0.3, apart=0.5, seed=0)
    assert 8 < len(held) < 30
    vectors = np.asarray(strangers.features[:, 0], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rest = np.setdiff1d(np.arange(60), held)
    assert np.array_equal(kept, [row for row in rest if max(vectors[row] @ vectors[other] for other in held) <= 0.5])
    assert 0 < len(kept) < len(rest)
    everyone, same = hold_out(strangers, share=0.3, apart=1.0, seed=0)
    assert (len(everyone) + len(same), same.tolist()) == (60, held.tolist())


def test_people_that_the_pack_holds_out_are_held_out(pack: Path) -> None:
    faces = FacePack.load(pack)
    kept, held = hold_out(faces, share=0.5, apart=1.0, seed=0)
    assert np.array_equal(held, np.flatnonzero(faces.holdout))
    assert np.array_equal(kept, np.flatnonzero(~faces.holdout))


def test_an_empty_part_is_told_of(strangers: FacePack) -> None:
    with pytest.raises(InputError, match="holds no face out"):
        hold_out(strangers, share=0.0, apart=0.5, seed=0)
    with pytest.raises(InputError, match="leaves no face to train on"):
        hold_out(strangers, share=0.5, apart=-0.99, seed=0)
