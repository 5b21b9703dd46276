"""Hashes that hardly change with a picture's encoding, and pairs that are those of all comparisons."""

import numpy as np
import pytest

from vec2face.evaluation import perceptual_hash
from vec2face.evaluation.embeddings import EmbeddedImages
from vec2face.evaluation.near_duplicates import (
    NEAR_BITS,
    NEAR_COSINE,
    NEAR_THUMBNAIL,
    RELIT_BITS,
    RELIT_COSINE,
    RELIT_THUMBNAIL,
    find_near_duplicates,
)
from vec2face.evaluation.perceptual_hash import (
    close_pairs,
    distances,
    hash_images,
    relit_distances,
    thumbnail_distances,
    thumbnails,
)
from vec2face.evaluation.traits import Traits
from vec2face.fileio.images import decode_image, encode_image
from vec2face.identities.tables import usable_kinds
from vec2face.progress import SilentProgress


def recoded(picture, quality):
    return decode_image(encode_image(picture, format="jpeg", quality=quality), where="test")


@pytest.fixture
def pictures():
    """Smooth random pictures: noise of 14x14, enlarged."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 14, 14, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def test_recompressed_relit_and_mirrored_pictures_hash_alike_and_others_do_not(pictures):
    plain, mirrored = hash_images(pictures)
    again, _ = hash_images(np.stack([recoded(picture, 50) for picture in pictures]))
    assert distances(plain, again).max() <= 4
    darker, _ = hash_images((pictures * 0.8).astype(np.uint8))
    assert distances(plain, darker).max() <= 4
    flipped, back = hash_images(np.ascontiguousarray(pictures[:, :, ::-1]))
    assert (flipped == mirrored).all()
    assert (back == plain).all()
    others = distances(plain[:, None], plain[None])[~np.eye(12, dtype=bool)]
    assert others.min() > 12


@pytest.mark.parametrize("kind", usable_kinds(64))
def test_close_pairs_are_those_of_all_comparisons(monkeypatch, kind):
    made = perceptual_hash.CoarseUnits

    class Fixed(made):
        @classmethod
        def of(cls, vectors):
            return made.of(vectors, kind=kind)

    monkeypatch.setattr(perceptual_hash, "CoarseUnits", Fixed)
    monkeypatch.setattr(perceptual_hash, "_ROWS", 16)
    monkeypatch.setattr(perceptual_hash, "_COLUMNS", 24)
    rng = np.random.default_rng(1)
    hashes, mirrored = rng.integers(0, 2**64, (2, 60), dtype=np.uint64)
    hashes[50], mirrored[20] = hashes[3] ^ np.uint64(0b1011), hashes[44]
    found = [np.stack(block) for block in close_pairs(hashes, mirrored, bits=22)]
    pairs = sorted(map(tuple, np.concatenate(found, axis=1).T.tolist()))
    expected = []
    for i in range(60):
        for j in range(i + 1, 60):
            bits = min((int(hashes[i]) ^ int(hashes[j])).bit_count(), (int(mirrored[i]) ^ int(hashes[j])).bit_count())
            if bits <= 22:
                expected.append((i, j, bits))
    assert pairs == expected
    assert (3, 50, 3) in pairs
    assert (20, 44, 0) in pairs


def traits_of(pictures, **changed):
    plain, mirrored = hash_images(pictures)
    given = {"hashes": plain, "mirrored": mirrored, "thumbnails": thumbnails(pictures)}
    return Traits(**given | changed, values={}, units={}, errors={}, misjudged={})


def test_a_pair_needs_a_near_hash_a_near_thumbnail_and_a_near_embedding(pictures):
    again = {5: recoded(pictures[1], 30), 7: pictures[2][:, ::-1], 9: pictures[3]}
    again[11] = np.clip(pictures[4].astype(int) + (np.arange(112) < 56)[:, None, None] * 60, 0, 255)  # another light
    for place, picture in again.items():
        pictures[place] = picture
    vectors = np.eye(12, 16, dtype=np.float32)
    vectors[5], vectors[7], vectors[11] = vectors[1] * 2, vectors[2] + 0.1 * vectors[3], vectors[4]
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2], np.int32)
    embedded = EmbeddedImages(vectors, np.arange(12), labels, np.arange(12), np.zeros(12), np.zeros(12, np.int64))
    hashes, _ = hash_images(pictures)
    hashes[11] = hashes[4]
    found = find_near_duplicates(embedded, traits_of(pictures, hashes=hashes), progress=SilentProgress())
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert pairs == {(1, 5), (2, 7)}  # 9 has another embedding, 11 another light
    assert found.across.tolist() == [True, True]
    assert np.flatnonzero(found.surplus).tolist() == [5, 7]
    assert (found.cosine >= NEAR_COSINE).all()
    assert (found.bits <= NEAR_BITS).all()
    assert found.facts()["images"] == 4


def test_a_grey_or_much_brighter_copy_is_one_where_hash_and_embedding_are_sure(pictures):
    grey = pictures[1] @ np.array([0.299, 0.587, 0.114])
    pictures[5] = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    pictures[7] = (pictures[2] * 0.6).astype(np.uint8)
    pictures[9], pictures[11] = pictures[7], pictures[5][:, ::-1]
    hashes, mirrored = hash_images(pictures)
    labels = np.zeros(12, np.int32)
    apart = thumbnail_distances(thumbnails(pictures[[1, 2]]), thumbnails(pictures[[5, 7]]))
    assert apart.min() > NEAR_THUMBNAIL

    def found(cosine, bits):
        vectors = np.eye(12, 24, dtype=np.float32)
        for one, other in ((5, 1), (7, 2)):
            vectors[other, 12 + other] = np.sqrt(1 / cosine**2 - 1)  # at that cosine to its copy
            vectors[one] = np.eye(12, 24)[other]
        changed = hashes.copy()
        changed[[5, 7]] ^= np.uint64((1 << bits) - 1)
        embedded = EmbeddedImages(vectors, np.arange(12), labels, np.arange(12), np.zeros(12), np.zeros(12, np.int64))
        traits = traits_of(pictures, hashes=changed, mirrored=mirrored)
        pairs = find_near_duplicates(embedded, traits, progress=SilentProgress())
        return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))

    differing = distances(hashes[[1, 2]], hashes[[5, 7]])
    assert differing.max() <= 2
    assert found(RELIT_COSINE + 0.01, 0) == {(1, 5), (2, 7)}
    assert found(RELIT_COSINE - 0.01, 0) == set()
    assert found(RELIT_COSINE + 0.01, RELIT_BITS + 3) == set()


def test_without_pairs_there_is_nothing(pictures):
    embedded = EmbeddedImages(
        np.eye(12, dtype=np.float32), np.arange(12), np.arange(12), np.arange(12), np.zeros(12), np.zeros(12, np.int64)
    )
    found = find_near_duplicates(embedded, traits_of(pictures), progress=SilentProgress())
    assert found.facts()["pairs"] == 0
    assert len(found.first) == 0


def test_relit_distances_forgive_colour_gain_and_mirroring_and_nothing_else(pictures):
    small = thumbnails(pictures)
    grey = np.repeat((small @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=3)
    assert relit_distances(small, np.round(grey).astype(np.uint8)).max() < 1e-3
    assert relit_distances(small, np.round(small * 0.5 + 20).astype(np.uint8)).max() < 1e-3
    assert relit_distances(small, np.ascontiguousarray(small[:, :, ::-1])).max() < 1e-9
    assert relit_distances(small[:-1], small[1:]).min() > 0.2
    slope = np.clip(small + np.linspace(-60, 60, 8)[:, None, None], 0, 255).astype(np.uint8)  # light from below
    assert relit_distances(small, slope).min() > RELIT_THUMBNAIL
    flat = np.full_like(small, 99)
    assert relit_distances(small, flat) == pytest.approx(np.ones(len(small)))


def test_thumbnails_forgive_brightness_and_mirroring_and_nothing_else(pictures):
    small = thumbnails(pictures)
    assert thumbnail_distances(small, thumbnails(np.ascontiguousarray(pictures[:, :, ::-1]))).max() < 1e-9
    darker = (small * 0.5 + 20).astype(np.uint8)
    assert thumbnail_distances(small, np.clip(small.astype(int) + 9, 0, 255).astype(np.uint8)).max() < 3
    assert thumbnail_distances(small, darker).min() > NEAR_THUMBNAIL
    assert thumbnail_distances(small[:-1], small[1:]).min() > NEAR_THUMBNAIL
