"""Train a small network that measures attributes of faces: pose, age, quality, or whatever a table labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vec2face.config.estimators import DegradedPictures, EstimatedAttribute, EstimatorRecipe, LearnedAttribute
from vec2face.data.facepack import FacePack
from vec2face.errors import ContractError, InputError
from vec2face.fileio.atomic import sha256_file, write_json, write_text
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.estimators.network import AttributeNetwork
from vec2face.seeding import rng_for, seed_for
from vec2face.training.augment import AugmentStrength, augment
from vec2face.training.degraded_faces import DegradedFaces, clear_faces
from vec2face.training.estimator_data import EstimatorStream, LabelledFaces
from vec2face.training.estimator_errors import errors_table
from vec2face.training.estimator_labels import hold_out, read_label_tables
from vec2face.training.estimator_measure import PERCENT, HeldOutFaces, describe_errors, describe_labels
from vec2face.training.examples import Examples
from vec2face.training.loop import TrainingLoop, TrainingReporter, TrainingSummary
from vec2face.training.portion import Portion
from vec2face.training.precision import autocast, dtype_of, settled
from vec2face.training.processes import Processes, find_processes, mean_over_processes

# Where a loss turns from squared to absolute, in spreads: labels of faces are noisy and have outliers.
_ROBUST_FROM = 0.25


def attribute_losses(outputs: Tensor, targets: Tensor, *, names: Sequence[str], weights: Tensor) -> dict[str, Tensor]:
    """Mean Huber distance, of each attribute, over the samples whose target is known, times its weight.

    Args:
        outputs, targets: `(B, A)` in spreads; a target is NaN where it is unknown.
        names, weights: of the A attributes.
    """
    known = torch.isfinite(targets)
    distance = F.smooth_l1_loss(
        outputs, torch.where(known, targets, outputs.detach()), reduction="none", beta=_ROBUST_FROM
    )
    means = (distance * known).sum(dim=0) / mean_over_processes(known.sum(dim=0).float()).clamp_min(1.0)
    return dict(zip(names, (means * weights.to(means.device)).unbind(0), strict=True))


def train_estimator(
    recipe: EstimatorRecipe,
    *,
    pack: Path,
    labels: Sequence[Path],
    out: Path,
    teacher: FaceEmbedder | None = None,
    initial: AttributeNetwork | None = None,
    reporter: TrainingReporter,
    device: str = "auto",
) -> TrainingSummary:
    """Train, or resume, a network; the moving average is saved to `out/estimator` at every preview.

    `out/result.json` and `out/errors.md` then say how far it is off on the faces that were held out.

    Args:
        recipe: what to learn and how long.
        pack: folder of the face pack.
        labels: CSV files with the column `key` and some of the recipe's attributes; see `read_label_tables`.
        out: folder of the run.
        teacher: the network whose embeddings the pack holds; only a recipe with `degraded` needs it.
        initial: a network of the same attributes and size to start from instead of random weights.
        reporter: told of every logged step.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps"; see `find_processes`.

    Raises:
        InputError: the pack or the labels are unusable, labels, teacher or device are missing, or a loss is not finite.
        ContractError: the teacher did not make the pack's embeddings, or `initial` measures or is something else.
        DatasetError: `out` holds a run with other settings.
    """
    faces = FacePack.load(pack)
    labelled = _read_labels(recipe, faces, labels)
    training, held_out = hold_out(faces, share=recipe.held_out_share, apart=recipe.apart, seed=recipe.run.seed)
    _require_reached(recipe, labelled, held_out)
    processes = find_processes(device)
    recipe = settled(recipe, processes, on_note=reporter.training_note)
    torch.set_num_threads(recipe.run.threads)
    damaged, damaged_held_out = _damaged(recipe, faces, training, held_out, teacher, out, processes, reporter)
    stream = EstimatorStream(labelled, training, damaged, recipe)
    columns = _training_labels(recipe, labelled, training, damaged)
    attributes = _describe(recipe, columns)
    torch.manual_seed(seed_for(recipe.run.seed, "initial-weights") % 2**63)
    model = AttributeNetwork(
        name=recipe.name,
        attributes=[one.model_dump() for one in attributes],
        widths=recipe.stage_widths,
        depths=recipe.stage_depths,
    )
    facts = {**faces.facts, "labels": _digest_of(labels)}
    if initial is not None:
        _start_from(model, initial)
    model.to(device=processes.device, memory_format=torch.channels_last)
    loop = TrainingLoop(model=model, recipe=recipe, facts=facts, out=out, processes=processes)
    strength = AugmentStrength(
        recipe.shift_pixels,
        recipe.zoom,
        0.0,
        recipe.color,
        soften_probability=0.0,
        side_light=recipe.side_light,
    )
    held = HeldOutFaces(stream, labelled.known(held_out), damaged_held_out, recipe)
    learnt: list[LearnedAttribute | DegradedPictures] = [*recipe.attributes]
    if recipe.degraded:
        learnt.append(recipe.degraded)
    names, weights = [one.name for one in learnt], torch.tensor([one.weight for one in learnt])
    added = torch.tensor([getattr(one, "turned", "same") == "added" for one in learnt]).float()
    centre, spread = (torch.tensor([getattr(one, key) for one in attributes]) for key in ("centre", "spread"))

    def compute(examples: Examples, portion: Portion) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed_for(recipe.run.seed, "augment", portion.step) % 2**63)
        turned = portion.of((torch.rand(portion.total, generator=generator) * 2 - 1) * recipe.turn_degrees)
        model.train()
        images = augment(examples.images, strength, generator, portion, turned=turned)
        device = examples.targets.device
        values = examples.targets + torch.outer(turned, added).to(device)
        with autocast(processes.device, recipe.run.precision):
            outputs = model(images)
        targets = (values - centre.to(device)) / spread.to(device)
        return attribute_losses(outputs.float(), targets, names=names, weights=weights)

    def measure(average: nn.Module, step: int) -> dict[str, float]:
        if not isinstance(average, AttributeNetwork):
            raise RuntimeError("the moving average is not an estimator")
        errors = held.errors(average, guesses={name: float(np.median(column)) for name, column in columns.items()})
        described = [
            describe_errors(known, errors.get(known.name), one.tolerance)
            for known, one in zip(attributes, learnt, strict=True)
        ]
        average.describe(described)
        average.save_pretrained(out / "estimator")
        write_json(
            out / "result.json",
            {"step": step, "training_faces": len(training), "held_out_faces": len(held_out), "attributes": errors},
        )
        write_text(out / "errors.md", errors_table([one for one in described if one.name in errors], errors))
        return {f"{name}_error": found["error"] for name, found in errors.items()}

    return loop.run(stream.read, compute, measure=measure, reporter=reporter)


def _digest_of(tables: Sequence[Path]) -> str | list[str] | None:
    digests = [sha256_file(table) for table in tables]
    return digests if len(digests) > 1 else next(iter(digests), None)


def _read_labels(recipe: EstimatorRecipe, faces: FacePack, labels: Sequence[Path]) -> LabelledFaces:
    names = [one.name for one in recipe.attributes]
    if names and not labels:
        raise InputError(f"this recipe learns {', '.join(names)} from a table: name the CSV file with --labels.")
    values = np.empty((len(faces.names), 0), np.float32)
    if labels:
        values = read_label_tables(labels, names=names, keys=faces.names)
        values = values * np.array([one.scale for one in recipe.attributes], np.float32)
    return LabelledFaces(faces, values, np.array([one.mirrored == "negated" for one in recipe.attributes], bool))


def _require_reached(recipe: EstimatorRecipe, labelled: LabelledFaces, held_out: np.ndarray) -> None:
    """Raise `InputError` where a range is stated that no held-out face, or mirror image of one, reaches."""
    for place, one in enumerate(recipe.attributes):
        labels = labelled.values[held_out, place]
        both = np.concatenate([labels, -labels]) if one.mirrored == "negated" else labels
        known = both[np.isfinite(both)]
        if one.range is None or (len(known) and known.min() <= one.range[0] and one.range[1] <= known.max()):
            continue
        reached = f"from {known.min():g} to {known.max():g}" if len(known) else "nowhere"
        raise InputError(
            f"the recipe's range of {one.name} is {one.range[0]:g} to {one.range[1]:g}, but held-out labels reach "
            f"{reached}; state a range inside that, or none."
        )


def _damaged(
    recipe: EstimatorRecipe,
    faces: FacePack,
    training: np.ndarray,
    held_out: np.ndarray,
    teacher: FaceEmbedder | None,
    out: Path,
    processes: Processes,
    reporter: TrainingReporter,
) -> tuple[DegradedFaces, DegradedFaces] | tuple[None, None]:
    """Return labelled damaged pictures of training and of held-out faces, if the recipe asks for them."""
    asked = recipe.degraded
    if asked is None:
        return None, None
    if teacher is None:
        raise InputError(
            f"this recipe learns {asked.name} from damaged pictures: name the network that labels them with --teacher."
        )
    faces.require_features()
    if isinstance(teacher, nn.Module):
        teacher.to(processes.device)
    out.mkdir(parents=True, exist_ok=True)
    with processes.main_first():
        return (
            _label(recipe, asked, faces, training, asked.count, "training", teacher, out, reporter),
            _label(recipe, asked, faces, held_out, asked.held_out, "held-out", teacher, out, reporter),
        )


def _label(
    recipe: EstimatorRecipe,
    asked: DegradedPictures,
    faces: FacePack,
    rows: np.ndarray,
    count: int,
    purpose: str,
    teacher: FaceEmbedder,
    out: Path,
    reporter: TrainingReporter,
) -> DegradedFaces:
    chosen = clear_faces(faces, rows, share=asked.clear_share)
    pictures = DegradedFaces(faces, chosen, count=count, seed=recipe.run.seed, purpose=purpose)
    note_every = max(1, count // 10)
    pictures.label(
        teacher,
        out / f"degraded-{purpose}.npz",
        precision=dtype_of(recipe.run.precision),
        on_image=lambda done, new: (
            reporter.training_note(f"the teacher has labelled {done} of {count} damaged pictures ({purpose})")
            if done // note_every > (done - new) // note_every
            else None
        ),
    )
    return pictures


def _training_labels(
    recipe: EstimatorRecipe, labelled: LabelledFaces, training: np.ndarray, damaged: DegradedFaces | None
) -> dict[str, np.ndarray]:
    """Return the known labels of every attribute as training shows them, pictures turned.

    Raises:
        InputError: there are not two that differ.
    """
    turned = rng_for(recipe.run.seed, "turned-labels").uniform(-1, 1, len(training)) * recipe.turn_degrees
    columns = {
        one.name: labelled.values[training, place] + (turned if one.turned == "added" else 0.0)
        for place, one in enumerate(recipe.attributes)
    }
    if recipe.degraded and damaged is not None:
        columns[recipe.degraded.name] = damaged.quality
    known = {name: column[np.isfinite(column)] for name, column in columns.items()}
    for name, column in known.items():
        if len(np.unique(column)) < 2:
            raise InputError(
                f"the training faces have {len(column)} labels of {name}, all alike; an attribute that does not vary "
                "cannot be learnt."
            )
    return known


def _describe(recipe: EstimatorRecipe, columns: dict[str, np.ndarray]) -> list[EstimatedAttribute]:
    described = [
        describe_labels(one.name, one.unit, columns[one.name], mirrored=one.mirrored) for one in recipe.attributes
    ]
    if recipe.degraded:
        name = recipe.degraded.name
        described.append(describe_labels(name, PERCENT, columns[name], mirrored="same"))
    return described


def _start_from(model: AttributeNetwork, initial: AttributeNetwork) -> None:
    for what, asked, given in (
        ("measures", [one.name for one in model.attributes], [one.name for one in initial.attributes]),
        ("has stage_widths", list(model.config["widths"]), list(initial.config["widths"])),
        ("has stage_depths", list(model.config["depths"]), list(initial.config["depths"])),
    ):
        if asked != given:
            raise ContractError(
                f"the recipe's estimator {what} {asked}, the one to start from {given}; leave out --initial, or ask "
                "for the same in the recipe."
            )
    model.load_state_dict(initial.state_dict())
