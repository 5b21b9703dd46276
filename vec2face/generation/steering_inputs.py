"""Find what steering a dataset needs (estimators, the embedder that watches, directions), plan it, open it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vec2face.checkpoints import digest, load_generator
from vec2face.config.attributes import read_request
from vec2face.config.generation import GenerateRecipe
from vec2face.config.steering import RecipeSteering
from vec2face.errors import ConfigError, ContractError, InputError
from vec2face.fileio.atomic import fingerprint
from vec2face.generation.attributes import FORMAT, AttributePlan, decode_slope
from vec2face.generation.plan import GeneratorFacts, Plan
from vec2face.generation.reference import embedder_of_space
from vec2face.generation.render import torch_threads
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.progress import ProgressReporter
from vec2face.steering.catalogue import open_estimators
from vec2face.steering.directions import Directions, estimate_directions
from vec2face.steering.distributions import AttributeRequest
from vec2face.steering.estimators import AttributeEstimator, digest_of, measure
from vec2face.steering.inputs import draw_direction_inputs, draw_inputs, draw_nobody
from vec2face.steering.optimise import Steering
from vec2face.steering.warm_start import WarmStart

_TRIED = 2  # pictures that estimators are tried on before any long work


@dataclass(frozen=True)
class SteeringParts:
    """The networks of a steered dataset, tried out. Made by `open_parts`.

    Attributes:
        recipe: with its section of steering resolved.
        settings: that section.
        requests: what is asked, in the recipe's order.
        generator: the network.
        facts: of the generator.
        estimators: what measures, in the same order.
        embedder: what watches identity; `reference` names it.
    """

    recipe: GenerateRecipe
    settings: RecipeSteering
    requests: tuple[AttributeRequest, ...]
    generator: Vec2FaceGenerator
    facts: GeneratorFacts
    estimators: tuple[AttributeEstimator, ...]
    embedder: FaceEmbedder
    reference: str

    def plan(self, people: np.ndarray, *, recorded: Mapping[str, Any], progress: ProgressReporter) -> AttributePlan:
        """Return the plan, with directions from the file named, from an earlier run, or estimated.

        Args:
            people: float32 `(I, D)` identity vectors.
            recorded: the description of the dataset that is continued, or nothing.
            progress: receives the stage "directions".

        Raises:
            InputError: the file of directions cannot be read, or an attribute has none (NaN).
            ContractError: the directions are of another generator.
        """
        digests = {one.facts.name: digest_of(one) for one in self.estimators}
        asked = fingerprint(
            {
                "format": FORMAT,
                "seed": self.recipe.seed,
                "weights": self.facts.sha256,
                "estimators": digests,
                "pictures": self.settings.direction_pictures,
                "compute": self.recipe.compute.model_dump(mode="json", exclude={"batch_size"}),
                "batch_size": self.settings.batch_size,
            }
        )
        return AttributePlan(
            requests=self.requests,
            settings=self.settings,
            estimators=digests,
            embedder=self.reference,
            embedder_sha256=digest(self.reference, kind="embedder"),
            slopes=self._slopes(people, asked, recorded.get("steering", {}), progress),
            slopes_asked=asked,
        )

    def _slopes(
        self, people: np.ndarray, asked: str, recorded: Mapping[str, Any], progress: ProgressReporter
    ) -> dict[str, np.ndarray]:
        names = [one.facts.name for one in self.estimators]
        if self.settings.directions is not None:
            found = Directions.load(self.settings.directions)
            found.warm_start(names, generator=self.facts.sha256, options=self.settings)
        elif not self.settings.direction_pictures:
            return {}
        elif recorded.get("directions_asked") == asked:
            # Repairs change who is in the dataset; what its images are steered by must not change with them.
            return {name: decode_slope(text) for name, text in recorded["directions"].items()}
        else:
            found = self._estimated(people, self.settings.direction_pictures, progress)
        return {name: found.slopes[name] for name in names if name in found.slopes}

    def _estimated(self, people: np.ndarray, pictures: int, progress: ProgressReporter) -> Directions:
        inputs = draw_direction_inputs(people, pictures=pictures, seed=self.recipe.seed, generator=self.generator)
        progress.begin("directions", total=len(inputs), unit="pictures")
        with torch_threads(self.recipe.compute.threads_per_worker):
            return estimate_directions(
                self.generator,
                self.estimators,
                inputs,
                digest=self.facts.sha256,
                batch_size=self.settings.batch_size,
                device=self.recipe.compute.device,
                on_pictures=progress.advance,
            )


def open_parts(recipe: GenerateRecipe, facts: GeneratorFacts) -> SteeringParts:
    """Load what a recipe's attributes need, check every target, and try it all on two pictures of nobody.

    Raises:
        ConfigError: an attribute that is not known (the message lists those that are), targets outside what its
            estimator was validated for (every one is named), or nothing may move.
        InputError: an estimator that cannot be made, or that gives NaN or infinity.
        WeightsError: a network is not on this machine.
        ContractError: the generator shows landmark pictures, or networks do not fit together.
    """
    attributes, resolved = recipe.attributes or {}, recipe.resolved()
    settings = resolved.steering or RecipeSteering()
    estimators = tuple(open_estimators(attributes, references=settings.estimators))
    requests = _requests(estimators, attributes)
    generator = load_generator(recipe.weights)
    reference, embedder = embedder_of_space(settings.embedder, facts.feature_space)
    parts = SteeringParts(resolved, settings, requests, generator, facts, estimators, embedder, reference)
    # Whatever does not fit together is told of here.
    _steering(parts.generator, estimators, embedder, resolved, settings, device=recipe.compute.device)
    with torch_threads(recipe.compute.threads_per_worker):
        _try_out(parts)
    return parts


def open_steering(plan: Plan, device_index: int) -> Steering:
    """Load the networks of a plan, ready to steer its images.

    Raises:
        ContractError: the plan asks for no attributes, or an estimator is another one by now.
        WeightsError: a network is not on this machine.
    """
    if plan.attributes is None:
        raise ContractError("a plan without attributes has nothing to steer to.")
    attributes, recipe = plan.attributes, plan.recipe
    settings = attributes.settings
    estimators = open_estimators(attributes.names, references=settings.estimators)
    for one in estimators:
        if digest_of(one) != attributes.estimators[one.facts.name]:
            raise ContractError(f"the estimator of {one.facts.name} is not the one that was planned with.")
    _, embedder = embedder_of_space(attributes.embedder, plan.generator.feature_space)
    cuda = recipe.compute.device == "cuda"
    return _steering(
        load_generator(recipe.weights),
        estimators,
        embedder,
        recipe,
        settings,
        device=f"cuda:{device_index % torch.cuda.device_count()}" if cuda else "cpu",
        warm_start=_warm_start(attributes, plan.generator),
        mask_ratio_min=plan.mask.min,
    )


def _steering(
    generator: Vec2FaceGenerator,
    estimators: Sequence[AttributeEstimator],
    embedder: FaceEmbedder,
    recipe: GenerateRecipe,
    settings: RecipeSteering,
    *,
    device: str,
    warm_start: WarmStart | None = None,
    mask_ratio_min: float | None = None,
) -> Steering:
    return Steering(
        generator=generator,
        estimators=estimators,
        identity=embedder,
        options=settings,
        encoding=recipe.image,
        warm_start=warm_start,
        mask_ratio_min=mask_ratio_min,
        precision=recipe.compute.arithmetic,
        device=device,
    )


def _warm_start(attributes: AttributePlan, generator: GeneratorFacts) -> WarmStart | None:
    if not attributes.slopes:
        return None
    found = Directions(
        slopes=attributes.slopes,
        generator=generator.sha256,
        feature_dim=generator.feature_dim,
        code_dim=generator.appearance_dim,
        pictures=0,
        explained={},
    )
    return found.warm_start(attributes.names, generator=generator.sha256, options=attributes.settings)


def _requests(estimators: Sequence[AttributeEstimator], attributes: Mapping[str, str]) -> tuple[AttributeRequest, ...]:
    requests, problems = [], []
    for one in estimators:
        try:
            requests.append(AttributeRequest(one.facts, read_request(attributes[one.facts.name])))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(requests)


def _try_out(parts: SteeringParts) -> None:
    """Measure two pictures of vectors drawn at random. Raises `InputError` where a value is not finite."""
    config = parts.generator.config
    seed, generator = parts.recipe.seed, parts.generator
    vectors = draw_nobody(_TRIED, seed=seed, stage="trial", generator=generator)
    inputs = draw_inputs(vectors, images=1, seed=seed, generator=generator)
    rows = {
        name: torch.tensor(getattr(inputs, name), device=parts.recipe.compute.device)
        for name in ("vectors", "mask_noise", "mask_rate", "codes")
    }
    with torch.no_grad():
        images = generator(
            rows["vectors"],
            mask_noise=rows["mask_noise"],
            mask_rate=rows["mask_rate"],
            appearance=rows["codes"] if config.appearance_dim else None,
        ).image.clamp(-1, 1)
    if not torch.isfinite(images).all():
        return  # the generator's fault, which each shard tells of
    images.requires_grad_()
    for one in parts.estimators:
        values = measure(one, images)
        if not torch.isfinite(values).all():
            raise InputError(
                f"the estimator of {one.facts.name} gave {float(values.detach()[0])} for a picture of the generator; "
                "mend it, or leave the attribute out."
            )
