"""The faces a recogniser learns from: several datasets as one, in an endless shuffled pass, augmented."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vec2face.config.recognition import RecognitionAugmentation
from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import InputError
from vec2face.seeding import rng_for
from vec2face.training.class_centres import sample_classes
from vec2face.training.portion import Portion
from vec2face.training.recognition_augment import augment_image, plan_augmentation
from vec2face.training.recognizer_index import LabelledSet, require_size

KEPT_ORDERS = 2  # shuffled orders kept on either side of the newest one


class FaceMix:
    """Several datasets as one: rows count through all of them, and each one's people follow those before it.

    Any thread may read.

    Args:
        sets: the datasets.
        cache_images: keep images decoded in memory if there are no more than this many.

    Attributes:
        labels: `(N,)` int64 class of each row.
        classes: C.
        epoch_images: images of an epoch, in which each dataset occurs as often as its weight says.
        turn_people: visits of a turn, in which each dataset's people occur as often as its weight says.

    Raises:
        InputError: there are fewer than two people.
    """

    def __init__(self, sets: Sequence[LabelledSet], *, cache_images: int) -> None:
        self._sets = tuple(sets)
        people = [part.classes for part in self._sets]
        self._begins = np.cumsum([0, *(len(part.labels) for part in self._sets)])
        self._firsts = np.cumsum([0, *people[:-1]])
        self.labels: NDArray[np.int64] = np.concatenate(
            [part.labels + first for part, first in zip(self._sets, self._firsts, strict=True)]
        )
        self.classes = sum(people)
        if self.classes < 2:
            raise InputError(
                f"{self._sets[0].reader.source} holds one person only; a recogniser learns to tell people apart, "
                "so it needs at least two."
            )
        self._people_begin = np.concatenate([[0], np.cumsum(np.bincount(self.labels, minlength=self.classes))])
        self.epoch_images = sum(round(part.weight * len(part.labels)) for part in self._sets)
        self.turn_people = sum(round(part.weight * part.classes) for part in self._sets)
        if not self.epoch_images or not self.turn_people:
            raise InputError("the weights of the datasets are so small that an epoch has no image; raise one.")
        # A reader's file handle has one position; decoding, the long part, is done outside the lock.
        self._locks = [threading.Lock() for _ in self._sets]
        cached = len(self.labels) if len(self.labels) <= cache_images else 0
        self._cache = np.empty((cached, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        self._filled = np.zeros(cached, bool)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def facts(self) -> dict[str, Any]:
        """What tells these data from others."""
        return {
            "classes": self.classes,
            "datasets": {str(number): part.facts for number, part in enumerate(self._sets)},
        }

    def pixels(self, row: int) -> NDArray[np.uint8]:
        """Return the image of a row, uint8 `(112, 112, 3)` RGB, not to be changed.

        Raises:
            InputError: it cannot be read, or has another size.
        """
        if len(self._filled) and self._filled[row]:
            cached: NDArray[np.uint8] = self._cache[row]
            return cached
        number = int(np.searchsorted(self._begins, row, side="right")) - 1
        part = self._sets[number]
        with self._locks[number]:
            record = part.reader.record(int(part.positions[row - self._begins[number]]))
        pixels = require_size(record)
        if len(self._filled):
            self._cache[row] = pixels
            self._filled[row] = True
        return pixels

    def order(self, epoch: int, *, seed: int) -> NDArray[np.int64]:
        """Return the `(epoch_images,)` rows of an epoch in its own random order."""
        rng = rng_for(seed, "recognition-order", epoch)
        parts = []
        for first, part in zip(self._begins, self._sets, strict=False):
            parts.append(_repeated(np.arange(first, first + len(part.labels)), part.weight, rng))
        return rng.permutation(np.concatenate(parts))

    def visits(self, turn: int, *, images: int, seed: int) -> NDArray[np.int64]:
        """Return `(V, images)` rows: the people of a turn in its own random order, and random images of each.

        A turn visits each person once or, of a dataset with another weight, so often on average. Images of a visit are
        others as long as the person has any.
        """
        rng = rng_for(seed, "recognition-visits", turn)
        people = [
            _repeated(np.arange(first, first + part.classes), part.weight, rng)
            for first, part in zip(self._firsts, self._sets, strict=True)
        ]
        visited = rng.permutation(np.concatenate(people))
        begins = self._people_begin[visited]
        counts = self._people_begin[visited + 1] - begins
        # The start in a person's own shuffled images is random too, so that several visits of a turn differ.
        shuffled = np.lexsort((rng.random(len(self.labels)), self.labels))
        places = (rng.integers(0, counts)[:, None] + np.arange(images)) % counts[:, None]
        chosen: NDArray[np.int64] = shuffled[begins[:, None] + places]
        return chosen


def _repeated(numbers: NDArray[np.int64], weight: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return all numbers as often as the whole part of `weight` says, and a random share of them once more."""
    wanted = round(weight * len(numbers))
    times, rest = divmod(wanted, len(numbers))
    return np.concatenate([*[numbers] * times, rng.permutation(numbers)[:rest]])


