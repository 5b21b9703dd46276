"""Whole, tiny recogniser trainings: they learn, resume exactly, leave what they promise, and refuse what they must."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from vec2face.checkpoints import load_embedder
from vec2face.config.base import parse
from vec2face.config.library import find_recipe
from vec2face.config.recognition import RecognitionSchedule, RecognizerRecipe
from vec2face.errors import ConfigError, DatasetError, InputError
from vec2face.fileio.images import encode_image
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.embedders.iresnet import IResNet
from vec2face.models.embedders.mobilefacenet import ArcFaceMobileFaceNet
from vec2face.training.recognizer import Validation, require_whole_people, train_recognizer
from vec2face.training.recognizer_network import build_network, build_optimizer
from vec2face.training.recognizer_result import Validations
from vec2face.training.recognizer_schedule import Course
from vec2face_cli.main import cli

from .conftest import SilentReporter

TINY = {
    "name": "tiny",
    "network": {"kind": "compact", "widths": [8, 8, 8, 8], "depths": [0, 0, 1, 0], "dim": 16},
    "head": {"kind": "cosface", "scale": 8, "margin": 0.1},
    "optimizer": {"kind": "sgd"},
    "schedule": {"unit": "images", "length": 48, "batch_size": 8, "learning_rate": 0.05},
    "cache_images": 100,
    "run": {"threads": 1, "precision": "float32", "log_every": 1, "checkpoint_every": 2, "preview_every": 2},
}
HEADS = ["arcface", "cosface", "adaface", "magface", "curricularface"]
WEIGHTS = "recognizer/diffusion_pytorch_model.safetensors"


def tiny(**changes) -> RecognizerRecipe:
    values = {**TINY, **changes}
    for part in ("schedule", "run"):
        values[part] = {**TINY[part], **changes.get(part, {})}
    return RecognizerRecipe(**values)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Six people x 4 pictures: blocks of a person's colours with noise."""
    rng = np.random.default_rng(0)
    for person in range(6):
        base = np.kron(rng.integers(40, 215, (7, 7, 3)), np.ones((16, 16, 1)))
        for image in range(4):
            path = tmp_path / "faces" / f"person{person}" / f"{image}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(base + rng.normal(0, 10, base.shape), 0, 255).astype(np.uint8)
            path.write_bytes(encode_image(pixels, format="jpeg", quality=90))
    return tmp_path / "faces"


def run(
    recipe: RecognizerRecipe, faces: Path, out: Path, reporter: SilentReporter | None = None, **more
) -> SilentReporter:
    reporter = reporter or SilentReporter()
    train_recognizer(recipe, data=[faces], out=out, reporter=reporter, device="cpu", **more)
    return reporter


@pytest.mark.parametrize(("head", "share"), [("curricularface", 0.5), ("adaface", 1.0)])
def test_a_run_stopped_and_resumed_equals_an_uninterrupted_one(
    faces: Path, tmp_path: Path, head: str, share: float
) -> None:
    recipe = tiny(head={"kind": head}, centre_share=share)
    whole = run(recipe, faces, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(recipe, faces, tmp_path / "b", SilentReporter(stop_after_images=24))
    rest = run(recipe, faces, tmp_path / "b")
    assert rest.losses == whole.losses[2:], "it goes on from the checkpoint of step 2"
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("begun", "resumed", "precision", "other"),
    [("avx512_bf16", "avx2", "bfloat16", "float32"), ("avx2", "avx512_bf16", "float32", "bfloat16")],
)
def test_a_run_keeps_the_precision_that_auto_stood_for_when_it_began(
    faces: Path, tmp_path: Path, cpu_with: Callable[..., None], begun: str, resumed: str, precision: str, other: str
) -> None:
    auto, explicit = tiny(run={"precision": "auto"}), tiny(run={"precision": precision})
    whole = run(explicit, faces, tmp_path / "a")
    cpu_with(begun)
    with pytest.raises(KeyboardInterrupt):
        run(auto, faces, tmp_path / "b", SilentReporter(stop_after_images=24))
    assert json.loads((tmp_path / "b" / "run.json").read_text())["recipe"]["run"]["precision"] == precision

    cpu_with(resumed)
    told = f"run.precision: '{precision}' then, '{other}' now.*with run.precision: {precision} if auto chose that"
    with pytest.raises(DatasetError, match=told):
        run(auto, faces, tmp_path / "b")
    assert run(explicit, faces, tmp_path / "b").losses == whole.losses[2:]
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()

    cpu_with(begun)
    run(auto, faces, tmp_path / "c")
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "c" / WEIGHTS).read_bytes()
    assert json.loads((tmp_path / "c" / "result.json").read_text())["recipe"]["run"]["precision"] == precision


