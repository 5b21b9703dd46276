"""Read photos of real people as aligned 112x112 faces."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vec2face.contracts import IMAGE_SIZE
from vec2face.data.alignment import align, enlargement
from vec2face.data.detection import FaceDetector, largest
from vec2face.errors import InputError
from vec2face.fileio.atomic import write_bytes
from vec2face.fileio.images import decode_image_with_notes, encode_image
from vec2face.fileio.location import Location
from vec2face.fileio.mirror import local_copy

# A face enlarged by more than this is blurred, which its vector shows.
_NOTED_ENLARGEMENT = 2.0
_LISTED_PROBLEMS = 20
_BESIDE_PICTURES = {".json", ".jsonl", ".csv", ".parquet", ".npy", ".npz", ".safetensors", ".yaml", ".html", ".md"}


@dataclass(frozen=True, eq=False)
class ReferenceFace:
    """A real face, aligned.

    Attributes:
        name: the file's stem, or the name of its folder where photos are grouped by person.
        pixels: uint8 `(112, 112, 3)` RGB in the ArcFace alignment.
        notes: what was converted or chosen on the way, for the user to read.
        path: the photo.
    """

    name: str
    pixels: np.ndarray
    notes: tuple[str, ...]
    path: Path


def read_reference_faces(
    paths: Iterable[Location],
    detector: FaceDetector | None,
    *,
    by_folder: bool = False,
    on_unusable: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[ReferenceFace]:
    """Read photos and align the largest face of each.

    Args:
        paths: files, and folders that are searched at every depth; hidden files are left out.
        detector: finds the faces; None takes aligned 112x112 crops as they are and refuses any other size.
        by_folder: name each face after the folder its photo lies in, rather than after its file.
        on_unusable: called with one sentence for each photo that cannot be used, which is then left out; None makes any
            such photo an error. That no photo at all can be used is always an error.
        progress: called with (photos read, photos in all).

    Returns:
        The faces in the order of `paths`, a folder's files sorted by path.

    Raises:
        InputError: nothing to read, two faces would have the same name, or photos that cannot be used, all named at
            once.
    """
    photos = list_photos(paths)
    names = _folder_names(photos) if by_folder else _stem_names(photos)
    faces: list[ReferenceFace] = []
    problems: list[str] = []
    for index, (path, name) in enumerate(zip(photos, names, strict=True)):
        try:
            pixels, notes = _read_face(path, detector)
            faces.append(ReferenceFace(name, pixels, tuple(notes), path))
        except InputError as error:
            problems.append(str(error))
        if progress is not None:
            progress(index + 1, len(photos))
    if problems and (on_unusable is None or not faces):
        raise InputError(_all_problems(problems, len(photos)))
    if on_unusable is not None:
        for problem in problems:
            on_unusable(problem)
    return faces


def write_crops(faces: Iterable[ReferenceFace], folder: Path, *, by_folder: bool = False) -> None:
    """Write each face as `NAME.png` (grouped by folder: `NAME/STEM.png`), replacing files of the same name.

    Raises:
        StorageError: the folder cannot be written.
    """
    for face in faces:
        relative = f"{face.name}/{face.path.stem}.png" if by_folder else f"{face.name}.png"
        write_bytes(folder / relative, encode_image(face.pixels, format="png"))


def list_photos(places: Iterable[Location]) -> list[Path]:
    """Return the files named and the pictures in the folders named, each once; of URLs, copies on this machine.

    In folders, what datasets hold beside their pictures is left out: JSON, tables, arrays, pages.

    Raises:
        InputError: a path does not exist, a folder has no files, or there are no paths.
        StorageError: a store cannot be read.
    """
    found: dict[Path, None] = {}
    for path in map(local_copy, places):
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
            inside = [file for file in inside if file.suffix.lower() not in _BESIDE_PICTURES]
            if not inside:
                raise InputError(f"the folder {path} holds no photos.")
            found.update(dict.fromkeys(inside))
        elif path.is_file():
            found[path] = None
        else:
            raise InputError(f"there is no photo or folder {path}.")
    if not found:
        raise InputError("no photos were given.")
    return list(found)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _stem_names(photos: list[Path]) -> list[str]:
    first: dict[str, Path] = {}
    for path in photos:
        other = first.setdefault(path.stem, path)
        if other != path:
            raise InputError(
                f"{other} and {path} would both be called {path.stem!r}; rename one, or group photos by their folder."
            )
    return [path.stem for path in photos]


def _folder_names(photos: list[Path]) -> list[str]:
    folders: dict[str, Path] = {}
    crops: dict[tuple[str, str], Path] = {}
    names = []
    for path in photos:
        folder = path.resolve().parent
        other = folders.setdefault(folder.name, folder)
        if other != folder:
            raise InputError(f"the folders {other} and {folder} would be one person {folder.name!r}; rename one.")
        twin = crops.setdefault((folder.name, path.stem), path)
        if twin != path:
            raise InputError(f"{twin} and {path} would both be called {path.stem!r}; rename one.")
        names.append(folder.name)
    return names


def _read_face(path: Path, detector: FaceDetector | None) -> tuple[np.ndarray, list[str]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    pixels, notes = decode_image_with_notes(data, where=str(path))
    if detector is None:
        if pixels.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE):
            raise InputError(
                f"{path} has {pixels.shape[1]}x{pixels.shape[0]} pixels; "
                f"give --detector FILE to find and align the face, or an aligned {IMAGE_SIZE}x{IMAGE_SIZE} crop."
            )
        return pixels, notes
    detections = detector.detect(pixels)
    if not detections:
        raise InputError(f"no face was found in {path}; give a photo with a clearly visible face.")
    face = largest(detections)
    if len(detections) > 1:
        notes.append(f"the largest of {len(detections)} faces taken")
    factor = enlargement(face.landmarks)
    if factor > _NOTED_ENLARGEMENT:
        notes.append(f"a small face, enlarged {factor:.1f} times")
    return align(pixels, face.landmarks), notes


def _all_problems(problems: list[str], photos: int) -> str:
    if len(problems) == 1 and photos == 1:
        return problems[0]
    listed = [f"  {problem}" for problem in problems[:_LISTED_PROBLEMS]]
    if len(problems) > _LISTED_PROBLEMS:
        listed.append(f"  and {len(problems) - _LISTED_PROBLEMS} more")
    return "\n".join([f"{len(problems)} of {photos} photos cannot be used:", *listed])
