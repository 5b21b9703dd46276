"""Pixels from network output, and what a renderer refuses."""

import numpy as np
import pytest
import torch

from vec2face.config.generation import Compute
from vec2face.errors import ConfigError
from vec2face.generation.render import Renderer, torch_threads
from vec2face.models.generator import Vec2FaceGenerator
from vec2face.models.pixels import to_pixels


def test_pixels_are_rounded_half_to_even_and_clipped() -> None:
    levels = torch.tensor([-2.0, -1.0, 0.5 / 127.5 - 1, 1.5 / 127.5 - 1, 0.0, 1.0, 3.0], dtype=torch.float64)
    image = levels.float().reshape(1, 1, 1, -1).expand(1, 3, 1, -1)
    expected = np.clip(np.rint((image[0, 0, 0].numpy() + np.float32(1)) * np.float32(127.5)), 0, 255)
    pixels = to_pixels(image)
    assert pixels.shape == (1, 1, 7, 3)
    assert pixels.dtype == torch.uint8
    assert pixels[0, 0, :, 1].tolist() == expected.tolist()
    assert (pixels[0, 0, 0, 0], pixels[0, 0, 4, 0], pixels[0, 0, 6, 0]) == (0, 128, 255)


def test_every_level_survives_the_way_to_the_network_and_back() -> None:
    levels = torch.arange(256).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_pixels(levels.float() / 127.5 - 1.0)[..., 0], levels[:, 0].to(torch.uint8))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_told() -> None:
    with torch.device("meta"):
        generator = Vec2FaceGenerator.from_size("small")
    with pytest.raises(ConfigError, match="no CUDA GPU is visible"):
        Renderer(generator=generator, compute=Compute(device="cuda"), mask_ratio_min=0.1)


def test_the_number_of_threads_is_restored() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
