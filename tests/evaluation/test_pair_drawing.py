"""Validation sets from labelled faces: what every draw keeps to, and the way from faces to a measured set."""

import io
import pickle

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from vec2face.errors import InputError
from vec2face.evaluation.labelled_faces import fetch_images, read_people
from vec2face.evaluation.pair_drawing import draw_pairs
from vec2face.evaluation.pair_lists import read_pair_list
from vec2face.evaluation.verification_sets import open_verification_set
from vec2face.fileio.atomic import write_json
from vec2face_cli.data_make_bin import make_bin
from vec2face_cli.data_make_pairs import make_pairs


def crowd(counts):
    return {f"p{n}": [f"p{n}/{i}" for i in range(count)] for n, count in enumerate(counts)}


def person(key):
    return key.split("/")[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=12, max_size=40), st.integers(0, 5), st.integers(2, 3))
def test_folds_are_balanced_disjoint_and_without_repeats(counts, seed, folds):
    people = crowd(counts)
    try:
        drawn = draw_pairs(people, folds=folds, pairs=3, seed=seed)
    except InputError:
        assume(False)
    assert [pair.same for pair in drawn] == ([True] * 3 + [False] * 3) * folds
    assert all((person(pair.first) == person(pair.second)) == pair.same for pair in drawn)
    assert len({frozenset((pair.first, pair.second)) for pair in drawn}) == len(drawn)
    assert all(pair.first != pair.second for pair in drawn)
    seen = [{person(key) for p in drawn[f * 6 : f * 6 + 6] for key in (p.first, p.second)} for f in range(folds)]
    assert sum(map(len, seen)) == len(set().union(*seen))
    shuffled = dict(reversed(people.items()))
    assert draw_pairs(shuffled, folds=folds, pairs=3, seed=seed) == drawn


def test_people_with_many_images_do_not_prevail():
    drawn = draw_pairs(crowd([100] * 2 + [2] * 38), folds=2, pairs=20, seed=0)
    owners = [person(pair.first) for pair in drawn if pair.same]
    assert max(owners.count(name) for name in owners) <= 2
    assert len(set(owners)) == 40
    assert draw_pairs(crowd([5] * 40), folds=2, pairs=20, seed=1) != draw_pairs(
        crowd([5] * 40), folds=2, pairs=20, seed=0
    )


def test_too_few_faces_are_told():
    with pytest.raises(InputError, match="fold 1 has 2 people and 2 genuine pairs, fewer than 3"):
        draw_pairs(crowd([2] * 4), folds=2, pairs=3, seed=0)
    with pytest.raises(InputError, match="1 people and 0 impostor pairs"):
        draw_pairs(crowd([3] * 2), folds=2, pairs=3, seed=0)
    with pytest.raises(InputError, match="2 folds"):
        draw_pairs(crowd([3] * 4), folds=1, pairs=3, seed=0)


@pytest.fixture
def faces(tmp_path):
    """A folder of eight people with three pictures each."""
    folder = tmp_path / "faces"
    for n in range(8):
        (folder / f"person {n}").mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (112, 112), (30 * n, 80 * i, 99)).save(folder / f"person {n}" / f"{i}.jpg", quality=90)
    return folder


