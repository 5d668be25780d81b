"""Recorded checkers games in bulk: kernels that turn squares into actions, and check actions, a game at a time.

Archives hold hundreds of thousands of moves; reading them one `parse_turn` at a time would take minutes.
"""

from __future__ import annotations

import numpy as np

from games.checkers import JUMP, NUM_SQUARES, STEP
from games.compiled import njit
from games.rules import apply, is_legal, is_quiet, legal_mask, to_play


@njit
def find_action(state, mask, origin, landing):
    """Return the legal action from one square to another, or -1; mask is scratch."""
    targets = STEP if is_quiet(state) else JUMP
    legal_mask(state, mask)
    for direction in range(4):
        action = direction * NUM_SQUARES + origin
        if targets[action] == landing and is_legal(mask, action):
            return action
    return -1


@njit
def play_routes(state, scratch, squares, lengths, actions):
    """Play turns that are written with every stop, and write their actions; return how many turns could be played.

    Turn t is lengths[t] squares (counted from 0) of `squares` and lengths[t] - 1 of `actions`; scratch is one record.
    The state ends before the first turn that is not the whole route of a legal one.
    """
    mask = np.empty(2, np.uint64)
    first, written = 0, 0
    for turn in range(lengths.size):
        scratch[0] = state
        mover = to_play(state)
        hops = lengths[turn] - 1
        for hop in range(hops):
            if to_play(scratch[0]) != mover:
                return turn
            action = find_action(scratch[0], mask, squares[first + hop], squares[first + hop + 1])
            if action < 0:
                return turn
            actions[written + hop] = action
            apply(scratch[0], action)
        if to_play(scratch[0]) == mover:  # the capture goes on
            return turn
        for hop in range(hops):
            apply(state, actions[written + hop])
        first += lengths[turn]
        written += hops
    return lengths.size


@njit
def play_turns(state, actions, lengths, is_capture):
    """Play turns of lengths[t] actions and write whether each captures; return how many were whole legal turns."""
    mask = np.empty(2, np.uint64)
    first = 0
    for turn in range(lengths.size):
        mover = to_play(state)
        is_capture[turn] = not is_quiet(state)
        for action in actions[first : first + lengths[turn]]:
            legal_mask(state, mask)
            if to_play(state) != mover or not 0 <= action < 4 * NUM_SQUARES or not is_legal(mask, action):
                return turn
            apply(state, action)
        if to_play(state) == mover:
            return turn
        first += lengths[turn]
    return lengths.size
