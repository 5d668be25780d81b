"""Published architectures by name.

| name | source | from | to |
| --- | --- | --- | --- |
| anaconda | Chellapilla & Fogel 2001 | 32 squares | value |
| clark-storkey | Clark & Storkey 2014, the best network | 7 planes | move on a square board |
| maddison12 | Maddison et al. 2014, 12 layers of 128 | 36 planes | black's and white's move |
| alphago13 | Silver et al. 2016, the policy network | 48 planes | move |
| resnet-BxC | He et al. 2016b with the pooling of Wu 2019 | any planes | move, value |
| dqn-2013 | Mnih et al. 2013 | 4 frames of 84x84 | Q-values |
| nature-dqn | Mnih et al. 2015 | 4 frames of 84x84 | Q-values |
| impala | Espeholt et al. 2018, the deep network without its LSTM | 4 frames of 84x84 | Q-values |

A preset is a starting point: `dataclasses.replace` changes a head or a trunk.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from nets.blocks import (
    Block,
    Border,
    Conv,
    Linear,
    MaxPool,
    Norm,
    PositionBias,
    Relu,
    Residual,
    SymmetricConv,
)
from nets.heads import (
    DensePolicySpec,
    PointPolicySpec,
    PooledPolicySpec,
    QHeadSpec,
    SymmetricPolicySpec,
    ValueHeadSpec,
)
from nets.models import BoardEvaluatorSpec, MapShape, ModelSpec, PolicyValueSpec, QNetworkSpec
from nets.spec import SpecError

ATARI_SHAPE = (4, 84, 84)
ATARI_ACTIONS = 18  # the full set of the Arcade Learning Environment
RESNET = re.compile(r"resnet-([1-9]\d?)x([1-9]\d{0,3})")


def preset(name: str, input_shape: MapShape | None = None, num_actions: int | None = None) -> ModelSpec:
    """Return the specification of a published architecture.

    `input_shape` (channels, height, width) replaces the paper's. `num_actions` is for the Atari networks (18
    where it is not given) and for resnet-BxC, which without it has a move at every point and a pass, on
    boards of any size. Raises SpecError for a name that does not exist or an argument that the architecture
    has no place for.
    """
    resnet = RESNET.fullmatch(name)
    if resnet:
        return _resnet(int(resnet[1]), int(resnet[2]), input_shape, num_actions)
    if name in _Q_NETWORKS:
        trunk, hidden = _Q_NETWORKS[name]
        blocks = (*trunk, Linear(hidden), Relu())
        return QNetworkSpec(input_shape or ATARI_SHAPE, blocks, QHeadSpec(num_actions or ATARI_ACTIONS))
    if name in _GO_NETWORKS:
        if num_actions is not None:
            raise SpecError(f"network preset {name}: it has one action a point, num_actions cannot be chosen")
        return _GO_NETWORKS[name](input_shape)
    if name == "anaconda":
        if input_shape is not None or num_actions is not None:
            raise SpecError("network preset anaconda: 32 squares to one value, nothing can be chosen")
        return BoardEvaluatorSpec()
    near = difflib.get_close_matches(name, PRESETS, n=1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    raise SpecError(f"no network preset {name!r}{guess}, only {', '.join(PRESETS)} with numbers as in resnet-6x96")


def _resnet(num_blocks: int, filters: int, input_shape: MapShape | None, num_actions: int | None) -> PolicyValueSpec:
    """Pre-activation residual blocks; every third pools a third of its channels over the board."""
    if input_shape is None:
        raise SpecError(f"network preset resnet-{num_blocks}x{filters}: needs an input_shape")
    pooled = [filters // 3 if block % 3 == 2 else 0 for block in range(num_blocks)]
    trunk: tuple[Block, ...] = (
        Conv(filters, 3, padding=1, bias=False),
        *(Residual(pooled_channels=channels) for channels in pooled),
        Norm("batch"),
        Relu(),
    )
    policy = PooledPolicySpec() if num_actions is None else DensePolicySpec(num_actions, channels=32)
    return PolicyValueSpec(input_shape, trunk, policy=policy, value=ValueHeadSpec())


def _clark_storkey(input_shape: MapShape | None) -> PolicyValueSpec:
    """Section 5's best network: 7 tied convolutions and a fully connected layer, tied too.

    Planes: own and opponent's stones with 1, 2, 3 or more liberties, and the ko point; the border plane is
    ours.
    """
    filters = ((64, 7), (64, 5), (64, 5), (48, 5), (48, 5), (32, 5), (32, 5))
    trunk: list[Block] = [Border(3)]
    for index, (count, size) in enumerate(filters):
        # The border's padding serves the first convolution; the others pad with zeros to keep the size.
        trunk += [SymmetricConv(count, size, padding=size // 2 if index else 0), Relu()]
    return PolicyValueSpec(input_shape or (7, 19, 19), tuple(trunk), policy=SymmetricPolicySpec())


def _maddison12(input_shape: MapShape | None) -> PolicyValueSpec:
    """Section 4: 12 hidden layers, then two planes of logits; a bias for every channel at every point.

    The paper's 2.3 million parameters, 630 million connections and 550,000 hidden units mean 12 hidden layers
    of 128 filters besides the output layer.
    """
    sizes = (5,) + (3,) * 11
    trunk: list[Block] = []
    for size in sizes:
        trunk += [Conv(128, size, padding=size // 2, bias=False, init="he"), PositionBias(), Relu()]
    policy = PointPolicySpec(size=3, num_outputs=2, position_bias=True)
    return PolicyValueSpec(input_shape or (36, 19, 19), tuple(trunk), policy=policy)


def _alphago13(input_shape: MapShape | None) -> PolicyValueSpec:
    """Methods, "Neural network architecture": 12 layers of 192 filters, then 1x1 with a bias a point."""
    sizes = (5,) + (3,) * 11
    trunk: list[Block] = []
    for size in sizes:
        trunk += [Conv(192, size, padding=size // 2, init="he"), Relu()]
    return PolicyValueSpec(input_shape or (48, 19, 19), tuple(trunk), policy=PointPolicySpec(position_bias=True))


def _impala_trunk() -> tuple[Block, ...]:
    """Figure 3, right: three stages of a convolution, a pooling that halves, and two residual blocks."""
    trunk: list[Block] = []
    for filters in (16, 32, 32):
        trunk += [Conv(filters, 3, padding=1), MaxPool(3, 2, padding="same")]
        trunk += [Residual(norm="none"), Residual(norm="none")]
    return (*trunk, Relu())


_Q_NETWORKS: dict[str, tuple[tuple[Block, ...], int]] = {  # convolutions, units of the hidden layer
    "dqn-2013": ((Conv(16, 8, 4), Relu(), Conv(32, 4, 2), Relu()), 256),
    "nature-dqn": ((Conv(32, 8, 4), Relu(), Conv(64, 4, 2), Relu(), Conv(64, 3), Relu()), 512),
    "impala": (_impala_trunk(), 256),
}
_GO_NETWORKS: dict[str, Callable[[MapShape | None], PolicyValueSpec]] = {
    "clark-storkey": _clark_storkey,
    "maddison12": _maddison12,
    "alphago13": _alphago13,
}
PRESETS = ("anaconda", *_GO_NETWORKS, "resnet-BxC", *_Q_NETWORKS)
