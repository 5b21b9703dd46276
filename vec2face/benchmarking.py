"""How fast the networks run on this machine, float32 against bfloat16.

The two precisions take turns in short slots of one run, and the medians of their rates are compared, so that a machine
that is busy with something else slows both alike and the ratio stands.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vec2face.checkpoints import load_embedder, load_generator
from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import InputError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator import Vec2FaceGenerator
from vec2face.models.generator.feature_mae import TOKENS

SLOT_SECONDS = 0.2  # long against the clock's resolution, short against changes of the machine's load

Pass = Callable[[], Tensor]


@dataclass(frozen=True)
class Speed:
    """One network at one batch size and thread count, in images per second."""

    network: str
    threads: int
    batch_size: int
    float32: float
    bfloat16: float

    @property
    def ratio(self) -> float:
        """bfloat16's rate over float32's; above 1, bfloat16 is faster."""
        return self.bfloat16 / self.float32


def benchmark(
    *,
    generator: str,
    embedder: str,
    batch_sizes: Sequence[int],
    threads: Sequence[int],
    rounds: int,
    device: str,
    on_result: Callable[[Speed], None] = lambda speed: None,
) -> list[Speed]:
    """Measure a generator and an embedder at every combination of threads and batch size.

    Args:
        generator, embedder: references for `checkpoints.load_generator` and `load_embedder`.
        batch_sizes: images a pass, each at least 1.
        threads: CPU threads, each at least 1.
        rounds: slots of each precision; the median is reported.
        device: "cpu" or "cuda".
        on_result: called with each result as soon as it is known.

    Raises:
        InputError: cuda was asked for and there is none.
        WeightsError: a reference names no usable weights.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("this PyTorch sees no CUDA device; measure with --device cpu.")
    networks = {
        "generator": generator_pass(load_generator(generator), device=device),
        "embedder": embedder_pass(load_embedder(embedder), device=device),
    }
    results = []
    for name, prepare in networks.items():
        for count in threads:
            for batch_size in batch_sizes:
                with _torch_threads(count):
                    float32, bfloat16 = compare(prepare(batch_size), rounds=rounds, device=device)
                speed = Speed(name, count, batch_size, float32 * batch_size, bfloat16 * batch_size)
                on_result(speed)
                results.append(speed)
    return results


def generator_pass(generator: Vec2FaceGenerator, *, device: str) -> Callable[[int], Pass]:
    """Return what makes, for a batch size, the pass that renders one batch."""
    generator = generator.to(device)
    rate = generator.config.sampling_mask["mean"]

    def prepare(batch_size: int) -> Pass:
        draw = torch.Generator().manual_seed(0)
        features = torch.randn(batch_size, generator.config.feature_dim, generator=draw).to(device)
        noise = torch.rand(batch_size, TOKENS, generator=draw).to(device)
        rates = torch.full((batch_size,), rate, device=device)
        return lambda: generator(features, mask_noise=noise, mask_rate=rates).image

    return prepare


def embedder_pass(embedder: FaceEmbedder, *, device: str) -> Callable[[int], Pass]:
    """Return what makes, for a batch size, the pass that embeds one batch."""
    if isinstance(embedder, torch.nn.Module):
        embedder.to(device)

    def prepare(batch_size: int) -> Pass:
        draw = torch.Generator().manual_seed(0)
        images = (torch.rand(batch_size, 3, IMAGE_SIZE, IMAGE_SIZE, generator=draw) * 2 - 1).to(device)
        return lambda: embedder.embed(images)

    return prepare


@torch.inference_mode()
def compare(run: Pass, *, rounds: int, device: str) -> tuple[float, float]:
    """Return the median rates of `run` in float32 and in bfloat16 autocast, in passes per second."""
    kind = torch.device(device).type
    precisions = [torch.float32, torch.bfloat16]
    passes: dict[torch.dtype, int] = {}
    rates: dict[torch.dtype, list[float]] = {dtype: [] for dtype in precisions}

    def timed(dtype: torch.dtype, count: int) -> float:
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            start = time.perf_counter()
            for _ in range(count):
                run()
            if kind == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - start

    for dtype in precisions:
        timed(dtype, 1)  # the first pass also allocates memory and chooses kernels
        passes[dtype] = max(1, round(SLOT_SECONDS / timed(dtype, 1)))
    for _ in range(rounds):
        for dtype in precisions:
            rates[dtype].append(passes[dtype] / timed(dtype, passes[dtype]))
    return statistics.median(rates[torch.float32]), statistics.median(rates[torch.bfloat16])


def machine_facts(device: str) -> dict[str, Any]:
    """Say what the numbers were measured on."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
