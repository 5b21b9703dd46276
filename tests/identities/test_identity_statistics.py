"""The statistics agree with a plain covariance and with scikit-learn, and survive a file."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from sklearn.decomposition import PCA

from vec2face.errors import InputError
from vec2face.identities.statistics import FeatureStatistics, fit

RNG = np.random.default_rng(0)
FEATURES = (RNG.standard_normal((5000, 6)) @ RNG.standard_normal((6, 6)) + np.arange(6)).astype(np.float32)


def test_all_components_give_back_the_covariance() -> None:
    facts = fit(FEATURES, feature_space="test")
    covariance = facts.components.T @ np.diag(facts.variances) @ facts.components
    np.testing.assert_allclose(covariance, np.cov(FEATURES.T), atol=1e-4)
    np.testing.assert_allclose(facts.mean, FEATURES.mean(axis=0), atol=1e-5)
    assert (facts.count, facts.width, facts.feature_space) == (5000, 6, "test")


def test_the_directions_are_those_of_scikit_learn_up_to_sign() -> None:
    facts = fit(FEATURES, feature_space="test", components=3)
    reference = PCA(3).fit(FEATURES)
    np.testing.assert_allclose(facts.variances, reference.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(np.abs(facts.components @ reference.components_.T), np.eye(3), atol=1e-4)


def test_the_sign_of_a_direction_is_settled() -> None:
    facts = fit(FEATURES, feature_space="test")
    largest = np.abs(facts.components).argmax(axis=1)
    assert (facts.components[np.arange(6), largest] > 0).all()


def test_fewer_vectors_than_features_keep_the_directions_they_span() -> None:
    facts = fit(FEATURES[:4], feature_space="test")
    assert facts.components.shape == (3, 6)
    np.testing.assert_allclose(facts.components @ facts.components.T, np.eye(3), atol=1e-5)


def test_statistics_survive_a_file(tmp_path: Path) -> None:
    facts = fit(FEATURES, feature_space="test", components=4)
    facts.save(tmp_path / "a.safetensors")
    again = FeatureStatistics.load(tmp_path / "a.safetensors")
    for name in ("mean", "components", "variances"):
        np.testing.assert_array_equal(getattr(again, name), getattr(facts, name))
    assert (again.feature_space, again.count) == ("test", 5000)
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("features", "components", "message"),
    [
        (FEATURES[:1], None, "at least two"),
        (FEATURES[0], None, "at least two"),
        (np.full((3, 3), np.nan), None, "finite"),
        (FEATURES, 7, "1 to 6 components, not 7"),
        (FEATURES, 0, "1 to 6 components, not 0"),
    ],
)
def test_unusable_features_are_refused(features: np.ndarray, components: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(features, feature_space="test", components=components)


GOOD = {
    "mean": np.zeros(3, np.float32),
    "components": np.eye(3, dtype=np.float32)[:2],
    "variances": np.ones(2, np.float32),
}
HEADER = {"feature_statistics": '{"format": "vec2face-statistics/1", "feature_space": "test", "count": 9}'}


@pytest.mark.parametrize(
    ("tensors", "header", "message"),
    [
        (GOOD, {}, "does not describe itself"),
        (
            GOOD,
            {"feature_statistics": HEADER["feature_statistics"].replace("/1", "/7")},
            "format 'vec2face-statistics/7'",
        ),
        ({"mean": GOOD["mean"]}, HEADER, "must hold the tensors"),
        ({**GOOD, "mean": np.zeros(4, np.float32)}, HEADER, "do not fit each other"),
        ({**GOOD, "variances": np.array([1, np.nan], np.float32)}, HEADER, "variances must be finite"),
        ({**GOOD, "variances": np.array([1, -1], np.float32)}, HEADER, "not be negative"),
        ({**GOOD, "components": np.ones((2, 3), np.float32)}, HEADER, "not orthonormal"),
        ({**GOOD, "mean": np.zeros(3, np.float64)}, HEADER, "finite float32"),
    ],
)
def test_unusable_files_are_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], header: dict[str, str], message: str
) -> None:
    path = tmp_path / "statistics.safetensors"
    safetensors.numpy.save_file(tensors, path, header)
    with pytest.raises(InputError, match=message) as caught:
        FeatureStatistics.load(path)
    assert "statistics.safetensors" in str(caught.value)


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match=r"cannot read the feature statistics .*text"):
        FeatureStatistics.load(tmp_path / "text")
    with pytest.raises(InputError, match=r"there is no file of feature statistics .*missing"):
        FeatureStatistics.load(tmp_path / "missing")
