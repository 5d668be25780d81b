"""Networks in training: their type and layout in memory, the average of their weights, and what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nets.precision import resolve_precision
from nets.winograd_training import use_winograd


def prepare_training(model: nn.Module, precision: str, device: torch.device) -> torch.dtype:
    """Move a network of 3x3 convolutions to a device, laid out for fast training; return the type to compute in."""
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    dtype = resolve_precision(precision, device)
    if device.type == "cpu" and dtype == torch.float32:
        use_winograd(model)
    return dtype


def compute_alike(threads: int, device: torch.device) -> None:
    """Have torch compute with so many threads, and on a processor always the same bits."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device.type == "cpu", warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads such


def average_decay(most: float, updates: int) -> float:
    """Return the decay of a running average of weights at its next update: early on it is young and moves faster."""
    return min(most, (1 + updates) / (10 + updates))


def training_arrays(
    modules: Mapping[str, nn.Module | None], optimiser: torch.optim.Optimizer
) -> dict[str, NDArray[Any]]:
    """Return the state of modules, by their names, and of an optimiser as arrays; see `load_training_arrays`."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        if module is not None:
            tensors |= {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items() if value is not None}
    return {name: as_array(tensor) for name, tensor in tensors.items()}


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array in C order; numpy has no bfloat16, which becomes float32."""
    exact = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return np.ascontiguousarray(exact.numpy(force=True))


def load_training_arrays(
    modules: Mapping[str, nn.Module | None], optimiser: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Give modules and their optimiser the state that `training_arrays` returned; other arrays are left alone."""
    parts = parts_of(arrays)
    for name, module in modules.items():
        if module is not None:
            module.load_state_dict(as_tensors(parts[name]))
    states = parts_of(parts.get("optimiser", {}))
    state = {int(number): as_tensors(values) for number, values in states.items()}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    keep_layout(optimiser)


def parts_of(arrays: Mapping[str, NDArray[Any]], separator: str = ".") -> dict[str, dict[str, NDArray[Any]]]:
    """Return arrays that are named PART.NAME by part and name; those without a part are left out."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        part, found, rest = name.partition(separator)
        if found:
            parts.setdefault(part, {})[rest] = array
    return parts


def as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return arrays as tensors that share their memory."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@torch.no_grad()
def keep_layout(optimiser: torch.optim.Optimizer) -> None:
    """Lay the state that an optimiser has loaded out in memory as its parameters are, as it was when it was made."""
    for parameter, values in optimiser.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
