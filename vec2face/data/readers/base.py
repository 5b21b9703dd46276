"""What every reader of a face set offers, and the record it gives."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from vec2face.errors import InputError
from vec2face.fileio.images import decode_image

# Who is in a picture, where a format says it by folders only: each folder is a person, nobody is known, or as it looks.
People = Literal["auto", "folders", "none"]

Resource = TypeVar("Resource")


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """One image of a face set, as it is stored.

    Attributes:
        key: its name, unique within the source.
        data: the encoded image, untouched.
        where: the place it stands, for messages.
        label: number of its person, 0 or more, or None in a set without people. A person has one number throughout the
            source; numbers may have gaps.
        person: name of its person, or None likewise; the number in digits where the format has no names.
        feature: float32 `(D,)` stored embedding of the image, or None.
        mirror_feature: float32 `(D,)` stored embedding of the image's mirror image, or None.
        facts: what else is stored with it.
    """

    key: str
    data: bytes = field(repr=False)
    where: str
    label: int | None = None
    person: str | None = None
    feature: np.ndarray | None = None
    mirror_feature: np.ndarray | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def decode(self) -> np.ndarray:
        """Return the pixels, uint8 `(H, W, 3)` RGB. Raises `InputError` if the bytes are no readable image."""
        return decode_image(self.data, where=self.where)


class FaceReader(ABC):
    """A face set on disk. Images are read when asked for; memory holds at most some bytes for each.

    A reader can be pickled and used in other processes, which open the files anew; it holds no image and no handle
    then.

    Attributes:
        format: name of the format.
        annotated: whether the format has a place for facts about each image, which are a record's `facts` then; where
            it has none, `facts` tell how the image was stored.
        source: what was opened, as the user named it.
    """

    format: ClassVar[str]
    annotated: ClassVar[bool] = False
    source: str

    @abstractmethod
    def __len__(self) -> int:
        """Number of images. Raises `InputError` where finding it out shows the set to be damaged."""

    @property
    @abstractmethod
    def labelled(self) -> bool:
        """Whether the records say who is in the picture."""

    @property
    def classes(self) -> int | None:
        """Number of people, or None where the format does not state it."""
        return None

    @property
    def passed_over(self) -> tuple[int, str]:
        """Number of files among the images that are none by their name, and the first of them ("" if none)."""
        return 0, ""

    @abstractmethod
    def records(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        """Yield the records from position `start` up to, not including, `stop` (None: to the end).

        Raises:
            InputError: a record is damaged or hostile; the message names it.
        """

    def outlines(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        """Yield the records without their images: `data` is empty, and there are no features.

        Cheaper than `records` where the format keeps images apart from what is known of them. Raises as `records`.
        """
        for record in self.records(start, stop):
            yield replace(record, data=b"", feature=None, mirror_feature=None)

    def record(self, index: int) -> FaceRecord:
        """Return the record at a position, 0 to `len(self) - 1`. Raises `InputError` as `records`."""
        self.check_index(index)
        return next(self.records(index, index + 1))

    def __iter__(self) -> Iterator[FaceRecord]:
        return self.records()

    @abstractmethod
    def files(self) -> Iterator[tuple[str, int]]:
        """Yield name and size of every file that the set is made of: cheap to list, and different for another set."""

    def check_index(self, index: int) -> None:
        """Raise `IndexError` unless there is a record at this position."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.source} has {len(self)} images; there is none at position {index}.")

    def window(self, start: int, stop: int | None) -> range:
        """Return the positions from `start` to `stop` that exist."""
        return range(len(self))[start:stop]


class PerProcess(Generic[Resource]):
    """Something opened when first used, and anew in each process: handles survive neither a fork nor a pickle.

    Args:
        opener: opens it; must itself be picklable.
    """

    def __init__(self, opener: Callable[[], Resource]) -> None:
        self._opener = opener
        self._owner = 0
        self._resource: Resource | None = None

    def get(self) -> Resource:
        """Return this process's own."""
        if self._resource is None or self._owner != os.getpid():
            self._resource, self._owner = self._opener(), os.getpid()
        return self._resource

    def __getstate__(self) -> dict[str, Any]:
        return {"_opener": self._opener, "_owner": 0, "_resource": None}


def cannot_read(path: object, error: OSError) -> InputError:
    """Turn an operating-system error into one clear sentence."""
    return InputError(f"cannot read {path}: {error.strerror or error}.")


def file_sizes(paths: Iterable[Path]) -> Iterator[tuple[str, int]]:
    """Name and size in bytes of each file. Raises `InputError` where one cannot be read."""
    for path in paths:
        try:
            yield path.name, path.stat().st_size
        except OSError as error:
            raise cannot_read(path, error) from None
