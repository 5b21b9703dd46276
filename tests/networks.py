"""A random generator, much shrunken, for tests of what is done with one."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vec2face.models.generator import Vec2FaceGenerator

TINY_DECODER = {"widths": (16, 12, 8, 8), "depths": (1, 1, 1, 1)}


def tiny_generator(**changes: Any) -> "Vec2FaceGenerator":
    """Return the embedded generator's design with layers of a few numbers; `changes` go to its configuration."""
    import torch

    from vec2face.models.generator import Vec2FaceGenerator

    options: dict[str, Any] = {
        "width": 32,
        "encoder_depth": 1,
        "encoder_heads": 2,
        "decoder_depth": 1,
        "decoder_heads": 2,
        "latent_channels": 16,
        "decoder_options": TINY_DECODER,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Vec2FaceGenerator.from_size("small", **(options | changes))
