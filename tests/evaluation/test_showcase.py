"""The showcase shows what a dataset of the same identities would: the same vectors, perturbations and masks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from vec2face.checkpoints import load_generator
from vec2face.errors import ContractError
from vec2face.evaluation import showcase
from vec2face.evaluation.showcase import draw_showcase, require_feature_space
from vec2face.identities import IdentityBank
from vec2face.identities.sources import PcaSource
from vec2face.models.generator import Vec2FaceGenerator


def bank_of(count: int, width: int = 128) -> IdentityBank:
    vectors = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    return IdentityBank(vectors, tuple(map(str, range(count))))


def test_sheets_have_a_face_for_each_person_and_image(tiny_generator_dir: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[int, int]] = []
    render = showcase._render

    def spy(generator, vectors, *, identity, images, seed):
        seen.append((identity, len(vectors)))
        return render(generator, vectors, identity=identity, images=images, seed=seed)

    monkeypatch.setattr(showcase, "_render", spy)
    found = draw_showcase(load_generator(str(tiny_generator_dir)), bank_of(9), images=10, seed=0)
    assert seen == [*((number, 1) for number in range(9)), (0, 10)]
    assert found.people.height > 2 * 112
    assert found.person.height > 2 * 112


def test_a_showcase_is_what_a_dataset_of_the_same_identities_shows(tmp_path: Path):
    from vec2face.config.generation import GenerateRecipe
    from vec2face.generation.noise import draw
    from vec2face.generation.plan import BankFacts, GeneratorFacts, make_plan

    torch.manual_seed(0)
    sizes = {"widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1)}
    generator = Vec2FaceGenerator.from_size(
        "small", width=16, encoder_depth=1, decoder_depth=1, latent_channels=8, decoder_options=sizes, appearance_dim=3
    ).eval()
    seen = []
    forward = generator.forward
    generator.forward = lambda features, **draws: seen.append((features, draws)) or forward(features, **draws)
    bank = bank_of(2)
    draw_showcase(generator, bank, images=6, seed=4)
    config = generator.config
    facts = GeneratorFacts(
        sha256="0" * 64,
        feature_dim=128,
        feature_space=config.feature_space,
        sigma_unit=config.sigma_unit,
        sampling_mask=dict(config.sampling_mask),
        appearance_dim=3,
    )
    recipe = GenerateRecipe.model_validate({"seed": 4, "images_per_identity": 6})
    plan = make_plan(recipe, bank=BankFacts("0" * 64, 2, 128), generator=facts, request={})
    expected = draw(plan, bank.vectors[0], 0, 0, 6)
    features, draws = seen[-1]
    np.testing.assert_array_equal(features, expected.features)
    for name in ("mask_noise", "mask_rate", "appearance"):
        np.testing.assert_array_equal(draws[name], getattr(expected, name))


def test_what_does_not_fit_is_refused(tiny_generator_dir: Path):
    generator = load_generator(str(tiny_generator_dir))
    with pytest.raises(ContractError, match=r"width 64.*width 128"):
        draw_showcase(generator, bank_of(2, 64), images=1, seed=0)
    require_feature_space(PcaSource(), generator)
    other = Vec2FaceGenerator.from_size("small", feature_space="elsewhere", width=16, encoder_depth=1, decoder_depth=1)
    with pytest.raises(ContractError, match="give --statistics or --bank"):
        require_feature_space(PcaSource(), other)


def test_the_command_draws_and_says_what_it_left_out(tiny_generator_dir: Path, tmp_path: Path):
    from vec2face_cli.evaluate import evaluate

    bank_of(3).save(tmp_path / "bank.safetensors")
    arguments = ["sheets", str(tmp_path / "out"), "--generator", str(tiny_generator_dir)]
    arguments += ["--bank", str(tmp_path / "bank.safetensors"), "--people", "2", "--images", "2"]
    result = CliRunner().invoke(evaluate, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "rebuilt.png needs a face pack" in result.output
    for name in ("people.png", "person.png"):
        with Image.open(tmp_path / "out" / name) as sheet:
            assert np.asarray(sheet).std() > 1
    both = CliRunner().invoke(evaluate, [*arguments, "--statistics", "x"])
    assert both.exit_code == 2
    assert "exclude each other" in both.output
