"""The appearance code while training: drawn from the encoder's normal, or from the prior."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tests.networks import tiny_generator
from vec2face.data.facepack import FacePack
from vec2face.training.appearance import AWAY_FROM_PADDED, divergence_loss, draw_appearance, fit_appearance
from vec2face.training.batches import read_batch


def test_the_divergence_is_that_of_torchs_distributions_over_the_counted_images() -> None:
    draws = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(3, 5, generator=draws), torch.randn(3, 5, generator=draws)
    counted = torch.tensor([1.0, 0.0, 1.0])
    nats = [
        sum(
            float(kl_divergence(Normal(float(m), math.exp(0.5 * float(v))), Normal(0.0, 1.0)))
            for m, v in zip(mean[row], log_variance[row], strict=True)
        )
        for row in (0, 2)
    ]
    assert float(divergence_loss(mean, log_variance, counted)) == pytest.approx(sum(nats) / 2, rel=1e-5)
    assert float(divergence_loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2))) == 0
    assert float(divergence_loss(mean, log_variance, torch.zeros(3))) == 0


def test_a_row_without_a_picture_borrows_the_code_of_the_picture_at_its_place_and_trains_no_encoder() -> None:
    network = tiny_generator(feature_dim=8, appearance_dim=4)
    torch.manual_seed(0)
    images, valid = torch.rand(2, 3, 112, 112), torch.ones(2, 1, 112, 112)
    noise = torch.randn(2, 4)
    codes, loss = draw_appearance(network, images, valid, torch.tensor([1.0, 0.0]).view(2, 1, 1, 1), noise)
    mean, log_variance = network.encode_appearance(images, valid)
    assert torch.allclose(codes, mean + torch.exp(0.5 * log_variance) * noise)
    assert float(loss.detach()) == pytest.approx(
        float(divergence_loss(mean[:1].detach(), log_variance[:1].detach(), torch.ones(1))), rel=1e-5
    )
    weights = [network.appearance_encoder.head.weight]
    (own,) = torch.autograd.grad(codes[0].sum(), weights, retain_graph=True)
    (borrowed,) = torch.autograd.grad(codes[1].sum(), weights)
    assert float(own.abs().max()) > 0
    assert float(borrowed.abs().max()) == 0


def test_the_fitted_distribution_is_that_of_the_codes_of_training_faces(pack: Path) -> None:
    network = tiny_generator(feature_dim=8, appearance_dim=3).eval()
    faces = FacePack.load(pack)
    fit_appearance(network, faces)
    rows = np.flatnonzero(~faces.holdout)
    valid = torch.ones(len(rows), 1, 112, 112)
    with torch.no_grad():
        sides = [
            network.encode_appearance(read_batch(faces, rows, np.full(len(rows), side)).images, valid)
            for side in (False, True)
        ]
    means = torch.cat([mean for mean, _ in sides]).double()
    variances = torch.cat([log_variance for _, log_variance in sides]).double().exp()
    assert torch.allclose(network.appearance.mean.double(), means.mean(0), atol=1e-5)
    expected = np.cov(means.numpy(), rowvar=False) + np.diag(variances.mean(0).numpy())
    found = (network.appearance.factor @ network.appearance.factor.T).double().numpy()
    assert np.allclose(found, expected, atol=1e-4)


def test_drawn_looks_keep_away_from_those_of_padded_crops(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_generator(feature_dim=8, appearance_dim=3).eval()
    faces = FacePack.load(pack)
    rows = np.flatnonzero(~faces.holdout)
    padded = rows[: len(rows) // 2]
    whole = np.setdiff1d(rows, padded)
    monkeypatch.setattr("vec2face.training.whole_faces.FEWEST_FACES", 1)
    monkeypatch.setattr("vec2face.training.appearance.FEWEST_FACES", 1)
    monkeypatch.setattr(FacePack, "whole", property(lambda self: np.isin(np.arange(len(self.images)), whole)))
    fit_appearance(network, faces)

    def mean_code(chosen: np.ndarray) -> torch.Tensor:
        images = torch.cat([read_batch(faces, chosen, np.full(len(chosen), side)).images for side in (False, True)])
        with torch.no_grad():
            return network.encode_appearance(images, torch.ones(len(images), 1, 112, 112))[0].double().mean(0)

    expected = mean_code(whole) + AWAY_FROM_PADDED * (mean_code(whole) - mean_code(padded))
    assert torch.allclose(network.appearance.mean.double(), expected, atol=1e-5)
