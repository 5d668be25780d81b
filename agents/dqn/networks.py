"""The Q-network that a configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from agents.dqn.config import DqnConfig
from nets.blocks import Block, Conv, Linear, MaxPool, Norm, Relu, Residual
from nets.heads import QHeadSpec
from nets.models import QNetworkSpec
from nets.presets import ATARI_SHAPE, preset

HIDDEN = (Linear(256), Relu())
SMALL = (Conv(16, 8, 4), Relu(), Conv(32, 4, 2), Relu(), Conv(32, 3), Relu(), *HIDDEN)
_POOL = MaxPool(3, 2, padding="same")
IMPALA_SMALL = (
    *(Conv(8, 4, 2, padding=1), _POOL, Residual(norm="none")),
    *(Conv(16, 3, padding=1), _POOL, Residual(norm="none")),
    *(Conv(32, 3, padding=1), _POOL, Residual(norm="none"), Relu()),
    *HIDDEN,
)
OURS: dict[str, tuple[Block, ...]] = {"small": SMALL, "impala-small": IMPALA_SMALL}


def q_network_spec(config: DqnConfig, num_actions: int) -> QNetworkSpec:
    """Return the network's specification.

    With a dueling or a noisy head the hidden layer moves into the head, so that each stream has its own (Wang et al.
    2016, figure 1) and noise is on every fully connected layer (Fortunato et al. 2018, section 3.1).
    """
    if config.network in OURS:
        trunk = OURS[config.network]
    else:
        named = preset(config.network)
        assert isinstance(named, QNetworkSpec)
        trunk = named.trunk
    hidden = 0
    if config.dueling or config.noisy:
        layer = trunk[-2]
        assert isinstance(layer, Linear)
        trunk, hidden = trunk[:-2], layer.features
    if config.norm != "none":
        trunk = with_norms(trunk, config.norm)
    head = QHeadSpec(
        num_actions,
        hidden=hidden,
        dueling=config.dueling,
        noisy=config.noisy,
        layer_norm=hidden > 0 and config.norm != "none",
        distribution=config.distribution,
        num_atoms=config.num_atoms,
        v_min=config.v_min,
        v_max=config.v_max,
    )
    return QNetworkSpec(ATARI_SHAPE, trunk, head)


def with_norms(trunk: Sequence[Block], kind: Literal["layer", "channel"]) -> tuple[Block, ...]:
    """Return a trunk that normalises after each convolution and hidden layer, before what follows (PQN, section 3)."""
    blocks: list[Block] = []
    for block in trunk:
        if isinstance(block, Residual):
            block = replace(block, norm=kind)
        blocks.append(block)
        if isinstance(block, Conv | Linear):
            blocks.append(Norm(kind if isinstance(block, Conv) else "layer"))
    return tuple(blocks)
