from pathlib import Path

import pytest
from click.testing import CliRunner

from vec2face.errors import ConfigError
from vec2face_cli.recipes import recipes


def run(*arguments: str) -> str:
    result = CliRunner().invoke(recipes, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_ls_names_every_recipe_with_its_purpose() -> None:
    lines = run("ls").splitlines()
    assert any(line.startswith("pack/embedded ") and len(line.split()) > 3 for line in lines)


def test_show_prints_the_file_unchanged(repo_root: Path) -> None:
    assert run("show", "pack/embedded") == (repo_root / "recipes/pack/embedded.yaml").read_text()


def test_a_copy_validates_and_is_not_overwritten(tmp_path: Path) -> None:
    mine = str(tmp_path / "mine.yaml")
    assert mine in run("copy", "pack/embedded", mine)
    assert "a valid pack recipe" in run("validate", mine)
    with pytest.raises(ConfigError, match="exists already"):
        run("copy", "pack/embedded", mine)


def test_validate_reports_the_problems_of_every_file(tmp_path: Path) -> None:
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("sources: 3\n")
    with pytest.raises(ConfigError) as caught:
        run("validate", str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml"))
    assert "one.yaml: sources" in str(caught.value)
    assert "two.yaml: sources" in str(caught.value)
