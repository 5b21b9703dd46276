"""Redrawn identities keep apart from all that stay, the same ones every time, as likely as they were drawn."""

import numpy as np
import pytest

from vec2face.errors import InputError
from vec2face.identities import IdentityBank
from vec2face.identities.cosine import exact_cosine
from vec2face.identities.manifold import manifold_of
from vec2face.identities.redrawing import redraw
from vec2face.identities.sources import FileSource, GaussianSource


def naive(source, kept, *, count, ceiling, seed, first):
    """Accept in order, each cosine exact."""
    table, found = [*kept], []
    index = first
    while len(found) < count:
        (vector,) = source.candidates(seed, index, 1)
        if all(exact_cosine(vector, other) < ceiling for other in table):
            table.append(vector)
            found.append(index)
        index += 1
    return found


def test_without_moving_it_is_greedy_acceptance():
    source = GaussianSource(8, 1.0)
    kept = source.candidates(1, 0, 6)
    found = redraw(source, kept, count=4, ceiling=0.6, seed=9, first=3, move=False)
    assert found.candidates.tolist() == naive(source, kept, count=4, ceiling=0.6, seed=9, first=3)
    np.testing.assert_array_equal(found.vectors, [source.candidates(9, int(i), 1)[0] for i in found.candidates])
    assert len(set(found.candidates.tolist())) == 4


def test_in_a_crowd_candidates_are_moved_and_keep_their_radii():
    source = GaussianSource(6, 2.0)
    kept = source.candidates(1, 0, 12)
    plain = naive(source, kept, count=3, ceiling=0.5, seed=2, first=0)
    found = redraw(source, kept, count=3, ceiling=0.5, seed=2, first=0, move=True)
    assert found.candidates[-1] < plain[-1]  # moving finds room where chance does not
    everyone = [*kept, *found.vectors]
    for row in range(len(kept), len(everyone)):
        assert all(exact_cosine(everyone[row], everyone[other]) < 0.5 for other in range(row))
    manifold = manifold_of(source)
    drawn = np.stack([source.candidates(2, int(index), 1)[0] for index in found.candidates])
    np.testing.assert_allclose(
        manifold.radii(manifold.whiten(found.vectors)), manifold.radii(manifold.whiten(drawn)), rtol=1e-5
    )
    again = redraw(source, kept, count=3, ceiling=0.5, seed=2, first=0, move=True)
    np.testing.assert_array_equal(again.vectors, found.vectors)


def test_a_copy_of_one_that_stays_is_passed_over(tmp_path):
    vectors = np.eye(4, dtype=np.float32)
    path = tmp_path / "spare.npy"
    np.save(path, np.vstack([vectors[:2], 3 * vectors[0], vectors[2:]]))
    found = redraw(FileSource(path), vectors[:2], count=2, ceiling=1.0, seed=0, first=2, move=False)
    assert found.candidates.tolist() == [3, 4]


def test_a_source_that_runs_out_says_how_many_fit(tmp_path):
    IdentityBank(np.eye(3, dtype=np.float32), ("a", "b", "c")).save(tmp_path / "bank.safetensors")
    source = FileSource(tmp_path / "bank.safetensors")
    with pytest.raises(InputError, match=r"only 1 of 2 identities could be redrawn .* no more vectors"):
        redraw(source, np.eye(3, dtype=np.float32)[:2], count=2, ceiling=0.9, seed=0, first=2, move=False)


def test_a_full_space_ends(monkeypatch):
    monkeypatch.setattr("vec2face.identities.redrawing.MOST_CANDIDATES", 256)
    circle = np.array([[np.cos(t), np.sin(t)] for t in np.linspace(0, 2 * np.pi, 13)[:-1]], dtype=np.float32)
    with pytest.raises(InputError, match=r"only 0 of 1 .* 256 candidates in a row found no room"):
        redraw(GaussianSource(2, 1.0), circle, count=1, ceiling=0.5, seed=0, first=0, move=False)
