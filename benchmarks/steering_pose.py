"""Turn heads: people x yaw targets, checked by landmarks that took no part, beside the published rule.

    python benchmarks/steering_pose.py --bank bank.safetensors --people 16 --detector yunet.onnx --out turned
    python benchmarks/steering_pose.py --bank bank.safetensors --people 200 --detector yunet.onnx --judge casia/ \
        --published 8 --out turned

Each person begins from one picture (its own mask and appearance code) and is steered to every target. Steering aims
within `--aim` degrees; a picture is accepted within `--tolerance`. The independent yaw is that of the generic head
fitted to the landmarks that the detector finds in the finished picture (`vec2face.data.landmarks`). `--mesh` takes the
points of another instrument, found in OUT/images by `mesh_landmarks.py` after a first run; then the head of
`mesh_head.json` is fitted to them, and results say what it reads, and what the mean of both instruments is. Other
estimators that took no part may be named by `--witness`. Identity is the cosine to the person's vector by the embedder
that steering watches; `--judge`, an embedder that took no part, compares each picture with the same person's at the
target nearest to 0, and with the next person's.

Targets must lie in the range the estimator was validated in, unless `--range LOW HIGH` gives another. `--ask-times F`
asks the estimator for F times each target; the landmarks are compared with the target all the same, to try a correction
of the estimator's scale that was measured on other people.

The directions to jump along are estimated from the bank's last `--direction-people` people, who are not steered.
`--published N` also runs the published rule (`published_rule.py`) on the first N people, at `--tolerance`.

Writes OUT/samples.jsonl (a line a picture, as soon as it is done: the same command goes on where it ended), OUT/images,
OUT/sheet.png (rows people, columns targets) and OUT/result.json, which it prints.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from published_rule import MOVES, compare_rules
from rigid_head import mesh_yaws as read_mesh_yaws

from vec2face.checkpoints import digest, load_embedder, load_generator
from vec2face.config.steering import SteeringOptions
from vec2face.data.detection import FaceDetector, open_detector
from vec2face.data.landmarks.head import measure_poses
from vec2face.data.landmarks.measure import measure_face
from vec2face.errors import InputError
from vec2face.evaluation.sheets import SheetRow, draw_sheet, save_sheet
from vec2face.fileio.atomic import canonical_json, sha256_file, write_bytes, write_json
from vec2face.fileio.images import decode_image, encode_image
from vec2face.generation.reference import embedder_of_space
from vec2face.identities import IdentityBank
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.steering.catalogue import open_estimators
from vec2face.steering.directions import Directions, estimate_directions
from vec2face.steering.estimators import digest_of
from vec2face.steering.inputs import draw_inputs
from vec2face.steering.optimise import Steering, from_pixels
from vec2face.steering.samples import SteeredSample, SteeringInputs
from vec2face.steering.targets import point
from vec2face_cli.progress import TerminalProgress

ATTRIBUTE = "yaw"
SHEET_PEOPLE = 12


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--targets", type=float, nargs="+", default=[-40.0, -20.0, 0.0, 20.0, 40.0])
    parser.add_argument("--weights", default="embedded")
    parser.add_argument("--embedder")
    parser.add_argument("--estimator", action="append", default=[])
    parser.add_argument("--detector", type=Path)
    parser.add_argument("--mesh", type=Path)
    parser.add_argument("--witness", action="append", default=[])
    parser.add_argument("--judge")
    parser.add_argument("--range", type=float, nargs=2, metavar=("LOW", "HIGH"))
    parser.add_argument("--ask-times", type=float, default=1.0)
    parser.add_argument("--tolerance", type=float, default=5.0)
    parser.add_argument("--aim", type=float, default=2.0)
    parser.add_argument("--floor", type=float, default=0.6)
    parser.add_argument("--cap", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--direction-people", type=int, default=64)
    parser.add_argument("--published", type=int, default=0)
    parser.add_argument("--published-moves", choices=MOVES, nargs="+", default=list(MOVES))
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def repeated(inputs: SteeringInputs, times: int) -> SteeringInputs:
    """Every row `times` times: a person's one picture, for each target."""
    return SteeringInputs(**{name: np.repeat(rows, times, axis=0) for name, rows in vars(inputs).items()})


