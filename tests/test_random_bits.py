"""Streams of random numbers: the published generator, and draws from them that are even."""

from __future__ import annotations

import numpy as np

from games.random_bits import mix, mixed, random_action, random_below, random_bits

SEED = 1234567
PUBLISHED = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]  # its first outputs


def test_the_stream_is_splitmix64() -> None:
    stream = np.array([0, SEED], np.uint64)
    assert [int(random_bits(stream, 1)) for _ in PUBLISHED] == PUBLISHED
    assert stream[0] == 0
    stream[1] = SEED
    assert [random_below(stream, 1, 2**32) for _ in PUBLISHED] == [word >> 32 for word in PUBLISHED]


def test_words_are_mixed_alike_in_kernels_and_arrays() -> None:
    words = np.arange(1, 100, dtype=np.uint64) << np.uint64(50)
    assert mixed(words).tolist() == [int(mix(word)) for word in words]
    assert len(set(mixed(words).tolist())) == len(words)


def test_every_legal_action_is_drawn_equally_often() -> None:
    mask = np.array([1 << 63 | 1 << 5 | 1, 1 << 8], np.uint64)
    stream = np.array([0], np.uint64)
    actions, counts = np.unique([random_action(mask, stream, 0) for _ in range(4000)], return_counts=True)
    assert actions.tolist() == [0, 5, 63, 72]
    assert (np.abs(counts - 1000) < 150).all()  # 5 standard deviations
    assert random_action(np.zeros(2, np.uint64), stream, 0) == -1
