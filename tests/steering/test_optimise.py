"""Steering on a tiny random generator: what it delivers, what bounds it, and that samples do not feel each other."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from vec2face.checkpoints import load_embedder, load_generator
from vec2face.config.generation import ImageFormat
from vec2face.config.steering import SteeringOptions
from vec2face.errors import ConfigError, ContractError
from vec2face.fileio.images import decode_image, encode_image
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.generator.masking import draw_masks
from vec2face.models.pixels import to_pixels
from vec2face.steering.directions import estimate_directions
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.image_statistics import Brightness, Contrast
from vec2face.steering.optimise import Steering, from_pixels
from vec2face.steering.samples import SteeredSample, SteeringInputs
from vec2face.steering.targets import AttributeFacts, Target, parse_target
from vec2face.steering.warm_start import WarmStart


@pytest.fixture(scope="module")
def generator(tiny_generator_dir: Path) -> Vec2FaceGenerator:
    return load_generator(str(tiny_generator_dir))


@pytest.fixture(scope="module")
def embedder(tiny_embedder_dir: Path) -> FaceEmbedder:
    return load_embedder(str(tiny_embedder_dir))


def make_inputs(generator: Vec2FaceGenerator, count: int = 5) -> SteeringInputs:
    rng = np.random.default_rng(0)
    vectors = (generator.config.sigma_unit * rng.normal(size=(count, generator.config.feature_dim))).astype(np.float32)
    noise, rate = draw_masks(0, 0, range(count), generator.config.sampling_mask)
    codes = rng.normal(size=(count, generator.config.appearance_dim)).astype(np.float32)
    return SteeringInputs(vectors=vectors, references=vectors, codes=codes, mask_noise=noise, mask_rate=rate)


def rows(inputs: SteeringInputs, chosen: list[int]) -> SteeringInputs:
    return SteeringInputs(**{name: getattr(inputs, name)[chosen] for name in SteeringInputs.__annotations__})


def render(generator: Vec2FaceGenerator, inputs: SteeringInputs) -> torch.Tensor:
    with torch.no_grad():
        return generator(
            torch.from_numpy(inputs.vectors),
            mask_noise=torch.from_numpy(inputs.mask_noise),
            mask_rate=torch.from_numpy(inputs.mask_rate),
            appearance=torch.from_numpy(inputs.codes),
        ).image


def brighter(generator: Vec2FaceGenerator, inputs: SteeringInputs, by: float) -> list[tuple[Target, ...]]:
    """Ask each sample for its own brightness, `by` more than it has, within a quarter grey level."""
    start = Brightness().estimate(render(generator, inputs)).tolist()
    return [(parse_target(f"{value + by}+-0.1", Brightness.facts),) for value in start]


def steering(generator: Vec2FaceGenerator, **changes) -> Steering:
    options = {"batch_size": 2, "max_evaluations": 25, **changes.pop("options", {})}
    settings = {"estimators": [Brightness()], "identity": None, **changes}
    return Steering(generator=generator, options=SteeringOptions(**options), **settings)


def point_of(text: str) -> Target:
    return parse_target(text, Brightness.facts)


def run(one: Steering, inputs: SteeringInputs, targets) -> list[SteeredSample]:
    return sorted(one.run(inputs, targets), key=lambda sample: sample.index)


def test_samples_converge_to_their_own_targets_and_deliver_what_was_measured(generator: Vec2FaceGenerator) -> None:
    inputs = make_inputs(generator)
    targets = brighter(generator, inputs, 0.8)
    found = run(steering(generator), inputs, targets)
    assert [sample.index for sample in found] == list(range(5))
    assert {sample.status for sample in found} == {"converged"}
    for sample, (target,) in zip(found, targets, strict=True):
        delivered = Brightness().estimate(from_pixels(sample.after.pixels[None])).item()
        assert target.low <= delivered <= target.high
        assert delivered == pytest.approx(sample.after.values["brightness"], abs=1e-3)
        assert 1 < sample.evaluations <= 25
        assert np.linalg.norm(sample.vector) == pytest.approx(np.linalg.norm(inputs.vectors[sample.index]), rel=1e-5)
    # The pictures are those of the vectors and codes that are handed out, and the first ones those of the inputs.
    moved = {"vectors": np.stack([s.vector for s in found]), "codes": np.stack([s.code for s in found])}
    fixed = {name: getattr(inputs, name) for name in ("references", "mask_noise", "mask_rate")}
    again = to_pixels(render(generator, SteeringInputs(**moved, **fixed))).numpy()
    assert np.abs(again.astype(int) - np.stack([s.after.pixels for s in found])).max() <= 1
    first = to_pixels(render(generator, inputs)).numpy()
    assert np.abs(first.astype(int) - np.stack([s.before.pixels for s in found])).max() <= 1


@pytest.mark.parametrize("jumping", [False, True])
def test_a_sample_is_the_same_to_the_bit_in_any_company_and_order(generator: Vec2FaceGenerator, jumping: bool) -> None:
    inputs = make_inputs(generator)
    targets = brighter(generator, inputs, 0.8)
    found = estimate_directions(generator, [Brightness()], inputs, digest="0" * 64, batch_size=3)
    one = steering(generator, options={"batch_size": 3}, warm_start=WarmStart(found.slopes) if jumping else None)
    together = run(one, inputs, targets)
    order = [4, 2, 0, 3, 1]
    shuffled = run(one, rows(inputs, order), [targets[index] for index in order])
    alone = [run(one, rows(inputs, [index]), [targets[index]])[0] for index in (0, 3)]
    pairs = [(together[index], shuffled[place]) for place, index in enumerate(order)]
    pairs += [(together[0], alone[0]), (together[3], alone[1])]
    for first, second in pairs:
        assert np.array_equal(first.after.pixels, second.after.pixels)
        assert np.array_equal(first.vector, second.vector)
        assert np.array_equal(first.code, second.code)
        assert (first.evaluations, first.after.values) == (second.evaluations, second.after.values)


def test_another_batch_size_changes_last_bits_at_most(generator: Vec2FaceGenerator) -> None:
    inputs = make_inputs(generator, 3)
    targets = brighter(generator, inputs, 0.8)
    small, large = (run(steering(generator, options={"batch_size": size}), inputs, targets) for size in (1, 4))
    for first, second in zip(small, large, strict=True):
        assert (first.status, first.evaluations) == (second.status, second.evaluations)
        assert first.vector == pytest.approx(second.vector, rel=1e-3, abs=1e-3)


def test_what_is_met_already_takes_one_pass_and_is_left_alone(generator: Vec2FaceGenerator) -> None:
    inputs = make_inputs(generator, 3)
    found = run(steering(generator), inputs, [(parse_target(">=0", Brightness.facts),)] * 3)
    assert [(sample.status, sample.evaluations) for sample in found] == [("converged", 1)] * 3
    assert all(sample.after is sample.before for sample in found)
    assert np.array_equal(found[1].code, inputs.codes[1])


def test_the_impossible_is_capped_with_the_best_picture(generator: Vec2FaceGenerator) -> None:
    inputs = make_inputs(generator, 3)
    options = {"max_evaluations": 4, "vector_limit": 0.1, "code_limit": 0.5}
    found = run(steering(generator, options=options), inputs, [(parse_target("250", Brightness.facts),)] * 3)
    assert {(sample.status, sample.evaluations) for sample in found} == {("capped", 4)}
    for sample in found:
        assert sample.after.values["brightness"] > sample.before.values["brightness"]
        assert "after 4 passes brightness is" in sample.reason
        assert "not 246..254" in sample.reason


def test_fixed_parts_stay_fixed(generator: Vec2FaceGenerator) -> None:
    inputs = make_inputs(generator, 2)
    targets = [(parse_target("250", Brightness.facts),)] * 2
    vectors = run(steering(generator, options={"steer_code": False, "max_evaluations": 3}), inputs, targets)
    codes = run(steering(generator, options={"steer_vector": False, "max_evaluations": 3}), inputs, targets)
    assert np.array_equal(np.stack([sample.code for sample in vectors]), inputs.codes)
    assert np.array_equal(np.stack([sample.vector for sample in codes]), inputs.vectors)
    assert not np.array_equal(codes[0].code, inputs.codes[0])
    with pytest.raises(ConfigError, match="nothing may be moved: steer_vector is off, and steer_code is off"):
        steering(generator, options={"steer_code": False, "steer_vector": False})


def test_identity_below_its_floor_is_rejected(generator: Vec2FaceGenerator, embedder: FaceEmbedder) -> None:
    inputs = make_inputs(generator, 2)
    targets = [(parse_target(">=0", Brightness.facts),)] * 2
    one = steering(generator, identity=embedder, options={"identity_floor": 0.99, "max_evaluations": 2})
    found = run(one, inputs, targets)
    assert [sample.status for sample in found] == ["rejected"] * 2
    assert "is below its floor, 0.99" in found[0].reason
    pixels = from_pixels(np.stack([sample.after.pixels for sample in found]))
    cosine = torch.cosine_similarity(embedder.embed(pixels), torch.from_numpy(inputs.references)).tolist()
    assert [sample.after.identity for sample in found] == pytest.approx(cosine, abs=1e-4)
    kept = run(steering(generator, identity=embedder, options={"identity_floor": -1}), inputs, targets)
    assert [sample.status for sample in kept] == ["converged"] * 2


class _Flaw(AttributeEstimator):
    """Brightness, but NaN for the pictures that are brighter than `above`."""

    facts = AttributeFacts("flaw", "u", 0, 255, tolerance=1)

    def __init__(self, above: float) -> None:
        self._above = above

    def estimate(self, images: torch.Tensor) -> torch.Tensor:
        value = Brightness().estimate(images)
        return value + torch.where(value > self._above, math.nan, 0.0)


def test_nan_rejects_its_own_sample_alone(generator: Vec2FaceGenerator) -> None:
    inputs = make_inputs(generator, 4)
    start = Brightness().estimate(render(generator, inputs))
    flaw = _Flaw(above=(start.sort().values[-2:].mean()).item())
    low = parse_target(f"<={start.min().item() - 0.3:.3f}", AttributeFacts("flaw", "u", 0, 255, tolerance=0.1))
    found = run(steering(generator, estimators=[flaw], options={"batch_size": 4}), inputs, [(low,)] * 4)
    brightest = int(start.argmax())
    assert found[brightest].status == "rejected"
    assert found[brightest].evaluations == 1
    assert found[brightest].reason == "the estimator of flaw gave nan."
    assert {sample.status for sample in found if sample.index != brightest} == {"converged"}


def test_targets_are_met_after_encoding(generator: Vec2FaceGenerator) -> None:
    inputs = make_inputs(generator, 2)
    targets = brighter(generator, inputs, 0.5)
    coarse = ImageFormat(format="jpeg", quality=5)
    found = run(steering(generator, encoding=coarse, options={"max_evaluations": 30}), inputs, targets)
    for sample, (target,) in zip(found, targets, strict=True):
        assert sample.status == "converged"
        assert target.accepts(Brightness().estimate(from_pixels(sample.after.pixels[None])).item())
        assert sample.after.encoded is not None
        assert np.array_equal(decode_image(sample.after.encoded, where="test"), sample.after.pixels)
    rounded = to_pixels(render(generator, inputs)).numpy()[0]
    reread = decode_image(encode_image(rounded, format="jpeg", quality=5), where="test")
    assert not np.array_equal(reread, rounded)
    assert np.abs(reread.astype(int) - found[0].before.pixels).max() <= 30


def test_a_warm_start_saves_passes_and_a_bad_one_does_no_harm(generator: Vec2FaceGenerator) -> None:
    inputs = make_inputs(generator, 3)
    targets = brighter(generator, inputs, 1.0)
    cold = run(steering(generator), inputs, targets)
    slopes = estimate_directions(generator, [Brightness()], inputs, digest="0" * 64, batch_size=3).slopes["brightness"]
    warm = run(steering(generator, warm_start=WarmStart({"brightness": slopes})), inputs, targets)
    wrong = run(steering(generator, warm_start=WarmStart({"brightness": -slopes})), inputs, targets)
    assert {sample.status for sample in (*warm, *wrong)} == {"converged"}
    total = [sum(sample.evaluations for sample in found) for found in (cold, warm, wrong)]
    assert total[1] <= total[0]
    assert total[2] <= total[0] + 3 * 3  # the first look, and two jumps that brought nothing
    assert sum(sample.gradients for sample in cold) == total[0]
    assert sum(sample.gradients for sample in warm) < sum(sample.gradients for sample in cold)


def test_what_brings_a_sample_no_nearer_is_not_repeated_for_ever(generator: Vec2FaceGenerator) -> None:
    options = {"max_evaluations": 60, "patience": 3, "vector_limit": 0.01, "code_limit": 0.01}
    found = run(steering(generator, options=options), make_inputs(generator, 2), [(point_of("250"),)] * 2)
    assert {sample.status for sample in found} == {"capped"}
    assert max(sample.evaluations for sample in found) < 60


def test_half_precision_is_the_generators_alone_and_close(generator: Vec2FaceGenerator) -> None:
    inputs, targets = make_inputs(generator, 2), [(point_of(">=0"),)] * 2
    exact, rounded = (run(steering(generator, precision=one), inputs, targets) for one in ("float32", "bfloat16"))
    for first, second in zip(exact, rounded, strict=True):
        difference = np.abs(first.after.pixels.astype(int) - second.after.pixels)
        assert 0 < difference.max() <= 8


def test_two_attributes_at_once(generator: Vec2FaceGenerator) -> None:
    inputs = make_inputs(generator, 2)
    start = render(generator, inputs)
    wanted = [
        (parse_target(f"{c - 0.3}+-0.2", Contrast.facts), parse_target(f"{b + 1}+-0.5", Brightness.facts))
        for c, b in zip(Contrast().estimate(start).tolist(), Brightness().estimate(start).tolist(), strict=True)
    ]
    found = run(
        steering(generator, estimators=[Brightness(), Contrast()], options={"max_evaluations": 60}), inputs, wanted
    )
    assert [sample.status for sample in found] == ["converged"] * 2


def test_parts_that_do_not_fit_are_named(
    generator: Vec2FaceGenerator, pattern_embedders: dict[str, FaceEmbedder]
) -> None:
    inputs = make_inputs(generator, 2)
    with pytest.raises(ConfigError, match="one estimator for each"):
        steering(generator, estimators=[Brightness(), Brightness()])
    with pytest.raises(ContractError, match="pattern-48 has width 48"):
        steering(generator, identity=pattern_embedders["pattern"])
    with pytest.raises(ContractError, match="1 lists of targets"):
        run(steering(generator), inputs, [(parse_target("9", Brightness.facts),)])
    with pytest.raises(ContractError, match="targets of contrast do not fit estimators of brightness"):
        run(steering(generator), inputs, [(parse_target("9", Contrast.facts),)] * 2)
    with pytest.raises(ContractError, match="may move here"):
        steering(generator, warm_start=WarmStart({"brightness": np.ones(3)}))
