"""Networks whose 3x3 convolutions run by Winograd's method, in kernels; other layers, and the heads, are torch's.

What stands between two convolutions (biases, norms, ReLUs, pooled biases, shortcuts) is done to a board between its
transforms, so that its values go through memory once for each convolution, and a whole trunk is one call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nets import winograd_kernels as kernels
from nets.folding import Convolution, FoldedNet, FoldedResidual, Scale
from nets.pooling import BoardPool2d
from nets.winograd_kernels import FILTER_TRANSFORM, POINTS

Floats = NDArray[np.float32]
Work = TypeVar("Work")
Done = TypeVar("Done")

TILES_AT_ONCE = 64  # rows of a matrix product: enough for its speed, few enough for the caches
PAIRS = np.array(  # pairs of points (row, column) in the order of the kernels' matrices
    [POINTS * i + j for i in range(6) for j in range(6)]
    + [POINTS * i + 6 for i in range(6)]
    + [POINTS * 6 + j for j in range(6)]
    + [POINTS * 6 + 6]
)


class Run:
    """Layers of a folded trunk, one after another, that Winograd's method takes: the steps of the kernel `run`."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self._weights: list[Tensor] = []
        self._size = 0
        first = layers[0].first if isinstance(layers[0], FoldedResidual) else layers[0]
        assert isinstance(first, Convolution), first
        self._steps = [self._step(out_channels=first.weight.shape[1])]
        for layer in layers:
            if isinstance(layer, Convolution):
                self._add_convolution(layer, relu=layer.relu)
            elif isinstance(layer, Scale):
                self._add_norm(layer)
            else:
                assert isinstance(layer, FoldedResidual), layer
                self._steps[-1]["keep"] = True
                if layer.before is not None:
                    self._add_norm(layer.before)
                self._add_convolution(layer.first, relu=True, pool=layer.pool)
                self._add_convolution(layer.second, relu=layer.relu)
                self._steps[-1]["add"] = True
        self.steps = np.concatenate(self._steps).view(np.recarray)
        self.weights: Floats = torch.cat(self._weights).numpy()
        self.channels = int(max(self.steps["in_channels"].max(), self.steps["out_channels"].max()))
        self.out_channels = int(self.steps[-1]["out_channels"])

    def _step(self, **fields: int) -> NDArray[np.void]:
        step = np.zeros(1, kernels.STEP)
        for name in ("filters", "bias", "pool_weight", "pool_bias", "scale", "shift"):
            step[name] = -1
        for name, value in fields.items():
            step[name] = value
        return step

    def _add_convolution(self, layer: Convolution, relu: bool, pool: nn.Linear | None = None) -> None:
        out_channels, in_channels = layer.weight.shape[:2]
        bias = layer.bias.permute(1, 2, 0) if layer.bias.dim() == 3 else layer.bias
        step = self._step(
            in_channels=in_channels,
            out_channels=out_channels,
            filters=self._store(transformed_filters(layer.weight)),
            bias=self._store(bias),
            bias_size=bias.numel(),
            relu=relu,
        )
        if pool is not None:
            step["pool_weight"], step["pool_bias"] = self._store(pool.weight), self._store(pool.bias)
        self._steps.append(step)

    def _add_norm(self, norm: Scale) -> None:
        step = self._steps[-1]
        step["scale"], step["shift"] = self._store(norm.scale), self._store(norm.shift)
        step["relu_after"] = norm.relu

    def _store(self, weights: Tensor) -> int:
        """Append weights and return where they start."""
        start = self._size
        self._weights.append(weights.detach().reshape(-1))
        self._size += weights.numel()
        return start


class Buffers:
    """Room for one thread's numbers; it grows with what is asked for."""

    def __init__(self) -> None:
        self._arrays: dict[str, Floats] = {}

    def get(self, name: str, size: int) -> Floats:
        """Return the array of a name, with room for this many numbers."""
        if name not in self._arrays or self._arrays[name].size < size:
            self._arrays[name] = np.zeros(size, np.float32)
        return self._arrays[name]


