"""Read LPIPS from the two files it is published in."""

from pathlib import Path
from typing import Any

from torch import Tensor

from vec2face.checkpoints.safe_load import safe_load
from vec2face.checkpoints.store import build
from vec2face.checkpoints.tables.key_table import KeyTable
from vec2face.checkpoints.tables.lpips import HEADS, TRUNK
from vec2face.errors import WeightsError
from vec2face.models.perceptual import Lpips

_FIRST_LAYER = "trunk.0.weight"
# Which trunk a file holds is told from the kernel of its first layer.
_TRUNKS = {3: "vgg", 11: "alex"}


def load_lpips(trunk: Path, heads: Path) -> Lpips:
    """Read the network of the perceptual loss, in float32 and eval mode.

    Args:
        trunk: weights of torchvision's VGG-16 or AlexNet (`vgg16-397923af.pth`, `alexnet-owt-7be5be79.pth`).
        heads: the linear heads of LPIPS version 0.1 for that trunk (`lpips/weights/v0.1/vgg.pth` or `alex.pth` in the
            repository richzhang/PerceptualSimilarity).

    Raises:
        WeightsError: a file is missing, damaged or another network's, or the two do not belong together.
    """
    where = f"{trunk} with {heads}"
    state = {**_read(trunk, TRUNK), **_read(heads, HEADS)}
    first = state.get(_FIRST_LAYER)
    if first is None or first.ndim != 4 or first.shape[2] not in _TRUNKS:
        raise WeightsError(f"{trunk} is neither torchvision's VGG-16 nor its AlexNet.")
    network = build(Lpips, {"network": _TRUNKS[first.shape[2]]}, state, where=where)
    if not isinstance(network, Lpips):
        raise RuntimeError("the network that was built is not LPIPS")
    return network


def _read(file: Path, table: KeyTable) -> dict[str, Tensor]:
    content: dict[str, Any] = safe_load(file)
    strangers = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if strangers:
        raise WeightsError(f"{file} holds entries that are not weights, such as {strangers[0]!r}; name another file.")
    return table.to_ours(content, where=str(file))
