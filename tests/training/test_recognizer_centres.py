"""Class centres: equal to the plain head and torch's optimisers at share 1, and to one process with any number."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed

from vec2face.errors import InputError
from vec2face.models.heads import AdaFace, ArcFace, CurricularFace, MagFace, MarginHead
from vec2face.training.centre_rows import RowAdamW, RowOptimizer, RowSgd
from vec2face.training.class_centres import CentreLearner, sample_classes
from vec2face.training.processes import Processes

CLASSES, WIDTH, BATCH = 9, 6, 8


def make_head(name: str) -> MarginHead:
    if name == "magface":
        return MagFace(scale=16, l_a=1, u_a=4, l_margin=0.3, u_margin=0.6, lambda_g=3, easy_margin=False)
    if name == "adaface":
        return AdaFace(scale=16, margin=0.4, h=0.333, t_alpha=0.5)
    if name == "curricularface":
        return CurricularFace(scale=16, margin=0.5, momentum=0.5)
    return ArcFace(scale=16, margin=0.5, easy_margin=False)


def sgd(weight: Tensor) -> RowOptimizer:
    return RowSgd(weight, momentum=0.9, weight_decay=0.01)


def make_learner(name: str, processes: Processes | None = None, *, passes: int = 1) -> CentreLearner:
    return CentreLearner(
        head=make_head(name),
        classes=CLASSES,
        dim=WIDTH,
        make_optimizer=sgd,
        rate=lambda images: 0.1 / (1 + images),
        seed=5,
        passes=passes,
        processes=processes or Processes(device=torch.device("cpu")),
    )


def draw(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return 2 * torch.randn(BATCH, WIDTH, generator=generator), torch.randint(CLASSES, (BATCH,), generator=generator)


@pytest.mark.parametrize("name", ["arcface", "adaface", "magface", "curricularface"])
def test_all_classes_equal_the_plain_head_with_torchs_sgd(name: str) -> None:
    learner, head = make_learner(name), make_head(name)
    centres = torch.nn.Parameter(learner.weight.clone())
    optimizer = torch.optim.SGD([centres], lr=0.1, momentum=0.9, weight_decay=0.01)
    for step in range(3):
        embeddings, labels = draw(step)
        plain = embeddings.clone().requires_grad_()
        embeddings.requires_grad_()
        optimizer.zero_grad()
        cosine = torch.nn.functional.cosine_similarity(plain.detach(), centres.detach()[labels])
        head.observe(cosine, plain.detach().norm(dim=1))
        expected = head.loss(plain, centres, labels)
        expected.backward()
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        optimizer.step()

        learner.begin()
        loss = learner.classify(embeddings, labels, None, images_before=step)
        (3 * loss).backward()
        learner.finish()
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(embeddings.grad, 3 * plain.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(learner.weight, centres.detach(), rtol=1e-4, atol=1e-5)


def test_a_sample_is_a_softmax_over_its_classes_and_leaves_the_others_alone() -> None:
    learner = make_learner("arcface")
    embeddings, labels = draw(0)
    labels = labels % 4
    sampled = torch.tensor([0, 1, 2, 3, 6])
    before, embeddings = learner.weight.clone(), embeddings.requires_grad_()
    plain = embeddings.detach().clone().requires_grad_()
    loss = learner.classify(embeddings, labels, sampled, images_before=0)
    loss.backward()
    expected = make_head("arcface").loss(plain, before[sampled], labels)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(embeddings.grad, plain.grad, rtol=1e-4, atol=1e-6)
    learner.finish()
    changed = (learner.weight != before).any(dim=1)
    assert changed.nonzero()[:, 0].tolist() == sampled.tolist()
    moved = learner.state()["optimizer"]["momentum"].abs().sum(dim=1) > 0
    assert moved.equal(changed)


def test_passes_add_up_to_the_whole_batch() -> None:
    whole, halves = make_learner("arcface"), make_learner("arcface", passes=2)
    embeddings, labels = draw(0)
    whole.classify(embeddings, labels, None, images_before=0)
    for half in (slice(0, 4), slice(4, 8)):
        halves.classify(embeddings[half], labels[half], None, images_before=0)
    assert whole.finish() == pytest.approx(halves.finish(), rel=1e-5)
    torch.testing.assert_close(whole.weight, halves.weight)


def test_rows_change_as_torchs_adamw_changes_them() -> None:
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    parameter = torch.nn.Parameter(weight.clone())
    theirs = torch.optim.AdamW([parameter], lr=0.1, betas=(0.8, 0.9), weight_decay=0.05)
    ours = RowAdamW(weight, betas=(0.8, 0.9), weight_decay=0.05)
    for step in range(3):
        gradient = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        parameter.grad = gradient.clone()
        theirs.step()
        ours.step(weight, None if step == 0 else torch.arange(4), gradient, rate=0.1)
    torch.testing.assert_close(weight, parameter.detach())


def test_a_sample_holds_the_batch_and_as_many_others_as_asked_for() -> None:
    labels = np.array([3, 7, 3, 40])
    chosen = sample_classes(labels, 100, share=0.2, seed=1, step=5)
    assert chosen is not None
    assert len(chosen) == 20
    assert {3, 7, 40} <= set(chosen.tolist())
    assert (np.diff(chosen) > 0).all()
    again = sample_classes(labels, 100, share=0.2, seed=1, step=5)
    assert again is not None
    assert (chosen == again).all()
    other = sample_classes(labels, 100, share=0.2, seed=1, step=6)
    assert other is not None
    assert (chosen != other).any()
    assert sample_classes(labels, 100, share=1, seed=1, step=5) is None
    crowded = sample_classes(np.arange(50), 100, share=0.1, seed=1, step=0)
    assert crowded is not None
    assert crowded.tolist() == list(range(50))


def test_a_label_out_of_range_is_refused() -> None:
    embeddings, labels = draw(0)
    labels[0] = CLASSES
    with pytest.raises(InputError, match="label 9 is out of range: 9 classes"):
        make_learner("arcface").classify(embeddings, labels, None, images_before=0)


def train(learner: CentreLearner, processes: Processes, share: float) -> dict[str, Tensor]:
    """Train for three steps of two passes; return everything that must not depend on the number of processes."""
    found = {}
    for step in range(3):
        embeddings, labels = draw(step)
        labels = labels % 3  # some processes have no sample's class
        chosen = sample_classes(labels.numpy(), CLASSES, share=share, seed=0, step=step)
        learner.begin()
        for portion in processes.portions(step, total=BATCH, passes=2):
            mine = portion.of(embeddings).clone().requires_grad_()
            sampled = None if chosen is None else torch.from_numpy(chosen)
            loss = learner.classify(mine, portion.of(labels), sampled, images_before=step)
            loss.backward()
            gradient = torch.zeros(BATCH, WIDTH)
            portion.of(gradient).copy_(mine.grad)
            loss = loss.detach().clone()
            processes.average_([gradient, loss])
            found[f"gradient {step} {portion.first % 2}"] = gradient
            found[f"loss {step} {portion.first % 2}"] = loss
        learner.finish()
    learner.before_save()
    values = learner.state()["optimizer"]
    return found | values | values["head"]


def _one_of_many(index: int, count: int, folder: Path, name: str, share: float) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=index, world_size=count)
    processes = Processes(device=torch.device("cpu"), index=index, count=count)
    found = train(make_learner(name, processes, passes=2), processes, share)
    if processes.is_main:
        torch.save({key: value for key, value in found.items() if isinstance(value, Tensor)}, folder / "found.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("magface", 1.0), ("adaface", 0.5), ("curricularface", 1.0)])
def test_two_processes_compute_what_one_does(name: str, share: float, tmp_path: Path) -> None:
    alone = Processes(device=torch.device("cpu"))
    expected = train(make_learner(name, passes=2), alone, share)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_one_of_many, args=(n, 2, tmp_path, name, share)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    assert len(found) >= 6 * 2 + 2
    for key, value in found.items():
        torch.testing.assert_close(
            value, expected[key], rtol=1e-4, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_a_state_is_taken_back_by_any_number_of_processes() -> None:
    learner = make_learner("adaface")
    embeddings, labels = draw(0)
    learner.classify(embeddings, labels, None, images_before=0)
    learner.finish()
    state = learner.state()
    parts = [Processes(device=torch.device("cpu"), index=index, count=2) for index in range(2)]
    twins = [make_learner("adaface", part) for part in parts]
    fresh = make_learner("adaface")
    torch.testing.assert_close(torch.cat([twin.weight for twin in twins]), fresh.weight, rtol=0, atol=0)
    for twin in twins:
        twin.restore(state)
        assert twin.head.state_dict() == learner.head.state_dict()
    torch.testing.assert_close(torch.cat([twin.weight for twin in twins]), learner.weight, rtol=0, atol=0)
