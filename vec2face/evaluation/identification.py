"""Closed-set identification: is the person of a probe first, or among the first, in a gallery with strangers in it?

As in TinyFace's protocol: every gallery image stands for itself, images are compared by cosine, and the rank of a probe
is that of its person's best gallery image. The search is exact, block by block, so that memory stays flat.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError
from vec2face.evaluation.verification import unit_rows
from vec2face.progress import ProgressReporter, SilentProgress

RANKS = (1, 5, 10, 20)
# Cosines of one block of probes with one block of the gallery: 16 MB.
_PROBES, _GALLERY = 256, 8192
NOBODY = -1


@dataclass(frozen=True)
class Identification:
    """Ranks of the probes.

    Attributes:
        ranks: (P,) rank of each probe's person, 1 is best; a stranger's image of equal cosine stands before.
        best: (P,) position of the nearest gallery image.
    """

    ranks: NDArray[np.int64]
    best: NDArray[np.int64]

    def rate(self, rank: int) -> float:
        """Share of the probes whose person is among the first `rank` images."""
        return float((self.ranks <= rank).mean())

    def cmc(self, depth: int) -> NDArray[np.float64]:
        """Cumulative match characteristic: `rate` at ranks 1 to `depth`."""
        counts = np.bincount(np.minimum(self.ranks, depth + 1), minlength=depth + 2)
        return np.cumsum(counts[1 : depth + 1]) / len(self.ranks)


def identify(
    probes: NDArray[np.floating],
    probe_people: NDArray[np.integer],
    gallery: NDArray[np.floating],
    gallery_people: NDArray[np.integer],
    *,
    progress: ProgressReporter | None = None,
) -> Identification:
    """Rank every probe's person in the gallery.

    Args:
        probes: (P, D) raw embeddings.
        probe_people: (P,) number of each probe's person.
        gallery: (G, D) raw embeddings, distractors among them.
        gallery_people: (G,) numbers; `NOBODY` for a distractor.

    Raises:
        InputError: widths differ, there is nothing to compare, or a probe's person is not in the gallery.
    """
    if not len(probes) or not len(gallery):
        raise InputError(
            f"identification needs probes and a gallery, but there are {len(probes)} and {len(gallery)} images."
        )
    if probes.shape[1] != gallery.shape[1]:
        raise InputError(
            f"the probes' embeddings have width {probes.shape[1]}, the gallery's {gallery.shape[1]}; "
            "both must come from one network."
        )
    absent = ~np.isin(probe_people, gallery_people[gallery_people != NOBODY])
    if absent.any():
        raise InputError(
            f"{int(absent.sum()):,} of the {len(probes):,} probes show people who are not in the gallery, the first is "
            f"probe {int(np.argmax(absent))}; in closed-set identification everybody is."
        )
    progress = progress or SilentProgress()
    progress.begin("searching the gallery", total=len(probes), unit="probes")
    whole = unit_rows(gallery).astype(np.float32)
    ranks, best = np.empty(len(probes), np.int64), np.empty(len(probes), np.int64)
    for start in range(0, len(probes), _PROBES):
        block = slice(start, start + _PROBES)
        vectors, people = unit_rows(probes[block]).astype(np.float32), probe_people[block]
        ranks[block], best[block] = _search(vectors, people, whole, gallery_people)
        progress.advance(len(people))
    return Identification(ranks, best)


def _search(
    vectors: NDArray[np.float32],
    people: NDArray[np.integer],
    gallery: NDArray[np.float32],
    gallery_people: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    count = len(vectors)
    mate, top = np.full(count, -np.inf, np.float32), np.full(count, -np.inf, np.float32)
    best = np.zeros(count, np.int64)
    blocks = [slice(start, start + _GALLERY) for start in range(0, len(gallery), _GALLERY)]
    # Two passes: how near the own person comes, then how many strangers come as near.
    for block in blocks:
        cosines = vectors @ gallery[block].T
        own = people[:, None] == gallery_people[block][None]
        mate = np.maximum(mate, np.where(own, cosines, -np.inf).max(axis=1))
        places = cosines.argmax(axis=1)
        values = cosines[np.arange(count), places]
        nearer = values > top
        best[nearer], top[nearer] = places[nearer] + block.start, values[nearer]
    ahead = np.zeros(count, np.int64)
    for block in blocks:
        cosines = vectors @ gallery[block].T
        own = people[:, None] == gallery_people[block][None]
        ahead += ((cosines >= mate[:, None]) & ~own).sum(axis=1)
    return 1 + ahead, best
