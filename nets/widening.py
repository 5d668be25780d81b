"""Widen a Q-network: twice or three times the units a layer, and at first the same values for every input.

After Chen, Goodfellow & Shlens, "Net2Net", 2016: units are copied, so that a norm over all of them notices nothing.
What read a unit reads each of its copies with a share of the weight; theirs are equal shares and a little noise, ours
random shares, which add up and let copies learn apart all the same. (`nets.growth`: policy-value networks, otherwise.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nets.blocks import Block, Conv, Linear, MaxPool, Norm, Relu
from nets.models import QNetwork
from nets.spec import SpecError


@torch.no_grad()
def widened(model: QNetwork, trunk: Sequence[Block], generator: torch.Generator) -> QNetwork:
    """Return a network with a wider trunk and the same head, equal to `model` for every input.

    The generator draws the shares. Raises SpecError where the trunks differ in more than their layers' units, these are
    no whole multiples, a layer is of a kind that cannot be widened, or the head has hidden layers.
    """
    check_widening(model.spec.trunk, trunk)
    if model.spec.head.hidden:
        raise SpecError("only a network whose head is one layer can become wider")
    new = dataclasses.replace(model.spec, trunk=tuple(trunk)).build()
    copied = torch.arange(model.spec.input_shape[0])  # of each unit of the layer before, the old unit that it copies
    for name, layer in model.named_modules():
        wider = new.get_submodule(name)
        if isinstance(layer, nn.Conv2d | nn.Linear) and isinstance(wider, nn.Conv2d | nn.Linear):
            inputs = _flattened(copied, layer.weight.shape[1])
            copied = torch.arange(len(wider.weight)) % len(layer.weight)
            wider.weight.copy_(_shared(layer.weight, inputs, generator)[copied])
            if layer.bias is not None and wider.bias is not None:
                wider.bias.copy_(layer.bias[copied])
        elif not list(layer.children()):
            tensors = wider.state_dict()
            for key, tensor in layer.state_dict().items():  # a norm's, one a unit
                tensors[key].copy_(tensor[copied])
    return new.eval()


def check_widening(narrow: Sequence[Block], wide: Sequence[Block]) -> None:
    """Raise SpecError unless the second trunk is the first with whole multiples of its layers' units."""
    if len(narrow) != len(wide):
        raise SpecError(f"a trunk of {len(narrow)} layers cannot become one of {len(wide)} by more units a layer")
    for index, (before, after) in enumerate(zip(narrow, wide, strict=True)):
        match before, after:
            case (Conv(filters=fewer), Conv(filters=more)):
                alike = dataclasses.replace(after, filters=fewer) == before
            case (Linear(features=fewer), Linear(features=more)):
                alike = True
            case _:
                fewer = more = 1
                kept = isinstance(before, Relu | MaxPool) or before in (Norm("layer"), Norm("channel"))
                alike = kept and before == after
        if not alike or more % fewer:
            raise SpecError(f"trunk layer {index} ({before.kind}) cannot become a wider one's {after.kind}")


def _flattened(copied: Tensor, num_inputs: int) -> Tensor:
    """Return the old input that each input of a layer copies, where it reads every point of a unit's map, too."""
    points = num_inputs // (int(copied.max()) + 1)
    return (copied[:, None] * points + torch.arange(points)).flatten()


def _shared(weight: Tensor, inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Return a weight [units, len(inputs), ...]: shares, which add up to it, of what belongs to each old input."""
    shares = 1 - torch.rand(len(weight), len(inputs), *weight.shape[2:], generator=generator)
    totals = torch.zeros_like(weight).index_add_(1, inputs, shares)
    return weight[:, inputs] * (shares / totals[:, inputs])
