"""Identity vectors from photographs: detect, align, embed with the embedder that the generator was made for."""

import numpy as np
import torch

from vec2face.checkpoints import load_embedder
from vec2face.config.generation import Photos
from vec2face.data.detection import YuNetDetector
from vec2face.data.photos import read_reference_faces
from vec2face.generation.render import torch_threads
from vec2face.identities import IdentityBank


def bank_from_photos(photos: Photos, embedder_reference: str, *, threads: int) -> IdentityBank:
    """Return one identity per photograph, named after it, in the order the photographs are read.

    Args:
        photos: the files and, unless they are aligned crops, the detector.
        embedder_reference: the embedder whose vectors the generator takes.
        threads: CPU threads; part of the request, since it can change the last bits of a vector.

    Raises:
        InputError: a photograph cannot be read or shows no face, or two of them share a name.
        WeightsError: the embedder cannot be loaded.
    """
    detector = YuNetDetector(photos.detector) if photos.detector else None
    faces = read_reference_faces(photos.paths, detector)
    embedder = load_embedder(embedder_reference)
    pixels = torch.from_numpy(np.stack([face.pixels for face in faces])).permute(0, 3, 1, 2)
    with torch.inference_mode(), torch_threads(threads):
        # One at a time: a vector does not depend on what other photographs there are.
        vectors = [embedder.embed(image[None].float() / 127.5 - 1.0)[0].numpy() for image in pixels]
    provenance = {"source": "photographs", "feature_space": embedder.name, "photographs": len(faces)}
    return IdentityBank(np.stack(vectors), tuple(face.name for face in faces), provenance)
