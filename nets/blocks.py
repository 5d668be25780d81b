"""The blocks that a trunk is declared with: each is a frozen dataclass that knows its size, field and layer.

Shapes leave out the batch: (C, H, W) is a map, (F,) a vector of features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from nets import layers, pooling
from nets.spec import Count, CountOrZero, Probability, Spec, SpecError

Shape = tuple[int, ...]
Padding = CountOrZero | Literal["same"]  # cells on each side; "same" gives ceil(size / stride) cells


@dataclass(frozen=True)
class BlockSpec(Spec):
    """What every block tells of itself; the defaults are those of an activation."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output; SpecError where the block cannot take the input."""
        return shape

    def window(self, shape: Shape) -> tuple[int | None, int]:
        """Return (cells an axis that one output sees, None for all of them; stride)."""
        return 1, 1

    def any_size(self, shape: Shape) -> bool:
        """Whether the layer built for `shape` takes a map of any other height and width too."""
        return True

    def build(self, shape: Shape) -> nn.Module:
        """Return a new layer for inputs of `shape`."""
        raise NotImplementedError


def map_shape(shape: Shape) -> tuple[int, int, int]:
    """Return the shape of a map; SpecError for anything else."""
    if len(shape) != 3:
        raise SpecError(f"needs a map (channels, height, width), not the shape {shape}")
    return shape[0], shape[1], shape[2]


