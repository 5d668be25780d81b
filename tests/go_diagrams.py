"""Go positions as text: X is Black, O White, a dot an empty point; row 0 is the top line."""

from __future__ import annotations

from games.go import game, setup, stone_at
from games.rules import State

STONES = ".XO"


def position(text: str, rules: str = "chinese", to_move: int = 0, komi: float = 7.5) -> State:
    """Return the position of a diagram, with nothing before it."""
    rows = [line.split() for line in text.strip().splitlines()]
    marks = [mark for row in rows for mark in row]
    state = game(len(rows), len(rows[0]), komi).new(1, rules)[0]
    black, white = ([point for point, mark in enumerate(marks) if mark == stone] for stone in "XO")
    setup(state, black, white, to_move)
    return state


def diagram(state: State) -> str:
    """Return the stones of a position as a diagram."""
    rows, columns = int(state.rows), int(state.columns)
    marks = [STONES[stone_at(state, point)] for point in range(rows * columns)]
    return "\n".join(" ".join(marks[row * columns : (row + 1) * columns]) for row in range(rows))


def plain(text: str) -> str:
    """Return a diagram without the indentation it has in a source."""
    return "\n".join(line.strip() for line in text.strip().splitlines())
