"""Blends of faces as distillation examples, and embedders that go on from others."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vec2face.config.base import parse
from vec2face.config.training import EmbedderRecipe
from vec2face.data.facepack import FacePack
from vec2face.errors import ConfigError, ContractError, DatasetError, InputError
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.training.batches import read_batch
from vec2face.training.blends import Blends
from vec2face.training.embedder import train_embedder
from vec2face.training.portion import whole_step

from .conftest import SilentReporter
from .test_runs import embedder_recipe, tiny_critic


def label(blends: Blends, cache: Path) -> None:
    blends.label(tiny_critic().eval(), cache, precision=torch.float32, on_image=lambda done: None)


def test_an_even_blend_is_a_cross_fade_and_an_odd_one_shows_a_face_on_either_side(pack: Path) -> None:
    faces = FacePack.load(pack)
    rows = np.array([0, 3])
    blends = Blends(faces, rows, count=8, seed=1)
    pictures = {
        (row, mirrored): read_batch(faces, np.array([row]), np.array([mirrored])).images[0]
        for row in (0, 3)
        for mirrored in (False, True)
    }
    for number, image in enumerate(blends.images(np.arange(8))):
        fits = []
        for first in (False, True):
            for second in (False, True):
                a, b = pictures[0, first], pictures[3, second]
                share = ((image - b) * (a - b)).sum(0) / (a - b).square().sum(0).clamp_min(1e-6)
                apart = (a - b).square().sum(0) > 0.05
                rebuilt = torch.lerp(b, a, share)
                fits.append((float((rebuilt - image)[:, apart].abs().max()), share[apart]))
        error, share = min(fits, key=lambda fit: fit[0])
        assert error < 1e-4
        if number % 2 == 0:
            assert share.std() < 1e-3
            assert 0.29 < share.mean() < 0.71
        else:
            assert share.min() < 0.05
            assert share.max() > 0.95


def test_a_blend_is_the_same_however_it_is_asked_for_and_its_label_is_the_teachers(pack: Path, tmp_path: Path) -> None:
    faces = FacePack.load(pack)
    blends = Blends(faces, np.arange(8), count=6, seed=1)
    together = blends.images(np.arange(6))
    assert torch.equal(together[[4]], blends.images(np.array([4])))
    assert not torch.equal(together, Blends(faces, np.arange(8), count=6, seed=2).images(np.arange(6)))
    label(blends, tmp_path / "blends.npy")
    with torch.no_grad():
        expected = tiny_critic().eval().embed(together)
    assert np.allclose(blends.features, expected.numpy(), atol=1e-5)
    images, features = blends.draw(whole_step(7, 3))
    number = next(n for n in range(6) if torch.equal(together[n], images[0]))
    assert torch.equal(features[0], torch.from_numpy(blends.features[number]))


def test_a_cache_of_another_size_is_refused(pack: Path, tmp_path: Path) -> None:
    faces = FacePack.load(pack)
    label(Blends(faces, np.arange(8), count=6, seed=1), tmp_path / "blends.npy")
    with pytest.raises(DatasetError, match="holds 6 blends, not 7"):
        label(Blends(faces, np.arange(8), count=7, seed=1), tmp_path / "blends.npy")


def test_blends_need_a_teacher_of_the_packs_width_and_resume_exactly(pack: Path, tmp_path: Path) -> None:
    recipe = embedder_recipe(blends=6, blend_share=0.5)
    with pytest.raises(InputError, match="--teacher"):
        train_embedder(recipe, pack=pack, out=tmp_path / "a", reporter=SilentReporter())
    narrow = CompactEmbedder(name="narrow", dim=8, widths=(8, 8, 8, 8), depths=(0, 0, 0, 0))
    with pytest.raises(ContractError, match="16"):
        train_embedder(recipe, pack=pack, out=tmp_path / "a", teacher=narrow, reporter=SilentReporter())
    runs = {name: SilentReporter() for name in ("whole", "without")}
    train_embedder(recipe, pack=pack, out=tmp_path / "b", teacher=tiny_critic().eval(), reporter=runs["whole"])
    train_embedder(embedder_recipe(), pack=pack, out=tmp_path / "c", reporter=runs["without"])
    assert runs["whole"].losses != runs["without"].losses
    stopped, resumed = SilentReporter(stop_after_images=8), SilentReporter()
    with pytest.raises(KeyboardInterrupt):
        train_embedder(recipe, pack=pack, out=tmp_path / "d", teacher=tiny_critic().eval(), reporter=stopped)
    train_embedder(recipe, pack=pack, out=tmp_path / "d", teacher=tiny_critic().eval(), reporter=resumed)
    assert resumed.losses == runs["whole"].losses[-len(resumed.losses) :]


def test_an_embedder_starts_from_another_of_its_architecture_alone(pack: Path, tmp_path: Path) -> None:
    recipe, initial = embedder_recipe(), tiny_critic()
    with torch.no_grad():
        initial.linear.weight.zero_()
    fresh, started = SilentReporter(), SilentReporter()
    train_embedder(recipe, pack=pack, out=tmp_path / "a", reporter=fresh)
    train_embedder(recipe, pack=pack, out=tmp_path / "b", initial=initial, reporter=started)
    assert started.losses[0] != fresh.losses[0]
    deeper = CompactEmbedder(name="deeper", dim=16, widths=(8, 8, 8, 8), depths=(0, 1, 1, 0))
    with pytest.raises(ContractError, match="depths"):
        train_embedder(recipe, pack=pack, out=tmp_path / "c", initial=deeper, reporter=SilentReporter())


def test_fewer_blends_than_a_batch_takes_are_refused() -> None:
    values = embedder_recipe().model_dump(mode="json") | {"blends": 1, "blend_share": 0.5}
    with pytest.raises(ConfigError, match="blends must be"):
        parse(EmbedderRecipe, values, where="recipe")
