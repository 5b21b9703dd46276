"""Class centres shared out over processes, and a softmax over all of them or over a sample.

Every process holds a part of the classes. In each pass it collects the embeddings of all processes, computes their
logits for its own part, and the softmax's maximum and sum are exchanged, so that no process ever holds a whole row of
logits ("Partial FC", arXiv 2010.05222 and 2203.15565). With `centre_share` below 1, a step uses the centres of the
people in its batch and random others; it is drawn from the step alone, and with 1 it is the plain softmax.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from vec2face.models.heads.base import MarginHead, cosines, require_labels
from vec2face.seeding import rng_for, seed_for
from vec2face.training.centre_rows import RowOptimizer
from vec2face.training.learner import Learner, NotFiniteError
from vec2face.training.processes import Processes

FIRST_DEVIATION = 0.01
_DRAW_ROWS = 1 << 14  # centres are drawn in blocks, each from its own seed, so that a process draws only its part


def sample_classes(labels: np.ndarray, classes: int, *, share: float, seed: int, step: int) -> np.ndarray | None:
    """Return the classes of a step, sorted int64: those of its batch, filled up with random ones; None for all.

    Args:
        labels: of the step's whole batch, of all processes.
        classes: C, how many there are.
        share: K / C; there may be more where the batch alone has more classes.
        seed, step: what the random ones are keyed by.
    """
    if share == 1:
        return None
    positive = np.unique(labels)
    wanted = max(len(positive), round(share * classes))
    chance = rng_for(seed, "class-sample", step).random(classes)
    chance[positive] = 2.0
    return np.sort(np.argpartition(-chance, wanted - 1)[:wanted]).astype(np.int64)


class CentreLearner(Learner):
    """The centres of this process's classes, with their optimiser and the head.

    Args:
        head: margins and running statistics.
        classes: C, of all processes together.
        dim: D.
        make_optimizer: `(rows, D)` weights -> their optimiser.
        rate: images seen before a step -> its learning rate.
        seed: of the first centres, N(0, 0.01^2) each, whatever the number of processes.
        passes: how many times `classify` is called in a step.
        processes: the processes that share the classes.
    """

    def __init__(
        self,
        *,
        head: MarginHead,
        classes: int,
        dim: int,
        make_optimizer: Callable[[Tensor], RowOptimizer],
        rate: Callable[[int], float],
        seed: int,
        passes: int,
        processes: Processes,
    ) -> None:
        # Nothing of the base's work applies: each process's centres are its own, and there is no scaling in float32.
        self.name, self.module = "centres", nn.Module()
        self.head = head.to(processes.device)
        self.classes, self._passes, self._processes, self._rate = classes, passes, processes, rate
        self._bounds = _shares(classes, processes.count)
        start, stop = self._bounds[processes.index]
        self.weight = _first_centres(start, stop, dim, seed).to(processes.device)
        self._rows_optimizer = make_optimizer(self.weight)
        self._gradient: Tensor | None = None
        self._rows: Tensor | None = None
        self._images_before = 0
        self._gathered: dict[str, Tensor] | None = None

    def begin(self) -> None:
        """Forget the gradient of the last step."""
        self._gradient = None

    def classify(self, embeddings: Tensor, labels: Tensor, sampled: Tensor | None, *, images_before: int) -> Tensor:
        """Return the mean loss over this pass's samples of all processes, with its gradient for `embeddings`.

        The centres' gradient is kept for `finish`.

        Args:
            embeddings: `(B, D)` of this process; every process brings as many.
            labels: `(B,)` int64 classes.
            sampled: `(K,)` sorted classes of the step, with all of the batch's among them, or None for all. The same
                in every process and pass of the step.
            images_before: images seen before this step.

        Raises:
            InputError: a label is out of range.
        """
        require_labels(labels, self.classes)
        self._images_before = images_before
        start, stop = self._bounds[self._processes.index]
        self._rows = None if sampled is None else sampled[(sampled >= start) & (sampled < stop)] - start
        with torch.autocast(embeddings.device.type, enabled=False), torch.enable_grad():
            values = self._gather(embeddings.detach().float()).requires_grad_()
            columns = _columns(self._gather(labels), self._rows, start=start, stop=stop)
            centres = (self.weight if self._rows is None else self.weight[self._rows]).detach().requires_grad_()
            loss, for_values, for_centres = self._differentiate(values, centres, columns)
        for_centres /= self._passes
        self._gradient = for_centres if self._gradient is None else self._gradient.add_(for_centres)
        # The learner of the network averages gradients over processes, where this loss is of all of them.
        mine = for_values[self._processes.index * len(embeddings) :][: len(embeddings)] * self._processes.count
        loss_with_gradient: Tensor = _GivenGradient.apply(embeddings, loss, mine)
        return loss_with_gradient

    def finish(self) -> float:
        """Change the centres of the step's classes; returns the norm of this process's part of the gradient.

        Raises:
            NotFiniteError: it is not finite.
        """
        if self._gradient is None:
            return float("nan")
        norm = float(self._gradient.norm())
        if not np.isfinite(norm):
            raise NotFiniteError("the gradient of the class centres is not finite")
        rate = self._rate(self._images_before)
        self._rows_optimizer.step(self.weight, self._rows, self._gradient, rate=rate)
        return norm

    def before_save(self) -> None:
        """Bring the centres of all processes to the main one."""
        parts = {"weight": self.weight, **self._rows_optimizer.state}
        self._gathered = {name: self._collect(part) for name, part in parts.items()}

    def state(self) -> dict[str, Any]:
        """Return the centres of all classes with their optimiser's moments, and the head's statistics."""
        if self._gathered is None:
            self.before_save()
        gathered, self._gathered = self._gathered, None
        return {"optimizer": {**(gathered or {}), "head": self.head.state_dict()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Take this process's part of what `state` returned; the number of processes may be another."""
        values = state["optimizer"]
        start, stop = self._bounds[self._processes.index]
        for name, mine in {"weight": self.weight, **self._rows_optimizer.state}.items():
            mine.copy_(values[name][start:stop])
        self.head.load_state_dict(values["head"])

    def _differentiate(self, values: Tensor, centres: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss over all classes, and its gradients for all embeddings and for this process's centres."""
        cosine, norms = cosines(values, centres)
        here = columns >= 0
        own = torch.zeros_like(norms)
        own[here] = cosine.detach()[here, columns[here]]
        self._sum_(own)
        self.head.observe(own, norms.detach())
        logits = self.head.logits(cosine, columns, own=own, norms=norms)
        with torch.no_grad():
            # A process may have none of the step's classes.
            highest = logits.amax(dim=1) if logits.shape[1] else torch.full_like(norms, -torch.inf)
            highest = self._max_(highest.detach().clone())
            share = torch.exp(logits - highest[:, None])
            total = self._sum_(share.sum(dim=1))
            target = torch.zeros_like(norms)
            target[here] = logits[here, columns[here]]
            target = self._sum_(target)
            loss = (total.log() + highest - target).mean()
            share /= total[:, None]
            share[here, columns[here]] -= 1
            share /= len(values)
        for_values, for_centres = torch.autograd.grad(logits, (values, centres), share, retain_graph=True)
        for_values = self._sum_(for_values.contiguous())
        term = self.head.regulariser(norms)
        if term is not None:
            # The same in every process, so it is added after their sum.
            loss = loss + term.detach()
            for_values = for_values + torch.autograd.grad(term, values)[0]
        return loss, for_values, for_centres

    def _gather(self, mine: Tensor) -> Tensor:
        """Put the equally long tensors of all processes behind one another."""
        if self._processes.count == 1:
            return mine
        parts = [torch.empty_like(mine) for _ in range(self._processes.count)]
        distributed.all_gather(parts, mine.contiguous())
        return torch.cat(parts)

    def _sum_(self, tensor: Tensor) -> Tensor:
        if self._processes.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def _max_(self, tensor: Tensor) -> Tensor:
        if self._processes.count > 1:
            distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX)
        return tensor

    def _collect(self, mine: Tensor) -> Tensor:
        """Return the rows of all processes in the CPU's memory, complete in the main one."""
        if self._processes.count == 1:
            return mine.cpu()
        # One process after another, so that no device ever holds more than a part beside its own.
        parts = []
        for index, (start, stop) in enumerate(self._bounds):
            own = index == self._processes.index
            part = mine.contiguous() if own else mine.new_empty((stop - start, *mine.shape[1:]))
            distributed.broadcast(part, src=index)
            if self._processes.is_main:
                parts.append(part.cpu())
        return torch.cat(parts) if parts else mine.new_empty(0)


