"""Open verification sets: insightface's `.bin`, pair lists with a folder of images, arrays of pixels with flags."""

import lzma
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError
from vec2face.evaluation.folds import FOLDS, require_even_folds
from vec2face.evaluation.image_lists import EncodedImages, ImageArray, ImageFiles, StoredImages, content_digest
from vec2face.evaluation.pair_lists import PairList, find_images, read_pair_list
from vec2face.evaluation.pickled import read_pickled_pairs, unpickle_pairs
from vec2face.fileio.location import Location, is_url, parse_location
from vec2face.fileio.mirror import local_folder, local_version, reading

PAIRS_NAME = "pairs.txt"
_FLAG_NAMES = ("{stem}_issame.txt", "{stem}_issame.npy", "issame.txt", "issame.npy")
# No set has more; a small .xz file can unpack to any size.
_MOST_BYTES = 8 << 30


@dataclass(frozen=True)
class VerificationSet:
    """Pairs of faces, same person or not.

    Attributes:
        name: what results call it.
        group: the benchmark that it is one group of, such as RFW, or None.
        source: the file or folder it was read from.
        kind: how it is stored, "bin", "pair list" or "array".
        images: 2P images; pair i is images 2i and 2i + 1.
        same: (P,) bool, whether pair i shows one person.
        folds: number of consecutive folds of equal size.
        digest: SHA-256 of images and flags, the same however the set is stored (pixels count, where it is an array).
    """

    name: str
    group: str | None
    source: str
    kind: str
    images: StoredImages
    same: NDArray[np.bool_]
    folds: int
    digest: str

    @property
    def title(self) -> str:
        """The name, with the group before it where there is one."""
        return self.name if self.group is None else f"{self.group}/{self.name}"


def open_verification_sets(
    arguments: Sequence[str], *, images: Location | None = None, folds: int | None = None
) -> list[VerificationSet]:
    """Open several sets, `PATH` or `NAME=PATH` each; see `open_verification_set`.

    Raises:
        InputError: as there, or a set or a name is given twice.
        StorageError: as there.
    """
    sets: list[VerificationSet] = []
    for argument in arguments:
        found = open_verification_set(argument, images=images, folds=folds)
        for other in sets:
            if other.digest == found.digest:
                raise InputError(f"{found.source} is the same set as {other.source}; give each set once.")
            if other.title == found.title:
                raise InputError(
                    f"two sets are called {found.title!r} ({other.source} and {found.source}); "
                    "name one of them with NAME=SET."
                )
        sets.append(found)
    return sets


def open_verification_set(
    argument: str, *, images: Location | None = None, folds: int | None = None
) -> VerificationSet:
    """Open one set.

    Args:
        argument: `PATH`, or `NAME=PATH` to name it, or `GROUP/NAME=PATH` for one group of a benchmark. PATH is a `.bin`
            (also compressed, `.xz`), a list of pairs (`.txt`), a folder with `pairs.txt` and images, or images as
            `.npy` with their flags beside them (`NAME_issame.txt` or `issame.txt`, or `.npy`), or the folder of those.
            It may be a URL; of a pair list there, the folder it lies in is fetched, unless `images` is given.
        images: folder of the images that pair lists name.
        folds: number of folds; None takes the list's own, or 10.

    Raises:
        InputError: there is no such set, it is unusable, or does not divide into folds.
        StorageError: a store cannot be read.
    """
    label, place = _label(argument)
    with _reading(place, with_images=images is None) as path:
        found = _read_set(path, images=None if images is None else local_folder(images), folds=folds)
    group, _, name = label.rpartition("/")
    return replace(found, name=name, group=group or None, source=str(place))


def _read_set(path: Path, *, images: Path | None, folds: int | None) -> VerificationSet:
    stated: int | None = None
    faces: StoredImages
    if path.is_dir() and (path / PAIRS_NAME).is_file():
        kind, (faces, same, stated) = "pair list", _read_list(path / PAIRS_NAME, path)
    elif path.is_dir():
        kind, (faces, same) = "array", _read_array(_array_in(path))
    elif path.suffix == ".npy":
        kind, (faces, same) = "array", _read_array(path)
    elif path.suffix == ".txt":
        kind, (faces, same, stated) = "pair list", _read_list(path, images or path.parent)
    else:
        kind, (faces, same) = "bin", _read_bin(path)
    if len(faces) != 2 * len(same):
        raise InputError(
            f"{path} holds {len(faces):,} images for {len(same):,} same-person flags, but each pair has two images; "
            "fetch it again."
        )
    flags = np.array(same, dtype=bool)
    count = folds or stated or FOLDS
    require_even_folds(len(flags), count, where=str(path))
    if len(set(flags.tolist())) < 2:
        raise InputError(f"{path} holds pairs of one kind only; a verification set needs same and different people.")
    digest = content_digest(faces, extra=flags.tobytes())
    return VerificationSet(path.name, None, str(path), kind, faces, flags, count, digest)


