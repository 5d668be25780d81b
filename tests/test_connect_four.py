"""Connect Four on positions with a known answer, and its one symmetry."""

from __future__ import annotations

import numpy as np
import pytest

from games.connect_four import CONNECT_FOUR
from games.rules import State, apply, is_over, observe, returns, to_play


def after(columns: str) -> State:
    """Return the position after discs in columns numbered 1-7."""
    state = CONNECT_FOUR.new(1)[0]
    for column in columns:
        assert int(column) - 1 in CONNECT_FOUR.legal_actions(state)
        apply(state, int(column) - 1)
    return state


@pytest.mark.parametrize(
    ("columns", "value"),
    [
        ("1122334", 1.0),  # along the bottom
        ("7162534", 1.0),
        ("1212121", 1.0),  # up a column
        ("37172757", -1.0),
        ("12233434474", 1.0),  # a diagonal that rises to the right
        ("76655454414", 1.0),  # and one that rises to the left
        ("141654354535124364613646521221226777537377", 0.0),  # a full board without a line
        ("314366163557217474524637212266747315125453", -1.0),  # the last disc of all makes one
    ],
)
def test_four_in_a_line_or_a_full_board_ends_the_game(columns: str, value: float) -> None:
    assert not is_over(after(columns[:-1]))
    state = after(columns)
    assert is_over(state)
    assert returns(state) == value
    assert CONNECT_FOUR.legal_actions(state) == []


def test_a_line_does_not_run_from_the_top_of_a_column_into_the_next() -> None:
    # Three on top of column 1 and one at the bottom of column 2: next to each other in the word but for the guard bit.
    state = after("11711716162")
    assert int(state.first) == 0b0000001_0111001 | 1 << 42
    assert not is_over(state)


def test_left_and_right_may_be_swapped() -> None:
    """Actions a and 6 - a lead to mirror images: the legal actions and planes flipped, the same mover and returns."""
    generator = np.random.default_rng(7)
    planes, mirrored_planes = np.zeros((2, *CONNECT_FOUR.planes_shape), np.float32)
    for _ in range(60):
        state, mirrored = CONNECT_FOUR.new(2)
        while not is_over(state):
            assert CONNECT_FOUR.legal_actions(mirrored) == sorted(6 - a for a in CONNECT_FOUR.legal_actions(state))
            observe(state, planes)
            observe(mirrored, mirrored_planes)
            assert np.array_equal(mirrored_planes, planes[:, :, ::-1])
            action = int(generator.choice(CONNECT_FOUR.legal_actions(state)))
            apply(state, action)
            apply(mirrored, 6 - action)
            assert to_play(mirrored) == to_play(state)
            assert is_over(mirrored) == is_over(state)
        assert returns(mirrored) == returns(state)
