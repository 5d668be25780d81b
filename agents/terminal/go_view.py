"""Go boards in plain letters, for protocols and for terminals that can show no more."""

from __future__ import annotations

from games import go
from games.go_board import EMPTY
from games.go_status import board_of
from games.notation import COLUMN_LETTERS, vertex_name
from games.rules import State

LETTERS = ".XO"  # empty, Black, White


def plain_board(state: State, *notes: str) -> str:
    """Return a board as lines: coordinates all around, the last move in parentheses, and notes to the right of it."""
    rows, columns = int(state.rows), int(state.columns)
    board, stars = board_of(state), go.star_points(rows, columns)
    last = int(state.last_moves[0])
    header = "   " + " ".join(COLUMN_LETTERS[:columns])
    beside = [
        f"{('Black (X)', 'White (O)')[int(state.to_move)]} to play",
        f"Black (X) has taken {int(state.captured[1])}, White (O) {int(state.captured[0])}",
        f"komi {int(state.komi2) / 2:g}",
        *notes,
    ]
    if last >= 0:
        beside.insert(0, f"last move {vertex_name(last, rows, columns)}")
    lines = [header]
    for row in range(rows):
        text = f"{rows - row:2}"
        for column in range(columns):
            point = row * columns + column
            letter = "+" if board[point] == EMPTY and point in stars else LETTERS[board[point]]
            left = "(" if point == last else ")" if column and point - 1 == last else " "
            text += left + letter
        text += ")" if last >= 0 and last == row * columns + columns - 1 else " "
        lines.append(f"{text}{rows - row:<2}")
    lines.append(header)
    for number, note in enumerate(beside[: len(lines)]):
        lines[number] = f"{lines[number]:{2 * columns + 6}}{note}"
    return "\n".join(line.rstrip() for line in (*lines, *beside[len(lines) :]))