@dataclass(frozen=True)
class RecognitionBatch:
    """One pass's faces.

    Attributes:
        pixels: `(B, 112, 112, 3)` uint8 RGB, augmented but for erasing.
        erase: `(B, 4)` int64 box of each: top, left, bottom, right in pixels, the last two excluded.
        labels: `(B,)` int64 classes.
        sampled: `(K,)` int64 sorted classes of the step's softmax, or None for all.
    """

    pixels: Tensor
    erase: Tensor
    labels: Tensor
    sampled: Tensor | None

    def pin(self) -> "RecognitionBatch":
        """Return the batch in page-locked memory, from which a GPU copies while it computes."""
        sampled = None if self.sampled is None else self.sampled.pin_memory()
        return RecognitionBatch(self.pixels.pin_memory(), self.erase.pin_memory(), self.labels.pin_memory(), sampled)

    def to(self, device: torch.device) -> "RecognitionBatch":
        """Return the batch on a device; the copy may still be under way."""
        pixels, erase, labels = (
            tensor.to(device, non_blocking=True) for tensor in (self.pixels, self.erase, self.labels)
        )
        sampled = None if self.sampled is None else self.sampled.to(device, non_blocking=True)
        return RecognitionBatch(pixels, erase, labels, sampled)

    def images(self) -> Tensor:
        """Return `(B, 3, 112, 112)` float32 in [-1, 1], channels last; erased boxes are 0, the mean grey."""
        images = self.pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        place = torch.arange(images.shape[2], device=images.device)
        top, left, bottom, right = (bound[:, None] for bound in self.erase.unbind(dim=1))
        rows, columns = (place >= top) & (place < bottom), (place >= left) & (place < right)
        return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


class RecognitionStream:
    """Random access to the batches of an endless, shuffled, augmented pass. Any thread may read.

    Args:
        mix: the faces.
        batch_size: images of a step, of all processes together.
        augmentation: what is changed.
        centre_share: share of the classes in a step's softmax.
        seed: of everything random here.
        images_of_a_person: None for shuffled images; else a batch holds so many of each of its people, an image of each
            first, then another of each and so on. Portions then hold whole people if their number divides by theirs.
    """

    def __init__(
        self,
        mix: FaceMix,
        *,
        batch_size: int,
        augmentation: RecognitionAugmentation,
        centre_share: float,
        seed: int,
        images_of_a_person: int | None = None,
    ) -> None:
        self._mix, self._batch_size, self._augmentation = mix, batch_size, augmentation
        self._share, self._seed, self._together = centre_share, seed, images_of_a_person
        self._orders: dict[int, NDArray[np.int64]] = {}
        self._lock = threading.Lock()

    def choose(self, step: int) -> NDArray[np.int64]:
        """Return the rows of a step's whole batch."""
        size, length = self._batch_size, self._mix.epoch_images
        if self._together is not None:
            size, length = size // self._together, self._mix.turn_people
        epochs, offsets = np.divmod(np.arange(step * size, (step + 1) * size), length)
        rows = np.concatenate([self._order(int(epoch))[offsets[epochs == epoch]] for epoch in np.unique(epochs)])
        return rows.T.reshape(-1)

    def read(self, portion: Portion) -> RecognitionBatch:
        """Read a portion of a step; its `total` is the batch size."""
        rows = self.choose(portion.step)
        labels = self._mix.labels[rows]
        plan = plan_augmentation(
            self._augmentation, seed=self._seed, step=portion.step, count=portion.total, size=IMAGE_SIZE
        )
        pixels = np.empty((len(portion), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        for number, place in enumerate(portion.of(np.arange(portion.total))):
            pixels[number] = augment_image(self._mix.pixels(int(rows[place])), plan, int(place))
        sampled = sample_classes(labels, self._mix.classes, share=self._share, seed=self._seed, step=portion.step)
        return RecognitionBatch(
            pixels=torch.from_numpy(pixels),
            erase=torch.from_numpy(portion.of(plan.erase).copy()),
            labels=torch.from_numpy(portion.of(labels).copy()),
            sampled=None if sampled is None else torch.from_numpy(sampled),
        )

    def _order(self, epoch: int) -> NDArray[np.int64]:
        with self._lock:
            if epoch not in self._orders:
                # Readers may be a little ahead of or behind one another.
                self._orders = {k: v for k, v in self._orders.items() if abs(k - epoch) <= KEPT_ORDERS}
                if self._together is None:
                    self._orders[epoch] = self._mix.order(epoch, seed=self._seed)
                else:
                    self._orders[epoch] = self._mix.visits(epoch, images=self._together, seed=self._seed)
            return self._orders[epoch]
