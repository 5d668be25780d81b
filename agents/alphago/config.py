"""How AlphaGo's second and third stage are run: what `reinforce.py` and `value_learning.py` are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ReinforceConfig:
    """Options of the policy gradient."""

    iterations: int = 400
    """iterations of playing and learning; the paper: 10,000"""
    games: int = 64
    """games of an iteration; the paper: 128"""
    pool_period: int = 20
    """iterations after which the policy joins the pool of opponents; the paper: 500"""
    learning_rate: float = 0.02
    """of plain stochastic gradient descent, on the mean over the positions of an iteration"""
    max_gradient_norm: float = 1.0
    """gradients longer than this are shortened to it"""
    batch_size: int = 512
    """positions whose gradients are computed together; the result hardly depends on it"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the convolutions in learning; auto: bfloat16 where the processor has instructions for it"""
    seed: int = 0
    """seed of all that is drawn"""
    checkpoint_period: int = 10
    """iterations between checkpoints"""


@dataclass(frozen=True)
class ValueConfig:
    """Options of the games and of the regression."""

    games: int = 40_000
    """games to play, rounded up to whole rounds of --games-at-once; each that lasts gives one position; the paper: 30
    million"""
    games_at_once: int = 256
    """games played in step"""
    epochs: int = 6
    """times that learning sees every position, each time under a symmetry drawn anew"""
    held_out: float = 0.0625
    """share of the games that is kept apart for validation"""
    batch_size: int = 128
    """positions of a learning step"""
    learning_rate: float = 1e-3
    """of AdamW at the start; falls to 0 along a half cosine"""
    weight_decay: float = 1e-3
    """of AdamW"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the convolutions in learning; auto: bfloat16 where the processor has instructions for it"""
    seed: int = 0
    """seed of all that is drawn"""
    checkpoint_period: int = 20
    """rounds of games, or hundreds of learning steps, between checkpoints"""


REINFORCE_PRESETS = {
    "quick": ReinforceConfig(iterations=60),
    "laptop": ReinforceConfig(),
    "paper": ReinforceConfig(iterations=10_000, games=128, pool_period=500, checkpoint_period=50),
}
VALUE_PRESETS = {
    "quick": ValueConfig(games=8_000, epochs=4),
    "laptop": ValueConfig(),
}
