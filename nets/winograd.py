"""Networks whose 3x3 convolutions run by Winograd's method: products by torch between transforms by `winograd_kernels`.

The transforms take up whatever stands between two convolutions (biases, norms, ReLUs, pooled biases, shortcuts), so
that a board's values go through memory once for each convolution. Other layers, and the heads, are torch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nets import winograd_kernels as kernels
from nets.folding import Convolution, FoldedNet, FoldedResidual, Scale
from nets.pooling import BoardPool2d
from nets.winograd_kernels import FILTER_TRANSFORM, POINTS, Tiling

Floats = NDArray[np.float32]

TILES_AT_ONCE = 64  # rows of a matrix product: enough for its speed, few enough for the caches
LEAST_TILES = 8  # of a batch: for fewer, two positions of 9x9, torch's convolutions are as fast
NOTHING = np.zeros(0, np.float32)
PAIRS = np.array(  # pairs of points (row, column) in the order of the kernels' matrices
    [POINTS * i + j for i in range(6) for j in range(6)]
    + [POINTS * i + 6 for i in range(6)]
    + [POINTS * 6 + j for j in range(6)]
    + [POINTS * 6 + 6]
)


class After(NamedTuple):
    """A norm that no convolution took up, and whether a ReLU follows."""

    scale: Floats  # [C], empty for no norm
    shift: Floats
    relu: bool


NO_NORM = After(NOTHING, NOTHING, False)


@dataclass
class Step:
    """A convolution and what follows it, up to the next: see `winograd_kernels.leave`."""

    filters: Tensor  # [49, C_in, C_out], U of Lavin & Gray
    bias: Floats  # [C_out], or [H * W * C_out]
    relu: bool
    pool_weight: Floats = field(default_factory=lambda: NOTHING)  # [C_next * 3 P]
    pool_bias: Floats = field(default_factory=lambda: NOTHING)  # [C_next]
    add: bool = False  # the maps kept before
    keep: bool = False  # these for a later step
    after: After = NO_NORM

    @property
    def in_channels(self) -> int:
        return self.filters.shape[1]

    @property
    def out_channels(self) -> int:
        return self.filters.shape[2]


class Run:
    """Layers of a folded trunk, one after another, that Winograd's method takes."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self.before = NO_NORM  # of the run's input
        self.steps: list[Step] = []
        for layer in layers:
            if isinstance(layer, Convolution):
                self.steps.append(_step(layer, relu=layer.relu))
            elif isinstance(layer, Scale):
                self._add_norm(_after(layer))
            else:
                assert isinstance(layer, FoldedResidual), layer
                self._keep()
                if layer.before is not None:
                    self._add_norm(_after(layer.before))
                self.steps.append(_step(layer.first, relu=True, pool=layer.pool))
                self.steps.append(_step(layer.second, relu=layer.relu))
                self.steps[-1].add = True

    def _add_norm(self, norm: After) -> None:
        if self.steps:
            self.steps[-1].after = norm
        else:
            self.before = norm

    def _keep(self) -> None:
        if self.steps:
            self.steps[-1].keep = True


