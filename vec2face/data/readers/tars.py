"""WebDataset archives: KEY.jpg with KEY.cls, KEY.json and KEY.npy beside it, in one tar or several.

The files of a sample stand next to each other and differ after the last dot of their names only. `.cls` holds the
person's number; without it, folders inside the archive may name people (PERSON/KEY.jpg). `.json` holds further facts,
of which `person` (or `identity_name`) is taken for the person's name. `.npy` holds the embedding of the image, `(D,)`,
or of the image and of its mirror image, `(2, D)`. `.landmarks` holds an encoded picture of the landmarks, as sets that
poses are trained from have it; it becomes the fact `landmark_image`.
"""

import json
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vec2face.data.formats.npy import decode_array
from vec2face.data.readers.base import FaceReader, FaceRecord, People, cannot_read, file_sizes
from vec2face.data.readers.names import IMAGE_ENDINGS, decide_people, ending, is_hidden
from vec2face.errors import InputError
from vec2face.fileio.tar import TarFile, scan_tar

_BESIDE = ("cls", "json", "npy", "landmarks")
MAX_FILE_BYTES = 1 << 26  # of one file of a sample; far beyond any crop of a face


@dataclass
class _Sample:
    key: str
    header: int
    files: dict[str, TarFile] = field(default_factory=dict)

    @property
    def image(self) -> TarFile | None:
        return next((file for name, file in self.files.items() if name in IMAGE_ENDINGS), None)


@dataclass
class _Index:
    """Where each image's sample begins; built by reading all headers once."""

    tars: array = field(default_factory=lambda: array("I"))
    headers: array = field(default_factory=lambda: array("Q"))
    folders: array = field(default_factory=lambda: array("I"))
    folder_names: dict[str, int] = field(default_factory=dict)
    with_class: int = 0
    passed_over: int = 0
    first_passed_over: str = ""