class Samples:
    """The lines written so far, and their pictures.

    Args:
        out: the folder.
        settings: what decides the pictures; a folder with others is refused.
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self._out = out
        out.mkdir(parents=True, exist_ok=True)
        stated = out / "settings.json"
        if stated.is_file() and json.loads(stated.read_text()) != json.loads(canonical_json(settings)):
            raise SystemExit(f"Error: {out} was begun with other settings; choose another folder.")
        write_json(stated, settings)
        lines = (out / "samples.jsonl").read_text().splitlines() if (out / "samples.jsonl").is_file() else []
        self.rows: dict[int, dict[str, Any]] = {row["index"]: row for row in map(json.loads, lines)}

    def picture(self, index: int) -> np.ndarray:
        """Return uint8 `(112, 112, 3)`; index -1 - p is the start of person p."""
        path = self._path(index)
        return decode_image(path.read_bytes(), where=str(path))

    def add(self, sample: SteeredSample, person: int, target: float, asked: float) -> None:
        """Write a picture and its line."""
        write_bytes(self._path(sample.index), encode_image(sample.after.pixels, format="png"))
        write_bytes(self._path(-1 - person), encode_image(sample.before.pixels, format="png"))
        row = {
            "index": sample.index,
            "person": person,
            "target": target,
            "asked": asked,
            "status": sample.status,
            "passes": sample.evaluations,
            "gradients": sample.gradients,
            "before": sample.before.values[ATTRIBUTE],
            "after": sample.after.values[ATTRIBUTE],
            "identity_before": sample.before.identity,
            "identity": sample.after.identity,
            "moved_vector": float(np.linalg.norm(sample.vector)),
            "code_rms": float(np.sqrt(np.mean(np.square(sample.code)))) if sample.code.size else 0.0,
        }
        self.rows[sample.index] = row
        with open(self._out / "samples.jsonl", "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def _path(self, index: int) -> Path:
        name = f"{index:06d}" if index >= 0 else f"start_{-1 - index:06d}"
        return self._out / "images" / f"{name}.png"


def landmark_yaws(
    samples: Samples, detector: FaceDetector, stored: Path, progress: TerminalProgress
) -> dict[int, float | None]:
    """Return the yaw by landmarks of every sample; a picture whose landmarks are in `stored` is not looked at again."""
    lines = stored.read_text().splitlines() if stored.is_file() else []
    found: dict[int, list[list[float]] | None] = dict(map(json.loads, lines))
    progress.begin("measuring", total=len(samples.rows), unit="pictures", done=len(found))
    with open(stored, "a", encoding="utf-8") as stream:
        for index in samples.rows:
            if index in found:
                continue
            face = measure_face(samples.picture(index), detector)
            found[index] = None if face is None else np.round(face.landmarks, 3).tolist()
            stream.write(json.dumps([index, found[index]]) + "\n")
            progress.advance(1)
    return {
        index: None if points is None else float(measure_poses(np.array([points]))[0][0, 0])
        for index, points in found.items()
    }


def mesh_yaws(samples: Samples, mesh: Path) -> dict[int, float | None]:
    """Return the yaw of the mesh's rigid head, fitted to the points that were found in every sample."""
    names = {index: f"{index:06d}.png" for index in samples.rows}
    found = read_mesh_yaws(mesh, required=names.values())
    return {index: found[name] for index, name in names.items()}


def witness_yaws(samples: Samples, reference: str) -> dict[int, float | None]:
    """Return what an estimator that took no part reads in every sample."""
    (witness,) = open_estimators([ATTRIBUTE], references=[reference])
    for network in witness.networks:
        network.eval().requires_grad_(False)
    with torch.inference_mode():
        return {index: witness.estimate(from_pixels(samples.picture(index)[None])).item() for index in samples.rows}


def both(first: dict[int, float | None], second: dict[int, float | None]) -> dict[int, float | None]:
    """Return the mean of two instruments, where both saw a face."""
    pairs = {index: (yaw, second[index]) for index, yaw in first.items()}
    return {index: None if None in pair else float(np.mean(pair)) for index, pair in pairs.items()}


