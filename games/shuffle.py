"""Orders of millions of numbers in no memory: a permutation computed number by number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from games.compiled import njit
from games.random_bits import STREAM_STEP, mix

ROUNDS = 6  # of the Feistel network; four already pass for random (Luby & Rackoff 1988)


@dataclass(frozen=True)
class Shuffle:
    """An endless stream of the numbers below `size`: each once an epoch, every epoch in an order of its own.

    It has no state: a learner that resumes at sample i asks for numbers(i, ...) and gets what it would have got.
    """

    size: int
    seed: int

    def numbers(self, start: int, count: int) -> np.ndarray[Any, Any]:
        """Return samples start to start + count - 1 of the stream, int64[count]; precondition: size > 0."""
        numbers = np.empty(count, np.int64)
        shuffled(np.int64(self.size), np.uint64(self.seed % 2**64), np.int64(start), numbers)
        return numbers


@njit
def shuffled(size, seed, start, numbers):
    """Write the stream of Shuffle(size, seed) from sample `start` on.

    A Feistel network of 2 * half bits permutes a range of at most 4 * size numbers; where it leads outside the range
    below size it is followed on until it comes back inside (cycle walking, Black & Rogaway 2002).
    """
    half = np.uint64(1)
    while (np.int64(1) << np.int64(half + half)) < size:
        half += np.uint64(1)
    low = (np.uint64(1) << half) - np.uint64(1)
    for i in range(numbers.size):
        epoch, place = (start + i) // size, (start + i) % size
        epoch_key = mix(seed ^ mix(np.uint64(epoch) + STREAM_STEP))
        value = np.uint64(place)
        while True:
            left, right = value >> half, value & low
            for round_number in range(ROUNDS):
                swapped = left ^ (mix(right ^ epoch_key ^ (np.uint64(round_number) << np.uint64(56))) & low)
                left, right = right, swapped
            value = (left << half) | right
            if value < np.uint64(size):
                break
        numbers[i] = np.int64(value)
