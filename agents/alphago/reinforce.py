"""AlphaGo's second stage: a policy network improved by the policy gradient of its own games (Silver et al. 2016).

Methods, "Policy network: reinforcement learning": in each iteration a minibatch of games is played against an
opponent drawn from the pool of earlier policies, and every action of the learner is made likelier by a won game and
less likely by a lost one (REINFORCE, Williams 1992). The baseline is zero, as in the paper's first pass.

What differs from the paper: boards of any size, fewer games an iteration and a pool that grows sooner, to the scale of
a laptop; norms use the statistics that imitation left, so that the policy that learns is the one that played; half
the games have each colour; no move fills an own eye (`agents/alphago/policy_games.py`). The gradient is a mean over the
positions of an iteration, where the paper sums over a game's and takes the mean over games, so that the learning rates
are not comparable; and one longer than `max_gradient_norm` is shortened to it.

n positions, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from agents.alphago.config import ReinforceConfig
from agents.alphago.policy_games import by_seat, play_games
from agents.mcts.search import LeafEvaluator
from agents.run import RunError
from games.compiled import NDArray
from games.rules import Game, States
from nets.losses import masked_logits
from nets.models import PolicyValueNet, logits_of_mover
from nets.precision import computing_in


@dataclass(frozen=True)
class Experience:
    """What the learner did in the games of an iteration."""

    planes: NDArray  # float32 [n, C, H, W]
    movers: NDArray  # int64 [n] player 0 or 1, whose turn it was
    allowed: NDArray  # bool [n, A] actions that it drew from
    actions: NDArray  # int64 [n]
    returns: NDArray  # float32 [n] outcome of the game for the learner: 1, 0 or -1
    score: float  # share of points that it took, 0 to 1
    num_actions: float  # mean actions of a game, both players'


Encode = Callable[[States], NDArray]  # positions [n] -> planes float32 [n, C, H, W], a new array


def play_iteration(
    config: ReinforceConfig, iteration: int, game: Game, encode: Encode, learner: LeafEvaluator, opponent: LeafEvaluator
) -> Experience:
    """Play the games of an iteration, half with each colour, every action drawn from its policy."""
    generator = np.random.default_rng([config.seed, iteration, 1])
    seats = np.arange(config.games) % 2 == 1
    heard: list[tuple[NDArray, NDArray, NDArray, NDArray]] = []
    total = 0

    def hear(policy: int, games: NDArray, positions: States, allowed: NDArray, actions: NDArray) -> None:
        nonlocal total
        total += games.size
        if policy == 0:
            heard.append((games, encode(positions), allowed, actions))

    states = game.new(config.games)
    results = play_games(game, states, (learner, opponent), by_seat(seats), generator, hear)
    returns = np.where(seats, -results, results).astype(np.float32)
    games, planes, allowed, actions = (np.concatenate(column) for column in zip(*heard, strict=True))
    movers = seats[games].astype(np.int64)
    score, num_actions = float(returns.mean() + 1) / 2, total / config.games
    return Experience(planes, movers, allowed, actions, returns[games], score, num_actions)


def action_logits(policy: Tensor, movers: Tensor, num_actions: int) -> Tensor:
    """Return the movers' logits of all actions, float32 [n, A], from a policy head's output.

    A network that knows no pass gets a logit of 0 for it: it is drawn only where no other action is allowed.
    """
    logits = (logits_of_mover(policy, movers) if policy.dim() == 3 else policy).float()
    return functional.pad(logits, (0, num_actions - logits.shape[1]))


def policy_gradient_loss(logits: Tensor, allowed: Tensor, actions: Tensor, returns: Tensor) -> Tensor:
    """Return -z log p(a | s) of each position, [n]: its gradient is REINFORCE's (Williams 1992) with baseline 0.

    Probabilities are over the allowed actions, bool [n, A], as in play.
    """
    log_probabilities = masked_logits(logits, allowed).log_softmax(1)
    return -returns * log_probabilities.gather(1, actions[:, None])[:, 0]


def learn(
    model: PolicyValueNet,
    optimiser: torch.optim.Optimizer,
    config: ReinforceConfig,
    seen: Experience,
    dtype: torch.dtype = torch.float32,
) -> float:
    """Take one step along the policy gradient of an iteration; return the gradient's length before it was shortened.

    The model stays in evaluation mode: its norms do as they did in play.
    """
    optimiser.zero_grad()
    count = len(seen.actions)
    for first in range(0, count, config.batch_size):
        part = slice(first, first + config.batch_size)
        planes = torch.from_numpy(seen.planes[part]).contiguous(memory_format=torch.channels_last)
        with computing_in(dtype, planes.device):
            policy = model(planes).policy
        movers, allowed, actions, returns = (
            torch.from_numpy(array[part]) for array in (seen.movers, seen.allowed, seen.actions, seen.returns)
        )
        logits = action_logits(policy, movers, allowed.shape[1])
        (policy_gradient_loss(logits, allowed, actions, returns).sum() / count).backward()
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm, error_if_nonfinite=False)
    if not torch.isfinite(length):
        raise RunError(f"the gradient is not finite: try a smaller --learning-rate than {config.learning_rate:g}")
    optimiser.step()
    return float(length)


def opponent_of(config: ReinforceConfig, iteration: int) -> int:
    """Return the iteration whose policy is the opponent: any of the pool's, the first one included."""
    pool_size = iteration // config.pool_period + 1
    return int(np.random.default_rng([config.seed, iteration, 0]).integers(pool_size)) * config.pool_period
