"""Heads: what turns a trunk's output into Q-values, move logits, values, ownership and scores.

B batch, A actions, C channels, H height, W width, N atoms or quantiles. Values are the mover's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from nets.blocks import Shape, map_shape
from nets.layers import NoisyLinear, PositionBias, SymmetricLinear
from nets.pooling import BoardPool2d
from nets.spec import Count, CountOrZero, Spec, SpecError

SCORE_SCALE = 20.0  # points for each unit of the score head's linear output, so that it starts near the right size


@dataclass(frozen=True)
class QHeadSpec(Spec):
    """Q-values of each action, from features or from a flattened map.

    dueling: Wang et al. 2016. "categorical": Bellemare et al. 2017 (C51). "quantile": Dabney et al. 2018
    (QR-DQN). noisy: Fortunato et al. 2018, on every layer of the head. layer_norm: after each hidden layer.
    """

    kind: ClassVar[str] = "q_head"
    num_actions: Count
    hidden: CountOrZero = 0  # units of a hidden layer in each stream, 0 for none
    dueling: bool = False
    noisy: bool = False
    distribution: Literal["none", "categorical", "quantile"] = "none"
    num_atoms: Count = 51  # of the categorical distribution, or the number of quantiles
    v_min: float = -10.0  # the least and the greatest return of the categorical distribution
    v_max: float = 10.0
    layer_norm: bool = False

    def build(self, shape: Shape) -> QHead:
        """Return a new head for a trunk's output of `shape`."""
        if self.distribution == "categorical" and (self.num_atoms < 2 or self.v_min >= self.v_max):
            raise SpecError("a categorical distribution needs 2 atoms or more and v_min below v_max")
        return QHead(self, math.prod(shape))


