"""Two people under one label are told from one person with poor pictures."""

import numpy as np

from vec2face.evaluation.mixed_people import find_mixed
from vec2face.evaluation.people import People


def person(rng, count, noise=0.4):
    return rng.standard_normal(32) + noise * rng.standard_normal((count, 32))


def mixed(*people, threshold=0.4):
    labels = np.repeat(np.arange(len(people)), [len(one) for one in people])
    vectors = np.concatenate(people).astype(np.float32)
    return find_mixed(lambda at: vectors[at], People.of(labels), threshold=threshold)


def test_two_people_under_one_label_are_found_with_the_images_of_the_smaller_group():
    rng = np.random.default_rng(0)
    both = np.concatenate([person(rng, 6), person(rng, 3)])
    (found,) = mixed(person(rng, 8), both, person(rng, 5))
    assert found.person == 1
    assert found.smaller.tolist() == [14, 15, 16]
    assert found.cosine < 0.4


def test_poor_pictures_of_one_person_and_single_strangers_are_not_two_people():
    rng = np.random.default_rng(1)
    noisy = person(rng, 10, noise=4.0)
    stray = np.concatenate([person(rng, 8), rng.standard_normal((1, 32))])
    assert mixed(noisy, stray, person(rng, 3), person(rng, 1)) == []


def test_the_worst_comes_first():
    rng = np.random.default_rng(2)
    pairs = [np.concatenate([person(rng, 4), person(rng, 4)]) for _ in range(4)]
    found = mixed(*pairs)
    assert len(found) == 4
    assert [one.cosine for one in found] == sorted(one.cosine for one in found)
