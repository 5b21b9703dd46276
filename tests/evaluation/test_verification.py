"""The protocol against arithmetic written out here, one pair at a time."""

import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from vec2face.contracts import InputContract
from vec2face.errors import InputError
from vec2face.evaluation.verification import (
    evaluate_verification,
    read_verification_set,
    squared_distances,
    ten_fold_accuracy,
    ten_fold_val,
)
from vec2face.models.embedders.base import FaceEmbedder


class LeftRight(FaceEmbedder):
    """Mean colours of the left and the right half: a mirror image gives another vector."""

    name, dim, contract = "left-right", 6, InputContract()

    def forward_contract(self, pixels):
        return torch.cat([pixels[..., :56].mean(dim=(2, 3)), pixels[..., 56:].mean(dim=(2, 3))], dim=1)


def overlapping(count, seed):
    rng = np.random.default_rng(seed)
    same = np.arange(count) % 20 < 10
    return np.where(same, rng.normal(1.0, 0.35, count), rng.normal(1.9, 0.35, count)).clip(0.01, 3.9), same


def folds_of(count):
    sizes = [count // 10 + (fold < count % 10) for fold in range(10)]
    starts = [sum(sizes[:fold]) for fold in range(10)]
    return [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]


@pytest.mark.parametrize("count", [10, 37, 200])
def test_accuracy_is_that_of_a_loop_over_folds_and_thresholds(count):
    distances, same = overlapping(count, seed=count)
    expected = []
    for test in folds_of(count):
        best, chosen = -1, None
        for step in range(400):
            right = sum((distances[i] < step * 0.01) == same[i] for i in range(count) if i not in test)
            if right > best:  # the first of equals stays
                best, chosen = right, step * 0.01
        expected.append(sum((distances[i] < chosen) == same[i] for i in test) / len(test))
    found = ten_fold_accuracy(distances, same)
    assert found.folds == pytest.approx(expected)
    assert found.mean == pytest.approx(sum(expected) / 10)
    assert found.std == pytest.approx((sum((e - found.mean) ** 2 for e in expected) / 10) ** 0.5)


def test_val_interpolates_the_threshold_between_the_two_points_that_enclose_the_target():
    distances, same = overlapping(1200, seed=1)
    distances[same] += 0.4
    rates, fars = [], []
    for test in folds_of(1200):
        train = [i for i in range(1200) if i not in set(test)]
        impostors = [distances[i] for i in train if not same[i]]
        threshold = 0.0
        far = [sum(d < step * 0.001 for d in impostors) / len(impostors) for step in range(4000)]
        for step in range(3999):
            low, high = far[step], far[step + 1]
            if low <= 0.001 < high:
                threshold = 0.001 * (step + (0.001 - low) / (high - low))
        rates.append(np.mean([distances[i] < threshold for i in test if same[i]]))
        fars.append(np.mean([distances[i] < threshold for i in test if not same[i]]))
    found = ten_fold_val(distances, same)
    assert 0 < found.mean < 1
    assert found.mean == pytest.approx(np.mean(rates))
    assert found.std == pytest.approx(np.std(rates))
    assert found.far == pytest.approx(np.mean(fars))


def test_val_is_zero_where_the_far_is_never_reached():
    same = np.arange(40) % 2 == 0
    found = ten_fold_val(np.where(same, 0.5, 4.0), same)
    assert (found.mean, found.far) == (0.0, 0.0)


def encoded(color_left, color_right, size=112, seed=0):
    pixels = np.empty((size, size, 3), np.uint8)
    pixels[:, : size // 2], pixels[:, size // 2 :] = color_left, color_right
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def colour_set(tmp_path):
    """Forty pairs of two-coloured pictures; a same pair is a picture and a slightly changed mirror image of it."""
    rng = np.random.default_rng(0)
    images, same = [], []
    for pair in range(40):
        left, right = rng.integers(20, 235, (2, 3))
        if pair % 2:
            other = (right + rng.integers(-9, 9, 3), left + rng.integers(-9, 9, 3))
        else:
            other = tuple(rng.integers(20, 235, (2, 3)))
        images += [encoded(left, right), encoded(*other, size=112 if pair else 96)]
        same.append(bool(pair % 2))
    path = tmp_path / "colours.bin"
    path.write_bytes(pickle.dumps((images, same)))
    return path


def test_mirror_images_are_summed_before_the_length_is_taken(colour_set):
    result = evaluate_verification(LeftRight(), read_verification_set(colour_set), batch_size=7)
    assert (result.pairs, result.genuine, result.name, result.embedder) == (40, 20, "colours", "left-right")
    assert result.accuracy.mean > 0.9
    assert result.auc > 0.97
    assert result.tar_at_far["0.0001"] is None  # twenty impostor pairs cannot tell 1 in 10,000
    whole = evaluate_verification(LeftRight(), read_verification_set(colour_set), batch_size=80)
    assert whole.to_dict() == result.to_dict()


def test_squared_distances():
    first, second = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(squared_distances(first, second), [2.0, 0.0])


@pytest.mark.parametrize(
    ("images", "same", "message"),
    [
        (39, [True, False] * 10, "holds 39 images for 20 same-person flags"),
        (8, [True, False] * 2, "needs at least 10"),
        (40, [True] * 20, "one kind only"),
    ],
)
def test_sets_that_do_not_fit_are_refused(tmp_path, images, same, message):
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(([b"x"] * images, same)))
    with pytest.raises(InputError, match=message):
        read_verification_set(path)


def test_a_damaged_or_oblong_image_is_named(tmp_path):
    for image, message in ((b"not an image", "image 3 is not an image"), (oblong(), "image 3 is 50x40")):
        good = encoded((1, 2, 3), (4, 5, 6))
        path = tmp_path / "set.bin"
        path.write_bytes(pickle.dumps(([good] * 3 + [image] + [good] * 36, [True, False] * 10)))
        with pytest.raises(InputError, match=message):
            evaluate_verification(LeftRight(), read_verification_set(path))


def oblong():
    stream = io.BytesIO()
    Image.new("RGB", (50, 40)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.slow
@pytest.mark.development_data
@pytest.mark.parametrize(
    ("weights", "format", "mean", "std"),
    [
        ("teacher_mobilefacenet_ms1m", "mobilefacenet-relu6", 99.67, 0.41),
        ("judge_mobilefacenet_casia", "mobilefacenet-prelu", 98.17, 1.33),
    ],
)
def test_known_accuracies_on_real_faces(shared, tmp_path, weights, format, mean, std):
    from vec2face.checkpoints import import_checkpoint, load_embedder

    file, pairs = shared / "weights" / f"{weights}.safetensors", shared / "data" / "lfw_dev.bin"
    if not (file.is_file() and pairs.is_file()):
        pytest.skip(f"{file.name} or {pairs.name} is not beside the project")
    import_checkpoint(file, format, tmp_path / "embedder")
    result = evaluate_verification(load_embedder(str(tmp_path / "embedder")), read_verification_set(pairs))
    assert 100 * result.accuracy.mean == pytest.approx(mean, abs=0.005)
    assert 100 * result.accuracy.std == pytest.approx(std, abs=0.005)
