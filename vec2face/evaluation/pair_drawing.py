"""Draw a validation set from labelled faces: folds of genuine and impostor pairs, no person in two folds."""

from collections.abc import Mapping, Sequence

import numpy as np

from vec2face.errors import InputError
from vec2face.evaluation.pair_lists import NamedPair
from vec2face.seeding import rng_for

STAGE = "validation-pairs"


def draw_pairs(people: Mapping[str, Sequence[str]], *, folds: int, pairs: int, seed: int) -> list[NamedPair]:
    """Draw pairs fold by fold, the genuine ones of a fold first.

    People are dealt to the folds so that each has about as many images. Genuine pairs go round the fold's people, one
    each, until there are enough, so that people with many images do not prevail; impostor pairs take two people and an
    image of each, all alike likely. No pair occurs twice. The order of `people` does not matter.

    Args:
        people: name -> keys of the images.
        folds: number of folds, 2 or more.
        pairs: pairs of each kind in a fold.
        seed: of every draw.

    Returns:
        folds * 2 * pairs pairs.

    Raises:
        InputError: a fold has too few people or images for so many pairs.
    """
    if folds < 2 or pairs < 1:
        raise InputError(f"a validation set needs 2 folds and 1 pair of each kind or more, not {folds} and {pairs}.")
    drawn: list[NamedPair] = []
    for fold, names in enumerate(_deal(people, folds, seed)):
        members = {name: sorted(people[name]) for name in names}
        genuine = sum(len(images) * (len(images) - 1) // 2 for images in members.values())
        total = sum(map(len, members.values()))
        impostor = (total**2 - sum(len(images) ** 2 for images in members.values())) // 2
        for kind, available in (("genuine", genuine), ("impostor", impostor)):
            if available < pairs:
                raise InputError(
                    f"{len(people):,} people in {folds} folds give too few pairs: fold {fold + 1} has {len(names):,} "
                    f"people and {available:,} {kind} pairs, fewer than {pairs:,}; ask for fewer pairs or folds."
                )
        rng = rng_for(seed, STAGE, fold)
        drawn += _genuine(members, pairs, rng)
        drawn += _impostor(members, pairs, impostor, rng)
    return drawn


def _deal(people: Mapping[str, Sequence[str]], folds: int, seed: int) -> list[list[str]]:
    names = sorted(people)
    shuffled = [names[place] for place in rng_for(seed, f"{STAGE}-folds").permutation(len(names))]
    shuffled.sort(key=lambda name: -len(people[name]))
    rounds = [shuffled[start : start + folds] for start in range(0, len(shuffled), folds)]
    dealt: list[list[str]] = [[] for _ in range(folds)]
    for number, row in enumerate(rounds):
        # There and back again, so that the first fold does not get the largest of every round.
        order = range(folds) if number % 2 == 0 else range(folds - 1, -1, -1)
        for fold, name in zip(order, row, strict=False):
            dealt[fold].append(name)
    return dealt


def _genuine(members: Mapping[str, list[str]], count: int, rng: np.random.Generator) -> list[NamedPair]:
    queues = []
    names = [name for name in sorted(members) if len(members[name]) > 1]
    for place in rng.permutation(len(names)):
        images = members[names[place]]
        first, second = np.triu_indices(len(images), 1)
        # No person gives more than `count`, and those with thousands of images have millions of pairs.
        order = rng.permutation(len(first))[:count]
        queues.append([(images[first[n]], images[second[n]]) for n in order])
    drawn: list[NamedPair] = []
    turn = 0
    while len(drawn) < count:
        for queue in queues:
            if turn < len(queue) and len(drawn) < count:
                drawn.append(NamedPair(*queue[turn], True))
        turn += 1
    return drawn


def _impostor(
    members: Mapping[str, list[str]], count: int, available: int, rng: np.random.Generator
) -> list[NamedPair]:
    names = sorted(members)
    if available <= 4 * count:  # so few that drawing would meet the same ones again and again
        everything = [
            (one, other)
            for place, first in enumerate(names)
            for second in names[place + 1 :]
            for one in members[first]
            for other in members[second]
        ]
        chosen = [everything[n] for n in rng.permutation(len(everything))[:count]]
        return [NamedPair(one, other, False) for one, other in chosen]
    drawn: dict[tuple[str, str], None] = {}
    attempts = 0
    while len(drawn) < count:
        one, other = sorted(rng.choice(len(names), 2, replace=False))
        first, second = members[names[one]], members[names[other]]
        drawn[first[rng.integers(len(first))], second[rng.integers(len(second))]] = None
        attempts += 1
        if attempts > 1000 * count:
            raise InputError(
                "nearly all pairs of different people are of a few people with many images; "
                f"ask for fewer than {count:,}."
            )
    return [NamedPair(first, second, False) for first, second in drawn]
