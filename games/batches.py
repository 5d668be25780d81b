"""One step for every position of a batch: the contract's functions over records [B], for games of any kind in step."""

from __future__ import annotations

import numpy as np

from games.compiled import njit
from games.rules import apply, is_over, legal_mask, returns, to_play


@njit
def legal_masks(states, masks):
    """Write the legal actions, uint64 [B, W]."""
    for i in range(states.size):
        legal_mask(states[i], masks[i])


@njit
def apply_all(states, games, actions):
    """Play an action in each of some games, indices [n] of the batch."""
    for i in range(games.size):
        apply(states[games[i]], actions[i])


@njit
def describe(states, movers, live):
    """Write who moves, int8 [B], and which games go on, bool [B]."""
    for i in range(states.size):
        movers[i] = to_play(states[i])
        live[i] = not is_over(states[i])


@njit
def outcomes(states, results):
    """Write player 0's results, int8 [B], of games that are over."""
    for i in range(states.size):
        results[i] = np.int8(returns(states[i]))
