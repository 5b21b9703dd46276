"""Who is shown on a contact sheet."""

from collections import Counter
from typing import Any

import pytest

from vec2face.data.prepare.examine import REASONS
from vec2face.data.prepare.sheets import Sample, _caption


def row(index: int, reason: str = "", detail: str = "") -> dict[str, Any]:
    return {
        "index": index,
        "source": f"p/{index}.jpg",
        "reason": reason,
        "detail": detail,
        "sharpness": 50.2,
        "brightness": 99.6,
    }


def test_every_reason_has_its_share() -> None:
    sample = Sample(10)
    for index in range(300):
        sample.add(row(index, "too dark" if index % 100 == 0 else "no face"))
    for index in range(300, 306):
        sample.add(row(index, "near duplicate"))
    chosen = sample.of(REASONS)
    assert Counter(r["reason"] for r in chosen) == {"no face": 4, "too dark": 3, "near duplicate": 3}
    assert [r["reason"] for r in chosen] == sorted((r["reason"] for r in chosen), key=list(REASONS).index)


@pytest.mark.parametrize("count", [5, 39, 40, 41, 1000])
def test_a_sample_is_the_same_however_long_the_stream(count: int) -> None:
    forwards, backwards = Sample(10), Sample(10)
    for index in range(count):
        forwards.add(row(index))
        backwards.add(row(count - 1 - index))
    chosen = [r["index"] for r in forwards.of([""])]
    assert chosen == [r["index"] for r in backwards.of([""])]
    assert len(chosen) == len(set(chosen)) == min(10, count)
    if count == 1000:
        assert max(chosen) > 500


def test_captions() -> None:
    assert _caption(row(3)) == ["3.jpg", "50 sharp, 100 bright"]
    limit = row(3, "too dark", "brightness 9, at least 20 wanted")
    assert _caption(limit) == ["too dark", "brightness 9", "3.jpg"]
    assert _caption(row(3, "not an image", "a long sentence")) == ["not an image", "", "3.jpg"]
