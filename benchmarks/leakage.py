"""Measure the leakage check: every image of a dataset against every real reference image, from embeddings.

    python benchmarks/leakage.py --images 100000 --references 100000 --width 128 --threads 2
    python benchmarks/leakage.py --images 100000 --references 100000 --width 512 --threads 2

Vectors are drawn: people of 20 images on one side, of 5 on the other, with some reference images copied into the
dataset. Prints one JSON line: seconds of the search (`search`) and of the threshold (`strangers`), the peak memory of
the process, and whether each copy was found. The vectors stand in files and are read through memory maps, as those of
an audit are.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

IMAGES_OF_PERSON, IMAGES_OF_REFERENCE = 20, 5
COPIES = 7
BLOCK = 8192


def write_people(path: Path, count: int, width: int, each: int, seed: int) -> None:
    """Write (count, width) float32: people whose images are at a cosine of about 0.6."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, width))
    people = -(-count // each)
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, width)).astype(np.float32)
    for start in range(0, count, BLOCK):
        owners = np.arange(start, min(start + BLOCK, count)) // each
        noise = rng.standard_normal((len(owners), width)).astype(np.float32)
        rows[start : start + len(owners)] = centres[owners] + 0.8 * noise
    rows.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--references", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-6)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    from vec2face.evaluation.cross_search import References, search
    from vec2face.evaluation.strangers import stranger_scores

    with tempfile.TemporaryDirectory() as folder:
        made, real = Path(folder, "made.npy"), Path(folder, "real.npy")
        write_people(made, options.images, options.width, IMAGES_OF_PERSON, seed=1)
        write_people(real, options.references, options.width, IMAGES_OF_REFERENCE, seed=2)
        images = np.lib.format.open_memmap(made, mode="r+")
        planted = np.linspace(0, options.images - 1, COPIES).astype(int)
        images[planted] = np.load(real, mmap_mode="r")[planted % options.references] * 1.5
        images.flush()
        del images
        images, references = np.load(made, mmap_mode="r"), np.load(real, mmap_mode="r")
        owners = np.arange(options.references) // IMAGES_OF_REFERENCE
        start = time.perf_counter()
        known = stranger_scores(
            references, owners, references, owners, rate=options.rate, max_pairs=500_000_000, seed=0
        )
        threshold_seconds = time.perf_counter() - start
        start, cpu = time.perf_counter(), time.process_time()
        table = References(references)
        found = search(
            lambda rows: images[rows],
            np.arange(options.images) // IMAGES_OF_PERSON,
            table,
            threshold=known.threshold,
            top=16,
        )
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        facts = {
            "images": options.images,
            "references": options.references,
            "width": options.width,
            "threads": options.threads,
            "product": table.coarse.kind,
            "threshold": round(known.threshold, 4),
            "rate": known.rate,
            "pairs_reaching": found.pairs,
            "copies_found": int(found.matched[planted].sum()),
            "copies": COPIES,
            "search_seconds": round(seconds, 1),
            "search_cpu_seconds": round(cpu, 1),
            "strangers_seconds": round(threshold_seconds, 1),
            "strangers_pairs": known.pairs,
            "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
