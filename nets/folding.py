"""A policy-value network rewritten for evaluation: norms folded into the convolutions beside them, heads in one.

B batch, A actions, C channels, H height, W width. The folded network computes what the module computes in evaluation
mode, up to rounding, with fewer passes over the maps. It cannot be trained or saved.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nets.heads import PooledPolicy
from nets.layers import PositionBias, ResidualBlock, SymmetricConv2d, SymmetricLinear
from nets.models import PolicyValueNet
from nets.pooling import BoardPool2d


class Scaling(NamedTuple):
    """What a norm does in evaluation mode: x * scale + shift, both [C]."""

    scale: Tensor
    shift: Tensor


def scaling_of(norm: nn.Module, channels: int) -> Scaling | None:
    """Return what a norm does to each channel, None where that depends on the other values of the map."""
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return Scaling(scale, norm.bias - norm.running_mean * scale)
    if isinstance(norm, nn.Identity):
        return Scaling(torch.ones(channels), torch.zeros(channels))
    return None


class Convolution(nn.Module):
    """A convolution, its bias (a number a channel, or one a channel and point), and a ReLU or none."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: int = 1, padding: int = 0, relu: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))  # [C_out, C_in, K, K]
        self.bias = nn.Parameter(bias)  # [C_out], or [C_out, H, W]
        self.stride = stride
        self.padding = padding
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C_out, H', W']."""
        bias = self.bias if self.bias.dim() == 1 else None
        if self.weight.shape[2:] == (1, 1) and (self.stride, self.padding) == (1, 0):  # a matrix product is faster
            out = functional.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], bias).permute(0, 3, 1, 2)
        else:
            out = functional.conv2d(x, self.weight, bias, self.stride, self.padding)
        if bias is None:
            out += self.bias
        return out.relu_() if self.relu else out


class Scale(nn.Module):
    """A norm that no convolution could take up, and a ReLU or none."""

    def __init__(self, scaling: Scaling, relu: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(scaling.scale)
        self.shift = nn.Parameter(scaling.shift)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to itself."""
        out = torch.addcmul(self.shift[:, None, None], x, self.scale[:, None, None])
        return out.relu_() if self.relu else out


class FoldedResidual(nn.Module):
    """A `ResidualBlock`: the norms behind its convolutions are folded into them, one in front of it is kept."""

    def __init__(
        self, before: Scale | None, first: Convolution, pool: nn.Linear | None, second: Convolution, relu: bool
    ) -> None:
        super().__init__()
        self.before = before
        self.first = first
        self.pool = pool  # from the pooled channels, the last of the first convolution, to a bias of the others
        self.second = second
        self.relu = relu  # at the end
        self.inner_channels = second.weight.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to itself."""
        inner = self.first(self.before(x) if self.before is not None else x)
        if self.pool is not None:
            pooled = inner[:, self.inner_channels :].relu()
            inner = inner[:, : self.inner_channels] + self.pool(board_pool(pooled))[:, :, None, None]
        out: Tensor = self.second(inner.relu_()).add_(x)
        return out.relu_() if self.relu else out


class FoldedPolicy(nn.Module):
    """A `PooledPolicy`, its two convolutions in one and its norms folded into them."""

    def __init__(self, head: PooledPolicy) -> None:
        super().__init__()
        points, pooled = _scaling(head.norm), _scaling(head.norm_pooled)
        weight = torch.cat([_scaled(head.conv_points.weight, points), _scaled(head.conv_pooled.weight, pooled)])
        self.conv = Convolution(weight, torch.cat([points.shift, pooled.shift]))
        self.pool_weight = nn.Parameter(_scaled(head.pool_linear.weight, points))
        self.logits = Convolution(head.conv_logits.weight.clone(), _bias_of(head.conv_logits))
        self.pass_linear = copy.deepcopy(head.pass_linear)
        self.channels = head.conv_points.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to logits [B, A]."""
        both = self.conv(x)
        pooled = board_pool(both[:, self.channels :].relu())
        points = both[:, : self.channels] + functional.linear(pooled, self.pool_weight)[:, :, None, None]
        logits: Tensor = self.logits(points.relu_()).flatten(1)
        if self.pass_linear is not None:
            logits = torch.cat([logits, self.pass_linear(pooled)], dim=1)
        return logits


class FoldedNet(nn.Module):
    """A PolicyValueNet for evaluation, with its policy and value heads only."""

    def __init__(self, model: PolicyValueNet) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*_fold_layers(model.trunk.layers))
        self.policy = _fold_head(model.policy)
        self.value = _fold_head(model.value)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Map planes [B, C, H, W] to logits [B, A] (or [B, 2, A]) and values [B]."""
        return self.heads(self.trunk(planes))

    def heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map the trunk's output to logits and values; a missing policy has no actions, a missing value is 0."""
        flat = features.flatten(1)  # what is missing is made from it: a recorded network has no other number of rows
        logits = self.policy(features) if self.policy is not None else flat[:, :0]
        values = self.value(features) if self.value is not None else torch.zeros_like(flat[:, 0])
        return logits, values


@torch.no_grad()
def fold(model: PolicyValueNet) -> FoldedNet:
    """Return the folded network of a model, on its device, with weights of its own."""
    with torch.device(next(model.parameters()).device):
        folded = FoldedNet(model)
    return folded.requires_grad_(False).eval()


board_pool = BoardPool2d()


