"""Identity vectors of real faces, for reference images."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vec2face.errors import InputError
from vec2face.identities.bank import IdentityBank

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder


def bank_from_faces(
    names: Sequence[str],
    pixels: Sequence[np.ndarray],
    embedder: "FaceEmbedder",
    *,
    progress: Callable[[int, int], None] | None = None,
) -> IdentityBank:
    """Embed aligned faces; faces of equal name become one identity, the mean of their raw vectors.

    Faces are embedded one at a time, so that a vector does not depend on what other faces there are.

    Args:
        names: N names; the bank's ids, in order of first appearance.
        pixels: N uint8 `(112, 112, 3)` RGB faces in the ArcFace alignment.
        embedder: the network that defines the feature space.
        progress: called with (faces embedded, faces in all).

    Raises:
        InputError: no faces, or an embedding that is not finite.
    """
    import torch

    if not names:
        raise InputError("no faces were given to make identities from.")
    vectors = []
    with torch.inference_mode():
        for done, face in enumerate(pixels, start=1):
            image = torch.from_numpy(np.array(face)).permute(2, 0, 1)[None].float() / 127.5 - 1.0
            vectors.append(embedder.embed(image)[0].numpy().astype(np.float64))
            if progress is not None:
                progress(done, len(names))
    members: dict[str, list[np.ndarray]] = {}
    for name, vector in zip(names, vectors, strict=True):
        members.setdefault(name, []).append(vector)
    means = np.stack([np.mean(group, axis=0) for group in members.values()])
    provenance = {"source": "photographs", "feature_space": embedder.name, "photographs": len(names)}
    return IdentityBank(means, tuple(members), provenance)
