"""Several runs that each render a part of one dataset end with the bytes of one run, whatever they share."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from vec2face.errors import ConfigError, DatasetError
from vec2face.generation import hold as hold_module
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.hold import FolderInUseError, exclusive, shared
from vec2face.generation.inputs import prepare
from vec2face.generation.part import Part, ShardRange, ShardShare
from vec2face.generation.run import GenerationSummary, generate

PART = """
import sys
from pathlib import Path

from vec2face.config.generation import GenerateRecipe
from vec2face.generation.inputs import prepare
from vec2face.generation.part import ShardRange
from vec2face.generation.run import generate

recipe, out, part = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
plan, bank = prepare(GenerateRecipe.model_validate_json(recipe), Path(out))
summary = generate(plan, Path(out), part=ShardRange.parse(part), bank=bank, workers=1)
print(int(summary.finished))
"""


@pytest.fixture
def quiet(make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path) -> dict[str, str]:
    """What one undisturbed run writes."""
    make_dataset(make_recipe(), tmp_path / "quiet")
    return contents(tmp_path / "quiet")


@pytest.fixture
def make_part(make_recipe: MakeRecipe, tmp_path: Path):
    def make(part: Part, **changes: object) -> GenerationSummary:
        out = tmp_path / "parts"
        plan, bank = prepare(make_recipe(**changes), out)
        return generate(plan, out, part=part, bank=bank, workers=1)

    return make


def test_the_last_part_finishes_for_all(make_part, quiet: dict[str, str], tmp_path: Path) -> None:
    begun = make_part(ShardRange(0, 0))
    assert (begun.rendered_shards, begun.missing_shards, begun.finished) == (0, 3, False)
    assert sorted(contents(tmp_path / "parts")) == ["dataset.json", "identities.safetensors"]
    second = make_part(ShardShare(1, 2))
    assert (second.rendered_shards, second.missing_shards, second.finished) == (1, 2, False)
    overlapping = make_part(ShardRange(1, 3))
    assert (overlapping.rendered_shards, overlapping.missing_shards) == (1, 1)
    assert not (tmp_path / "parts" / "metadata.parquet").exists()
    last = make_part(ShardShare(0))
    assert (last.rendered_shards, last.missing_shards, last.finished, last.images) == (1, 0, True, 20)
    assert contents(tmp_path / "parts") == quiet
    again = make_part(ShardRange(0))
    assert (again.rendered_shards, again.missing_shards, again.finished) == (0, 0, False)


def test_a_part_is_rendered_again_where_it_is_damaged(make_part, quiet: dict[str, str], tmp_path: Path) -> None:
    make_part(ShardRange(0, 2))
    archive = tmp_path / "parts" / "shards" / "000001.tar"
    archive.write_bytes(archive.read_bytes()[:-1])
    assert make_part(ShardRange(0, 1)).rendered_shards == 0
    assert make_part(ShardRange(2)).rendered_shards == 2, "the last part looks at all shards"
    assert contents(tmp_path / "parts") == quiet


def test_parts_of_different_plans_do_not_mix(make_part, tmp_path: Path) -> None:
    make_part(ShardRange(0, 0))
    make_part(ShardRange(0, 0), seed=4)  # nothing was finished, and nobody else was there
    with shared(DatasetFolder(tmp_path / "parts")) as other:
        other.admit_others()
        with pytest.raises(DatasetError, match="seed: 4 there, 3 wanted"):
            make_part(ShardRange(0, 1))


def test_shards_that_do_not_exist_are_told_before_any_work(make_part, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="begins at shard 3, but there are 3"):
        make_part(ShardRange(3))
    assert not (tmp_path / "parts").exists()


def test_who_may_hold_a_folder_with_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold_module, "_WAIT_SECONDS", 0.0)
    folder = DatasetFolder(tmp_path)
    with shared(folder) as first:
        assert first.alone
        with pytest.raises(FolderInUseError, match="another run is writing"), shared(folder):
            pass
        first.admit_others()
        with shared(folder) as second:
            assert not second.alone
        with pytest.raises(FolderInUseError, match="another run is writing"), exclusive(folder):
            pass
    with exclusive(folder), pytest.raises(FolderInUseError), shared(folder):
        pass
    with exclusive(folder):
        pass


@pytest.mark.integration
def test_parts_that_run_at_once_and_overlap_end_with_the_bytes_of_one_run(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    recipe = make_recipe(identities={"source": "gaussian", "count": 12, "ceiling": 0.5}, images_per_identity=10)
    make_dataset(recipe, tmp_path / "quiet")
    out = tmp_path / "parts"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PART, recipe.model_dump_json(), str(out), part],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for part in ("0:4", "2:6")
    ]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n", run.communicate()[1]
    ends = [run.communicate("go\n", timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ends
    assert [told for told, _ in ends].count("1\n") == 1, "one run finishes for all"
    assert contents(out) == contents(tmp_path / "quiet")
