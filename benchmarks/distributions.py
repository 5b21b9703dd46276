"""What steering a dataset to distributions costs, with and without jumps along estimated directions.

    python benchmarks/distributions.py --recipe steered --identities 4

Makes the recipe's dataset twice in a temporary folder, with one worker, and prints a JSON line each: how the images
ended, passes through the generator and passes back for each converged image, and seconds of CPU for each image, loading
and directions included.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from vec2face.generation.inputs import prepare
from vec2face.generation.recipe import find_recipe
from vec2face.generation.run import generate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="steered")
    parser.add_argument("--identities", type=int)
    parser.add_argument("--pictures", type=int, default=64, help="that directions are estimated from")
    options = parser.parse_args()
    for pictures in (options.pictures, 0):
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "dataset"
            changes = {"identities": {"count": options.identities}, "steering": {"direction_pictures": pictures}}
            recipe = find_recipe(options.recipe, out, changes=changes)
            start = time.process_time()
            plan, bank = prepare(recipe, out)
            generate(plan, out, bank=bank, workers=1)
            seconds = time.process_time() - start
            table = pq.read_table(out / "metadata.parquet")
        ended = table["steering"].to_numpy()
        converged = max(int((ended == "converged").sum()), 1)
        found = {
            "direction_pictures": pictures,
            "images": len(ended),
            "ended": {str(name): int(count) for name, count in zip(*np.unique(ended, return_counts=True), strict=True)},
            "passes": round(float(table["steering_passes"].to_numpy().sum()) / converged, 2),
            "gradients": round(float(table["steering_gradients"].to_numpy().sum()) / converged, 2),
            "cpu_seconds_an_image": round(seconds / len(ended), 3),
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
