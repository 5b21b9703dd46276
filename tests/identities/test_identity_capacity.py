"""The estimated number of identities is that of a long sampling; the packed number is one that packs."""

import numpy as np
import pytest

from vec2face.errors import InputError
from vec2face.identities import pack, sample
from vec2face.identities.capacity import packing_capacity, rejection_capacity
from vec2face.identities.sources import GaussianSource


def counted(source: GaussianSource, ceiling: float, seed: int, candidates: int) -> int:
    accepted = [0]
    with pytest.raises(InputError, match="fit"):
        sample(
            source,
            count=candidates,
            ceiling=ceiling,
            seed=seed,
            max_candidates=candidates,
            progress=lambda fitted, tried: accepted.append(fitted),
        )
    return accepted[-1]


@pytest.mark.parametrize(("width", "ceiling"), [(12, 0.6), (16, 0.55)])
def test_the_estimate_comes_near_a_long_sampling(width: int, ceiling: float) -> None:
    source = GaussianSource(width, 1.0)
    found = rejection_capacity(source, ceiling=ceiling, seed=0, probe=2000, candidates=4000)
    assert found.accepted == counted(source, ceiling, 0, 2000)
    truth = counted(source, ceiling, 0, 4000)
    assert found.accepted < 0.9 * truth  # there is something to be estimated
    assert abs(found.identities - truth) < 0.05 * truth
    assert found.interval[0] <= found.identities <= found.interval[1]
    assert found.interval[0] - 0.05 * truth <= truth <= found.interval[1] + 0.05 * truth


def test_what_the_probe_covers_is_counted() -> None:
    source = GaussianSource(12, 1.0)
    found = rejection_capacity(source, ceiling=0.6, seed=0, probe=3000, candidates=1000)
    assert found.probed == 1000
    assert found.identities == found.accepted == counted(source, 0.6, 0, 1000)


def test_where_nobody_is_turned_away_all_may_fit() -> None:
    found = rejection_capacity(GaussianSource(256, 1.0), ceiling=0.6, seed=0, probe=1000, candidates=5000)
    assert (found.accepted, found.identities, found.interval[1]) == (1000, 5000, 5000)
    assert 1000 < found.interval[0] < 5000
    assert found.close_pairs == 0


def test_the_share_of_close_pairs_is_that_of_the_sphere() -> None:
    # In three dimensions the cosine is uniform on [-1, 1].
    found = rejection_capacity(GaussianSource(3, 1.0), ceiling=0.6, seed=0, probe=1000, candidates=1000)
    assert np.isclose(found.close_pairs, 0.2, atol=0.02)


def test_the_packed_number_packs_and_is_more_than_rejection_finds() -> None:
    source = GaussianSource(8, 1.0)
    tried: list[tuple[int, bool]] = []
    found = packing_capacity(
        source, ceiling=0.5, seed=0, largest=200, max_steps=120, progress=lambda *step: tried.append(step)
    )
    assert tried[-1][1] is False
    assert len(pack(source, count=found, ceiling=0.5, seed=0, max_steps=120)) == found
    assert found > 1.2 * rejection_capacity(source, ceiling=0.5, seed=0, probe=5000, candidates=5000).accepted


def test_a_small_probe_is_refused() -> None:
    with pytest.raises(InputError, match="says little"):
        rejection_capacity(GaussianSource(8, 1.0), ceiling=0.5, seed=0, probe=10, candidates=1000)
