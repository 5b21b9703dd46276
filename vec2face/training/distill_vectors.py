"""What teacher and student are asked to render: vectors, masks and appearance codes, keyed by step and sample."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vec2face.config.distillation import TeacherVectors
from vec2face.contracts import require_same_width
from vec2face.data.facepack import FacePack
from vec2face.errors import ContractError, InputError
from vec2face.fileio.atomic import atomic_write, fingerprint, sha256_file
from vec2face.identities.bank import IdentityBank
from vec2face.identities.sources import CandidateSource, GaussianSource, PcaSource
from vec2face.identities.statistics import EMBEDDED_STATISTICS
from vec2face.identities.variation import perturb
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.seeding import rng_for, seed_for
from vec2face.training.masks import draw_step_masks
from vec2face.training.portion import Portion, whole_step
from vec2face.training.vectors import embed_pack

_SEED_LIMIT = 2**63


@dataclass(frozen=True)
class Requests:
    """Inputs of a generator.

    Attributes:
        features: `(B, D)` raw identity vectors.
        mask_noise: `(B, 49)` in [0, 1).
        mask_rate: `(B,)`.
        appearance: `(B, A)` standard normal; A is 0 for a teacher that takes no code.
    """

    features: Tensor
    mask_noise: Tensor
    mask_rate: Tensor
    appearance: Tensor

    def pin(self) -> "Requests":
        """Return the inputs in page-locked memory, from which a GPU copies while it computes."""
        return Requests(*(tensor.pin_memory() for tensor in self._tensors()))

    def to(self, device: torch.device) -> "Requests":
        """Return the inputs on a device; the copy may still be under way."""
        return Requests(*(tensor.to(device, non_blocking=True) for tensor in self._tensors()))

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.features, self.mask_noise, self.mask_rate, self.appearance


@dataclass(frozen=True)
class VectorPool:
    """Where identity vectors come from.

    Attributes:
        sampled: a source that never runs out, or None.
        known: `(N, D)` vectors to choose from where nothing is sampled.
        held_out: `(M, D)` vectors that training never sees; empty where every vector is new or none is held out.
        facts: what they are, for the run's identity.
    """

    sampled: CandidateSource | None
    known: np.ndarray
    held_out: np.ndarray
    facts: dict[str, Any]

    def draw(self, seed: int, step: int, count: int) -> np.ndarray:
        """Return the `(count, D)` vectors of a step: new ones, or known ones drawn with replacement."""
        if self.sampled is not None:
            return self.sampled.candidates(seed, step * count, count)
        chosen: np.ndarray = self.known[rng_for(seed, "distill-choice", step).integers(len(self.known), size=count)]
        return chosen


class RequestStream:
    """Random access to the requests of every step.

    Args:
        pool: the vectors.
        recipe: how they are perturbed.
        mask: distribution of the mask rate: min, max, mean, std.
        sigma_unit: the teacher's.
        appearance_dim: the teacher's.
        seed: the run's seed.
    """

    def __init__(
        self,
        pool: VectorPool,
        *,
        recipe: TeacherVectors,
        mask: Mapping[str, float],
        sigma_unit: float,
        appearance_dim: int,
        seed: int,
    ) -> None:
        self._pool, self._recipe, self._mask = pool, recipe, dict(mask)
        self._sigma_unit, self._appearance_dim, self._seed = sigma_unit, appearance_dim, seed

    def read(self, portion: Portion) -> Requests:
        """Return the requests of a portion of a step."""
        return self._request(self._pool.draw(self._seed, portion.step, portion.total), portion, self._seed)

    def held_out(self, count: int) -> Requests:
        """Return requests that training does not make: of held-out vectors where there are some, else of new draws."""
        # Another seed, so that neither a sampled vector nor a mask is one that training draws.
        seed = seed_for(self._seed, "distill-held-out") % _SEED_LIMIT
        vectors = self._pool.held_out[:count] if len(self._pool.held_out) else self._pool.draw(seed, 0, count)
        return self._request(vectors, whole_step(0, len(vectors)), seed)

    @property
    def holds_out(self) -> bool:
        """Whether the vectors of `held_out` are ones that training never sees."""
        return self._pool.sampled is not None or bool(len(self._pool.held_out))

    def _request(self, vectors: np.ndarray, portion: Portion, seed: int) -> Requests:
        step, total = portion.step, portion.total
        noise, rate = draw_step_masks(seed, "distill-mask", step, total, self._mask)
        codes = rng_for(seed, "distill-appearance", step).standard_normal((total, self._appearance_dim), np.float32)
        perturbed = [
            self._perturbed(vectors[place], rng_for(seed, "distill-variation", step, place))
            for place in portion.of(range(total))
        ]
        return Requests(
            torch.from_numpy(np.stack(perturbed)),
            portion.of(noise),
            portion.of(rate),
            portion.of(torch.from_numpy(codes)),
        )

    def _perturbed(self, vector: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self._recipe.perturbed_share:
            return vector.astype(np.float32)
        mixture = self._recipe.variation.mixture
        shares = np.array([part.share for part in mixture])
        part = mixture[int(rng.choice(len(mixture), p=shares / shares.sum()))]
        return perturb(vector, part.sigma, self._sigma_unit, rng)


def open_vectors(
    recipe: TeacherVectors,
    *,
    teacher: Vec2FaceGenerator,
    pack: Path | None,
    embedder: FaceEmbedder | None,
    cache: Path,
) -> VectorPool:
    """Find the vectors a recipe names.

    Args:
        pack: the face pack, for `source: faces` and for no other.
        embedder: gives the faces' vectors.
        cache: file that keeps them, as training a generator does.

    Raises:
        InputError: a file is missing or unusable, or a pack or embedder is missing or not wanted.
        ContractError: the vectors are of another width or feature space than the teacher's.
    """
    if (pack is not None) != (recipe.source == "faces"):
        raise InputError(
            "this recipe takes its vectors from faces: name the face pack with --data."
            if pack is None
            else f"this recipe takes its vectors from {recipe.source}, not from a face pack; leave out --data."
        )
    width, space, nothing = teacher.config.feature_dim, teacher.config.feature_space, np.empty((0, 0), np.float32)
    if pack is not None:
        found = _faces(pack, embedder, cache)
    elif recipe.source == "bank" and recipe.bank is not None:
        bank = IdentityBank.load(recipe.bank)
        _require_space(bank.provenance, space, str(recipe.bank))
        found = VectorPool(None, bank.vectors, nothing, {"source": "bank", "sha256": sha256_file(recipe.bank)})
    elif recipe.source == "statistics":
        path = recipe.statistics or EMBEDDED_STATISTICS
        source = PcaSource(path)
        _require_space(source.provenance, space, str(path))
        found = VectorPool(source, nothing, nothing, {"source": "statistics", "sha256": sha256_file(path)})
    else:
        gaussian = GaussianSource(width, recipe.standard_deviation or teacher.config.sigma_unit)
        found = VectorPool(gaussian, nothing, nothing, gaussian.provenance)
    have = found.sampled.width if found.sampled is not None else found.known.shape[1]
    require_same_width("the identity vectors", have, "the teacher's input", width)
    return found


def _faces(pack: Path, embedder: FaceEmbedder | None, cache: Path) -> VectorPool:
    if embedder is None:
        raise InputError("vectors of faces need the embedder of the teacher's feature space: name it with --embedder.")
    faces = FacePack.load(pack)
    if cache.is_file():
        values = np.load(cache)
    else:
        values = embed_pack(faces, embedder).values
        with atomic_write(cache) as stream:
            np.save(stream, values)
    training = values[~faces.holdout].reshape(-1, values.shape[2])
    facts = {"source": "faces", "pack": fingerprint(faces.facts)}
    return VectorPool(None, training, values[faces.holdout, 0], facts)


def _require_space(provenance: Mapping[str, Any], space: str, where: str) -> None:
    known = provenance.get("feature_space")
    if known is not None and known != space:
        raise ContractError(f"{where} holds vectors of {known!r}, but the teacher takes those of {space!r}.")
