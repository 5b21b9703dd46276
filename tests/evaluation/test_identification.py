"""Closed-set identification against sorting every row, and from faces or stored embeddings to results."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from safetensors.numpy import save_file

from vec2face.errors import InputError
from vec2face.evaluation import identification
from vec2face.evaluation.identification import NOBODY, identify
from vec2face.evaluation.identification_run import open_part, run_identification
from vec2face.evaluation.subjects import open_subject
from vec2face_cli.evaluate import evaluate


def made_up(seed, people=30, strangers=50, width=8):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, width))
    gallery_people = np.concatenate([np.arange(people), rng.integers(people, size=10), np.full(strangers, NOBODY)])
    gallery = rng.normal(size=(len(gallery_people), width))
    gallery[: people + 10] = centres[gallery_people[: people + 10]] + rng.normal(size=(people + 10, width))
    probe_people = rng.integers(people, size=70)
    return centres[probe_people] + rng.normal(size=(70, width)), probe_people, gallery, gallery_people


@pytest.mark.parametrize("seed", range(3))
def test_ranks_are_those_of_sorted_rows_whatever_the_blocks(seed, monkeypatch):
    probes, probe_people, gallery, gallery_people = made_up(seed)
    cosines = (probes / np.linalg.norm(probes, axis=1, keepdims=True)) @ (
        gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    ).T
    expected = []
    for row, person in zip(cosines, probe_people, strict=True):
        order = gallery_people[np.argsort(-row)]
        expected.append(1 + sum(other != person for other in order[: np.argmax(order == person)]))
    whole = identify(probes, probe_people, gallery, gallery_people)
    assert whole.ranks.tolist() == expected
    assert whole.best.tolist() == cosines.argmax(axis=1).tolist()
    assert 0 < whole.rate(1) < whole.rate(5) < 1
    assert whole.rate(1) == pytest.approx(np.mean(np.array(expected) == 1))
    np.testing.assert_allclose(whole.cmc(90), [np.mean(np.array(expected) <= rank) for rank in range(1, 91)])
    assert whole.cmc(3).tolist() == whole.cmc(90)[:3].tolist()
    monkeypatch.setattr(identification, "_PROBES", 9)
    monkeypatch.setattr(identification, "_GALLERY", 7)
    blocks = identify(probes, probe_people, gallery, gallery_people)
    assert blocks.ranks.tolist() == expected
    assert blocks.best.tolist() == whole.best.tolist()


def test_a_tie_with_a_stranger_counts_against():
    gallery = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    found = identify(np.array([[3.0, 0.0]]), np.array([5]), gallery, np.array([NOBODY, 5, 6]))
    assert found.ranks.tolist() == [2]


def test_what_does_not_fit_is_refused():
    probes, probe_people, gallery, gallery_people = made_up(0)
    with pytest.raises(InputError, match=r"1 of the 70 probes show people who are not in the gallery.* probe 3"):
        identify(probes, np.where(np.arange(70) == 3, 999, probe_people), gallery, gallery_people)
    with pytest.raises(InputError, match="width 7, the gallery's 8"):
        identify(probes[:, 1:], probe_people, gallery, gallery_people)
    with pytest.raises(InputError, match="there are 0 and 90"):
        identify(probes[:0], probe_people[:0], gallery, gallery_people)


def test_stored_embeddings(tmp_path):
    probes, probe_people, gallery, gallery_people = made_up(1)
    known = gallery_people != NOBODY
    arrays = {
        "probes": probes,
        "probes_people": probe_people,
        "gallery": gallery[known],
        "gallery_people": gallery_people[known],
        "distractors": gallery[~known],
    }
    path = tmp_path / "e.safetensors"

    def run(**changes):
        changed = {key: np.ascontiguousarray(value) for key, value in (arrays | changes).items() if value is not None}
        save_file(changed, path)
        return run_identification(open_subject(str(path)), [], batch_size=8)

    facts = run()
    expected = identify(probes, probe_people, gallery, gallery_people)
    assert facts["rank_rates"]["1"] == expected.rate(1)
    assert facts["counts"]["distractors"] == 50
    assert run(distractors=None)["rank_rates"]["1"] >= expected.rate(1)
    for changes, message in (
        ({"probes": probes[1:]}, "must hold probes_people, a whole number for each of the 69 probes"),
        ({"gallery_people": None}, "must hold gallery_people"),
        ({"probes_people": probe_people - 5}, "0 or more"),
        ({"distractors": gallery[~known][:, 1:]}, "differ in width"),
        ({"gallery": np.where(gallery[known] > 2, np.nan, gallery[known])}, "NaN"),
    ):
        with pytest.raises(InputError, match=message):
            run(**changes)
    np.save(tmp_path / "e.npy", probes)
    with pytest.raises(InputError, match="cannot hold people"):
        run_identification(open_subject(str(tmp_path / "e.npy")), [], batch_size=8)


@pytest.fixture
def faces(tmp_path):
    """Probes and gallery of four people by folder, by file name, and distractors side by side."""
    rng = np.random.default_rng(0)
    for part in ("probes", "gallery"):
        (tmp_path / f"flat-{part}").mkdir()
        for n in range(4):
            pixels = rng.integers(-20, 20, (112, 112, 3)) + np.array([50 * n, 200 - 50 * n, 60])
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            (tmp_path / part / f"person{n}").mkdir(parents=True)
            image.save(tmp_path / part / f"person{n}" / "1.png")
            image.save(tmp_path / f"flat-{part}" / f"{n}_1.png")
    (tmp_path / "strangers").mkdir()
    for n in range(3):
        Image.new("RGB", (112, 112), (90, 90, 80 * n)).save(tmp_path / "strangers" / f"s{n}.png")
    return tmp_path


def invoke(*words):
    done = CliRunner().invoke(evaluate, ["identification", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_from_faces_to_a_result(faces, tiny_embedder_dir):
    out = faces / "out"
    words = (tiny_embedder_dir, "--distractors", faces / "strangers")
    text = invoke(*words, "--probes", faces / "probes", "--gallery", faces / "gallery", "--out", out)
    assert "4 probes against 4 gallery images and 3 distractors" in text
    facts = json.loads((out / "result.json").read_text())
    assert (out / "result.md").read_text().count("rank 1") == 2
    flat = faces / "flat.json"
    invoke(
        *words, "--probes", faces / "flat-probes", "--gallery", faces / "flat-gallery", "--people-from", "file-names",
        "--json", flat,
    )  # fmt: skip
    assert json.loads(flat.read_text())["cmc"] == facts["cmc"]


def test_bad_faces_are_told_before_the_network_runs(faces, tiny_embedder_dir):
    both = ("--probes", faces / "probes", "--gallery", faces / "gallery")
    with pytest.raises(InputError, match="give --probes and --gallery"):
        invoke(tiny_embedder_dir, "--probes", faces / "probes")
    with pytest.raises(InputError, match="does not say who is in its pictures"):
        invoke(tiny_embedder_dir, "--probes", faces / "flat-probes", "--gallery", faces / "gallery")
    with pytest.raises(InputError, match="not named PERSON_NUMBER"):
        open_part("gallery", faces / "strangers", people_from="file-names")
    np.save(faces / "e.npy", np.ones((4, 4)))
    with pytest.raises(InputError, match="brings its own embeddings"):
        invoke(faces / "e.npy", *both)
    (faces / "gallery" / "person2" / "1.png").rename(faces / "gallery" / "person1" / "2.png")
    with pytest.raises(InputError, match=r"1 of the 4 probes .* the first is 'person2'"):
        invoke(tiny_embedder_dir, *both)
    (faces / "gallery" / "person2" / "1.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"person2/1\.png is not an image"):
        invoke(tiny_embedder_dir, *both)
