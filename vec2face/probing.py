"""From labelled faces to a saved probe, or to probes of groups: read, embed, cross-validate, write."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vec2face.checkpoints import digest, load_embedder
from vec2face.config.groups import GroupsRecipe
from vec2face.contracts import IMAGE_SIZE
from vec2face.data.facepack import FacePack
from vec2face.data.photos import list_photos
from vec2face.errors import InputError
from vec2face.evaluation.group_errors import describe_errors
from vec2face.evaluation.group_fitting import fit_groups
from vec2face.evaluation.group_probes import GroupProbes
from vec2face.evaluation.stored_faces import holds_faces, load_faces
from vec2face.fileio.atomic import write_text
from vec2face.fileio.images import decode_image
from vec2face.fileio.outputs import require_writable
from vec2face.progress import ProgressReporter
from vec2face.steering.linear_probe import Features, Kind, ProbeWeights, features_of
from vec2face.steering.probes import Fit, check_labels, fit_probe, probe_facts, read_labels


@dataclass(frozen=True)
class ProbeRequest:
    """What is fitted on what.

    Attributes:
        labels: CSV file with the columns key and value.
        images: folder of aligned 112x112 crops, whose keys are their paths in it and whose people are its folders; or
        pack: a face pack, whose keys are its names and whose people are its groups. One of the two.
        name, unit: of the attribute.
        kind, features: of the probe; see `ProbeWeights`.
        embedder: reference of the network.
        folds, seed: of the cross-validation; see `fit_probe`.
        tolerance: of targets, in the unit; None takes the held-out error.
        batch_size: images embedded together.
    """

    labels: Path
    images: Path | None
    pack: Path | None
    name: str
    unit: str
    kind: Kind
    features: Features
    embedder: str
    folds: int
    tolerance: float | None
    seed: int
    batch_size: int


class LabelledPictures:
    """The labelled faces of a folder or of a pack.

    Args:
        labels: {key: value}.
        images, pack: where the faces are; one of the two.

    Raises:
        InputError: a label whose face is not there, or no such folder or pack.
    """

    def __init__(self, labels: dict[str, float], *, images: Path | None, pack: Path | None) -> None:
        self._files: dict[str, Path] = {}
        self._pack: FacePack | None = None
        people: dict[str, str] = {}
        if images is not None:
            if not images.is_dir():
                raise InputError(f"there is no folder {images}.")
            self._files = {path.relative_to(images).as_posix(): path for path in list_photos([images])}
            people = {key: key.rpartition("/")[0] for key in self._files}
        elif pack is not None:
            self._pack = FacePack.load(pack)
            people = dict(zip(self._pack.names, self._pack.groups, strict=True))
            self._rows = {name: row for row, name in enumerate(self._pack.names)}
        missing = [key for key in labels if key not in people]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(labels)} labelled faces are not in {images or pack}, {missing[0]!r} being the "
                "first; a key is the path in the folder, or the name in the pack."
            )
        self.keys = tuple(sorted(labels))
        named = [people[key] for key in self.keys]
        self.people: Sequence[str] | None = named if all(named) else None

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return uint8 `(B, 112, 112, 3)`. Raises `InputError` for a file that is no image of that size."""
        keys = self.keys[start:stop]
        if self._pack is not None:
            return np.stack([self._pack.images[self._rows[key]] for key in keys])
        return np.stack([_read_crop(self._files[key]) for key in keys])


def make_probe(request: ProbeRequest, out: Path, *, progress: ProgressReporter) -> tuple[Fit, int]:
    """Fit a probe and save it in `out`, which must be new or empty; return the fit and how many faces it saw.

    Raises:
        InputError: labels, faces or folder are unusable; see `read_labels` and `fit_probe`.
        WeightsError, ContractError: the embedder cannot be loaded, or passes no gradient or has no feature maps.
        StorageError: `out` cannot be written.
    """
    _require_new_folder(out)
    labels = read_labels(request.labels)
    faces = LabelledPictures(labels, images=request.images, pack=request.pack)
    values = np.array([labels[key] for key in faces.keys])
    check_labels(values, kind=request.kind, people=faces.people, folds=request.folds)
    network = load_embedder(request.embedder)
    if not isinstance(network, nn.Module):
        raise InputError(f"the embedder {request.embedder} passes no gradient, which steering needs; import it first.")
    network.eval()
    extract = features_of(network, request.features)
    progress.begin("embedding", total=len(faces.keys), unit="faces")
    parts = []
    for start in range(0, len(faces.keys), request.batch_size):
        pixels = torch.from_numpy(faces.read(start, start + request.batch_size))
        with torch.inference_mode():
            parts.append(extract(pixels.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1).numpy())
        progress.advance(len(pixels))
    fit = fit_probe(
        np.concatenate(parts),
        values,
        kind=request.kind,
        people=faces.people,
        folds=request.folds,
        seed=request.seed,
    )
    facts = probe_facts(
        request.name, request.unit, values, kind=request.kind, error=fit.error, tolerance=request.tolerance
    )
    fitted_on = {
        "faces": len(values),
        "people": None if faces.people is None else len(set(faces.people)),
        "folds": fit.folds,
        "baseline_error": fit.baseline,
        "score": fit.score,
        "missed": fit.missed,
        "mistaken": fit.mistaken,
    }
    ProbeWeights(
        weight=fit.weight,
        bias=fit.bias,
        kind=request.kind,
        features=request.features,
        facts=facts,
        embedder=request.embedder,
        embedder_sha256=digest(request.embedder, kind="embedder"),
        fitted_on=fitted_on,
    ).save(out)
    return fit, len(values)


def make_group_probes(
    recipe: GroupsRecipe, *, embeddings: Path, labels: Path, out: Path, progress: ProgressReporter
) -> GroupProbes:
    """Fit the probes of a recipe and save them in `out`, which must be new or empty, with `errors.md` beside.

    Args:
        recipe: the probes.
        embeddings: folder made by `vec2face embed` with the recipe's embedder.
        labels: CSV file; see `fit_groups`.

    Raises:
        InputError: embeddings, labels or folder are unusable.
        ContractError: the embeddings are another embedder's.
        WeightsError: the embedder cannot be loaded.
        StorageError: `out` cannot be written.
    """
    _require_new_folder(out)
    if not embeddings.is_dir() or not holds_faces(embeddings):
        raise InputError(f"{embeddings} holds no embeddings; make them with 'vec2face embed FACES --out {embeddings}'.")
    network, sha256 = load_embedder(recipe.embedder), digest(recipe.embedder, kind="embedder")
    faces = load_faces(embeddings, name=network.name, sha256=sha256, width=network.dim)
    embedder = {"reference": recipe.embedder, "name": network.name, "sha256": sha256}
    probes = fit_groups(recipe, faces, labels, embedder=embedder, progress=progress)
    probes.save(out)
    write_text(out / "errors.md", describe_errors(probes))
    return probes


def _require_new_folder(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and is no empty folder; choose another name.")
    require_writable(out, output=out)


def _read_crop(path: Path) -> np.ndarray:
    try:
        pixels = decode_image(path.read_bytes(), where=str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    if pixels.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE):
        raise InputError(f"{path} has {pixels.shape[1]}x{pixels.shape[0]} pixels; a probe takes aligned 112x112 crops.")
    return pixels
