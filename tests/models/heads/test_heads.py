"""Every head against a loop over samples and classes, written from the papers' equations."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vec2face.errors import InputError
from vec2face.models.heads import AdaFace, ArcFace, CosFace, CurricularFace, MagFace, MarginHead, cosines

SAMPLES, CLASSES, WIDTH = 7, 5, 6


def arc(cosine: Tensor, margin: Tensor | float) -> Tensor:
    """ArcFace's own cosine of one sample, through the angle itself."""
    margin = torch.as_tensor(margin, dtype=cosine.dtype)
    angle = torch.arccos(cosine)
    return torch.cos(angle + margin) if angle < math.pi - margin else cosine - margin * torch.sin(margin)


def arc_logits(row: Tensor, label: int, length: Tensor) -> list[Tensor]:
    return [16 * (arc(c, 0.5) if k == label else c) for k, c in enumerate(row)]


def easy_arc_logits(row: Tensor, label: int, length: Tensor) -> list[Tensor]:
    return [16 * (torch.cos(torch.arccos(c) + 0.5) if k == label and c > 0 else c) for k, c in enumerate(row)]


def cos_logits(row: Tensor, label: int, length: Tensor) -> list[Tensor]:
    return [16 * (c - 0.4 if k == label else c) for k, c in enumerate(row)]


def ada_logits(row: Tensor, label: int, length: Tensor) -> list[Tensor]:
    z = min(1.0, max(-1.0, 0.333 * (float(length.detach()) - 2.0) / (0.5 + 1e-3)))
    return [
        16 * (torch.cos(torch.arccos(c) - 0.4 * z) - (0.4 + 0.4 * z) if k == label else c) for k, c in enumerate(row)
    ]


def mag_logits(row: Tensor, label: int, length: Tensor) -> list[Tensor]:
    a = length.clamp(1.0, 3.0)
    return [16 * (arc(c, (0.8 - 0.45) / 2.0 * (a - 1.0) + 0.45) if k == label else c) for k, c in enumerate(row)]


def curricular_logits(row: Tensor, label: int, length: Tensor) -> list[Tensor]:
    limit = torch.cos(torch.arccos(row[label]) + 0.5)
    return [16 * (arc(c, 0.5) if k == label else c * (0.3 + c) if c > limit else c) for k, c in enumerate(row)]


def ada() -> AdaFace:
    head = AdaFace(scale=16, margin=0.4, h=0.333, t_alpha=0.01)
    head.mean.fill_(2.0)
    head.deviation.fill_(0.5)
    return head


def curricular() -> CurricularFace:
    head = CurricularFace(scale=16, margin=0.5, momentum=0.01)
    head.t.fill_(0.3)
    return head


def mag() -> MagFace:
    return MagFace(scale=16, l_a=1.0, u_a=3.0, l_margin=0.45, u_margin=0.8, lambda_g=35.0, easy_margin=False)


def mag_term(lengths: Tensor) -> Tensor:
    a = lengths.clamp(1.0, 3.0)
    return 35.0 * (a / 9.0 + 1 / a).mean()


CASES: dict[str, tuple[Callable[[], MarginHead], Callable[[Tensor, int, Tensor], list[Tensor]]]] = {
    "arcface": (lambda: ArcFace(scale=16, margin=0.5, easy_margin=False), arc_logits),
    "arcface_easy": (lambda: ArcFace(scale=16, margin=0.5, easy_margin=True), easy_arc_logits),
    "cosface": (lambda: CosFace(scale=16, margin=0.4), cos_logits),
    "adaface": (ada, ada_logits),
    "magface": (mag, mag_logits),
    "curricularface": (curricular, curricular_logits),
}


