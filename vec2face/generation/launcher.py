"""Whether a launcher (torchrun, accelerate launch) started this process as one of several. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass

from vec2face.errors import ConfigError

_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class ProcessPlace:
    """This process among those that a launcher started.

    Attributes:
        index: number of this process, from 0.
        local_index: its number on this machine, and of its GPU.
        count: how many there are, 2 or more.
    """

    index: int
    local_index: int
    count: int

    @property
    def is_first(self) -> bool:
        """Whether this is the process that plans, finishes the dataset and reports."""
        return self.index == 0


def find_place(environment: Mapping[str, str]) -> ProcessPlace | None:
    """Return this process's place, or None where it is alone.

    Args:
        environment: the environment's variables; launchers set RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.

    Raises:
        ConfigError: the variables are there but hold no numbers that fit together.
    """
    if any(not environment.get(variable) for variable in _VARIABLES):
        return None
    try:
        index, local_index, count = (int(environment[variable]) for variable in _VARIABLES[:3])
        possible = 0 <= local_index <= index < count
    except ValueError:
        possible = False
    if not possible:
        found = ", ".join(f"{variable}={environment[variable]}" for variable in _VARIABLES[:3])
        raise ConfigError(f"the launcher's variables make no sense ({found}); start with torchrun, or unset them.")
    return ProcessPlace(index, local_index, count) if count > 1 else None
