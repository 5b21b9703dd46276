"""Rebuild real faces from their own identity vectors, and see whether they are still the same people.

This is the plainest look at a generator: a held-out face goes through the embedder and comes back from the generator.
Only a network that took no part in training can say who it shows; the sheet lets eyes judge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vec2face.contracts import require_same_width
from vec2face.data.facepack import FacePack
from vec2face.errors import InputError
from vec2face.evaluation.embeddings import embed_pixels
from vec2face.evaluation.people import unit
from vec2face.evaluation.realism import FEWEST_PEOPLE, rebuilt_frechet
from vec2face.evaluation.sheets import reconstruction_sheet, save_sheet
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.generator.masking import draw_masks
from vec2face.models.pixels import to_pixels
from vec2face.seeding import rng_for

BATCH = 32
SHEET_FACES = 32
SHEET_COLUMNS = 8
SPLITS = 5  # of the held-out people, for the Frechet distance


@dataclass(frozen=True)
class Likeness:
    """How alike real faces and their renderings are to one network.

    Attributes:
        network: its name.
        own: mean cosine of a face to its own rendering.
        strangers: mean cosine of a face to the renderings of other people.
        rank1: share of faces whose own rendering is the nearest of all.
        frechet: mean Frechet distance of renderings (with drawn looks) of half the people to real faces of the others,
            squared feature units; None with fewer people than can be halved.
        frechet_floor: the same of real faces in place of their renderings (see `vec2face.evaluation.realism`).
    """

    network: str
    own: float
    strangers: float
    rank1: float
    frechet: float | None
    frechet_floor: float | None


@dataclass(frozen=True)
class Reconstruction:
    """What `reconstruct` found: faces of how many people, and the likeness to each network."""

    faces: int
    likeness: tuple[Likeness, ...]

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {"faces": self.faces, "likeness": [vars(entry) for entry in self.likeness]}


@dataclass(frozen=True)
class RebuiltFaces:
    """Held-out faces and what a generator made of their vectors.

    Attributes:
        rows: (N,) rows of the pack, one for each person.
        real, rebuilt: (N, 112, 112, 3) uint8 RGB; rebuilt with the average look.
        varied: the same with a look drawn for each face, as a dataset's images are; `rebuilt` itself where the
            generator takes no appearance code.
    """

    rows: NDArray[np.int64]
    real: NDArray[np.uint8]
    rebuilt: NDArray[np.uint8]
    varied: NDArray[np.uint8]


def reconstruct(
    faces: FacePack,
    *,
    generator: Vec2FaceGenerator,
    embedder: FaceEmbedder,
    judges: list[FaceEmbedder],
    sheet: Path,
    on_image: Callable[[int, int], None] | None = None,
) -> Reconstruction:
    """Rebuild one face of every held-out person of a pack, and ask networks how alike the two are.

    Args:
        faces: the pack.
        generator: in eval mode.
        embedder: gives the identity vectors; its likeness is reported first.
        judges: further networks to ask.
        sheet: picture file for the first faces, real above rebuilt.
        on_image: told how many faces are done, of how many.

    Raises:
        InputError: the pack holds out fewer than two people.
        ContractError: the embedder's vectors do not fit the generator.
    """
    found = rebuild(faces, generator=generator, embedder=embedder, on_image=on_image)
    save_rebuilt_sheet(found, sheet)
    return Reconstruction(len(found.rows), tuple(measure_likeness(network, found) for network in (embedder, *judges)))


def rebuild(
    faces: FacePack,
    *,
    generator: Vec2FaceGenerator,
    embedder: FaceEmbedder,
    on_image: Callable[[int, int], None] | None = None,
) -> RebuiltFaces:
    """Rebuild one face of every held-out person of a pack; arguments and errors as of `reconstruct`."""
    require_same_width("the embedder's vector", embedder.dim, "the generator's input", generator.config.feature_dim)
    held_out = np.flatnonzero(faces.holdout)
    _, first = np.unique(np.array(faces.groups)[held_out], return_index=True)
    rows = held_out[np.sort(first)]
    if len(rows) < 2:
        raise InputError("the face pack holds out fewer than two people; pack again with a larger holdout_share.")
    real = np.asarray(faces.images[rows])
    rebuilt, varied = [], []
    for start in range(0, len(rows), BATCH):
        vectors = embed_pixels(embedder, real[start : start + BATCH])
        rebuilt.append(_render(generator, vectors, start))
        if generator.config.appearance_dim:
            varied.append(_render(generator, vectors, start, drawn_look=True))
        if on_image is not None:
            on_image(min(start + BATCH, len(rows)), len(rows))
    pixels = np.concatenate(rebuilt)
    return RebuiltFaces(rows, real, pixels, np.concatenate(varied) if varied else pixels)


def save_rebuilt_sheet(found: RebuiltFaces, path: Path) -> None:
    """Draw the first faces, real above rebuilt. Raises `StorageError`, or `ContractError` for another ending."""
    shown = slice(0, SHEET_FACES)
    title = "Held-out faces (above) rebuilt from their identity vectors (below)"
    save_sheet(reconstruction_sheet(found.real[shown], found.rebuilt[shown], title=title, columns=SHEET_COLUMNS), path)


@torch.inference_mode()
def _render(
    generator: Vec2FaceGenerator, vectors: NDArray[np.float32], first: int, *, drawn_look: bool = False
) -> NDArray[np.uint8]:
    mask = generator.config.sampling_mask
    numbers = range(first, first + len(vectors))
    draws = [draw_masks(0, number, [0], mask) for number in numbers]
    codes = None
    if drawn_look:
        width = generator.config.appearance_dim
        drawn = [rng_for(0, "appearance", number).standard_normal(width, np.float32) for number in numbers]
        codes = torch.from_numpy(np.stack(drawn))
    output = generator(
        torch.from_numpy(vectors),
        mask_noise=torch.from_numpy(np.concatenate([noise for noise, _ in draws])),
        mask_rate=torch.from_numpy(np.concatenate([rate for _, rate in draws])),
        appearance=codes,
    )
    return to_pixels(output.image).numpy()


def measure_likeness(network: FaceEmbedder, found: RebuiltFaces) -> Likeness:
    """Ask a network how alike faces and renderings are, each by itself and as two sets."""
    real, rebuilt = _embed(network, found.real), _embed(network, found.rebuilt)
    varied = rebuilt if found.varied is found.rebuilt else _embed(network, found.varied)
    cosines = unit(real) @ unit(rebuilt).T
    own = np.eye(len(cosines), dtype=bool)
    nearest = cosines.argmax(axis=1) == np.arange(len(cosines))
    distances = rebuilt_frechet(varied, real, splits=SPLITS, seed=0) if len(real) >= FEWEST_PEOPLE else None
    return Likeness(
        network.name,
        float(cosines[own].mean()),
        float(cosines[~own].mean()),
        float(nearest.mean()),
        distances.faces.mean if distances else None,
        distances.real.mean if distances else None,
    )


def _embed(network: FaceEmbedder, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = [embed_pixels(network, pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
    return np.concatenate(parts)
