"""A small dataset, made once."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def dataset(build_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people, four images each, in two shards; the first image of the first person was rejected."""
    return build_dataset(tmp_path_factory.mktemp("interchange") / "faces", identities=6, images=4, rejected=True)
