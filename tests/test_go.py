"""Go: published counts, and scenes as diagrams."""

from __future__ import annotations

import pytest

from games.go import game
from games.perft import perft

# Sequences of moves from the empty board, Black first, no suicide, two passes end the game.
START = {
    (2, "simple-ko"): (5, 21, 68, 156, 316, 604, 1168, 2592),
    (2, "chinese"): (5, 21, 68, 156, 316, 604, 1088, 2184),
    (2, "situational"): (5, 21, 68, 156, 316, 604, 1112, 2312),
    (3, "chinese"): (10, 91, 738, 5281, 33384, 179712),
    (4, "chinese"): (17, 273, 4112, 57984),
    (9, "chinese"): (82, 6643, 531522),
}


@pytest.mark.parametrize(("size", "rules"), START, ids=lambda value: str(value))
def test_sequences_from_the_empty_board(size: int, rules: str) -> None:
    state = game(size).new(1, rules)[0]
    expected = START[size, rules]
    assert tuple(perft(state, depth) for depth in range(1, len(expected) + 1)) == expected