def judged(samples: Samples, judge: FaceEmbedder, targets: list[float], people: int) -> dict[str, Any]:
    """Cosines of each picture to the same person's at the middle target, and to the next person's, by target."""
    count = len(targets)
    with torch.inference_mode():
        vectors = [judge.embed(from_pixels(samples.picture(index)[None])) for index in range(people * count)]
    units = torch.nn.functional.normalize(torch.cat(vectors), dim=1).view(people, count, -1)
    middle = units[:, int(np.argmin(np.abs(targets)))]
    same, other = ((units * one[:, None]).sum(dim=2) for one in (middle, middle.roll(1, dims=0)))
    return {
        "name": judge.name,
        "same_person": dict(zip(map(str, targets), same.mean(dim=0).tolist(), strict=True)),
        "same_person_lowest": same.min().item(),
        "next_person": other.mean().item(),
    }


def compared(readings: list[tuple[float | None, float]], tolerance: float) -> dict[str, float]:
    """How an instrument's readings lie to the targets; a face that was not found is not within tolerance."""
    seen = np.array([reading for reading in readings if reading[0] is not None], np.float64).reshape(-1, 2)
    off = seen[:, 0] - seen[:, 1]
    found = {
        "within": float(np.sum(np.abs(off) <= tolerance) / len(readings)),
        "mean_error": float(off.mean()),
        "spread": float(off.std()),
        "not_found": len(readings) - len(seen),
    }
    if len(set(seen[:, 1])) > 1:
        found["slope"] = float(np.polyfit(seen[:, 1], seen[:, 0], 1)[0])
    return found


def summarise(rows: list[dict[str, Any]], tolerance: float) -> dict[str, Any]:
    """Shares within tolerance and means of some samples."""
    own = [abs(row["after"] - row["asked"]) <= tolerance for row in rows]
    found = {
        "samples": len(rows),
        "converged": float(np.mean([row["status"] == "converged" for row in rows])),
        "within_by_steering": float(np.mean(own)),
        "identity": float(np.mean([row["identity"] for row in rows])),
        "identity_lowest": float(np.min([row["identity"] for row in rows])),
        "passes": float(np.mean([row["passes"] for row in rows])),
    }
    for name in rows[0]["seen"]:
        found[name] = compared([(row["seen"][name], row["target"]) for row in rows], tolerance)
    return found


def draw(samples: Samples, targets: list[float], people: int, out: Path) -> None:
    rows = []
    for person in range(min(people, SHEET_PEOPLE)):
        indices = [person * len(targets) + column for column in range(len(targets))]
        captions = ["start"]
        for index in indices:
            row = samples.rows[index]
            landmarks = row["seen"].get("landmarks")
            captions.append(f"{row['after']:.0f}" + ("" if landmarks is None else f" | {landmarks:.0f}"))
        pictures = [samples.picture(-1 - person), *(samples.picture(index) for index in indices)]
        rows.append(SheetRow(str(person), pictures, captions, split=1))
    note = "under each picture: yaw by the steering's estimator | by landmarks"
    title = "yaw asked: " + ", ".join(f"{target:g}" for target in targets)
    save_sheet(draw_sheet(rows, title=title, note=note), out)


