"""Each loss against a slow, obvious version or a case with a known answer."""

import math

import pytest
import torch

from vec2face.training import losses


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(1)
    fake = torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1
    real = torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1
    valid = (torch.rand(2, 1, 16, 16, generator=generator) > 0.3).float()
    return fake, real, valid


def test_pixel_losses_equal_loops(pictures):
    fake, real, valid = pictures
    squares, absolutes, count = 0.0, 0.0, 0
    for b in range(2):
        for y in range(16):
            for x in range(16):
                if valid[b, 0, y, x] == 1:
                    for c in range(3):
                        difference = float(fake[b, c, y, x] - real[b, c, y, x])
                        squares, absolutes, count = squares + difference**2, absolutes + abs(difference), count + 1
    assert losses.pixel_loss(fake, real, valid).item() == pytest.approx(squares / count, rel=1e-5)
    assert losses.absolute_loss(fake, real, valid).item() == pytest.approx(absolutes / count, rel=1e-5)


def test_pixels_outside_the_region_teach_nothing(pictures):
    fake, real, valid = pictures
    fake = fake.clone().requires_grad_()
    (losses.pixel_loss(fake, real, valid) + losses.structure_loss(fake, real, valid)).backward()
    assert fake.grad is not None
    assert fake.grad[(valid == 0).expand_as(fake.grad)].abs().max() == 0
    assert fake.grad[(valid == 1).expand_as(fake.grad)].abs().max() > 0


def test_an_empty_region_gives_zero_not_nan(pictures):
    fake, real, valid = pictures
    assert losses.pixel_loss(fake, real, valid * 0).item() == 0


def test_structure_loss_equals_loops(pictures):
    fake, real, _ = pictures
    whole = torch.ones(2, 1, 16, 16)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    a, b = (fake * weights).sum(1).double(), (real * weights).sum(1).double()
    values = []
    for i in range(2):
        for y in range(16 - 6):
            for x in range(16 - 6):
                p, q = a[i, y : y + 7, x : x + 7].flatten(), b[i, y : y + 7, x : x + 7].flatten()
                covariance = ((p - p.mean()) * (q - q.mean())).mean()
                luminance = (2 * p.mean() * q.mean() + 0.0004) / (p.mean() ** 2 + q.mean() ** 2 + 0.0004)
                structure = (2 * covariance + 0.0036) / (p.var(unbiased=False) + q.var(unbiased=False) + 0.0036)
                values.append(1 - luminance * structure)
    expected = float(torch.stack(values).mean())
    assert losses.structure_loss(fake, real, whole).item() == pytest.approx(expected, abs=1e-4)


def test_structure_loss_of_equal_pictures_is_zero(pictures):
    fake, _, _ = pictures
    assert losses.structure_loss(fake, fake, torch.ones(2, 1, 16, 16)).item() == pytest.approx(0, abs=1e-5)


def test_valid_region_equals_point_in_polygon():
    corners = torch.tensor([[[20.0, 30.0], [80.0, 25.0], [90.0, 95.0], [15.0, 90.0]]])
    region = losses.valid_region(corners, 112, margin=0.0)[0, 0]
    points = corners[0].tolist()
    for y in range(0, 112, 3):
        for x in range(0, 112, 3):
            inside = all(
                (points[(i + 1) % 4][0] - points[i][0]) * (y + 0.5 - points[i][1])
                - (points[(i + 1) % 4][1] - points[i][1]) * (x + 0.5 - points[i][0])
                >= 0
                for i in range(4)
            )
            assert bool(region[y, x]) == inside


def test_a_whole_image_is_valid_to_its_border_and_a_margin_shrinks_the_rest():
    whole = torch.tensor([[[0.0, 0.0], [112.0, 0.0], [112.0, 112.0], [0.0, 112.0]]])
    assert losses.valid_region(whole, 112).min() == 1
    inner = torch.tensor([[[20.0, 20.0], [60.0, 20.0], [60.0, 60.0], [20.0, 60.0]]])
    assert losses.valid_region(inner, 112, margin=2.0).sum() == 36 * 36


def test_perceptual_loss_is_in_units_of_the_real_map():
    real = [torch.full((1, 2, 4, 4), 2.0), torch.full((1, 3, 2, 2), -0.5)]
    fake = [torch.full((1, 2, 4, 4), 3.0), torch.full((1, 3, 2, 2), -0.5)]
    assert losses.perceptual_loss(fake, real).item() == pytest.approx((1 / 2 + 0) / 2)


def test_token_loss_leaves_the_vector_token_out_and_the_target_alone():
    tokens, target = torch.zeros(1, 50, 4, requires_grad=True), torch.ones(1, 50, 4, requires_grad=True)
    loss = losses.token_loss(tokens, target)
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert target.grad is None
    assert tokens.grad is not None
    assert tokens.grad[:, 0].abs().max() == 0


