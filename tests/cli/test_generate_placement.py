"""`vec2face generate` in parts, on a cluster, under a launcher: what the options say, and what they refuse."""

import sys
from pathlib import Path

import pytest
from click.testing import Result

from tests import commands
from tests.commands import sentence

SMALL = ("--source", "gaussian", "--identities", 3, "--images-per-identity", 2, "--identities-per-shard", 1)


@pytest.fixture
def run(tiny_generator_dir: Path, tmp_path: Path):
    def run_generate(*options: object) -> Result:
        made = ("generate", "--weights", tiny_generator_dir, *SMALL, "--audit", "none", "--out", tmp_path / "faces")
        return commands.run(*made, *options)

    return run_generate


def test_jobs_of_an_array_make_a_dataset(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "faces"
    told = []
    for job in range(2):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(job))
        result = run("--workers", 1, "--shard-index", "env", "--shard-count", 2)
        assert result.exit_code == 0, result.output
        told.append(result.stdout)
    assert told[0].startswith(f"{out}: 4 rendered in ")
    assert told[0].endswith("1 of 3 shards are left to other runs.\n")
    assert told[1].startswith(f"{out}: 6 images of 3 identities (2 rendered in ")
    assert (out / "metadata.parquet").exists()
    again = run("--workers", 1, "--shard-range", "0:1")
    assert again.stdout == (
        f"{out}: nothing was left to render; every shard is there, and another run finishes the dataset or has "
        "finished it.\n"
    )


def test_the_run_that_finishes_audits_and_no_other(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vec2face.workflow

    class Audited(Exception):
        pass

    def audit(*arguments: object, **options: object) -> None:
        raise Audited

    monkeypatch.setattr(vec2face.workflow, "audit_dataset", audit)
    monkeypatch.setattr(vec2face.workflow, "generator_lineage", lambda *arguments, **options: None)
    assert run("--workers", 1, "--audit", "full", "--shard-range", "0:2").exit_code == 0
    assert isinstance(run("--workers", 1, "--audit", "full", "--shard-range", "2:").exception, Audited)
    assert run("--workers", 1, "--audit", "full", "--shard-range", "2:").exit_code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--shard-count", 2), "--shard-count belongs to --shard-index."),
        (("--shard-range", "0:1", "--shard-index", 0), "--shard-range and --shard-index exclude each other."),
        (("--shard-range", "1"), "'1' is no range of shards"),
        (("--shard-index", "first"), "'first' is neither a number from 0 on nor env"),
        (("--shard-index", "env"), "no scheduler numbers this job"),
        (("--shard-index", 3), "the index is 3, but there are 3 shards, numbered from 0 to 2"),
        (("--retries", 2), "--retries belongs to --executor ray."),
        (("--gpus-per-worker", 1), "--gpus-per-worker belongs to --executor ray."),
        (("--executor", "ray", "--retries", -1), "options: retries: input should be greater than or equal to 0"),
        (("--executor", "ray", "--workers", 1), "pip install 'vec2face[ray]'"),
    ],
)
def test_mistakes_are_told(
    run, options: tuple[object, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    assert told in sentence(run(*options))
    assert not list((tmp_path / "faces").glob("shards/*"))


def test_a_launcher_decides_how_many_there_are(run, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert "leave --workers and --executor ray out" in sentence(run("--workers", 2))


def test_a_repair_is_of_a_whole_dataset(run) -> None:
    told = sentence(run("--workers", 1, "--audit", "full", "--repair", "--shard-range", "0:1"))
    assert "a repair is of a whole dataset" in told
