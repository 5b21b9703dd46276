"""Choose identities by what the generator makes of them: people must keep apart in the pictures, not in the vectors."""

import math
from collections import deque
from typing import Any

import numpy as np

from vec2face.arithmetic import settled_recipe
from vec2face.checkpoints import digest, load_generator
from vec2face.config.generation import GenerateRecipe, RenderedSelection
from vec2face.errors import InputError
from vec2face.fileio.partial import PartialWork
from vec2face.generation.bank_digest import content_digest
from vec2face.generation.plan import BankFacts, GeneratorFacts, make_plan
from vec2face.generation.probe import Probe
from vec2face.generation.reference import embedder_of_space
from vec2face.identities import IdentityBank
from vec2face.identities.ceilings import ceiling_for_rate
from vec2face.progress import ProgressReporter

CHUNK = 32  # identities tried between two decisions
_VACANT = -1


def candidates_for(count: int, wanted: RenderedSelection) -> int:
    """Return how many candidates are drawn for `count` identities."""
    return count + math.ceil(wanted.spare * count)


def select_rendered(
    candidates: IdentityBank,
    recipe: GenerateRecipe,
    generator: GeneratorFacts,
    *,
    count: int,
    wanted: RenderedSelection,
    partial: PartialWork | None = None,
    progress: ProgressReporter,
) -> IdentityBank:
    """Fill `count` places with candidates whose pictures keep apart.

    Place i is tried with the images that identity i of the dataset will have. A candidate stays if it is recognised
    (the cosine between its pictures' centre and its own vector reaches the consistency) and its centre stays below the
    ceiling to every centre that stayed before. Otherwise the place is tried again, later, with the unused candidate
    whose vector is farthest from all those centres. With all images tried, what is decided holds in the finished
    dataset but for its image compression; with fewer it is an estimate.

    Args:
        candidates: at least `count`; the first `count` are tried first.
        recipe: how the dataset's images will vary; its seed, variation, mask, images per identity and compute count.
        generator: facts of the recipe's generator.
        count: identities wanted.
        wanted: embedder, ceiling, consistency, images.
        partial: where unfinished work is kept; remove it once the bank is saved.
        progress: receives the stage "trying identities".

    Returns:
        A bank of `count` identities with `rendered` in its provenance.

    Raises:
        InputError: the candidates ran out (the message says how many places were filled), or a setting does not fit.
        ConfigError: the precision is to be chosen for a GPU that is not here.
        ContractError: no embedder is named and none of the generator's feature space is known.
        WeightsError: a network cannot be loaded.
    """
    if len(candidates) < count:
        raise InputError(f"{len(candidates)} candidates cannot give {count} identities; give more candidates.")
    recipe = settled_recipe(recipe)
    reference, embedder = embedder_of_space(wanted.embedder, generator.feature_space)
    same_space = embedder.name == generator.feature_space
    if wanted.consistency is not None and not same_space:
        raise InputError(
            f"the vectors are of the feature space {generator.feature_space!r}, so {embedder.name} cannot compare them "
            "with pictures; leave the consistency out, or use the embedder of that space."
        )
    ceiling = ceiling_for_rate(reference, wanted.rate) if wanted.ceiling is None else wanted.ceiling
    consistency = (ceiling if same_space else None) if wanted.consistency is None else wanted.consistency
    facts = BankFacts(sha256=content_digest(candidates), count=len(candidates), dim=candidates.width)
    plan = make_plan(recipe, bank=facts, generator=generator, request={})
    probe = Probe.of(
        plan,
        generator=load_generator(recipe.weights),
        embedder=embedder,
        images=wanted.images_tried(recipe.images_per_identity),
    )
    rendered: dict[str, Any] = {
        "embedder": embedder.name,
        "embedder_sha256": digest(reference, kind="embedder"),
        "generator_sha256": generator.sha256,
        "ceiling": ceiling,
        "consistency": consistency,
        "images": probe.images,
    }
    places = Places(probe, candidates.vectors, count=count, ceiling=ceiling, consistency=consistency)
    request = {"plan": plan.fingerprint, "count": count, **rendered}
    found = partial.load(request) if partial is not None else None
    if found is not None:
        places.take_back(*found)
    progress.begin("trying identities", total=count, unit="identities", done=places.filled)
    while places.waiting:
        before = places.filled
        places.try_some()
        progress.advance(places.filled - before, note=f"{places.tried:,} candidates tried")
        if partial is not None and partial.due():
            partial.save(request, *places.to_save())
    counts = {"tried": places.tried, "not_recognised": places.not_recognised, "too_close": places.too_close}
    return candidates.subset(places.chosen, {"rendered": {**rendered, **counts}})


