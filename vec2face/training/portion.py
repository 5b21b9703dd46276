"""Which samples of a step one forward and backward pass works on."""

from dataclasses import dataclass
from typing import Any, TypeVar

from vec2face.errors import ConfigError

Drawn = TypeVar("Drawn", bound=Any)


@dataclass(frozen=True)
class Portion:
    """Every `stride`-th of the `total` samples that all processes and passes of a step see together.

    Whatever is random about a sample is drawn by its place in the whole batch, so that neither the number of processes
    nor the number of passes changes it: draw for all `total` samples, keyed by the step, then take `of`. Strides give
    every pass its share of a batch whose first samples are of one kind and whose last of another.

    Attributes:
        step: number of the step, from 0.
        first: place of the first sample in the step's whole batch.
        stride: distance of the samples' places.
        total: size of the whole batch.
    """

    step: int
    first: int
    stride: int
    total: int

    def __len__(self) -> int:
        return len(range(self.first, self.total, self.stride))

    @property
    def images_before(self) -> int:
        """Images seen before this step, by all processes together."""
        return self.step * self.total

    def of(self, drawn: Drawn) -> Drawn:
        """Return this portion's part of something drawn for the whole batch, along the first dimension."""
        if len(drawn) != self.total:
            raise ValueError(f"drawn for {len(drawn)} samples, but the step has {self.total}")
        part: Drawn = drawn[self.first :: self.stride]
        return part

    def split(self, place: int) -> tuple["Portion", "Portion"]:
        """Split a batch whose first `place` samples are of one kind into portions of that kind and of the other."""
        return (
            Portion(self.step, self.first, self.stride, place),
            Portion(self.step, (self.first - place) % self.stride, self.stride, self.total - place),
        )


def whole_step(step: int, total: int) -> Portion:
    """The portion that is all of a step: one process, one pass."""
    return Portion(step, 0, 1, total)


def portions_of(step: int, *, total: int, passes: int, process: int, processes: int) -> list[Portion]:
    """Return what one process works on in a step, pass by pass.

    The samples that share a pass, and so its batch statistics, are the same however many processes there are.

    Raises:
        ConfigError: the batch cannot be shared out equally.
    """
    stride = passes * processes
    if total % stride:
        raise ConfigError(
            f"a batch of {total} images cannot be shared equally by {processes} processes in {passes} passes; "
            f"set schedule.batch_size to a multiple of {stride}, or start another number of processes."
        )
    return [Portion(step, number + process * passes, stride, total) for number in range(passes)]
