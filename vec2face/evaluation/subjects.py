"""What is measured: a network by any reference, a bare checkpoint, or embeddings that were computed elsewhere."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.checkpoints import digest, load_embedder, safe_load
from vec2face.checkpoints.convert import to_network
from vec2face.checkpoints.formats import find_format
from vec2face.checkpoints.load import locate
from vec2face.errors import ContractError, InputError, WeightsError
from vec2face.evaluation.embeddings import embed_pixels, move
from vec2face.evaluation.image_lists import ImageList, unique_positions
from vec2face.evaluation.stored_embeddings import EMBEDDING_FILES, read_embeddings
from vec2face.fileio.atomic import sha256_file
from vec2face.fileio.location import parse_location
from vec2face.fileio.mirror import local_copy
from vec2face.models.embedders.base import FaceEmbedder, to_contract
from vec2face.progress import ProgressReporter, SilentProgress

RESULT_NAME = "result.json"
EVALUATION_FORMAT = "vec2face-evaluation"


@dataclass(frozen=True)
class NetworkSubject:
    """A network that embeds images.

    Attributes:
        facts: reference, name, kind, digest, width, contract, whether that is assumed, and device, as results state
            them.
        network: the embedder, on its device.
        training: what a training run wrote beside the weights, or None.
    """

    facts: dict[str, Any]
    network: FaceEmbedder
    training: dict[str, Any] | None

    def embed(
        self, images: ImageList, *, name: str, batch_size: int, progress: ProgressReporter | None = None
    ) -> NDArray[np.float64]:
        """Embed every image; see `embed_with_mirror`. `name` is what the images are called in the progress."""
        progress = progress or SilentProgress()
        return embed_with_mirror(self.network, images, name=name, batch_size=batch_size, progress=progress)


@dataclass(frozen=True)
class StoredSubject:
    """Embeddings from a file.

    Attributes:
        facts: reference, name, kind and digest, as results state them.
        path: the file.
    """

    facts: dict[str, Any]
    path: Path

    def vectors(self, name: str, count: int, *, only: bool) -> NDArray[np.float64]:
        """Return one set's raw embeddings (count, D).

        Args:
            only: whether it is the only set asked for; a `.npy` file holds one.

        Raises:
            InputError: see `read_embeddings`; or several sets are asked of a `.npy` file.
        """
        if self.path.suffix == ".npy" and not only:
            raise InputError(
                f"{self.path} holds the embeddings of one set; for several, give a .safetensors file with an array for "
                "each, under the set's name."
            )
        return read_embeddings(self.path, name=name, count=count)


Subject = NetworkSubject | StoredSubject


def embed_with_mirror(
    network: FaceEmbedder, images: ImageList, *, name: str, batch_size: int, progress: ProgressReporter
) -> NDArray[np.float64]:
    """Embed every image and its mirror image and sum the two, in float64: raw (N, D). Equal images are embedded once.

    Raises:
        InputError: an image cannot be decoded or is oblong.
        ContractError: the network gives values that are not finite, or expects another crop.
    """
    chosen, where = unique_positions(images)
    progress.begin(f"embedding {name}", total=len(chosen), unit="images")
    parts = []
    for start in range(0, len(chosen), batch_size):
        block = chosen[start : start + batch_size]
        pixels = np.stack([images.pixels(int(index)) for index in block])
        mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
        parts.append(
            embed_pixels(network, pixels).astype(np.float64) + embed_pixels(network, mirrored).astype(np.float64)
        )
        progress.advance(len(block))
    return np.concatenate(parts)[where]


def open_subject(reference: str, *, checkpoint_format: str | None = None, device: str = "cpu") -> Subject:
    """Open what is to be measured.

    Args:
        reference: a registry name, a network's folder, an `.onnx` file or a hub id; a bare checkpoint (`.pt`, `.pth`,
            `.safetensors`, with `checkpoint_format`); or a `.npy` or `.safetensors` file of embeddings.
        checkpoint_format: how a bare checkpoint is laid out, a name of `registry.FORMAT_NOTES`.
        device: "cpu" or "cuda".

    Raises:
        InputError: there is no such file or device.
        StorageError: a store cannot be read.
        WeightsError: the weights cannot be read or fit no embedder.
        ContractError: the network takes another crop than aligned 112x112 faces.
    """
    path = _file_of(reference, fetched=checkpoint_format is not None)
    if checkpoint_format is not None:
        if not path.is_file():
            raise InputError(f"--format says how a bare checkpoint is laid out, but there is no file {reference}.")
        return _network(reference, _checkpoint(path, checkpoint_format), sha256_file(path), path.parent, device)
    if path.suffix in EMBEDDING_FILES:
        if not path.is_file():
            raise InputError(f"there is no file of embeddings {reference}.")
        facts = {"reference": reference, "name": path.stem, "kind": "embeddings", "digest": sha256_file(path)}
        return StoredSubject(facts, path)
    if path.is_file() and path.suffix in (".pt", ".pth", ".ckpt"):
        raise InputError(
            f"{reference} is a bare checkpoint, which does not say what pixels it takes; say how it is laid out, such "
            "as --format arcface-torch (all formats: vec2face weights import --help)."
        )
    network, found = load_embedder(reference), locate(reference, kind="embedder")
    folder = found if found.is_dir() else found.parent
    return _network(reference, network, digest(reference, kind="embedder"), folder, device)


def _file_of(reference: str, *, fetched: bool) -> Path:
    """Return where the file would lie that a reference names; a URL of a file that is read here is fetched."""
    place = parse_location(reference)
    if isinstance(place, Path):
        return place.expanduser()
    return local_copy(place) if fetched or place.suffix in EMBEDDING_FILES else Path(reference)


def _network(reference: str, network: FaceEmbedder, sha256: str, folder: Path, device: str) -> NetworkSubject:
    import torch

    to_contract(torch.zeros(1, 3, 112, 112), network.contract)  # refuses another crop before any work
    moved = move(network, device)
    facts = {
        "reference": reference,
        "name": network.name,
        "kind": "network",
        "network": type(network).__name__,
        "digest": sha256,
        "width": network.dim,
        "contract": network.contract.to_dict(),
        "contract_assumed": network.contract_assumed,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
    }
    return NetworkSubject(facts, moved, read_training(folder))


def _checkpoint(path: Path, checkpoint_format: str) -> FaceEmbedder:
    layout = find_format(checkpoint_format)
    if layout.kind != "embedder":
        raise WeightsError(f"the format {layout.name} holds a {layout.kind}, but an embedder is asked for.")
    network = to_network(safe_load(path), layout, where=str(path), config={"name": path.stem}).eval()
    if not isinstance(network, FaceEmbedder):
        raise ContractError(f"{path} holds a {type(network).__name__}, where an embedder is asked for.")
    return network


def read_training(folder: Path) -> dict[str, Any] | None:
    """Read the `result.json` that a training run wrote beside its weights: its facts, or None where there is none.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / RESULT_NAME
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error}); mend or remove it.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} is damaged: it is not a JSON object; mend or remove it.")
    # An evaluation's own result may stand in the same folder; it says nothing about training.
    return None if str(values.get("format", "")).startswith(EVALUATION_FORMAT) else values
