"""Finding a recipe's inputs: banks that are kept, photographs, sources that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.generation.conftest import MakeDataset, MakeRecipe
from vec2face.checkpoints import load_embedder
from vec2face.errors import ContractError, InputError, WeightsError
from vec2face.fileio.atomic import sha256_file
from vec2face.fileio.images import encode_image
from vec2face.generation import inputs
from vec2face.generation.inputs import generator_facts, prepare
from vec2face.identities import IdentityBank, sample
from vec2face.identities.sources import GaussianSource
from vec2face.identities.statistics import fit
from vec2face.models.generator import Vec2FaceGenerator


@pytest.fixture
def crops(tmp_path: Path) -> dict[str, np.ndarray]:
    """Three aligned crops, also as files of the folder `photos`."""
    rng = np.random.default_rng(0)
    faces = {name: rng.integers(0, 256, (112, 112, 3), np.uint8) for name in ("ada", "bea", "cleo")}
    (tmp_path / "photos").mkdir()
    for name, pixels in faces.items():
        (tmp_path / "photos" / f"{name}.png").write_bytes(encode_image(pixels, format="png"))
    return faces


def test_the_generators_facts_are_those_of_its_config(tmp_path: Path) -> None:
    mask = {"min": 0.2, "max": 0.9, "mean": 0.4, "std": 0.3}
    options = {"width": 8, "encoder_depth": 1, "encoder_heads": 1, "decoder_depth": 1, "decoder_heads": 1}
    generator = Vec2FaceGenerator.from_size(
        "small", feature_dim=6, feature_space="other", sigma_unit=1.5, sampling_mask=mask, **options
    )
    generator.save_pretrained(tmp_path / "generator")
    facts = generator_facts(str(tmp_path / "generator"))
    assert (facts.feature_dim, facts.feature_space, facts.sigma_unit) == (6, "other", 1.5)
    assert facts.sampling_mask == mask
    assert facts.sha256 == sha256_file(next((tmp_path / "generator").glob("*.safetensors")))


def test_sampled_identities_are_those_of_the_library(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    _, bank = prepare(make_recipe(identities={"source": "gaussian", "standard_deviation": 2.0, "count": 6}), tmp_path)
    expected = sample(GaussianSource(128, 2.0), count=6, ceiling=0.3, seed=3)
    assert np.array_equal(bank.vectors, expected.vectors)


def test_a_resumed_run_does_not_sample_again(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset(make_recipe(), tmp_path)
    monkeypatch.setattr(inputs, "draw_apart", None)  # calling it would fail
    make_dataset(make_recipe(), tmp_path)
    with pytest.raises(TypeError):
        make_dataset(make_recipe(seed=4), tmp_path)


def test_statistics_of_another_width_are_told_before_sampling(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    features = np.random.default_rng(0).standard_normal((40, 16)).astype(np.float32)
    fit(features, feature_space="other").save(tmp_path / "statistics.safetensors")
    recipe = make_recipe(identities={"source": "pca", "statistics": str(tmp_path / "statistics.safetensors")})
    with pytest.raises(ContractError, match="the identity bank has width 16, but the generator has width 128"):
        prepare(recipe, tmp_path / "d")


def test_candidates_of_a_file_are_kept_apart(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    vectors = np.eye(4, 128, dtype=np.float32)
    np.save(tmp_path / "candidates.npy", np.concatenate([vectors, vectors]))
    identities = {"source": "file", "candidates": str(tmp_path / "candidates.npy"), "ceiling": 0.5}
    _, bank = prepare(make_recipe(identities={**identities, "count": 4}), tmp_path / "d")
    assert np.array_equal(bank.vectors, vectors)
    with pytest.raises(InputError, match="only 4 of 5 identities fit"):
        prepare(make_recipe(identities={**identities, "count": 5}), tmp_path / "e")


def test_photographs_become_identities_named_after_them(
    make_recipe: MakeRecipe, tiny_embedder_dir: Path, crops: dict[str, np.ndarray], tmp_path: Path
) -> None:
    photos = {"paths": [str(tmp_path / "photos")], "embedder": str(tiny_embedder_dir)}
    plan, bank = prepare(make_recipe(identities={"photos": photos, "count": 2}), tmp_path / "d")
    assert bank.ids == ("ada", "bea")
    assert plan.bank.count == 2
    embedder = load_embedder(str(tiny_embedder_dir))
    for name, vector in zip(bank.ids, bank.vectors, strict=True):
        image = torch.from_numpy(crops[name]).permute(2, 0, 1)[None] / 127.5 - 1.0
        with torch.inference_mode():
            np.testing.assert_allclose(vector, embedder.embed(image)[0].numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="4 identities are asked for, but the photographs give only 3"):
        prepare(make_recipe(identities={"photos": photos, "count": 4}), tmp_path / "e")


def test_a_photograph_that_is_no_crop_is_named(
    make_recipe: MakeRecipe, tiny_embedder_dir: Path, crops: dict[str, np.ndarray], tmp_path: Path
) -> None:
    large = np.zeros((200, 150, 3), np.uint8)
    (tmp_path / "photos" / "large.png").write_bytes(encode_image(large, format="png"))
    photos = {"paths": [str(tmp_path / "photos")], "embedder": str(tiny_embedder_dir)}
    with pytest.raises(InputError, match=r"large\.png"):
        prepare(make_recipe(identities={"photos": photos}), tmp_path / "d")


def test_missing_weights_are_told(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        prepare(make_recipe(weights=str(tmp_path / "nothing")), tmp_path / "d")


def test_a_bank_with_the_same_vectors_and_other_names_is_another_bank() -> None:
    vectors = np.eye(2, 4, dtype=np.float32)
    plain, renamed = IdentityBank(vectors, ("a", "b"), {}), IdentityBank(vectors, ("a", "c"), {})
    moved = IdentityBank(vectors, ("a", "b"), {"source": "elsewhere"})
    assert inputs.content_digest(plain) != inputs.content_digest(renamed)
    assert inputs.content_digest(plain) == inputs.content_digest(moved)
