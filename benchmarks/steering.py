"""Compare steering with the published rule (AttrOP, arXiv 2409.02979): passes for each accepted picture.

    python benchmarks/steering.py --bank bank.safetensors --attribute brightness --by 12 --count 64
    python benchmarks/steering.py --bank bank.safetensors --attribute yaw --by 30 --directions directions.safetensors

Both ask every sample for its own start plus `--by`, within the attribute's tolerance, from the same vectors, masks and
codes, and both accept a picture by the same test: 8-bit pixels within tolerance, identity at its floor or above.

The published rule moves the vector alone, by Adam with a step of 0.1 sigma units (raw units of its own generator), on
100 times the identity distance plus the attribute's distance, and goes on while a mean over the batch is beyond its
limit: the tolerance for the attribute, 1 - floor for identity. It has no bound; here it stops at `--cap` passes, and
the line says how many batches did. Mask and noise are fixed for both. A pass is one image through the generator,
forward and back. Prints one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vec2face.checkpoints import digest, load_generator
from vec2face.config.steering import SteeringOptions
from vec2face.generation.reference import embedder_of_space
from vec2face.identities import IdentityBank
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.pixels import to_pixels
from vec2face.steering.catalogue import open_estimators
from vec2face.steering.directions import Directions
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.inputs import draw_inputs
from vec2face.steering.optimise import Steering, from_pixels
from vec2face.steering.samples import SteeringInputs
from vec2face.steering.targets import Target, point

PUBLISHED_STEP = 0.1
PUBLISHED_IDENTITY_WEIGHT = 100.0


def render(generator: Vec2FaceGenerator, inputs: SteeringInputs, rows: slice, vectors: torch.Tensor) -> torch.Tensor:
    codes = torch.tensor(inputs.codes[rows])
    return generator(
        vectors,
        mask_noise=torch.tensor(inputs.mask_noise[rows]),
        mask_rate=torch.tensor(inputs.mask_rate[rows]),
        appearance=codes if codes.shape[1] else None,
    ).image


def published(
    generator: Vec2FaceGenerator,
    embedder: FaceEmbedder,
    estimator: AttributeEstimator,
    inputs: SteeringInputs,
    targets: list[Target],
    options: argparse.Namespace,
) -> dict[str, float]:
    """Run the published rule batch by batch; count passes, accepted pictures and batches that met the cap."""
    passes = accepted = capped = 0
    for start in range(0, len(inputs), options.batch_size):
        rows = slice(start, min(start + options.batch_size, len(inputs)))
        wanted = torch.tensor([(one.low + one.high) / 2 for one in targets[rows]])
        references = torch.tensor(inputs.references[rows])
        vectors = torch.tensor(inputs.vectors[rows]).requires_grad_()
        adam = torch.optim.Adam([vectors], lr=PUBLISHED_STEP * generator.config.sigma_unit)
        for done in range(1, options.cap + 1):
            image = render(generator, inputs, rows, vectors).clamp(-1, 1)
            off = (wanted - estimator.estimate(image)).abs()
            distance = 1 - nn.functional.cosine_similarity(embedder.embed(image), references)
            met = off.mean() <= estimator.facts.tolerance and distance.mean() <= 1 - options.floor
            passes += len(wanted)
            if met or done == options.cap:
                capped += not met
                break
            adam.zero_grad()
            (PUBLISHED_IDENTITY_WEIGHT * distance + off).sum().backward()
            adam.step()
        with torch.no_grad():
            exact = from_pixels(to_pixels(image.detach()).numpy())
            values = estimator.estimate(exact).tolist()
            cosines = nn.functional.cosine_similarity(embedder.embed(exact), references).tolist()
        parts = zip(targets[rows], values, cosines, strict=True)
        accepted += sum(one.accepts(value) and cosine >= options.floor for one, value, cosine in parts)
    batches = -(-len(inputs) // options.batch_size)
    return {"passes": passes, "accepted": accepted, "batches_at_cap": capped, "batches": batches}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--weights", default="embedded")
    parser.add_argument("--embedder")
    parser.add_argument("--attribute", default="brightness")
    parser.add_argument("--estimator", action="append", default=[])
    parser.add_argument("--by", type=float, default=12.0)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--cap", type=int, default=60)
    parser.add_argument("--floor", type=float, default=0.5)
    parser.add_argument("--directions", type=Path)
    options = parser.parse_args()

    generator = load_generator(options.weights).eval().requires_grad_(False)
    _, embedder = embedder_of_space(options.embedder, generator.config.feature_space)
    (estimator,) = open_estimators([options.attribute], references=options.estimator)
    people = IdentityBank.load(options.bank).vectors[: options.count]
    inputs = draw_inputs(people, images=1, seed=0, generator=generator)
    with torch.no_grad():
        batches = [slice(start, start + options.batch_size) for start in range(0, len(inputs), options.batch_size)]
        images = [render(generator, inputs, rows, torch.tensor(inputs.vectors[rows])) for rows in batches]
        starts = np.concatenate([estimator.estimate(image.clamp(-1, 1)).numpy() for image in images])
    facts = estimator.facts
    targets = [point(facts, float(np.clip(value + options.by, facts.low, facts.high))) for value in starts]

    settings = SteeringOptions(max_evaluations=options.cap, batch_size=options.batch_size, identity_floor=options.floor)
    warm = None
    if options.directions is not None:
        known = digest(options.weights, kind="generator")
        warm = Directions.load(options.directions).warm_start([facts.name], generator=known, options=settings)
    ours = Steering(generator=generator, estimators=[estimator], identity=embedder, options=settings, warm_start=warm)
    found = list(ours.run(inputs, [(target,) for target in targets]))
    statuses = [sample.status for sample in found]
    steered = {
        "passes": sum(sample.evaluations for sample in found),
        "accepted": statuses.count("converged"),
        "capped": statuses.count("capped"),
        "rejected": statuses.count("rejected"),
    }
    rule = published(generator, embedder, estimator, inputs, targets, options)
    per_accepted = [side["passes"] / side["accepted"] if side["accepted"] else None for side in (steered, rule)]
    ratio = None if None in per_accepted else per_accepted[1] / per_accepted[0]
    facts_line = {
        "attribute": options.attribute,
        "by": options.by,
        "samples": len(inputs),
        "warm_start": warm is not None,
        "ours": steered,
        "published": rule,
        "passes_per_accepted": dict(zip(("ours", "published"), per_accepted, strict=True)),
        "ratio": ratio,
    }
    print(json.dumps(facts_line))


if __name__ == "__main__":
    main()
