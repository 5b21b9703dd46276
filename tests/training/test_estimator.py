"""Training of estimators: what is learnt from, that it is learnt, and that a stopped run goes on exactly."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vec2face.checkpoints import load_estimators
from vec2face.config.base import parse
from vec2face.config.estimators import EstimatorRecipe
from vec2face.config.training import PackRecipe
from vec2face.data.facepack import FacePack, build_pack
from vec2face.errors import ConfigError, ContractError, DatasetError, InputError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.estimators.network import AttributeNetwork
from vec2face.training.augment import AugmentStrength, augment
from vec2face.training.degraded_faces import DegradedFaces
from vec2face.training.estimator import attribute_losses, train_estimator
from vec2face.training.estimator_data import EstimatorStream, LabelledFaces
from vec2face.training.portion import Portion, whole_step

from .conftest import SilentReporter, write_source
from .test_degraded_faces import with_features

SIDE = {"name": "side", "unit": "levels", "mirrored": "negated"}
LIGHT = {"name": "light", "unit": "levels"}


def recipe(*attributes: dict[str, Any], steps: int = 3, batch: int = 8, **more: Any) -> EstimatorRecipe:
    values = {
        "name": "tiny",
        "schedule": {"images": steps * batch, "batch_size": batch, "learning_rate": 2e-2},
        "run": {
            "precision": "float32",
            "threads": 1,
            "log_every": 1,
            "checkpoint_every": 1,
            "ema_half_life_images": 20,
        },
        "attributes": list(attributes),
        "stage_widths": [4, 8, 8, 8],
        "stage_depths": [0, 0, 0, 0],
        **more,
    }
    return parse(EstimatorRecipe, values, where="test")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A pack of 40 people x 1 image in all sorts of light, some of them held out."""
    source = write_source(tmp_path, people=40, images=1)
    recipe = PackRecipe(sources=(source,), holdout_share=0.3, holdout_seed=1)
    faces = build_pack(recipe, root=tmp_path, out=tmp_path / "pack")
    # Dark and light ones, lit from the left or the right.
    rng = np.random.default_rng(0)
    lit = rng.uniform(-60, 60, (40, 1, 1, 1)) + rng.uniform(-50, 50, (40, 1, 1, 1)) * np.linspace(-1, 1, 112)[:, None]
    np.save(tmp_path / "pack" / "images.npy", np.clip(np.asarray(faces.images) + lit, 0, 255).astype(np.uint8))
    return tmp_path / "pack"