def _fold_head(head: nn.Module | None) -> nn.Module | None:
    if isinstance(head, PooledPolicy):
        return FoldedPolicy(head)
    return nn.Sequential(*_fold_layers(nn.Sequential(head))) if head is not None else None


def _fold_layers(layers: nn.Sequential) -> Iterator[nn.Module]:
    """Yield the layers of a module in evaluation mode, the neighbours that can be one put together."""
    waiting = list(_flat(layers))
    while waiting:
        layer = waiting.pop(0)
        if isinstance(layer, nn.Conv2d | SymmetricConv2d) and _is_plain(layer):
            yield _fold_convolution(layer, waiting)
        elif isinstance(layer, nn.BatchNorm2d):
            yield Scale(_scaling(layer), relu=_take(waiting, nn.ReLU) is not None)
        elif isinstance(layer, ResidualBlock):
            yield _fold_residual(layer)
        elif isinstance(layer, SymmetricLinear):
            yield from (nn.Flatten(), _dense(layer))
        else:
            yield copy.deepcopy(layer)


def _flat(layers: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of nested sequences, without those that do nothing in evaluation mode."""
    for layer in layers.children():
        if isinstance(layer, nn.Sequential):
            yield from _flat(layer)
        elif not isinstance(layer, nn.Dropout | nn.Identity):
            yield layer


def _take(waiting: list[nn.Module], kind: type[nn.Module]) -> nn.Module | None:
    """Remove and return the next layer where it is of a kind."""
    return waiting.pop(0) if waiting and isinstance(waiting[0], kind) else None


def _is_plain(layer: nn.Conv2d | SymmetricConv2d) -> bool:
    """Whether a convolution is one that `Convolution` can be."""
    if isinstance(layer, SymmetricConv2d):
        return True
    same_each_axis = len(set(layer.stride)) == 1 and isinstance(layer.padding, tuple) and len(set(layer.padding)) == 1
    return same_each_axis and layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"


def _fold_convolution(layer: nn.Conv2d | SymmetricConv2d, waiting: list[nn.Module]) -> Convolution:
    """Return a convolution with the norm, the position bias and the ReLU that wait behind it."""
    if isinstance(layer, SymmetricConv2d):
        weight, stride, padding = layer.full_weight(), 1, layer.padding
    else:
        weight, stride, padding = layer.weight.clone(), int(layer.stride[0]), int(layer.padding[0])
    bias = _bias_of(layer)
    norm = _take(waiting, nn.BatchNorm2d)
    if norm is not None:
        scaling = _scaling(norm)
        weight, bias = _scaled(weight, scaling), bias * scaling.scale + scaling.shift
    position_bias = _take(waiting, PositionBias)
    if isinstance(position_bias, PositionBias):
        bias = bias[:, None, None] + position_bias.bias
    relu = _take(waiting, nn.ReLU) is not None
    return Convolution(weight, bias, stride, padding, relu)


def _dense(layer: SymmetricLinear) -> nn.Linear:
    """Return a tied layer with its weights written out, from a flattened map."""
    weight = layer.full_weight().transpose(0, 1).flatten(1)  # [to, C * from]
    dense: nn.Linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
    dense.weight.copy_(weight)
    dense.bias.copy_(layer.bias[layer.points])
    return dense


def _fold_residual(block: ResidualBlock) -> nn.Module:
    """Return the folded form of a block, or a copy where its norms cannot be folded."""
    channels, inner = block.conv1.in_channels, block.inner_channels
    pre = block.order == "pre"
    pool = block.pool_bias
    before = scaling_of(block.norm1, channels) if pre else Scaling(torch.ones(channels), torch.zeros(channels))
    middle = scaling_of(block.norm2 if pre else block.norm1, inner)
    after = scaling_of(nn.Identity() if pre else block.norm2, channels)
    pooled = scaling_of(pool.norm if pool is not None else nn.Identity(), channels - inner)
    if before is None or middle is None or after is None or pooled is None:
        return copy.deepcopy(block)

    padding = int(block.conv1.padding[0])
    first_scaling = Scaling(torch.cat([middle.scale, pooled.scale]), torch.cat([middle.shift, pooled.shift]))
    linear = None
    if pool is not None:
        linear = nn.utils.skip_init(nn.Linear, pool.linear.in_features, inner)
        linear.weight.copy_(_scaled(pool.linear.weight, middle))
        linear.bias.copy_(pool.linear.bias * middle.scale)
    return FoldedResidual(
        Scale(before, relu=True) if pre else None,
        _scaled_convolution(block.conv1, first_scaling, padding),
        linear,
        _scaled_convolution(block.conv2, after, padding),
        relu=not pre,
    )


def _scaled_convolution(layer: nn.Conv2d, scaling: Scaling, padding: int) -> Convolution:
    bias = _bias_of(layer) * scaling.scale + scaling.shift
    return Convolution(_scaled(layer.weight, scaling), bias, padding=padding)


def _scaled(weight: Tensor, scaling: Scaling) -> Tensor:
    """Return weights [C, ...] with each output scaled."""
    return weight * scaling.scale.reshape(-1, *(1,) * (weight.dim() - 1))


def _bias_of(layer: nn.Conv2d | SymmetricConv2d) -> Tensor:
    return layer.bias.clone() if layer.bias is not None else layer.weight.new_zeros(len(layer.weight))


def _scaling(norm: nn.Module) -> Scaling:
    assert isinstance(norm, nn.BatchNorm2d), norm
    scaling = scaling_of(norm, norm.num_features)
    assert scaling is not None
    return scaling
