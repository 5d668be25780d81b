"""What tests of the search look at: positions of checkers and a network of random weights."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from agents.evaluators import Evaluator, anaconda
from games.checkers import CHECKERS, NUM_SQUARES, start_history
from games.rules import State, is_over
from nets.anaconda_layout import NUM_WEIGHTS

needs_jit = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="millions of nodes: numba is switched off")


def random_network() -> Evaluator:
    weights = np.random.default_rng(5).uniform(-0.2, 0.2, (1, NUM_WEIGHTS)).astype(np.float32)
    return anaconda(weights, np.array([1.8], np.float32))[0]


def random_checkers(rng: np.random.Generator) -> State:
    """Return a position of 3 to 9 pieces, many of them kings, either side to move: captures come soon."""
    state = CHECKERS.new(1, "endless")[0]
    while True:
        count = int(rng.integers(3, 10))
        squares = [int(square) for square in rng.permutation(NUM_SQUARES)[:count]]
        black, white = squares[: count // 2], squares[count // 2 :]
        crowned = set(rng.permutation(squares)[: rng.integers(count)].tolist())
        kings = crowned | {square for square in black if square >= 28} | {square for square in white if square < 4}
        state.black, state.white, state.kings = (
            sum(1 << square for square in group) for group in (black, white, kings)
        )
        state.to_play = rng.integers(2)
        start_history(state)
        if not is_over(state):
            return state
