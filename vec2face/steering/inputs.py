"""Draw what samples start from, with the keys that generation uses: unsteered, a sample is an image of a dataset."""

import numpy as np

from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.generator.masking import draw_masks
from vec2face.seeding import rng_for, seed_for
from vec2face.steering.samples import SteeringInputs


def draw_inputs(vectors: np.ndarray, *, images: int, seed: int, generator: Vec2FaceGenerator) -> SteeringInputs:
    """Return `images` samples of each identity, identity by identity.

    Masks and codes are those of a dataset of the same seed whose appearance has strength 1; the vector is the
    identity's own (a sigma of 0).

    Args:
        vectors: float32 `(I, D)` identity vectors.
        images: samples of each.
        seed: of every draw.
        generator: whose masks and appearance codes are drawn.
    """
    numbers = range(images)
    masks = [draw_masks(seed, identity, numbers, generator.config.sampling_mask) for identity in range(len(vectors))]
    width = generator.config.appearance_dim
    codes = [
        rng_for(seed, "appearance", identity, image).standard_normal(width, np.float32)
        for identity in range(len(vectors))
        for image in numbers
    ]
    repeated = np.repeat(vectors, images, axis=0)
    return SteeringInputs(
        vectors=repeated,
        references=repeated,
        codes=np.stack(codes),
        mask_noise=np.concatenate([noise for noise, _ in masks]),
        mask_rate=np.concatenate([rate for _, rate in masks]),
    )


def draw_direction_inputs(
    people: np.ndarray, *, pictures: int, seed: int, generator: Vec2FaceGenerator
) -> SteeringInputs:
    """Return the samples that directions are estimated from: their masks and codes are drawn for this alone.

    Args:
        people: float32 `(I, D)` vectors. The first `pictures` are taken, several times each where they are fewer, so
            that there may be up to I - 1 samples more than asked for.
        pictures: at least so many samples.
        seed: of the run.
        generator: whose masks and appearance codes are drawn.
    """
    chosen = people[:pictures]
    # One bit less: seeds are signed where they are hashed.
    own = seed_for(seed, "directions") >> 1
    return draw_inputs(chosen, images=-(-pictures // len(chosen)), seed=own, generator=generator)


def draw_nobody(count: int, *, seed: int, stage: str, generator: Vec2FaceGenerator) -> np.ndarray:
    """Return float32 `(count, D)` vectors of nobody: normally distributed, as long as the generator's own are.

    They depend on the seed, the stage and the generator's `sigma_unit` alone.
    """
    config = generator.config
    drawn = rng_for(seed, stage).standard_normal((count, config.feature_dim), np.float32)
    return np.asarray(config.sigma_unit * drawn, np.float32)
