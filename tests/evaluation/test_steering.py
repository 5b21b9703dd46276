"""What an audit says of a steered dataset: distributions, shares, statuses and costs, counted by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp

from vec2face.errors import DatasetError
from vec2face.evaluation.steering import greatest_difference, measure_steering

DESCRIBED = [
    {"name": "yaw", "unit": "degrees", "asked": "uniform[-40, 40]", "tolerance": 5, "error": 4.2},
    {"name": "age", "unit": "years", "asked": "{18..30: 0.5, >=30: 0.5}", "tolerance": 3, "error": None},
]
ROWS: list[dict[str, Any]] = [
    # status, steering, passes, gradients, redraws, yaw asked and measured, age's interval and measured
    {"status": "kept", "steering": "converged", "cost": (2, 0, 0), "yaw": (-30.0, -27.0), "age": (18.0, 30.0, 25.0)},
    {"status": "kept", "steering": "converged", "cost": (4, 2, 1), "yaw": (10.0, 12.0), "age": (30.0, None, 44.0)},
    {"status": "kept", "steering": "capped", "cost": (9, 7, 0), "yaw": (40.0, 20.0), "age": (18.0, 30.0, 35.0)},
    {"status": "rejected: x", "steering": "rejected", "cost": (5, 1, 2), "yaw": (0.0, None), "age": (30.0, None, None)},
]


class Reader:
    """As much of a dataset's reader as is used."""

    def __init__(self, folder: Path, described: list[dict[str, Any]] | None = DESCRIBED) -> None:
        self.metadata_path = folder / "metadata.parquet"
        self.description = {} if described is None else {"steering": {"attributes": described}}


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    columns: dict[str, list[Any]] = {
        "status": [row["status"] for row in ROWS],
        "steering": [row["steering"] for row in ROWS],
        "requested_yaw": [row["yaw"][0] for row in ROWS],
        "requested_yaw_low": [row["yaw"][0] - 5 for row in ROWS],
        "requested_yaw_high": [row["yaw"][0] + 5 for row in ROWS],
        "measured_yaw": [row["yaw"][1] for row in ROWS],
        "requested_age_low": [row["age"][0] for row in ROWS],
        "requested_age_high": [row["age"][1] for row in ROWS],
        "measured_age": [row["age"][2] for row in ROWS],
    }
    for place, name in enumerate(("steering_passes", "steering_gradients", "redraws")):
        columns[name] = [row["cost"][place] for row in ROWS]
    table = pa.table({**columns, "requested_age": pa.array([None] * 4, pa.float64())})
    pq.write_table(table, tmp_path / "metadata.parquet")
    return Reader(tmp_path)


def test_the_facts_are_those_counted_by_hand(reader: Reader) -> None:
    found = measure_steering(reader)  # type: ignore[arg-type]
    assert found is not None
    facts = json.loads(json.dumps(found.facts(), allow_nan=False))
    assert (facts["images"], facts["kept"], facts["redrawn"]) == (4, 3, 2)
    assert facts["statuses"] == {"converged": 2, "capped": 1, "rejected": 1}
    assert (facts["passes"], facts["gradients"]) == (10.0, 5.0)
    yaw, age = facts["attributes"]
    assert (yaw["name"], yaw["asked"], yaw["error"], yaw["met"], yaw["bins"]) == (
        "yaw",
        "uniform[-40, 40]",
        4.2,
        pytest.approx(2 / 3),
        None,
    )
    assert yaw["requested"] == {"min": -30, "q10": pytest.approx(-21), "q50": 5, "q90": pytest.approx(31), "max": 40}
    assert yaw["measured"] == {
        "min": -27,
        "q10": pytest.approx(-19.2),
        "q50": 12,
        "q90": pytest.approx(18.4),
        "max": 20,
    }
    assert yaw["distance"] == pytest.approx(ks_2samp([-30, 10, 40, 0], [-27, 12, 20]).statistic)
    assert (age["requested"], age["distance"], age["met"]) == (None, None, pytest.approx(2 / 3))
    assert age["bins"] == [
        {"interval": "18..30", "asked": 0.5, "measured": pytest.approx(1 / 3)},
        {"interval": ">=30", "asked": 0.5, "measured": pytest.approx(2 / 3)},
    ]


def test_each_attribute_is_plotted(reader: Reader, tmp_path: Path) -> None:
    found = measure_steering(reader)  # type: ignore[arg-type]
    assert found is not None
    figures = found.draw(tmp_path / "report")
    assert [(one["file"], one["kind"]) for one in figures] == [
        ("attribute-0.png", "attributes"),
        ("attribute-1.png", "attributes"),
    ]
    assert all((tmp_path / "report" / one["file"]).read_bytes().startswith(b"\x89PNG") for one in figures)


def test_a_dataset_without_attributes_has_none(tmp_path: Path) -> None:
    assert measure_steering(Reader(tmp_path, described=None)) is None  # type: ignore[arg-type]


def test_a_table_without_its_columns_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"status": ["kept"]}), tmp_path / "metadata.parquet")
    with pytest.raises(DatasetError, match=r"metadata\.parquet does not say how images were steered"):
        measure_steering(Reader(tmp_path))  # type: ignore[arg-type]


def test_the_difference_of_distributions_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for first, second in ((rng.normal(size=50), rng.normal(0.5, size=80)), (np.array([1.0, 1.0]), np.array([1.0]))):
        assert greatest_difference(first, second) == pytest.approx(ks_2samp(first, second).statistic)
