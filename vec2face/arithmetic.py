"""What the precision `auto` stands for on a device, in datasets and trainings alike.

bfloat16 pays where a device has instructions for it, and is many times slower than float32 where it has not. Whoever
plans a dataset or begins a training settles it once, and what is written down is what was chosen.
"""

import sys
from functools import cache
from pathlib import Path

import torch

from vec2face.config.generation import GenerateRecipe
from vec2face.errors import ConfigError

# Instructions that multiply bfloat16 numbers, as torch names them; on x86 and ARM, Linux has the same names for them.
_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_CPUINFO = Path("/proc/cpuinfo")
_AMPERE = (8, 0)  # the first CUDA GPUs that compute bfloat16; AMD's have higher numbers


def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether a device computes bfloat16 natively; False where that is not known.

    Raises:
        RuntimeError: it is a CUDA device that is not there.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _AMPERE
    # On macOS torch's CPU kernels make no use of the instructions, and mps is not known to be faster by them.
    return device.type == "cpu" and sys.platform != "darwin" and not _INSTRUCTIONS.isdisjoint(_cpu_features())


def settled_recipe(recipe: GenerateRecipe) -> GenerateRecipe:
    """Return the recipe with the precision that `compute.dtype: auto` stands for on this machine's device.

    Raises:
        ConfigError: this machine does not have the recipe's device.
    """
    compute = recipe.compute
    if compute.dtype != "auto":
        return recipe
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "compute.dtype is auto, which is decided where a dataset is planned, but no CUDA GPU is visible here; say "
            "--dtype bfloat16 or float32."
        )
    dtype = "bfloat16" if computes_bfloat16(torch.device(compute.device)) else "float32"
    return recipe.model_copy(update={"compute": compute.model_copy(update={"dtype": dtype})})


def slowness(dtype: str, device: torch.device, *, better: str) -> str | None:
    """Return a line for who asks a CPU without instructions for it to compute in bfloat16; None for anybody else.

    Args:
        dtype: the precision that was asked for.
        device: where it is computed.
        better: what to say instead, such as "--dtype auto".
    """
    if dtype != "bfloat16" or device.type != "cpu" or computes_bfloat16(device):
        return None
    return (
        f"bfloat16 is slow on this CPU, which has no instructions for it; float32 would be faster ({better} chooses it)"
    )


@cache
def _cpu_features() -> frozenset[str]:
    """Return what the CPU can do, as torch tells it, or Linux beside an older torch; nothing where neither does."""
    if hasattr(torch.cpu, "get_capabilities"):
        try:
            return frozenset(name for name, there in torch.cpu.get_capabilities().items() if there is True)
        except RuntimeError:
            pass
    try:
        return frozenset(_CPUINFO.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return frozenset()
