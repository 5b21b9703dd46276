"""`vec2face attributes`: from labelled crops to a probe that steers, and directions for it."""

from pathlib import Path

import numpy as np
import pytest

from tests.commands import mistake, run
from vec2face.fileio.images import encode_image
from vec2face.identities import IdentityBank


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Eight people of three noisy crops each, labelled by how bright they are."""
    rng = np.random.default_rng(0)
    rows = ["key,value"]
    for person in range(8):
        for number in range(3):
            level = float(rng.uniform(60, 190))
            pixels = np.clip(level + rng.normal(size=(112, 112, 3)) * 10, 0, 255).astype(np.uint8)
            path = tmp_path / "crops" / f"p{person}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_image(pixels, format="png"))
            rows.append(f"p{person}/{number}.png,{pixels.mean():.3f}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def fit(folder: Path, embedder: Path, *more: object) -> tuple[object, ...]:
    paths = (folder / "labels.csv", "--images", folder / "crops", "--embedder", embedder, "--out", folder / "probe")
    return ("attributes", "fit", *paths, "--name", "light", "--unit", "levels", "--folds", 4, *more)


def test_a_probe_is_fitted_given_directions_and_steered_by(
    crops: Path, tiny_embedder_dir: Path, tiny_generator_dir: Path
) -> None:
    made = run(*fit(crops, tiny_embedder_dir, "--on", "maps"))
    assert made.exit_code == 0, made.output
    assert "light, held-out error" in made.stdout
    assert "24 faces, 4 folds, people kept apart." in made.stdout
    error = float(made.stdout.split("held-out error ")[1].split()[0])
    assert error < 10

    vectors = np.random.default_rng(1).normal(size=(6, 128)).astype(np.float32)
    IdentityBank(vectors, tuple("abcdef"), {}).save(crops / "bank.safetensors")
    common = ("--bank", crops / "bank.safetensors", "--weights", tiny_generator_dir, "--estimator", crops / "probe")
    found = run("attributes", "directions", "light", *common, "--pictures", 6, "--out", crops / "light.safetensors")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("light: the direction explains ")
    steered = run(
        *("steer", *common, "--embedder", tiny_embedder_dir, "--identity-floor", -1, "--identities", 2),
        *("--target", "light=>=70", "--directions", crops / "light.safetensors", "--max-evaluations", 3),
        *("--out", crops / "out"),
    )
    assert steered.exit_code == 0, steered.output
    assert "light >=70: 2 of 2" in steered.stdout
    assert "another generator" in mistake(
        *("steer", "--bank", crops / "bank.safetensors", "--estimator", crops / "probe", "--target", "light=>=70"),
        *("--directions", crops / "light.safetensors", "--out", crops / "out2"),
    )


def test_mistakes_are_one_sentence_and_leave_nothing(crops: Path, tiny_embedder_dir: Path) -> None:
    assert "give the faces by --images or by --data" in mistake(*fit(crops, tiny_embedder_dir, "--data", crops))
    assert "cannot be divided into 9 folds" in mistake(*fit(crops, tiny_embedder_dir, "--folds", 9))
    assert "0 and 1 alone" in mistake(*fit(crops, tiny_embedder_dir, "--kind", "logistic"))
    (crops / "labels.csv").write_text("key,value\np0/0.png,1\np9/0.png,2\n")
    said = mistake(*fit(crops, tiny_embedder_dir))
    assert "1 of 2 labelled faces are not in" in said
    assert "'p9/0.png'" in said
    assert not (crops / "probe").exists()
    bank = crops / "bank.safetensors"
    IdentityBank(np.ones((1, 128), np.float32), ("a",), {}).save(bank)
    assert "256 pictures need as many people" in mistake(
        "attributes", "directions", "brightness", "--bank", bank, "--out", crops / "d.safetensors"
    )
