"""Damaged pictures: faults, and the quality that a teacher's eyes give them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vec2face.data.facepack import FacePack
from vec2face.errors import ContractError, DatasetError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.training.degrade import FAULTS, degrade
from vec2face.training.degraded_faces import DegradedFaces, clear_faces


def with_features(pack: Path, embedder: FaceEmbedder) -> FacePack:
    """Store an embedder's own embeddings in a pack."""
    faces = FacePack.load(pack)
    images = torch.from_numpy(np.array(faces.images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    both = torch.stack([embedder.embed(images), embedder.embed(images.flip(3))], dim=1)
    np.save(pack / "features.npy", both.numpy().astype(np.float16))
    return FacePack.load(pack)


def damaged(faces: FacePack, count: int = 40, purpose: str = "training") -> DegradedFaces:
    return DegradedFaces(faces, np.arange(len(faces.names)), count=count, seed=3, purpose=purpose)


def nothing(done: int, new: int) -> None:
    pass


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_changes_the_picture_and_nothing_else(fault: object) -> None:
    pixels = np.random.default_rng(0).integers(40, 200, (112, 112, 3)).astype(np.uint8)
    before = pixels.copy()
    rng = np.random.default_rng(1)
    for _ in range(6):
        found = fault(pixels.copy(), rng)  # type: ignore[operator]
        assert found.shape == pixels.shape
        assert found.dtype == np.uint8
        assert (found != pixels).any()
    degrade(pixels, rng)
    assert np.array_equal(pixels, before)


def test_pictures_depend_on_their_number_and_purpose_alone(pack: Path) -> None:
    faces = FacePack.load(pack)
    many, rows, mirrored = damaged(faces).pictures(np.arange(8))
    one, row, flip = damaged(faces).pictures(np.array([5]))
    assert torch.equal(many[5], one[0])
    assert (rows[5], mirrored[5]) == (row[0], flip[0])
    assert not torch.equal(many, damaged(faces, purpose="held-out").pictures(np.arange(8))[0])


def test_quality_is_the_cosine_to_the_picture_before(
    pack: Path, tmp_path: Path, pattern_embedders: dict[str, FaceEmbedder]
) -> None:
    teacher = pattern_embedders["pattern"]
    faces = with_features(pack, teacher)
    pictures = damaged(faces)
    pictures.label(teacher, tmp_path / "q.npz", precision=torch.float32, on_image=nothing)
    images, rows, mirrored = pictures.pictures(np.arange(pictures.count))
    for index in range(pictures.count):
        whole = faces.images[rows[index]][:, ::-1] if mirrored[index] else faces.images[rows[index]]
        clean = teacher.embed(torch.from_numpy(np.array(whole)).permute(2, 0, 1)[None].float() / 127.5 - 1)[0].numpy()
        seen = teacher.embed(images[index : index + 1])[0].numpy()
        cosine = float(seen @ clean / np.linalg.norm(seen) / np.linalg.norm(clean))
        assert pictures.quality[index] == pytest.approx(100 * max(cosine, 0), abs=0.2)
    again = damaged(faces)
    again.label(pattern_embedders["mixed"], tmp_path / "q.npz", precision=torch.float32, on_image=nothing)
    assert np.array_equal(again.quality, pictures.quality)
    with pytest.raises(DatasetError, match="holds the quality of other pictures"):
        damaged(faces, count=41).label(teacher, tmp_path / "q.npz", precision=torch.float32, on_image=nothing)


def test_a_teacher_that_did_not_make_the_features_is_refused(
    pack: Path, tmp_path: Path, pattern_embedders: dict[str, FaceEmbedder]
) -> None:
    faces = with_features(pack, pattern_embedders["pattern"])
    np.save(pack / "features.npy", np.asarray(faces.features)[:, :, ::-1].copy())
    with pytest.raises(ContractError, match="gives other embeddings than the face pack holds"):
        damaged(FacePack.load(pack)).label(
            pattern_embedders["pattern"], tmp_path / "q.npz", precision=torch.float32, on_image=nothing
        )
    with pytest.raises(ContractError, match="48"):
        damaged(faces).label(pattern_embedders["mixed"], tmp_path / "q.npz", precision=torch.float32, on_image=nothing)


def test_clear_faces_are_those_of_long_embeddings(pack: Path) -> None:
    faces = FacePack.load(pack)
    rows = np.arange(1, len(faces.names))
    lengths = np.linalg.norm(np.asarray(faces.features, np.float32), axis=2).mean(axis=1)
    kept = clear_faces(faces, rows, share=0.4)
    assert 0 < len(kept) < len(rows)
    assert lengths[kept].min() > lengths[np.setdiff1d(rows, kept)].max()
