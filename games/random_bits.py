"""Random numbers for kernels: splitmix64 (Steele, Lea & Flood 2014, figure 17), whose streams are one word each."""

from __future__ import annotations

from typing import Any

import numpy as np

from games.compiled import njit
from games.legal_masks import NO_ACTION, count_actions, nth_action

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
    """Draw one of the actions of a legal mask, uint64 [W], all as likely; NO_ACTION where there is none."""
    count = count_actions(mask)
    return nth_action(mask, random_below(streams, index, count)) if count else np.int64(NO_ACTION)
