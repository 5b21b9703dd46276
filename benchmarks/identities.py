"""Measure identity sampling: its time against the matrix product it cannot do without, and how plausible packing is.

    python benchmarks/identities.py scale --source gaussian --count 30000 --ceiling 0.3
    python benchmarks/identities.py scale --source pca --count 50000 --ceiling 0.55
    python benchmarks/identities.py plausibility --count 5000 --ceiling 0.3 --real features.npy --figure packing.png

`scale` prints one JSON line: seconds of CPU, the ratio to the raw product (the cosine of every candidate to every
accepted identity before it, in the precision used), and what that ratio gives for 300,000 and 1,000,000 identities.
`plausibility` compares drawn, packed and, where given, real vectors: quantiles of the Mahalanobis radius, mean
log-density, norms, and the variance of each band of principal components. Real vectors are any (N, D) file of the
statistics' feature space.
"""

import argparse
import json
import math
import resource
import time

import numpy as np

from vec2face.identities import pack, sample
from vec2face.identities.coarse import CoarseUnits
from vec2face.identities.cosine import unit_rows
from vec2face.identities.manifold import Manifold, manifold_of
from vec2face.identities.sources import CandidateSource, GaussianSource, PcaSource

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
PRODUCT_ROWS = 16_384
BLOCK = 2048


def raw_rate(width: int, count: int) -> float:
    """Cosines a second of CPU time that the bare product gives, in the precision that a bank of `count` takes."""
    rows = np.random.default_rng(0).standard_normal((PRODUCT_ROWS, width)).astype(np.float32)
    stored = CoarseUnits(max(count, PRODUCT_ROWS), width)
    stored.store(0, unit_rows(rows))
    queries = stored.queries(unit_rows(rows[:BLOCK]))
    times = []
    for _ in range(5):
        start = time.process_time()
        stored.cosines(queries, 0, PRODUCT_ROWS)
        times.append(time.process_time() - start)
    return BLOCK * PRODUCT_ROWS / min(times)


def scale(options: argparse.Namespace) -> None:
    source: CandidateSource = GaussianSource(512, 0.967) if options.source == "gaussian" else PcaSource()
    rate = raw_rate(source.width, options.count)
    start, wall = time.process_time(), time.perf_counter()
    bank = sample(source, count=options.count, ceiling=options.ceiling, seed=0)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    tried = bank.provenance["candidates"]
    product = (tried * options.count / 2) / rate
    linear = max(0.0, seconds - product) / tried
    facts = {
        "source": options.source,
        "width": source.width,
        "count": options.count,
        "ceiling": options.ceiling,
        "candidates": tried,
        "cpu_seconds": round(seconds, 2),
        "wall_seconds": round(wall, 2),
        "raw_product_seconds": round(product, 2),
        "ratio": round(seconds / product, 2),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "expected_cpu_seconds": {
            f"{count:,}": round(tried / options.count * (count * count / 2 / rate + linear * count))
            for count in (300_000, 1_000_000)
        },
    }
    print(json.dumps(facts))


def description(vectors: np.ndarray, manifold: Manifold) -> dict[str, object]:
    z = manifold.whiten(vectors).astype(np.float64)
    radius = np.sqrt(np.einsum("nk,nk->n", z, z))
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    log_density = -0.5 * radius**2 - np.log(manifold.scale).sum() - 0.5 * len(manifold.scale) * math.log(2 * math.pi)
    widths = np.diff([*manifold.bands, z.shape[1]])
    bands = np.add.reduceat(np.square(z).mean(axis=0), manifold.bands) / widths
    return {
        "vectors": len(vectors),
        "mahalanobis_radius": dict(zip(map(str, QUANTILES), np.quantile(radius, QUANTILES).round(3), strict=True)),
        "mean_log_density": round(float(log_density.mean()), 2),
        "norm": dict(zip(map(str, QUANTILES), np.quantile(norms, QUANTILES).round(2), strict=True)),
        "band_variance": bands.round(2).tolist(),
        "largest_coordinate": round(float(np.abs(z).max()), 2),
    }


def plausibility(options: argparse.Namespace) -> None:
    source = PcaSource()
    manifold = manifold_of(source)
    packed = pack(source, count=options.count, ceiling=options.ceiling, seed=0)
    tables = {"drawn": source.candidates(0, 0, options.count), "packed": packed.vectors}
    if options.real is not None:
        tables["real"] = np.load(options.real).astype(np.float32)
    facts = {name: description(vectors, manifold) for name, vectors in tables.items()}
    print(json.dumps({"steps": packed.provenance["steps"], "kept": packed.provenance["kept"], **facts}, indent=2))
    if options.figure is not None:
        draw(tables, manifold, options.figure)


def draw(tables: dict[str, np.ndarray], manifold: Manifold, path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, vectors in tables.items():
        radius = np.linalg.norm(manifold.whiten(vectors), axis=1)
        left.hist(radius, bins=60, density=True, histtype="step", label=name)
        units = unit_rows(vectors[:2000])
        cosines = (units @ units.T)[np.triu_indices(len(units), 1)]
        right.hist(cosines, bins=120, density=True, histtype="step", label=name, log=True)
    left.set(xlabel="Mahalanobis radius", ylabel="density")
    right.set(xlabel="cosine of two vectors", ylabel="density")
    left.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("scale")
    command.add_argument("--source", choices=["gaussian", "pca"], default="gaussian")
    command.add_argument("--count", type=int, default=30_000)
    command.add_argument("--ceiling", type=float, default=0.3)
    command.set_defaults(run=scale)
    command = commands.add_parser("plausibility")
    command.add_argument("--count", type=int, default=5000)
    command.add_argument("--ceiling", type=float, default=0.3)
    command.add_argument("--real", help="real vectors (.npy) of the same feature space")
    command.add_argument("--figure", help="write a figure here (.png)")
    command.set_defaults(run=plausibility)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
