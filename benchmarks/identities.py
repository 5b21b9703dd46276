"""Measure identity sampling: its time against the matrix product it cannot do without, and how plausible packing is.

    python benchmarks/identities.py scale --source gaussian --count 300000 --ceiling 0.3
    python benchmarks/identities.py lowest --source pca --count 300000
    python benchmarks/identities.py lowest --source pca --method pack --count 10000 --highest 0.3
    python benchmarks/identities.py plausibility --count 5000 --ceiling 0.3 --real features.npy --figure packing.png

`scale` samples identities, proves anew that every pair keeps apart, and prints a JSON line. For both parts it says
seconds of wall clock and of processor time, GFLOP/s (two operations for each feature of each pair compared), the
constant of the cost, and the ratio of the processor time to that of the bare product of these pairs, in the kind of
number that was used. `lowest` tries ceilings downwards, a step at a time, until one no longer admits so many; it prints
a line for each, and `--out` keeps the bank of the last that did. Rejection may try `--candidates-per-identity` of them.
`plausibility` compares drawn, packed and, where given, real vectors: quantiles of the Mahalanobis radius, mean
log-density, norms, and the variance of each band of principal components. Real vectors are any (N, D) file of the
statistics' feature space.
"""

import argparse
import json
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vec2face.errors import InputError
from vec2face.identities import IdentityBank, pack, sample
from vec2face.identities.coarse import ROWS, CoarseUnits
from vec2face.identities.cosine import unit_rows
from vec2face.identities.manifold import Manifold, manifold_of
from vec2face.identities.proof import first_pair_reaching
from vec2face.identities.sources import CandidateSource, GaussianSource, PcaSource
from vec2face.identities.table import OUT_OF_REACH
from vec2face.identities.tables import Kind, fastest_kind, usable_kinds
from vec2face.identities.uint8_table import multiply_bytes, session_of

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
PRODUCT_ROWS = 16_384
STANDARD_DEVIATION = 0.967  # of each feature, where the source is the same in every direction
STEP = 0.01  # between two ceilings


def open_source(name: str) -> CandidateSource:
    return GaussianSource(512, STANDARD_DEVIATION) if name == "gaussian" else PcaSource()


def bare_seconds(width: int, kind: Kind) -> float:
    """Processor time of the bare product for one pair of vectors: the fastest of five passes over some rows.

    The table "uint8" looks for the largest products as it goes. That is left out here. For "acc16" the kernel does it.
    """
    if kind == "uint8":
        return bare_seconds_of_bytes(width)
    rows = np.random.default_rng(0).standard_normal((PRODUCT_ROWS, width)).astype(np.float32)
    stored = CoarseUnits.of(rows, kind=kind)
    queries = stored.queries(unit_rows(rows[:ROWS]))
    times = []
    for _ in range(5):
        start = time.process_time()
        for column in range(0, PRODUCT_ROWS, stored.columns):
            stored.cosines(queries, column, min(column + stored.columns, PRODUCT_ROWS), OUT_OF_REACH)
        times.append(time.process_time() - start)
    return min(times) / (ROWS * PRODUCT_ROWS)


def bare_seconds_of_bytes(width: int) -> float:
    rng = np.random.default_rng(0)
    session = session_of(rng.integers(-127, 128, (width, ROWS), dtype=np.int8))
    rows = rng.integers(1, 128, (PRODUCT_ROWS, width), dtype=np.uint8)
    out = np.empty((ROWS, ROWS), dtype=np.int32)
    times = []
    for _ in range(5):
        start = time.process_time()
        for row in range(0, PRODUCT_ROWS, ROWS):
            multiply_bytes(session, rows[row : row + ROWS], None, out)
        times.append(time.process_time() - start)
    return min(times) / (ROWS * PRODUCT_ROWS)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what `work` gives, its seconds of wall clock, and of processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    return work(), time.perf_counter() - wall, time.process_time() - processor


def cost(pairs: float, width: int, wall: float, processor: float, bare: float) -> dict[str, float]:
    return {
        "seconds": round(wall, 2),
        "processor_seconds": round(processor, 2),
        "gflops": round(2 * width * pairs / wall / 1e9, 1),
        "nanoseconds_a_pair": round(1e9 * wall / pairs, 4),
        "ratio_to_bare_product": round(processor / (bare * pairs), 3),
    }


