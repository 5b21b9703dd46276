"""From a reference to a network: a registry name, a folder, an ONNX file, the URL of one, or a hub id."""

import json
import re
from pathlib import Path
from typing import Literal

from torch import nn

from vec2face.checkpoints.hub import download_folder
from vec2face.checkpoints.store import (
    CONFIG_NAME,
    OPERATING_POINTS_NAME,
    PROVENANCE_NAME,
    WEIGHTS_NAME,
    read_folder,
    weights_file,
)
from vec2face.config.model_card import FILE_NAME as CARD_NAME
from vec2face.contracts import InputContract
from vec2face.errors import ContractError, WeightsError
from vec2face.fileio.atomic import fingerprint, sha256_file
from vec2face.fileio.location import parse_location
from vec2face.fileio.mirror import local_version
from vec2face.fileio.remote import RemotePath
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.onnx import OnnxEmbedder, external_files
from vec2face.models.estimators.network import AttributeNetwork
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.pose.sixdrepnet import SixDRepNet
from vec2face.registry import ENTRIES, Kind, WeightsEntry

NetworkKind = Literal["generator", "embedder", "estimator", "pose"]

# What `embedded` stands for, by what is asked for.
EMBEDDED = "embedded"
EMBEDDED_NAMES: dict[Kind, str] = {
    "generator": "embedded-generator",
    "embedder": "embedded-embedder",
    "estimator": "embedded-estimators",
}

_HUB_ID = re.compile(r"(?P<id>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w.-]+))?")
_FOLDER_FILES = (CONFIG_NAME, WEIGHTS_NAME, PROVENANCE_NAME, CARD_NAME, OPERATING_POINTS_NAME)
_RAW_CHECKPOINTS = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")


def load_generator(ref: str) -> Vec2FaceGenerator:
    """Load a generator.

    Args:
        ref: `embedded`, a registry name, a folder written by `save_pretrained`, its URL (s3://...), or a hub id
            `owner/name[@revision]`.

    Returns:
        The generator in eval mode, on the CPU, in float32.

    Raises:
        WeightsError: nothing is known by that reference, it is not pulled yet, or what it holds does not fit.
    """
    network = read_folder(locate(ref, kind="generator"))
    if not isinstance(network, Vec2FaceGenerator):
        raise _other_network(ref, network, "a generator")
    return network


def load_embedder(ref: str) -> FaceEmbedder:
    """Load a face embedder; as `load_generator`, and `ref` may also be an `.onnx` file.

    An ONNX file is read as an ArcFace recogniser (see `OnnxEmbedder`) unless a file `NAME.contract.json` beside
    `NAME.onnx` says which pixels it was trained on: an object with `size`, `color_order`, `mean`, `std` as in
    `InputContract`.
    """
    path = locate(ref, kind="embedder")
    if path.is_file():
        return OnnxEmbedder(path, contract=_contract_beside(path))
    network = read_folder(path)
    if not isinstance(network, FaceEmbedder):
        raise _other_network(ref, network, "an embedder")
    return network


def load_estimators(ref: str) -> AttributeNetwork:
    """Load a network that measures attributes; as `load_generator`."""
    network = read_folder(locate(ref, kind="estimator"))
    if not isinstance(network, AttributeNetwork):
        raise _other_network(ref, network, "an estimator of attributes")
    return network


def load_pose_estimator(ref: str) -> SixDRepNet:
    """Load a head-pose estimator; as `load_generator`."""
    network = read_folder(locate(ref, kind="pose"))
    if not isinstance(network, SixDRepNet):
        raise _other_network(ref, network, "a pose estimator")
    return network


def digest(ref: str, *, kind: NetworkKind) -> str:
    """Return the SHA-256 of the weights behind a reference, hexadecimal.

    For an ONNX file with external data it is the hash of all its files' hashes.

    Args:
        ref: as for `load_generator`.
        kind: what is asked for; `embedded` stands for several networks.
    """
    path = locate(ref, kind=kind)
    if not path.is_file():
        return sha256_file(weights_file(path))
    data = external_files(path)
    if not data:
        return sha256_file(path)
    return fingerprint([sha256_file(part) for part in (path, *data)])


