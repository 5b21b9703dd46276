"""Which shards a run takes of a shared dataset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vec2face.errors import ConfigError
from vec2face.generation.part import ShardRange, ShardShare, scheduled_index


@given(shards=st.integers(1, 200), count=st.integers(1, 300))
def test_shares_are_equal_and_hold_every_shard_once(shards: int, count: int) -> None:
    shares = [list(ShardShare(index, count).of(shards)) for index in range(count)]
    assert sorted(shard for share in shares for shard in share) == list(range(shards))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2:5", [2, 3, 4]),
        (":2", [0, 1]),
        ("7:", [7, 8, 9]),
        ("8:99", [8, 9]),
        ("0:0", []),
        ("10:10", []),
        (":", [*range(10)]),
    ],
)
def test_ranges(text: str, expected: list[int]) -> None:
    assert list(ShardRange.parse(text).of(10)) == expected


@pytest.mark.parametrize("text", ["3", "5:2", "a:b", "-1:2", "1:2:3", "", "1.5:2", "²:3"])
def test_what_is_no_range_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="is no range of shards; give FIRST:END"):
        ShardRange.parse(text)


def test_what_lies_beyond_the_shards_is_told() -> None:
    with pytest.raises(ConfigError, match="begins at shard 10, but there are 10, numbered from 0"):
        ShardRange(10).of(10)
    with pytest.raises(ConfigError, match="the index is 10, but there are 10 shards, numbered from 0 to 9"):
        ShardShare(10).of(10)
    with pytest.raises(ConfigError, match="the index is 4, but there are 4 shares"):
        ShardShare(4, 4).of(10)
    assert list(ShardShare(9).of(10)) == [9]
    assert list(ShardShare(12, 16).of(10)) == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_ARRAY_TASK_ID": "0"}, 0),
        ({"SLURM_ARRAY_TASK_ID": "7", "HOME": "/root"}, 7),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "3"}, 3),
        ({"SGE_TASK_ID": "1"}, 0),
        ({"LSB_JOBINDEX": "4", "SGE_TASK_ID": "undefined"}, 3),
        ({"PBS_ARRAY_INDEX": "2", "PBS_ARRAYID": "2"}, 2),
    ],
)
def test_the_schedulers_number_is_found(environment: dict[str, str], expected: int) -> None:
    assert scheduled_index(environment) == expected


@pytest.mark.parametrize("environment", [{}, {"SGE_TASK_ID": "undefined"}, {"LSB_JOBINDEX": "0"}])
def test_a_job_outside_an_array_is_told(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="no scheduler numbers this job: none of SLURM_ARRAY_TASK_ID"):
        scheduled_index(environment)


def test_schedulers_that_disagree_are_told() -> None:
    with pytest.raises(ConfigError, match="SLURM_ARRAY_TASK_ID and SGE_TASK_ID disagree"):
        scheduled_index({"SLURM_ARRAY_TASK_ID": "1", "SGE_TASK_ID": "1"})
