"""Measure a step of the class centres, plain, all of them and a sample: time, and the most memory it takes.

The plain softmax is what anybody would write: a parameter of all centres, `F.cross_entropy` of the same head's logits,
autograd, and `torch.optim.SGD` with momentum and weight decay.

Each setting runs in a process of its own, so that its peak is its own. The arithmetic for several GPUs follows.

    python benchmarks/class_centres.py --classes 300000 --dim 512 --batch 128 --share 1.0 --share 0.1
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.queues import Queue

import numpy as np
import torch

from vec2face.models.heads import ArcFace
from vec2face.training.centre_rows import RowSgd
from vec2face.training.class_centres import CentreLearner, _first_centres, sample_classes
from vec2face.training.processes import Processes

MIB = 2**20
FLOAT = 4  # bytes
HEAD = {"scale": 64, "margin": 0.5, "easy_margin": False}
SGD = {"momentum": 0.9, "weight_decay": 5e-4}
RATE = 0.1


@dataclass(frozen=True)
class Setting:
    """What is measured: a share of the centres by `CentreLearner`, or the plain softmax where `share` is None."""

    classes: int
    dim: int
    batch: int
    share: float | None
    steps: int
    threads: int
    device: str


@dataclass(frozen=True)
class Cost:
    """Median seconds of a step, by the clock and of processors; MiB at most, of which `kept` stay between steps."""

    seconds: float
    processor_seconds: float
    kept: float
    peak: float


def measure(setting: Setting, answer: "Queue[Cost]") -> None:
    """Run some steps on random embeddings and answer with their cost."""
    torch.set_num_threads(setting.threads)
    device = torch.device(setting.device)
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(setting.batch, setting.dim, generator=generator).to(device).requires_grad_()
    labels = np.random.default_rng(0).integers(0, setting.classes, setting.batch)
    (embeddings @ embeddings.T).sum().backward()  # loads the libraries before memory is counted
    before = _peak(device)
    make = plain_step if setting.share is None else learner_step
    run_step = make(setting, embeddings, labels, device)
    kept = 2 * setting.classes * setting.dim * FLOAT / MIB
    seconds, processor = [], []
    for step in range(setting.steps):
        began, worked = time.perf_counter(), time.process_time()
        run_step(step)
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - worked)
    answer.put(Cost(float(np.median(seconds)), float(np.median(processor)), kept, _peak(device) - before))


def learner_step(
    setting: Setting, embeddings: torch.Tensor, labels: np.ndarray, device: torch.device
) -> Callable[[int], float]:
    """Return a step of `CentreLearner` at the setting's share: number of the step -> loss."""
    learner = CentreLearner(
        head=ArcFace(**HEAD),
        classes=setting.classes,
        dim=setting.dim,
        make_optimizer=lambda weight: RowSgd(weight, **SGD),
        rate=lambda images: RATE,
        seed=0,
        passes=1,
        processes=Processes(device=device),
    )

    def run_step(step: int) -> float:
        chosen = sample_classes(labels, setting.classes, share=setting.share, seed=0, step=step)
        sampled = None if chosen is None else torch.from_numpy(chosen).to(device)
        learner.begin()
        loss = learner.classify(embeddings, torch.from_numpy(labels).to(device), sampled, images_before=0)
        loss.backward()
        learner.finish()
        return float(loss.detach())

    return run_step


def plain_step(
    setting: Setting, embeddings: torch.Tensor, labels: np.ndarray, device: torch.device
) -> Callable[[int], float]:
    """Return a step of the plain softmax from the same first centres, as `learner_step` does."""
    head = ArcFace(**HEAD)
    centres = torch.nn.Parameter(_first_centres(0, setting.classes, setting.dim, 0).to(device))
    optimizer = torch.optim.SGD([centres], lr=RATE, **SGD)
    targets = torch.from_numpy(labels).to(device)

    def run_step(step: int) -> float:
        optimizer.zero_grad()
        loss = head.loss(embeddings, centres, targets)  # F.cross_entropy of the logits of all classes
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run_step


def arithmetic(*, classes: int, dim: int, batch: int, share: float, gpus: int) -> str:
    """State what each of several GPUs holds, computes and exchanges, from the shapes alone."""
    mine = -(-classes // gpus)
    used = max(1, round(share * mine))
    whole = batch * gpus
    kept = 2 * mine * dim * FLOAT / MIB
    centres, logits = used * dim * FLOAT / MIB, whole * used * FLOAT / MIB
    operations = 3 * 2 * whole * used * dim / 1e9
    exchanged = (2 * whole * dim + 4 * whole) * FLOAT / MIB
    return (
        f"{gpus} GPUs, batch {batch} each, share {share:g}: each keeps {mine} centres with momentum ({kept:.0f} MiB), "
        f"uses {used} a step ({centres:.0f} MiB, as much again for unit vectors and for the gradient), one matrix of "
        f"logits is {whole} x {used} ({logits:.0f} MiB), three products are {operations:.0f} GFLOP, and "
        f"{exchanged:.1f} MiB are exchanged (embeddings and their gradients, four numbers a sample)"
    )


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts KiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=300_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=128, help="images of a step, of one GPU")
    parser.add_argument("--share", type=float, action="append", help="share of the centres in a step; repeatable")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--gpus", type=int, default=8, help="for the arithmetic")
    options = parser.parse_args()
    shares = options.share or [1.0, 0.1]
    context = multiprocessing.get_context("spawn")
    print(
        f"{options.classes} classes x {options.dim}, batch {options.batch}, {options.device}, median of {options.steps}"
    )
    for share in (None, *shares):
        name = "plain softmax" if share is None else f"share {share:g}"
        setting = Setting(
            options.classes, options.dim, options.batch, share, options.steps, options.threads, options.device
        )
        answer = context.Queue()
        worker = context.Process(target=measure, args=(setting, answer))
        worker.start()
        worker.join()
        if worker.exitcode:
            raise SystemExit(f"the measurement of {name} ended with code {worker.exitcode}; was memory short?")
        cost = answer.get()
        times = f"{cost.seconds:.2f} s a step by the clock, {cost.processor_seconds:.2f} s of processors"
        memory = f"{cost.peak:.0f} MiB at most, of which {cost.kept:.0f} MiB are centres and momentum"
        print(f"{name}: {times}; {memory}")
    for share in shares:
        print(arithmetic(classes=options.classes, dim=options.dim, batch=options.batch, share=share, gpus=options.gpus))


if __name__ == "__main__":
    main()
