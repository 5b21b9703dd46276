"""What a recipe will take: shards, bytes, time and cost, from measured rates. No torch here."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vec2face.config.generation import GenerateRecipe
from vec2face.config.rates import Rates, decisive_parts
from vec2face.data.photos import list_photos
from vec2face.errors import ConfigError
from vec2face.generation.folder import assumed_image_bytes
from vec2face.identities.bank import IdentityBank

_HOUR = 3600.0


@dataclass(frozen=True)
class Span:
    """A quantity between two bounds, which are equal where it is known."""

    least: float = 0.0
    most: float = 0.0

    def __add__(self, other: "Span") -> "Span":
        return Span(self.least + other.least, self.most + other.most)

    def times(self, factor: float) -> "Span":
        """Return both bounds multiplied."""
        return Span(self.least * factor, self.most * factor)


@dataclass(frozen=True)
class Estimate:
    """What a recipe will take. None stands for what no rate tells.

    Attributes:
        name: of the dataset.
        identities, images, shards: counts.
        images_per_shard: of a whole shard; the last may have fewer.
        bytes: archives, manifests and table; the bank and the report are small beside them.
        bytes_measured: whether `bytes` comes from measured images, or from what a check of free space assumes.
        workers, busy_workers: as many as were asked for, and as have a shard to render.
        images_per_second: of one worker.
        sampling: seconds of one process to sample the identities, extrapolated by the number of pairs; 0 where they are
            not sampled.
        selection: seconds of one process to render the pictures that choose identities, without their embedder's time;
            0 where nothing is chosen so.
        rendering: seconds from the first shard to the last.
        hours: of all these, as far as they are known.
        cost: of all workers over those hours.
        measured: the rates that were used.
    """

    name: str
    identities: int
    images: int
    shards: int
    images_per_shard: int
    bytes: float
    bytes_measured: bool
    workers: int
    busy_workers: int
    images_per_second: float | None
    sampling: float | None
    selection: Span | None
    rendering: float | None
    hours: Span | None
    cost: Span | None
    measured: Rates | None

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON values; units stand in the names."""
        values = asdict(self)
        values["measured"] = None if self.measured is None else self.measured.model_dump(mode="json")
        for name in ("sampling", "selection", "rendering"):
            values[f"{name}_seconds"] = values.pop(name)
        return values


def estimate(
    recipe: GenerateRecipe,
    *,
    workers: int,
    rates: Rates | None = None,
    images_per_second: float | None = None,
    price_per_hour: float | None = None,
) -> Estimate:
    """Work out what a recipe takes.

    Identities come first, in one process. Then the slowest worker decides, which has ceil(shards / workers) shards.

    Args:
        recipe: what to make.
        workers: processes or GPUs that render, 1 or more.
        rates: measured for this recipe; None leaves out what they tell.
        images_per_second: of one worker; takes the place of the measured rate.
        price_per_hour: of one worker, in any currency.

    Raises:
        ConfigError: the rates were measured for other settings.
        InputError: a bank or photographs of the recipe cannot be read.
    """
    if rates is not None:
        _require_same(_as_measured(recipe, rates), rates.recipe)
    identities = _count(recipe)
    images = identities * recipe.images_per_identity
    size = recipe.shards.identities_per_shard
    shards = math.ceil(identities / size)
    per_shard = min(size, identities) * recipe.images_per_identity
    rate = rates.images_per_second if rates is not None and images_per_second is None else images_per_second
    sampling = _sampling(recipe, identities, rates)
    selection = rendering = hours = None
    if rate is not None:
        selection = _selection_images(recipe, identities).times(1 / rate)
        rendering = math.ceil(shards / workers) * per_shard / rate
        hours = (selection + Span(rendering, rendering) + Span(sampling or 0.0, sampling or 0.0)).times(1 / _HOUR)
    per_image: float = assumed_image_bytes(recipe.image.format)
    if rates is not None:
        per_image = rates.archive_bytes_per_image + rates.other_bytes_per_image
    return Estimate(
        name=recipe.name,
        identities=identities,
        images=images,
        shards=shards,
        images_per_shard=per_shard,
        bytes=images * per_image,
        bytes_measured=rates is not None,
        workers=workers,
        busy_workers=min(workers, shards),
        images_per_second=rate,
        sampling=sampling,
        selection=selection,
        rendering=rendering,
        hours=hours,
        cost=None if hours is None or price_per_hour is None else hours.times(workers * price_per_hour),
        measured=rates,
    )


def _count(recipe: GenerateRecipe) -> int:
    """Return the number of identities; a bank or photographs tell it where the recipe does not."""
    identities = recipe.identities
    if identities.sampled_from is not None:
        return identities.sampling()[0]
    if identities.count is not None:
        return identities.count
    if identities.bank is not None:
        return len(IdentityBank.load(identities.bank))
    return len(list_photos(identities.photos.paths)) if identities.photos is not None else 0


def _sampling(recipe: GenerateRecipe, identities: int, rates: Rates | None) -> float | None:
    """Return seconds of sampling: every identity is compared with those before it, so the pairs decide."""
    if recipe.identities.sampled_from is None:
        return 0.0
    if rates is None or rates.sampled is None or rates.sampling_seconds is None:
        return None
    return rates.sampling_seconds * (tried(recipe, identities) / rates.sampled) ** 2


def tried(recipe: GenerateRecipe, identities: int) -> int:
    """Return how many identities are sampled for so many wanted: spare ones too, where pictures choose among them."""
    rendered = recipe.identities.rendered
    return identities if rendered is None else identities + math.ceil(rendered.spare * identities)


def _selection_images(recipe: GenerateRecipe, identities: int) -> Span:
    """Return how many images are rendered to choose identities: of those wanted alone, or of all spare ones too."""
    rendered = recipe.identities.rendered
    if rendered is None:
        return Span()
    images = rendered.images_tried(recipe.images_per_identity)
    return Span(identities * images, tried(recipe, identities) * images)


def _as_measured(recipe: GenerateRecipe, rates: Rates) -> dict[str, Any]:
    """Return the parts of a recipe that rates depend on; its precision, if it is auto, is what the machine chose."""
    wanted = decisive_parts(recipe)
    if recipe.compute.dtype == "auto":
        wanted["compute"] |= {"dtype": rates.recipe.get("compute", {}).get("dtype")}
    return wanted


def _require_same(wanted: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
    differing = [key for key in wanted if wanted[key] != measured.get(key)]
    if differing:
        raise ConfigError(
            f"the rates were measured with other settings ({', '.join(differing)}); measure this recipe with --measure."
        )
