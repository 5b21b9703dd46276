"""A step's samples are shared out completely, and what shares a pass does not depend on the number of processes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vec2face.errors import ConfigError
from vec2face.training.augment import AugmentStrength, augment
from vec2face.training.portion import Portion, portions_of, whole_step


def places(portion: Portion) -> list[int]:
    return list(portion.of(range(portion.total)))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_every_sample_belongs_to_one_portion_and_a_pass_is_the_same_for_any_number_of_processes(
    passes: int, processes: int, size: int
) -> None:
    total = passes * processes * size
    alone = portions_of(3, total=total, passes=passes, process=0, processes=1)
    shared = [portions_of(3, total=total, passes=passes, process=p, processes=processes) for p in range(processes)]
    for number, whole_pass in enumerate(alone):
        parts = [places(portions[number]) for portions in shared]
        assert sorted(place for part in parts for place in part) == places(whole_pass)
        assert {len(part) for part in parts} == {size}
    assert sorted(place for portion in alone for place in places(portion)) == list(range(total))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.data())
def test_a_portion_of_two_kinds_splits_into_their_places(passes: int, processes: int, size: int, data: st.DataObject):
    total = passes * processes * size
    border = data.draw(st.integers(0, total))
    for process in range(processes):
        for portion in portions_of(0, total=total, passes=passes, process=process, processes=processes):
            first, second = portion.split(border)
            assert places(first) + [border + place for place in places(second)] == places(portion)
            assert len(first) + len(second) == len(portion) == size


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 6"):
        portions_of(0, total=32, passes=2, process=0, processes=3)


def test_a_draw_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="drawn for 3 samples, but the step has 4"):
        whole_step(0, 4).of([1, 2, 3])


def test_an_image_is_augmented_alike_in_any_portion() -> None:
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    strength = AugmentStrength(4, 0.1, 10, 0.3, 0.5, 0.1)
    whole = augment(images, strength, torch.Generator().manual_seed(1))
    for portion in portions_of(0, total=6, passes=3, process=0, processes=1):
        part = augment(portion.of(images), strength, torch.Generator().manual_seed(1), portion)
        assert torch.allclose(part, portion.of(whole), atol=1e-6)