@pytest.mark.parametrize(("head", "optimizer"), [*((head, "sgd") for head in HEADS), ("arcface", "adamw")])
def test_every_head_and_optimiser_learns(faces: Path, tmp_path: Path, head: str, optimizer: str) -> None:
    rate = 0.05 if optimizer == "sgd" else 5e-3
    recipe = tiny(
        head={"kind": head, "scale": 8},
        optimizer={"kind": optimizer},
        schedule={"length": 160, "learning_rate": rate},
        augmentation={"crop": 0, "low_resolution": 0, "photometric": 0, "erase": 0},
        run={"preview_every": 100, "checkpoint_every": 100},
    )
    losses = [line[head] for line in run(recipe, faces, tmp_path / "run").losses]
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:2])


def test_people_of_a_batch_are_learned_from_too_and_such_a_run_resumes(faces: Path, tmp_path: Path) -> None:
    recipe = tiny(prototypes={"images": 2}, schedule={"accumulate": 2})
    whole = run(recipe, faces, tmp_path / "a")
    assert all(line.keys() == {"cosface", "prototypes"} for line in whole.losses)
    lighter = run(tiny(prototypes={"images": 2, "weight": 0.5}, schedule={"accumulate": 2}), faces, tmp_path / "c")
    assert lighter.losses[0]["prototypes"] == pytest.approx(whole.losses[0]["prototypes"] / 2)
    assert lighter.losses[1]["cosface"] != whole.losses[1]["cosface"], "its gradient reaches the network"
    with pytest.raises(KeyboardInterrupt):
        run(recipe, faces, tmp_path / "b", SilentReporter(stop_after_images=24))
    run(recipe, faces, tmp_path / "b")
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()


def test_people_are_never_torn_between_processes() -> None:
    recipe = tiny(prototypes={"images": 2}, schedule={"batch_size": 12})
    require_whole_people(recipe, processes=3)
    with pytest.raises(ConfigError, match="a batch of 6 people, 2 images each, cannot be shared by 4 processes"):
        require_whole_people(recipe, processes=4)


