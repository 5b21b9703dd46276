"""Small pictures and face sets that several tests of the data package use."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vec2face.data.formats.recordio import PackHeader, pack
from vec2face.data.formats.recordio_file import RecordWriter
from vec2face.fileio.images import encode_image
from vec2face.fileio.tar import write_tar


def jpeg(seed: int, *, size: int = 112, quality: int = 95) -> bytes:
    """A JPEG of coloured blocks, another for every seed."""
    blocks = np.random.default_rng(seed).integers(40, 215, (14, 14, 3)).astype(np.uint8)
    scale = -(-size // 14)
    return encode_image(blocks.repeat(scale, 0).repeat(scale, 1)[:size, :size], format="jpeg", quality=quality)


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    """The bytes of an `.npy` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=pickled)
    return stream.getvalue()


def write_folders(root: Path, people: Iterable[str], images: int = 2) -> Path:
    """Write PERSON/N.jpg."""
    for number, person in enumerate(people):
        for image in range(images):
            path = root / person / f"{image}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(10 * number + image))
    return root


def write_shards(folder: Path, shards: int = 2, images: int = 3) -> Path:
    """Write 000000.tar, ...: KEY.jpg, KEY.cls, KEY.json, KEY.npy (2, 4), two people a shard."""
    for shard in range(shards):
        members: list[tuple[str, bytes]] = []
        for image in range(images):
            number = shard * images + image
            members += [
                (f"{number:04d}.jpg", jpeg(number)),
                (f"{number:04d}.cls", str(2 * shard + image % 2).encode()),
                (f"{number:04d}.json", b'{"sigma": 0.5}'),
                (f"{number:04d}.npy", npy(np.full((2, 4), [[number], [-number]], np.float16))),
            ]
        write_tar(folder / f"{shard:06d}.tar", members)
    return folder


def write_insightface(path: Path, labels: list[int]) -> Path:
    """Write a RecordIO set as insightface's tools do: images from key 1 on, people, and the header under key 0 last."""
    people = sorted(set(labels))
    end = len(labels) + 1
    with RecordWriter(path) as writer:
        for key, label in enumerate(labels, start=1):
            writer.write(key, pack(PackHeader(float(label), key), jpeg(key)))
        for number, person in enumerate(people):
            keys = [key for key, label in enumerate(labels, start=1) if label == person]
            bounds = PackHeader((float(keys[0]), float(keys[-1] + 1)), end + number)
            writer.write(end + number, pack(bounds, b""))
        writer.write(0, pack(PackHeader((float(end), float(end + len(people))), 0, 1), b""))
    return path


def write_im2rec(path: Path, labels: list[int]) -> Path:
    """Write a RecordIO set as im2rec does: images from key 0 on."""
    with RecordWriter(path) as writer:
        for key, label in enumerate(labels):
            writer.write(key, pack(PackHeader(float(label), key), jpeg(key)))
    return path
