"""A wheel holds everything that the package reads at run time."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

# Folders whose files other than modules must ship too, and the name they have inside the wheel.
DATA = {"recipes": "vec2face_recipes", "vec2face/cards/templates": None, "vec2face/weights": None}


@pytest.fixture(scope="module")
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel that is built from a copy of the tree."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("vec2face", "cli", "recipes"):
        shutil.copytree(repo_root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repo_root / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(out), str(source)], check=True, capture_output=True)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        return set(archive.namelist())


@pytest.mark.integration
def test_every_module_is_in_the_wheel(wheel: set[str], repo_root: Path) -> None:
    expected = {
        f"vec2face_cli/{path.relative_to(repo_root / 'cli').as_posix()}" for path in (repo_root / "cli").rglob("*.py")
    } | {path.relative_to(repo_root).as_posix() for path in (repo_root / "vec2face").rglob("*.py")}
    assert expected <= wheel
    assert "vec2face/py.typed" in wheel


@pytest.mark.integration
@pytest.mark.parametrize("folder", DATA)
def test_every_data_file_is_in_the_wheel(wheel: set[str], repo_root: Path, folder: str) -> None:
    files = [path for path in (repo_root / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert files, f"{folder} is empty"
    root = DATA[folder] or folder
    missing = {f"{root}/{path.relative_to(repo_root / folder).as_posix()}" for path in files} - wheel
    assert not missing


@pytest.mark.integration
def test_the_licence_is_in_the_wheel(wheel: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)
    assert not any(name.startswith(("tests/", "cli/", "recipes/")) for name in wheel)
