"""What the weights behind a dataset were made from, and under which terms."""

from pathlib import Path
from typing import Any

from vec2face.checkpoints import digest
from vec2face.checkpoints.load import locate
from vec2face.config.model_card import FILE_NAME, ModelCard, TrainingData, read_model_card
from vec2face.errors import DatasetError, InputError
from vec2face.registry import ENTRIES

_WEBFACE4M = TrainingData(
    name="WebFace4M",
    role="training images (vec2face-base: 50,000 identities, 1,022,444 images)",
    licence="non-commercial research use",
    consent="collected from the web without asking the people shown",
)
_GLINT360K = TrainingData(
    name="Glint360K",
    role="data of the recogniser (ArcFace IResNet-100) that the identity vectors and losses come from",
    licence="non-commercial research use",
    consent="collected from the web without asking the people shown",
)
# The published generators come without a card.json; this is what their papers and code say (arXiv 2409.02979 and
# 2507.17192).
_PUBLISHED_DATA = {
    "vec2face-base": (_WEBFACE4M, _GLINT360K),
    "vec2face-plus": (_WEBFACE4M, _GLINT360K),
    "vec2face-plus-pose": (_WEBFACE4M, _GLINT360K),
}


def generator_lineage(reference: str, *, sha256: str, card: Path | None = None) -> dict[str, Any]:
    """Return the facts of a generator's model card, with its digest.

    Args:
        reference: how the recipe names the generator.
        sha256: digest of the weights that made the dataset.
        card: a `card.json` to read instead of the one beside the weights, for weights that are not on this machine.

    Raises:
        InputError: there is no card, or it is incomplete.
        DatasetError: the reference now leads to other weights than those that made the dataset.
    """
    if card is not None:
        found = read_model_card(card)
    else:
        if digest(reference, kind="generator") != sha256:
            raise DatasetError(
                f"the dataset was made with generator weights of digest {sha256[:12]}, but {reference!r} now leads to "
                "others; bring those weights back, or give their card with --weights-card."
            )
        found = _card_beside(reference)
    return {"role": "generator", "reference": reference, "sha256": sha256, **found.model_dump(mode="json")}


def _card_beside(reference: str) -> ModelCard:
    if reference in _PUBLISHED_DATA:
        entry = ENTRIES[reference]
        source = f"{entry.repository}: {entry.file}"
        return ModelCard(name=entry.name, licence=entry.licence, source=source, data=_PUBLISHED_DATA[reference])
    path = locate(reference, kind="generator") / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"the generator {reference!r} has no {path}, so the data and terms behind it are unknown; "
            "write one (name, licence, source, data), or give one with --weights-card."
        )
    return read_model_card(path)
