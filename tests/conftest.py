"""Fixtures shared by every test."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The project's root folder."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared(repo_root: Path) -> Path:
    """The folder of development material beside the project; the test is skipped where there is none."""
    folder = repo_root.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no development material beside the project (a folder named 'shared')")
    return folder