def output_size(size: int, kernel_size: int, stride: int, padding: int | Literal["same"]) -> int:
    """Return (W - K + 2P)/S + 1, the cells that windows of K cells give; SpecError where it is not whole."""
    if padding == "same":
        return -(-size // stride)
    room = size - kernel_size + 2 * padding
    if room < 0 or room % stride:
        formula = f"({size} - {kernel_size} + 2*{padding})/{stride} + 1 = {room / stride + 1:g}"
        reason = ": the window is larger than its input" if room < 0 else " is not whole"
        raise SpecError(f"output size {formula}{reason}")
    return room // stride + 1


class _Windowed(BlockSpec):
    """What the blocks share that look through square windows on a grid."""

    size: int
    stride: int
    padding: int | Literal["same"]

    def _grid(self, shape: Shape) -> tuple[int, int]:
        """Return the height and the width of the output."""
        _, height, width = map_shape(shape)
        rows = output_size(height, self.size, self.stride, self.padding)
        return rows, output_size(width, self.size, self.stride, self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self._grid(shape))

    def window(self, shape: Shape) -> tuple[int | None, int]:
        return self.size, self.stride

    def _padded(self, make: Callable[[int], nn.Module]) -> nn.Module:
        """Return the layer `make(padding)`, after a layer of its own for a padding that differs by side."""
        if self.padding != "same":
            return make(self.padding)
        if self.stride == 1 and self.size % 2 == 1:
            return make(self.size // 2)
        return nn.Sequential(pooling.SamePad2d(self.size, self.stride), make(0))


@dataclass(frozen=True)
class Conv(_Windowed):
    """Convolution."""

    kind: ClassVar[str] = "conv"
    filters: Count
    size: Count
    stride: Count = 1
    padding: Padding = 0
    bias: bool = True  # a norm that follows makes it redundant
    init: Literal["fan_in", "he"] = "fan_in"  # torch's own, or He's for deep trunks without norms

    def output_shape(self, shape: Shape) -> Shape:
        return (self.filters, *self._grid(shape))

    def build(self, shape: Shape) -> nn.Module:
        def make(padding: int) -> nn.Module:
            conv = nn.Conv2d(shape[0], self.filters, self.size, self.stride, padding, bias=self.bias)
            if self.init == "he":
                layers.he_normal_(conv.weight, conv.bias, shape[0] * self.size**2)
            return conv

        return self._padded(make)


@dataclass(frozen=True)
class SymmetricConv(BlockSpec):
    """Convolution of stride 1 with filters equal to their 8 mirror images (Clark & Storkey 2014)."""

    kind: ClassVar[str] = "symmetric_conv"
    filters: Count
    size: Count
    padding: CountOrZero = 0

    def output_shape(self, shape: Shape) -> Shape:
        sizes = [output_size(size, self.size, 1, self.padding) for size in map_shape(shape)[1:]]
        return (self.filters, *sizes)

    def window(self, shape: Shape) -> tuple[int | None, int]:
        return self.size, 1

    def build(self, shape: Shape) -> nn.Module:
        return layers.SymmetricConv2d(shape[0], self.filters, self.size, self.padding)


@dataclass(frozen=True)
class LocalConv(_Windowed):
    """Locally connected layer: a convolution's windows, each with weights of its own."""

    kind: ClassVar[str] = "local_conv"
    filters: Count
    size: Count
    stride: Count = 1
    padding: CountOrZero = 0

    def output_shape(self, shape: Shape) -> Shape:
        return (self.filters, *self._grid(shape))

    def any_size(self, shape: Shape) -> bool:
        return False

    def build(self, shape: Shape) -> nn.Module:
        channels, height, width = map_shape(shape)
        return layers.LocallyConnected2d(channels, self.filters, (height, width), self.size, self.stride, self.padding)


@dataclass(frozen=True)
class Windows(BlockSpec):
    """Locally connected layer over an explicit list of windows, each the inputs that one unit sees."""

    kind: ClassVar[str] = "windows"
    windows: tuple[tuple[CountOrZero, ...], ...]

    def output_shape(self, shape: Shape) -> Shape:
        last = max((max(window, default=-1) for window in self.windows), default=-1)
        if len(shape) != 1 or last >= shape[0] or not all(self.windows):
            raise SpecError(f"needs windows that are not empty over at least {last + 1} features, not {shape}")
        return (len(self.windows),)

    def window(self, shape: Shape) -> tuple[int | None, int]:
        return None, 1

    def build(self, shape: Shape) -> nn.Module:
        return layers.WindowLinear(shape[0], self.windows)


class _Pool(_Windowed):
    """What the pooling blocks share."""

    def output_shape(self, shape: Shape) -> Shape:
        if self.padding != "same" and 2 * self.padding > self.size:
            raise SpecError(f"padding {self.padding} is more than half of the window of {self.size}")
        return super().output_shape(shape)


@dataclass(frozen=True)
class MaxPool(_Pool):
    """The maximum of each window."""

    kind: ClassVar[str] = "max_pool"
    size: Count
    stride: Count
    padding: Padding = 0

    def build(self, shape: Shape) -> nn.Module:
        if self.padding == "same":
            return pooling.SameMaxPool2d(self.size, self.stride)
        return nn.MaxPool2d(self.size, self.stride, self.padding)


@dataclass(frozen=True)
class AvgPool(_Pool):
    """The mean of each window; padding counts as zeros."""

    kind: ClassVar[str] = "avg_pool"
    size: Count
    stride: Count
    padding: Padding = 0

    def build(self, shape: Shape) -> nn.Module:
        return self._padded(lambda padding: nn.AvgPool2d(self.size, self.stride, padding))


@dataclass(frozen=True)
class L2Pool(_Pool):
    """The root of the sum of squares of each window."""

    kind: ClassVar[str] = "l2_pool"
    size: Count
    stride: Count
    padding: Padding = 0

    def build(self, shape: Shape) -> nn.Module:
        return self._padded(lambda padding: pooling.L2Pool2d(self.size, self.stride, padding))


@dataclass(frozen=True)
class StochasticPool(_Pool):
    """One activation of each window, drawn by its size (Zeiler & Fergus 2013)."""

    kind: ClassVar[str] = "stochastic_pool"
    size: Count
    stride: Count
    padding: Padding = 0

    def build(self, shape: Shape) -> nn.Module:
        return self._padded(lambda padding: pooling.StochasticPool2d(self.size, self.stride, padding))


@dataclass(frozen=True)
class GlobalPool(BlockSpec):
    """The mean and the maximum of each channel: a map of any size becomes a vector."""

    kind: ClassVar[str] = "global_pool"

    def output_shape(self, shape: Shape) -> Shape:
        return (2 * map_shape(shape)[0],)

    def window(self, shape: Shape) -> tuple[int | None, int]:
        return None, 1

    def build(self, shape: Shape) -> nn.Module:
        return pooling.GlobalPool2d()


@dataclass(frozen=True)
class RoiPool(BlockSpec):
    """Max-pool fixed regions, each (top, left, bottom, right), to `output_size` cells an axis (Girshick 2015).

    One region that is the whole map makes this adaptive max pooling.
    """

    kind: ClassVar[str] = "roi_pool"
    regions: tuple[tuple[CountOrZero, CountOrZero, CountOrZero, CountOrZero], ...]
    output_size: Count

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = map_shape(shape)
        for top, left, bottom, right in self.regions:
            if not (top < bottom <= height and left < right <= width):
                raise SpecError(f"region {(top, left, bottom, right)} is no part of a map {height}x{width}")
        if not self.regions:
            raise SpecError("needs at least one region")
        return (len(self.regions) * channels, self.output_size, self.output_size)

    def window(self, shape: Shape) -> tuple[int | None, int]:
        return None, 1

    def any_size(self, shape: Shape) -> bool:
        return False

    def build(self, shape: Shape) -> nn.Module:
        return pooling.RoiPool2d(self.regions, self.output_size)


@dataclass(frozen=True)
class Relu(BlockSpec):
    """max(x, 0)."""

    kind: ClassVar[str] = "relu"

    def build(self, shape: Shape) -> nn.Module:
        return nn.ReLU()


@dataclass(frozen=True)
class Tanh(BlockSpec):
    """tanh(x)."""

    kind: ClassVar[str] = "tanh"

    def build(self, shape: Shape) -> nn.Module:
        return nn.Tanh()


@dataclass(frozen=True)
class AbsTanh(BlockSpec):
    """|tanh(x)|."""

    kind: ClassVar[str] = "abs_tanh"

    def build(self, shape: Shape) -> nn.Module:
        return layers.AbsTanh()


@dataclass(frozen=True)
class Sigmoid(BlockSpec):
    """1 / (1 + exp(-x))."""

    kind: ClassVar[str] = "sigmoid"

    def build(self, shape: Shape) -> nn.Module:
        return nn.Sigmoid()


class _Dense(BlockSpec):
    """What the fully connected blocks share; a map is flattened first."""

    features: int

    def output_shape(self, shape: Shape) -> Shape:
        return (self.features,)

    def window(self, shape: Shape) -> tuple[int | None, int]:
        return None, 1

    def any_size(self, shape: Shape) -> bool:
        return len(shape) == 1


@dataclass(frozen=True)
class Linear(_Dense):
    """Fully connected layer."""

    kind: ClassVar[str] = "linear"
    features: Count

    def build(self, shape: Shape) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), self.features))


