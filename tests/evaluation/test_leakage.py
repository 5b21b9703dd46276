"""Leaks are found against thresholds that strangers of the reference set, and stand beside what strangers reach."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vec2face.config.audit import AuditOptions
from vec2face.evaluation.embeddings import EmbeddedImages
from vec2face.evaluation.leakage import measure_leakage
from vec2face.evaluation.leakage_found import CENTRES, IMAGE_TO_CENTRE, IMAGES
from vec2face.evaluation.leakage_sides import owners_of
from vec2face.evaluation.measure import measure
from vec2face.evaluation.stored_faces import UNKNOWN, StoredFaces
from vec2face.progress import SilentProgress

WIDTH = 32


def faces_of(rng, people, each, name="photos", named=True):
    owners = np.repeat(np.arange(people), each)
    plain = rng.standard_normal((people, WIDTH))[owners] + 0.7 * rng.standard_normal((people * each, WIDTH))
    mirror = plain + 0.3 * rng.standard_normal(plain.shape)
    return StoredFaces(
        name=name,
        plain=plain.astype(np.float32),
        both=(plain + mirror).astype(np.float32),
        people=owners if named else np.full(len(owners), UNKNOWN),
        keys=tuple(f"{name}-{row}" for row in range(len(owners))),
        names=tuple(f"person {n}" for n in range(people)) if named else (),
        mirrored=True,
        facts={},
    )


def measured(vectors, labels):
    count = len(vectors)
    embedded = EmbeddedImages(
        vectors.astype(np.float32), np.arange(count), labels, np.arange(count), np.zeros(count), np.zeros(count, int)
    )
    return measure(embedded, threshold=0.4, options=AuditOptions(), vectors=None)


@pytest.fixture
def dataset():
    faces = faces_of(np.random.default_rng(1), 20, 5)
    return faces.plain.copy(), np.repeat(np.arange(100, 120), 5)


def run(vectors, labels, reference, **options):
    defaults = {"rate": 1e-4, "max_pairs": 10**8, "seed": 0}
    return measure_leakage(measured(vectors, labels), reference, progress=SilentProgress(), **defaults | options)


def test_a_copied_face_is_found_by_the_image_and_a_copied_person_by_the_centre_too(dataset):
    reference = faces_of(np.random.default_rng(2), 80, 4)
    vectors, labels = dataset
    clean = run(vectors, labels, reference)
    assert [one.kind for one in clean.comparisons] == [IMAGES, IMAGE_TO_CENTRE, CENTRES]
    before = set(clean.leaked)
    assert not {103, 111} & before
    vectors[15] = reference.plain[9] + 0.05  # one image of identity 103
    vectors[55:60] = reference.plain[[40, 41, 42, 43, 40]]  # all images of identity 111
    found = run(vectors, labels, reference)
    assert set(found.leaked) - before == {103, 111}
    assert IMAGES in found.leaked[103]
    assert found.leaked[111] == [IMAGES, IMAGE_TO_CENTRE, CENTRES]
    first = found.comparisons[0]
    assert (first.closest_leaks[103].query, first.closest_leaks[103].reference) == (15, 9)
    for one in found.comparisons:
        assert list(one.closest_leaks) == one.leaked.tolist()
        for identity, pair in one.closest_leaks.items():
            own = np.flatnonzero((one.identities == identity) & one.matches.matched)
            assert pair.cosine == one.matches.cosine[own].max()
            assert pair.query in own
            assert pair.reference == one.matches.best[pair.query]
    assert first.facts()["queries_reaching"] >= 6
    assert first.facts()["references"] == 320


def test_the_threshold_keeps_to_the_rate_and_the_baseline_is_what_strangers_reach(dataset):
    reference = faces_of(np.random.default_rng(2), 80, 4)
    found = run(*dataset, reference, rate=1e-3)
    first = found.comparisons[0]
    a = reference.plain / np.linalg.norm(reference.plain, axis=1, keepdims=True)
    b = reference.both / np.linalg.norm(reference.both, axis=1, keepdims=True)
    cosines = a @ b.T
    cosines[reference.people[:, None] == reference.people] = np.nan
    assert np.nanmean(cosines >= first.threshold) == pytest.approx(1e-3, rel=0.02)
    reached = np.nanmax(cosines, axis=1) >= first.threshold
    assert first.facts()["strangers"]["images_share"] == pytest.approx(reached.mean())
    assert found.expected_share == pytest.approx(reached.mean())
    # People of the same making as the strangers reach it about as often.
    assert abs(first.facts()["queries_share"] - reached.mean()) < 0.1


def test_held_out_people_are_compared_in_the_same_way(dataset):
    reference = faces_of(np.random.default_rng(2), 80, 4)
    others = faces_of(np.random.default_rng(3), 30, 4, name="others")
    inside = replace(reference, name="inside")
    facts = run(*dataset, reference, held_out=others).comparisons[0].facts()["held_out"]
    assert (facts["images"], facts["people"]) == (120, 30)
    assert facts["images_share"] < 0.2
    same = run(*dataset, reference, held_out=inside)
    assert same.comparisons[0].facts()["held_out"]["images_share"] == 1.0
    assert same.comparisons[2].facts()["held_out"]["people_share"] == 1.0


def test_images_of_nobody_known_are_people_of_their_own(dataset):
    reference = faces_of(np.random.default_rng(2), 80, 1, named=False)
    found = run(*dataset, reference)
    assert [one.kind for one in found.comparisons] == [IMAGES, CENTRES]
    assert "taken to show somebody else" in found.assumption
    assert owners_of(np.array([0, UNKNOWN, 1, UNKNOWN])).tolist() == [0, 3, 1, 5]


def test_named_people_give_the_threshold_where_some_images_have_no_name(dataset):
    reference = faces_of(np.random.default_rng(2), 80, 4)
    mixed = replace(reference, people=np.where(reference.people < 60, reference.people, UNKNOWN))
    first = run(*dataset, mixed, rate=1e-3).comparisons[0]
    assert first.strangers.pairs == 240 * 236
    assert first.baseline.pairs == 240 * 316
    assert first.facts()["references"] == 320


def few(reference, people):
    rows = np.flatnonzero(reference.people < people)
    return replace(
        reference,
        name="few",
        plain=reference.plain[rows],
        both=reference.both[rows],
        people=reference.people[rows],
        keys=tuple(reference.keys[row] for row in rows),
        names=reference.names[:people],
    )


@pytest.mark.parametrize("people", [1, 4])
@pytest.mark.parametrize("named", [True, False])
def test_a_small_reference_has_no_limit_and_says_what_is_closest(dataset, people, named):
    vectors, labels = dataset
    reference = few(faces_of(np.random.default_rng(2), 80, 4), people)
    if not named:
        reference = replace(reference, people=np.full(len(reference), UNKNOWN), names=())
    vectors[15:20] = reference.plain[[0, 1, 2, 3, 0]]
    found = run(vectors, labels, reference)
    assert found.leaked == {}
    assert found.expected_share is None
    assert "a limit needs 1,000 comparisons of different people" in found.no_limit
    for one in found.comparisons:
        facts = one.facts()
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts
        for key in ("threshold", "rate", "pairs_reaching", "queries_reaching", "queries_share", "identities_reaching"):
            assert facts[key] is None, key
        assert facts["strangers"]["images_share"] is None
        assert facts["same_person"]["share"] is None
        assert one.matches.closest[0].cosine > 0.85
        assert one.identities[one.matches.closest[0].query] == 103


def test_strangers_of_another_set_give_a_small_reference_its_limit(dataset):
    vectors, labels = dataset
    everyone = faces_of(np.random.default_rng(2), 80, 4)
    reference = few(everyone, 1)
    own = run(vectors, labels, everyone, rate=1e-3)
    found = run(vectors, labels, reference, rate=1e-3, strangers=everyone)
    assert (found.no_limit, found.strangers) == (None, "photos")
    for one, other in zip(found.comparisons, own.comparisons, strict=True):
        assert one.threshold == other.threshold
        # The person of the same name is no stranger to the reference.
        assert 0 not in one.baseline_people
        assert one.facts()["strangers"]["images"] == (79 if one.kind == CENTRES else 79 * 4)
    a = everyone.plain[4:] / np.linalg.norm(everyone.plain[4:], axis=1, keepdims=True)
    b = reference.both / np.linalg.norm(reference.both, axis=1, keepdims=True)
    first = found.comparisons[0]
    assert found.expected_share == pytest.approx(((a @ b.T).max(axis=1) >= first.threshold).mean())
    assert 103 not in found.leaked
    vectors[15:20] = reference.plain[[0, 1, 2, 3, 0]]
    assert found.leaked != run(vectors, labels, reference, rate=1e-3, strangers=everyone).leaked
    assert 103 in run(vectors, labels, reference, rate=1e-3, strangers=everyone).leaked


def test_beside_the_limit_stands_how_many_other_photographs_of_the_same_people_reach_it(dataset):
    reference = faces_of(np.random.default_rng(2), 80, 4)
    # One person has one image, another no name.
    people = reference.people.copy()
    people[1:4], people[4:8] = 1, UNKNOWN
    reference = replace(reference, people=people)
    found = run(*dataset, reference, rate=1e-3)
    assert found.several == 79
    plain, both = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (reference.plain, reference.both))
    images, to_centre, centres = [], [], []
    for person in range(1, 80):
        rows = np.flatnonzero(people == person)
        for row in rows:
            rest = rows[rows != row]
            images.append(max(plain[row] @ both[other] for other in rest))
            centre = both[rest].sum(axis=0)
            to_centre.append(plain[row] @ centre / np.linalg.norm(centre))
        first, second = plain[rows[::2]].sum(axis=0), both[rows[1::2]].sum(axis=0)
        centres.append(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    for one, cosines in zip(found.comparisons, (images, to_centre, centres), strict=True):
        facts = one.facts()["same_person"]
        assert facts == {"compared": len(cosines), "share": pytest.approx(np.mean(np.array(cosines) >= one.threshold))}
    nobody = replace(reference, people=np.full(len(reference), UNKNOWN), names=())
    assert run(*dataset, nobody).comparisons[0].facts()["same_person"] == {"compared": 0, "share": None}
