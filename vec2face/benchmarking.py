"""How fast the networks run on this machine, float32 against bfloat16.

The two precisions take turns in short slots of one run, and the medians of their rates are compared, so that a machine
that is busy with something else slows both alike and the ratio stands.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from vec2face.checkpoints import load_embedder, load_generator
from vec2face.config.generation import Compute
from vec2face.config.pose import LandmarkStyle
from vec2face.contracts import IMAGE_SIZE
from vec2face.evaluation.embeddings import move
from vec2face.generation.noise import Draws
from vec2face.generation.render import Renderer, torch_threads
from vec2face.generation.views import PosePlan, View, no_views
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator import Vec2FaceGenerator
from vec2face.models.generator.feature_mae import TOKENS
from vec2face.progress import ProgressReporter, SilentProgress

SLOT_SECONDS = 0.2  # long against the clock's resolution, short against changes of the machine's load

Precision = Literal["float32", "bfloat16"]
Device = Literal["cpu", "cuda"]
Pass = Callable[[], object]


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
    device: Device,
    progress: ProgressReporter | None = None,
) -> list[Speed]:
    """Measure a generator and an embedder at every combination of threads and batch size.

    Args:
        generator, embedder: references for `checkpoints.load_generator` and `load_embedder`.
        batch_sizes: images a pass, each at least 1.
        threads: CPU threads, each at least 1.
        rounds: slots of each precision; the median is reported.
        device: where to measure.
        progress: receives the stage "measuring".

    Raises:
        InputError: cuda was asked for and there is none, or the embedder is an ONNX file, which is run on the CPU.
        WeightsError: a reference names no usable weights.
    """
    networks: dict[str, Callable[[int, Precision], Pass]] = {
        "generator": _rendering(load_generator(generator), device),
        "embedder": _embedding(move(load_embedder(embedder), device), device),
    }
    progress = progress or SilentProgress()
    progress.begin("measuring", total=len(networks) * len(threads) * len(batch_sizes), unit="settings")
    speeds = []
    for name, prepare in networks.items():
        for count in threads:
            for batch_size in batch_sizes:
                passes = {precision: prepare(batch_size, precision) for precision in get_args(Precision)}
                with torch_threads(count):
                    rates = compare(passes, rounds=rounds)
                speeds.append(Speed(name, count, batch_size, *(rates[key] * batch_size for key in get_args(Precision))))
                progress.advance(1)
    return speeds


def compare(passes: Mapping[Precision, Pass], *, rounds: int) -> dict[Precision, float]:
    """Return the median rate of each of `passes`, in passes per second, timing them in turn."""
    slots = {}
    rates: dict[Precision, list[float]] = {precision: [] for precision in passes}
    for precision, run in passes.items():
        run()  # the first pass also allocates memory and chooses kernels
        slots[precision] = max(1, round(SLOT_SECONDS / _seconds(run, 1)))
    for _ in range(rounds):
        for precision, run in passes.items():
            rates[precision].append(slots[precision] / _seconds(run, slots[precision]))
    return {precision: statistics.median(measured) for precision, measured in rates.items()}


def machine_facts(device: Device) -> dict[str, Any]:
    """Say what the numbers were measured on."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _seconds(run: Pass, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        run()
    return time.perf_counter() - start


def _rendering(generator: Vec2FaceGenerator, device: Device) -> Callable[[int, Precision], Pass]:
    """Batches as `generate` renders them, from vectors and masks to 8-bit pixels in memory."""
    mask = generator.config.sampling_mask

    def prepare(batch_size: int, precision: Precision) -> Pass:
        compute = Compute(dtype=precision, batch_size=batch_size, device=device)
        renderer = Renderer(generator=generator, compute=compute, mask_ratio_min=mask["min"])
        rng = np.random.default_rng(0)
        views = no_views(batch_size)
        if generator.config.pose_condition:
            pose = PosePlan((View(1.0, ((-40.0, 40.0), (0.0, 0.0), (0.0, 0.0)), None),), LandmarkStyle(), 1.0)
            views = pose.draw(images_per_identity=batch_size, seed=0, identity=0, numbers=range(batch_size))
        draws = Draws(
            identity=np.zeros(batch_size, np.int64),
            image=np.arange(batch_size),
            features=rng.standard_normal((batch_size, generator.config.feature_dim), np.float32),
            sigma=np.zeros(batch_size, np.float32),
            seed=np.zeros(batch_size, np.uint64),
            mask_noise=rng.random((batch_size, TOKENS), np.float32),
            mask_rate=np.full(batch_size, mask["mean"], np.float32),
            appearance=rng.standard_normal((batch_size, generator.config.appearance_dim), np.float32),
            view=views.view,
            angles=views.angles,
            landmarks=views.landmarks,
        )
        return lambda: list(renderer.render([draws]))

    return prepare


def _embedding(embedder: FaceEmbedder, device: Device) -> Callable[[int, Precision], Pass]:
    """Batches of images in memory to embeddings in the CPU's memory."""

    def prepare(batch_size: int, precision: Precision) -> Pass:
        pixels = np.random.default_rng(0).uniform(-1, 1, (batch_size, 3, IMAGE_SIZE, IMAGE_SIZE))
        images = torch.from_numpy(pixels.astype(np.float32)).to(device)

        @torch.inference_mode()
        def run() -> torch.Tensor:
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                return embedder.embed(images).cpu()

        return run

    return prepare
