"""`vec2face identities`: banks are made, measured and never replaced unasked; mistakes end before any work."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import vec2face.checkpoints
from tests import commands
from vec2face.config.generation import DEFAULT_CEILING
from vec2face.contracts import InputContract
from vec2face.errors import InputError
from vec2face.fileio.images import encode_image
from vec2face.fileio.partial import PartialWork
from vec2face.identities import IdentityBank, pack, sample
from vec2face.identities.sampling import source_request
from vec2face.identities.sources import PcaSource
from vec2face.identities.statistics import fit
from vec2face.models.embedders.base import FaceEmbedder

run = partial(commands.run, "identities")
mistake = partial(commands.mistake, "identities")

RNG = np.random.default_rng(0)


@pytest.fixture
def statistics(tmp_path: Path) -> Path:
    path = tmp_path / "statistics.safetensors"
    fit(RNG.standard_normal((500, 16)).astype(np.float32), feature_space="test").save(path)
    return path


def test_sample_writes_the_bank_that_the_library_gives(tmp_path: Path, statistics: Path) -> None:
    out = tmp_path / "new" / "bank.safetensors"
    options = ("--method", "reject", "--count", 40, "--ceiling", 0.5, "--seed", 3, "--out", out)
    result = run("sample", "--statistics", statistics, *options)
    assert result.exit_code == 0, result.output
    expected = sample(PcaSource(statistics), count=40, ceiling=0.5, seed=3)
    bank = IdentityBank.load(out)
    np.testing.assert_array_equal(bank.vectors, expected.vectors)
    assert bank.provenance == expected.provenance
    tried = expected.provenance["candidates"]
    assert result.stdout == f"40 identities of width 16 in {out}; {tried} candidates were tried.\n"
    assert "40 of 40 identities" in result.stderr


def test_sampling_like_real_features_packs_unless_told_otherwise(tmp_path: Path, statistics: Path) -> None:
    out = tmp_path / "bank.safetensors"
    result = run("sample", "--statistics", statistics, "--count", 60, "--ceiling", 0.5, "--out", out)
    assert result.exit_code == 0, result.output
    expected = pack(PcaSource(statistics), count=60, ceiling=0.5, seed=0)
    bank = IdentityBank.load(out)
    np.testing.assert_array_equal(bank.vectors, expected.vectors)
    assert bank.provenance == expected.provenance
    assert f"packed in {bank.provenance['steps']} steps" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank.safetensors", "statistics.safetensors"]


def test_unfinished_sampling_is_gone_on_with_or_told(tmp_path: Path, statistics: Path) -> None:
    out = tmp_path / "bank.safetensors"
    source = PcaSource(statistics)
    request = {"method": "reject", "ceiling": 0.5, **source_request(source, 3)}
    partial = PartialWork(out)
    accepted = sample(source, count=10, ceiling=0.5, seed=3)
    tried = accepted.provenance["candidates"]
    rows = [
        row for row, vector in enumerate(source.candidates(3, 0, tried)) if (accepted.vectors == vector).all(1).any()
    ]
    partial.save(request, {"accepted": np.array(rows)}, {"tried": tried, "accepted_at": [0]})
    command = ("sample", "--statistics", statistics, "--method", "reject", "--count", 40, "--seed", 3, "--out", out)
    assert "another ceiling; remove it to begin anew" in mistake(*command, "--ceiling", 0.6)
    assert run(*command, "--ceiling", 0.5).exit_code == 0
    expected = sample(source, count=40, ceiling=0.5, seed=3)
    np.testing.assert_array_equal(IdentityBank.load(out).vectors, expected.vectors)
    assert not partial.path.exists()


def test_a_false_match_rate_is_a_ceiling(tmp_path: Path, statistics: Path) -> None:
    out, embedder = tmp_path / "bank.safetensors", tmp_path / "embedder"
    embedder.mkdir()
    (embedder / "operating_points.json").write_text('{"fmr_1e-3": 0.55}')
    command = ("sample", "--statistics", statistics, "--count", 20, "--embedder", embedder, "--out", out)
    assert run(*command, "--false-match-rate", 1e-3).exit_code == 0
    assert IdentityBank.load(out).provenance["ceiling"] == 0.55
    assert "it knows 0.001" in mistake(*command, "--false-match-rate", 1e-4, "--overwrite")


def test_select_keeps_those_that_the_pictures_keep_apart(
    tmp_path: Path, tiny_generator_dir: Path, tiny_embedder_dir: Path
) -> None:
    vectors = RNG.standard_normal((5, 128)).astype(np.float32)
    IdentityBank(vectors, tuple("abcde"), {"source": "test"}).save(tmp_path / "candidates")
    out = tmp_path / "bank.safetensors"
    networks = ("--weights", tiny_generator_dir, "--embedder", tiny_embedder_dir)
    command = ("select", tmp_path / "candidates", *networks, "--images", 2, "--count", 3, "--out", out)
    result = run(*command, "--ceiling", 1.0, "--consistency", -1)
    assert result.exit_code == 0, result.output
    bank = IdentityBank.load(out)
    assert len(bank) == 3
    assert set(bank.ids) <= set("abcde")
    tried = bank.provenance["rendered"]["tried"]
    assert f"{tried} candidates were tried, {tried - 3} too close, 0 not recognised" in result.stdout
    again = (*command, "--overwrite")
    assert "only 0 of 3 identities keep apart as rendered" in mistake(*again, "--ceiling", 1.0, "--consistency", 0.999)
    assert "exclude each other" in mistake(*again, "--ceiling", 0.5, "--false-match-rate", 1e-4)
    assert "states no false match rates" in mistake(*again)


def test_capacity_says_how_many_fit(statistics: Path) -> None:
    options = ("--statistics", statistics, "--probe", 1000, "--candidates", 4000, "--ceiling", 0.5)
    facts = json.loads(run("capacity", *options, "--pack-up-to", 64, "--json").stdout)[0]
    assert facts["probed"] == 1000
    assert facts["accepted"] < facts["identities"] < 4000
    assert facts["interval"][0] <= facts["identities"] <= facts["interval"][1]
    assert facts["packed"] == 64
    text = run("capacity", *options).stdout
    assert f"rejection accepted {facts['accepted']} of 1,000 candidates" in text
    assert "holds so many vectors" in mistake("capacity", "--source", "file", "--file", statistics)


def test_the_default_ceiling_is_that_of_recipes(tmp_path: Path) -> None:
    out = tmp_path / "bank.safetensors"
    run("sample", "--source", "gaussian", "--width", 64, "--std", 1.5, "--count", 20, "--out", out)
    bank = IdentityBank.load(out)
    assert bank.provenance["ceiling"] == DEFAULT_CEILING
    assert bank.provenance["source"] == "gaussian"
    assert bank.provenance["std"] == 1.5
    assert bank.provenance["seed"] == 0
    assert f"default: {DEFAULT_CEILING}" in run("sample", "--help").output


def test_identities_of_a_file_are_chosen_in_its_order(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([[1, 0], [1, 0.1], [0, 1], [-1, 0]]))
    out = tmp_path / "bank.safetensors"
    options = ("--source", "file", "--file", tmp_path / "v.npy", "--ceiling", 0.5, "--out", out)
    assert run("sample", *options, "--count", 3).exit_code == 0
    np.testing.assert_array_equal(IdentityBank.load(out).vectors, [[1, 0], [0, 1], [-1, 0]])
    assert "only 3 of 4 identities fit under cosine 0.5" in mistake("sample", *options, "--count", 4, "--overwrite")


def test_more_than_fit_end_with_the_number_that_does(tmp_path: Path) -> None:
    out = tmp_path / "bank.safetensors"
    message = mistake(
        "sample", "--source", "gaussian", "--width", 3, "--std", 1, "--count", 900, "--ceiling", 0.5, "--out", out
    )
    assert "900 identities are out of reach under cosine 0.5" in message
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "gaussian", "--width", 8], "--source gaussian needs --std"),
        (["--source", "file"], "--source file needs --file"),
        (["--width", 8], "--width belongs to --source gaussian, not pca"),
        (["--count", 0], "0 is not in the range 1<=x<=10000000"),
        (["--count", 99_999_999_999], "99999999999 is not in the range 1<=x<=10000000"),
        (["--ceiling", 1.5], "1.5 is not in the range"),
        (["--seed", 2**63, "--source", "gaussian", "--width", 8, "--std", 1], "64 signed bits"),
        (["--statistics", "missing.safetensors"], "'missing.safetensors' does not exist"),
        (["--method", "pack", "--max-candidates", 9], "--max-candidates belongs to --method reject"),
        (["--ceiling", 0.3, "--false-match-rate", 1e-4], "--ceiling and --false-match-rate exclude each other"),
        (["--embedder", "embedded"], "--embedder belongs to --false-match-rate"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: list[object], message: str) -> None:
    out = tmp_path / "bank.safetensors"
    assert message in mistake("sample", "--count", 5, "--out", out, *options)
    assert not out.exists()


def test_a_seed_for_a_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(3))
    options = ("--source", "file", "--file", tmp_path / "v.npy", "--count", 2, "--out", tmp_path / "b", "--seed", 1)
    assert "--seed plays no part" in mistake("sample", *options)


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path, statistics: Path) -> None:
    out = tmp_path / "bank.safetensors"
    out.write_text("precious")
    command = ("sample", "--statistics", statistics, "--count", 5, "--ceiling", 0.9, "--out", out)
    assert "exists already; choose another name or add --overwrite" in mistake(*command)
    assert out.read_text() == "precious"
    assert run(*command, "--overwrite").exit_code == 0
    assert len(IdentityBank.load(out)) == 5


def test_an_output_that_is_a_folder_is_refused_before_any_work(tmp_path: Path, statistics: Path) -> None:
    command = ("sample", "--statistics", statistics, "--count", 5, "--out", tmp_path, "--overwrite")
    assert "is a directory" in mistake(*command)


def test_inspect_prints_the_facts(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    IdentityBank(np.array([[3, 4], [4, 3], [-5, 0]], np.float32), ("a", "b", "c"), {"source": "test"}).save(path)
    facts = json.loads(run("inspect", path, "--json").stdout)
    assert (facts["count"], facts["width"]) == (3, 2)
    assert facts["closest"] == {"first": "a", "second": "b", "cosine": pytest.approx(0.96)}
    assert facts["under_ceiling"]["0.6"] == 1
    text = run("inspect", path).stdout
    assert "a and b, cosine 0.960000000" in text
    assert "source           test" in text
    drawn = text.partition("pairs by cosine, of 3 identities:\n")[2].splitlines()
    held = np.flatnonzero(facts["histogram"])
    assert [int(line.split()[3]) for line in drawn] == facts["histogram"][held[0] : held[-1] + 1]
    assert drawn[0].startswith("  -0.8")
    assert drawn[0].endswith("#" * 40)
    assert drawn[1].endswith(" 0")


def test_inspect_names_an_unusable_file(tmp_path: Path) -> None:
    (tmp_path / "odd").write_text("x")
    assert "odd is neither" in mistake("inspect", tmp_path / "odd")


class Colours(FaceEmbedder):
    """The mean colour of a face."""

    name = "colours"
    dim = 3
    contract = InputContract()

    def forward_contract(self, pixels: Tensor) -> Tensor:
        means: Tensor = pixels.mean(dim=(2, 3))
        return means


@pytest.fixture
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_embedder(reference: str) -> FaceEmbedder:
        if reference != "embedded":
            raise InputError(f"no embedder {reference}")
        return Colours()

    monkeypatch.setattr(vec2face.checkpoints, "load_embedder", load_embedder)


def write_crop(path: Path) -> np.ndarray:
    pixels = RNG.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(pixels, format="png"))
    return pixels


def colours(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float64).mean(axis=(0, 1)) / 127.5 - 1


@pytest.mark.usefixtures("_colours")
def test_from_images_makes_one_identity_per_photo(tmp_path: Path) -> None:
    crops = {name: write_crop(tmp_path / "photos" / f"{name}.png") for name in "ab"}
    Image.fromarray(crops["a"]).convert("L").save(tmp_path / "photos" / "grey.png")
    out, crops_out = tmp_path / "bank.safetensors", tmp_path / "crops"
    result = run("from-images", tmp_path / "photos", "--out", out, "--crops-out", crops_out)
    assert result.exit_code == 0, result.output
    bank = IdentityBank.load(out)
    assert bank.ids == ("a", "b", "grey")
    np.testing.assert_allclose(bank.vectors[:2], [colours(crops["a"]), colours(crops["b"])], atol=1e-5)
    assert sorted(path.name for path in crops_out.iterdir()) == ["a.png", "b.png", "grey.png"]
    assert "grey.png: grey converted to RGB." in result.stderr
    assert result.stdout == f"3 identities of width 3 from 3 photos in {out}.\n"
    again = ("from-images", tmp_path / "photos", "--out", tmp_path / "other", "--crops-out", crops_out)
    assert "crops exists already" in mistake(*again)


@pytest.mark.usefixtures("_colours")
def test_from_images_takes_the_mean_of_a_folder(tmp_path: Path) -> None:
    faces = [write_crop(tmp_path / "people" / name) for name in ("ann/1.png", "ann/2.png", "bob/1.png")]
    out = tmp_path / "bank.safetensors"
    assert run("from-images", tmp_path / "people", "--per-person", "--out", out).exit_code == 0
    bank = IdentityBank.load(out)
    assert bank.ids == ("ann", "bob")
    expected = [(colours(faces[0]) + colours(faces[1])) / 2, colours(faces[2])]
    np.testing.assert_allclose(bank.vectors, expected, atol=1e-5)


@pytest.mark.usefixtures("_colours")
def test_from_images_reports_what_it_skips(tmp_path: Path) -> None:
    write_crop(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "b.png").write_text("not a photo")
    command = ("from-images", tmp_path / "photos", "--out", tmp_path / "bank.safetensors")
    assert "1 of 2 photos cannot be used" in mistake(*command)
    assert not (tmp_path / "bank.safetensors").exists()
    result = run(*command, "--skip-unusable")
    assert result.exit_code == 0
    assert "Skipped:" in result.stderr
    assert "b.png is not an image" in result.stderr
    assert result.stdout.endswith("1 photos skipped.\n")


def test_from_images_names_a_detector_that_is_none(tmp_path: Path) -> None:
    write_crop(tmp_path / "a.png")
    (tmp_path / "detector.onnx").write_text("x")
    command = ("from-images", tmp_path / "a.png", "--detector", tmp_path / "detector.onnx", "--out", tmp_path / "bank")
    assert "detector.onnx is not a face detector" in mistake(*command)


@pytest.mark.development_data
@pytest.mark.usefixtures("_colours")
def test_from_images_with_a_real_detector(tmp_path: Path, shared: Path) -> None:
    out = tmp_path / "bank.safetensors"
    result = run(
        "from-images",
        shared / "data" / "photos",
        "--detector",
        shared / "weights" / "yunet_n_dynamic.onnx",
        "--out",
        out,
    )
    assert result.exit_code == 0, result.output
    assert len(IdentityBank.load(out)) == 24
    assert "the largest of 2 faces taken" in result.stderr
    assert torch.is_inference_mode_enabled() is False