class Places:
    """The identities of a dataset to come, filled one after the other.

    Attributes:
        chosen: int64 `(count,)`, the candidate in each place, or -1.
        waiting: places to be filled, in order of trial.
        not_recognised, too_close: candidates that were turned away, by reason.
    """

    def __init__(
        self, probe: Probe, vectors: np.ndarray, *, count: int, ceiling: float, consistency: float | None
    ) -> None:
        self.chosen = np.full(count, _VACANT, dtype=np.int64)
        self.waiting: deque[int] = deque(range(count))
        self.not_recognised = 0
        self.too_close = 0
        self._probe = probe
        self._vectors = vectors
        self._ceiling = ceiling
        self._consistency = consistency
        self._sums = np.zeros((count, probe.embedder.dim))
        self._centres = np.zeros((count, probe.embedder.dim))
        self._used = np.arange(len(vectors)) < count
        self._first_round = count  # places not yet tried at all
        self._same_space = consistency is not None and vectors.shape[1] == probe.embedder.dim

    @property
    def filled(self) -> int:
        """Number of places filled."""
        return int((self.chosen != _VACANT).sum())

    @property
    def tried(self) -> int:
        """Number of candidates tried."""
        return self.filled + self.not_recognised + self.too_close

    def try_some(self) -> None:
        """Try the next places that wait, at most `CHUNK`. Raises `InputError` if the candidates have run out."""
        places: list[int] = []
        candidates: list[int] = []
        while self.waiting and len(places) < CHUNK:
            if self._first_round:
                self._first_round -= 1
                candidates.append(self.waiting[0])
            elif places and self._used.all():
                break
            else:
                candidates.append(self._farthest_unused())
            places.append(self.waiting.popleft())
        sums = self._probe.sums(np.array(places), self._vectors[candidates])
        centres = self._probe.centres(sums)
        for row, (place, candidate) in enumerate(zip(places, candidates, strict=True)):
            vector = self._vectors[candidate].astype(np.float64)
            if self._consistency is not None and _cosine(vector, sums[row]) < self._consistency:
                self.not_recognised += 1
                self.waiting.append(place)
            elif (self._stayed() @ centres[row] >= self._ceiling).any():
                self.too_close += 1
                self.waiting.append(place)
            else:
                self.chosen[place] = candidate
                self._sums[place], self._centres[place] = sums[row], centres[row]

    def to_save(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays and state for `PartialWork.save`."""
        arrays: dict[str, np.ndarray] = {"chosen": self.chosen, "sums": self._sums, "used": self._used.astype(np.uint8)}
        state: dict[str, Any] = {
            "waiting": list(self.waiting),
            "first_round": self._first_round,
            "not_recognised": self.not_recognised,
            "too_close": self.too_close,
        }
        return arrays, state

    def take_back(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        """Go on from what `to_save` gave."""
        self.chosen, self._sums = arrays["chosen"].copy(), arrays["sums"].copy()
        self._used = arrays["used"].astype(bool)
        filled = np.flatnonzero(self.chosen != _VACANT)
        self._centres[filled] = self._probe.centres(self._sums[filled])
        self.waiting = deque(state["waiting"])
        self._first_round = state["first_round"]
        self.not_recognised, self.too_close = state["not_recognised"], state["too_close"]

    def _stayed(self) -> np.ndarray:
        return self._centres[self.chosen != _VACANT]

    def _farthest_unused(self) -> int:
        unused = np.flatnonzero(~self._used)
        if not len(unused):
            raise InputError(
                f"only {self.filled} of {len(self.chosen)} identities keep apart as rendered: of {self.tried} "
                f"candidates {self.too_close} look like another at cosine {self._ceiling:.3f} or more, and "
                f"{self.not_recognised} are not recognised as their own vector; ask for fewer, lower the ceiling of "
                "the vectors, or give more spare candidates."
            )
        best = int(unused[0])
        if self._same_space:
            vectors = self._vectors[unused].astype(np.float64)
            vectors /= np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
            best = int(unused[(vectors @ self._stayed().T).max(axis=1, initial=-1.0).argmin()])
        self._used[best] = True
        return best


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / math.sqrt((first @ first) * (second @ second)))
