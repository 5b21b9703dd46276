"""A whole, tiny ablation: it trains what is missing, measures all alike, and refuses what it cannot compare."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image

from vec2face import ablation
from vec2face.ablation import TrialResult, markdown_table, run_ablation
from vec2face.config.ablation import AblationRecipe
from vec2face.data.facepack import WHOLE_IMAGE
from vec2face.errors import DatasetError
from vec2face.fileio.atomic import write_json
from vec2face.models.embedders.compact import CompactEmbedder

BASE = {
    "schedule": {"images": 2, "batch_size": 2, "learning_rate": 1e-3},
    "run": {"threads": 1, "precision": "float32", "log_every": 1, "checkpoint_every": 2, "preview_every": 2},
    "losses": {"perceptual": 0.2, "identity": 0.5},
    "sheet_faces": 2,
}


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def training_step(self, images: int, total: int, images_per_second: float, losses: dict[str, float]) -> None:
        pass

    def training_note(self, text: str) -> None:
        self.notes.append(text)

    @property
    def trained(self) -> list[str]:
        return [note.split(": ")[1] for note in self.notes if note.startswith("trial ")]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder, people = tmp_path / "pack", 8
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "images.npy", rng.integers(0, 256, (people, 14, 14, 3), np.uint8).repeat(8, 1).repeat(8, 2))
    np.save(folder / "valid.npy", np.repeat(WHOLE_IMAGE[None], people, axis=0))
    names = [f"person{number}" for number in range(people)]
    holdout = [number < 5 for number in range(people)]
    facts = {"images": people}
    write_json(
        folder / "index.json",
        {"format": "vec2face-facepack/1", "names": names, "groups": names, "holdout": holdout, "facts": facts},
    )
    return folder


@pytest.fixture
def embedder(tmp_path: Path) -> str:
    torch.manual_seed(0)
    CompactEmbedder(name="tiny", dim=16, widths=(4, 8, 8, 8), depths=(0, 0, 0, 0)).save_pretrained(
        tmp_path / "embedder"
    )
    return str(tmp_path / "embedder")


@pytest.fixture
def recipe(tmp_path: Path) -> dict:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    variants = [{"name": "no-perceptual", "purpose": "Without it.", "changes": {"losses": {"perceptual": 0}}}]
    return {"base": str(tmp_path / "base.yaml"), "variants": variants, "sheet_faces": 3}


@pytest.mark.integration
def test_it_trains_measures_resumes_and_refuses(pack: Path, embedder: str, recipe: dict, tmp_path: Path):
    out, first, second = tmp_path / "out", Notes(), Notes()
    arguments = {"pack": pack, "out": out, "embedder": embedder, "judge": embedder}
    results = run_ablation(AblationRecipe.model_validate(recipe), reporter=first, **arguments)
    assert first.trained == ["full", "no-perceptual"]
    assert [result.name for result in results] == ["full", "no-perceptual"]
    assert all(result.people == 5 and result.frechet_floor is not None for result in results)
    assert all(result.images_per_second > 0 and 0 < result.pixel_error < 2 for result in results)
    assert sum("embedding" in note for note in first.notes) == 1, "the vectors are embedded once"
    assert json.loads((out / "ablation.json").read_text())["trials"][1]["name"] == "no-perceptual"
    with Image.open(out / "ablation.png") as sheet:
        assert sheet.height > 3 * 112

    more = {"name": "no-identity", "purpose": "Without it.", "changes": {"losses": {"identity": 0}}}
    grown = AblationRecipe.model_validate({**recipe, "variants": [*recipe["variants"], more]})
    again = run_ablation(grown, reporter=second, **arguments)
    assert second.trained == ["no-identity"]
    assert again[:2] == results

    changed = AblationRecipe.model_validate({**recipe, "changes": {"run": {"seed": 5}}})
    with pytest.raises(DatasetError, match=r"full\.json was measured with another recipe"):
        run_ablation(changed, reporter=Notes(), **arguments)
    # Another start is another ablation, too.
    with pytest.raises(DatasetError, match="another recipe, pack, start"):
        run_ablation(grown, reporter=Notes(), initial=str(out / "runs" / "full" / "generator"), **arguments)


@pytest.mark.integration
def test_a_stopped_ablation_keeps_its_finished_trials(
    pack: Path, embedder: str, recipe: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    train, runs = ablation.train_generator, []

    def stops_at_the_second(*args, **options):
        runs.append(options["out"].name)
        if len(runs) == 2:
            raise KeyboardInterrupt
        return train(*args, **options)

    monkeypatch.setattr(ablation, "train_generator", stops_at_the_second)
    arguments = {"pack": pack, "out": tmp_path / "out", "embedder": embedder, "judge": embedder}
    with pytest.raises(KeyboardInterrupt):
        run_ablation(AblationRecipe.model_validate(recipe), reporter=Notes(), **arguments)
    assert "| full |" in (tmp_path / "out" / "ablation.md").read_text()
    run_ablation(AblationRecipe.model_validate(recipe), reporter=Notes(), **arguments)
    assert runs == ["full", "no-perceptual", "no-perceptual"]


def result(name: str, **changes) -> TrialResult:
    values = {"cosine": 0.5, "strangers": 0.02, "rank1": 0.9, "frechet": 3.0, "frechet_floor": 1.0, "pixel_error": 0.1}
    rest = {"images_per_second": 40.0, "images": 1280, "people": 7}
    return TrialResult(name=name, purpose=f"What {name} is.", **(values | rest | changes))


def test_the_table_shows_differences_from_the_base():
    table = markdown_table([result("full"), result("no-x", cosine=0.45, rank1=0.95, frechet=None)])
    assert "| full | 0.500 | 90.0% | 3 | 0.1000 | 40.0 |" in table
    assert "| no-x | 0.450 (-0.050) | 95.0% (+5.0%) | - | 0.1000 (+0.0000) | 40.0 (+0.0) |" in table
    assert "real faces to real faces: 1." in table
    assert "- **no-x**: What no-x is." in table


def test_the_command_names_problems_before_any_work(pack: Path, recipe: dict, tmp_path: Path):
    from vec2face_cli.train import train

    recipe["variants"][0]["changes"] = {"loses": {}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(recipe))
    arguments = [
        "ablation",
        str(tmp_path / "a.yaml"),
        "--data",
        str(pack),
        "--judge",
        "x",
        "--out",
        str(tmp_path / "o"),
    ]
    outcome = CliRunner().invoke(train, arguments)
    assert "variant no-perceptual: loses: unknown key" in str(outcome.exception)
    assert not (tmp_path / "o").exists()
