"""Optimisers of class centres, of which a step may change a few rows only.

The rows of a step are all that is read or written: the others keep their weights and their moments. For all rows, each
does what torch's optimiser of the same name does.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class RowOptimizer(ABC):
    """Changes rows of a `(C, D)` tensor.

    Attributes:
        state: tensors of C rows each, which a checkpoint keeps.
    """

    state: dict[str, Tensor]

    @abstractmethod
    def step(self, weight: Tensor, rows: Tensor | None, gradient: Tensor, *, rate: float) -> None:
        """Change `weight` in place.

        Args:
            weight: `(C, D)`.
            rows: `(K,)` int64 rows of the step without repetition, or None for all.
            gradient: `(K, D)` of those rows.
            rate: learning rate of the step.
        """


class RowSgd(RowOptimizer):
    """m <- momentum m + (g + decay w); w <- w - rate m.

    Args:
        weight: `(C, D)` what will be changed.
        momentum: in [0, 1).
        weight_decay: decay above.
    """

    def __init__(self, weight: Tensor, *, momentum: float, weight_decay: float) -> None:
        self._momentum, self._decay = momentum, weight_decay
        self.state = {"momentum": torch.zeros_like(weight)}

    def step(self, weight: Tensor, rows: Tensor | None, gradient: Tensor, *, rate: float) -> None:
        whole = self.state["momentum"]
        if rows is None:  # in place: copies would take as much memory as the centres themselves
            whole.mul_(self._momentum).add_(gradient).add_(weight, alpha=self._decay)
            weight.add_(whole, alpha=-rate)
            return
        current = weight[rows]
        moment = whole[rows].mul_(self._momentum).add_(gradient).add_(current, alpha=self._decay)
        whole[rows] = moment
        weight[rows] = current.add_(moment, alpha=-rate)


class RowAdamW(RowOptimizer):
    """AdamW (arXiv 1711.05101), whose bias correction counts the steps of each row.

    Args:
        weight: `(C, D)` what will be changed.
        betas: decays of the two moments.
        weight_decay: share of the weight that a step at rate 1 takes away.
    """

    EPSILON = 1e-8

    def __init__(self, weight: Tensor, *, betas: tuple[float, float], weight_decay: float) -> None:
        self._betas, self._decay = betas, weight_decay
        self.state = {
            "mean": torch.zeros_like(weight),
            "square": torch.zeros_like(weight),
            "steps": torch.zeros(len(weight), 1, device=weight.device),
        }

    def step(self, weight: Tensor, rows: Tensor | None, gradient: Tensor, *, rate: float) -> None:
        place = slice(None) if rows is None else rows
        first, second = self._betas
        mean = self.state["mean"][place].lerp(gradient, 1 - first)
        square = self.state["square"][place].mul(second).addcmul_(gradient, gradient, value=1 - second)
        steps = self.state["steps"][place] + 1
        for name, value in (("mean", mean), ("square", square), ("steps", steps)):
            self.state[name][place] = value
        root = (square / (1 - second**steps)).sqrt_().add_(self.EPSILON)
        change = (mean / (1 - first**steps)).div_(root)
        weight[place] = weight[place].mul(1 - rate * self._decay).sub_(change, alpha=rate)
