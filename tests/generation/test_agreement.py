"""A machine that would render something else than the plan says is told apart before it does."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from tests.generation.conftest import MakeRecipe
from vec2face.errors import ContractError, DatasetError
from vec2face.fileio.atomic import write_json
from vec2face.generation.agreement import require_agreement
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.inputs import prepare
from vec2face.generation.plan import Plan


@pytest.fixture
def begun(make_recipe: MakeRecipe, tiny_generator_dir: Path, tmp_path: Path) -> tuple[Plan, DatasetFolder]:
    """The plan of a dataset that was begun, with weights that may be changed."""
    shutil.copytree(tiny_generator_dir, tmp_path / "weights")
    plan, _ = prepare(make_recipe(weights=str(tmp_path / "weights")), tmp_path / "d")
    folder = DatasetFolder(tmp_path / "d")
    write_json(folder.description, plan.describe())
    return plan, folder


def test_the_machine_that_planned_agrees(begun: tuple[Plan, DatasetFolder]) -> None:
    require_agreement(*begun)


def test_another_release_of_a_library_is_told(begun: tuple[Plan, DatasetFolder]) -> None:
    plan, folder = begun
    other = dataclasses.replace(plan, versions={**plan.versions, "pillow": "0.1"})
    with pytest.raises(
        ContractError, match=r"has pillow .*, but the dataset is made with 0\.1; install the same release"
    ):
        require_agreement(other, folder)


def test_a_folder_that_is_not_seen_is_told(begun: tuple[Plan, DatasetFolder], tmp_path: Path) -> None:
    plan, _ = begun
    with pytest.raises(
        DatasetError, match=r"does not see the dataset \(.*there is no such folder\); choose a folder that"
    ):
        require_agreement(plan, DatasetFolder(tmp_path / "nowhere"))


def test_a_folder_with_another_dataset_is_told(begun: tuple[Plan, DatasetFolder], make_recipe: MakeRecipe) -> None:
    _, folder = begun
    other, _ = prepare(make_recipe(seed=4), folder.root.with_name("other"))
    with pytest.raises(DatasetError, match="holds another dataset on"):
        require_agreement(other, folder)


def test_other_weights_are_told(begun: tuple[Plan, DatasetFolder]) -> None:
    plan, folder = begun
    weights = next(Path(plan.recipe.weights).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ContractError, match="are not the plan's; put the same on every machine"):
        require_agreement(plan, folder)