def main() -> None:
    asked = read_arguments()
    targets, people = list(asked.targets), asked.people
    detector = None if asked.detector is None else open_detector(asked.detector)
    if asked.mesh is not None and detector is None:
        raise InputError("--mesh is a second instrument; name the first with --detector.")
    judge = None if asked.judge is None else load_embedder(asked.judge)
    generator = load_generator(asked.weights).eval().requires_grad_(False)
    _, embedder = embedder_of_space(asked.embedder, generator.config.feature_space)
    (estimator,) = open_estimators([ATTRIBUTE], references=asked.estimator)
    facts = estimator.facts
    if asked.range is not None:
        facts = replace(facts, low=asked.range[0], high=asked.range[1])
    wanted = [point(facts, asked.ask_times * target, asked.aim) for target in targets]
    bank = IdentityBank.load(asked.bank)
    bank.require_width("the generator", generator.config.feature_dim)
    if len(bank) < people + asked.direction_people:
        raise InputError(f"{asked.bank} holds {len(bank)} people; {people + asked.direction_people} are needed.")
    options = SteeringOptions(max_evaluations=asked.cap, batch_size=asked.batch_size, identity_floor=asked.floor)
    known = digest(asked.weights, kind="generator")
    decisive = {name: getattr(asked, name) for name in ("targets", "aim", "ask_times", "seed", "direction_people")}
    decisive |= {"generator": known, "estimator": digest_of(estimator), "options": options.model_dump(mode="json")}
    samples = Samples(asked.out, decisive)

    directions_file = asked.out / "directions.safetensors"
    if directions_file.is_file():
        directions = Directions.load(directions_file)
    else:
        others = draw_inputs(
            bank.vectors[-asked.direction_people :], images=1, seed=asked.seed + 1, generator=generator
        )
        directions = estimate_directions(generator, [estimator], others, digest=known, batch_size=asked.batch_size)
        directions.save(directions_file)
    starts = draw_inputs(bank.vectors[:people], images=1, seed=asked.seed, generator=generator)
    inputs = repeated(starts, len(targets))
    requests = (
        inputs.request(index, (wanted[index % len(targets)],))
        for index in range(len(inputs))
        if index not in samples.rows
    )
    steering = Steering(
        generator=generator,
        estimators=[estimator],
        identity=embedder,
        options=options,
        warm_start=directions.warm_start([ATTRIBUTE], generator=known, options=options),
    )
    with TerminalProgress() as progress:
        progress.begin("steering", total=len(inputs), unit="images", done=len(samples.rows))
        for sample in steering.stream(lambda: next(requests, None)):
            person, column = divmod(sample.index, len(targets))
            samples.add(sample, person, targets[column], asked.ask_times * targets[column])
            progress.advance(1)
        seen: dict[str, dict[int, float | None]] = {}
        if detector is not None:
            stored = asked.out / f"points-{sha256_file(asked.detector)[:8]}.jsonl"
            seen["landmarks"] = landmark_yaws(samples, detector, stored, progress)
    if asked.mesh is not None:
        seen["mesh"] = mesh_yaws(samples, asked.mesh)
        seen["both"] = both(seen["landmarks"], seen["mesh"])
    for reference in asked.witness:
        seen[reference] = witness_yaws(samples, reference)
    for index, row in samples.rows.items():
        row["seen"] = {name: yaws[index] for name, yaws in seen.items()}
    rows = [samples.rows[index] for index in range(len(inputs))]
    left, right = ([row for row in rows if row["target"] * side > 0] for side in (1, -1))
    accepted = [row for row in rows if row["status"] == "converged"]
    result: dict[str, Any] = {
        "people": people,
        "direction_explains": directions.explained[ATTRIBUTE],
        "all": summarise(rows, asked.tolerance),
        "by_target": {str(t): summarise([row for row in rows if row["target"] == t], asked.tolerance) for t in targets},
        **({"left": summarise(left, asked.tolerance)} if left else {}),
        **({"right": summarise(right, asked.tolerance)} if right else {}),
        "passes_per_accepted": sum(row["passes"] for row in rows) / len(accepted) if accepted else None,
    }
    if judge is not None:
        result["judge"] = judged(samples, judge, targets, people)
    if asked.published:
        few = SteeringInputs(**{name: part[: asked.published * len(targets)] for name, part in vars(inputs).items()})
        around = [point(facts, asked.ask_times * target, asked.tolerance) for target in targets]
        result["published"] = compare_rules(
            generator,
            embedder,
            estimator,
            few,
            [around[index % len(targets)] for index in range(len(few))],
            ours=result["passes_per_accepted"],
            every=asked.published_moves,
            batch_size=asked.batch_size,
            cap=asked.cap,
            floor=asked.floor,
        )
    write_json(asked.out / "result.json", result)
    draw(samples, targets, people, asked.out / "sheet.png")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
