"""Run an ablation: train a generator with and without each ingredient, measure all of them alike, and tabulate.

```
OUT/
  runs/NAME/       a training run, resumed like any other; generator/ in it
  results/NAME.json, NAME.npy    what was measured, and real and rebuilt faces for the sheet
  ablation.json, ablation.md, ablation.png    every finished trial; written anew after each
```

A stopped ablation goes on where it stopped, and a trial that is added to the recipe later is trained alone.
"""

import json
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vec2face.checkpoints import digest, load_embedder, load_generator
from vec2face.config.ablation import FULL, AblationRecipe, Trial, trials
from vec2face.data.facepack import FacePack
from vec2face.errors import DatasetError
from vec2face.evaluation.reconstruction import RebuiltFaces, measure_likeness, rebuild
from vec2face.evaluation.sheets import SheetRow, draw_sheet, save_sheet
from vec2face.fileio.atomic import atomic_write, fingerprint, write_json, write_text
from vec2face.training.generator import train_generator
from vec2face.training.journal import JOURNAL
from vec2face.training.loop import TrainingReporter
from vec2face.training.losses import absolute_loss, valid_region
from vec2face.training.precision import settled
from vec2face.training.processes import find_processes


@dataclass(frozen=True)
class TrialResult:
    """What was measured of one trial, on one face of every held-out person.

    Attributes:
        name, purpose: of the trial.
        cosine: the judge's mean cosine between a face and its own rendering.
        strangers: the same to other people's renderings.
        rank1: share of faces whose own rendering is the nearest.
        frechet, frechet_floor: the judge's Frechet distance of renderings to real faces of other people, and that of
            real faces; None with too few people.
        pixel_error: mean absolute error inside the real region, in units of [-1, 1].
        images_per_second: median over the training's journal; it holds for the machine as busy as it was.
        images: seen in the training.
        people: held-out people.
    """

    name: str
    purpose: str
    cosine: float
    strangers: float
    rank1: float
    frechet: float | None
    frechet_floor: float | None
    pixel_error: float
    images_per_second: float
    images: int
    people: int


def run_ablation(
    ablation: AblationRecipe,
    *,
    pack: Path,
    out: Path,
    embedder: str,
    judge: str,
    reporter: TrainingReporter,
    initial: str | None = None,
    device: str = "auto",
) -> list[TrialResult]:
    """Train and measure every trial that is not finished yet, in order.

    Args:
        ablation: the base and its variants.
        pack: folder of the face pack; it must hold people out.
        out: folder of the ablation.
        embedder: reference of the loss network, as for a training.
        judge: reference of a recogniser that takes no part in any training.
        reporter: told of every training's steps, and of the trial that begins.
        initial: reference of a generator that every trial starts from; None for random weights.
        device: see `vec2face.training.generator.train_generator`.

    Returns:
        The results, the base first.

    Raises:
        ConfigError: a variant is no valid recipe.
        DatasetError: `out` holds a trial of that name with another recipe, pack, start, embedder or judge.
        InputError: the pack is unusable.
    """
    processes = find_processes(device)
    todo = [replace(trial, recipe=settled(trial.recipe, processes)) for trial in trials(ablation)]
    faces = FacePack.load(pack)
    common = {
        "pack": faces.facts,
        "embedder": digest(embedder, kind="embedder"),
        "judge": digest(judge, kind="embedder"),
        "initial": digest(initial, kind="generator") if initial is not None else None,
        "sheet_faces": ablation.sheet_faces,
    }
    folder = _Folder(out, common)
    finished = {trial.name: result for trial in todo if (result := folder.read(trial)) is not None}
    for number, trial in enumerate(todo, start=1):
        if trial.name in finished:
            continue
        reporter.training_note(f"trial {number} of {len(todo)}: {trial.name}")
        folder.share_vectors(trial, todo)
        train_generator(
            trial.recipe,
            pack=pack,
            out=folder.run(trial.name),
            embedder=load_embedder(embedder),
            judge=None,
            initial=load_generator(initial) if initial is not None else None,
            reporter=reporter,
            device=device,
        )
        finished[trial.name] = _measure(trial, folder, faces, embedder, judge, ablation.sheet_faces)
        write_reports(out, [finished[one.name] for one in todo if one.name in finished])
    results = [finished[trial.name] for trial in todo]
    write_reports(out, results)
    _save_sheet(out, folder, results)
    return results


