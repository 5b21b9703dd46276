"""What samples and directions start from: keyed draws, and people taken again where there are few."""

from pathlib import Path

import numpy as np
import pytest

from vec2face.checkpoints import load_generator
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.steering.inputs import draw_direction_inputs, draw_inputs, draw_nobody


@pytest.fixture(scope="module")
def generator(tiny_generator_dir: Path) -> Vec2FaceGenerator:
    return load_generator(str(tiny_generator_dir))


def test_directions_take_few_people_several_times_with_other_codes(generator: Vec2FaceGenerator) -> None:
    people = draw_nobody(3, seed=0, stage="test", generator=generator)
    found = draw_direction_inputs(people, pictures=7, seed=5, generator=generator)
    assert np.array_equal(found.vectors, np.repeat(people, 3, axis=0))
    assert len(np.unique(found.codes, axis=0)) == len(found) == 9
    many = draw_direction_inputs(people, pictures=2, seed=5, generator=generator)
    assert np.array_equal(many.vectors, people[:2])
    # Masks and codes of directions are those of no sample.
    samples = draw_inputs(people, images=3, seed=5, generator=generator)
    assert not (set(map(bytes, samples.codes)) & set(map(bytes, found.codes)))


def test_nobody_is_as_long_as_the_generators_vectors_and_keyed(generator: Vec2FaceGenerator) -> None:
    nobody = draw_nobody(64, seed=0, stage="test", generator=generator)
    assert (nobody.shape, nobody.dtype) == ((64, generator.config.feature_dim), np.float32)
    assert nobody.std() == pytest.approx(generator.config.sigma_unit, rel=0.05)
    assert np.array_equal(nobody, draw_nobody(64, seed=0, stage="test", generator=generator))
    for seed, stage in ((1, "test"), (0, "other")):
        assert not np.array_equal(nobody, draw_nobody(64, seed=seed, stage=stage, generator=generator))
