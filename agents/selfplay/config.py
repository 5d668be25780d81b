"""How self-play is run: the options, their presets, and no torch, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.imitation.config import LearningConfig


@dataclass(frozen=True)
class SelfPlayConfig(LearningConfig):
    """Playing against itself, and learning from it."""

    iterations: int = 40
    """times that games are played and learnt from"""
    games: int = 256
    """games of an iteration"""
    games_at_once: int = 128
    """games played in step, so that the network sees so many positions at a time"""
    visits: int = 32
    """simulations for each action, those that a kept tree has already included; AlphaZero: 800"""
    considered: int = 16
    """actions that the root's sequential halving begins with (Danihelka et al. 2022); 0: AlphaZero's root, with noise,
    where actions are drawn by their visits"""
    noise: float = 0.25
    """share of Dirichlet noise in the root's priors, with --considered 0"""
    noise_alpha: float = 10.0
    """its concentration, over the number of legal actions"""
    drawn: int = 30
    """actions of a game that are drawn in proportion to their visits, with --considered 0; later ones are the best"""
    window: int = 100_000
    """positions that are learnt from at the least: those of the newest iterations"""
    reuse: float = 2.0
    """times that a position is learnt from, on average"""
    value_weight: float = 1.0
    """factor of the value head's squared error"""
    points: bool = True
    """have a network of Go also learn whose each point is in the end and by how much the game is won (Wu 2019), which
    teaches it more of a game than who won"""
    network: str = "resnet-4x64"
    """architecture, without --init: a preset of nets/presets.py, such as resnet-6x96"""
    seed: int = 0
    """seed of the first weights, the games and the order of positions"""
    match_period: int = 5
    """iterations between matches against the network that the run began with; 0 for none on the way"""
    match_games: int = 64
    """games of such a match, with as many simulations as in self-play"""


_GUMBEL = SelfPlayConfig(
    iterations=32,
    visits=16,
    considered=8,
    batch_size=128,
    optimiser="muon",
    learning_rate=1e-3,
    warmup=0.02,
    average=0.99,
    match_period=4,
)

PRESETS = {
    "quick": replace(_GUMBEL, iterations=8, games=128, network="resnet-2x32", learning_rate=3e-3, match_period=0),
    "laptop": _GUMBEL,
    # Silver et al. 2018, supplementary materials, for Go: 700,000 steps of 4,096 positions from 21 million games. What
    # differs: games and learning take turns; one step size that falls along a line, where theirs is divided by ten
    # three times; momentum is Nesterov's; positions are learnt under the board's symmetries, as in 2017; c_puct does
    # not grow with the visits; an action that was not tried counts for a little less than its position; outcomes that
    # the tree proves are taken as such; no game is resigned. Where a window of 500,000 games was kept, here are 2
    # million positions (1.4 GB on 19x19). The network has its norms before its convolutions and pools over the board,
    # and it sees 16 planes (stones, liberties, the last moves) for 17. A player of Go knows not to fill its own eyes.
    "alphazero": SelfPlayConfig(
        iterations=10_500,
        games=2_000,
        games_at_once=256,
        visits=800,
        considered=0,
        window=2_000_000,
        reuse=0.7,
        points=False,
        network="resnet-20x256",
        batch_size=4096,
        optimiser="sgd",
        learning_rate=0.2,
        warmup=0.0,
        weight_decay=0.0,
        l2=1e-4,
        match_period=50,
    ),
}
