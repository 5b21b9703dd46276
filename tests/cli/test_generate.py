"""`vec2face generate` and `vec2face verify`: one command makes, continues, checks and repairs a dataset."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.commands import mistake, run
from vec2face.fileio.images import encode_image

SMALL = ("--source", "gaussian", "--identities", 3, "--images-per-identity", 2, "--identities-per-shard", 2)


@pytest.fixture
def generated(tiny_generator_dir: Path, tmp_path: Path) -> Path:
    out = tmp_path / "faces"
    made = run("generate", "--weights", tiny_generator_dir, *SMALL, "--workers", 1, "--audit", "none", "--out", out)
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith(f"{out}: 6 images of 3 identities (6 rendered in ")
    return out


def test_a_whole_dataset_verifies_and_is_left_alone(generated: Path) -> None:
    checked = run("verify", generated)
    assert (checked.exit_code, checked.stdout) == (0, f"{generated} is whole: 6 images in 2 shards.\n")
    again = run("generate", "--audit", "none", "--out", generated)
    assert again.stdout == f"{generated}: 6 images of 3 identities (nothing was left to render).\n"


def test_damage_is_named_with_the_command_that_mends_it(generated: Path) -> None:
    archive = generated / "shards" / "000001.tar"
    whole = archive.read_bytes()
    archive.write_bytes(whole[:700])
    checked = run("verify", generated)
    assert checked.exit_code == 1
    first, last = checked.stdout.splitlines()
    assert first.startswith(f"{archive}: damaged: 700 bytes instead of")
    command = last.partition("mend them with: vec2face ")[2].split()
    assert run(*command, "--audit", "none").exit_code == 0
    assert archive.read_bytes() == whole
    assert run("verify", generated).exit_code == 0


def test_options_reach_the_recipe(tiny_generator_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    made = run(
        "generate",
        "demo",
        *("--weights", tiny_generator_dir, *SMALL, "--name", "mine", "--seed", -7, "--ceiling", 0.9),
        *("--sigma", "0.2:3", "--sigma", "0:1", "--format", "png", "--dtype", "bfloat16", "--batch-size", 4),
        *("--threads-per-worker", 1, "--device", "cpu", "--workers", 1, "--audit", "none", "--out", out),
    )
    assert made.exit_code == 0, made.output

    recipe = json.loads((out / "dataset.json").read_text())["recipe"]
    assert (recipe["name"], recipe["seed"], recipe["identities"]["ceiling"]) == ("mine", -7, 0.9)
    assert recipe["variation"]["mixture"] == [{"sigma": 0.2, "share": 3.0}, {"sigma": 0.0, "share": 1.0}]
    assert recipe["image"] == {"format": "png", "quality": None}
    assert recipe["compute"] == {"dtype": "bfloat16", "batch_size": 4, "threads_per_worker": 1, "device": "cpu"}


def test_auto_is_recorded_as_what_it_was_and_slow_arithmetic_is_told_of(
    tiny_generator_dir: Path, tmp_path: Path, cpu_with: Callable[..., None]
) -> None:
    cpu_with("avx2")
    common = ("--weights", tiny_generator_dir, *SMALL, "--workers", 1, "--audit", "none")
    auto = run("generate", "laptop-10k", *common, "--out", tmp_path / "auto")
    assert auto.exit_code == 0, auto.output
    assert "bfloat16" not in auto.stderr
    recipe = json.loads((tmp_path / "auto" / "dataset.json").read_text())["recipe"]
    assert recipe["compute"]["dtype"] == "float32"
    slow = run("generate", *common, "--dtype", "bfloat16", "--out", tmp_path / "slow")
    assert slow.exit_code == 0, slow.output
    assert "bfloat16 is slow on this CPU" in slow.stderr.splitlines()[0]
    told = mistake("generate", *common, "--dtype", "auto", "--out", tmp_path / "slow")
    assert "compute.dtype: bfloat16 there, float32 wanted" in told


def test_photographs_become_a_dataset_in_one_command(
    tiny_generator_dir: Path, tiny_embedder_dir: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name in ("ada", "bea"):
        crop = rng.integers(0, 256, (112, 112, 3), np.uint8)
        (tmp_path / f"{name}.png").write_bytes(encode_image(crop, format="png"))
    made = run(
        "generate",
        *("--weights", tiny_generator_dir, "--embedder", tiny_embedder_dir, "--images-per-identity", 2),
        *("--from-images", tmp_path / "ada.png", "--from-images", tmp_path / "bea.png", "--sigma", "0.2:1"),
        *("--workers", 1, "--audit", "none", "--out", tmp_path / "faces"),
    )
    assert made.exit_code == 0, made.output
    assert "4 images of 2 identities" in made.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--identities", 0), "Invalid value for '--identities': 0 is not in the range x>=1."),
        (("--images-per-identity", -3), "Invalid value for '--images-per-identity'"),
        (("--workers", 0), "Invalid value for '--workers'"),
        (("--quality", 101), "Invalid value for '--quality'"),
        (("--sigma", "0.3"), "'0.3' is not SIGMA:SHARE, such as 0.3:40"),
        (("--sigma", "-1:40"), "options: variation.mixture.0.sigma: input should be greater than or equal to 0"),
        (("--sigma", "nan:40"), "options: variation.mixture.0.sigma: "),
        (("--ceiling", 2), "options: identities.ceiling: input should be less than or equal to 1"),
        (("--bank", "a.npy", "--source", "pca"), "options: identities: bank and source exclude each other"),
        (("--detector", "a.onnx"), "--detector belongs to --from-images."),
        (("--format", "png", "--quality", 90), "options: image: png is lossless and takes no quality"),
        (("--images-per-identity", 10_001), "images_per_identity: input should be less than or equal to 10000"),
        (("--weights", "no-such-weights"), "no generator weights 'no-such-weights'"),
        (("--bank", "no-such.npy"), "no-such.npy"),
    ],
)
def test_mistakes_end_before_any_work(
    options: tuple[object, ...], told: str, tiny_generator_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "faces"
    weights = () if "--weights" in options else ("--weights", tiny_generator_dir)
    assert told in mistake("generate", *weights, *options, "--audit", "none", "--out", out)
    assert not out.exists() or list(out.iterdir()) == []


def test_what_is_no_dataset_is_told_with_exit_code_2(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("vec2face"), "verify", tmp_path]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr == f"Error: {tmp_path} is not a dataset: it has no dataset.json.\n"


def test_an_interrupt_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vec2face.workflow

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(vec2face.workflow, "make_dataset", interrupted)
    result = run("generate", "--out", tmp_path / "faces")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted; finished shards are kept, and the same command goes on from there.\n"


def test_a_repair_needs_an_audit_and_its_cap_needs_a_repair(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "faces")
    assert "--repair goes by the audit; leave --audit none away." in mistake(
        "generate", "--repair", "--audit", "none", *out
    )
    assert "--repair-rounds belongs to --repair." in mistake("generate", "--repair-rounds", 3, *out)
    assert not (tmp_path / "faces").exists()


def test_people_from_photographs_are_not_repaired(tiny_generator_dir: Path, tmp_path: Path) -> None:
    from vec2face.config.model_card import ModelCard, TrainingData, write_model_card

    weights = tmp_path / "weights"
    shutil.copytree(tiny_generator_dir, weights)
    source = TrainingData(name="nothing", role="random weights", licence="none", consent="nobody is shown")
    write_model_card(weights, ModelCard(name="tiny", licence="none", source="this test", data=(source,)))
    (tmp_path / "a.png").write_bytes(encode_image(np.full((112, 112, 3), 90, np.uint8), format="png"))
    message = mistake(
        *("generate", "--weights", weights, "--from-images", tmp_path / "a.png", "--repair"),
        *("--out", tmp_path / "faces"),
    )
    assert "photographs cannot be drawn again" in message
    assert not (tmp_path / "faces" / "shards").exists()
