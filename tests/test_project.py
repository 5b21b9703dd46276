"""The project's own files agree with each other."""

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vec2face


@pytest.fixture(scope="module")
def pyproject(repo_root: Path) -> dict[str, Any]:
    return tomllib.loads((repo_root / "pyproject.toml").read_text())


def test_every_package_in_the_tree_is_installed(repo_root: Path, pyproject: dict[str, Any]) -> None:
    stated = pyproject["tool"]["setuptools"]
    found = set()
    for name, folder in stated["package-dir"].items():
        for marker in (repo_root / folder).rglob("__init__.py"):
            inside = marker.parent.relative_to(repo_root / folder).parts
            found.add(".".join((name, *inside)))
    assert found == set(stated["packages"])


def test_every_module_stands_in_a_package(repo_root: Path, pyproject: dict[str, Any]) -> None:
    for folder in pyproject["tool"]["setuptools"]["package-dir"].values():
        for module in (repo_root / folder).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), f"{module.parent} has no __init__.py"


def test_the_version_is_stated_once(repo_root: Path, pyproject: dict[str, Any]) -> None:
    assert "version" not in pyproject["project"]
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "vec2face.__version__"}
    assert metadata.version("vec2face") == vec2face.__version__
    changelog = (repo_root / "CHANGELOG.md").read_text()
    assert f"\n## {vec2face.__version__}" in changelog


def test_every_direct_dependency_has_a_tested_version(repo_root: Path, pyproject: dict[str, Any]) -> None:
    lines = (repo_root / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert [pin.name for pin in pins] == sorted(pin.name for pin in pins)
    tested = {canonicalize_name(pin.name): next(iter(pin.specifier)) for pin in pins}
    assert all(pin.operator == "==" for pin in tested.values())
    stated = [*pyproject["project"]["dependencies"], *pyproject["project"]["optional-dependencies"]["dev"]]
    for requirement in map(Requirement, stated):
        pin = tested[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin.version), f"{requirement} does not admit {pin}"


def test_the_layers_are_kept(repo_root: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    finished = subprocess.run([linter, "--no-cache"], cwd=repo_root, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_ci_script_is_executable(repo_root: Path) -> None:
    assert os.access(repo_root / ".ci" / "run", os.X_OK)
