"""Batch normalisation over the samples of all processes, so that their number does not change what is computed.

torch's own `SyncBatchNorm` runs on GPUs only; this one runs wherever the processes can exchange tensors.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn

from vec2face.training.processes import Processes


class _MeanOverProcesses(torch.autograd.Function):
    """The mean over processes of a tensor, with the gradient of every process's loss."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        mean = value.clone()
        distributed.all_reduce(mean)
        return mean / distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process's loss depends on this process's value through the mean.
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total / distributed.get_world_size()


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose batch, in training, is that of all processes; each brings as many samples."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `(B, C, H, W)`."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        mean = _over_processes(values.mean(dim=(0, 2, 3)))
        centred = values - mean[:, None, None]
        variance = _over_processes(centred.square().mean(dim=(0, 2, 3)))
        self._track(mean, variance, input.numel() // input.shape[1] * distributed.get_world_size())
        scaled = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        return (scaled * self.weight[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, samples: int) -> None:
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise TypeError("a synchronised batch norm needs running statistics and a momentum")
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (samples / (samples - 1)), self.momentum)


def _over_processes(value: Tensor) -> Tensor:
    mean: Tensor = _MeanOverProcesses.apply(value)
    return mean


def synchronise_batch_norm(model: nn.Module, processes: Processes) -> None:
    """Let the `nn.BatchNorm2d` inside `model` take their statistics over all processes; with one, nothing changes.

    Parameters and buffers stay the same objects, under the same names.

    Raises:
        TypeError: a batch norm has no weights, running statistics or momentum, which no network here has.
    """
    if processes.count == 1:
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _synced(child))


def _synced(norm: nn.BatchNorm2d) -> SyncedBatchNorm2d:
    if not norm.affine or norm.momentum is None or not norm.track_running_stats:
        raise TypeError("only a batch norm with weights, running statistics and a momentum can be synchronised")
    twin = SyncedBatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    twin.weight, twin.bias = norm.weight, norm.bias
    for buffer in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(twin, buffer, getattr(norm, buffer))
    return twin.train(norm.training)
