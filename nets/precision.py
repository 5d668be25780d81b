"""Where to compute, and which type convolutions compute in."""

from __future__ import annotations

import torch

from games.refusal import RefusedError


def choose_device(name: str) -> torch.device:
    """Return the device that auto (a GPU where there is one), cpu or cuda stands for; ValueError without that GPU."""
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise RefusedError("--device cuda: torch finds no GPU here; --device cpu needs none")
    return torch.device("cuda" if name != "cpu" and has_gpu else "cpu")


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the type that float32, bfloat16 or auto stands for: auto is bfloat16 where the device computes in it."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if fast else torch.float32


def has_matrix_units() -> bool:
    """Whether the processor multiplies matrices of bfloat16 in units of their own (Intel's AMX)."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def computing_in(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """Return the context in which convolutions and products on a device compute in a type.

    Weights are rounded wherever they are used: torch's cache of rounded ones is shared by all threads, with or without
    gradients.
    """
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False)
