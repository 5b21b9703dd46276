"""Fit the statistics that the `pca` identity source draws from: how embeddings of real faces are distributed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vec2face.data.facepack import FacePack
from vec2face.errors import InputError
from vec2face.identities.statistics import FeatureStatistics, fit
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.training.vectors import embed_pack


def fit_pack_statistics(
    embedder: CompactEmbedder,
    *,
    pack: Path,
    out: Path,
    whole_only: bool,
    on_image: Callable[[int], None] | None = None,
) -> FeatureStatistics:
    """Embed the training faces of a pack, with their mirror images, and write their statistics to `out`.

    Held-out people take no part. With `whole_only`, faces whose crop is padded take none either: an embedder sees the
    padding, and a generator paints it for vectors that remember it.

    Raises:
        InputError: the pack is unusable.
        StorageError: `out` cannot be written.
    """
    faces = FacePack.load(pack)
    embedder.fuse()
    embedder.to(memory_format=torch.channels_last)
    values = embed_pack(faces, embedder, on_image=on_image).values
    chosen = ~faces.holdout & (faces.whole | (not whole_only))
    if chosen.sum() < 2:
        raise InputError(f"{pack} has fewer than two training faces that fit; pack more, or drop --whole-only.")
    training = values[chosen].reshape(-1, values.shape[2])
    statistics = fit(np.ascontiguousarray(training), feature_space=embedder.name)
    statistics.save(out)
    return statistics
