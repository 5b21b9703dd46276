"""Pictures are seen through a window: what lies in it is untouched, what lies outside no longer matters."""

import pytest
import torch

from vec2face.config.base import parse
from vec2face.config.groups import Window
from vec2face.errors import ConfigError
from vec2face.evaluation.group_window import WindowedEmbedder, see_through

WINDOW = Window(left=10, top=30, right=100, bottom=112, blur=4)


def test_the_window_is_kept_and_the_rest_forgotten():
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen = see_through(images, WINDOW)
    assert seen.shape == images.shape
    assert torch.equal(seen[:, :, 30:112, 10:100], images[:, :, 30:112, 10:100])
    other = images.clone()
    other[:, :, :30], other[:, :, :, :10], other[:, :, :, 100:] = 1, -1, 0
    assert torch.equal(see_through(other, WINDOW), seen)
    assert seen[:, :, :30].std() < 0.3 * images[:, :, :30].std()


def test_an_even_picture_stays_even():
    images = torch.full((1, 3, 112, 112), 0.25)
    assert torch.allclose(see_through(images, WINDOW), images, atol=1e-6)


def test_an_embedder_sees_through_it(pattern_embedders):
    embedder = WindowedEmbedder(pattern_embedders["pattern"], WINDOW)
    images = torch.rand(2, 3, 112, 112) * 2 - 1
    assert torch.equal(embedder.embed(images), pattern_embedders["pattern"].embed(see_through(images, WINDOW)))
    assert embedder.dim == pattern_embedders["pattern"].dim


def test_a_window_that_cannot_be_reflected_is_refused():
    with pytest.raises(ConfigError, match="wider and higher than what lies on any side"):
        parse(Window, {"left": 50, "top": 0, "right": 90, "bottom": 112}, where="test")
