"""A step of generator training: every option of the losses has an effect, and wrong networks are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vec2face.config.base import parse
from vec2face.config.training import GeneratorRecipe, PackRecipe
from vec2face.data.facepack import FacePack, build_pack
from vec2face.errors import ConfigError, ContractError, InputError
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.embedders.mobilefacenet import MobileFaceNetReLU6
from vec2face.models.generator import Vec2FaceGenerator
from vec2face.models.perceptual import Lpips
from vec2face.seeding import rng_for
from vec2face.training.adversarial import discriminator_learner
from vec2face.training.generator import make_step, train_generator
from vec2face.training.generator_step import last_weights, training_rows
from vec2face.training.imagined import VectorDistribution, imagine_last
from vec2face.training.loss_network import prepare_embedder
from vec2face.training.portion import whole_step
from vec2face.training.processes import Processes
from vec2face.training.vectors import Vectors

from .conftest import SilentReporter, write_source

# Everything on from the first image.
LOSSES: dict[str, Any] = {"adversarial": 0.1, "pixel_absolute": 0.2}


def recipe(losses: dict[str, Any] | None = None, **changes: Any) -> GeneratorRecipe:
    values = {
        "schedule": {"images": 8, "batch_size": 4, "learning_rate": 1e-3},
        "run": {"threads": 1, "precision": "float32", "log_every": 1, "preview_every": 100},
        "losses": {**LOSSES, **(losses or {})},
        "features": "stored",
        "mixed_share": 0.25,
        "drawn_share": 0.25,
        "sheet_faces": 2,
        **changes,
    }
    return parse(GeneratorRecipe, values, where="recipe")


def tiny_embedder() -> CompactEmbedder:
    torch.manual_seed(0)
    return CompactEmbedder(name="tiny", dim=16, widths=(8, 8, 8, 8), depths=(0, 0, 0, 0))


def tiny_lpips() -> Lpips:
    torch.manual_seed(0)
    return Lpips(network="alex")


def tiny_generator(dim: int = 16) -> Vec2FaceGenerator:
    torch.manual_seed(0)
    return Vec2FaceGenerator.from_size(
        "small",
        feature_dim=dim,
        width=16,
        encoder_depth=1,
        decoder_depth=1,
        latent_channels=16,
        decoder_options={"widths": (16, 8, 8, 8), "depths": (1, 1, 1, 1)},
        appearance_dim=4,
    )


def train(
    pack: Path, values: GeneratorRecipe, *, steps: int = 1, lpips: Lpips | None = None, embedder: Any = None
) -> list[dict[str, float]]:
    """The losses of the first steps of a training of tiny networks, in memory."""
    faces = FacePack.load(pack)
    processes = Processes(device=torch.device("cpu"))
    embedder = embedder or tiny_embedder()
    prepare_embedder(embedder, device=processes.device, precision=torch.float32)
    vectors = Vectors(np.asarray(faces.require_features(), np.float32))
    generator = tiny_generator()
    learner = discriminator_learner(
        values.losses, values, map_network=embedder, condition_dim=vectors.values.shape[2], processes=processes
    )
    step = make_step(values, faces, vectors, embedder, lpips, generator, learner, processes.device)
    optimizer = torch.optim.SGD(generator.parameters(), lr=1e-2)
    found = []
    for number in range(steps):
        portion = whole_step(number, values.schedule.batch_size)
        if learner:
            learner.begin()
        losses = step(step.stream.read(portion), portion)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        if learner:
            learner.finish()
        found.append({name: float(value.detach()) for name, value in losses.items()})
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    """A pack, and the losses of the plain recipe's first three steps on it."""
    folder = tmp_path_factory.mktemp("reference")
    source = write_source(folder)
    build_pack(PackRecipe(sources=(source,), holdout_share=0.4, holdout_seed=1), root=folder, out=folder / "pack")
    return folder / "pack", train(folder / "pack", recipe(), steps=3)


