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


@pytest.fixture(scope="session")
def tiny_generator_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random, much shrunken generator in the embedded one's feature space."""
    import torch

    from vec2face.models.generator import Vec2FaceGenerator

    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Vec2FaceGenerator.from_size(
            "small",
            width=32,
            encoder_depth=1,
            encoder_heads=2,
            decoder_depth=1,
            decoder_heads=2,
            latent_channels=16,
            decoder_options={"widths": (16, 12, 8, 8), "depths": (1, 1, 1, 1)},
        )
    folder = tmp_path_factory.mktemp("tiny-generator")
    generator.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_embedder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random, much shrunken embedder that fits `tiny_generator_dir`."""
    import torch

    from vec2face.models.embedders.compact import CompactEmbedder

    with torch.random.fork_rng():
        torch.manual_seed(1)
        embedder = CompactEmbedder(name="vec2face-embedded-128", widths=(4, 8, 8, 8), depths=(0, 0, 0, 0))
    folder = tmp_path_factory.mktemp("tiny-embedder")
    embedder.save_pretrained(folder)
    return folder
