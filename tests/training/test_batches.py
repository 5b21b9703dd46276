"""Batches depend on their step alone; mirroring moves pixels, corners and features together."""

from pathlib import Path

import numpy as np
import torch

from vec2face.data.facepack import FacePack
from vec2face.training.augment import AugmentStrength, augment
from vec2face.training.batches import BatchStream, read_batch
from vec2face.training.portion import whole_step


def test_a_batch_depends_on_its_step_alone(pack: Path):
    faces = FacePack.load(pack)
    rows = np.flatnonzero(~faces.holdout)
    one, two = (BatchStream(faces, rows, batch_size=3, seed=5) for _ in range(2))
    in_order = [one.read(whole_step(step, 3)) for step in range(6)]
    late = two.read(whole_step(4, 3))
    assert np.array_equal(late.rows, in_order[4].rows)
    assert torch.equal(late.images, in_order[4].images)


def test_a_pass_shows_every_face_once(pack: Path):
    faces = FacePack.load(pack)
    rows = np.flatnonzero(~faces.holdout)
    stream = BatchStream(faces, rows, batch_size=len(rows), seed=5)
    for step in range(3):
        assert sorted(stream.read(whole_step(step, len(rows))).rows.tolist()) == rows.tolist()
    assert stream.read(whole_step(3, len(rows))).rows.tolist() != stream.read(whole_step(4, len(rows))).rows.tolist()


def test_mirroring_moves_pixels_corners_and_features(pack: Path):
    faces = FacePack.load(pack)
    rows = np.array([0, 1])
    plain, mirrored = read_batch(faces, rows, np.array([False, False])), read_batch(faces, rows, np.array([True, True]))
    assert torch.equal(mirrored.images, plain.images.flip(3))
    stored = faces.require_features()
    assert np.allclose(mirrored.require_features(), np.asarray(stored[rows, 1], np.float32))
    assert torch.equal(plain.valid, mirrored.valid), "a whole image stays whole, its corners in clockwise order"
    assert plain.images.min() >= -1
    assert plain.images.max() <= 1


def test_no_strength_changes_nothing_and_gradients_flow():
    images = (torch.rand(3, 3, 32, 32) * 2 - 1).requires_grad_()
    nothing = AugmentStrength(0, 0, 0, 0, 0)
    same = augment(images, nothing, torch.Generator().manual_seed(0))
    assert torch.allclose(same, images, atol=1e-5)
    strong = AugmentStrength(4, 0.1, 10, 0.3, 1.0, 0.1)
    changed = augment(images, strong, torch.Generator().manual_seed(0))
    again = augment(images, strong, torch.Generator().manual_seed(0))
    assert torch.equal(changed, again)
    assert (changed - images).abs().mean() > 0.1
    changed.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_a_shift_moves_the_picture_by_whole_pixels_at_most():
    images = torch.zeros(64, 3, 32, 32)
    images[:, :, 16, 16] = 1.0
    moved = augment(images, AugmentStrength(3, 0, 0, 0, 0), torch.Generator().manual_seed(0))
    coordinates = torch.arange(32.0)
    x = (moved[:, 0].sum(1) * coordinates).sum(1) / moved[:, 0].sum((1, 2))
    assert (x - 16).abs().max() <= 3.01
    assert (x - 16).abs().max() > 1
