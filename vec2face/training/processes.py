"""The processes of a training and the device of each: one process alone, or several started by a launcher.

`accelerate` finds out how the processes were launched (torchrun, accelerate launch, MPI), gives each its device and
connects them (NCCL between GPUs, gloo between CPUs). Gradients are averaged here and not by DistributedDataParallel:
the networks are called by methods other than `forward`, several networks step together, and summed passes need one
exchange per step.
"""

import atexit
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

import torch
from torch import Tensor, distributed

from vec2face.errors import ConfigError, InputError
from vec2face.training.portion import Portion, portions_of

# One process draws previews and labels examples while the others wait for it.
WAIT_LIMIT = timedelta(hours=2)
BUCKET_ELEMENTS = 1 << 23  # exchanged at once: 32 MiB of float32, long enough to hide the cost of starting an exchange

_PROCESS_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_OTHER_ENGINES = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


# Whether this process does something that the others do not take part in, so that it must not wait for them.
_ALONE: ContextVar[bool] = ContextVar("alone", default=False)


class Processes:
    """This process among those of the run.

    Attributes:
        device: where this process computes.
        index: number of this process, from 0.
        count: how many there are.
    """

    def __init__(self, *, device: torch.device, index: int = 0, count: int = 1) -> None:
        self.device, self.index, self.count = device, index, count

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.index == 0

    def portions(self, step: int, *, total: int, passes: int) -> list[Portion]:
        """Return this process's part of a step; see `portions_of`."""
        return portions_of(step, total=total, passes=passes, process=self.index, processes=self.count)

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.count > 1:
            distributed.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process do the work inside before the others, which then find its result."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let `mean_over_processes` inside take this process's value: the others do not compute the same."""
        token = _ALONE.set(True)
        try:
            yield
        finally:
            _ALONE.reset(token)

    @torch.no_grad()
    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes; all give tensors of the same shapes in the same order."""
        if self.count == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            distributed.all_reduce(flat)
            flat.div_(self.count)
            for tensor, mean in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(mean.view(tensor.shape))

    @torch.no_grad()
    def copy_from_main_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by the main process's."""
        if self.count == 1:
            return
        for tensor in tensors:
            whole = tensor.contiguous()
            distributed.broadcast(whole, src=0)
            tensor.copy_(whole)

    def everywhere(self, number: float) -> list[float]:
        """Return the number that each process gives, in their order."""
        if self.count == 1:
            return [number]
        mine = torch.tensor([number], dtype=torch.float32, device=self.device)
        all_of_them = [torch.empty_like(mine) for _ in range(self.count)]
        distributed.all_gather(all_of_them, mine)
        return [float(value) for value in all_of_them]


def find_processes(device: str = "auto") -> Processes:
    """Join the processes of this run and return this one's place and device.

    Args:
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:N" or "mps". With a launcher, "cuda" gives each
            process the GPU of its number.

    Raises:
        InputError: the device is absent or unknown, or there are more processes than GPUs on this machine.
        ConfigError: the launcher was told to shard the network, which this training does not do.
    """
    count = next((int(os.environ[name]) for name in _PROCESS_COUNTS if os.environ.get(name)), 1)
    if count == 1:
        return Processes(device=_single_device(device))
    for variable, engine in _OTHER_ENGINES.items():
        if os.environ.get(variable, "").lower() == "true":
            raise ConfigError(
                f"accelerate is configured for {engine}, but this training keeps the whole network in every process; "
                "choose multi-GPU or multi-CPU with 'accelerate config'."
            )
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"a launcher gives each process its device: say --device cuda or cpu, not {device}.")
    on_cpu = device == "cpu" or (device == "auto" and (_cpu_configured() or not torch.cuda.is_available()))
    if not on_cpu:
        _require_cuda(int(os.environ.get("LOCAL_RANK", "0")))

    from accelerate import PartialState

    state = PartialState(cpu=on_cpu, timeout=WAIT_LIMIT)
    atexit.register(_leave)
    return Processes(device=state.device, index=state.process_index, count=state.num_processes)


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes of the run, without gradient; with one process, the value.

    For what a loss divides by, such as a count of valid pixels: each process divides by the mean over all, so that the
    mean of the processes' losses is the loss of the whole batch.
    """
    value = value.detach()
    if _ALONE.get():
        return value
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return value
    mean = value.clone()
    distributed.all_reduce(mean)
    return mean / distributed.get_world_size()


def _single_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() and not _cpu_configured() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"no device is called {name!r}; say auto, cpu, cuda, cuda:0 or mps.")
    if device.type == "cuda":
        _require_cuda(device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("mps was asked for, but this machine has no Apple GPU that torch can use; say --device auto.")
    return device


def _require_cuda(index: int) -> None:
    if not torch.cuda.is_available():
        raise InputError(
            "cuda was asked for, but torch finds no CUDA GPU here (no driver, or a build of torch without CUDA); "
            "say --device auto or cpu."
        )
    if index >= torch.cuda.device_count():
        raise InputError(
            f"GPU number {index} was asked for, but this machine has {torch.cuda.device_count()}, counted from 0; "
            "start as many processes on each machine as it has GPUs."
        )


def _cpu_configured() -> bool:
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        bucket = by_type.setdefault(tensor.dtype, [])
        bucket.append(tensor)
        if sum(member.numel() for member in bucket) >= BUCKET_ELEMENTS:
            yield by_type.pop(tensor.dtype)
    yield from by_type.values()
