"""Measure the leakage check: every image and identity of a dataset against every real face, from stored embeddings.

    python benchmarks/leakage.py --images 100000 --references 100000 --width 128 --threads 2
    python benchmarks/leakage.py --images 100000 --references 100000 --width 512 --threads 2

Vectors are drawn: people of 20 images on one side, of 5 on the other, with some reference images copied into the
dataset. The real ones are written as `vec2face embed` writes them, with mirror images, keys and people; the dataset's
stand in a file as an audit's do. Prints one JSON line: the seconds of the whole check as an audit makes it, of reading
the stored faces (`reading_seconds`) and of each comparison with the limit that strangers set for it; the peak memory of
the process; and how many copies were found.
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
SHA256 = "0" * 64


def write_people(path: Path, shape: tuple[int, ...], each: int, seed: int) -> None:
    """Write float32 of a shape (count, ..., width): people of so many images, which are at a cosine of about 0.6."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((-(-shape[0] // each), shape[-1])).astype(np.float32)
    for start in range(0, shape[0], BLOCK):
        own = centres[np.arange(start, min(start + BLOCK, shape[0])) // each]
        noise = rng.standard_normal((len(own), *shape[1:])).astype(np.float32)
        rows[start : start + len(own)] = own.reshape(len(own), *[1] * (len(shape) - 2), shape[-1]) + 0.8 * noise
    rows.flush()


def write_faces(folder: Path, count: int, width: int) -> None:
    """Write stored faces, as `vec2face.evaluation.stored_faces` reads them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from vec2face.evaluation.stored_faces import FORMAT

    folder.mkdir()
    write_people(folder / "vectors.npy", (count, 2, width), IMAGES_OF_REFERENCE, seed=2)
    people = [f"person {row // IMAGES_OF_REFERENCE}" for row in range(count)]
    keys = [f"real {row}" for row in range(count)]
    pq.write_table(pa.table({"key": keys, "person": people}), folder / "faces.parquet")
    embedder = {"name": "drawn", "width": width, "sha256": SHA256}
    facts = {"format": FORMAT, "name": "real", "images": count, "embedder": embedder}
    (folder / "embeddings.json").write_text(json.dumps(facts), encoding="utf-8")


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
    from vec2face.config.audit import AuditOptions
    from vec2face.evaluation.embeddings import EmbeddedImages
    from vec2face.evaluation.leakage import measure_leakage
    from vec2face.evaluation.measure import measure
    from vec2face.evaluation.stored_faces import load_faces
    from vec2face.progress import SilentProgress

    class Stages(SilentProgress):
        """Remembers when each comparison began."""

        def __init__(self) -> None:
            self.began: list[tuple[str, float]] = []

        def begin(self, stage: str, *, total: int, unit: str, done: int = 0) -> None:
            self.began.append((stage.rsplit(", ", 1)[-1], time.perf_counter()))

    with tempfile.TemporaryDirectory() as folder:
        made, real = Path(folder, "made.npy"), Path(folder, "real")
        write_people(made, (options.images, options.width), IMAGES_OF_PERSON, seed=1)
        write_faces(real, options.references, options.width)
        images = np.lib.format.open_memmap(made, mode="r+")
        planted = np.linspace(0, options.images - 1, COPIES).astype(int)
        images[planted] = np.load(real / "vectors.npy", mmap_mode="r")[planted % options.references, 0] * 1.5
        images.flush()
        del images
        rows = np.arange(options.images)
        embedded = EmbeddedImages(
            vectors=np.load(made, mmap_mode="r"),
            rows=rows,
            identity=(rows // IMAGES_OF_PERSON).astype(np.int32),
            image=(rows % IMAGES_OF_PERSON).astype(np.int32),
            sigma=np.zeros(options.images, np.float32),
            shard=np.zeros(options.images, np.int64),
        )
        # What an audit measures before; little of it, for the check needs no more than who is who.
        little, defaults = AuditOptions(pairs=1000, comparisons=1000), AuditOptions()
        measurement = measure(embedded, threshold=0.4, options=little, vectors=None)
        start, cpu, stages = time.perf_counter(), time.process_time(), Stages()
        reference = load_faces(real, name="drawn", sha256=SHA256, width=options.width)
        read = time.perf_counter()
        found = measure_leakage(
            measurement,
            reference,
            rate=options.rate,
            max_pairs=defaults.stranger_pairs,
            seed=defaults.seed,
            progress=stages,
        )
        end, cpu = time.perf_counter(), time.process_time() - cpu
        began = [*stages.began, ("", end)]
        first = found.comparisons[0]
        facts = {
            "images": options.images,
            "references": options.references,
            "width": options.width,
            "threads": options.threads,
            "seconds": round(end - start, 1),
            "cpu_seconds": round(cpu, 1),
            "reading_seconds": round(read - start, 1),
            "comparisons": {
                one.kind: {
                    "seconds": round(began[number + 1][1] - began[number][1], 1),
                    "threshold": None if one.threshold is None else round(one.threshold, 4),
                    "rate": one.strangers.rate,
                    "stranger_pairs": one.strangers.pairs,
                    "queries": len(one.identities),
                    "references": one.references,
                    "pairs_reaching": one.matches.pairs,
                }
                for number, one in enumerate(found.comparisons)
            },
            "copies_found": int(first.matches.matched[planted].sum()),
            "copies": COPIES,
            "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