def test_identity_loss_of_a_known_angle():
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[math.cos(1.0) * 5, math.sin(1.0) * 5]])
    assert losses.identity_loss(a, b).item() == pytest.approx(1 - math.cos(1.0), abs=1e-6)


def test_composition_passes_the_rendering_outside_without_gradient(pictures):
    fake, real, valid = pictures
    fake = fake.clone().requires_grad_()
    composed = losses.compose_valid(real, fake, valid)
    assert torch.equal(composed[(valid == 1).expand_as(composed)], real[(valid == 1).expand_as(real)])
    assert torch.equal(composed[(valid == 0).expand_as(composed)], fake[(valid == 0).expand_as(fake)])
    assert not composed.requires_grad


def test_structure_loss_through_gaussian_windows_equals_loops_on_colours(pictures):
    fake, real, _ = pictures
    offsets = torch.arange(11.0) - 5
    kernel = torch.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2)).double()
    kernel = kernel / kernel.sum()
    a, b = (fake.double() + 1) / 2, (real.double() + 1) / 2
    values = []
    for i in range(2):
        for c in range(3):
            for y in range(16 - 10):
                for x in range(16 - 10):
                    p, q = a[i, c, y : y + 11, x : x + 11], b[i, c, y : y + 11, x : x + 11]
                    mean_p, mean_q = (kernel * p).sum(), (kernel * q).sum()
                    var_p, var_q = (kernel * (p - mean_p) ** 2).sum(), (kernel * (q - mean_q) ** 2).sum()
                    covariance = (kernel * (p - mean_p) * (q - mean_q)).sum()
                    luminance = (2 * mean_p * mean_q + 1e-4) / (mean_p**2 + mean_q**2 + 1e-4)
                    values.append(1 - luminance * (2 * covariance + 9e-4) / (var_p + var_q + 9e-4))
    expected = float(torch.stack(values).mean())
    whole = torch.ones(2, 1, 16, 16)
    assert losses.structure_loss(fake, real, whole, window="gaussian").item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_the_gradient_of_the_structure_loss_equals_finite_differences(pictures, window):
    fake, real, _ = (x.double() for x in pictures)
    whole = torch.ones(2, 1, 16, 16)
    fake = fake.float().requires_grad_()
    losses.structure_loss(fake, real.float(), whole, window=window).backward()
    assert fake.grad is not None
    step = 1e-2
    for place in ((0, 0, 8, 8), (1, 2, 5, 9)):
        moved = []
        for sign in (1, -1):
            shifted = fake.detach().clone()
            shifted[place] += sign * step
            moved.append(losses.structure_loss(shifted, real.float(), whole, window=window).item())
        assert float(fake.grad[place]) == pytest.approx((moved[0] - moved[1]) / (2 * step), abs=2e-5, rel=0.05)


def test_a_window_with_one_invalid_pixel_does_not_count(pictures):
    fake, real, _ = pictures
    valid = torch.ones(2, 1, 16, 16)
    valid[:, :, 8, 8] = 0
    changed = fake.clone()
    changed[:, :, 8, 8] += 0.5
    assert losses.structure_loss(changed, real, valid).item() == losses.structure_loss(fake, real, valid).item()
    assert losses.structure_loss(changed, real, torch.ones_like(valid)).item() != pytest.approx(
        losses.structure_loss(fake, real, torch.ones_like(valid)).item(), abs=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_perceptual_loss_and_its_gradient_equal_autograd_of_the_formula(dtype):
    draws = torch.Generator().manual_seed(3)
    real = [torch.randn(2, 4, 8, 8, generator=draws).to(dtype), torch.randn(2, 6, 4, 4, generator=draws).to(dtype)]
    fake = [(x.float() + torch.randn(x.shape, generator=draws)).to(dtype) for x in real]
    ours, plain = ([x.clone().requires_grad_() for x in fake] for _ in range(2))
    loss = losses.perceptual_loss(ours, real)
    terms = [(f.float() - r.float()).abs().mean() / r.float().abs().mean() for f, r in zip(plain, real, strict=True)]
    expected = torch.stack(terms).mean()
    tolerance = 1e-5 if dtype is torch.float32 else 5e-3
    assert loss.item() == pytest.approx(expected.item(), rel=tolerance)
    (loss * 3).backward()
    (expected * 3).backward()
    for a, b in zip(ours, plain, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert a.grad.dtype is dtype
        assert torch.allclose(a.grad.float(), b.grad.float(), rtol=1e-2)


def test_perceptual_loss_of_many_values_keeps_its_precision():
    real = [torch.full((1, 32, 128, 128), 0.5, dtype=torch.bfloat16)]
    fake = [torch.full((1, 32, 128, 128), 0.625, dtype=torch.bfloat16)]
    assert losses.perceptual_loss(fake, real).item() == pytest.approx(0.25, rel=1e-3)