@dataclass(frozen=True)
class DropConnect(_Dense):
    """Fully connected layer that drops weights in training (Wan et al. 2013)."""

    kind: ClassVar[str] = "drop_connect"
    features: Count
    probability: Probability = 0.5  # of dropping a weight

    def build(self, shape: Shape) -> nn.Module:
        linear = layers.DropConnectLinear(math.prod(shape), self.features, self.probability)
        return nn.Sequential(nn.Flatten(), linear)


@dataclass(frozen=True)
class Dropout(BlockSpec):
    """Drop activations in training (Hinton et al. 2012)."""

    kind: ClassVar[str] = "dropout"
    probability: Probability = 0.5  # of dropping an activation

    def build(self, shape: Shape) -> nn.Module:
        return nn.Dropout(self.probability)


@dataclass(frozen=True)
class Norm(BlockSpec):
    """Normalisation; the types are those of `layers.make_norm`."""

    kind: ClassVar[str] = "norm"
    type: layers.NormType = "batch"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) == 1 and self.type not in ("batch", "layer"):
            raise SpecError(f"type {self.type!r} needs a map, not the shape {shape}")
        return shape

    def window(self, shape: Shape) -> tuple[int | None, int]:
        return (None if self.type == "layer" else 1), 1

    def build(self, shape: Shape) -> nn.Module:
        if len(shape) == 1:
            return nn.LayerNorm(shape[0]) if self.type == "layer" else nn.BatchNorm1d(shape[0])
        return layers.make_norm(self.type, shape[0])


@dataclass(frozen=True)
class Residual(BlockSpec):
    """Two convolutions and a shortcut, see `layers.ResidualBlock`."""

    kind: ClassVar[str] = "residual"
    size: Count = 3
    order: Literal["pre", "post"] = "pre"
    norm: layers.BlockNorm = "batch"
    pooled_channels: CountOrZero = 0  # pooled over the board to a bias of the others; 0 for none

    def output_shape(self, shape: Shape) -> Shape:
        channels, _, _ = map_shape(shape)
        if self.size % 2 == 0:
            raise SpecError(f"size {self.size} is even, which would change the map's size")
        if self.pooled_channels >= channels:
            raise SpecError(f"pooled_channels {self.pooled_channels} leaves none of the {channels} channels")
        return shape

    def window(self, shape: Shape) -> tuple[int | None, int]:
        whole = self.pooled_channels > 0 or self.norm == "layer"
        return (None if whole else 2 * self.size - 1), 1

    def build(self, shape: Shape) -> nn.Module:
        return layers.ResidualBlock(shape[0], self.size, self.order, self.norm, self.pooled_channels)


@dataclass(frozen=True)
class PositionBias(BlockSpec):
    """A bias for every channel at every point (Maddison et al. 2014)."""

    kind: ClassVar[str] = "position_bias"

    def output_shape(self, shape: Shape) -> Shape:
        return map_shape(shape)

    def any_size(self, shape: Shape) -> bool:
        return False

    def build(self, shape: Shape) -> nn.Module:
        return layers.PositionBias(*map_shape(shape))


@dataclass(frozen=True)
class Border(BlockSpec):
    """Pad with zeros and append a plane of ones on the padding (Clark & Storkey 2014)."""

    kind: ClassVar[str] = "border"
    width: Count

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = map_shape(shape)
        return channels + 1, height + 2 * self.width, width + 2 * self.width

    def build(self, shape: Shape) -> nn.Module:
        return layers.BorderPlane(self.width)


Block = (
    Conv
    | SymmetricConv
    | LocalConv
    | Windows
    | MaxPool
    | AvgPool
    | L2Pool
    | StochasticPool
    | GlobalPool
    | RoiPool
    | Relu
    | Tanh
    | AbsTanh
    | Sigmoid
    | Linear
    | DropConnect
    | Dropout
    | Norm
    | Residual
    | PositionBias
    | Border
)
