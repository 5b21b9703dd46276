"""Make a trained network ready to be shipped: half-size weights, its origin and its terms in one folder."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from vec2face.checkpoints.store import OPERATING_POINTS_NAME, read_folder, weights_file, write_folder
from vec2face.config.model_card import read_model_card, write_model_card
from vec2face.errors import InputError
from vec2face.fileio.atomic import sha256_file

Precision = Literal["float16", "float32"]


def release(
    source: Path, out: Path, *, card: Path, precision: Precision = "float16", operating_points: Path | None = None
) -> None:
    """Write a trained network's folder as it is shipped.

    Args:
        source: a network's folder, as a training run writes it.
        out: the new folder; it must not exist.
        card: the network's `card.json` (see `vec2face.config.model_card`).
        precision: of the stored weights; loading gives float32 either way.
        operating_points: for an embedder, JSON of named cosine thresholds such as {"fmr_1e-4": 0.42}.

    Raises:
        WeightsError: the source is no network's folder, or `out` exists.
        InputError: the card or the thresholds are missing or unusable.
    """
    described = read_model_card(card)
    thresholds = _read_thresholds(operating_points) if operating_points is not None else None
    network = read_folder(source)
    # torch's own `to`: the one of diffusers warns at every cast about modules it was never told to keep in float32.
    nn.Module.to(network, getattr(torch, precision))
    provenance = {
        "source": f"trained: {described.source}",
        "sha256": sha256_file(weights_file(source)),
        "precision": precision,
    }
    write_folder(network, out, provenance=provenance)
    write_model_card(out, described)
    if thresholds is not None:
        (out / OPERATING_POINTS_NAME).write_text(json.dumps(thresholds, indent=2) + "\n", encoding="utf-8")


def _read_thresholds(path: Path) -> dict[str, float]:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read the operating points {path}: {reason}.") from None
    if not isinstance(values, dict) or not all(isinstance(v, int | float) and -1 <= v <= 1 for v in values.values()):
        raise InputError(f'{path} must map names to cosine thresholds in [-1, 1], such as {{"fmr_1e-4": 0.42}}.')
    return {name: float(value) for name, value in values.items()}
