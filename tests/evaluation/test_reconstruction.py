"""Reconstruction: figures of a pair of networks whose answers are known, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vec2face.contracts import InputContract
from vec2face.data.facepack import WHOLE_IMAGE, FacePack
from vec2face.errors import ContractError, InputError
from vec2face.evaluation.reconstruction import rebuild, reconstruct
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator import GeneratorOutput, Vec2FaceGenerator


class CornerEmbedder(FaceEmbedder):
    """Reads the vector from the first pixels of the image."""

    name, dim, contract = "corner", 12, InputContract()

    def forward_contract(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels[:, :, 0, :4].reshape(len(pixels), 12)


class Painter(Vec2FaceGenerator):
    """Paints the vector back to where `CornerEmbedder` reads it."""

    def forward(self, features, **draws):
        image = torch.zeros(len(features), 3, 112, 112)
        image[:, :, 0, :4] = features.view(-1, 3, 4)
        return GeneratorOutput(image, *[torch.zeros(1)] * 5)


def make_pack(people: int) -> FacePack:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2 * people, 112, 112, 3)).astype(np.uint8)
    groups = tuple(f"person{i // 2}" for i in range(2 * people))
    valid = np.repeat(WHOLE_IMAGE[None], 2 * people, axis=0)
    return FacePack(images, None, valid, groups, groups, np.arange(2 * people) >= people, {})


def test_a_perfect_painter_is_recognised(tmp_path: Path):
    painter = Painter.from_size("small", feature_dim=12, width=16, encoder_depth=1, decoder_depth=1).eval()
    found = reconstruct(
        make_pack(40),
        generator=painter,
        embedder=CornerEmbedder(),
        judges=[CornerEmbedder()],
        sheet=tmp_path / "sheet.png",
    )
    assert found.faces == 20
    assert found.likeness[0] == found.likeness[1]
    assert found.likeness[0].own == pytest.approx(1.0, abs=1e-4)
    assert found.likeness[0].rank1 == 1.0
    assert abs(found.likeness[0].strangers) < 0.2
    assert found.likeness[0].frechet == pytest.approx(found.likeness[0].frechet_floor, rel=1e-3)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_an_untrained_generator_is_not_recognised(tmp_path: Path):
    torch.manual_seed(0)
    generator = Vec2FaceGenerator.from_size("small", feature_dim=12, width=16, encoder_depth=1, decoder_depth=1).eval()
    found = reconstruct(
        make_pack(40), generator=generator, embedder=CornerEmbedder(), judges=[], sheet=tmp_path / "sheet.png"
    )
    assert found.likeness[0].rank1 < 0.5
    assert found.likeness[0].frechet > found.likeness[0].frechet_floor


def test_looks_are_drawn_for_the_distance_alone():
    torch.manual_seed(0)
    settings = {"feature_dim": 12, "width": 16, "encoder_depth": 1, "decoder_depth": 1, "appearance_dim": 3}
    generator = Vec2FaceGenerator.from_size("small", **settings).eval()
    found = rebuild(make_pack(8), generator=generator, embedder=CornerEmbedder())
    assert not np.array_equal(found.rebuilt, found.varied)
    plain = Vec2FaceGenerator.from_size("small", **(settings | {"appearance_dim": 0})).eval()
    found = rebuild(make_pack(8), generator=plain, embedder=CornerEmbedder())
    assert found.varied is found.rebuilt


def test_three_people_are_too_few_for_a_distance(tmp_path: Path):
    painter = Painter.from_size("small", feature_dim=12, width=16, encoder_depth=1, decoder_depth=1).eval()
    arguments = {"embedder": CornerEmbedder(), "judges": [], "sheet": tmp_path / "sheet.png"}
    assert reconstruct(make_pack(6), generator=painter, **arguments).likeness[0].frechet is None


def test_what_does_not_fit_is_refused(tmp_path: Path):
    generator = Vec2FaceGenerator.from_size("small", feature_dim=8, width=16, encoder_depth=1, decoder_depth=1)
    arguments = {"embedder": CornerEmbedder(), "judges": [], "sheet": tmp_path / "sheet.png"}
    with pytest.raises(ContractError, match=r"width 12.*width 8"):
        reconstruct(make_pack(4), generator=generator, **arguments)
    fitting = Vec2FaceGenerator.from_size("small", feature_dim=12, width=16, encoder_depth=1, decoder_depth=1)
    with pytest.raises(InputError, match="fewer than two people"):
        reconstruct(make_pack(1), generator=fitting, **arguments)
