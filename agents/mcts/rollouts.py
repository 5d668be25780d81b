"""Random games to the end: as an evaluator that needs no network, or mixed with one (AlphaGo's lambda)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload

from agents.go_sense import weigh_passes_and_eyes
from agents.mcts.search import LeafEvaluator
from games.compiled import NDArray, njit
from games.go import GO
from games.go_playouts import playout
from games.random_bits import random_action
from games.rules import Game, States, apply, hash_key, legal_mask, returns, to_play

MOST_ACTIONS = 10_000  # of a random game, for rules that never end one: drawn there


@njit
def play_randomly(state, mask, stream):
    """Play random legal actions to the end and return the outcome for player 0; mask uint64[W] is scratch."""
    for _ in range(MOST_ACTIONS):
        legal_mask(state, mask)
        action = random_action(mask, stream, 0)
        if action < 0:
            return np.float32(returns(state))
        apply(state, action)
    return np.float32(0.0)


@njit
def play_go_randomly(state, mask, stream):
    """Play Go to the end by its own kernel, which fills no eyes, and return the outcome for Black."""
    playout(state, stream)
    return np.float32(returns(state))


def play_out(state: Any, mask: NDArray, stream: NDArray) -> float:
    """Play a random game from a position, which becomes its end, and return the outcome for player 0."""
    is_go = state.dtype.names == GO.dtype.names
    return float((play_go_randomly if is_go else play_randomly)(state, mask, stream))


@overload(play_out)
def _play_out(state, mask, stream):
    if tuple(state.fields) == GO.dtype.names:
        return lambda state, mask, stream: play_go_randomly(state, mask, stream)
    return lambda state, mask, stream: play_randomly(state, mask, stream)


@njit
def roll_out(states, scratch, mask, seed, number, values):
    """Write the movers' mean outcomes of this many random games from each position, float32[n].

    scratch is an array of one record. Lots depend on the seed and the position alone.
    """
    stream = np.zeros(1, np.uint64)
    for i in range(states.size):
        stream[0] = hash_key(states[i]) ^ np.uint64(seed)
        total = np.float32(0.0)
        for _ in range(number):
            scratch[0] = states[i]
            total += play_out(scratch[0], mask, stream)
        mean = total / np.float32(number)
        values[i] = mean if to_play(states[i]) == 0 else -mean


def by_rollouts(game: Game, rollouts: int = 1, seed: int = 0) -> LeafEvaluator:
    """Return the evaluator that plays random games from each position and prefers no action to another.

    In Go an own eye is not filled, and a pass is unlikely.
    """
    scratch, mask = np.zeros(1, game.dtype), np.zeros(game.mask_words, np.uint64)
    start = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]

    def evaluate_leaves(states: States) -> tuple[NDArray, NDArray]:
        logits, values = np.zeros((len(states), game.num_actions), np.float32), np.zeros(len(states), np.float32)
        roll_out(states, scratch, mask, start, rollouts, values)
        if game.family == "go":
            weigh_passes_and_eyes(states, logits, False)
        return logits, values

    return evaluate_leaves


def mixed(network: LeafEvaluator, rollouts: LeafEvaluator, weight: float) -> LeafEvaluator:
    """Return AlphaGo's mixture (Silver et al. 2016): values (1 - lambda) v + lambda z, logits of the network."""

    def evaluate_leaves(states: States) -> tuple[NDArray, NDArray]:
        logits, values = network(states)
        return logits, (1 - weight) * values + weight * rollouts(states)[1]

    return evaluate_leaves
