"""A whole, tiny study: it makes datasets, trains what is missing, measures all alike, and refuses what does not fit."""

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from vec2face.config.base import parse
from vec2face.config.study import StudyRecipe, resolve
from vec2face.errors import ConfigError, DatasetError, InputError
from vec2face.fileio.images import encode_image
from vec2face.progress import SilentProgress
from vec2face.study import RunResult, SetAccuracy, StudyProgress, markdown_table, run_study

RECOGNISER = {
    "name": "tiny",
    "network": {"kind": "compact", "widths": [4, 8, 8, 8], "depths": [0, 0, 0, 0], "dim": 8},
    "head": {"kind": "cosface", "scale": 16, "margin": 0.1},
    "optimizer": {"kind": "sgd"},
    "schedule": {"unit": "images", "length": 8, "batch_size": 4, "learning_rate": 0.1},
    "run": {"threads": 1, "precision": "float32", "log_every": 1, "preview_every": 2},
}


class Quiet:
    def training_step(self, images: int, total: int, images_per_second: float, losses: dict[str, float]) -> None: ...

    def training_note(self, text: str) -> None: ...


class Watched(StudyProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []
        super().__init__(dataset=self._dataset, training=self._training, note=self.notes.append)

    @contextmanager
    def _dataset(self) -> Iterator[SilentProgress]:
        yield SilentProgress()

    @contextmanager
    def _training(self) -> Iterator[Quiet]:
        yield Quiet()

    @property
    def trained(self) -> list[str]:
        return [note.split(": ")[1] for note in self.notes]


def pairs_file(path: Path, seed: int) -> str:
    rng = np.random.default_rng(seed)
    images = [
        encode_image(rng.integers(0, 256, (7, 7, 3), np.uint8).repeat(16, 0).repeat(16, 1), format="jpeg", quality=95)
        for _ in range(40)
    ]
    path.write_bytes(pickle.dumps((images, [bool(n % 2) for n in range(20)])))
    return str(path)


@pytest.fixture
def values(tmp_path: Path, tiny_generator_dir: Path) -> dict:
    generate = {
        "name": "tiny",
        "weights": str(tiny_generator_dir),
        "identities": {"source": "gaussian", "count": 4, "ceiling": 0.9},
        "images_per_identity": 3,
    }
    (tmp_path / "generate.yaml").write_text(yaml.safe_dump(generate))
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(RECOGNISER))
    return {
        "generate": str(tmp_path / "generate.yaml"),
        "train": str(tmp_path / "train.yaml"),
        "datasets": {"plain": {}, "calm": {"variation": {"mixture": [{"sigma": 0.1, "share": 1}]}}},
        "trials": [
            {"name": "calm", "purpose": "Little variation.", "dataset": "calm"},
            {"name": "half", "purpose": "Half.", "dataset": "plain", "people": 2, "tested": True},
            {"name": "all", "purpose": "All.", "dataset": "plain", "seeds": [0, 1], "tested": True},
        ],
    }


def study(values: dict) -> StudyRecipe:
    return parse(StudyRecipe, values, where="study")


@pytest.mark.integration
def test_it_runs_what_is_missing_measures_and_refuses_another(values: dict, tmp_path: Path) -> None:
    out, first, second = tmp_path / "out", Watched(), Watched()
    sets = {"validation": pairs_file(tmp_path / "val.bin", 0), "tests": [pairs_file(tmp_path / "held.bin", 1)]}
    results = run_study(study(values), out=out, progress=first, workers=1, **sets)
    assert first.trained == ["calm-seed0", "half-seed0", "all-seed0", "all-seed1"]
    assert [(result.people, result.images, result.seen) for result in results] == [
        (4, 12, 8),
        (2, 6, 8),
        (4, 12, 8),
        (4, 12, 8),
    ]
    assert [len(result.tests) for result in results] == [0, 1, 1, 1], "a test set is measured where it is asked for"
    assert all(result.validation.low <= result.validation.mean <= result.validation.high for result in results)
    assert len(json.loads((out / "study.json").read_text())["runs"]) == 4
    assert "| all | 4 x 3 | 2 |" in (out / "study.md").read_text()
    with Image.open(out / "study.png") as plot:
        assert plot.width > 100

    values["trials"].append({"name": "more", "purpose": "Another.", "dataset": "calm", "seeds": [5]})
    again = run_study(study(values), out=out, progress=second, workers=1, **sets)
    assert second.trained == ["more-seed5"]
    assert again[:4] == results

    values["training"] = {"head": {"margin": 0.2}}
    with pytest.raises(DatasetError, match=r"calm-seed0\.json was measured with another"):
        run_study(study(values), out=out, progress=Watched(), workers=1, **sets)