class TarReader(FaceReader):
    """Archives, one after another in the order given.

    The first question for a length, a position or people reads the headers of all archives, not their content. A file
    of more than `MAX_FILE_BYTES` is refused.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        source: str,
        people: People = "auto",
        classes: int | None = None,
        format: str = "WebDataset archives",
        excluded: Collection[int] = (),
    ) -> None:
        """Take the archives; nothing is read yet.

        Args:
            paths: uncompressed tar files.
            source: what the user named.
            people: whether folders inside the archives name people, where there is no `.cls`; "none" leaves `.cls`
                aside as well, and "folders" takes the folders in its place.
            classes: number of people where it is known.
            format: the name of the format, for messages.
            excluded: identities of a dataset whose images, named IDENTITY_IMAGE, are left out.
        """
        self.source, self.paths, self.format = source, tuple(paths), format  # type: ignore[misc]
        self._people, self._classes = people, classes
        self._excluded = frozenset(excluded)
        self._index: _Index | None = None
        self._by_folder = self._by_class = False

    def __len__(self) -> int:
        return len(self._indexed().headers)

    @property
    def labelled(self) -> bool:
        self._indexed()
        return self._by_class or self._by_folder

    @property
    def classes(self) -> int | None:
        index = self._indexed()
        return len(index.folder_names) if self._by_folder else self._classes

    @property
    def passed_over(self) -> tuple[int, str]:
        index = self._indexed()
        return index.passed_over, index.first_passed_over

    annotated = True

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        return self._records(start, stop, images=True)

    def outlines(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        return self._records(start, stop, images=False)

    def _records(self, start: int, stop: int | None, *, images: bool) -> Iterator[FaceRecord]:
        index = self._indexed()
        window = self.window(start, stop)
        position = window.start
        while position < window.stop:
            tar = index.tars[position]
            path = self.paths[tar]
            try:
                with open(path, "rb") as stream:
                    for sample in _samples(path, index.headers[position]):
                        if sample.image is None or self._leaves_out(sample):
                            continue
                        yield self._read(stream, path, sample, position, images=images)
                        position += 1
                        if position == window.stop:
                            return
            except OSError as error:
                raise cannot_read(path, error) from None
            if position < len(index.tars) and index.tars[position] == tar:
                raise InputError(f"{path} has changed since it was opened; open it again.")

    def files(self) -> Iterator[tuple[str, int]]:
        return file_sizes(self.paths)

    def _read(self, stream: Any, path: Path, sample: _Sample, position: int, *, images: bool) -> FaceRecord:
        content = {}
        for name, file in sample.files.items():
            if name in ("cls", "json") or (images and (name in _BESIDE or name in IMAGE_ENDINGS)):
                if file.size > MAX_FILE_BYTES:
                    raise InputError(
                        f"{path} holds {file.name!r} of {file.size} bytes; no file of a sample may be larger than "
                        f"{MAX_FILE_BYTES}."
                    )
                stream.seek(file.data)
                content[name] = stream.read(file.size)
                if len(content[name]) < file.size:
                    raise InputError(f"{path} is cut short inside {file.name!r}; fetch or make the archive again.")
        where = f"{path}:{sample.key}"
        facts = _read_json(content["json"], f"{where}.json") if "json" in content else {}
        feature, mirror = _read_features(content["npy"], f"{where}.npy") if "npy" in content else (None, None)
        if "landmarks" in content:
            facts = {**facts, "landmark_image": content["landmarks"]}
        label = person = None
        if self._by_class:
            label = _read_class(content["cls"], f"{where}.cls")
            named = (facts[name] for name in ("person", "identity_name") if isinstance(facts.get(name), str))
            person = next(named, str(label))
        elif self._by_folder:
            person, label = _folder(sample.key), self._indexed().folders[position]
        image = next((data for name, data in content.items() if name in IMAGE_ENDINGS), b"")
        return FaceRecord(sample.key, image, where, label, person, feature, mirror, facts)

    def _leaves_out(self, sample: _Sample) -> bool:
        identity = sample.key.partition("_")[0]
        return bool(self._excluded) and identity.isdigit() and int(identity) in self._excluded

    def _indexed(self) -> _Index:
        if self._index is None:
            index = _Index()
            for number, path in enumerate(self.paths):
                for sample in _samples(path, 0):
                    if not self._leaves_out(sample):
                        _add(index, number, path, sample)
            if not index.headers:
                other = f" (it holds {index.first_passed_over!r})" if index.passed_over else ""
                raise InputError(f"{self.source} holds no images{other}; samples are KEY.jpg, KEY.cls, KEY.json.")
            self._decide_people(index)
            self._index = index
        return self._index

    def _decide_people(self, index: _Index) -> None:
        if self._people == "auto" and index.with_class:
            if index.with_class < len(index.headers):
                raise InputError(
                    f"{self.source} has a .cls file for {index.with_class} of its {len(index.headers)} images only; "
                    "add the missing ones, or say --people none."
                )
            self._by_class = True
            return
        names = index.folder_names
        self._by_folder = decide_people(
            self._people, in_root="" in names, in_folders=bool(names.keys() - {""}), source=self.source
        )
        if self._by_folder and "" in names:
            raise InputError(f"{self.source} holds images in no folder, which have no person; say --people none.")


def _add(index: _Index, number: int, path: Path, sample: _Sample) -> None:
    images = [name for name in sample.files if name in IMAGE_ENDINGS]
    if not images:
        if any(name in _BESIDE for name in sample.files):
            raise InputError(
                f"{path} holds {next(iter(sample.files.values())).name!r} without its image next to it; "
                "the files of a sample must be adjacent."
            )
        index.passed_over += len(sample.files)
        index.first_passed_over = index.first_passed_over or next(iter(sample.files.values())).name
        return
    if len(images) > 1:
        raise InputError(f"{path} holds several images for the sample {sample.key!r} ({', '.join(images)}).")
    folder = _folder(sample.key)
    index.tars.append(number)
    index.headers.append(sample.header)
    index.folders.append(index.folder_names.setdefault(folder, len(index.folder_names)))
    index.with_class += "cls" in sample.files


def _samples(path: Path, start: int) -> Iterator[_Sample]:
    """Group the files of an archive, from the header at `start` on, by all of their names before the last dot."""
    current: _Sample | None = None
    for file in scan_tar(path, start=start):
        if is_hidden(file.name):
            continue
        kind = ending(file.name.rsplit("/", 1)[-1])
        key = file.name[: -len(kind) - 1] if kind else file.name
        if current is None or key != current.key:
            if current is not None:
                yield current
            current = _Sample(key, file.header)
        if kind in current.files:
            raise InputError(f"{path} holds two files named {file.name!r}.")
        current.files[kind] = file
    if current is not None:
        yield current


def _folder(key: str) -> str:
    return key.removeprefix("./").rpartition("/")[0]


def _read_class(data: bytes, where: str) -> int:
    text = data.strip()
    if not text.isdigit() or len(text) > 18:
        raise InputError(f"{where} must hold the number of a person, not {data[:40]!r}.")
    return int(text)


def _read_json(data: bytes, where: str) -> dict[str, Any]:
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError):
        raise InputError(f"{where} is not readable JSON.") from None
    if not isinstance(facts, dict):
        raise InputError(f"{where} must hold a JSON object, not {type(facts).__name__}.")
    return facts


def _read_features(data: bytes, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    array = decode_array(data, where=where).astype(np.float32, copy=False)
    if array.ndim == 1:
        return array, None
    if array.ndim == 2 and len(array) == 1:
        return array[0], None
    if array.ndim == 2 and len(array) == 2:
        return array[0], array[1]
    raise InputError(
        f"{where} is of shape {array.shape}; an embedding is (D,), or (2, D) with that of the mirror image."
    )
