"""Faces with the names of their people, from any labelled set, to draw pairs from and to store them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vec2face.contracts import IMAGE_SIZE
from vec2face.data.facepack import FacePack
from vec2face.data.readers import FaceReader, open_reader
from vec2face.data.readers.folders import FolderReader
from vec2face.errors import InputError
from vec2face.evaluation.pair_lists import find_images
from vec2face.fileio.images import decode_image, encode_image
from vec2face.progress import ProgressReporter, SilentProgress

Part = Literal["all", "held-out", "training"]


@dataclass(frozen=True)
class People:
    """Images of each person: name -> keys of the images, in the source's order."""

    images: dict[str, list[str]]

    def only(self, names: Iterable[str], *, where: str) -> "People":
        """Keep the named people. Raises `InputError` if some are not there; how many, and the first."""
        wanted = list(dict.fromkeys(names))
        missing = [name for name in wanted if name not in self.images]
        if missing:
            raise InputError(
                f"{len(missing):,} of the {len(wanted):,} people that {where} names are not in the set, the first is "
                f"{missing[0]!r}."
            )
        return People({name: self.images[name] for name in wanted})


def read_people(source: Path, *, part: Part | None = None, progress: ProgressReporter | None = None) -> People:
    """List the people of a labelled set and the keys of their images.

    Args:
        source: a face pack, or whatever `open_reader` opens: an image folder with a folder for each person, tar files,
            a dataset, RecordIO, LMDB.
        part: of a face pack, which of its people; None takes those held out, and is all that other sets know.

    Raises:
        InputError: the set has no people, or `part` is asked of a set that is no face pack.
    """
    images: dict[str, list[str]] = {}
    if is_pack(source):
        pack = FacePack.load(source)
        chosen = {"all": pack.holdout | True, "held-out": pack.holdout, "training": ~pack.holdout}[part or "held-out"]
        for row, key in enumerate(pack_keys(pack)):
            if pack.groups[row] and chosen[row]:
                images.setdefault(pack.groups[row], []).append(key)
    else:
        if part is not None:
            raise InputError(f"{source} is no face pack, so it has no held-out part; leave --part out.")
        reader = open_reader(source)
        if not reader.labelled:
            raise InputError(f"{source} does not say who is in its pictures; pairs need people.")
        for key, person, _ in _records(reader, f"listing {source}", progress or SilentProgress()):
            images.setdefault(str(person), []).append(key)
    if not images:
        raise InputError(f"{source} has no such people ({part or 'held-out'}) with names.")
    return People(images)


def fetch_images(
    source: Path, keys: Iterable[str], *, where: str, progress: ProgressReporter | None = None
) -> dict[str, bytes]:
    """Return the stored bytes of chosen images by key; a face pack's pixels come as lossless PNG.

    Args:
        source: as for `read_people`; in an image folder, a key may also lack its ending, as in LFW's lists.
        keys: the images.
        where: what names them, such as the file of pairs; for messages.

    Raises:
        InputError: keys are missing (how many, and the first), or an image is not 112x112 or cannot be decoded.
    """
    wanted = dict.fromkeys(keys)
    found: dict[str, bytes] = {}
    for key, data in _stored(source, wanted, where, progress or SilentProgress()):
        if key in wanted:
            pixels = decode_image(data, where=f"{source}: {key}")
            if pixels.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE):
                raise InputError(
                    f"{source}: {key} is {pixels.shape[1]}x{pixels.shape[0]}; a verification set holds aligned "
                    f"{IMAGE_SIZE}x{IMAGE_SIZE} faces."
                )
            found[key] = data
    missing = [key for key in wanted if key not in found]
    if missing:
        raise InputError(
            f"{len(missing):,} of the {len(wanted):,} images that {where} names are missing in {source}, the first is "
            f"{missing[0]}."
        )
    return found


def is_pack(source: Path) -> bool:
    """Whether a folder holds a face pack."""
    return (source / "images.npy").is_file() and (source / "index.json").is_file()


def pack_keys(pack: FacePack) -> list[str]:
    """Return a key for each image of a pack, PERSON/NAME or NAME. Raises `InputError` if two are equal."""
    keys = [f"{group}/{name}" if group else name for group, name in zip(pack.groups, pack.names, strict=True)]
    if len(set(keys)) < len(keys):
        twice = Counter(keys).most_common(1)[0][0]
        raise InputError(f"the face pack names two images {twice!r}; pairs cannot tell them apart.")
    return keys


def _stored(
    source: Path, wanted: dict[str, None], where: str, progress: ProgressReporter
) -> Iterator[tuple[str, bytes]]:
    if is_pack(source):
        pack = FacePack.load(source)
        for row, key in enumerate(pack_keys(pack)):
            if key in wanted:
                yield key, encode_image(np.asarray(pack.images[row]), format="png")
        return
    reader = open_reader(source, people="none")
    if isinstance(reader, FolderReader):
        for key, path in find_images(wanted, source, where=where).items():
            yield key, path.read_bytes()
    else:
        for key, _, data in _records(reader, f"reading {source}", progress):
            yield key, data


def _records(reader: FaceReader, stage: str, progress: ProgressReporter) -> Iterator[tuple[str, str | None, bytes]]:
    progress.begin(stage, total=len(reader), unit="images")
    for record in reader:
        yield record.key, record.person, record.data
        progress.advance(1)
