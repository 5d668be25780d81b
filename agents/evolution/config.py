"""What evolution is configured with: the options and their presets; no numba, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EvolveConfig:
    """Evolution of a checkers evaluator; the defaults are the published method."""

    method: Literal["population", "memetic"] = "population"
    """population: Chellapilla & Fogel 1999-2001. memetic: a few networks that also learn from their games"""
    generations: int = 840
    """generations to train in all; a resumed run may ask for more"""
    seed: int = 0
    """seed of everything random"""
    depth: int = 4
    """search depth of training games, in turns"""
    extension: int = 2
    """turns added, once, where a line ends on a pending capture or a forced move; 0 plays captures out only"""
    parents: int = 15
    """population: networks that survive a generation, each has one offspring. memetic: networks that live"""
    games_as_first: int = 5
    """population: games that each network plays as the first player, against others drawn at random"""
    win_points: float = 1.0
    """population: points for a game won"""
    loss_points: float = -2.0
    """population: points for a game lost; a draw gives 0"""
    weight_range: float = 0.2
    """starting weights are uniform in plus or minus this"""
    sigma: float = 0.05
    """population: starting step size of each weight. memetic: mutation of each weight of a copied network"""
    king_value: float = 2.0
    """starting value of a king, in men"""
    openings: int = 16
    """memetic: starting positions a generation; every two networks play each of them with both colours"""
    opening_plies: int = 8
    """memetic: most random turns that lead to a starting position; the number is drawn evenly from 0"""
    learning_rate: float = 0.002
    """memetic: Adam's step size of the first networks; a gene"""
    outcome_share: float = 0.5
    """memetic: share of the outcome in what is learnt towards, the rest is the search's score; a gene of that mean"""
    memory: int = 100_000
    """memetic: positions that are remembered to learn from"""
    batch_size: int = 256
    """memetic: positions of one gradient step"""
    steps: int = 100
    """memetic: gradient steps of each network a generation"""
    horizon: int = 700
    """memetic: generations over which learning rates fall to a tenth"""
    selection_period: int = 10
    """memetic: generations between two replacements of the worst by the best"""
    rules: str = "anaconda"
    """rule set of training games"""
    control_period: int = 10
    """generations between matches against the piece count"""
    control_depth: int = 4
    """search depth of those matches, in turns"""
    control_openings: int = 40
    """openings of the three-move deck in such a match, each played by both sides"""
    checkpoint_period: int = 10
    """generations between checkpoints"""


PRESETS: dict[str, EvolveConfig] = {
    "paper": EvolveConfig(),
    "modern": EvolveConfig(
        method="memetic",
        generations=700,
        horizon=700,
        parents=4,
        sigma=0.01,
        extension=0,
        rules="wcdf",
        steps=300,
        control_period=25,
    ),
    "quick": EvolveConfig(
        method="memetic",
        generations=250,
        horizon=250,
        parents=4,
        sigma=0.01,
        depth=2,
        extension=0,
        rules="wcdf",
        control_period=25,
    ),
}
