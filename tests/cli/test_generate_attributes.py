"""`vec2face generate --attribute`: options over a recipe's attributes, and one sentence for each mistake."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.commands import mistake, run
from vec2face.generation.recipe import find_recipe

SMALL = ("--source", "gaussian", "--identities", 2, "--images-per-identity", 2, "--workers", 1, "--audit", "none")


def test_options_are_laid_over_a_recipes_attributes(tiny_generator_dir: Path, tmp_path: Path) -> None:
    recipe = {
        "attributes": {"brightness": {"0-100": 1, "100-200": 1}, "contrast": ">=0"},
        "steering": {"direction_pictures": 0, "identity_floor": -1},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    steered = ("--attribute", "brightness=>=90", "--redraws", 1, "--max-evaluations", 2, "--capped", "drop")
    made = run(
        "generate", tmp_path / "mine.yaml", "--weights", tiny_generator_dir, *SMALL, *steered, "--out", tmp_path / "d"
    )
    assert made.exit_code == 0, made.output
    chosen = find_recipe(None, tmp_path / "d", changes={})
    assert chosen.attributes == {"brightness": ">=90", "contrast": ">=0"}
    assert chosen.steering is not None
    assert (chosen.steering.redraws, chosen.steering.capped, chosen.steering.identity_floor) == (1, "drop", -1)
    rows = pq.read_table(tmp_path / "d" / "metadata.parquet").to_pylist()
    assert [row["requested_brightness_low"] for row in rows] == [90] * 4
    assert all(row["steering"] == "converged" and row["steering_passes"] == 1 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--capped", "drop"), "steering belongs to attributes, which are not asked for"),
        (("--attribute", "brightness"), "'brightness' is not NAME=TARGET"),
        (("--attribute", "brightness=1", "--attribute", "brightness=2"), "brightness is given two targets, 1 and 2"),
        (("--attribute", "brightness=bright"), "attributes.brightness: bright cannot be read; write 30, 30+-2"),
        (("--attribute", "hair=3"), "there is no attribute 'hair'; known: "),
        (("--attribute", "brightness=uniform[0, 999]"), "brightness 999 lies outside the range in which it was"),
        (("--attribute", "x=1", "--estimator", "no:such"), "the estimator no:such cannot be made"),
    ],
)
def test_mistakes_are_one_sentence_before_any_work(
    tiny_generator_dir: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    asked = ("--weights", tiny_generator_dir, *SMALL, *arguments)
    assert sentence in mistake("generate", *asked, "--out", tmp_path / "d")
    assert not (tmp_path / "d").exists()