def test_what_a_run_leaves_says_what_it_was_made_of(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(tiny(), faces, out)
    network = load_embedder(str(out / "recognizer"))
    assert (network.name, network.dim) == ("tiny", 16)
    result = json.loads((out / "result.json").read_text())
    assert result == json.loads((out / "recognizer" / "result.json").read_text())
    assert (result["images_seen"], result["classes"], result["seed"], result["device"]) == (48, 6, 0, "cpu")
    assert result["datasets"][0]["source"] == str(faces)
    assert result["datasets"][0]["images"] == 24
    assert result["losses"].keys() == {"cosface"}
    assert result["images_per_second"] > 0
    assert result["recipe"]["head"]["margin"] == 0.1
    line = json.loads((out / "journal.jsonl").read_text().splitlines()[0])
    assert {"data_wait_share", "images_per_second", "learning_rate"} <= line.keys()
    before = (out / "result.json").read_bytes()
    run(tiny(), faces, out)
    assert (out / "result.json").read_bytes() == before, "a finished run stays as it is"


def test_other_data_and_settings_are_refused_in_the_folder_of_a_run(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(tiny(schedule={"length": 16}), faces, out)
    (faces / "person7").mkdir()
    (faces / "person7" / "0.jpg").write_bytes((faces / "person1" / "0.jpg").read_bytes())
    with pytest.raises(DatasetError, match=r"pack\.classes: 6 then, 7 now"):
        run(tiny(schedule={"length": 16}), faces, out)
    with pytest.raises(DatasetError, match=r"recognizer\.head\.margin: 0\.1 then, 0\.2 now"):
        run(tiny(schedule={"length": 16}, head={"kind": "cosface", "scale": 8, "margin": 0.2}), faces, out)


def scores(values: list[float]) -> Callable[[FaceEmbedder], float]:
    def accuracy(network: FaceEmbedder) -> float:
        assert not network.training
        return values.pop(0)

    return accuracy


@pytest.mark.parametrize(("keep", "kept_step"), [("best", 4), ("last", 6)])
def test_the_validation_chooses_the_weights_only_if_it_is_asked_to(
    faces: Path, tmp_path: Path, keep: str, kept_step: int
) -> None:
    out = tmp_path / "run"
    recipe = tiny(keep=keep, validation="pairs.bin")
    run(recipe, faces, out, validation=Validation("pairs", "abc", scores([0.6, 0.8, 0.7])))
    kept = load_embedder(str(out / "recognizer"))
    other = tmp_path / "other"
    run(tiny(schedule={"length": 8 * kept_step}), faces, other)
    expected = load_embedder(str(other / "recognizer"))
    assert isinstance(kept, CompactEmbedder)
    assert isinstance(expected, CompactEmbedder)
    torch.testing.assert_close(kept.linear.weight, expected.linear.weight, rtol=0, atol=0)
    report = json.loads((out / "result.json").read_text())["validation"]
    assert report["selected_the_weights"] == (keep == "best")
    assert report["accuracy_by_step"] == {"2": 0.6, "4": 0.8, "6": 0.7}
    assert report["digest"] == "abc"


def test_a_validation_forgets_what_came_after_the_step_it_goes_on_from(tmp_path: Path) -> None:
    history = Validations(tmp_path)
    assert history.add(10, 0.7)
    assert not history.add(20, 0.6)
    assert history.add(30, 0.9)
    again = Validations(tmp_path)
    assert not again.add(20, 0.6)
    assert again.values == {10: 0.7, 20: 0.6}
    assert again.add(30, 0.9)


def test_the_average_can_be_kept_in_place_of_the_last_weights(faces: Path, tmp_path: Path) -> None:
    for weights in ("last", "average"):
        run(tiny(weights=weights, schedule={"length": 16}), faces, tmp_path / weights)
    assert (tmp_path / "last" / WEIGHTS).read_bytes() != (tmp_path / "average" / WEIGHTS).read_bytes()


def test_a_recipe_for_another_number_of_datasets_is_refused(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="describes 2 datasets, but 1 are given"):
        run(tiny(datasets=[{"people": 2}, {}]), faces, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"head": {"kind": "arcface", "lambda_g": 1}}, "lambda_g is an option of magface, not of arcface"),
        ({"head": {"kind": "softmax"}}, "'softmax'.*expected tags: 'arcface', 'cosface'"),
        ({"network": {"kind": "vit"}}, "'vit'.*expected tags: 'iresnet', 'mobilefacenet', 'compact'"),
        ({"network": {"kind": "compact", "depth": 50}}, "depth is an option of iresnet, not of compact"),
        ({"keep": "best"}, "needs a validation set"),
        ({"schedule": {"drop_at": [40, 30]}}, "drop_at must rise"),
        ({"schedule": {"drop_at": [48]}}, "drop_at must rise and end before length"),
        ({"schedule": {"decay": "cosine", "drop_at": [40]}}, "drop_at has no effect where decay is cosine"),
        ({"schedule": {"warmup": 48}}, "warmup must be shorter"),
        ({"prototypes": {"images": 3}}, "batch_size 8 must be a multiple of prototypes.images 3"),
        ({"prototypes": {"images": 4}, "schedule": {"accumulate": 2}}, "and hold two people a pass"),
        ({"augmentation": {"crop_area": [0.9, 0.2]}}, "crop_area must be two shares in rising order"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(change: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        tiny(**change)


def test_the_published_schedule_drops_at_the_starts_of_epochs_12_20_and_24() -> None:
    recipe = find_recipe("train_recognizer/hsface").parse()
    assert isinstance(recipe, RecognizerRecipe)
    course = Course.of(recipe.schedule, epoch=1280)
    rates = [course.learning_rate(1280 * epoch + step * 128) for epoch in range(26) for step in (0, 9)]
    expected = [0.1] * 2 * 11 + [0.01] * 2 * 8 + [0.001] * 2 * 4 + [0.0001] * 2 * 3
    assert rates == pytest.approx(expected)
    assert course.steps == 260


def test_a_schedule_warms_up_and_follows_a_cosine() -> None:
    schedule = RecognitionSchedule(
        length=10, batch_size=10, learning_rate=1.0, warmup=1, decay="cosine", final_share=0.1
    )
    course = Course.of(schedule, epoch=100)
    rates = [course.learning_rate(seen) for seen in range(0, 1001, 10)]
    assert rates[:10] == sorted(rates[:10])
    assert 0 < rates[0] < 0.2
    assert rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)
    assert course.learning_rate(550) == pytest.approx(0.55)


def test_networks_begin_as_the_published_ones_do() -> None:
    recipe = tiny(network={"kind": "iresnet", "depth": 18, "dim": 8, "zero_last_norm": True})
    network = build_network(recipe.network, name="x", seed=3)
    assert isinstance(network, IResNet)
    assert float(network.stages[3][1].conv1.weight.detach().std()) == pytest.approx(0.1, rel=0.01)
    assert not network.stages[0][0].bn3.weight.any()
    assert not network.embedding_bn.weight.requires_grad
    again = build_network(recipe.network, name="x", seed=3)
    assert all(
        one.equal(two) for one, two in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )

    mobile = build_network(tiny(network={"kind": "mobilefacenet", "dim": 8}).network, name="x", seed=3)
    assert isinstance(mobile, ArcFaceMobileFaceNet)
    fan_out = mobile.widen.conv.weight.shape[0]
    assert float(mobile.widen.conv.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    assert not mobile.embedding_bn.weight.requires_grad

    optimizer = build_optimizer(recipe.optimizer, network)
    decayed, free = optimizer.param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (5e-4, 0.0)
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    trained = sum(parameter.requires_grad for parameter in network.parameters())
    assert len(decayed["params"]) + len(free["params"]) == trained


def test_the_command_trains_and_tells_mistakes_in_one_sentence(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", "recognizer", "tiny", "--data", str(faces), "--people", "3", "--images-per-person", "2"]
    finished = CliRunner().invoke(cli, [*words, "--out", str(out), "--seed", "4", "--device", "cpu"])
    assert finished.exit_code == 0, finished.output
    assert f"64 images seen; the recogniser is in {out / 'recognizer'}." in finished.output
    result = json.loads((out / "result.json").read_text())
    assert (result["classes"], result["datasets"][0]["taken"], result["seed"]) == (3, 6, 4)
    alone = CliRunner().invoke(cli, [*words, "--people", "1", "--out", str(tmp_path / "alone")])
    assert isinstance(alone.exception, InputError)
    assert "one person only" in str(alone.exception)
    missing = CliRunner().invoke(cli, [*words, "--validation", str(tmp_path / "no.bin"), "--out", str(out)])
    assert isinstance(missing.exception, InputError)
    assert "no.bin" in str(missing.exception)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ({"kind": "softmax"}, r"r: head: kind must be one of 'arcface', 'cosface', .*, not 'softmax'"),
        ({"margin": 0.5}, "r: head: kind is missing"),
    ],
)
def test_an_unknown_kind_is_told_with_those_there_are(head: dict, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse(RecognizerRecipe, {**TINY, "head": head}, where="r")
