"""Reading ahead: batches in their order, failures where they are asked for, and only true waiting counted."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from vec2face.errors import InputError
from vec2face.training.portion import Portion, whole_step
from vec2face.training.reading import ReadAhead

from .test_loop import Points

CPU = torch.device("cpu")


def steps(count: int) -> Iterator[Portion]:
    return (whole_step(step, 2) for step in range(count))


def numbered(portion: Portion) -> Points:
    return Points(torch.tensor([portion.step]))


def test_batches_come_in_order_from_any_number_of_readers_and_end() -> None:
    with ReadAhead(numbered, steps(6), device=CPU, readers=3) as ahead:
        assert [int(ahead.next(portion).values) for portion in steps(6)] == list(range(6))
        with pytest.raises(IndexError):
            ahead.next(whole_step(6, 2))


def test_another_portion_than_the_next_is_refused() -> None:
    with (
        ReadAhead(numbered, steps(3), device=CPU, readers=1) as ahead,
        pytest.raises(RuntimeError, match="out of turn"),
    ):
        ahead.next(whole_step(1, 2))


def test_what_goes_wrong_while_reading_is_raised_where_the_batch_is_asked_for() -> None:
    def broken(portion: Portion) -> Points:
        if portion.step == 1:
            raise InputError("the pack is damaged")
        return numbered(portion)

    with ReadAhead(broken, steps(3), device=CPU, readers=1) as ahead:
        ahead.next(whole_step(0, 2))
        with pytest.raises(InputError, match="damaged"):
            ahead.next(whole_step(1, 2))


def test_waiting_is_counted_until_the_batch_is_there_and_not_after() -> None:
    ready = threading.Event()

    def held(portion: Portion) -> Points:
        if portion.step == 0:
            ready.wait(10)
        return numbered(portion)

    with ReadAhead(held, steps(3), device=CPU, readers=1) as ahead:
        threading.Timer(0.1, ready.set).start()
        began = time.monotonic()
        ahead.next(whole_step(0, 2))
        assert 0.09 <= ahead.waited <= time.monotonic() - began
        counted = ahead.waited
        time.sleep(0.1)
        assert ahead.waited == counted


def test_handing_over_to_the_device_counts_as_waiting() -> None:
    class Slow(Points):
        def to(self, device: torch.device) -> "Slow":
            time.sleep(0.05)
            return self

    with ReadAhead(lambda portion: Slow(torch.zeros(2)), steps(1), device=CPU, readers=1) as ahead:
        ahead.next(whole_step(0, 2))
        assert ahead.waited >= 0.05
