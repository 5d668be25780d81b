"""What imitation is configured with: the options, their presets, and no torch, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from games.refusal import RefusedError


class ImitateError(RefusedError):
    """Training that cannot start or go on; the message is one line."""


@dataclass(frozen=True)
class LearningConfig:
    """How a policy-value network learns from positions, whoever played them."""

    batch_size: int = 64
    """positions a step"""
    optimiser: Literal["adamw", "muon", "sgd"] = "adamw"
    """adamw, muon (steps of orthogonal matrices, Jordan et al. 2024), or sgd with Nesterov's momentum of 0.9"""
    learning_rate: float = 3e-3
    """greatest learning rate"""
    warmup: float = 0.05
    """share of the budget over which the learning rate rises from 0"""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """how the learning rate falls to 0 over the budget; constant: it does not"""
    weight_decay: float = 1e-2
    """share of each weight taken off a step, times the learning rate (adamw, muon; sgd adds it to the gradient)"""
    value_weight: float = 0.5
    """factor of the value head's squared error; 0 learns no values"""
    average: float = 0.0
    """decay a step of a running average of the weights, which is then the network that is kept; 0 for none"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the convolutions; auto: bfloat16 where the processor or the GPU has instructions for it"""
    l1: float = 0.0
    """factor of the sum of the weights' absolute values in the loss"""
    l2: float = 0.0
    """factor of the sum of their squares; with --l1 this is the elastic net"""
    max_norm: float = 0.0
    """greatest norm of the weights into one unit; 0 for none"""


@dataclass(frozen=True)
class ImitateConfig(LearningConfig):
    """Learning from recorded games."""

    network: str = "resnet-4x64"
    """architecture, a preset of nets/presets.py: resnet-BxC, clark-storkey, maddison12, alphago13"""
    grow: str = ""
    """with --init: the architecture, resnet-BxC, that its network grows to, at first without changing what it says"""
    features: str = "observe"
    """planes that the network sees: observe (the game's own) or, for Go, a set of games/go_features.py"""
    positions: int = 0
    """positions to train on in all, 0 for no limit; the learning rate follows its schedule over them"""
    minutes: float = 0.0
    """minutes to train in all, 0 for no limit; with both limits the nearer one counts"""
    seed: int = 0
    """seed of the first weights, the order of positions and their symmetries"""
    augment: bool = True
    """show each position under a symmetry of the board drawn at random"""
    held_out: float = 0.02
    """share of the games that is kept apart for validation, chosen by their moves"""
    validation_positions: int = 2000
    """positions of the games kept apart that a validation looks at"""
    period: int = 20_000
    """positions between validations; each saves a checkpoint"""
    patience: int = 0
    """validations in a row without a lower loss after which training stops; 0 never stops early"""


PRESETS = {
    "quick": ImitateConfig(network="resnet-4x48", minutes=4.0, period=10_000),
    "small": ImitateConfig(network="resnet-4x64", minutes=60.0),
    # Every position of 150,000 games once, in batches that keep a GPU busy.
    "resnet-6x96": ImitateConfig(
        network="resnet-6x96",
        positions=30_000_000,
        batch_size=1024,
        optimiser="muon",
        average=0.999,
        period=1_000_000,
        validation_positions=10_000,
    ),
    # Layers, inputs, losses and symmetries are the papers'; the optimiser and its schedule are ours.
    "clark-storkey": ImitateConfig(
        network="clark-storkey",
        features="clark-storkey",
        positions=16_000_000,
        learning_rate=1e-3,
        augment=False,
        value_weight=0,
        period=200_000,
        validation_positions=10_000,
    ),
    "maddison12": ImitateConfig(
        network="maddison12",
        features="maddison12",
        positions=30_000_000,
        batch_size=128,
        learning_rate=1e-3,
        value_weight=0,
        period=200_000,
        validation_positions=10_000,
    ),
    "alphago13": ImitateConfig(
        network="alphago13",
        features="alphago13",
        positions=30_000_000,
        batch_size=128,
        learning_rate=1e-3,
        value_weight=0,
        period=200_000,
        validation_positions=10_000,
    ),
    "checkers": ImitateConfig(network="resnet-4x48", minutes=4.0, held_out=0.05, period=10_000),
}