class Workers:
    """Some threads, each with its own buffers, that share work."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._buffers = [Buffers() for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def share(self, work: Sequence[Work], do: Callable[[Work, Buffers], Done]) -> list[Done]:
        """Return what `do` returns for each piece of work; the first thread takes the first, and so on in turn."""

        def do_share(thread: int) -> list[Done]:
            return [do(piece, self._buffers[thread]) for piece in work[thread :: self.threads]]

        shares = [do_share(0)] if self._pool is None else list(self._pool.map(do_share, range(self.threads)))
        return [shares[i % self.threads][i // self.threads] for i in range(len(work))]


class WinogradEngine:
    """A folded network on some threads of the CPU."""

    def __init__(self, net: FoldedNet, threads: int) -> None:
        self._workers = Workers(threads)
        self.refresh(net)

    def __call__(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Map planes float32 [B, C, H, W] to logits and values, as the folded network does."""
        x = planes.contiguous(memory_format=torch.channels_last)
        for part in self._parts:
            x = self._run(part, x) if isinstance(part, Run) else part(x)
        logits, values = self._net.heads(x)
        return logits, values

    def refresh(self, net: FoldedNet) -> None:
        """Take over the weights of another network of the same architecture."""
        self._net = net
        self._parts = list(_parts(net.trunk))

    def _run(self, part: Run, x: Tensor) -> Tensor:
        """Run maps [B, C, H, W] through some layers, a few maps through all of them at a time: these stay in caches."""
        maps = x.permute(0, 2, 3, 1).contiguous().numpy()
        out = np.empty((*maps.shape[:3], part.out_channels), np.float32)
        pieces = num_pieces(maps, TILES_AT_ONCE, self._workers.threads)
        work = list(zip(np.array_split(maps, pieces), np.array_split(out, pieces), strict=True))
        self._workers.share(work, lambda piece, buffers: run_piece(part, *piece, buffers))
        return torch.from_numpy(out).permute(0, 3, 1, 2)


def num_pieces(maps: Floats, tiles_at_once: int, threads: int) -> int:
    """Return into how many pieces to split maps [N, H, W, C]: about this many tiles each, as many for each thread."""
    tiles = len(maps) * kernels.tiling(1, *maps.shape[1:3]).counts()[0]
    return max(1, min(len(maps), threads * math.ceil(tiles / tiles_at_once / threads)))


def run_piece(part: Run, maps: Floats, out: Floats, buffers: Buffers) -> None:
    """Run maps [N, H, W, C] through some layers to `out` [N, H, W, C'], both without gaps."""
    tiles = kernels.tiling(*maps.shape[:3])
    width = np.float32((math.sqrt(tiles.rows * tiles.columns) - BoardPool2d.MEAN_WIDTH) * BoardPool2d.WIDTH_SCALE)
    points = kernels.spectrum_size(tiles) * part.channels
    kernels.run(
        part.steps,
        part.weights,
        maps.reshape(-1),
        out.reshape(-1),
        buffers.get("v", points),
        buffers.get("m", points),
        buffers.get("board", kernels.board_size(tiles) * part.channels),
        buffers.get("strip", 7 * (tiles.columns + 7) * part.channels),
        buffers.get("kept", maps.shape[0] * maps.shape[1] * maps.shape[2] * part.channels),
        buffers.get("pooled", 4 * part.channels),
        width,
        tiles,
    )


def takes_winograd(net: FoldedNet) -> bool:
    """Whether any of a network's trunk is for Winograd's method."""
    return any(_fits(layer, first=True) for layer in net.trunk)


def transformed_filters(weight: Tensor) -> Tensor:
    """Return the values of filters [C_out, C_in, 3, 3] at the pairs of points, [49, C_in, C_out]."""
    transform = torch.from_numpy(np.kron(FILTER_TRANSFORM, FILTER_TRANSFORM)[PAIRS])
    values = transform @ weight.detach().double().permute(2, 3, 1, 0).reshape(9, -1)
    return values.float().reshape(len(PAIRS), weight.shape[1], weight.shape[0])


def _parts(trunk: nn.Sequential) -> Iterator[nn.Module | Run]:
    """Yield the layers of a trunk, as runs where Winograd's method takes them."""
    waiting: list[nn.Module] = []
    for layer in trunk:
        ended = bool(waiting) and isinstance(waiting[-1], Scale)  # a norm that stands alone can only be a run's last
        if waiting and (ended or not _fits(layer, first=False)):
            yield Run(waiting)
            waiting = []
        if _fits(layer, first=not waiting):
            waiting.append(layer)
        else:
            yield layer
    if waiting:
        yield Run(waiting)


def _fits(layer: nn.Module, first: bool) -> bool:
    """Whether a layer may be part of a run."""
    if isinstance(layer, Convolution):
        return layer.weight.shape[2:] == (3, 3) and (layer.stride, layer.padding) == (1, 1)
    if isinstance(layer, FoldedResidual):
        return _fits(layer.first, first) and _fits(layer.second, first)
    return isinstance(layer, Scale) and not first
