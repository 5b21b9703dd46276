"""Which shards a run renders, where several runs share a dataset. No torch here.

A scheduler numbers the jobs of an array in an environment variable; `scheduled_index` reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from vec2face.errors import ConfigError


class Part(Protocol):
    """A part of a dataset's shards; parts may overlap."""

    def of(self, shards: int) -> range:
        """Return the indices of the part among `shards` shards. Raises `ConfigError` if it is none of them."""


@dataclass(frozen=True)
class ShardRange:
    """Shards `first` to `end` - 1; null `end`: to the last one. An `end` beyond the last shard means the last one."""

    first: int
    end: int | None = None

    @classmethod
    def parse(cls, text: str) -> "ShardRange":
        """Read "A:B", "A:" or ":B". Raises `ConfigError` for anything else."""
        start, colon, stop = text.partition(":")
        if colon and all(not part or (part.isascii() and part.isdigit()) for part in (start, stop)):
            first, end = int(start or 0), int(stop) if stop else None
            if end is None or first <= end:
                return cls(first, end)
        raise ConfigError(f"{text!r} is no range of shards; give FIRST:END, such as 0:10 for shards 0 to 9.")

    def of(self, shards: int) -> range:
        if self.first >= shards and self.first != self.end:
            raise ConfigError(
                f"the range begins at shard {self.first}, but there are {shards}, numbered from 0; choose a lower one."
            )
        return range(self.first, shards if self.end is None else min(self.end, shards))


@dataclass(frozen=True)
class ShardShare:
    """Every `count`-th shard from shard `index` on: share `index` of `count` equal ones, numbered from 0.

    Null `count` makes as many shares as there are shards, so that share i is shard i. Neighbouring shards go to
    different shares, so that what an earlier run left undone is spread over all of them.
    """

    index: int
    count: int | None = None

    def of(self, shards: int) -> range:
        count = shards if self.count is None else self.count
        if not 0 <= self.index < count:
            what = "shards" if self.count is None else "shares"
            raise ConfigError(
                f"the index is {self.index}, but there are {count} {what}, numbered from 0 to {count - 1}; number the "
                "jobs likewise, or say with --shard-count how many jobs share the shards."
            )
        return range(self.index, shards, count)


# Variable -> number of the first job: some schedulers cannot count from 0.
_FIRST_JOB = {
    "SLURM_ARRAY_TASK_ID": 0,
    "AWS_BATCH_JOB_ARRAY_INDEX": 0,
    "PBS_ARRAY_INDEX": 0,
    "PBS_ARRAYID": 0,
    "JOB_COMPLETION_INDEX": 0,  # Kubernetes, indexed jobs
    "BATCH_TASK_INDEX": 0,  # Google Cloud Batch
    "SGE_TASK_ID": 1,
    "LSB_JOBINDEX": 1,  # LSF
}


def scheduled_index(environment: Mapping[str, str]) -> int:
    """Return the number that a batch scheduler gave this job of an array, counted from 0.

    Args:
        environment: the environment's variables.

    Raises:
        ConfigError: no scheduler's variable holds a number (a job outside an array has none), or two disagree.
    """
    found = {}
    for variable, first in _FIRST_JOB.items():
        text = environment.get(variable, "")
        # Grid Engine says "undefined", LSF 0, for a job that is no array.
        if text.isascii() and text.isdigit() and int(text) >= first:
            found[variable] = int(text) - first
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    if found:
        raise ConfigError(f"{' and '.join(found)} disagree about the number of this job; give it as --shard-index N.")
    raise ConfigError(
        f"no scheduler numbers this job: none of {', '.join(_FIRST_JOB)} holds its index; submit it as a job array, or "
        "give a number as --shard-index N."
    )
