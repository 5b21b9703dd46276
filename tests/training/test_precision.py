"""What run.precision auto becomes on the devices of a run, and that a run keeps it."""

from collections.abc import Callable

import pytest
import torch

from vec2face.config.training import Precision, RunOptions, Schedule, TrainingRecipe
from vec2face.training.precision import autocast, dtype_of, loss_scaler, settled
from vec2face.training.processes import Processes

CPU = torch.device("cpu")


class Beside(Processes):
    """This process beside one whose device computes bfloat16, or does not."""

    def __init__(self, *, other: bool, index: int = 0) -> None:
        super().__init__(device=CPU, index=index, count=2)
        self._other = float(other)

    def everywhere(self, number: float) -> list[float]:
        return [number, self._other]


def recipe(precision: Precision) -> TrainingRecipe:
    return TrainingRecipe(
        schedule=Schedule(images=8, batch_size=4, learning_rate=1e-3), run=RunOptions(precision=precision)
    )


def test_recipes_leave_it_to_the_machine_by_default() -> None:
    assert RunOptions().precision == "auto"


@pytest.mark.parametrize(("feature", "precision"), [("amx_bf16", "bfloat16"), ("avx2", "float32")])
def test_auto_is_settled_by_the_device(feature: str, precision: str, cpu_with: Callable[..., None]) -> None:
    cpu_with(feature)
    assert settled(recipe("auto"), Processes(device=CPU)).run.precision == precision
    for explicit in (recipe("float32"), recipe("bfloat16"), recipe("float16")):
        assert settled(explicit, Processes(device=CPU)) is explicit


def test_all_processes_compute_alike(cpu_with: Callable[..., None]) -> None:
    cpu_with("amx_bf16")
    assert settled(recipe("auto"), Beside(other=True)).run.precision == "bfloat16"
    assert settled(recipe("auto"), Beside(other=False)).run.precision == "float32"


def test_slow_arithmetic_is_told_of_by_the_main_process(cpu_with: Callable[..., None]) -> None:
    cpu_with("avx2")
    notes: list[str] = []
    settled(recipe("bfloat16"), Beside(other=True), on_note=notes.append)
    settled(recipe("bfloat16"), Beside(other=True, index=1), on_note=notes.append)
    settled(recipe("auto"), Beside(other=True), on_note=notes.append)
    assert len(notes) == 1
    assert "float32 would be faster (run.precision: auto chooses it)" in notes[0]


def test_nothing_is_computed_before_auto_is_settled() -> None:
    for use in (dtype_of, lambda precision: autocast(CPU, precision), lambda precision: loss_scaler(CPU, precision)):
        with pytest.raises(KeyError):
            use("auto")
