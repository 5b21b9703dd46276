"""The memories of kept images, against dictionaries and plain loops."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vec2face.data.prepare import duplicates
from vec2face.data.prepare.duplicates import NearDuplicates, SameFiles, unit


@given(st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=60))
def test_same_files_are_found_as_a_dictionary_would(steps: list[int | None]) -> None:
    memory, known = SameFiles(), {}
    for index, content in enumerate(steps):
        if content is None:
            memory.settle()
            continue
        digest = hashlib.sha256(bytes([content])).digest()
        assert memory.find(digest) == known.get(digest)
        if digest not in known:
            memory.add(digest, index)
            known[digest] = index


def test_equal_first_halves_are_no_equal_files() -> None:
    memory = SameFiles()
    memory.add(bytes(32), 1)
    memory.add(bytes(8) + b"\1" + bytes(23), 2)
    memory.settle()
    assert memory.find(bytes(8) + b"\1" + bytes(23)) == 2
    assert memory.find(bytes(8) + b"\2" + bytes(23)) is None


@pytest.mark.parametrize("block", [1, 3, 1000])
@pytest.mark.parametrize("people", [None, 3])
def test_nearest_is_what_a_loop_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, people: int | None
) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    rng = np.random.default_rng(0)
    vectors = [unit(vector) for vector in rng.normal(size=(20, 6))]
    labels = [None if people is None else int(rng.integers(people)) for _ in vectors]
    memory = NearDuplicates(tmp_path / "v.npy", width=6, capacity=20, threshold=0.9)
    for row in range(10):
        memory.add(vectors[row], labels[row], 100 + row)
    found = memory.nearest(np.stack(vectors[10:]), labels[10:])
    for row, (cosine, position) in enumerate(found, start=10):
        others = [(float(vectors[row] @ vectors[k]), 100 + k) for k in range(10) if labels[k] == labels[row]]
        best = max(others, default=(-1.0, -1))
        assert position == best[1]
        assert cosine == pytest.approx(best[0], abs=1e-6)
    assert memory.is_near(0.9)
    assert not memory.is_near(0.8999)


def test_nothing_is_near_in_an_empty_memory(tmp_path: Path) -> None:
    memory = NearDuplicates(tmp_path / "v.npy", width=2, capacity=5, threshold=0.9)
    assert memory.nearest(np.eye(2, dtype=np.float32), [None, 4]) == [(-1.0, -1)] * 2
