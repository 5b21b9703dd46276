"""Reading recipes: what YAML would pass over in silence is told."""

from pathlib import Path

import pytest

from vec2face.config.base import parse, read_yaml
from vec2face.config.generation import GenerateRecipe
from vec2face.errors import ConfigError


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("attributes:\n  yaw: 30\n  age: 20\n  yaw: -30\n")
    with pytest.raises(ConfigError, match=r"the key 'yaw' stands twice; keep one .*line 4"):
        read_yaml(path)
    path.write_text("base: &b {yaw: 30}\nattributes:\n  <<: *b\n  yaw: -30\n")
    assert read_yaml(path)["attributes"] == {"yaw": -30}


def test_an_unknown_key_of_an_optional_section_is_told_with_those_known() -> None:
    with pytest.raises(ConfigError, match=r"steering\.redraw: unknown key; known here: batch_size, capped, .*redraws"):
        parse(GenerateRecipe, {"attributes": {"a": 1}, "steering": {"redraw": 3}}, where="mine.yaml")
