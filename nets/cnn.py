"""Trunks: a declarative list of blocks becomes a module with computed output sizes and receptive fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from nets.blocks import Block, Shape
from nets.spec import SpecError


class ReceptiveField(NamedTuple):
    """What one output of a layer sees of the trunk's input, in cells an axis."""

    size: int | None  # None: all of it, or a region that does not move with the output
    stride: int  # between the fields of two outputs side by side


def output_shapes(blocks: Sequence[Block], input_shape: Shape) -> tuple[Shape, ...]:
    """Return the shape after each block, (C, H, W) or (F,).

    Raises SpecError that names the layer, counted from 0, and its kind where a size is not whole or does not
    fit.
    """
    shapes = []
    shape = input_shape
    for index, block in enumerate(blocks):
        try:
            shape = block.output_shape(shape)
        except SpecError as error:
            raise SpecError(f"trunk layer {index} ({block.kind}): {error}") from None
        shapes.append(shape)
    return tuple(shapes)


def receptive_fields(blocks: Sequence[Block], input_shape: Shape) -> tuple[ReceptiveField, ...]:
    """Return what an output of each block sees; with norms in evaluation mode."""
    fields = []
    size: int | None = 1
    stride = 1
    inputs = (input_shape, *output_shapes(blocks, input_shape))
    for block, shape in zip(blocks, inputs, strict=False):
        window, step = block.window(shape)
        size = None if size is None or window is None else size + (window - 1) * stride
        stride *= step
        fields.append(ReceptiveField(size, stride))
    return tuple(fields)


class Trunk(nn.Module):
    """The blocks of a network up to its heads.

    A trunk whose every block takes maps of any size is fully convolutional: it plays on any board, whatever
    `input_shape` it was made with.
    """

    def __init__(self, blocks: Sequence[Block], input_shape: Shape) -> None:
        super().__init__()
        shapes = output_shapes(blocks, input_shape)
        inputs = (input_shape, *shapes)
        self.blocks = tuple(blocks)
        self.input_shape = input_shape
        self.output_shape = inputs[-1]
        self.any_size = all(block.any_size(shape) for block, shape in zip(blocks, inputs, strict=False))
        self.layers = nn.Sequential(*(block.build(shape) for block, shape in zip(blocks, inputs, strict=False)))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, *input_shape] to [B, *output_shape]; other heights and widths where `any_size`."""
        given, expected = tuple(x.shape[1:]), self.input_shape
        if given != expected and not (self.any_size and len(given) == len(expected) and given[0] == expected[0]):
            raise ValueError(f"this trunk takes inputs of shape {expected}, not {given}")
        out: Tensor = self.layers(x)
        return out

    def of_scaled(self, x: Tensor, scale: float) -> Tensor:
        """Return what `forward` does of scale * x, bytes or floats.

        A first convolution's filters, which are fewer, take the scale.
        """
        first, *others = self.layers
        out: Tensor
        if not isinstance(first, nn.Conv2d) or first._forward_hooks:
            out = self(as_float(x) * scale)
            return out
        if not getattr(first, "takes_bytes", False):
            x = as_float(x)
        out = first._conv_forward(x, first.weight * scale, first.bias)
        for layer in others:
            out = layer(out)
        return out


def as_float(x: Tensor) -> Tensor:
    """Return integers and booleans as float32, floats of any width as they are."""
    return x if x.is_floating_point() else x.float()
