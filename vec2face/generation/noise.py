"""What is drawn at random for each image, keyed by (seed, identity, image) alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vec2face.generation.plan import Plan, ShardPlan
from vec2face.generation.views import no_views
from vec2face.identities.slices import BankSlices
from vec2face.identities.variation import perturb_identity, sigma_schedule
from vec2face.models.generator.masking import draw_masks
from vec2face.seeding import rng_for, seed_for


@dataclass(frozen=True)
class Draws:
    """The draws of some images of one identity, or of several identities joined.

    Attributes:
        identity, image: int64 `(B,)` indices.
        features: float32 `(B, D)` perturbed vectors, raw feature units.
        sigma: float32 `(B,)` strength of the perturbation, in sigma units.
        seed: uint64 `(B,)` seed of the perturbation.
        mask_noise: float32 `(B, 49)` in [0, 1).
        mask_rate: float32 `(B,)` share of tokens masked.
        appearance: float32 `(B, A)` appearance codes; A is 0 for a generator that takes none.
        view, angles, landmarks: see `generation.views.DrawnViews`; without pictures for a generator that takes none.
    """

    identity: np.ndarray
    image: np.ndarray
    features: np.ndarray
    sigma: np.ndarray
    seed: np.ndarray
    mask_noise: np.ndarray
    mask_rate: np.ndarray
    appearance: np.ndarray
    view: np.ndarray
    angles: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.identity)


def draw(plan: Plan, vector: np.ndarray, identity: int, first_image: int, images: int, *, attempt: int = 0) -> Draws:
    """Draw for `images` images of one identity from `first_image` on; any slice equals that slice of the whole.

    Args:
        plan: the dataset's plan.
        vector: float32 `(D,)`, the identity's vector.
        identity: its index.
        attempt: how often the images were drawn before; each gives other draws, of the same strengths.
    """
    recipe, seed = plan.recipe, _seed_of(plan.recipe.seed, attempt)
    mixture = [(part.sigma, part.share) for part in recipe.variation.mixture]
    schedule = sigma_schedule(recipe.images_per_identity, mixture, recipe.seed, identity)
    sigma = schedule[first_image : first_image + images]
    numbers = range(first_image, first_image + images)
    mask_noise, mask_rate = draw_masks(seed, identity, numbers, plan.mask.model_dump())
    if plan.pose is None:
        views = no_views(images)
    else:
        per_identity = recipe.images_per_identity
        views = plan.pose.draw(images_per_identity=per_identity, seed=seed, identity=identity, numbers=numbers)
    return Draws(
        identity=np.full(images, identity),
        image=np.array(numbers, dtype=np.int64),
        features=perturb_identity(
            vector,
            sigma,
            sigma_unit=plan.generator.sigma_unit,
            run_seed=seed,
            identity=identity,
            first_image=first_image,
        ),
        sigma=sigma,
        seed=np.array([seed_for(seed, "variation", identity, image) for image in numbers], dtype=np.uint64),
        mask_noise=mask_noise,
        mask_rate=mask_rate,
        appearance=_appearance(plan, seed, identity, numbers),
        view=views.view,
        angles=views.angles,
        landmarks=views.landmarks,
    )


def _seed_of(run_seed: int, attempt: int) -> int:
    # Halved, so that 64 bits without a sign fit those of a seed.
    return seed_for(run_seed, "redraw", image=attempt) >> 1 if attempt else run_seed


def _appearance(plan: Plan, seed: int, identity: int, numbers: range) -> np.ndarray:
    width = plan.generator.appearance_dim
    codes = [rng_for(seed, "appearance", identity, n).standard_normal(width, np.float32) for n in numbers]
    return np.stack(codes) * np.float32(plan.appearance) if width else np.empty((len(numbers), 0), np.float32)


def draw_batches(plan: Plan, shard: ShardPlan, bank: BankSlices) -> Iterator[Draws]:
    """Yield the draws of a shard, identity by identity, in batches of the plan's size; the last may be smaller."""
    size = plan.recipe.compute.batch_size
    per_identity = plan.recipe.images_per_identity
    for start in range(0, shard.images, size):
        stop = min(start + size, shard.images)
        parts = []
        while start < stop:
            row, image = divmod(start, per_identity)
            taken = min(per_identity - image, stop - start)
            identity = shard.first_identity + row
            parts.append(draw(plan, bank.rows(identity, 1)[0], identity, image, taken))
            start += taken
        yield join(parts)


def join(parts: list[Draws]) -> Draws:
    """Put draws one after another."""
    return Draws(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Draws.__annotations__})
