"""The arithmetic of a training: parameters stay float32, and autocast computes in half precision where asked."""

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16", "float16"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def dtype_of(precision: Precision) -> torch.dtype:
    """Return the type that matrix products and convolutions run in."""
    return _DTYPES[precision]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return a context in which `device` computes in `precision`; for float32 it changes nothing."""
    # Autocast warns of a float32 target even while it is off, so it is told of bfloat16 there.
    half = torch.bfloat16 if precision == "float32" else dtype_of(precision)
    return torch.autocast(device.type, half, enabled=precision != "float32")


def loss_scaler(device: torch.device, precision: Precision) -> torch.amp.GradScaler:
    """Return what keeps small gradients representable in float16; for other precisions it passes everything through."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")
