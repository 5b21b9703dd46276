"""Write steered samples: a picture each as soon as it is done, and one table at the end. No torch here.

```
OUT/
  images/KEY.png   the delivered picture of every sample, whatever its status
  steering.csv     a row a sample: status, reason, passes, identity and, for each attribute, asked, before, after
  vectors.safetensors   `vectors` (N, D) and `codes` (N, A) the pictures were rendered from, rows as in the table
```
KEY is `{identity:07d}_{image:04d}`, as in datasets.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy

from vec2face.config.generation import ImageFormat
from vec2face.errors import InputError
from vec2face.fileio.atomic import write_bytes, write_text
from vec2face.fileio.images import encode_image
from vec2face.fileio.outputs import require_writable
from vec2face.steering.samples import SteeredSample
from vec2face.steering.targets import Target


class SteeringFolder:
    """The folder that steered samples are written to.

    Args:
        out: new or empty.
        ids: names of the identities.
        images: samples of each.
        encoding: how pictures are written.

    Raises:
        InputError: the folder holds something.
        StorageError: it cannot be written.
    """

    def __init__(self, out: Path, *, ids: Sequence[str], images: int, encoding: ImageFormat) -> None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} is there already and is no empty folder; choose another name.")
        require_writable(out, output=out)
        self._out, self._ids, self._images = out, tuple(ids), images
        self._encoding = encoding.resolved()

    def key(self, index: int) -> str:
        """Return the key of a sample by its row in the inputs."""
        return f"{index // self._images:07d}_{index % self._images:04d}"

    def write_picture(self, sample: SteeredSample) -> None:
        """Write one picture. Raises `StorageError`."""
        data = sample.after.encoded  # encoded again, it would not be the picture that was measured
        if data is None:
            data = encode_image(sample.after.pixels, format=self._encoding.format, quality=self._encoding.quality)
        write_bytes(self._out / "images" / f"{self.key(sample.index)}.{self._encoding.suffix}", data)

    def write_table(self, samples: Sequence[SteeredSample], targets: Sequence[Target]) -> None:
        """Write the table and the vectors, in the order of the inputs. Raises `StorageError`."""
        ordered = sorted(samples, key=lambda sample: sample.index)
        stream = io.StringIO()
        table = csv.writer(stream, lineterminator="\n")
        columns = [f"{target.attribute}_{part}" for target in targets for part in ("asked", "before", "after")]
        fixed = ["key", "identity_name", "status", "reason", "passes", "identity_before", "identity_after"]
        table.writerow([*fixed, *columns])
        for sample in ordered:
            name = self._ids[sample.index // self._images]
            row = [self.key(sample.index), name, sample.status, sample.reason, sample.evaluations]
            row += [_number(sample.before.identity), _number(sample.after.identity)]
            for target in targets:
                values = (sample.before.values[target.attribute], sample.after.values[target.attribute])
                row += [str(target), *map(_number, values)]
            table.writerow(row)
        write_text(self._out / "steering.csv", stream.getvalue())
        arrays = {
            "vectors": np.stack([sample.vector for sample in ordered]),
            "codes": np.stack([sample.code for sample in ordered]),
        }
        write_bytes(self._out / "vectors.safetensors", safetensors.numpy.save(arrays))


def _number(value: float) -> str:
    """Six digits; empty for a value that is not there (NaN)."""
    return "" if math.isnan(value) else f"{value:.6g}"
