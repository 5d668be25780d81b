"""Games in step, every action drawn from a policy network: what reinforcement and value learning learn from.

B games, n positions, A actions. In Go the actions to draw from are those that fill no own eye, and a pass only where
nothing else is left: a network that learnt from people, who resign, would fill its eyes and lose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from agents.mcts.search import LeafEvaluator
from games.batches import apply_all, describe, legal_masks, outcomes
from games.compiled import NDArray, njit
from games.go_board import point_of
from games.go_playouts import fills_eye
from games.legal_masks import mask_to_bools
from games.rules import Game, States

Whose = Callable[[int, NDArray], NDArray]
Hear = Callable[[int, NDArray, States, NDArray, NDArray], None]  # policy, games [n], positions, choices [n, A], actions


@njit
def drop_eyes_and_passes(states, allowed):
    """Take moves into own eyes, and the pass where another action is left, from the actions bool [n, A] in Go."""
    for i in range(states.size):
        colour = np.int64(states[i].to_move) + 1
        pass_action = allowed.shape[1] - 1
        is_left = False
        for action in range(pass_action):
            if allowed[i, action]:
                allowed[i, action] = not fills_eye(states[i], point_of(states[i], action), colour)
                is_left |= allowed[i, action]
        allowed[i, pass_action] = not is_left


def choices(game: Game, states: States) -> NDArray:
    """Return the actions that a policy may draw from, bool [n, A]."""
    masks = np.zeros((len(states), game.mask_words), np.uint64)
    legal_masks(states, masks)
    allowed = mask_to_bools(masks, game.num_actions)
    if game.family == "go":
        drop_eyes_and_passes(states, allowed)
    return allowed


def draw_actions(logits: NDArray, allowed: NDArray, generator: np.random.Generator) -> NDArray:
    """Draw an action a row, int64 [n], from the softmax over the allowed ones."""
    masked = np.where(allowed, logits, -np.inf)
    weights = np.exp(masked - masked.max(1, keepdims=True), dtype=np.float64)
    totals = weights.cumsum(1)
    drawn = (totals <= generator.random((len(logits), 1)) * totals[:, -1:]).sum(1)
    last: NDArray = allowed.shape[1] - 1 - allowed[:, ::-1].argmax(1)
    actions: NDArray = np.minimum(drawn, last)  # where rounding went beyond the last
    return actions


def by_seat(seats: NDArray) -> Whose:
    """Return who moves between two policies where the first is player 1 in the games that `seats`, bool [B], names."""
    return lambda ply, movers: movers ^ seats


def play_games(
    game: Game,
    states: States,
    policies: Sequence[LeafEvaluator],
    whose: Whose,
    generator: np.random.Generator,
    hear: Hear | None = None,
) -> NDArray:
    """Play games [B] to their ends, in place, and return player 0's results, int8 [B].

    `whose` says which policy moves in each game, from the actions made so far and player 0 or 1 to move, int8 [B].
    `hear` is told of every choice.
    """
    movers, live = np.zeros(len(states), np.int8), np.zeros(len(states), bool)
    describe(states, movers, live)
    ply = 0
    while live.any():
        indices = whose(ply, movers)
        for index, policy in enumerate(policies):
            games = np.flatnonzero(live & (indices == index))
            if games.size:
                positions = states[games]
                allowed = choices(game, positions)
                actions = draw_actions(policy(positions)[0], allowed, generator)
                if hear is not None:
                    hear(index, games, positions, allowed, actions)
                apply_all(states, games, actions)
        describe(states, movers, live)
        ply += 1
    results = np.zeros(len(states), np.int8)
    outcomes(states, results)
    return results
