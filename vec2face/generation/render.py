"""Rendering: draws in, 8-bit pixels out, in batches of one fixed size."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vec2face.config.generation import Compute
from vec2face.errors import ConfigError
from vec2face.generation.noise import Draws
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.generator.lora import set_adapter_strength
from vec2face.models.pixels import to_pixels


@dataclass(frozen=True)
class Rendered:
    """A rendered batch.

    Attributes:
        draws: what it was rendered from.
        pixels: uint8 `(B, 112, 112, 3)` RGB.
        finite: bool `(B,)`; False where the network gave NaN or infinity, and the pixels mean nothing.
    """

    draws: Draws
    pixels: np.ndarray
    finite: np.ndarray


class Renderer:
    """Holds a generator ready to render.

    Every batch has the plan's size, the last one filled up with copies, so that an image is computed by the same
    kernels wherever its batch ends. bfloat16 is autocast: masks and draws stay float32 and only the network's products
    are rounded; on CPUs with bfloat16 instructions it is about twice as fast.

    Args:
        generator: a `Vec2FaceGenerator`; it is moved to the device and to eval mode.
        compute: precision, batch size and device of the plan.
        mask_ratio_min: share of tokens dropped from the encoder.
        adapter_strength: factor on the generator's low-rank adapters.
        device_index: which GPU, when there are several.

    Raises:
        ConfigError: the device is "cuda" and there is none.
        ContractError: another strength than 1 is asked of a generator without adapters.
    """

    def __init__(
        self,
        *,
        generator: Vec2FaceGenerator,
        compute: Compute,
        mask_ratio_min: float,
        adapter_strength: float = 1.0,
        device_index: int = 0,
    ) -> None:
        require_device(compute.device)
        if compute.device == "cuda":
            self.device = torch.device("cuda", device_index % torch.cuda.device_count())
        else:
            self.device = torch.device("cpu")
        self.generator = generator.eval().to(device=self.device, memory_format=torch.channels_last)
        set_adapter_strength(self.generator, adapter_strength)
        self.batch_size = compute.batch_size
        self.mask_ratio_min = mask_ratio_min
        self._bfloat16 = compute.arithmetic == "bfloat16"

    def render(self, batches: Iterable[Draws]) -> Iterator[Rendered]:
        """Render batches in order. One is always under way while the one before it is used, for the GPU's sake."""
        under_way: tuple[Draws, Tensor, Tensor] | None = None
        for draws in batches:
            started = (draws, *self._start(draws))
            if under_way is not None:
                yield _finish(*under_way)
            under_way = started
        if under_way is not None:
            yield _finish(*under_way)

    @torch.inference_mode()
    def _start(self, draws: Draws) -> tuple[Tensor, Tensor]:
        try:
            image = self._image(draws)
        except (RuntimeError, MemoryError) as error:
            if not _ran_out_of_memory(error):
                raise
            owner = "this machine" if self.device.type == "cpu" else "the GPU"
            raise ConfigError(
                f"{owner} has too little memory for batches of {self.batch_size} images; lower --batch-size. It is "
                "part of the plan, so a dataset with finished shards is begun anew in another folder."
            ) from None
        return to_pixels(image), torch.isfinite(image).flatten(1).all(dim=1)

    def _image(self, draws: Draws) -> Tensor:
        with (
            torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            image: Tensor = self.generator(
                self._padded(draws.features),
                mask_noise=self._padded(draws.mask_noise),
                mask_rate=self._padded(draws.mask_rate),
                mask_ratio_min=self.mask_ratio_min,
                landmarks=self._landmarks(draws.landmarks) if draws.landmarks.shape[1] else None,
                appearance=self._padded(draws.appearance) if draws.appearance.shape[1] else None,
            ).image[: len(draws)]
        return image

    def _landmarks(self, pictures: np.ndarray) -> Tensor:
        """Map uint8 `(B, H, W, 3)` to `(B, 3, H, W)` in [-1, 1]."""
        return self._padded(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1

    def _padded(self, rows: np.ndarray) -> Tensor:
        missing = self.batch_size - len(rows)
        filled = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows
        return torch.from_numpy(filled).to(self.device)


def device_is_here(device: str) -> bool:
    """Tell whether this machine has the device, "cpu" or "cuda"."""
    return device == "cpu" or torch.cuda.is_available()


def require_device(device: str) -> None:
    """Raise `ConfigError` unless images can be rendered on the device, "cpu" or "cuda"."""
    if not device_is_here(device):
        raise ConfigError("compute.device is cuda, but no CUDA GPU is visible; use cpu, or mend the driver.")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Use `count` CPU threads inside a torch operation, and restore the former number after."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ran_out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a plain RuntimeError, told apart by its text alone.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _finish(draws: Draws, pixels: Tensor, finite: Tensor) -> Rendered:
    return Rendered(draws, pixels.cpu().numpy(), finite.cpu().numpy())