def run(command, *words):
    done = CliRunner().invoke(command, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_from_labelled_faces_to_a_set_that_insightface_reads(faces, tmp_path):
    pairs, out = tmp_path / "pairs.txt", tmp_path / "mine.bin"
    text = run(make_pairs, faces, "--out", pairs, "--folds", 2, "--pairs", 5)
    assert "20 pairs of 8 people in 2 folds" in text
    assert "--folds 2" in text
    run(make_bin, pairs, "--images", faces, "--out", out)
    # What insightface's loader does with the file.
    bins, same = pickle.loads(out.read_bytes())  # noqa: S301
    assert type(bins) is list
    assert type(same) is list
    assert (len(bins), {type(b) for b in bins}, {type(s) for s in same}) == (40, {bytes}, {bool})
    listed = read_pair_list(pairs).pairs
    assert bins == [(faces / name).read_bytes() for pair in listed for name in (pair.first, pair.second)]
    assert same == [pair.same for pair in listed]
    found = open_verification_set(str(out), folds=2)
    assert found.digest == open_verification_set(str(pairs), images=faces, folds=2).digest
    before = out.read_bytes()
    run(make_bin, pairs, "--images", faces, "--out", out, "--overwrite")
    assert out.read_bytes() == before
    with pytest.raises(InputError, match="exists already"):
        run(make_bin, pairs, "--images", faces, "--out", out)


def test_only_named_people(faces, tmp_path):
    names = tmp_path / "held_out.txt"
    names.write_text("person 1\nperson 2\nperson 5\nperson 7\n")
    run(make_pairs, faces, "--out", tmp_path / "p.txt", "--folds", 2, "--pairs", 4, "--people", names)
    used = {person(key) for pair in read_pair_list(tmp_path / "p.txt").pairs for key in (pair.first, pair.second)}
    assert used == {"person 1", "person 2", "person 5", "person 7"}
    names.write_text("person 1\nnobody\n")
    with pytest.raises(InputError, match=r"1 of the 2 people .* the first is 'nobody'"):
        run(make_pairs, faces, "--out", tmp_path / "q.txt", "--people", names)
    with pytest.raises(InputError, match="no face pack"):
        read_people(faces, part="held-out")


def test_a_packs_held_out_people_are_taken_and_its_pixels_kept(tmp_path):
    pack = tmp_path / "pack"
    pack.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 112, 112, 3), np.uint8)
    np.save(pack / "images.npy", pixels)
    np.save(pack / "valid.npy", np.zeros((12, 4, 2), np.float32))
    groups = [f"p{n // 3}" if n < 9 else "" for n in range(12)]
    holdout = [group in ("p0", "p2") for group in groups]
    index = {"format": "vec2face-facepack/1", "names": [f"i{n}" for n in range(12)], "facts": {}}
    write_json(pack / "index.json", index | {"groups": groups, "holdout": holdout})
    assert read_people(pack).images == {"p0": ["p0/i0", "p0/i1", "p0/i2"], "p2": ["p2/i6", "p2/i7", "p2/i8"]}
    assert set(read_people(pack, part="training").images) == {"p1"}
    assert set(read_people(pack, part="all").images) == {"p0", "p1", "p2"}
    image = fetch_images(pack, ["p2/i7"], where="pairs.txt")["p2/i7"]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image))), pixels[7])
    with pytest.raises(InputError, match=r"1 of the 2 images that mine\.txt names are missing .* the first is p9/i9"):
        fetch_images(pack, ["p2/i7", "p9/i9"], where="mine.txt")


def test_images_that_are_missing_or_not_aligned_are_told(faces, tmp_path):
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("a/1.jpg\ta/2.jpg\t1\nperson 1/0.jpg\tb/1.jpg\t0\n")
    with pytest.raises(InputError, match=rf"3 of the 4 images that {pairs} names .* the first is a/1\.jpg"):
        run(make_bin, pairs, "--images", faces, "--out", tmp_path / "x.bin")
    Image.new("RGB", (250, 250)).save(faces / "large.png")
    pairs.write_text("large.png\tperson 1/0.jpg\t0\n")
    with pytest.raises(InputError, match="is 250x250; a verification set holds aligned 112x112"):
        run(make_bin, pairs, "--images", faces, "--out", tmp_path / "x.bin")
    (faces / "large.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not an image"):
        run(make_bin, pairs, "--images", faces, "--out", tmp_path / "x.bin")
    with pytest.raises(InputError, match=r"\.bin files; name the output so"):
        run(make_bin, pairs, "--images", faces, "--out", tmp_path / "x.txt")
    assert not (tmp_path / "x.bin").exists()
