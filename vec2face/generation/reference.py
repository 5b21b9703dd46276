"""Identity vectors from photographs: detect, align, embed with the embedder that the generator was made for."""

from vec2face.checkpoints import load_embedder
from vec2face.config.generation import Photos
from vec2face.data.detection import open_detector
from vec2face.data.photos import read_reference_faces
from vec2face.errors import ContractError
from vec2face.fileio.mirror import local_copy
from vec2face.generation.render import torch_threads
from vec2face.identities import IdentityBank
from vec2face.identities.references import bank_from_faces
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.registry import ENTRIES


def bank_from_photos(photos: Photos, *, feature_space: str, threads: int) -> IdentityBank:
    """Return one identity per photograph, named after it, in the order the photographs are read.

    Args:
        photos: the files; unless they are aligned crops, the detector; and the embedder, unless it is a known one.
        feature_space: name of the embedder whose vectors the generator takes.
        threads: CPU threads, fixed because their number can change the last bits of a vector.

    Raises:
        InputError: photographs that cannot be read or show no face (all are named), or two that share a name.
        WeightsError: the embedder cannot be loaded.
        ContractError: no embedder of that feature space is known and none is given.
    """
    detector = open_detector(local_copy(photos.detector)) if photos.detector else None
    _, embedder = embedder_of_space(photos.embedder, feature_space)
    faces = read_reference_faces(photos.paths, detector)
    with torch_threads(threads):
        return bank_from_faces([face.name for face in faces], [face.pixels for face in faces], embedder)


def embedder_of_space(reference: str | None, feature_space: str) -> tuple[str, FaceEmbedder]:
    """Return an embedder and its reference: the named one, or the known one of a feature space.

    Raises:
        WeightsError: the embedder cannot be loaded.
        ContractError: none is named, and none of that feature space is known.
    """
    if reference is not None:
        return reference, load_embedder(reference)
    known = feature_space if feature_space in ENTRIES else "embedded"
    embedder = load_embedder(known)
    if embedder.name != feature_space:
        raise ContractError(
            f"the generator takes vectors of the embedder {feature_space!r}, which is not known here; "
            "name it by its folder or ONNX file with --embedder."
        )
    return known, embedder
