"""The published rule of attribute steering (AttrOP, arXiv 2409.02979), as a baseline that can be run.

It moves the vector by Adam with a step of 0.1 sigma units (raw units of its own generator), on 100 times the identity
distance plus the attribute's distance, and goes on while a *mean over the batch* is beyond its limit: the tolerance for
the attribute, 1 - floor for identity. It has no bound; here a cap ends it, and batches that it ended are counted. Mask
and noise are fixed. It accepts nothing by itself: a picture counts as accepted by the test that steering has to pass,
8-bit pixels within tolerance and identity at its floor or above.

The published yaw is steered without its sign; here the sign counts. A generator with an appearance code keeps most of
pose and light there, which the rule knows nothing of: `moves="both"` lets it move the code too, by the same step in
standard deviations.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.pixels import to_pixels
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.optimise import from_pixels
from vec2face.steering.samples import SteeringInputs
from vec2face.steering.targets import Target

STEP = 0.1
IDENTITY_WEIGHT = 100.0

Moves = Literal["vector", "both"]
MOVES: tuple[Moves, ...] = get_args(Moves)


@dataclass
class Counts:
    """What a run of the rule came to; a pass is one image through the generator, forward and back."""

    passes: int = 0
    accepted: int = 0
    batches_at_cap: int = 0
    batches: int = 0

    def facts(self) -> dict[str, Any]:
        """The counts, and passes for each accepted picture (None where there is none)."""
        return {**asdict(self), "passes_per_accepted": self.passes / self.accepted if self.accepted else None}


def render(
    generator: Vec2FaceGenerator, inputs: SteeringInputs, rows: slice, vectors: Tensor, codes: Tensor | None = None
) -> Tensor:
    """Return the images of some rows, with other vectors and codes than the inputs' own."""
    shown = torch.tensor(inputs.codes[rows]) if codes is None else codes
    image: Tensor = generator(
        vectors,
        mask_noise=torch.tensor(inputs.mask_noise[rows]),
        mask_rate=torch.tensor(inputs.mask_rate[rows]),
        appearance=shown if shown.shape[1] else None,
    ).image
    return image


def run_published_rule(
    generator: Vec2FaceGenerator,
    embedder: FaceEmbedder,
    estimator: AttributeEstimator,
    inputs: SteeringInputs,
    targets: Sequence[Target],
    *,
    batch_size: int,
    cap: int,
    floor: float,
    moves: Moves = "vector",
) -> Counts:
    """Run the rule batch by batch; networks are frozen, targets have two ends.

    Args:
        inputs, targets: N samples, and what is asked of each.
        batch_size: whose means decide.
        cap: passes after which a batch is left.
        floor: cosine to the identity's vector.
        moves: what may move.
    """
    counts = Counts(batches=-(-len(inputs) // batch_size))
    for start in range(0, len(inputs), batch_size):
        rows = slice(start, min(start + batch_size, len(inputs)))
        wanted = torch.tensor([(one.low + one.high) / 2 for one in targets[rows]])
        tolerance = (targets[start].high - targets[start].low) / 2
        references = torch.tensor(inputs.references[rows])
        vectors = torch.tensor(inputs.vectors[rows]).requires_grad_()
        codes = torch.tensor(inputs.codes[rows])
        groups: list[dict[str, Any]] = [{"params": [vectors], "lr": STEP * generator.config.sigma_unit}]
        if moves == "both" and codes.shape[1]:
            groups.append({"params": [codes.requires_grad_()], "lr": STEP})
        adam = torch.optim.Adam(groups)
        for done in range(1, cap + 1):
            image = render(generator, inputs, rows, vectors, codes).clamp(-1, 1)
            off = (wanted - estimator.estimate(image)).abs()
            distance = 1 - nn.functional.cosine_similarity(embedder.embed(image), references)
            met = off.mean() <= tolerance and distance.mean() <= 1 - floor
            counts.passes += len(wanted)
            if met or done == cap:
                counts.batches_at_cap += int(not met)
                break
            adam.zero_grad()
            (IDENTITY_WEIGHT * distance + off).sum().backward()
            adam.step()
        with torch.no_grad():
            exact = from_pixels(to_pixels(image.detach()).numpy())
            values = estimator.estimate(exact).tolist()
            cosines = nn.functional.cosine_similarity(embedder.embed(exact), references).tolist()
        parts = zip(targets[rows], values, cosines, strict=True)
        counts.accepted += sum(one.accepts(value) and cosine >= floor for one, value, cosine in parts)
    return counts


def compare_rules(
    generator: Vec2FaceGenerator,
    embedder: FaceEmbedder,
    estimator: AttributeEstimator,
    inputs: SteeringInputs,
    targets: Sequence[Target],
    *,
    ours: float | None,
    every: Sequence[Moves],
    batch_size: int,
    cap: int,
    floor: float,
) -> dict[str, dict[str, Any]]:
    """Run the rule with each of the moves, and set it beside steering; see `run_published_rule`.

    Args:
        ours: passes that steering took for each accepted picture; None where it accepted none.
        every: the moves.

    Returns:
        {moves: the counts, and `ratio`, how many times as many passes the rule took}.
    """
    found = {}
    for moves in every:
        counts = run_published_rule(
            generator, embedder, estimator, inputs, targets, batch_size=batch_size, cap=cap, floor=floor, moves=moves
        ).facts()
        theirs = counts["passes_per_accepted"]
        found[moves] = {"samples": len(inputs), **counts, "ratio": theirs / ours if theirs and ours else None}
    return found