class WinogradEngine:
    """A folded network on one thread of the CPU; its buffers grow with what it is given."""

    def __init__(self, net: FoldedNet) -> None:
        self._net = net
        self._parts = list(_parts(net.trunk))
        self._buffers: dict[str, Floats] = {}

    def __call__(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Map planes float32 [B, C, H, W] to logits and values, as the folded network does."""
        x = planes.contiguous(memory_format=torch.channels_last)
        if len(planes) * kernels.tiling(1, *planes.shape[2:]).counts()[0] < LEAST_TILES:
            x = self._net.trunk(x)
        else:
            for part in self._parts:
                x = self._run(part, x) if isinstance(part, Run) else part(x)
        logits, values = self._net.heads(x)
        return logits, values

    def _run(self, run: Run, x: Tensor) -> Tensor:
        maps = x.permute(0, 2, 3, 1).contiguous()
        count, rows, columns, _ = maps.shape
        out = torch.empty(count, rows, columns, run.steps[-1].out_channels)
        tiles_of_one = kernels.tiling(1, rows, columns).counts()[0]
        parts = max(1, math.ceil(count * tiles_of_one / TILES_AT_ONCE))
        for some, result in zip(maps.tensor_split(parts), out.tensor_split(parts), strict=True):
            if len(some):
                self._run_some(run, some, result)
        return out.permute(0, 3, 1, 2)

    def _run_some(self, run: Run, maps: Tensor, out: Tensor) -> None:
        """Run some maps [N, H, W, C] to `out`, all steps before the next maps: most of it stays in the caches."""
        tiles = kernels.tiling(len(maps), maps.shape[1], maps.shape[2])
        channels = max(max(step.in_channels, step.out_channels) for step in run.steps)
        size = kernels.spectrum_size(tiles) * channels
        v, m = self._buffer("v", size), self._buffer("m", size)
        board = self._buffer("board", kernels.board_size(tiles) * channels)
        strip = self._buffer("strip", 7 * (tiles.columns + 7) * channels)
        kept = self._buffer("kept", maps[..., 0].numel() * channels)
        room, result = self._buffer("pooled", 3 * channels), self._buffer("pooled bias", channels)
        width = np.float32((math.sqrt(tiles.rows * tiles.columns) - BoardPool2d.MEAN_WIDTH) * BoardPool2d.WIDTH_SCALE)

        first = run.steps[0]
        entering = maps.numpy().reshape(-1)
        if any(step.add for step in run.steps):
            kept[: entering.size] = entering
        kernels.enter(entering, first.in_channels, *run.before, v, board, strip, tiles)
        for step, following in zip(run.steps, [*run.steps[1:], None], strict=True):
            _products(v, step.filters, m, tiles)
            next_channels = following.in_channels if following else step.out_channels
            kernels.leave(
                m,
                step.out_channels,
                step.bias,
                (step.pool_weight, step.pool_bias, width, room, result),
                step.add,
                step.relu,
                step.keep,
                tuple(step.after),
                kept,
                NOTHING if following else out.numpy().reshape(-1),
                v,
                next_channels,
                board,
                strip,
                tiles,
            )

    def _buffer(self, name: str, size: int) -> Floats:
        """Return the buffer of a name, with room for so many numbers."""
        if name not in self._buffers or self._buffers[name].size < size:
            self._buffers[name] = np.zeros(size, np.float32)
        return self._buffers[name]


def takes_winograd(net: FoldedNet) -> bool:
    """Whether any of a network's trunk is for Winograd's method."""
    return any(_fits(layer, first=True) for layer in net.trunk)


def transformed_filters(weight: Tensor) -> Tensor:
    """Return the values of filters [C_out, C_in, 3, 3] at the pairs of points, [49, C_in, C_out]."""
    transform = torch.from_numpy(np.kron(FILTER_TRANSFORM, FILTER_TRANSFORM)[PAIRS])
    values = transform @ weight.detach().double().permute(2, 3, 1, 0).reshape(9, -1)
    return values.float().reshape(len(PAIRS), weight.shape[1], weight.shape[0])


def _products(v: Floats, filters: Tensor, m: Floats, tiles: Tiling) -> None:
    """Write M = V U, a matrix product for each pair of points."""
    in_channels, out_channels = filters.shape[1:]
    values, products = torch.from_numpy(v), torch.from_numpy(m)
    pair = row = 0
    for rows, pairs in _groups(tiles):
        inputs = values[row * in_channels : (row + pairs * rows) * in_channels].view(pairs, rows, in_channels)
        outputs = products[row * out_channels : (row + pairs * rows) * out_channels].view(pairs, rows, out_channels)
        torch.bmm(inputs, filters[pair : pair + pairs], out=outputs)
        pair, row = pair + pairs, row + pairs * rows


def _groups(tiles: Tiling) -> Iterator[tuple[int, int]]:
    """Yield (rows of a matrix, how many matrices in a row have as many)."""
    common, column, row, both = tiles.counts()
    yield common, 36
    if column == row:
        yield column, 12
    else:
        yield column, 6
        yield row, 6
    yield both, 1


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


def _step(layer: Convolution, relu: bool, pool: nn.Linear | None = None) -> Step:
    bias = layer.bias.permute(1, 2, 0) if layer.bias.dim() == 3 else layer.bias
    step = Step(transformed_filters(layer.weight), _array(bias), relu)
    if pool is not None:
        step.pool_weight, step.pool_bias = _array(pool.weight), _array(pool.bias)
    return step


def _after(scale: Scale) -> After:
    return After(_array(scale.scale), _array(scale.shift), scale.relu)


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.detach().contiguous().reshape(-1).numpy()
    return array
