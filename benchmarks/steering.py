"""Compare steering with the published rule (AttrOP, arXiv 2409.02979): passes for each accepted picture.

    python benchmarks/steering.py --bank bank.safetensors --attribute brightness --by 12 --count 64
    python benchmarks/steering.py --bank bank.safetensors --attribute yaw --by 30 --directions directions.safetensors

Both ask every sample for its own start plus `--by`, within `--tolerance` (by default the attribute's), from the same
vectors, masks and codes, and both accept a picture by the same test: 8-bit pixels within tolerance, identity at its
floor or above.

What the published rule is stands in `published_rule.py`. By default it runs twice, as published and moving the
appearance code too; `--moves vector` or `--moves both` runs one of them. It has no bound; here it stops at `--cap`
passes, and the line says how many batches did. Mask and noise are fixed for both. A pass is one image through the
generator, forward and back. Prints one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from published_rule import MOVES, compare_rules, render

from vec2face.checkpoints import digest, load_generator
from vec2face.config.steering import SteeringOptions
from vec2face.generation.reference import embedder_of_space
from vec2face.identities import IdentityBank
from vec2face.steering.catalogue import open_estimators
from vec2face.steering.directions import Directions
from vec2face.steering.inputs import draw_inputs
from vec2face.steering.optimise import Steering
from vec2face.steering.targets import point


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
    parser.add_argument("--tolerance", type=float)
    parser.add_argument("--moves", choices=MOVES, nargs="+", default=list(MOVES))
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
    targets = [
        point(facts, float(np.clip(value + options.by, facts.low, facts.high)), options.tolerance) for value in starts
    ]

    settings = SteeringOptions(max_evaluations=options.cap, batch_size=options.batch_size, identity_floor=options.floor)
    warm = None
    if options.directions is not None:
        known = digest(options.weights, kind="generator")
        warm = Directions.load(options.directions).warm_start([facts.name], generator=known, options=settings)
    ours = Steering(generator=generator, estimators=[estimator], identity=embedder, options=settings, warm_start=warm)
    found = list(ours.run(inputs, [(target,) for target in targets]))
    statuses = [sample.status for sample in found]
    passes, accepted = sum(sample.evaluations for sample in found), statuses.count("converged")
    steered = {
        "passes": passes,
        "accepted": accepted,
        "capped": statuses.count("capped"),
        "rejected": statuses.count("rejected"),
        "passes_per_accepted": passes / accepted if accepted else None,
    }
    facts_line = {
        "attribute": options.attribute,
        "by": options.by,
        "tolerance": (targets[0].high - targets[0].low) / 2,
        "samples": len(inputs),
        "warm_start": warm is not None,
        "ours": steered,
        "published": compare_rules(
            generator,
            embedder,
            estimator,
            inputs,
            targets,
            ours=steered["passes_per_accepted"],
            every=options.moves,
            batch_size=options.batch_size,
            cap=options.cap,
            floor=options.floor,
        ),
    }
    print(json.dumps(facts_line))


if __name__ == "__main__":
    main()
