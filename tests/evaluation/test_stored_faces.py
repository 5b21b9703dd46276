"""Stored embeddings say whose they are and by which embedder, and are not taken for another's."""

import numpy as np
import pytest

from vec2face.errors import ContractError, InputError
from vec2face.evaluation.face_sets import ForeignSet
from vec2face.evaluation.references import Reference
from vec2face.evaluation.stored_faces import UNKNOWN, load_faces, may_hold_faces, store_faces
from vec2face.fileio.images import encode_image
from vec2face.progress import SilentProgress

SHA256 = "a" * 64


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for person in ("ann", "bea"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(28, 0).repeat(28, 1)
            (tmp_path / "photos" / person / f"{number}.png").write_bytes(encode_image(pixels, format="png"))
    return tmp_path / "photos"


def store(photos, embedder, out, sha256=SHA256):
    return store_faces(
        ForeignSet(str(photos), report=out),
        embedder,
        sha256=sha256,
        folder=out,
        name="photos",
        batch_size=4,
        progress=SilentProgress(),
    )


class Counting:
    def __init__(self, inner):
        self.inner, self.name, self.dim, self.images = inner, inner.name, inner.dim, 0

    def embed(self, images):
        self.images += len(images)
        return self.inner.embed(images)


def test_images_mirror_images_keys_and_people_are_stored(photos, tmp_path, pattern_embedders):
    embedder = Counting(pattern_embedders["pattern"])
    found = store(photos, embedder, tmp_path / "out")
    assert embedder.images == 12
    assert found.keys == tuple(f"{person}/{number}.png" for person in ("ann", "bea") for number in range(3))
    assert (found.people.tolist(), found.names) == ([0, 0, 0, 1, 1, 1], ("ann", "bea"))
    tiles = found.plain.reshape(6, 3, 4, 4)
    np.testing.assert_allclose(found.both.reshape(6, 3, 4, 4), tiles + tiles[..., ::-1], atol=1e-6)
    again = store(photos, embedder, tmp_path / "out")
    assert embedder.images == 12
    np.testing.assert_array_equal(again.both, found.both)
    assert found.person_of(4) == "bea"


def test_another_embedders_vectors_are_refused(photos, tmp_path, pattern_embedders):
    store(photos, pattern_embedders["pattern"], tmp_path / "out")
    with pytest.raises(ContractError, match=r"holds vectors of pattern-48 \(aaaaaaaaaaaa\), not of mixed"):
        load_faces(tmp_path / "out", name="mixed", sha256="b" * 64, width=36)


def test_bare_arrays_name_nobody(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((5, 2, 8)).astype(np.float32)
    np.save(tmp_path / "both.npy", vectors)
    found = load_faces(tmp_path / "both.npy", name="x", sha256=SHA256, width=8)
    np.testing.assert_allclose(found.both, vectors.sum(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(found.plain, vectors[:, 0])
    assert (found.people == UNKNOWN).all()
    assert found.person_of(0) == ""
    with pytest.raises(ContractError, match="width 8, but those of x have 9"):
        load_faces(tmp_path / "both.npy", name="x", sha256=SHA256, width=9)


def test_damage_and_wrong_places_are_told(photos, tmp_path, pattern_embedders):
    store(photos, pattern_embedders["pattern"], tmp_path / "out")
    (tmp_path / "out" / "faces.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no readable embeddings"):
        load_faces(tmp_path / "out", name="x", sha256=SHA256, width=48)
    assert may_hold_faces(tmp_path / "new")
    assert may_hold_faces(tmp_path / "out")
    assert not may_hold_faces(photos)
    with pytest.raises(InputError, match=r"no file of embeddings .*absent\.npy"):
        Reference(str(tmp_path / "absent.npy"), cache=tmp_path)