def locate(ref: str, *, kind: NetworkKind) -> Path:
    """Return the folder (or, for embedders, the ONNX file) behind a reference.

    Raises:
        WeightsError: there is none; the message says what to do.
    """
    name = EMBEDDED_NAMES.get(kind, ref) if ref == EMBEDDED else ref
    if name in ENTRIES:
        return _locate_entry(ENTRIES[name], kind)
    place = parse_location(ref)
    if not isinstance(place, Path):
        path = _fetch(place)
        return path if path.is_dir() else _locate_file(path, kind)
    path = place.expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        return _locate_file(path, kind)
    hub = _HUB_ID.fullmatch(ref)
    if hub:
        try:
            return download_folder(hub["id"], hub["revision"], list(_FOLDER_FILES))
        except WeightsError as error:
            raise WeightsError(f"there is no local folder {ref}, and {error}") from None
    known = [EMBEDDED] if kind in EMBEDDED_NAMES else []
    known += [entry.name for entry in ENTRIES.values() if entry.kind == kind]
    raise WeightsError(
        f"there are no {kind} weights {ref!r}: it is no file or folder, no hub id (owner/name), and none of the known "
        f"names: {', '.join(known)}."
    )


def _fetch(place: RemotePath) -> Path:
    """Return a local copy, kept by the digests that the store states, of a network's folder or an ONNX file."""
    folder = place.parent if place.suffix == ".onnx" else place
    # An ONNX file may have its contract and its data beside it, under names that begin with its own.
    own = place.name.removesuffix(place.suffix) if place.suffix == ".onnx" else None
    files = {
        name: stat
        for name, stat in folder.files(depth=1).items()
        if (name in _FOLDER_FILES if own is None else name.startswith(own))
    }
    if not files or (own is not None and place.name not in files):
        raise WeightsError(f"there are no weights at {place}; it must be a network's folder or an .onnx file.")
    copy = local_version(folder, files)
    return copy if own is None else copy / place.name


def _locate_entry(entry: WeightsEntry, kind: NetworkKind) -> Path:
    if entry.kind != kind:
        raise WeightsError(f"{entry.name} is of the kind {entry.kind}, but the kind {kind} is asked for.")
    if not entry.present:
        if entry.tier == "embedded":
            raise WeightsError(f"this installation lacks its embedded weights {entry.path}; install the package again.")
        raise WeightsError(f"{entry.name} is not on this machine yet; run `vec2face weights pull {entry.name}` first.")
    return entry.path


def _locate_file(path: Path, kind: NetworkKind) -> Path:
    if path.suffix == ".onnx":
        if kind != "embedder":
            raise WeightsError(f"{path} is an ONNX file, which can only serve as an embedder, not as a {kind}.")
        return path
    if path.suffix in _RAW_CHECKPOINTS:
        raise WeightsError(
            f"{path} is a bare checkpoint; convert it first: "
            f"vec2face weights import {path} --format FORMAT --out FOLDER."
        )
    raise WeightsError(f"{path} is neither a network's folder nor an ONNX file.")


def _contract_beside(path: Path) -> InputContract | None:
    sidecar = path.with_suffix(".contract.json")
    if not sidecar.is_file():
        return None
    try:
        return InputContract.from_dict(json.loads(sidecar.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, ContractError) as error:
        raise WeightsError(
            f"{sidecar} is no input contract ({error}); it is a JSON object such as "
            f"{json.dumps(InputContract().to_dict())}."
        ) from None


def _other_network(ref: str, network: nn.Module, wanted: str) -> WeightsError:
    return WeightsError(f"{ref} holds a {type(network).__name__}, where {wanted} is asked for.")
