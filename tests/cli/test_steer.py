"""`vec2face steer`: pictures, table and sheet; each mistake ends with one sentence before any work."""

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests import commands
from vec2face.evaluation import sheets
from vec2face.fileio.images import decode_image
from vec2face.identities import IdentityBank
from vec2face.steering.image_statistics import Brightness
from vec2face.steering.optimise import from_pixels

run = partial(commands.run, "steer")
mistake = partial(commands.mistake, "steer")

NAN = """
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.targets import AttributeFacts

class Nothing(AttributeEstimator):
    facts = AttributeFacts("nothing", "u", 0, 1, tolerance=0.1)
    def estimate(self, images):
        return images.mean(dim=(1, 2, 3)) * float("nan")
"""

OUT_OF_REACH = """
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.targets import AttributeFacts

class Yaw(AttributeEstimator):
    facts = AttributeFacts("yaw", "degrees", -90, 90, tolerance=5)
    def estimate(self, images):
        return 10 * (images[..., :56].mean(dim=(1, 2, 3)) - images[..., 56:].mean(dim=(1, 2, 3)))

class Quality(AttributeEstimator):
    facts = AttributeFacts("quality", "percent", 0, 100, tolerance=1)
    def estimate(self, images):
        return 50 + images.mean(dim=(1, 2, 3))
"""


RAISING = """
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.targets import AttributeFacts

class Broken(AttributeEstimator):
    facts = AttributeFacts("broken", "u", 0, 1, tolerance=0.1)
    def estimate(self, images):
        raise ValueError("no such layer.\\nAnd much more.")
"""

DRAWN = ("--direction-pictures", 4, "--out")


@pytest.fixture
def common(tiny_generator_dir: Path, tiny_embedder_dir: Path, tmp_path: Path) -> list[object]:
    vectors = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)
    IdentityBank(vectors, ("ann", "bob", "cy"), {}).save(tmp_path / "bank.safetensors")
    return [
        *("--bank", tmp_path / "bank.safetensors"),
        *("--weights", tiny_generator_dir),
        *("--embedder", tiny_embedder_dir),
        *("--identity-floor", -1, "--direction-pictures", 0),
        *("--out", tmp_path / "out"),
    ]


