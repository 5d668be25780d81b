"""Training on the CPU with 3x3 convolutions by Winograd's method, forward and backward, in the place of torch's.

`use_winograd` changes how a model computes, not what it is: parameters, their names and its files stay as they are. A
step takes 1.8 times less CPU time with resnet-6x96 on 19x19, 1.4 with resnet-6x64; on 9x9 1.6 and 1.2. Gradients are
those of torch but for rounding, which is some ten times coarser (1e-6 to 1e-5 of their size).
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nets import winograd_gradients
from nets import winograd_kernels as kernels
from nets.folding import Convolution
from nets.winograd import (
    PAIRS,
    TILES_AT_ONCE,
    Buffers,
    Floats,
    Run,
    Workers,
    num_pieces,
    run_piece,
)

TILES_OF_A_GRADIENT = 128  # rows of its products' inner dimension: the sums are read and written once for so many
FILTER_TRANSFORM = torch.from_numpy(np.kron(kernels.FILTER_TRANSFORM, kernels.FILTER_TRANSFORM)[PAIRS]).float()

_of_thread = threading.local()


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 1 and padding 1; what is not float32 on the CPU is left to torch."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C_out, H, W], channels last."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or self.weight.dtype != torch.float32:
            return super().forward(x)
        out: Tensor = _Convolve.apply(x, self.weight)
        return out if self.bias is None else out + self.bias[:, None, None]


def use_winograd(model: nn.Module) -> int:
    """Let a model's 3x3 convolutions of stride 1 run by Winograd's method; return how many there are."""
    count = 0
    for module in model.modules():
        if type(module) is nn.Conv2d and _fits(module):
            module.__class__ = WinogradConv2d  # its parameters and its name stay
            count += 1
    return count


def _fits(layer: nn.Conv2d) -> bool:
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return plain and (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (1, 1), (1, 1))


class _Convolve(torch.autograd.Function):
    """The convolution of maps [B, C_in, H, W] with filters [C_out, C_in, 3, 3]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        dx = _convolve(dy, weight.flip(2, 3).transpose(0, 1)) if ctx.needs_input_grad[0] else None
        return dx, _filter_gradient(x, dy) if ctx.needs_input_grad[1] else None


def _workers() -> Workers:
    """Return workers for as many threads as torch uses, kept for this thread's next convolution."""
    threads = torch.get_num_threads()
    found: Workers | None = getattr(_of_thread, "workers", None)
    if found is None or found.threads != threads:
        found = _of_thread.workers = Workers(threads)
    return found


def _arrays(x: Tensor) -> Floats:
    """Return maps [B, C, H, W] as an array [B, H, W, C]."""
    array: Floats = x.detach().permute(0, 2, 3, 1).contiguous().numpy()
    return array


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    run = Run([Convolution(weight, weight.new_zeros(len(weight)), padding=1)])
    maps = _arrays(x)
    out = torch.empty(*maps.shape[:3], len(weight))
    workers = _workers()
    pieces = num_pieces(maps, TILES_AT_ONCE, workers.threads)
    work = list(zip(np.array_split(maps, pieces), np.array_split(out.numpy(), pieces), strict=True))
    workers.share(work, lambda piece, buffers: run_piece(run, *piece, buffers))
    return out.permute(0, 3, 1, 2)


def _filter_gradient(x: Tensor, dy: Tensor) -> Tensor:
    """Return the gradient of the filters, [C_out, C_in, 3, 3], of inputs x and the outputs' gradients dy."""
    inputs, outputs = _arrays(x), _arrays(dy)
    workers = _workers()
    shares = list(zip(np.array_split(inputs, workers.threads), np.array_split(outputs, workers.threads), strict=True))
    gradients = workers.share(shares, lambda share, buffers: _share_of_gradient(*share, buffers))
    total = torch.from_numpy(np.sum(gradients, axis=0) if len(gradients) > 1 else gradients[0])
    in_channels, out_channels = inputs.shape[3], outputs.shape[3]
    filters = FILTER_TRANSFORM.T @ total.reshape(len(PAIRS), -1)
    return filters.reshape(3, 3, in_channels, out_channels).permute(3, 2, 0, 1)


def _share_of_gradient(x: Floats, dy: Floats, buffers: Buffers) -> Floats:
    """Return the gradient of the transformed filters, flat, of some maps [N, H, W, C]."""
    in_channels, out_channels = x.shape[3], dy.shape[3]
    largest = max(in_channels, out_channels)
    gradient = np.zeros(len(PAIRS) * in_channels * out_channels, np.float32)
    pieces = num_pieces(x, TILES_OF_A_GRADIENT, 1)
    for some_x, some_dy in zip(np.array_split(x, pieces), np.array_split(dy, pieces), strict=True):
        tiles = kernels.tiling(*some_x.shape[:3])
        points = kernels.spectrum_size(tiles)
        winograd_gradients.add_filter_gradient(
            some_x.reshape(-1),
            in_channels,
            some_dy.reshape(-1),
            out_channels,
            gradient,
            buffers.get("v", points * in_channels),
            buffers.get("m", points * out_channels),
            buffers.get("board", kernels.board_size(tiles) * largest),
            buffers.get("strip", 7 * (tiles.columns + 7) * largest),
            tiles,
        )
    return gradient
