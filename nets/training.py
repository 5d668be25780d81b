"""Networks made ready for training: their type, their layout in memory, and that of their optimiser's state."""

from __future__ import annotations

import torch
from torch import nn

from nets.precision import resolve_precision
from nets.winograd_training import use_winograd


def prepare_training(model: nn.Module, precision: str, device: torch.device) -> torch.dtype:
    """Move a network of 3x3 convolutions to a device, laid out for fast training; return the type to compute in."""
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    dtype = resolve_precision(precision, device)
    if device.type == "cpu" and dtype == torch.float32:
        use_winograd(model)
    return dtype


@torch.no_grad()
def keep_layout(optimiser: torch.optim.Optimizer) -> None:
    """Lay the state that an optimiser has loaded out in memory as its parameters are, as it was when it was made."""
    for parameter, values in optimiser.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
