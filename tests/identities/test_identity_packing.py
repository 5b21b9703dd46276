"""Packed banks: more fit than by rejection, no pair reaches the ceiling, vectors stay as likely as they were drawn."""

from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from vec2face.errors import InputError
from vec2face.fileio.partial import PartialWork
from vec2face.identities import IdentityBank, packing, sample
from vec2face.identities.cosine import exact_cosine
from vec2face.identities.manifold import BAND, manifold_of
from vec2face.identities.packing import LIST_STEPS, pack
from vec2face.identities.sources import FileSource, GaussianSource, PcaSource
from vec2face.identities.statistics import FeatureStatistics

WIDTH = 24


def statistics(tmp_path: Path, *, kept: int = WIDTH) -> PcaSource:
    """A source with a falling spectrum and a mean; fewer components than features where `kept` says so."""
    rng = np.random.default_rng(5)
    components = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0].T[:kept]
    FeatureStatistics(
        mean=(0.3 * rng.standard_normal(WIDTH)).astype(np.float32),
        components=components.astype(np.float32),
        variances=np.linspace(2.0, 0.2, kept).astype(np.float32),
        feature_space="test",
        count=1000,
    ).save(tmp_path / f"{kept}.safetensors")
    return PcaSource(tmp_path / f"{kept}.safetensors")


def largest_cosine(vectors: np.ndarray) -> float:
    return max(exact_cosine(a, b) for row, a in enumerate(vectors) for b in vectors[:row])


def test_packing_fits_far_more_than_rejection(tmp_path: Path) -> None:
    source = statistics(tmp_path)
    accepted = [0]
    with pytest.raises(InputError, match="fit"):
        sample(
            source,
            count=260,
            ceiling=0.4,
            seed=0,
            max_candidates=20_000,
            progress=lambda fitting, tried: accepted.append(fitting),
        )
    assert 50 < accepted[-1] < 260 / 1.5
    bank = pack(source, count=260, ceiling=0.4, seed=0)
    assert len(bank) == 260
    assert largest_cosine(bank.vectors) < 0.4


@pytest.mark.parametrize("kept", [WIDTH, 20])
def test_packed_vectors_stay_as_likely_as_they_were_drawn(tmp_path: Path, kept: int) -> None:
    source = statistics(tmp_path, kept=kept)
    bank = pack(source, count=100, ceiling=0.4, seed=1)
    assert bank.provenance["steps"] > 0
    facts = source.statistics
    drawn = source.candidates(1, 0, 100)
    before, after = (
        ((rows - facts.mean).astype(np.float64) @ facts.components.T) / np.sqrt(facts.variances)
        for rows in (drawn, bank.vectors)
    )
    assert np.abs(before - after).max() > 0.1
    for start in range(0, kept, BAND):
        band = slice(start, start + BAND)
        radii = [np.linalg.norm(z[:, band], axis=1) for z in (before, after)]
        np.testing.assert_allclose(radii[1], radii[0], rtol=1e-4)
    # Nothing is put where the source has no variance.
    inside = (bank.vectors - facts.mean) @ facts.components.T @ facts.components
    np.testing.assert_allclose(bank.vectors - facts.mean, inside, atol=1e-5)
    # The average face stays what it was.
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), atol=0.05)


def test_an_isotropic_vector_keeps_its_norm() -> None:
    source = GaussianSource(16, 1.5)
    bank = pack(source, count=60, ceiling=0.45, seed=2)
    assert largest_cosine(bank.vectors) < 0.45
    norms = [np.linalg.norm(rows, axis=1) for rows in (bank.vectors, source.candidates(2, 0, 60))]
    np.testing.assert_allclose(*norms, rtol=1e-5)


def test_candidates_that_keep_apart_are_taken_as_they_are() -> None:
    source = GaussianSource(64, 1.0)
    bank = pack(source, count=10, ceiling=0.9, seed=0)
    np.testing.assert_array_equal(bank.vectors, source.candidates(0, 0, 10))
    assert (bank.provenance["steps"], bank.provenance["kept"]) == (0, 1.0)


def test_the_same_seed_gives_the_same_bank_whatever_the_threads(tmp_path: Path) -> None:
    source = statistics(tmp_path)
    banks = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            banks.append(pack(source, count=120, ceiling=0.4, seed=3))
    np.testing.assert_array_equal(banks[0].vectors, banks[1].vectors)
    assert banks[0].provenance == banks[1].provenance
    assert not np.array_equal(pack(source, count=120, ceiling=0.4, seed=4).vectors, banks[0].vectors)


def test_a_stopped_packing_goes_on_to_the_same_bank(tmp_path: Path) -> None:
    source = statistics(tmp_path)
    whole = pack(source, count=160, ceiling=0.4, seed=0)
    assert whole.provenance["steps"] >= 3 * LIST_STEPS
    partial = PartialWork(tmp_path / "bank.safetensors", interval=0)

    def stop(steps: int, left: int) -> None:
        if steps == 2 * LIST_STEPS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(source, count=160, ceiling=0.4, seed=0, partial=partial, progress=stop)
    begun: list[int] = []
    resumed = pack(
        source, count=160, ceiling=0.4, seed=0, partial=partial, progress=lambda steps, left: begun.append(steps)
    )
    assert begun[0] == 2 * LIST_STEPS
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    assert resumed.provenance == whole.provenance


def test_too_many_end_with_how_many_fit_and_the_ceiling_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_STALLED_LISTS", 3)
    with pytest.raises(InputError, match=r"40 identities could not be packed under cosine 0\.1: after") as caught:
        pack(GaussianSource(3, 1.0), count=40, ceiling=0.1, seed=0)
    message = str(caught.value)
    assert "the closest pair is at" in message
    assert "of them keep apart" in message


def test_a_list_beyond_memory_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LARGEST_LIST", 50)
    with pytest.raises(InputError, match=r"far too many under cosine 0\.2"):
        pack(GaussianSource(4, 1.0), count=100, ceiling=0.2, seed=0)


def test_the_vectors_of_a_file_are_not_moved(tmp_path: Path) -> None:
    IdentityBank(np.eye(4, dtype=np.float32), tuple("abcd"), {}).save(tmp_path / "bank")
    with pytest.raises(InputError, match="packing moves vectors"):
        pack(FileSource(tmp_path / "bank"), count=2, ceiling=0.5, seed=0)


def test_whitening_and_its_inverse_agree(tmp_path: Path) -> None:
    source = statistics(tmp_path)
    rows = source.candidates(0, 0, 50)
    manifold = manifold_of(source)
    np.testing.assert_allclose(manifold.vectors(manifold.whiten(rows)), rows, atol=1e-5)
