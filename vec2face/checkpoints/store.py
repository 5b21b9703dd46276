"""A network's folder: config.json, the weights as safetensors, and where they came from."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from torch import Tensor

from vec2face.checkpoints.safe_load import safe_load
from vec2face.checkpoints.settings import check_settings, construct
from vec2face.checkpoints.tables.key_table import KeyTable, name_some
from vec2face.errors import WeightsError
from vec2face.fileio.atomic import explain_os_error, write_json
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.embedders.iresnet import IResNet
from vec2face.models.embedders.mobilefacenet import ArcFaceMobileFaceNet, MobileFaceNetPReLU, MobileFaceNetReLU6
from vec2face.models.estimators.network import AttributeNetwork
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.pose.sixdrepnet import SixDRepNet

WEIGHTS_NAME = SAFETENSORS_WEIGHTS_NAME
PROVENANCE_NAME = "provenance.json"
OPERATING_POINTS_NAME = "operating_points.json"

_CLASSES: dict[str, type[ModelMixin]] = {
    network.__name__: network
    for network in (
        Vec2FaceGenerator,
        CompactEmbedder,
        IResNet,
        ArcFaceMobileFaceNet,
        MobileFaceNetPReLU,
        MobileFaceNetReLU6,
        AttributeNetwork,
        SixDRepNet,
    )
}


def build(
    model: type[ModelMixin],
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    where: str,
    settings_from: Path | None = None,
    table: KeyTable | None = None,
) -> ModelMixin:
    """Build a network from its weights, in float32 and eval mode.

    Args:
        model, config: the network's class and constructor arguments.
        state: its weights by our names.
        where: the file they come from, for messages.
        settings_from: the file that the constructor arguments come from, where it is another.
        table: for messages, the names that the file gives the weights.

    Raises:
        WeightsError: names every key that is missing, unknown or of another shape; or no network can be built from the
            arguments.
    """
    network = construct(model, config, where=str(settings_from or where), tensors=len(state))
    _require_fit(network.state_dict(), state, where=where, table=table)
    network.load_state_dict({key: _as_parameter(tensor) for key, tensor in state.items()}, assign=True)
    return network.eval()


def _require_fit(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, where: str, table: KeyTable | None
) -> None:
    """Raise `WeightsError` unless `found` has the keys and shapes of `expected`."""

    def name(key: str) -> str:
        return (table.foreign_key(key) if table else None) or key

    problems = []
    missing = [name(key) for key in expected if key not in found]
    if missing:
        problems.append(f"lacks {name_some(missing)}")
    unknown = [name(key) for key in found if key not in expected]
    if unknown:
        problems.append(f"holds keys that its network does not have: {name_some(unknown)}")
    shapes = [
        f"{name(key)} {tuple(found[key].shape)} where the network has {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in found and found[key].shape != tensor.shape
    ]
    if shapes:
        problems.append(f"has other shapes: {name_some(shapes, 3)}")
    if problems:
        raise WeightsError(f"{where} {'; it '.join(problems)}.")


def write_folder(network: ModelMixin, folder: Path, *, provenance: Mapping[str, Any], replace: bool = False) -> None:
    """Write a network's folder so that it either stands complete or not at all.

    Args:
        network: one of the project's networks.
        folder: the new folder.
        provenance: what `provenance.json` says about the source.
        replace: whether a folder of that name gives way.

    Raises:
        WeightsError: the folder exists and is not to be replaced.
        StorageError: it cannot be written.
    """
    if folder.exists() and not replace:
        raise WeightsError(f"{folder} exists already; choose another folder or remove it.")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    replaced = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        network.save_pretrained(temporary, safe_serialization=True)
        write_json(temporary / PROVENANCE_NAME, dict(provenance))
        if folder.exists():
            os.replace(folder, replaced)
        os.replace(temporary, folder)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    finally:
        for leftover in (temporary, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def read_folder(folder: Path) -> ModelMixin:
    """Read a network's folder strictly, in eval mode.

    Raises:
        WeightsError: a file is missing or damaged, or the weights do not fit the configuration.
    """
    model, arguments = network_of(folder)
    weights = weights_file(folder)
    return build(model, arguments, safe_load(weights), where=str(weights), settings_from=folder / CONFIG_NAME)


def network_of(folder: Path) -> tuple[type[ModelMixin], dict[str, Any]]:
    """Return the class and the constructor arguments that a folder's configuration states.

    Raises:
        WeightsError: there is no configuration, or it is not one of a network of ours.
    """
    config = read_config(folder)
    class_name = config.get("_class_name")
    if not isinstance(class_name, str) or class_name not in _CLASSES:
        raise WeightsError(
            f"{folder / CONFIG_NAME} names the network {class_name!r}; known: {', '.join(sorted(_CLASSES))}."
        )
    model = _CLASSES[class_name]
    # Keys with an underscore are the library's notes: class, version, where it was loaded from.
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    check_settings(model, arguments, where=str(folder / CONFIG_NAME))
    return model, arguments


def read_config(folder: Path) -> dict[str, Any]:
    """Return a folder's configuration. Raises `WeightsError` if there is none or it is not JSON."""
    path = folder / CONFIG_NAME
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise WeightsError(f"{folder} holds no {CONFIG_NAME}, so it is not a network's folder.") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(config, dict):
        raise WeightsError(f"{path} must hold a JSON object.")
    return config


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return what a folder says about its source; empty if it says nothing."""
    path = folder / PROVENANCE_NAME
    if not path.is_file():
        return {}
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise WeightsError(f"{path} must hold a JSON object.")
    return values


def weights_file(folder: Path) -> Path:
    """Return a folder's weights file. Raises `WeightsError` if it is missing."""
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise WeightsError(
            f"{folder} holds no {WEIGHTS_NAME}; write it with save_pretrained or `vec2face weights import`."
        )
    return path


def _as_parameter(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
