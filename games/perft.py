"""Perft: count the positions reached by every sequence of whole turns, for any game of the contract."""

from __future__ import annotations

import numpy as np

from games.compiled import lowest_bit, njit
from games.legal_masks import count_actions
from games.rules import State, apply, game_of, is_over, is_quiet, legal_mask, to_play

MAX_ACTIONS_A_TURN = 12  # more single jumps than one checkers turn can have


@njit
def count_turns(states, masks, level, depth):
    """Count the sequences of `depth` turns from states[level]; states [L] and masks uint64[L, W] are scratch below it.

    Preconditions: depth >= 1, and the draw rules of the record do not fire within it.
    """
    mask = masks[level]
    legal_mask(states[level], mask)
    if depth == 1 and is_quiet(states[level]):
        return count_actions(mask)
    total = np.int64(0)
    mover = to_play(states[level])
    for word in range(mask.size):
        actions = mask[word]
        while actions != 0:
            action = word * 64 + lowest_bit(actions)
            actions &= actions - np.uint64(1)
            states[level + 1] = states[level]
            apply(states[level + 1], action)
            if to_play(states[level + 1]) == mover and not is_over(states[level + 1]):
                total += count_turns(states, masks, level + 1, depth)
            elif depth == 1:
                total += 1
            else:
                total += count_turns(states, masks, level + 1, depth - 1)
    return total


def perft(state: State, depth: int) -> int:
    """Return the number of sequences of `depth` whole turns from a position (depth 0: 1)."""
    if depth == 0:
        return 1
    game = game_of(state)
    levels = depth * MAX_ACTIONS_A_TURN + 1
    states = np.zeros(levels, game.dtype)
    states[0] = state
    return int(count_turns(states, np.zeros((levels, game.mask_words), np.uint64), 0, depth))
