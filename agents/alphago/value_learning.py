"""AlphaGo's third stage: a network that learns who wins from the games of a policy (Silver et al. 2016).

Methods, "Value network: regression": successive positions of one game are so alike that a network trained on all of
them remembers games instead of learning to judge. So each game gives one position. A ply U is drawn; U actions come
from the imitating policy, one evenly from all that are allowed, and the rest from the improved policy, whose outcome is
what the position after the even draw is worth.

What differs from the paper: the network starts from the trunk of the improved policy, and sees its planes. U is drawn
from 0 to the board's points less one, where the paper draws from 1 to 450 on 361 points. There are far fewer games, and
learning goes over their positions several times by AdamW, whose rate falls along a half cosine; the paper takes 30
million positions and plain stochastic gradient descent.

n positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.alphago.config import ValueConfig
from agents.alphago.policy_games import play_games
from agents.mcts.search import LeafEvaluator
from games.compiled import NDArray
from games.rules import Game, States
from nets.heads import ValueHeadSpec
from nets.losses import euclidean
from nets.models import PolicyValueNet, PolicyValueSpec
from nets.precision import computing_in

IMITATING, ANY, IMPROVED = range(3)  # whose turn it is in a value game


@dataclass(frozen=True)
class ValueGames:
    """Whole games and the position that each gives."""

    actions: list[NDArray]  # int16 [plies] of each game
    plies: NDArray  # int64 [n] the position's, actions before it
    results: NDArray  # int8 [n] player 0's


def play_value_games(
    config: ValueConfig, iteration: int, game: Game, imitating: LeafEvaluator, improved: LeafEvaluator
) -> ValueGames:
    """Play games in step; those that are over before their position was reached are left out."""
    generator = np.random.default_rng([config.seed, 2, iteration])
    count = config.games_at_once
    random_ply = generator.integers(0, game.num_actions - 1, count)  # U: the ply of the draw among all actions
    played: list[list[int]] = [[] for _ in range(count)]

    def hear(policy: int, games: NDArray, positions: States, allowed: NDArray, actions: NDArray) -> None:
        for i, action in zip(games.tolist(), actions.tolist(), strict=True):
            played[i].append(action)

    def whose(ply: int, movers: NDArray) -> NDArray:
        return np.where(ply < random_ply, IMITATING, np.where(ply == random_ply, ANY, IMPROVED))

    policies = (imitating, _indifferent(game), improved)
    results = play_games(game, game.new(count), policies, whose, generator, hear)
    reached = [i for i in range(count) if len(played[i]) > random_ply[i] + 1]
    return ValueGames([np.array(played[i], np.int16) for i in reached], random_ply[reached] + 1, results[reached])


def _indifferent(game: Game) -> LeafEvaluator:
    """Return the policy that likes every action the same."""

    def evaluate(states: States) -> tuple[NDArray, NDArray]:
        return np.zeros((len(states), game.num_actions), np.float32), np.zeros(len(states), np.float32)

    return evaluate


def value_network(policy: PolicyValueNet) -> PolicyValueNet:
    """Return a network of the policy's trunk, weights included, with a new value head and nothing else."""
    model = PolicyValueSpec(policy.spec.input_shape, policy.spec.trunk, value=ValueHeadSpec()).build()
    model.trunk.load_state_dict(policy.trunk.state_dict())
    return model


def squared_error(
    model: PolicyValueNet, planes: Tensor, outcomes: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return (z - v(s))^2 of each position, [n], as the paper reports it; convolutions compute in `dtype`."""
    with computing_in(dtype, planes.device):
        values = model(planes.contiguous(memory_format=torch.channels_last)).value
    return 2 * euclidean(values.float(), outcomes)
