import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from vec2face import benchmarking
from vec2face.errors import WeightsError
from vec2face_cli.bench import bench

pytestmark = pytest.mark.integration


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch, tiny_generator_dir: Path, tiny_embedder_dir: Path) -> list[str]:
    monkeypatch.setattr(benchmarking, "SLOT_SECONDS", 0.0)
    references = ["--weights", str(tiny_generator_dir), "--embedder", str(tiny_embedder_dir)]
    return [*references, "--threads", "1", "--batch-size", "2", "--rounds", "1"]


def test_json_states_machine_rates_and_their_ratio(arguments: list[str]) -> None:
    result = CliRunner().invoke(bench, [*arguments, "--json"], catch_exceptions=False)
    printed = json.loads(result.stdout)
    assert printed["machine"]["cpu_count"] >= 1
    assert [row["network"] for row in printed["results"]] == ["generator", "embedder"]
    for row in printed["results"]:
        assert (row["threads"], row["batch_size"]) == (1, 2)
        ratio = row["bfloat16_images_per_second"] / row["float32_images_per_second"]
        assert row["bfloat16_over_float32"] == pytest.approx(ratio, abs=0.01)


def test_the_table_has_a_row_for_each_network(arguments: list[str]) -> None:
    result = CliRunner().invoke(bench, arguments, catch_exceptions=False)
    assert "generator" in result.stdout
    assert "embedder" in result.stdout


def test_unknown_weights_are_a_users_mistake(arguments: list[str]) -> None:
    with pytest.raises(WeightsError, match="'nothing'"):
        CliRunner().invoke(bench, [*arguments, "--weights", "nothing"], catch_exceptions=False)


@pytest.mark.parametrize("option", ["--batch-size", "--threads", "--rounds"])
def test_zero_is_refused_before_any_work(option: str) -> None:
    result = CliRunner().invoke(bench, [option, "0"])
    assert result.exit_code == 2
    assert "0 is not in the range x>=1" in result.stderr
