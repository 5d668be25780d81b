"""What a legal mask says: uint64 [W], bit a % 64 of word a // 64 is set where action a is legal."""

from __future__ import annotations

from typing import Any

import numpy as np

from games.compiled import count_bits, lowest_bit, njit

NO_ACTION = -1


def mask_to_bools(mask: np.ndarray[Any, Any], num_actions: int) -> np.ndarray[Any, Any]:
    """Turn mask words uint64[..., W] into bool[..., A]."""
    as_bytes = np.ascontiguousarray(mask).astype("<u8").view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, bitorder="little")[..., :num_actions].astype(bool)


@njit
def is_empty(mask):
    """Say whether no action is legal."""
    actions = np.uint64(0)
    for word in mask:
        actions |= word
    return actions == 0


@njit
def is_in(mask, action):
    """Say whether an action is legal; precondition: it is one of the game's."""
    return (mask[action >> 6] >> np.uint64(action & 63)) & np.uint64(1) != 0


@njit
def count_actions(mask):
    """Return how many actions are legal."""
    count = np.int64(0)
    for word in mask:
        count += count_bits(word)
    return count


@njit
def nth_action(mask, n):
    """Return the legal action before which there are n others; NO_ACTION where there are no more than n."""
    for word in range(mask.size):
        actions = mask[word]
        in_word = count_bits(actions)
        if n >= in_word:
            n -= in_word
            continue
        for _ in range(n):
            actions &= actions - np.uint64(1)
        return np.int64(word * 64 + lowest_bit(actions))
    return np.int64(NO_ACTION)


@njit
def only_action(mask):
    """Return the one legal action, or NO_ACTION where there are several; precondition: there is one."""
    return nth_action(mask, np.int64(0)) if count_actions(mask) == 1 else np.int64(NO_ACTION)
