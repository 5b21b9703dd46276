"""Operating points: the threshold lets at most the stated share of strangers pass, and no smaller one does."""

import numpy as np
import pytest
import torch

from vec2face.contracts import InputContract
from vec2face.data.facepack import WHOLE_IMAGE, FacePack
from vec2face.errors import InputError
from vec2face.evaluation.operating_points import operating_points
from vec2face.models.embedders.base import FaceEmbedder


class CornerEmbedder(FaceEmbedder):
    """Reads the vector from the first pixels of the image."""

    name, dim, contract = "corner", 12, InputContract()

    def forward_contract(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels[:, :, 0, :4].reshape(len(pixels), 12)


def make_pack(people: int) -> FacePack:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2 * people, 112, 112, 3)).astype(np.uint8)
    groups = tuple(f"person{i // 2}" for i in range(2 * people))
    valid = np.repeat(WHOLE_IMAGE[None], 2 * people, axis=0)
    return FacePack(images, None, valid, groups, groups, np.zeros(2 * people, bool), {})


def test_thresholds_equal_a_naive_search():
    faces = make_pack(60)
    found = operating_points(CornerEmbedder(), faces)
    assert (found.people, found.pairs) == (60, 1770)
    vectors = faces.images[::2, 0, :4].astype(np.float64) / 127.5 - 1
    # The embedder reads colour by colour.
    vectors = vectors.transpose(0, 2, 1).reshape(60, 12)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = [float(vectors[i] @ vectors[j]) for i in range(60) for j in range(i)]
    threshold = found.thresholds["fmr_1e-2"]
    assert sum(s >= threshold for s in scores) <= 17
    assert sum(s >= threshold - 1e-5 for s in scores) >= 17
    assert "fmr_1e-4" not in found.thresholds, "too few pairs to measure it"


def test_too_few_people_are_refused():
    with pytest.raises(InputError, match="names 5 people"):
        operating_points(CornerEmbedder(), make_pack(5))
