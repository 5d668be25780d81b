"""Random numbers for kernels: splitmix64 (Steele, Lea & Flood 2014, figure 17), whose streams are one word each."""

from __future__ import annotations

from typing import Any

import numpy as np

from games.compiled import count_bits, lowest_bit, njit

STREAM_STEP = np.uint64(0x9E3779B97F4A7C15)
HALF_WORD = np.uint64(32)


def mixed(words: Any) -> Any:
    """Return words, uint64 of any shape, by steps that are one-to-one, so that each bit depends on all of a word's."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


mix = njit(mixed)  # for kernels


@njit
def random_bits(streams, index):
    """Return the next 64 random bits of one of the streams, uint64 [B]."""
    streams[index] += STREAM_STEP
    return mix(streams[index])


@njit
def random_below(streams, index, bound):
    """Draw a number below bound, at most 2**32, from one of the streams, uint64 [B]."""
    return np.int64(((random_bits(streams, index) >> HALF_WORD) * np.uint64(bound)) >> HALF_WORD)


@njit
def random_action(mask, streams, index):
    """Draw one of the actions of a legal mask, uint64 [W], each as likely as the others; -1 where there is none."""
    count = np.int64(0)
    for word in range(mask.size):
        count += count_bits(mask[word])
    if count == 0:
        return np.int64(-1)
    left = random_below(streams, index, count)
    for word in range(mask.size):
        actions = mask[word]
        in_word = count_bits(actions)
        if left >= in_word:
            left -= in_word
            continue
        for _ in range(left):
            actions &= actions - np.uint64(1)
        return np.int64(word * 64 + lowest_bit(actions))
    return np.int64(-1)
