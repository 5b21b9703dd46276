"""Poses of a dataset: views are drawn by key with exact shares, shown to the generator, and kept with the dataset."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from tests.networks import tiny_generator
from vec2face.config.base import parse
from vec2face.config.pose import LandmarkStyle, PoseControl
from vec2face.contracts import ARCFACE_TEMPLATE
from vec2face.data.landmarks.head import HeadPose, aligned_landmarks, measure_poses
from vec2face.data.landmarks.picture import draw_landmarks
from vec2face.errors import ConfigError, ContractError, InputError
from vec2face.fileio.images import decode_image, encode_image
from vec2face.fileio.tar import read_tar
from vec2face.generation.inputs import prepare
from vec2face.generation.views import PosePlan, resolve_pose
from vec2face.models.generator import Vec2FaceGenerator
from vec2face.models.generator.lora import LoraLinear
from vec2face.models.pixels import to_pixels

VIEWS = {"views": [{"yaw": -40, "share": 1}, {"yaw": [10, 50], "pitch": [-10, 10], "share": 3}]}


def pose_plan(values: dict) -> PosePlan:
    return resolve_pose(parse(PoseControl, values, where="pose"), recorded=None)


@pytest.fixture(scope="session")
def posed_generator_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random, much shrunken Vec2Face+: adapters and a pose encoder whose last layers are not zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = tiny_generator(appearance_dim=0, lora_rank=2, pose_condition=True)
        torch.nn.init.normal_(generator.pose_encoder.linear.weight, std=0.3)
        for module in generator.modules():
            if isinstance(module, LoraLinear):
                torch.nn.init.normal_(module.up, std=0.3)
    folder = tmp_path_factory.mktemp("posed-generator")
    generator.save_pretrained(folder)
    return folder


@pytest.fixture
def make_posed(make_recipe: MakeRecipe, posed_generator_dir: Path) -> MakeRecipe:
    return lambda **changes: make_recipe(**{"weights": str(posed_generator_dir), "pose": VIEWS, **changes})


def images(out: Path) -> dict[str, bytes]:
    return {name: data for shard in sorted(out.glob("shards/*.tar")) for name, data in read_tar(shard)}


def test_shares_are_exact_and_angles_are_drawn_by_key() -> None:
    plan = pose_plan(VIEWS)
    whole = plan.draw(images_per_identity=8, seed=1, identity=5, numbers=range(8))
    assert Counter(whole.view.tolist()) == {0: 2, 1: 6}
    for view, (yaw, pitch, roll) in zip(whole.view, whole.angles, strict=True):
        assert roll == 0
        assert (yaw, pitch) == (-40, 0) if view == 0 else (10 <= yaw <= 50 and -10 <= pitch <= 10)
    assert len(set(whole.angles[whole.view == 1, 0].tolist())) == 6
    part = plan.draw(images_per_identity=8, seed=1, identity=5, numbers=range(3, 6))
    assert np.array_equal(part.angles, whole.angles[3:6])
    assert np.array_equal(part.landmarks, whole.landmarks[3:6])
    other = plan.draw(images_per_identity=8, seed=1, identity=6, numbers=range(8))
    assert not np.array_equal(other.angles, whole.angles)
    # The picture is that of the angles.
    expected = draw_landmarks(aligned_landmarks(HeadPose(*whole.angles[3].astype(float).tolist())), LandmarkStyle())
    assert np.abs(expected.astype(int) - whole.landmarks[3]).max() <= 1


def test_files_of_points_and_pictures(tmp_path: Path) -> None:
    points = aligned_landmarks(HeadPose(30)) * 3 + 20
    (tmp_path / "points.json").write_text(json.dumps(points.tolist()))
    picture = draw_landmarks(np.asarray(ARCFACE_TEMPLATE), LandmarkStyle(colour=(9, 200, 30)))
    (tmp_path / "front.png").write_bytes(encode_image(picture, format="png"))
    style = {"radius": 4, "colour": [255, 0, 0], "background": [255, 255, 255]}
    files = [{"landmarks": str(tmp_path / name)} for name in ("points.json", "front.png")]
    plan = pose_plan({"views": files, "style": style})
    drawn = plan.draw(images_per_identity=2, seed=0, identity=0, numbers=range(2))
    by_view = dict(zip(drawn.view.tolist(), drawn.landmarks, strict=True))
    assert np.array_equal(by_view[1], picture)
    red = (by_view[0][..., 0] > 200) & (by_view[0][..., 1] < 50)
    nose = aligned_landmarks(HeadPose(30))[2].round().astype(int)
    assert red[nose[1], nose[0]]
    assert np.isnan(drawn.angles).all()


def test_the_generator_sees_each_images_view_and_the_dataset_tells_it(
    make_posed: MakeRecipe, make_dataset: MakeDataset, posed_generator_dir: Path, tmp_path: Path
) -> None:
    recipe = make_posed(image={"format": "png"}, identities={"source": "gaussian", "count": 2, "ceiling": 0.5})
    make_dataset(recipe, tmp_path / "a")
    found = images(tmp_path / "a")
    table = pq.read_table(tmp_path / "a" / "metadata.parquet").to_pylist()
    assert Counter(row["view"] for row in table) == {0: 2, 1: 6}
    plan, bank = prepare(recipe, tmp_path / "a")
    from vec2face.generation.noise import draw

    generator = Vec2FaceGenerator.from_pretrained(posed_generator_dir).eval()
    draws = draw(plan, bank.vectors[1], 1, 0, 4)
    with torch.inference_mode():
        expected = to_pixels(
            generator(
                torch.from_numpy(draws.features),
                mask_noise=torch.from_numpy(draws.mask_noise),
                mask_rate=torch.from_numpy(draws.mask_rate),
                landmarks=torch.from_numpy(draws.landmarks).permute(0, 3, 1, 2).float() / 127.5 - 1,
            ).image
        ).numpy()
    for image in range(4):
        key, row = f"0000001_{image:04d}", table[4 + image]
        assert np.abs(decode_image(found[f"{key}.png"], where=key).astype(int) - expected[image]).max() <= 1
        facts = json.loads(found[f"{key}.json"])
        for name in ("view", "view_yaw", "view_pitch", "view_roll"):
            assert facts[name] == row[name] is not None
        measured, _ = measure_poses(aligned_landmarks(HeadPose(facts["view_yaw"], facts["view_pitch"]))[None])
        assert measured[0, 0] == pytest.approx(draws.angles[image, 0], abs=0.01)


def test_bytes_do_not_depend_on_the_order_of_work_and_a_run_is_resumed(
    make_posed: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    recipe = make_posed()
    make_dataset(recipe, tmp_path / "a")
    make_dataset(recipe, tmp_path / "b")
    (tmp_path / "b" / "shards" / "000001.json").unlink()
    make_dataset(recipe, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert images(tmp_path / "a") != images_of_other_views(make_posed, make_dataset, tmp_path / "c")


def images_of_other_views(make_posed: MakeRecipe, make_dataset: MakeDataset, out: Path) -> dict[str, bytes]:
    make_dataset(make_posed(pose={"views": [{"yaw": 60}]}), out)
    return images(out)


def test_a_dataset_goes_on_without_its_landmark_files(
    make_posed: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    file = tmp_path / "view.png"
    file.write_bytes(encode_image(draw_landmarks(aligned_landmarks(HeadPose(20)), LandmarkStyle()), format="png"))
    recipe = make_posed(pose={"views": [{"landmarks": str(file)}, {"yaw": 0}]})
    make_dataset(recipe, tmp_path / "a")
    before = contents(tmp_path / "a")
    file.unlink()
    (tmp_path / "a" / "shards" / "000000.tar").unlink()
    make_dataset(recipe, tmp_path / "a")
    assert contents(tmp_path / "a") == before
    with pytest.raises(InputError, match="cannot read the landmark picture"):
        make_dataset(recipe, tmp_path / "b")


def test_adapter_strength_changes_pictures_and_is_part_of_the_plan(
    make_posed: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    for name, strength in (("full", 1), ("without", 0)):
        make_dataset(make_posed(pose={**VIEWS, "adapter_strength": strength}), tmp_path / name)
    assert images(tmp_path / "full") != images(tmp_path / "without")
    determinants = json.loads((tmp_path / "without" / "dataset.json").read_text())["determinants"]
    assert determinants["pose.adapter_strength"] == 0


def test_recipe_and_generator_must_fit(make_recipe: MakeRecipe, make_posed: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"this generator has no pose condition; leave pose out and steer the yaw"):
        prepare(make_recipe(pose=VIEWS), tmp_path / "a")
    with pytest.raises(ConfigError, match=r"renders from landmark pictures; say which by pose\.views"):
        prepare(make_posed(pose=None), tmp_path / "a")
    for values, sentence in (
        ({"views": [{"yaw": [50, 10]}]}, "yaw must have its lower end first"),
        ({"views": [{"share": 2}]}, "a view needs an angle"),
        ({"views": [{"yaw": 3, "landmarks": "x.png"}]}, "landmarks and yaw exclude each other"),
        ({"views": []}, "at least 1"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            make_posed(pose=values)


def test_a_generator_without_adapters_has_no_strength(tiny_generator_dir: Path) -> None:
    from vec2face.models.generator.lora import set_adapter_strength

    generator = Vec2FaceGenerator.from_pretrained(tiny_generator_dir)
    set_adapter_strength(generator, 1.0)
    with pytest.raises(ContractError, match=r"an adapter strength of 0\.5 needs a network with adapters"):
        set_adapter_strength(generator, 0.5)
