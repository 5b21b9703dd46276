"""An identity fails where it alone would not pass a check; what is said of each is compared with a slow count."""

import json

import numpy as np
import pytest

from vec2face.config.audit import AuditOptions
from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.embeddings import embed_dataset
from vec2face.evaluation.failures import (
    INCONSISTENT,
    NEARER_TO_ANOTHER,
    NOT_ITS_VECTOR,
    NOT_UNIQUE,
    REJECTED,
    failed_identities,
    failures_of,
)
from vec2face.evaluation.measure import measure


def measured(dataset, embedder, threshold=0.7):
    reader = DatasetReader(dataset)
    table = embed_dataset(reader, embedder, embedder_digest="d" * 64, images_per_identity=None, batch_size=64)
    return measure(table, threshold=threshold, options=AuditOptions(), vectors=reader.bank.vectors)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def naive(dataset, embedder, threshold):
    """The same from the pixels' vectors, an image at a time."""
    measurement = measured(dataset, embedder, threshold)
    vectors = unit(measurement.embedded.gather(np.arange(len(measurement.embedded))).astype(np.float64))
    identity = measurement.embedded.identity
    bank = unit(DatasetReader(dataset).bank.vectors.astype(np.float64))
    centres = np.stack([unit(vectors[identity == i].sum(axis=0)) for i in range(len(bank))])
    double = set()
    for i in range(len(bank)):
        if any(centres[i] @ centres[j] >= threshold for j in range(i) if j not in double):
            double.add(i)
    found = {}
    for i in range(len(bank)):
        mine = np.flatnonzero(identity == i)
        reasons = [NOT_UNIQUE] if i in double else []
        consistent, own, true = [], [], []
        for image in mine:
            rest = unit(sum(vectors[other] for other in mine if other != image))
            cosines = centres @ vectors[image]
            cosines[i] = rest @ vectors[image]
            consistent.append(cosines[i] >= threshold)
            own.append(cosines.argmax() in {i, *double})
            true.append((bank @ vectors[image]).argmax() in {i, *double})
        for hits, bound, reason in (
            (consistent, 0.95, INCONSISTENT),
            (own, 0.99, NEARER_TO_ANOTHER),
            (true, 0.99, NOT_ITS_VECTOR),
        ):
            if np.mean(hits) < bound:
                reasons.append(reason)
        if reasons:
            found[i] = reasons
    return found


@pytest.mark.parametrize(("noise", "threshold"), [(1.0, 0.7), (4.0, 0.75), (9.0, 0.5)])
@pytest.mark.parametrize("twins", [False, True])
def test_it_is_what_a_slow_count_finds(tmp_path, build_dataset, pattern_embedders, noise, threshold, twins):
    dataset = build_dataset(tmp_path / "data", noise=noise, twins=twins)
    expected = naive(dataset, pattern_embedders["pattern"], threshold)
    assert failures_of(measured(dataset, pattern_embedders["pattern"], threshold)) == expected
    if twins:
        assert NOT_UNIQUE in expected[1]
    if twins and noise == 1:
        assert list(expected) == [1]
    if noise > 8:
        assert INCONSISTENT in {reason for reasons in expected.values() for reason in reasons}


def test_views_and_rejects_and_other_reasons_are_joined(tmp_path, build_dataset, pattern_embedders):
    measurement = measured(build_dataset(tmp_path / "data", twins=True), pattern_embedders["pattern"])
    judge = {"name": "pattern", "sha256": "d" * 64, "threshold": {"value": 0.7, "source": "a test"}, "dim": 48}
    found = failed_identities(
        fingerprint="f" * 64,
        judges=[judge],
        measurements=[measurement, measurement],
        images=np.array([8, 8, 8, 7, 8, 0]),
        planned=8,
        others={1: ["a leak"], 4: ["a leak"]},
    )
    assert found["judges"] == [{"name": "pattern", "sha256": "d" * 64, "threshold": 0.7}]
    reasons = {entry["identity"]: entry["reasons"] for entry in found["identities"]}
    assert list(reasons) == [1, 3, 4, 5]
    assert reasons[1][0] == NOT_UNIQUE
    assert reasons[1][-1] == "a leak"
    assert len(set(reasons[1])) == len(reasons[1])
    assert (reasons[3], reasons[4], reasons[5]) == ([REJECTED], ["a leak"], [REJECTED])
    assert json.loads(json.dumps(found)) == found
