"""Directions: mean slopes against finite differences, files, and the warm start made of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vec2face.checkpoints import load_generator
from vec2face.config.steering import SteeringOptions
from vec2face.errors import ContractError, InputError
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.steering.directions import Directions, estimate_directions
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.image_statistics import Brightness, Contrast
from vec2face.steering.inputs import draw_inputs
from vec2face.steering.targets import AttributeFacts, parse_target

DIGEST = "a" * 64


@pytest.fixture(scope="module")
def generator(tiny_generator_dir: Path) -> Vec2FaceGenerator:
    return load_generator(str(tiny_generator_dir))


@pytest.fixture(scope="module")
def found(generator: Vec2FaceGenerator) -> Directions:
    vectors = np.random.default_rng(0).normal(size=(12, 128)).astype(np.float32)
    inputs = draw_inputs(vectors, images=1, seed=0, generator=generator)
    return estimate_directions(generator, [Brightness(), Contrast()], inputs, digest=DIGEST, batch_size=5)


def test_slopes_are_mean_finite_differences(generator: Vec2FaceGenerator, found: Directions) -> None:
    vectors = np.random.default_rng(0).normal(size=(12, 128)).astype(np.float32)
    inputs = draw_inputs(vectors, images=1, seed=0, generator=generator)
    step, number = 0.05, 7

    def brightness(shift: float) -> np.ndarray:
        codes = torch.from_numpy(inputs.codes).clone()
        codes[:, number] += shift
        with torch.no_grad():
            image = generator(
                torch.from_numpy(inputs.vectors),
                mask_noise=torch.from_numpy(inputs.mask_noise),
                mask_rate=torch.from_numpy(inputs.mask_rate),
                appearance=codes,
            ).image.clamp(-1, 1)
        return Brightness().estimate(image).double().numpy()

    expected = ((brightness(step) - brightness(-step)) / (2 * step)).mean()
    assert found.slopes["brightness"][128 + number] == pytest.approx(expected, rel=0.05, abs=1e-3)


def test_directions_do_not_depend_on_the_batch(generator: Vec2FaceGenerator, found: Directions) -> None:
    vectors = np.random.default_rng(0).normal(size=(12, 128)).astype(np.float32)
    inputs = draw_inputs(vectors, images=1, seed=0, generator=generator)
    seen: list[int] = []
    again = estimate_directions(
        generator, [Brightness()], inputs, digest=DIGEST, batch_size=12, on_pictures=seen.append
    )
    assert again.slopes["brightness"] == pytest.approx(found.slopes["brightness"], rel=1e-3, abs=1e-5)
    assert seen == [12]
    assert 0 <= found.explained["contrast"] <= 1


def test_files_and_the_warm_start(found: Directions, tmp_path: Path) -> None:
    found.save(tmp_path / "d.safetensors")
    loaded = Directions.load(tmp_path / "d.safetensors")
    assert loaded.slopes.keys() == found.slopes.keys()
    assert np.array_equal(loaded.slopes["contrast"], found.slopes["contrast"])
    assert (loaded.feature_dim, loaded.code_dim, loaded.pictures, loaded.explained) == (128, 32, 12, found.explained)
    for options, width in ((SteeringOptions(), 160), (SteeringOptions(steer_vector=False), 32)):
        start = loaded.warm_start(["brightness", "age"], generator=DIGEST, options=options)
        assert start is not None
        jumps = start.jumps([parse_target("100", Brightness.facts)])
        moved = jumps.next(np.zeros(width, np.float32), {"brightness": 0.0}, loss=1.0, best=True)
        assert moved is not None
        assert moved.shape == (width,)
    assert loaded.warm_start(["age"], generator=DIGEST, options=SteeringOptions()) is None
    with pytest.raises(ContractError, match="made for another generator"):
        loaded.warm_start(["brightness"], generator="b" * 64, options=SteeringOptions())


def test_files_that_hold_no_directions(found: Directions, tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    with pytest.raises(InputError, match="no readable directions"):
        Directions.load(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="no readable directions"):
        Directions.load(path)
    Directions({"a": np.ones(3, np.float32)}, DIGEST, 4, 4, 2, {"a": 0.5}).save(path)
    with pytest.raises(InputError, match="4 \\+ 4 numbers stated"):
        Directions.load(path)


def test_what_has_no_direction(generator: Vec2FaceGenerator) -> None:
    class Nothing(AttributeEstimator):
        facts = AttributeFacts("nothing", "u", 0, 1, tolerance=0.1)

        def estimate(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(1, 2, 3)) * float("nan")

    vectors = np.ones((2, 128), np.float32)
    inputs = draw_inputs(vectors, images=1, seed=0, generator=generator)
    with pytest.raises(InputError, match="nothing gave values or slopes that are not finite"):
        estimate_directions(generator, [Nothing()], inputs, digest=DIGEST, batch_size=2)
    one = draw_inputs(vectors[:1], images=1, seed=0, generator=generator)
    with pytest.raises(InputError, match="two pictures or more"):
        estimate_directions(generator, [Brightness()], one, digest=DIGEST, batch_size=2)