def peak_memory() -> float:
    """GiB that this process held at most."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def scale(options: argparse.Namespace) -> None:
    source = open_source(options.source)
    kind = fastest_kind(options.count, source.width)
    before = bare_seconds(source.width, kind)
    bank, *sampling = timed(lambda: sample(source, count=options.count, ceiling=options.ceiling, seed=options.seed))
    tried = bank.provenance["candidates"]
    after_sampling = peak_memory()
    found, *proving = timed(lambda: first_pair_reaching(bank.vectors, options.ceiling))
    peak = peak_memory()
    bare = min(before, bare_seconds(source.width, kind))
    # Of candidates that are turned away, each is compared with half of the others on average, or fewer.
    pairs = {"sampling": tried * options.count / 2, "proof": options.count**2 / 2}
    facts = {
        "source": options.source,
        "width": source.width,
        "count": options.count,
        "ceiling": options.ceiling,
        "candidates": tried,
        "kind": kind,
        "sampling": cost(pairs["sampling"], source.width, *sampling, bare),
        "proof": {"apart": found is None, **cost(pairs["proof"], source.width, *proving, bare)},
        "seconds": round(sampling[0] + proving[0], 2),
        "peak_memory_gib": {"sampling": after_sampling, "all": peak},
        "bare_product_gflops": {
            name: round(2 * source.width / bare_seconds(source.width, name) / 1e9, 1)
            for name in usable_kinds(source.width)
        },
    }
    keep(bank, options.out)
    print(json.dumps(facts))


def lowest(options: argparse.Namespace) -> None:
    source = open_source(options.source)
    most = math.ceil(options.count * options.candidates_per_identity)
    ceiling, reached = options.highest, None
    begun = time.perf_counter()
    while ceiling > STEP:

        def attempt(ceiling: float = ceiling) -> IdentityBank | InputError:
            try:
                if options.method == "pack":
                    return pack(source, count=options.count, ceiling=ceiling, seed=options.seed)
                return sample(source, count=options.count, ceiling=ceiling, seed=options.seed, max_candidates=most)
            except InputError as error:
                return error

        found, wall, processor = timed(attempt)
        fits = isinstance(found, IdentityBank)
        facts = found.provenance if fits else {"reason": str(found)}
        told = {key: facts[key] for key in ("candidates", "steps", "kept", "reason") if key in facts}
        line = {"ceiling": ceiling, "fits": fits, "seconds": round(wall, 2), "processor_seconds": round(processor, 2)}
        print(json.dumps({**line, **told}), flush=True)
        if not fits:
            break
        reached = (ceiling, found)
        ceiling = round(ceiling - options.step, 6)
    if reached is None:
        sys.exit(f"{options.count} identities do not fit under {options.highest:g}; begin with a higher --highest.")
    ceiling, bank = reached
    proof, wall, _ = timed(lambda: first_pair_reaching(bank.vectors, ceiling))
    keep(bank, options.out)
    facts = {"lowest_ceiling": ceiling, "count": options.count, "method": options.method, "apart": proof is None}
    total = round(time.perf_counter() - begun, 2)
    print(json.dumps({**facts, "proof_seconds": round(wall, 2), "seconds": total, "peak_memory_gib": peak_memory()}))


def keep(bank: IdentityBank, out: Path | None) -> None:
    if out is not None:
        bank.save(out)


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
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--source", choices=["gaussian", "pca"], default="gaussian")
    shared.add_argument("--count", type=int, default=30_000)
    shared.add_argument("--seed", type=int, default=0)
    shared.add_argument("--out", type=Path, help="keep the bank here")
    command = commands.add_parser("scale", parents=[shared])
    command.add_argument("--ceiling", type=float, default=0.3)
    command.set_defaults(run=scale)
    command = commands.add_parser("lowest", parents=[shared])
    command.add_argument("--method", choices=["reject", "pack"], default="reject")
    command.add_argument("--highest", type=float, default=0.6, help="ceiling to begin with")
    command.add_argument("--step", type=float, default=STEP, help="between two ceilings")
    command.add_argument("--candidates-per-identity", type=float, default=2.0, help="reject: how many are tried")
    command.set_defaults(run=lowest)
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