class _Folder:
    """Where an ablation keeps its trials, and whether what is there is of the same ablation."""

    def __init__(self, out: Path, common: dict[str, Any]) -> None:
        self._out, self._common = out, common

    def run(self, name: str) -> Path:
        return self._out / "runs" / name

    def shown(self, name: str) -> Path:
        return self._out / "results" / f"{name}.npy"

    def read(self, trial: Trial) -> TrialResult | None:
        """Return a finished trial's result. Raises `DatasetError` if it was another trial's."""
        path = self._result(trial.name)
        if not path.is_file():
            return None
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["identity"] != self._identity(trial):
            raise DatasetError(
                f"{path} was measured with another recipe, pack, start, embedder or judge; choose another --out, or "
                f"remove it and {self.run(trial.name)}."
            )
        return TrialResult(**values["result"])

    def write(self, trial: Trial, result: TrialResult, shown: np.ndarray) -> None:
        """Keep a result; the pictures first, so that a result is never without them."""
        with atomic_write(self.shown(trial.name)) as stream:
            np.save(stream, shown)
        write_json(self._result(trial.name), {"identity": self._identity(trial), "result": asdict(result)})

    def share_vectors(self, trial: Trial, others: Sequence[Trial]) -> None:
        """Copy the vectors that an earlier trial embedded: pack and embedder are the same, and it takes minutes."""
        wanted = self.run(trial.name) / "vectors.npy"
        if wanted.is_file() or trial.recipe.features != "embedder":
            return
        for other in others:
            ready = self.run(other.name) / "vectors.npy"
            if ready.is_file() and self.read(other) is not None:
                wanted.parent.mkdir(parents=True, exist_ok=True)
                partial = wanted.with_name("vectors.npy.part")
                shutil.copyfile(ready, partial)
                partial.replace(wanted)
                return

    def _result(self, name: str) -> Path:
        return self._out / "results" / f"{name}.json"

    def _identity(self, trial: Trial) -> str:
        return fingerprint({**self._common, "recipe": trial.recipe.model_dump(mode="json")})


def _measure(trial: Trial, folder: _Folder, faces: FacePack, embedder: str, judge: str, shown: int) -> TrialResult:
    generator = load_generator(str(folder.run(trial.name) / "generator"))
    # Fresh ones: a training changes its embedder's precision.
    found = rebuild(faces, generator=generator, embedder=load_embedder(embedder))
    likeness = measure_likeness(load_embedder(judge), found)
    result = TrialResult(
        name=trial.name,
        purpose=trial.purpose,
        cosine=likeness.own,
        strangers=likeness.strangers,
        rank1=likeness.rank1,
        frechet=likeness.frechet,
        frechet_floor=likeness.frechet_floor,
        pixel_error=_pixel_error(faces, found),
        images_per_second=_median_rate(folder.run(trial.name) / JOURNAL),
        images=trial.recipe.schedule.images,
        people=len(found.rows),
    )
    folder.write(trial, result, np.stack([found.real[:shown], found.rebuilt[:shown]]))
    return result


def _pixel_error(faces: FacePack, found: RebuiltFaces) -> float:
    real, rebuilt = (
        torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 for pixels in (found.real, found.rebuilt)
    )
    valid = valid_region(torch.from_numpy(np.array(faces.valid[found.rows], np.float32)), real.shape[-1])
    return float(absolute_loss(rebuilt, real, valid))


def _median_rate(journal: Path) -> float:
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    return statistics.median(line["images_per_second"] for line in lines if "images_per_second" in line)


def write_reports(out: Path, results: Sequence[TrialResult]) -> None:
    """Write `ablation.json` and `ablation.md` of the finished trials. Raises `StorageError`."""
    write_json(out / "ablation.json", {"trials": [asdict(result) for result in results]})
    write_text(out / "ablation.md", markdown_table(results))


_COLUMNS = (
    ("judge's cosine", "cosine", "{:.3f}"),
    ("rank-1", "rank1", "{:.1%}"),
    ("Frechet distance", "frechet", "{:.3g}"),
    ("pixel error", "pixel_error", "{:.4f}"),
    ("images/s", "images_per_second", "{:.1f}"),
)


def markdown_table(results: Sequence[TrialResult]) -> str:
    """Return the results as a table, each figure with its difference from the base, and how to read it."""
    base = next((result for result in results if result.name == FULL), None)
    lines = [
        "| trial | " + " | ".join(title for title, _, _ in _COLUMNS) + " |",
        "|---|" + "---:|" * len(_COLUMNS),
    ]
    for result in results:
        cells = [_cell(result, base, field, form) for _, field, form in _COLUMNS]
        lines.append(f"| {result.name} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- **{result.name}**: {result.purpose}" for result in results)]
    if base is not None:
        floor = "unknown, too few people" if base.frechet_floor is None else f"{base.frechet_floor:.3g}"
        lines += [
            "",
            f"One face of each of {base.people} held-out people, rebuilt after {base.images:,} images of training. In "
            f"brackets: the difference from the base. Frechet distance of real faces to real faces: {floor}. The "
            f"judge's cosine to other people's renderings: {base.strangers:.3f}. Each trial was trained once, so a "
            "difference no larger than that of another seed says nothing. Images a second are those of a machine as "
            "busy as it was.",
        ]
    return "\n".join(lines) + "\n"


def _cell(result: TrialResult, base: TrialResult | None, field: str, form: str) -> str:
    value = getattr(result, field)
    if value is None:
        return "-"
    text = form.format(value)
    before = None if base is None or result is base else getattr(base, field)
    if before is None:
        return text
    difference = form.format(value - before)
    return f"{text} ({difference if difference.startswith('-') else '+' + difference})"


def _save_sheet(out: Path, folder: _Folder, results: Sequence[TrialResult]) -> None:
    pictures = [np.load(folder.shown(result.name)) for result in results]
    rows = [SheetRow("real", list(pictures[0][0]))]
    for result, (_, rebuilt) in zip(results, pictures, strict=True):
        rows.append(SheetRow(f"{result.name}\ncosine {result.cosine:.2f}", list(rebuilt)))
    title = "Held-out faces rebuilt with and without each ingredient"
    note = f"after {results[0].images:,} images of training each; the first people held out, none picked"
    save_sheet(draw_sheet(rows, title=title, note=note), out / "ablation.png")