def test_pictures_table_vectors_and_sheet(common: list[object], tmp_path: Path) -> None:
    asked = ("--brightness", "100..150", "--target", "contrast=<=100", "--images-per-identity", 2, "--identities", 2)
    done = run(*common, *asked)
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    assert done.stdout.startswith(f"{out}: 4 images, 4 converged, 0 capped, 0 rejected; 1.0 passes an image.")
    rows = list(csv.DictReader((out / "steering.csv").read_text().splitlines()))
    assert [row["key"] for row in rows] == ["0000000_0000", "0000000_0001", "0000001_0000", "0000001_0001"]
    assert [row["identity_name"] for row in rows] == ["ann", "ann", "bob", "bob"]
    for row in rows:
        assert (row["brightness_asked"], row["contrast_asked"], row["status"]) == ("100..150", "<=100", "converged")
        data = (out / "images" / f"{row['key']}.png").read_bytes()
        measured = Brightness().estimate(from_pixels(decode_image(data, where="test")[None]))
        assert float(row["brightness_after"]) == pytest.approx(measured.item(), abs=1e-3)
    arrays = safetensors.numpy.load_file(out / "vectors.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == {"vectors": (4, 128), "codes": (4, 32)}
    assert decode_image((out / "before-after.png").read_bytes(), where="sheet").shape[1] > 4 * 112
    assert "is there already" in mistake(*common, *asked)


def test_the_first_picture_is_that_of_generate(common: list[object], tmp_path: Path, tiny_generator_dir: Path) -> None:
    from vec2face.fileio.tar import read_tar

    assert run(*common, "--brightness", ">=0", "--images-per-identity", 2, "--seed", 3).exit_code == 0
    arguments = ["generate", "--weights", tiny_generator_dir, "--bank", tmp_path / "bank.safetensors", "--seed", 3]
    arguments += ["--images-per-identity", 2, "--sigma", "0:1", "--format", "png", "--workers", 1, "--audit", "none"]
    made = commands.run(*arguments, "--out", tmp_path / "dataset")
    assert made.exit_code == 0, made.output
    members = dict(read_tar(tmp_path / "dataset" / "shards" / "000000.tar"))
    for key in ("0000000_0000", "0000002_0001"):
        steered = decode_image((tmp_path / "out" / "images" / f"{key}.png").read_bytes(), where="steered")
        generated = decode_image(members[f"{key}.png"], where="generated")
        assert np.abs(steered.astype(int) - generated).max() <= 1


def test_samples_that_do_not_reach_it_are_told_of(common: list[object], tmp_path: Path) -> None:
    done = run(*common, "--brightness", 250, "--max-evaluations", 2, "--identities", 1, "--format", "jpeg")
    assert done.exit_code == 0, done.output
    assert "0 converged, 1 capped, 0 rejected; 2.0 passes an image." in done.stdout
    assert "brightness 250+-4: 0 of 1" in done.stdout
    (row,) = csv.DictReader((tmp_path / "out" / "steering.csv").read_text().splitlines())
    assert row["reason"].startswith("after 2 passes brightness is")
    assert (tmp_path / "out" / "images" / "0000000_0000.jpg").is_file()


def test_an_impossible_pair_ends_at_the_cap_with_a_status_and_a_count(
    common: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out_of_reach.py").write_text(OUT_OF_REACH)
    monkeypatch.syspath_prepend(tmp_path)
    own = ("--estimator", "out_of_reach:Yaw", "--estimator", "out_of_reach:Quality")
    done = run(*common, *own, "--yaw", 90, "--quality", 99, "--max-evaluations", 3)
    assert done.exit_code == 0, done.output
    assert "3 images, 0 converged, 3 capped, 0 rejected; 3.0 passes an image." in done.stdout
    assert "yaw 90+-5: 0 of 3" in done.stdout
    rows = list(csv.DictReader((tmp_path / "out" / "steering.csv").read_text().splitlines()))
    assert {(row["status"], row["passes"]) for row in rows} == {("capped", "3")}
    assert all("yaw is" in row["reason"] and "quality is" in row["reason"] for row in rows)


def test_an_estimator_that_gives_nan_for_all_ends_with_a_sentence(
    common: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nan_attribute.py").write_text(NAN)
    monkeypatch.syspath_prepend(tmp_path)
    said = mistake(*common, "--estimator", "nan_attribute:Nothing", "--target", "nothing=0.5")
    assert said.startswith("no sample could be measured: the estimator of nothing gave nan.")
    rows = list(csv.DictReader((tmp_path / "out" / "steering.csv").read_text().splitlines()))
    assert {row["status"] for row in rows} == {"rejected"}
    said = mistake(*common, "--estimator", "nan_attribute:Nothing", "--target", "nothing=0.5", *DRAWN, tmp_path / "no")
    assert said.startswith(
        "the estimator of nothing gave values or slopes that are not finite; mend it, or steer without"
    )
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("pictures", [0, 4])
def test_an_estimator_that_raises_ends_with_a_sentence(
    common: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: int
) -> None:
    (tmp_path / "raising_attribute.py").write_text(RAISING)
    monkeypatch.syspath_prepend(tmp_path)
    own = ("--estimator", "raising_attribute:Broken", "--target", "broken=0.5", "--direction-pictures", pictures)
    said = mistake(*common, *own)
    assert said.startswith("the estimator of broken (raising_attribute:Broken) failed on ")
    assert said.endswith("(ValueError: no such layer); mend it, or leave the attribute out.")
    assert not (tmp_path / "out").exists()


def steered_files(out: Path, identity: int) -> dict[str, bytes]:
    """Return the pictures and the table's rows of a person, by key, and the rows of the vectors as bytes."""
    table = (out / "steering.csv").read_text().splitlines()[1:]
    arrays = safetensors.numpy.load_file(out / "vectors.safetensors")
    found = {}
    for place, row in enumerate(table):
        key = row.partition(",")[0]
        if key.startswith(f"{identity:07d}_"):
            found[key] = (out / "images" / f"{key}.png").read_bytes()
            found[f"{key} row"] = row.encode() + b"".join(array[place].tobytes() for array in arrays.values())
    return found


@pytest.mark.parametrize("pictures", [0, 4])
def test_who_else_is_steered_changes_no_byte_of_a_person(common: list[object], tmp_path: Path, pictures: int) -> None:
    asked = ("--brightness", "128.3+-0.1", "--images-per-identity", 3, "--direction-pictures", pictures)
    others = np.random.default_rng(1).normal(size=(12, 128)).astype(np.float32)
    others[:2] = IdentityBank.load(tmp_path / "bank.safetensors").vectors[:2]
    IdentityBank(others, ("ann", "bob", *map(str, range(10))), {}).save(tmp_path / "others.safetensors")
    runs = {
        "three": (),
        "one": ("--identities", 1),
        "others": ("--bank", tmp_path / "others.safetensors"),
    }
    for name, more in runs.items():
        done = run(*common, *asked, *more, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert ("pictures for directions" in done.stdout) == bool(pictures)
    assert len(list((tmp_path / "others" / "images").iterdir())) == 36
    ann = steered_files(tmp_path / "three", 0)
    assert len(ann) == 6
    assert steered_files(tmp_path / "one", 0) == steered_files(tmp_path / "others", 0) == ann
    assert steered_files(tmp_path / "others", 1) == steered_files(tmp_path / "three", 1)
    assert "No such option '--batch-size'" in mistake(*common, *asked, "--batch-size", 2)


def test_directions_are_estimated_unless_they_are_given_or_not_wanted(common: list[object], tmp_path: Path) -> None:
    asked = ("--brightness", "129+-0.1")

    def passes(name: str, *more: object) -> int:
        done = run(*common, *asked, *more, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        rows = list(csv.DictReader((tmp_path / name / "steering.csv").read_text().splitlines()))
        assert {row["status"] for row in rows} == {"converged"}
        assert ("after 8 pictures for directions" in done.stdout) == (name == "estimated")
        return sum(int(row["passes"]) for row in rows)

    file = tmp_path / "directions.safetensors"
    arguments = ["attributes", "directions", "brightness", "--bank", tmp_path / "bank.safetensors", "--pictures", 3]
    made = commands.run(*arguments, "--weights", common[3], "--out", file)
    assert made.exit_code == 0, made.output
    assert passes("estimated", "--direction-pictures", 8) < passes("none")
    given = passes("given", "--direction-pictures", 8, "--directions", file)
    assert given == passes("alone", "--directions", file)
    rows = [(tmp_path / name / "steering.csv").read_bytes() for name in ("given", "alone", "estimated")]
    assert rows[0] == rows[1] != rows[2]
    assert "must be 2 or more, or 0 for no jumps" in mistake(*common, *asked, "--direction-pictures", 1)


def test_the_sheet_says_what_was_asked(common: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    draw = sheets.draw_sheet
    monkeypatch.setattr(sheets, "draw_sheet", lambda *rows, **more: titles.append(more["title"]) or draw(*rows, **more))
    (tmp_path / "odd_tolerance.py").write_text(OUT_OF_REACH.replace("tolerance=5", "tolerance=2.1049"))
    monkeypatch.syspath_prepend(tmp_path)
    asked = ("--estimator", "odd_tolerance:Yaw", "--yaw", 40, "--contrast", ">=0", "--brightness", "128+-2.25")
    done = run(*common, *asked, "--max-evaluations", 1)
    assert done.exit_code == 0, done.output
    assert titles == ["yaw 40+-2.1, contrast >=0, brightness 128+-2.25"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "ask for something: --target NAME=TARGET"),
        (("--target", "hair=3"), "there is no attribute 'hair'; known: age, brightness, contrast,"),
        (
            ("--brightness", "300"),
            "brightness 300 lies outside the range in which it was validated, 0 to 255 grey levels",
        ),
        (("--yaw", "90", "--quality", "99"), "yaw 90 lies outside the range in which it was validated, -"),
        (("--brightness", "9", "--target", "brightness=7"), "brightness is given two targets, 7 and 9"),
        (("--contrast", "40..20"), "at least 40 and at most 20; no value is both"),
        (("--brightness", "bright"), "the target brightness=bright cannot be read"),
        (("--brightness", "9", "--identities", "4"), "4 identities are asked for, but there are only 3"),
        (("--brightness", "9", "--jpeg-quality", "9"), "png is lossless and takes no quality"),
        (("--brightness", "9", "--detector", "x.onnx"), "--detector belongs to --from-images"),
        (("--brightness", "9", "--from-images", "x"), "give the people by --bank or by --from-images, one of them"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(
    common: list[object], tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    said = mistake(*common, *arguments)
    assert sentence in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_cuda_is_refused_where_there_is_none(common: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA GPU is visible" in mistake(*common, "--brightness", "9", "--device", "cuda")