@pytest.mark.integration
def test_a_run_is_that_of_the_precision_auto_stands_for(
    values: dict, tmp_path: Path, cpu_with: Callable[..., None]
) -> None:
    values |= {"datasets": {"calm": {}}, "trials": values["trials"][:1]}
    arguments = {"out": tmp_path / "out", "validation": pairs_file(tmp_path / "val.bin", 0), "tests": [], "workers": 1}
    run_study(study(values), progress=Watched(), **arguments)
    values["training"] = {"run": {"precision": "auto"}}
    cpu_with("avx2")
    again = Watched()
    run_study(study(values), progress=again, **arguments)
    assert again.trained == [], "what float32 gave is there already"
    cpu_with("avx512_bf16")
    with pytest.raises(DatasetError, match=r"calm-seed0\.json was measured with another"):
        run_study(study(values), progress=Watched(), **arguments)


def test_the_validation_set_cannot_be_a_test_set(values: dict, tmp_path: Path) -> None:
    path = pairs_file(tmp_path / "val.bin", 0)
    with pytest.raises(InputError, match="is the same set as"):
        run_study(study(values), out=tmp_path / "out", progress=Watched(), validation=path, tests=[f"other={path}"])


def test_every_seed_and_change_reaches_its_run(values: dict) -> None:
    values["training"] = {"schedule": {"length": 16}}
    values["trials"][0] |= {"training": {"head": {"margin": 0.35}}, "at_least": {"cosine_to_centre": 0.5}}
    datasets, runs = resolve(study(values))
    assert datasets["calm"].variation.mixture[0].sigma == 0.1
    assert [run.recipe.run.seed for run in runs] == [0, 0, 0, 1]
    assert all(run.recipe.schedule.length == 16 for run in runs)
    assert runs[0].recipe.head.margin == 0.35
    assert runs[1].recipe.head.margin == 0.1
    assert runs[1].recipe.datasets[0].people == 2
    assert [run.recipe.datasets[0].at_least for run in runs[:2]] == [{"cosine_to_centre": 0.5}, {}]


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ({"dataset": "other"}, "no dataset is called other"),
        ({"people": 9}, "people 9 is more than dataset plain has"),
        ({"images_per_person": 9}, "images_per_person 9 is more than dataset plain has"),
        ({"seeds": [1, 1]}, "a seed is given twice"),
        ({"training": {"run": {"seed": 1}}}, "seeds stand under seeds"),
        ({"training": {"keep": "best"}}, "can set none of"),
        ({"training": {"heads": {}}}, "heads"),
    ],
)
def test_what_does_not_fit_is_named(values: dict, trial: dict, message: str) -> None:
    values["trials"][1] |= trial
    with pytest.raises(ConfigError, match=message):
        resolve(study(values))


def test_a_dataset_that_nothing_uses_is_named(values: dict) -> None:
    del values["trials"][0]
    with pytest.raises(ConfigError, match="no trial uses the dataset calm"):
        study(values)


def test_the_table_gives_intervals_for_one_seed_and_spread_for_several(values: dict) -> None:
    def result(trial: str, seed: int, mean: float) -> RunResult:
        found = SetAccuracy("val", 20, mean, 0.01, mean - 0.02, mean + 0.03)
        return RunResult(trial, seed, 4, 12, 8, found, (SetAccuracy("lfw", 20, mean, 0.01, 0.5, 0.9),), 3.0)

    table = markdown_table(
        study(values).trials, [result("half", 0, 0.7), result("all", 0, 0.8), result("all", 1, 0.84)]
    )
    assert "| half | 4 x 3 | 1 | 70.00 (68.0 to 73.0) | 70.00 (50.0 to 90.0) | 3 |" in table
    assert "| all | 4 x 3 | 2 | 82.00 (± 2.83) | 82.00 (± 2.83) | 3 |" in table
    assert "| calm |" not in table


def test_the_command_asks_for_the_test_sets_that_the_study_measures(values: dict, tmp_path: Path) -> None:
    from vec2face_cli.main import cli

    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    arguments = ["study", str(tmp_path / "study.yaml"), "--validation", "val.bin", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, arguments)
    assert "measures test sets (half, all); name at least one with --test" in str(result.exception)