@pytest.mark.parametrize(
    ("option", "since"),
    [
        ({"pixel": 0.5}, 0),
        ({"pixel_absolute": 0.0}, 0),
        ({"structure": 0.2}, 0),
        ({"structure_window": "gaussian"}, 0),
        ({"perceptual": 0.3}, 0),
        ({"perceptual_start_images": 4}, 0),
        ({"token": 0.0}, 0),
        ({"appearance": 0.5}, 0),
        ({"identity": 0.5}, 0),
        ({"identity_start_images": 4}, 0),
        ({"adversarial": 0.2}, 0),
        ({"adversarial_start_images": 4}, 0),
        ({"adversarial_weight": "adaptive"}, 0),
        ({"adversarial_loss": "least_squares"}, 1),
        ({"adversarial_loss": "relativistic"}, 0),
        ({"discriminator": "multiscale"}, 0),
        ({"discriminator": "joint"}, 0),
        ({"discriminator_learning_rate": 2e-2}, 1),
        ({"discriminator_betas": [0.9, 0.99]}, 2),
        ({"discriminator_weight_decay": 50.0}, 1),
        ({"discriminator_every": 2}, 1),
        ({"gradient_penalty": 50.0}, 1),
        ({"gradient_penalty": 50.0, "gradient_penalty_every": 1}, 1),
        ({"feature_matching": 0.5}, 0),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else None,
)
def test_every_option_of_the_losses_has_an_effect(
    reference: tuple[Path, list[dict[str, float]]], option: dict[str, Any], since: int
) -> None:
    """`since`: the step, from 0, whose losses are the first to differ."""
    pack, expected = reference
    found = train(pack, recipe(option), steps=since + 1)
    assert found[:since] == expected[:since]
    assert found[since] != expected[since]


def test_the_adversarial_terms_are_reported_and_bounded(pack: Path) -> None:
    (found,) = train(pack, recipe({"feature_matching": 0.5, "adversarial_weight": "adaptive"}))
    assert found["feature_matching"] > 0
    assert 0 < abs(found["adversarial"]) < 1e4


def test_lpips_takes_the_place_of_the_embedders_maps(pack: Path) -> None:
    (expected,) = train(pack, recipe())
    (found,) = train(pack, recipe({"perceptual_network": "lpips"}), lpips=tiny_lpips())
    assert found["perceptual"] != expected["perceptual"]
    assert found["pixel"] == expected["pixel"]


def test_the_published_losses_need_of_an_embedder_its_embedding_alone(pack: Path) -> None:
    torch.manual_seed(0)
    still = dict.fromkeys(("shift_pixels", "zoom", "rotate_degrees", "color", "soften_probability", "noise"), 0.0)
    losses = {"perceptual_network": "lpips", "adversarial": 0.0, "structure_window": "gaussian"}
    (found,) = train(
        pack,
        recipe(losses, augmentation=still, mirror_share=0.0),
        lpips=tiny_lpips(),
        embedder=MobileFaceNetReLU6(name="other", dim=16),
    )
    assert {"identity", "perceptual"} <= found.keys()


def test_mirror_share_and_augmentation_have_an_effect(pack: Path) -> None:
    (expected,) = train(pack, recipe())
    (mirrored,) = train(pack, recipe(mirror_share=1.0))
    (strong,) = train(pack, recipe(augmentation={"shift_pixels": 12.0}))
    assert mirrored != expected
    assert strong["perceptual"] != expected["perceptual"]
    assert strong["pixel"] == expected["pixel"]


def test_networks_that_a_recipe_does_not_ask_for_or_lacks_are_refused(pack: Path, tmp_path: Path) -> None:
    def begin(values: GeneratorRecipe, embedder: Any, lpips: Lpips | None = None) -> None:
        train_generator(
            values,
            pack=pack,
            out=tmp_path / "run",
            embedder=embedder,
            judge=None,
            initial=None,
            reporter=SilentReporter(),
            lpips=lpips,
        )

    with pytest.raises(InputError, match="name the two files of its weights with --lpips"):
        begin(recipe({"perceptual_network": "lpips"}), tiny_embedder())
    with pytest.raises(InputError, match="leave out --lpips"):
        begin(recipe(), tiny_embedder(), tiny_lpips())
    with pytest.raises(ContractError, match=r"perceptual_network: embedder, discriminator: projected.*MobileFaceNet"):
        begin(recipe(), MobileFaceNetReLU6(name="other", dim=16))
    assert not (tmp_path / "run").exists(), "nothing is begun before the refusal"


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"adversarial": 0.0, "discriminator": "patch"}, "discriminator has no effect while adversarial is 0"),
        ({"adversarial": 0.0, "feature_matching": 1.0}, "feature_matching has no effect while adversarial is 0"),
        ({"gradient_penalty_every": 4}, "gradient_penalty_every has no effect while gradient_penalty is 0"),
        ({"structure": 0.0, "structure_window": "gaussian"}, "structure_window has no effect while structure is 0"),
        ({"perceptual": 0.0, "perceptual_network": "lpips"}, "perceptual_network has no effect while perceptual is 0"),
        (
            {"pixel": 0, "pixel_absolute": 0, "structure": 0, "token": 0, "perceptual": 0, "identity_start_images": 9},
            "nothing to learn from the first image on",
        ),
        ({"discriminator_betas": [0.9, 1.0]}, "discriminator_betas"),
        ({"discriminator": "cake"}, "projected"),
    ],
)
def test_options_that_contradict_one_another_are_refused(losses: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(losses)


def test_a_recipe_written_out_in_full_is_the_same_recipe() -> None:
    values = GeneratorRecipe.model_validate({"schedule": {"images": 10, "learning_rate": 1e-3}})
    assert GeneratorRecipe.model_validate(values.model_dump(mode="json")) == values


def test_the_adaptive_weight_compares_gradients_at_the_decoders_last_convolution() -> None:
    small = tiny_generator()
    assert last_weights(small) is small.image_decoder.to_pixels.weight
    with torch.device("meta"):
        published = Vec2FaceGenerator(
            width=16, encoder_depth=1, encoder_heads=2, decoder_depth=1, decoder_heads=2, latent_channels=32
        )
    assert last_weights(published) is published.image_decoder.conv_out.weight
    assert isinstance(last_weights(small), nn.Parameter)


def test_whole_pictures_are_repeated_and_held_out_ones_left_out(pack: Path) -> None:
    faces = FacePack.load(pack)
    rows = training_rows(recipe(whole_image_repeat=3), faces)
    assert sorted(rows.tolist()) == sorted([row for row, held in enumerate(faces.holdout) if not held] * 3)


def test_imagined_people_replace_the_last_vectors() -> None:
    features = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    known = torch.randn(4000, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 2, 3, 1, 1]) + 4
    source = VectorDistribution(known.numpy())
    changed, has_picture = imagine_last(
        features, mixed_share=0.25, drawn_share=0.125, source=source, rng=rng_for(0, "imagined", 3)
    )
    assert torch.equal(changed[:5], features[:5])
    assert has_picture.flatten().tolist() == [1.0] * 5 + [0.0] * 3
    rng = rng_for(0, "imagined", 3)
    parts, first, second = rng.random((2, 1), dtype="float32"), rng.integers(0, 8, 2), rng.integers(0, 8, 2)
    for index in range(2):
        a, b, part = features[first[index]], features[second[index]], float(parts[index, 0])
        direction = part * a + (1 - part) * b
        expected = direction / direction.norm() * (part * a.norm() + (1 - part) * b.norm())
        assert torch.allclose(changed[5 + index], expected, atol=1e-5)
    assert torch.equal(changed[7:], source.draw(1, rng))
    same, everyone = imagine_last(
        features, mixed_share=0.0, drawn_share=0.0, source=source, rng=rng_for(0, "imagined", 3)
    )
    assert torch.equal(same, features)
    assert bool(everyone.all())


def test_drawn_vectors_have_the_mean_and_covariance_of_known_ones() -> None:
    mixing = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)).numpy()
    known = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32) @ mixing + 2
    drawn = VectorDistribution(known).draw(60_000, np.random.default_rng(1)).numpy()
    assert np.allclose(drawn.mean(0), known.mean(0), atol=0.06)
    assert np.allclose(np.cov(drawn.T), np.cov(known.T), atol=0.15)


def test_a_batch_of_imagined_people_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave a tenth"):
        recipe(mixed_share=0.5, drawn_share=0.5)