def draw(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings of lengths 0.5 to 4, centres and labels; the last sample is almost opposite to its centre."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(CLASSES, WIDTH, generator=generator)
    labels = torch.randint(CLASSES, (SAMPLES,), generator=generator)
    embeddings = torch.nn.functional.normalize(torch.randn(SAMPLES, WIDTH, generator=generator) + centres[labels])
    embeddings = embeddings * torch.linspace(0.5, 4.0, SAMPLES)[:, None]
    embeddings[-1] = -2 * centres[labels[-1]] + 0.02
    return embeddings.to(dtype).requires_grad_(), centres.to(dtype).requires_grad_(), labels


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_equal_the_equations(name: str) -> None:
    make, naive = CASES[name]
    embeddings, centres, labels = draw()
    loss = make().loss(embeddings, centres, labels)
    loss.backward()

    plain, plain_centres, _ = draw(torch.float64)
    losses = []
    for n in range(SAMPLES):
        length = plain[n].square().sum().sqrt()
        row = torch.stack([plain[n] @ w / (length * w.square().sum().sqrt()) for w in plain_centres])
        logits = torch.stack(naive(row, int(labels[n]), length))
        losses.append(-torch.log(torch.exp(logits)[labels[n]] / torch.exp(logits).sum()))
    expected = torch.stack(losses).mean()
    if name == "magface":
        expected = expected + mag_term(plain.norm(dim=1))
    expected.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(embeddings.grad.double(), plain.grad, rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(centres.grad.double(), plain_centres.grad, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_margin_makes_the_own_class_harder_and_keeps_its_order(name: str) -> None:
    head = CASES[name][0]()
    cosine = torch.linspace(-0.999, 0.999, 400)
    harder = head.own_cosine(cosine, torch.full((400,), 2.0))
    assert (harder <= cosine + 1e-6).all()
    if name != "arcface_easy":  # which jumps where the margin ends
        assert (harder.diff() > 0).all()


@pytest.mark.parametrize("name", CASES)
def test_opposite_and_equal_vectors_have_finite_gradients(name: str) -> None:
    centres = torch.eye(3).requires_grad_()
    embeddings = torch.tensor([[5.0, 0, 0], [0, -5.0, 0]]).requires_grad_()
    CASES[name][0]().loss(embeddings, centres, torch.tensor([0, 1])).backward()
    assert torch.isfinite(embeddings.grad).all()
    assert torch.isfinite(centres.grad).all()


@pytest.mark.parametrize("name", CASES)
def test_autocast_does_not_touch_the_margin(name: str) -> None:
    embeddings, centres, labels = draw()
    head = CASES[name][0]()
    with torch.autocast("cpu", torch.bfloat16):
        inside = head.loss(embeddings, centres, labels)
    torch.testing.assert_close(inside, head.loss(embeddings, centres, labels), rtol=0, atol=0)


def test_samples_whose_class_is_elsewhere_have_no_margin() -> None:
    embeddings, centres, _ = draw()
    head = CASES["arcface"][0]()
    cosine, norms = cosines(embeddings, centres)
    columns = torch.tensor([2, -1, -1, 0, -1, -1, -1])
    logits = head.logits(cosine, columns, own=torch.zeros(SAMPLES), norms=norms)
    changed = (logits - 16 * cosine).abs() > 1e-5
    assert changed.nonzero().tolist() == [[0, 2], [3, 0]]


def test_adaface_follows_the_lengths_with_a_moving_average() -> None:
    head = AdaFace(scale=64, margin=0.4, h=0.333, t_alpha=0.1)
    lengths = torch.tensor([10.0, 14.0, 500.0])
    head.observe(torch.zeros(3), lengths)
    clipped = torch.tensor([10.0, 14.0, 100.0])
    assert float(head.mean) == pytest.approx(0.9 * 20 + 0.1 * float(clipped.mean()))
    assert float(head.deviation) == pytest.approx(0.9 * 100 + 0.1 * float(clipped.std()))
    assert head.state_dict().keys() == {"mean", "deviation"}


def test_curricularface_follows_the_own_cosine_with_a_moving_average() -> None:
    head = CurricularFace(scale=64, margin=0.5, momentum=0.01)
    for _ in range(2):
        head.observe(torch.tensor([0.2, 0.4]), torch.ones(2))
    assert float(head.t) == pytest.approx(0.01 * 0.3 + 0.99 * 0.01 * 0.3)


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_out_of_range_is_refused(label: int) -> None:
    embeddings, centres, labels = draw()
    labels[2] = label
    with pytest.raises(InputError, match=rf"label {label} is out of range: 5 classes are numbered 0 to 4"):
        CASES["cosface"][0]().loss(embeddings, centres, labels)
