"""Pictures that a dataset holds twice, or nearly: near perceptual hashes, thumbnails and embeddings, all three.

Each alone is too coarse. Aligned faces resemble each other in their low frequencies, a person's pictures may differ in
light and colour alone, and two photographs of a person may be close for a recogniser. The same picture, recompressed,
resized, a little brighter or mirrored, is close for all. Where hash and embedding are surer, the thumbnails' colour and
gain do not count.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.cross_search import cosines_of_pairs
from vec2face.evaluation.embeddings import EmbeddedImages
from vec2face.evaluation.perceptual_hash import BITS, close_pairs, relit_distances, thumbnail_distances
from vec2face.evaluation.traits import Traits
from vec2face.progress import ProgressReporter

# Conventions: two photographs of LFW differ in 28 of 64 bits (median of 44,850 pairs of 300 images, none in 8 or
# fewer); the same one as JPEG of quality 20 in up to 4, at a cosine of 0.86 or more by the embedded recogniser.
# Thumbnails of the same picture at 0.8 of its brightness differ by up to 14 grey levels, at JPEG quality 20 by 3.
NEAR_BITS = 8
NEAR_COSINE = 0.8
NEAR_THUMBNAIL = 14.0
# A copy without its colour or at 0.6 of its brightness has a far thumbnail; where hashes and embeddings are surer,
# lumas are compared whatever their gain (docs/decisions.md). Of 100 photographs of LFW grey copies are at 0.0002 at
# most, 99 of those at 1.3 of the brightness, whose lights are burnt out, within 0.026.
RELIT_BITS = 4
RELIT_COSINE = 0.95
RELIT_THUMBNAIL = 0.03
LISTED = 16
_MOST_KEPT = 100_000  # pairs held in memory; all are counted
_PAIRS = 65_536


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of measured images (positions in an `EmbeddedImages`) that are nearly the same picture.

    Attributes:
        first, second: (P,) positions, first < second; the closest first.
        bits: (P,) bits in which the hashes differ.
        cosine: (P,) of the embeddings.
        across: (P,) bool, whether the two carry different labels.
        count, count_across: all pairs, also beyond those that are held.
        images: (M,) bool, images with a near duplicate.
        surplus: (M,) bool, images that would have to go so that none is left: the later ones of each pair.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    bits: NDArray[np.int64]
    cosine: NDArray[np.float64]
    across: NDArray[np.bool_]
    count: int
    count_across: int
    images: NDArray[np.bool_]
    surplus: NDArray[np.bool_]

    def facts(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "bits": NEAR_BITS,
            "of_bits": BITS,
            "cosine": NEAR_COSINE,
            "thumbnail": NEAR_THUMBNAIL,
            "relit": {"bits": RELIT_BITS, "cosine": RELIT_COSINE, "thumbnail": RELIT_THUMBNAIL},
            "pairs": self.count,
            "pairs_across_identities": self.count_across,
            "images": int(self.images.sum()),
            "surplus_share": float(self.surplus.mean()),
        }


def find_near_duplicates(embedded: EmbeddedImages, traits: Traits, *, progress: ProgressReporter) -> NearDuplicates:
    """Compare all measured images with each other, exactly.

    Args:
        embedded: the images, M of them.
        traits: of the same images.
        progress: receives the stage.
    """
    progress.begin("looking for near duplicates", total=len(embedded), unit="images")
    images, surplus = np.zeros(len(embedded), bool), np.zeros(len(embedded), bool)
    kept: list[NDArray] = []
    count = across = held = 0
    for first, second, bits in close_pairs(traits.hashes, traits.mirrored, bits=NEAR_BITS, on_rows=progress.advance):
        for start in range(0, len(first), _PAIRS):
            block = slice(start, start + _PAIRS)
            a, b = first[block], second[block]
            cosines = cosines_of_pairs(embedded.gather(a), embedded.gather(b))
            thumbnails = traits.thumbnails[a], traits.thumbnails[b]
            near = (cosines >= NEAR_COSINE) & (thumbnail_distances(*thumbnails) <= NEAR_THUMBNAIL)
            sure = (bits[block] <= RELIT_BITS) & (cosines >= RELIT_COSINE)
            near[sure] |= relit_distances(*(one[sure] for one in thumbnails)) <= RELIT_THUMBNAIL
            a, b, cosines, differing = a[near], b[near], cosines[near], bits[block][near]
            other = embedded.identity[a] != embedded.identity[b]
            images[a], images[b], surplus[b] = True, True, True
            count, across = count + len(a), across + int(other.sum())
            if held < _MOST_KEPT and len(a):
                kept.append(np.stack([a, b, differing, cosines, other]))
                held += len(a)
    table = np.concatenate(kept, axis=1) if kept else np.empty((5, 0))
    table = table[:, np.lexsort((table[1], table[0], -table[3], table[2], -table[4]))]
    return NearDuplicates(
        first=table[0].astype(np.int64),
        second=table[1].astype(np.int64),
        bits=table[2].astype(np.int64),
        cosine=table[3],
        across=table[4].astype(bool),
        count=count,
        count_across=across,
        images=images,
        surplus=surplus,
    )