@contextmanager
def _reading(place: Location, *, with_images: bool) -> Iterator[Path]:
    """Give a path of this machine for a set, with what lies beside it and belongs to it."""
    if isinstance(place, Path):
        yield place
        return
    if place.suffix == ".txt" and with_images:
        with reading(place.parent) as folder:
            yield folder / place.name
    elif place.suffix == ".npy":
        # Other sets may lie in the same folder.
        flags = {name.format(stem=place.name.removesuffix(place.suffix)) for name in _FLAG_NAMES}
        there = {name: stat for name, stat in place.parent.files(depth=1).items() if name in {place.name, *flags}}
        if place.name not in there:
            raise InputError(f"there is nothing at {place}.")
        yield local_version(place.parent, there) / place.name
    else:
        with reading(place) as copy:
            yield copy


def _label(argument: str) -> tuple[str, Location]:
    path = parse_location(argument) if is_url(argument) else Path(argument)
    if isinstance(path, Path) and not path.exists() and "=" in argument:
        label, _, rest = argument.partition("=")
        if not label.strip("/") or label.endswith("/"):
            raise InputError(f"{argument!r} names no set before '='; write NAME=SET or GROUP/NAME=SET.")
        return label, parse_location(rest)
    name = path.resolve().name if isinstance(path, Path) else path.name
    if not path.is_dir():
        for suffix in (".xz", ".bin", ".npy", ".txt"):
            name = name.removesuffix(suffix)
    return name, path


def _read_bin(path: Path) -> tuple[StoredImages, list[bool]]:
    if path.suffix == ".xz":
        images, same = unpickle_pairs(_unpack(path), path)
    else:
        images, same = read_pickled_pairs(path)
    return EncodedImages(images, name=str(path)), same


def _unpack(path: Path) -> bytes:
    try:
        with lzma.open(path) as stream:
            data = stream.read(_MOST_BYTES + 1)
    except (OSError, lzma.LZMAError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"cannot read {path}: {reason}; fetch it again.") from None
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path} unpacks to more than {_MOST_BYTES >> 30} GiB, which no verification set does.")
    return data


def _read_list(path: Path, folder: Path) -> tuple[StoredImages, list[bool], int | None]:
    listed: PairList = read_pair_list(path)
    names = [name for pair in listed.pairs for name in (pair.first, pair.second)]
    files = find_images(names, folder, where=str(path))
    return ImageFiles([files[name] for name in names]), [pair.same for pair in listed.pairs], listed.folds


def _array_in(folder: Path) -> Path:
    arrays = sorted(path for path in folder.glob("*.npy") if not path.stem.endswith("issame"))
    if len(arrays) == 1:
        return arrays[0]
    held = f"{len(arrays)} .npy files" if arrays else "neither"
    raise InputError(
        f"{folder} is no verification set: it must hold {PAIRS_NAME} with images, or one .npy of images with "
        f"issame.txt, but holds {held}."
    )


def _read_array(path: Path) -> tuple[StoredImages, list[bool]]:
    array = _load(path)
    flag_files = [path.with_name(name.format(stem=path.stem)) for name in _FLAG_NAMES]
    found = next((file for file in flag_files if file.is_file()), None)
    if found is None:
        names = ", ".join(file.name for file in flag_files)
        raise InputError(f"{path} has no same-person flags beside it; put them there as one of {names}.")
    return ImageArray(array, name=str(path)), _read_flags(found)


def _load(path: Path) -> NDArray:
    try:
        array: NDArray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is not a readable .npy array ({str(error).splitlines()[0]}).") from None
    return array


def _read_flags(path: Path) -> list[bool]:
    if path.suffix == ".npy":
        values = [str(value) for value in np.ravel(_load(path)).tolist()]
    else:
        try:
            values = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {path}: {error}.") from None
    known = {"0": False, "1": True, "False": False, "True": True, "0.0": False, "1.0": True}
    for number, value in enumerate(values):
        if value not in known:
            raise InputError(f"{path}: same-person flag {number} is {value!r}, neither 0 nor 1.")
    return [known[value] for value in values]
