"""What a player of Go knows without reading: own eyes are not filled, and a pass can end the game.

A = rows * columns + 1 actions, the last of them the pass. Stones count as the record's rules count them: all alive.
"""

from __future__ import annotations

import math

import numpy as np

from games.compiled import njit
from games.go import area_score
from games.go_board import EMPTY, point_of
from games.go_playouts import fills_eye
from games.rules import State

EYE_PENALTY = 20.0  # taken off the logit of a move that fills an own eye
PASS_LOGIT = math.log(0.01)  # of the pass of a network that knows none, over all other moves together


@njit
def weigh_passes_and_eyes(states, logits, has_pass):
    """Lower the logits float32[n, A] of moves that fill eyes, and give the pass one where the network has none."""
    for i in range(states.size):
        state = states[i]
        colour = np.int64(state.to_move) + 1
        last = np.int64(state.rows) * np.int64(state.columns)
        highest = np.float32(-np.inf)
        for action in range(last):
            point = point_of(state, action)
            if state.board[point] == EMPTY:
                if fills_eye(state, point, colour):
                    logits[i, action] -= np.float32(EYE_PENALTY)
                else:
                    highest = max(highest, logits[i, action])
        if has_pass:
            continue
        total = np.float32(0.0)
        for action in range(last):
            if state.board[point_of(state, action)] == EMPTY:
                total += np.exp(logits[i, action] - highest)
        logits[i, last] = highest + np.log(total) + np.float32(PASS_LOGIT) if np.isfinite(highest) else np.float32(0.0)


@njit
def is_eye_filled(state, action):
    """Say whether an action puts a stone into an eye of the mover's own."""
    if action == np.int64(state.rows) * np.int64(state.columns):
        return False
    return fills_eye(state, point_of(state, action), np.int64(state.to_move) + 1)


def mover_lead(state: State) -> float:
    """Return the points by which the mover wins if the game ends here; negative where it is lost."""
    return float(area_score(state)) * (1 - 2 * int(state.to_move))
