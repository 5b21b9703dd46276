"""Faces become vectors one by one; faces of one name become their mean."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vec2face.contracts import InputContract
from vec2face.errors import InputError
from vec2face.identities.references import bank_from_faces
from vec2face.models.embedders.base import FaceEmbedder

RNG = np.random.default_rng(0)
FACES = [RNG.integers(0, 256, (112, 112, 3), dtype=np.uint8) for _ in range(4)]


class ChannelMeans(FaceEmbedder):
    """The mean of each colour and the top left pixel: 6 features."""

    name = "channel-means"
    dim = 6
    contract = InputContract()

    def forward_contract(self, pixels: Tensor) -> Tensor:
        assert len(pixels) == 1
        return torch.cat([pixels.mean(dim=(2, 3)), pixels[:, :, 0, 0]], dim=1)


def features(face: np.ndarray) -> np.ndarray:
    scaled = face.astype(np.float64) / 127.5 - 1
    return np.concatenate([scaled.mean(axis=(0, 1)), scaled[0, 0]])


def test_every_face_gives_its_own_vector() -> None:
    seen: list[tuple[int, int]] = []
    bank = bank_from_faces(["d", "a", "c", "b"], FACES, ChannelMeans(), progress=lambda *step: seen.append(step))
    np.testing.assert_allclose(bank.vectors, [features(face) for face in FACES], atol=1e-5)
    assert bank.ids == ("d", "a", "c", "b")
    assert bank.provenance == {"source": "photographs", "feature_space": "channel-means", "photographs": 4}
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_vector_does_not_depend_on_the_other_faces() -> None:
    together = bank_from_faces(["a", "b", "c", "d"], FACES, ChannelMeans())
    alone = bank_from_faces(["c"], FACES[2:3], ChannelMeans())
    np.testing.assert_array_equal(alone.vectors[0], together.vectors[2])


def test_faces_of_one_name_become_the_mean_of_their_raw_vectors() -> None:
    bank = bank_from_faces(["ann", "bob", "ann", "ann"], FACES, ChannelMeans())
    assert bank.ids == ("ann", "bob")
    expected = np.mean([features(FACES[index]) for index in (0, 2, 3)], axis=0)
    np.testing.assert_allclose(bank.vectors, [expected, features(FACES[1])], atol=1e-5)


def test_no_faces_are_refused() -> None:
    with pytest.raises(InputError, match="no faces"):
        bank_from_faces([], [], ChannelMeans())
