"""The blocked search gives what the full table of cosines gives."""

import numpy as np
import pytest

from vec2face.evaluation import cross_search
from vec2face.evaluation.cross_search import References, search
from vec2face.identities.tables import usable_kinds


def table(queries, references):
    a, b = queries.astype(np.float64), references.astype(np.float64)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    return a @ b.T


@pytest.fixture(params=usable_kinds(512))
def coarse(request, monkeypatch):
    made = cross_search.CoarseUnits
    monkeypatch.setattr(cross_search, "CoarseUnits", lambda n, d: made(n, d, kind=request.param))
    monkeypatch.setattr(cross_search, "_ROWS", 16)
    monkeypatch.setattr(cross_search, "_COLUMNS", 24)
    monkeypatch.setattr(cross_search, "_PAIRS", 7)


@pytest.mark.parametrize("threshold", [0.2, 0.45, 0.9])
@pytest.mark.parametrize("top", [1, 5, 40])
def test_counts_nearest_and_closest_are_those_of_the_full_table(coarse, threshold, top):
    rng = np.random.default_rng(0)
    queries, references = (rng.standard_normal((n, 24)).astype(np.float32) for n in (50, 70))
    references[11] = queries[3] * 2  # a copy, at another length
    groups = np.arange(50) // 5 * 3
    cosines = table(queries, references)
    found = search(lambda at: queries[at], groups, References(references), threshold=threshold, top=top)
    reached = cosines >= threshold
    assert found.pairs == reached.sum()
    assert found.matched.tolist() == reached.any(axis=1).tolist()
    assert found.best[found.matched].tolist() == cosines.argmax(axis=1)[found.matched].tolist()
    np.testing.assert_allclose(found.cosine[found.matched], cosines.max(axis=1)[found.matched], atol=1e-12)
    by_group = cosines.max(axis=1).reshape(10, 5)
    expected = np.sort(by_group.max(axis=1))[::-1][:top]
    np.testing.assert_allclose([pair.cosine for pair in found.closest], expected, atol=1e-12)
    assert (found.closest[0].query, found.closest[0].reference) == (3, 11)


def test_a_cosine_of_exactly_the_threshold_matches(coarse):
    queries = np.eye(4, dtype=np.float32)
    references = np.array([[3, 4, 0, 0], [0, 0, 0, 2]], np.float32)
    found = search(lambda at: queries[at], np.arange(4), References(references), threshold=0.8, top=2)
    assert found.pairs == 2
    assert found.matched.tolist() == [False, True, False, True]


def test_progress_counts_the_queries(coarse):
    queries = np.random.default_rng(1).standard_normal((40, 8)).astype(np.float32)
    rows = []
    search(lambda at: queries[at], np.arange(40), References(queries), threshold=0.99, top=1, on_rows=rows.append)
    assert sum(rows) == 40