@pytest.fixture
def labels(people: Path, tmp_path: Path) -> Path:
    """How bright each face is, and how much brighter its right half is than its left."""
    faces = FacePack.load(people)
    with open(tmp_path / "labels.csv", "w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["key", "light", "side"])
        for name, pixels in zip(faces.names, np.asarray(faces.images, np.float32), strict=True):
            seen = pixels[24:108, 16:96]
            table.writerow([name, f"{seen.mean():.3f}", f"{seen[:, 40:].mean() - seen[:, :40].mean():.3f}"])
    return tmp_path / "labels.csv"


def test_losses_pass_over_unknown_targets() -> None:
    outputs = torch.tensor([[1.0, 5.0], [2.0, 0.0], [0.0, 1.0]], requires_grad=True)
    targets = torch.tensor([[2.0, float("nan")], [2.1, float("nan")], [float("nan"), float("nan")]])
    found = attribute_losses(outputs, targets, names=["a", "b"], weights=torch.tensor([2.0, 1.0]))
    # Squared below a quarter: 0.1^2 / (2 * 0.25); absolute above: 1 - 0.25 / 2.
    assert found["a"].item() == pytest.approx(2 * (0.875 + 0.02) / 2)
    assert found["b"].item() == 0
    (found["a"] + found["b"]).backward()
    assert torch.isfinite(outputs.grad).all()
    assert (outputs.grad[:, 1] == 0).all()
    assert outputs.grad[2, 0] == 0


def test_turning_clockwise_brings_what_is_right_to_the_bottom() -> None:
    images = torch.zeros(2, 3, 112, 112)
    images[:, :, 54:58, 90:94] = 1
    still = AugmentStrength(0, 0, 0, 0, 0)
    turned = augment(images, still, torch.Generator(), turned=torch.tensor([90.0, 0.0]))
    assert turned[0, 0, 90:94, 54:58].mean() > 0.9
    assert torch.allclose(turned[1], images[1], atol=1e-4)


def test_batches_hold_faces_with_labels_then_damaged_pictures(people: Path) -> None:
    faces = FacePack.load(people)
    values = np.arange(len(faces.names) * 2, dtype=np.float32).reshape(-1, 2)
    values[::3, 1] = np.nan
    labelled = LabelledFaces(faces, values, np.array([True, False]))
    damaged = DegradedFaces(faces, np.arange(len(faces.names)), count=12, seed=0, purpose="training")
    damaged.quality = np.linspace(0, 100, 12, dtype=np.float32)
    plan = recipe(SIDE, LIGHT, batch=10, degraded={"count": 12, "share": 0.4})
    stream = EstimatorStream(labelled, np.arange(20), damaged, plan)
    whole = stream.read(whole_step(2, 10))
    assert whole.images.shape == (10, 3, 112, 112)
    assert torch.isnan(whole.targets[:6, 2]).all()
    quality = whole.targets[6:, 2]
    assert torch.isfinite(quality).all()
    assert torch.equal(torch.isfinite(whole.targets[6:, 0]), quality >= 50)
    for images, targets in zip(whole.images[:6], whole.targets[:6], strict=True):
        row = round(abs(float(targets[0])) / 2)
        pixels = torch.from_numpy(np.array(faces.images[row])).permute(2, 0, 1).float() / 127.5 - 1
        straight, mirror = torch.equal(images, pixels), torch.equal(images, pixels.flip(2))
        assert straight or mirror
        if row:
            assert (targets[0] < 0) == mirror
        assert torch.isnan(targets[1]) if row % 3 == 0 else targets[1] == values[row, 1]
    part = stream.read(Portion(2, 1, 2, 10))
    assert torch.equal(part.images, whole.images[1::2])
    assert torch.equal(part.targets.nan_to_num(-1), whole.targets[1::2].nan_to_num(-1))


def test_light_and_the_brighter_side_are_learnt(people: Path, labels: Path, tmp_path: Path) -> None:
    plan = recipe(LIGHT, SIDE, steps=60, batch=12, color=0.0, turn_degrees=0.0, shift_pixels=0.0, zoom=0.0, apart=1.0)
    train_estimator(plan, pack=people, labels=[labels], out=tmp_path / "run", reporter=SilentReporter(), device="cpu")
    result = json.loads((tmp_path / "run" / "result.json").read_text())["attributes"]
    made = load_estimators(str(tmp_path / "run" / "estimator"))
    for one in made.attributes:
        found = result[one.name]
        assert found["error"] < 0.75 * found["guess_error"]
        assert (one.error, one.tolerance) == (found["error"], found["error"])
        assert (one.low, one.high) == (found["low"], found["high"])
    assert "| **light** |" in (tmp_path / "run" / "errors.md").read_text()


def test_a_scale_a_range_and_a_start_are_taken_over(people: Path, labels: Path, tmp_path: Path) -> None:
    still = {"color": 0.0, "turn_degrees": 0.0, "shift_pixels": 0.0, "zoom": 0.0, "apart": 1.0}
    first = recipe(SIDE, LIGHT, steps=4, batch=12, **still)
    doubled = {"scale": 2.0, "balanced": True, "range": [-10, 10]}
    again = recipe({**SIDE, **doubled}, {**LIGHT, "scale": 2.0}, steps=4, batch=12, side_light=0.2, **still)

    def train(plan: EstimatorRecipe, out: str, initial: AttributeNetwork | None = None) -> AttributeNetwork:
        said = SilentReporter()
        train_estimator(
            plan, pack=people, labels=[labels], out=tmp_path / out, initial=initial, reporter=said, device="cpu"
        )
        return load_estimators(str(tmp_path / out / "estimator"))

    start = train(first, "first")
    found = train(again, "again", start)
    for before, after in zip(start.attributes, found.attributes, strict=True):
        assert after.spread == pytest.approx(2 * before.spread)
    side, light = found.attributes
    assert (side.low, side.high, side.mirrored, light.mirrored) == (-10, 10, "negated", "same")
    for change, sentence in (
        ({"stage_widths": [4, 4, 4, 4]}, r"has stage_widths \[4, 4, 4, 4\], the one to start from"),
        ({"range": [-10, 900]}, "range of side is -10 to 900, but held-out labels reach from -"),
    ):
        shape = {key: value for key, value in change.items() if key != "range"}
        plan = recipe({**SIDE, **doubled, **{k: v for k, v in change.items() if k == "range"}}, LIGHT, **still, **shape)
        with pytest.raises((ContractError, InputError), match=sentence):
            train(plan, "bad", start)


def test_light_from_a_side_brightens_one_edge_as_it_darkens_the_other() -> None:
    strength = AugmentStrength(0, 0, 0, 0, 0, side_light=0.4)
    lit = augment(torch.zeros(4, 3, 112, 112), strength, torch.Generator().manual_seed(0))
    assert torch.allclose(lit, -lit.flip(3), atol=1e-6)
    assert lit[:, 0, 0, -1].unique().numel() == 4
    assert lit.abs().max() <= 0.4


def test_a_stopped_run_goes_on_exactly(
    people: Path, labels: Path, tmp_path: Path, pattern_embedders: dict[str, FaceEmbedder]
) -> None:
    teacher = pattern_embedders["pattern"]
    with_features(people, teacher)
    asked = {"count": 16, "held_out": 8, "share": 0.5}
    plan = recipe({**SIDE, "turned": "added"}, LIGHT, degraded=asked, apart=1.0)

    def train(out: str, stop: int | None = None) -> dict[str, torch.Tensor]:
        reporter = SilentReporter(stop_after_images=stop)
        train_estimator(
            plan, pack=people, labels=[labels], out=tmp_path / out, teacher=teacher, reporter=reporter, device="cpu"
        )
        assert {"side", "light", "quality"} == reporter.losses[-1].keys()
        return load_estimators(str(tmp_path / out / "estimator")).state_dict()

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("stopped", stop=16)
    continued = train("stopped")
    assert all(torch.equal(continued[key], tensor) for key, tensor in whole.items())
    names = [one.name for one in load_estimators(str(tmp_path / "whole" / "estimator")).attributes]
    assert names == ["side", "light", "quality"]
    labels.write_text(labels.read_text() + "elsewhere,1,1\n")
    with pytest.raises(DatasetError):
        train("stopped")


def test_what_is_missing_is_told_of_before_any_work(people: Path, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def train(plan: EstimatorRecipe, *tables: Path) -> None:
        train_estimator(plan, pack=people, labels=tables, out=out, reporter=SilentReporter(), device="cpu")

    with pytest.raises(InputError, match="learns light from a table: name the CSV file with --labels"):
        train(recipe(LIGHT))
    with pytest.raises(InputError, match=r"learns quality from damaged pictures: name the network .* --teacher"):
        train(recipe(degraded={"count": 8}))
    with pytest.raises(InputError, match="no column hair"):
        train(recipe({"name": "hair", "unit": "centimetres"}), labels)
    labels.write_text("key,light\n" + "".join(f"{name},5\n" for name in FacePack.load(people).names))
    with pytest.raises(InputError, match="labels of light, all alike"):
        train(recipe(LIGHT, apart=1.0), labels)
    assert not out.exists()


def test_recipes_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to learn"):
        recipe()
    with pytest.raises(ConfigError, match="the attribute quality is there twice"):
        recipe({"name": "quality", "unit": "points"}, degraded={"count": 8})
    with pytest.raises(ConfigError, match="stage_widths has 1 entries and stage_depths 4"):
        recipe(LIGHT, stage_widths=[4])
    with pytest.raises(ConfigError, match="at least a batch's share"):
        recipe(degraded={"count": 1}, batch=64)
    with pytest.raises(ConfigError, match="range of light must have its low end first"):
        recipe({**LIGHT, "range": [3, 2]})
    with pytest.raises(ConfigError, match="range of side is that of turned pictures"):
        recipe({**SIDE, "turned": "added", "range": [2, 3]})
