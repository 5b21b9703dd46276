"""A candidate is the same in whichever block it is drawn, and has the statistics that its source promises."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.errors import InputError
from vec2face.identities import IdentityBank
from vec2face.identities.sources import KEY_BLOCK, CandidateSource, FileSource, GaussianSource, PcaSource
from vec2face.identities.statistics import FeatureStatistics, fit

RNG = np.random.default_rng(0)
FEATURES = (RNG.standard_normal((4000, 5)) @ RNG.standard_normal((5, 5)) + np.arange(5)).astype(np.float32)


@pytest.fixture(scope="module")
def pca(tmp_path_factory: pytest.TempPathFactory) -> PcaSource:
    path = tmp_path_factory.mktemp("statistics") / "statistics.safetensors"
    fit(FEATURES, feature_space="test").save(path)
    return PcaSource(path)


def random_sources(pca: PcaSource) -> list[CandidateSource]:
    return [pca, GaussianSource(7, 0.5)]


@given(start=st.integers(0, 3 * KEY_BLOCK), count=st.integers(0, 2 * KEY_BLOCK))
@settings(max_examples=25, deadline=None)
def test_any_block_can_be_drawn_alone(pca: PcaSource, start: int, count: int) -> None:
    for source in random_sources(pca):
        whole = source.candidates(3, 0, start + count)
        part = source.candidates(3, start, count)
        assert part.dtype == np.float32
        assert part.shape == (count, source.width)
        np.testing.assert_array_equal(part, whole[start:])


def test_seeds_and_indices_give_different_candidates(pca: PcaSource) -> None:
    for source in random_sources(pca):
        first = source.candidates(0, 0, 2 * KEY_BLOCK)
        assert len(np.unique(first, axis=0)) == len(first)
        both = np.vstack([first, source.candidates(1, 0, 2 * KEY_BLOCK)])
        assert len(np.unique(both, axis=0)) == len(both)


def test_pca_candidates_have_the_mean_and_covariance_of_the_features(pca: PcaSource) -> None:
    drawn = pca.candidates(0, 0, 200_000).astype(np.float64)
    covariance = np.cov(FEATURES.T)
    np.testing.assert_allclose(drawn.mean(axis=0), FEATURES.mean(axis=0), atol=0.02 * np.sqrt(covariance.max()))
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.02 * covariance.max())


def test_pca_candidates_stay_in_the_span_of_few_components(tmp_path: Path) -> None:
    facts = fit(FEATURES, feature_space="test", components=2)
    facts.save(tmp_path / "s")
    centred = PcaSource(tmp_path / "s").candidates(0, 0, 50) - facts.mean
    np.testing.assert_allclose(centred @ facts.components.T @ facts.components, centred, atol=1e-4)


def test_gaussian_candidates_have_the_stated_deviation() -> None:
    drawn = GaussianSource(64, 0.967).candidates(0, 0, 4096)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 0.967) < 0.01


def test_a_file_gives_its_rows_in_order_and_no_more(tmp_path: Path) -> None:
    IdentityBank(FEATURES[:9], tuple("abcdefghi"), {"feature_space": "test"}).save(tmp_path / "bank")
    source = FileSource(tmp_path / "bank")
    np.testing.assert_array_equal(source.candidates(5, 2, 4), FEATURES[2:6])
    assert source.limit == 9
    assert source.provenance == {"source": "file", "file": "bank", "feature_space": "test"}
    with pytest.raises(InputError, match="holds 9 vectors; candidate 9 is beyond"):
        source.candidates(5, 6, 4)


def test_provenance_says_where_candidates_come_from(pca: PcaSource) -> None:
    stated = {"source": "pca", "feature_space": "test", "components": 5, "statistics_count": 4000}
    assert pca.provenance == stated
    assert GaussianSource(3, 2.0).provenance == {"source": "gaussian", "std": 2.0}


@pytest.mark.parametrize(("dim", "std"), [(0, 1.0), (8, 0.0), (8, -1.0), (8, float("nan")), (8, float("inf"))])
def test_unusable_settings_are_refused(dim: int, std: float) -> None:
    with pytest.raises(InputError):
        GaussianSource(dim, std)


def test_a_single_direction_is_enough(tmp_path: Path) -> None:
    mean, line = np.zeros(3, np.float32), np.array([[0, 1, 0]], np.float32)
    FeatureStatistics(mean, line, np.array([4], np.float32), "test", 2).save(tmp_path / "s")
    drawn = PcaSource(tmp_path / "s").candidates(0, 0, 20_000)
    assert not drawn[:, [0, 2]].any()
    assert abs(drawn[:, 1].std() - 2.0) < 0.05


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_an_unusable_standard_deviation_is_refused(std: float) -> None:
    with pytest.raises(InputError, match="standard deviation of the candidates must be above 0 and at most"):
        GaussianSource(8, std)
