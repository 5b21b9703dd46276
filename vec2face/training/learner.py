"""A network with its optimiser: gradients over the passes and processes of a step, then one change of the weights."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from vec2face.errors import InputError
from vec2face.training.precision import Precision, loss_scaler
from vec2face.training.processes import Processes

# Scaling that has fallen this low no longer fails for lack of range: the gradient itself has no finite value.
SMALLEST_SCALE = 2.0**-10


class NotFiniteError(InputError):
    """A loss or a gradient is infinite or no number: the training cannot go on from here as it is."""


class Learner:
    """Trains one network by a loss; the model has one, and so has each companion, such as a discriminator.

    A step is `begin`, then `backward` for each pass, then `finish`. The gradient is that of the mean over passes and
    processes, which is the gradient of the whole batch's mean loss.

    Args:
        name: what messages and checkpoints call it.
        module: the network.
        optimizer: of the network's parameters.
        passes: how many times `backward` is called in a step.
        precision: of the forward passes; float16 scales the loss.
        processes: the processes to average over.
        gradient_clip: largest norm of the gradient, None for no limit.
    """

    def __init__(
        self,
        *,
        name: str,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        passes: int,
        precision: Precision,
        processes: Processes,
        gradient_clip: float | None = None,
    ) -> None:
        self.name, self.module, self.optimizer = name, module, optimizer
        self._passes, self._processes, self._clip = passes, processes, gradient_clip
        self._scaler = loss_scaler(processes.device, precision)

    def begin(self) -> None:
        """Forget the gradients of the last step."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of one pass's loss, a scalar."""
        self._scaler.scale(loss / self._passes).backward()

    def finish(self) -> float:
        """Average the gradient over the processes, clip it, and change the weights.

        Returns:
            the norm of the gradient before clipping, NaN where no loss was given. In float16 it may be infinite: such a
            step changes nothing, and the next one scales its loss less.

        Raises:
            NotFiniteError: the gradient is not finite; the message names the parameters. Every process raises it.
        """
        named = [(name, p) for name, p in self.module.named_parameters() if p.grad is not None]
        gradients = [parameter.grad for _, parameter in named if parameter.grad is not None]
        if not gradients:
            return math.nan
        self._processes.average_(gradients)
        self._scaler.unscale_(self.optimizer)
        norm = self._clip_gradients(named)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return norm

    def before_save(self) -> None:
        """Prepare for `state` in every process together; the main one alone writes it. Here nothing is to be done."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps besides the network: optimiser, and scaler where there is one."""
        kept = {"optimizer": self.optimizer.state_dict()}
        if self._scaler.is_enabled():
            kept["scaler"] = self._scaler.state_dict()
        return kept

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])

    def _clip_gradients(self, named: list[tuple[str, nn.Parameter]]) -> float:
        limit = math.inf if self._clip is None else self._clip
        try:
            return float(clip_grad_norm_([parameter for _, parameter in named], limit, error_if_nonfinite=True))
        except RuntimeError:  # torch's word for a norm that is not finite; the gradients are as they were
            bad = [name for name, p in named if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
        if bad and self._scaler.is_enabled() and self._scaler.get_scale() > SMALLEST_SCALE:
            return math.inf
        if not bad:
            raise NotFiniteError(f"the norm of the {self.name}'s gradient is not finite, though each part of it is")
        more = f" and {len(bad) - 1} more parameters" if len(bad) > 1 else ""
        raise NotFiniteError(f"the gradient of {self.name}.{bad[0]}{more} is not finite")
