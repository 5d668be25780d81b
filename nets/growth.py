"""Grow a residual network: more filters, more blocks, and at first the same outputs for every input.

After Chen, Goodfellow & Shlens, "Net2Net", 2016, with zeros where they copy units: a new unit starts at random, and
what was there before reads it with a weight of 0; a new block's last convolution is 0. Training goes on from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nets.blocks import Block, Conv, Norm, Relu, Residual
from nets.models import PolicyValueNet
from nets.spec import SpecError


@torch.no_grad()
def grown(model: PolicyValueNet, trunk: Sequence[Block]) -> PolicyValueNet:
    """Return a network with a larger trunk of the kind resnet-BxC and the same heads, equal to `model` in evaluation.

    Raises SpecError where a trunk is of another kind, or where the larger one is smaller in anything.
    """
    check_growth(model.spec.trunk, trunk)
    new = dataclasses.replace(model.spec, trunk=tuple(trunk)).build()
    stream = torch.arange(model.trunk.output_shape[0])  # where the old channels lie among the new ones
    layers: list[Any] = list(model.trunk.layers)
    new_layers: list[Any] = list(new.trunk.layers)
    conv, *blocks, norm, _ = layers
    new_conv, *new_blocks, new_norm, _ = new_layers
    _place(new_conv, conv, stream, torch.arange(model.spec.input_shape[0]))
    _place(new_norm, norm, stream)
    for new_block, block in zip(new_blocks, blocks, strict=False):
        _place_block(new_block, block, stream)
    for added in new_blocks[len(blocks) :]:
        nn.init.zeros_(added.conv2.weight)
    for head in ("policy", "value", "ownership", "score"):
        if getattr(model, head) is not None:
            _place_head(getattr(new, head), getattr(model, head), stream)
    return new


def check_growth(small: Sequence[Block], large: Sequence[Block]) -> None:
    """Raise SpecError unless both trunks are of the kind resnet-BxC and the second is nowhere smaller."""
    (conv, blocks), (larger_conv, larger_blocks) = _parts(small), _parts(large)
    if len(larger_blocks) < len(blocks) or larger_conv.filters < conv.filters:
        raise SpecError(
            f"a network of {len(blocks)} blocks of {conv.filters} filters "
            f"cannot grow to {len(larger_blocks)} blocks of {larger_conv.filters} filters"
        )
    if conv != dataclasses.replace(larger_conv, filters=conv.filters):
        raise SpecError("the first convolutions differ in more than their filters")
    for before, after in zip(blocks, larger_blocks, strict=False):
        alike = dataclasses.replace(after, pooled_channels=before.pooled_channels) == before
        if not alike or bool(before.pooled_channels) != bool(after.pooled_channels) or before.order != "pre":
            raise SpecError("a block can grow only into one of the same kind, norm before convolution")


def _parts(trunk: Sequence[Block]) -> tuple[Conv, list[Residual]]:
    """Return the first convolution and the blocks of a trunk of the kind resnet-BxC."""
    blocks = [block for block in trunk if isinstance(block, Residual)]
    if len(trunk) > 3 and isinstance(trunk[0], Conv) and list(trunk[1:]) == [*blocks, Norm("batch"), Relu()]:
        return trunk[0], blocks
    raise SpecError("only networks of the kind resnet-BxC can grow, and into no other")


def _place_block(new: Any, old: Any, stream: Tensor) -> None:
    """Place a ResidualBlock's weights into a wider one."""
    inner = torch.arange(old.inner_channels)
    pooled = new.inner_channels + torch.arange(old.conv1.out_channels - old.inner_channels)
    _place(new.norm1, old.norm1, stream)
    _place(new.conv1, old.conv1, torch.cat([inner, pooled]), stream)
    _place(new.norm2, old.norm2, inner)
    _place(new.conv2, old.conv2, stream, inner)
    if old.pool_bias is not None and new.pool_bias is not None:
        places, count = pooled - new.inner_channels, new.conv1.out_channels - new.inner_channels
        _place(new.pool_bias.norm, old.pool_bias.norm, places)
        poolings = torch.cat([kind * count + places for kind in range(3)])
        _place(new.pool_bias.linear, old.pool_bias.linear, inner, poolings)


def _place_head(new: nn.Module, old: nn.Module, stream: Tensor) -> None:
    """Place a head's weights; what reads the trunk reads nothing of the new channels."""
    layer: Any
    for name, layer in old.named_modules():
        if next(layer.parameters(recurse=False), None) is None:
            continue
        large: Any = new.get_submodule(name)
        weight = layer.weight
        reads_trunk = weight.shape != large.weight.shape
        columns = None if weight.dim() == 1 else stream if reads_trunk else torch.arange(weight.shape[1])
        _place(large, layer, torch.arange(weight.shape[0]), columns)


def _place(new: nn.Module, old: nn.Module, rows: Tensor, columns: Tensor | None = None) -> None:
    """Place a layer's tensors: its outputs at `rows`, its inputs at `columns`; those outputs read no other input."""
    larger = new.state_dict()
    for name, tensor in old.state_dict().items():
        if tensor.dim() == 0:
            larger[name].copy_(tensor)
        elif tensor.dim() == 1:
            larger[name][rows] = tensor
        else:
            assert columns is not None, name
            larger[name][rows] = 0
            larger[name][rows[:, None], columns] = tensor