class QHead(nn.Module):
    """See QHeadSpec."""

    support: Tensor  # [N], the returns of the categorical distribution's atoms

    def __init__(self, spec: QHeadSpec, num_features: int) -> None:
        super().__init__()
        self.spec = spec
        self.num_outputs = 1 if spec.distribution == "none" else spec.num_atoms
        self.advantage = self._stream(num_features, spec.num_actions * self.num_outputs)
        self.value = self._stream(num_features, self.num_outputs) if spec.dueling else None
        support = torch.linspace(spec.v_min, spec.v_max, spec.num_atoms, device="cpu")
        self.register_buffer("support", support, persistent=False)

    def _stream(self, num_features: int, num_outputs: int) -> nn.Sequential:
        linear: Callable[[int, int], nn.Module] = NoisyLinear if self.spec.noisy else nn.Linear
        if not self.spec.hidden:
            return nn.Sequential(linear(num_features, num_outputs))
        hidden = self.spec.hidden
        norms = [nn.LayerNorm(hidden)] if self.spec.layer_norm else []
        return nn.Sequential(linear(num_features, hidden), *norms, nn.ReLU(), linear(hidden, num_outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Map a batch of features to Q-values [B, A], or logits or quantiles [B, A, N]."""
        features = features.flatten(1)
        advantage: Tensor = self.advantage(features).reshape(-1, self.spec.num_actions, self.num_outputs)
        if self.value is not None:  # Wang et al. 2016, equation 9
            value = self.value(features)[:, None, :]
            advantage = value + advantage - advantage.mean(1, keepdim=True)
        return advantage.squeeze(2) if self.spec.distribution == "none" else advantage

    def q_values(self, output: Tensor) -> Tensor:
        """Return the expected returns [B, A] of this head's output."""
        match self.spec.distribution:
            case "none":
                return output
            case "categorical":
                return output.softmax(2) @ self.support
            case "quantile":
                return output.mean(2)


@dataclass(frozen=True)
class PointPolicySpec(Spec):
    """One logit a point by a convolution, as the Go networks before AlphaGo Zero have it.

    With two outputs the first is black's next move, the second white's (Maddison et al. 2014); `forward` then
    gives [B, 2, A]. A pass is one more action, its logit linear in the channels' means; the published nets
    have none.
    """

    kind: ClassVar[str] = "point_policy"
    size: Count = 1
    num_outputs: Count = 1
    position_bias: bool = False
    pass_move: bool = False

    def build(self, shape: Shape) -> PointPolicy:
        """Return a new head for a trunk's output of `shape`."""
        channels, height, width = map_shape(shape)
        if self.size % 2 == 0:
            raise SpecError(f"size {self.size} is even, which gives no logit a point")
        return PointPolicy(self, channels, height, width)

    def any_size(self) -> bool:
        """Whether the head takes maps of any height and width."""
        return not self.position_bias


class PointPolicy(nn.Module):
    """See PointPolicySpec."""

    def __init__(self, spec: PointPolicySpec, channels: int, height: int, width: int) -> None:
        super().__init__()
        outputs = spec.num_outputs
        self.conv = nn.Conv2d(channels, outputs, spec.size, padding=spec.size // 2, bias=not spec.position_bias)
        self.position_bias = PositionBias(outputs, height, width) if spec.position_bias else nn.Identity()
        self.pass_linear = nn.Linear(channels, outputs) if spec.pass_move else None
        self.num_outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to logits [B, A], or [B, outputs, A] for more than one output."""
        logits: Tensor = self.position_bias(self.conv(x)).flatten(2)
        if self.pass_linear is not None:
            logits = torch.cat([logits, self.pass_linear(x.mean((2, 3)))[:, :, None]], dim=2)
        return logits.squeeze(1) if self.num_outputs == 1 else logits


@dataclass(frozen=True)
class PooledPolicySpec(Spec):
    """Logits a point, biased by a pooling of the whole board, and a pass (Wu 2019, appendix A.3).

    Takes boards of any size. Actions go plane by plane, each row by row, the pass last.
    """

    kind: ClassVar[str] = "pooled_policy"
    channels: Count = 32
    num_planes: Count = 1  # logits a point
    pass_move: bool = True

    def build(self, shape: Shape) -> PooledPolicy:
        """Return a new head for a trunk's output of `shape`."""
        return PooledPolicy(self, map_shape(shape)[0])

    def any_size(self) -> bool:
        """Whether the head takes maps of any height and width."""
        return True


class PooledPolicy(nn.Module):
    """See PooledPolicySpec."""

    def __init__(self, spec: PooledPolicySpec, in_channels: int) -> None:
        super().__init__()
        channels = spec.channels
        self.conv_points = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.conv_pooled = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.norm_pooled = nn.BatchNorm2d(channels)
        self.pool = BoardPool2d()
        self.pool_linear = nn.Linear(3 * channels, channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.conv_logits = nn.Conv2d(channels, spec.num_planes, 1)
        self.pass_linear = nn.Linear(3 * channels, 1) if spec.pass_move else None

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to logits [B, A]."""
        pooled = self.pool(self.norm_pooled(self.conv_pooled(x)).relu())
        points = self.conv_points(x) + self.pool_linear(pooled)[:, :, None, None]
        logits: Tensor = self.conv_logits(self.norm(points).relu()).flatten(1)
        if self.pass_linear is not None:
            logits = torch.cat([logits, self.pass_linear(pooled)], dim=1)
        return logits


@dataclass(frozen=True)
class DensePolicySpec(Spec):
    """A fully connected layer to a fixed number of actions.

    With `channels` a 1x1 convolution, norm and ReLU come first, as in AlphaGo Zero (Silver et al. 2017, there
    2).
    """

    kind: ClassVar[str] = "dense_policy"
    num_actions: Count
    channels: CountOrZero = 0

    def build(self, shape: Shape) -> nn.Module:
        """Return a new head for a trunk's output of `shape`."""
        if not self.channels:
            return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), self.num_actions))
        channels, height, width = map_shape(shape)
        return nn.Sequential(
            nn.Conv2d(channels, self.channels, 1, bias=False),
            nn.BatchNorm2d(self.channels),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(self.channels * height * width, self.num_actions),
        )

    def any_size(self) -> bool:
        """Whether the head takes maps of any height and width."""
        return False


@dataclass(frozen=True)
class SymmetricPolicySpec(Spec):
    """A fully connected layer from a square map to its points, tied to commute with the 8 symmetries.

    It keeps a trunk of symmetric convolutions exactly symmetric to the end (Clark & Storkey 2014). No pass.
    """

    kind: ClassVar[str] = "symmetric_policy"

    def build(self, shape: Shape) -> SymmetricLinear:
        """Return a new head for a trunk's output of `shape`."""
        channels, height, width = map_shape(shape)
        if height != width:
            raise SpecError(f"the board must be square, not {height}x{width}")
        return SymmetricLinear(channels, height)

    def any_size(self) -> bool:
        """Whether the head takes maps of any height and width."""
        return False


@dataclass(frozen=True)
class ValueHeadSpec(Spec):
    """The expected outcome for the mover, in (-1, 1).

    1x1 convolution, norm, ReLU, then pooled over the board so that any size will do (Wu 2019), or flattened
    as in AlphaGo Zero; one hidden layer, normalised; tanh. Features that are no map go straight to the hidden layer.
    """

    kind: ClassVar[str] = "value_head"
    channels: Count = 32
    hidden: Count = 64
    pooled: bool = True

    def build(self, shape: Shape) -> nn.Module:
        """Return a new head for a trunk's output of `shape`."""
        return nn.Sequential(_scalar(shape, self.channels, self.hidden, self.pooled), nn.Tanh(), nn.Flatten(0))

    def any_size(self) -> bool:
        """Whether the head takes maps of any height and width."""
        return self.pooled


@dataclass(frozen=True)
class ScoreHeadSpec(Spec):
    """The expected final score for the mover, in points; pooled over a board of any size."""

    kind: ClassVar[str] = "score_head"
    channels: Count = 32
    hidden: Count = 64

    def build(self, shape: Shape) -> nn.Module:
        """Return a new head for a trunk's output of `shape`."""
        return nn.Sequential(_scalar(shape, self.channels, self.hidden, True), Scale(SCORE_SCALE), nn.Flatten(0))


@dataclass(frozen=True)
class OwnershipHeadSpec(Spec):
    """Who will own each point at the end, in (-1, 1), 1 the mover."""

    kind: ClassVar[str] = "ownership_head"

    def build(self, shape: Shape) -> nn.Module:
        """Return a new head for a trunk's output of `shape`."""
        return nn.Sequential(nn.Conv2d(map_shape(shape)[0], 1, 1), nn.Tanh(), nn.Flatten(1, 2))


class Scale(nn.Module):
    """Multiply by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to itself."""
        return x * self.factor


def _scalar(shape: Shape, channels: int, hidden: int, pooled: bool) -> nn.Sequential:
    """Return a module that maps a batch of trunk outputs to [B, 1].

    The hidden layer is normalised: pooled features are large, and a few steps of an optimiser could otherwise push
    every unit below 0, where a ReLU lets no gradient back.
    """
    rest = (nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, 1))
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], hidden), *rest)
    in_channels, height, width = map_shape(shape)
    num_features = 3 * channels if pooled else channels * height * width
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        BoardPool2d() if pooled else nn.Flatten(),
        nn.Linear(num_features, hidden),
        *rest,
    )


PolicySpec = PointPolicySpec | PooledPolicySpec | DensePolicySpec | SymmetricPolicySpec
