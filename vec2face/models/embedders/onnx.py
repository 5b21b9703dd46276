"""Any third-party ONNX recogniser as a face embedder, through onnxruntime."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from vec2face.contracts import InputContract
from vec2face.errors import ContractError, WeightsError
from vec2face.models.embedders.base import FaceEmbedder

# Pixels that ArcFace recognisers take: (x - 127.5) / 127.5 of RGB pixels in [0, 255].
ARCFACE_CONTRACT = InputContract()
# A graph that normalises by itself takes RGB pixels in [0, 255].
RAW_PIXEL_CONTRACT = InputContract(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))

_LEADING_NODES = 8


class OnnxEmbedder(FaceEmbedder):
    """A face embedder stored as ONNX.

    The graph must take one `(N, 3, S, S)` float32 image batch and give one `(N, D)` array. A graph with a fixed batch
    is fed in blocks of that size, the last one padded.

    Args:
        path: the `.onnx` file; external data is read from beside it.
        contract: the pixels the network was trained on. None reads an ArcFace recogniser, as insightface's model zoo
            distributes them: pixels in [-1, 1], or in [0, 255] where the graph begins with a subtraction and a
            multiplication of its own; `contract_assumed` is then true.
        name: the feature space's name; the file's stem by default.
        providers: onnxruntime execution providers, in order of preference.

    Raises:
        WeightsError: the file is missing, damaged, or is not such a network.
    """

    def __init__(
        self,
        path: Path,
        *,
        contract: InputContract | None = None,
        name: str | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.path = Path(path)
        self.name = name or self.path.stem
        if not self.path.is_file():
            raise WeightsError(f"there is no ONNX file {self.path}; check the path.")
        unknown = sorted(set(providers) - set(onnxruntime.get_available_providers()))
        if unknown:
            raise WeightsError(
                f"onnxruntime has no {', '.join(unknown)} here; available: "
                f"{', '.join(onnxruntime.get_available_providers())}."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(self.path), options, providers=list(providers))
        except Exception as error:  # onnxruntime's errors share no public base class
            raise WeightsError(f"{self.path} is not a readable ONNX network: {_first_line(error)}") from None
        self._input, self._output, size, self._batch = self._read_signature()
        self.contract, self.contract_assumed = contract or arcface_contract(self.path), contract is None
        if contract is None and size is not None and size != self.contract.size:
            raise WeightsError(
                f"{self.path} takes {size}x{size} pixels; say what it was trained on with an explicit contract."
            )
        if size is not None and size != self.contract.size:
            raise ContractError(f"{self.path} takes {size}x{size} pixels, but its contract says {self.contract.size}.")
        self.dim = self._read_width()

    def _read_signature(self) -> tuple[str, str, int | None, int | None]:
        """Return the input's and output's names, the image side (None if free) and the batch (None if free)."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise WeightsError(
                f"{self.path} has {len(inputs)} inputs and {len(outputs)} outputs; a recogniser has one of each."
            )
        # A free dimension is a name or None.
        batch, channels, height, width = (inputs[0].shape + [None] * 4)[:4]
        square = height == width or not (isinstance(height, int) or isinstance(width, int))
        if inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4 or channels != 3 or not square:
            raise WeightsError(
                f"{self.path} takes {inputs[0].type} of shape {inputs[0].shape}; "
                "a recogniser takes float32 images (N, 3, S, S)."
            )
        size = height if isinstance(height, int) else None
        return inputs[0].name, outputs[0].name, size, batch if isinstance(batch, int) else None

    def _read_width(self) -> int:
        """Return the embedding's width, from the graph or, where it does not say, from one run."""
        shape = self._session.get_outputs()[0].shape
        if len(shape) == 2 and isinstance(shape[1], int):
            return int(shape[1])
        side = self.contract.size
        array = self._run(np.zeros((self._batch or 1, 3, side, side), np.float32))
        if array.ndim != 2:
            raise WeightsError(f"{self.path} gives an array of shape {array.shape}; a recogniser gives (N, D).")
        return int(array.shape[1])

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(self._session.run([self._output], {self._input: pixels})[0])
        except Exception as error:  # as above
            raise WeightsError(f"{self.path} failed on images {pixels.shape}: {_first_line(error)}") from None

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `(B, 3, S, S)` pixels in the contract to raw `(B, D)` embeddings, on the CPU and without gradient."""
        array = np.ascontiguousarray(pixels.detach().to("cpu", torch.float32).numpy())
        if not len(array):
            return torch.empty(0, self.dim)
        if self._batch is None:
            return torch.from_numpy(self._run(array))
        blocks = []
        for start in range(0, len(array), self._batch):
            block = array[start : start + self._batch]
            padding = np.zeros((self._batch - len(block), *block.shape[1:]), np.float32)
            blocks.append(self._run(np.concatenate([block, padding]))[: len(block)])
        return torch.from_numpy(np.concatenate(blocks))

    __call__ = forward

    def forward_contract(self, pixels: Tensor) -> Tensor:
        return self.forward(pixels)


def arcface_contract(path: Path) -> InputContract:
    """Tell which pixels an ArcFace recogniser takes, by the rule of insightface's model zoo.

    A graph with both a subtraction and a multiplication among its first eight nodes (by node name, as old MXNet exports
    have them) normalises by itself and takes [0, 255]; any other takes [-1, 1].

    Raises:
        WeightsError: the file is not ONNX.
    """
    nodes = _read_graph(path).node[:_LEADING_NODES]
    subtracts = any(node.name.startswith(("Sub", "_minus")) for node in nodes)
    multiplies = any(node.name.startswith(("Mul", "_mul")) for node in nodes)
    return RAW_PIXEL_CONTRACT if subtracts and multiplies else ARCFACE_CONTRACT


def external_files(path: Path) -> list[Path]:
    """Return the files beside an ONNX file that hold parts of its weights, in order of name.

    Raises:
        WeightsError: the file is not ONNX.
    """
    names = {
        entry.value
        for tensor in _read_graph(path).initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path.parent / name for name in sorted(names)]


def _read_graph(path: Path) -> onnx.GraphProto:
    try:
        return onnx.load(str(path), load_external_data=False).graph
    except Exception as error:  # protobuf's decode error is not part of onnx's interface
        raise WeightsError(f"{path} is not a readable ONNX network: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
