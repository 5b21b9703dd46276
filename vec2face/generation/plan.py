"""The plan of a dataset: everything that decides its bytes, and how they are cut into shards. No torch here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

from vec2face.config.base import parse
from vec2face.config.generation import GenerateRecipe, MaskRate
from vec2face.config.pose import PoseControl
from vec2face.contracts import require_same_width
from vec2face.errors import ConfigError
from vec2face.fileio.atomic import fingerprint
from vec2face.generation.attributes import AttributePlan
from vec2face.generation.repairs import BANK, IDENTITIES_PER_SHARD, RepairRound, ShardPlans
from vec2face.generation.views import PosePlan, resolve_pose

# Raise it whenever equal recipes begin to give other bytes: another order of draws, member order, JSON layout.
FORMAT = 1

PRECISION = "compute.dtype"  # the determinant that a machine may have chosen

# Libraries whose release can change a pixel, an encoded byte or a random draw.
DECISIVE_LIBRARIES = ("torch", "pillow", "numpy")


def sample_key(identity: int, image: int) -> str:
    """Return the name of an image: identity and image index, padded so that names sort in the order of numbers."""
    return f"{identity:07d}_{image:04d}"


@dataclass(frozen=True)
class BankFacts:
    """What the plan knows of the identity bank.

    Attributes:
        sha256: digest of ids and vectors (see `generation.inputs.content_digest`).
        count: identities.
        dim: width of a vector.
    """

    sha256: str
    count: int
    dim: int


@dataclass(frozen=True)
class GeneratorFacts:
    """What the plan knows of the generator.

    Attributes:
        sha256: digest of the weights.
        feature_dim: width of the vectors it takes.
        feature_space: name of the embedder whose vectors it takes.
        sigma_unit: standard deviation, in raw feature units a dimension, that a sigma of 1 means.
        sampling_mask: "min", "max", "mean", "std" of the mask rate it is meant to be sampled with.
        appearance_dim: width of the appearance code it takes, 0 for none.
        pose_condition: whether it takes landmark pictures.
        adapters: whether it has low-rank adapters.
    """

    sha256: str
    feature_dim: int
    feature_space: str
    sigma_unit: float
    sampling_mask: Mapping[str, float]
    appearance_dim: int = 0
    pose_condition: bool = False
    adapters: bool = False


@dataclass(frozen=True)
class ShardPlan:
    """One archive: `identities` consecutive identities from `first_identity` on, `images` images in all."""

    index: int
    first_identity: int
    identities: int
    images: int


@dataclass(frozen=True)
class Plan:
    """A resolved recipe together with what its inputs turned out to be. Made by `make_plan`.

    Attributes:
        recipe: no value that null or auto stands for is left open.
        mask: distribution of the mask rate in use.
        appearance: standard deviation of the appearance code, 0 for a generator without one.
        bank, generator: the inputs.
        request: how the bank was asked for, so that a resumed run need not sample it again; decides no byte.
        versions: library -> release, of `DECISIVE_LIBRARIES`.
        repairs: the rounds that gave identities other vectors; `bank` is what they led to.
        pose: the views of a generator with a pose condition; None for another.
        attributes: how images are steered; None where nothing is asked of them.
    """

    recipe: GenerateRecipe
    mask: MaskRate
    appearance: float
    bank: BankFacts
    generator: GeneratorFacts
    versions: Mapping[str, str]
    request: Mapping[str, Any]
    repairs: tuple[RepairRound, ...] = ()
    pose: PosePlan | None = None
    attributes: AttributePlan | None = None

    @property
    def adapter_strength(self) -> float:
        """Factor on the generator's low-rank adapters."""
        return 1.0 if self.pose is None else self.pose.adapter_strength

    @property
    def images(self) -> int:
        """Images of the whole dataset."""
        return self.bank.count * self.recipe.images_per_identity

    @property
    def shard_count(self) -> int:
        """Number of shards."""
        return -(-self.bank.count // self.recipe.shards.identities_per_shard)

    def shard(self, index: int) -> ShardPlan:
        """Return the shard with this index, 0 to `shard_count` - 1."""
        size = self.recipe.shards.identities_per_shard
        first = index * size
        identities = min(size, self.bank.count - first)
        return ShardPlan(index, first, identities, identities * self.recipe.images_per_identity)

    @property
    def shards(self) -> list[ShardPlan]:
        """All shards in order."""
        return [self.shard(index) for index in range(self.shard_count)]

    def determinants(self) -> dict[str, Any]:
        """Everything that decides the dataset's bytes, under the name a user knows it by.

        Paths are not among them: a bank or a checkpoint may move, its digest decides.
        """
        recipe = self.recipe
        return {
            "format": FORMAT,
            "name": recipe.name,
            "seed": recipe.seed,
            "images_per_identity": recipe.images_per_identity,
            "identities.count": self.bank.count,
            BANK: self.bank.sha256,
            "weights (sha256)": self.generator.sha256,
            "weights.sigma_unit": self.generator.sigma_unit,
            "variation.mixture": [[part.sigma, part.share] for part in recipe.variation.mixture],
            "variation.appearance": self.appearance,
            "mask": self.mask.model_dump(mode="json"),
            **({} if self.pose is None else self.pose.determinants()),
            **({} if self.attributes is None else self.attributes.determinants()),
            "image.format": recipe.image.format,
            "image.quality": recipe.image.quality,
            IDENTITIES_PER_SHARD: recipe.shards.identities_per_shard,
            PRECISION: recipe.compute.arithmetic,
            # Steered images are computed in passes of a size of their own.
            **({} if self.attributes else {"compute.batch_size": recipe.compute.batch_size}),
            "compute.threads_per_worker": recipe.compute.threads_per_worker,
            "compute.device": recipe.compute.device,
            **{f"{library} release": release for library, release in self.versions.items()},
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of `determinants()`: two runs with the same one write the same shards."""
        return fingerprint(self.determinants())

    @cached_property
    def _shard_plans(self) -> ShardPlans:
        return ShardPlans(self.determinants(), self.repairs)

    def shard_fingerprint(self, index: int) -> str:
        """What the manifest of a shard carries: `fingerprint`, or what it was when a repair last touched it."""
        return self._shard_plans.fingerprint(index)

    def describe(self) -> dict[str, Any]:
        """The content of `dataset.json`."""
        repairs = [round_.model_dump(mode="json") for round_ in self.repairs]
        return {
            "format": FORMAT,
            "name": self.recipe.name,
            "fingerprint": self.fingerprint,
            "determinants": self.determinants(),
            "recipe": self.recipe.model_dump(mode="json"),
            "generator": asdict(self.generator),
            "identities": {**asdict(self.bank), "request": dict(self.request)},
            "images": self.images,
            "shards": self.shard_count,
            **({"repairs": repairs} if repairs else {}),
            **({} if self.pose is None else {"landmark_pictures": self.pose.describe()}),
            **({} if self.attributes is None else {"steering": self.attributes.describe()}),
        }


def make_plan(
    recipe: GenerateRecipe,
    *,
    bank: BankFacts,
    generator: GeneratorFacts,
    request: Mapping[str, Any],
    repairs: tuple[RepairRound, ...] = (),
    recorded: Mapping[str, Any] | None = None,
    attributes: AttributePlan | None = None,
) -> Plan:
    """Join a recipe with its inputs; `vec2face.generation.inputs.prepare` finds them.

    Args:
        recipe, bank, generator, request, repairs, attributes: see `Plan`.
        recorded: the description of the dataset that is continued, which keeps landmark pictures.

    Raises:
        ContractError: the bank's vectors are not of the width the generator takes.
        ConfigError: the generator's own sampling mask is unusable, a strength of appearance is asked of a generator
            without the code, or poses of one without a pose condition, or none of one with it.
        InputError: a file of landmarks cannot be used.
    """
    require_same_width("the identity bank", bank.dim, "the generator", generator.feature_dim)
    mask = recipe.mask or parse(MaskRate, generator.sampling_mask, where="the generator's sampling_mask")
    identities = recipe.identities.resolved().model_copy(update={"count": bank.count})
    appearance = _appearance(recipe.variation.appearance, generator)
    variation = recipe.variation.model_copy(update={"appearance": appearance if generator.appearance_dim else None})
    return Plan(
        recipe=recipe.resolved().model_copy(update={"identities": identities, "mask": mask, "variation": variation}),
        mask=mask,
        appearance=appearance,
        bank=bank,
        generator=generator,
        versions={library: version(library) for library in DECISIVE_LIBRARIES},
        request=request,
        repairs=repairs,
        pose=_pose(recipe.pose, generator, recorded),
        attributes=attributes,
    )


def _pose(asked: PoseControl | None, generator: GeneratorFacts, recorded: Mapping[str, Any] | None) -> PosePlan | None:
    if asked is None and not generator.pose_condition:
        return None
    if asked is None:
        raise ConfigError(
            "this generator renders from landmark pictures; say which by pose.views, such as --view yaw=-40..40 or "
            "--landmarks FILE."
        )
    if not generator.pose_condition:
        raise ConfigError(
            "the recipe asks for poses, but this generator has no pose condition; leave pose out and steer the yaw "
            "(attributes), or use weights that have one (vec2face-plus-pose)."
        )
    if asked.adapter_strength != 1 and not generator.adapters:
        raise ConfigError("pose.adapter_strength needs a generator with low-rank adapters; leave it out.")
    return resolve_pose(asked, recorded=recorded)


def _appearance(asked: float | None, generator: GeneratorFacts) -> float:
    if generator.appearance_dim:
        return 1.0 if asked is None else asked
    if asked:
        raise ConfigError(
            f"variation.appearance is {asked:g}, but this generator takes no appearance code; leave it out, or use "
            "weights that take one (the embedded ones do)."
        )
    return 0.0


def differences(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Name each determinant that two plans do not share, with both values, as "seed: 1 there, 2 wanted"."""
    absent = object()
    lines = []
    for key in [*wanted, *(key for key in recorded if key not in wanted)]:
        there, here = recorded.get(key, absent), wanted.get(key, absent)
        if there != here:
            lines.append(f"{key}: {_shown(there, absent)} there, {_shown(here, absent)} wanted")
    return lines


def _shown(value: Any, absent: object) -> str:
    if value is absent:
        return "nothing"
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 and text.isalnum() else text