class _GivenGradient(torch.autograd.Function):
    """A loss whose gradient for the embeddings is known already."""

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient.to(embeddings.dtype))
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (known,) = ctx.saved_tensors
        return known * gradients[0], None, None


def _shares(classes: int, processes: int) -> list[tuple[int, int]]:
    """Return first and last (excluded) class of each process; their sizes differ by at most one."""
    bounds = [classes * index // processes for index in range(processes + 1)]
    return list(pairwise(bounds))


def _first_centres(start: int, stop: int, dim: int, seed: int) -> Tensor:
    blocks = []
    for block in range(start // _DRAW_ROWS, -(-stop // _DRAW_ROWS)):
        generator = torch.Generator().manual_seed(seed_for(seed, "class-centres", block) % 2**63)
        blocks.append(torch.randn(_DRAW_ROWS, dim, generator=generator))
    if not blocks:
        return torch.empty(0, dim)
    first = start // _DRAW_ROWS * _DRAW_ROWS
    return torch.cat(blocks)[start - first : stop - first].mul(FIRST_DEVIATION)


def _columns(labels: Tensor, rows: Tensor | None, *, start: int, stop: int) -> Tensor:
    """Return the column of each label among this process's classes of the step, -1 where it is elsewhere."""
    local = labels - start
    here = (local >= 0) & (local < stop - start)
    if rows is not None:
        local = torch.searchsorted(rows, local)
    return torch.where(here, local, -1)
