"""Boards as a terminal shows them: coloured squares and discs, or letters where there is no colour or no Unicode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from games.render import EMPTY, KING, PIECE, board_cells
from games.rules import State, game_of

TALL_CELL, FLAT_CELL = 6, 4  # columns of one square when it is two lines high, and one
PANEL_GAP = 1


@dataclass(frozen=True)
class Face:
    """How one game looks."""

    sides: tuple[str, str]  # names of player 0 and player 1
    letters: Mapping[int, str]  # a cell's code (games/render.py) -> what stands for it without colours
    discs: tuple[str, str]  # colours of the two players' pieces
    crown: str  # colour of the mark on a king
    label: str  # colour of the numbers on the squares
    square: Callable[[int, int], tuple[str, str]]  # row and column -> number on the square or "", and its colour
    lit: str  # colour of a square that the last turn changed
    disc: tuple[str, str] = ("▟█▙", "▜█▛")  # upper and lower half
    hole: str = ""  # colour of an empty cell's disc, where there is one
    falls: bool = False  # pieces fall: the board is not turned, and columns are numbered below it


def _checkers_square(row: int, column: int) -> tuple[str, str]:
    if (row + column) % 2 == 0:
        return "", "#e6d7b0"
    return str(4 * row + column // 2 + 1), "#55795a"


FACES: Mapping[str, Face] = {
    "checkers": Face(
        sides=("Black", "White"),
        letters={EMPTY: " ", PIECE: "b", KING: "B", -PIECE: "w", -KING: "W"},
        discs=("#17151a", "#fdf8ec"),
        crown="#d89b1d",
        label="#9dbb9f",
        square=_checkers_square,
        lit="#a39a3c",
    ),
    "connect_four": Face(
        sides=("Red", "Yellow"),
        letters={EMPTY: ".", PIECE: "R", -PIECE: "Y"},
        discs=("#d8352f", "#f5c93a"),
        crown="#000000",
        label="#ffffff",
        square=lambda row, column: ("", "#2456a8"),
        lit="#5d8ee0",
        disc=("▗▄▖", "▝▀▘"),
        hole="#153870",
        falls=True,
    ),
}


@dataclass(frozen=True)
class View:
    """What a terminal can show, and which way the board lies."""

    colour: bool
    unicode: bool
    tall: bool  # two lines a square
    flipped: bool = False  # player 0's side of the board is below


def view_of(console: Console, ascii_only: bool, flipped: bool) -> View:
    """Return the best view for a terminal."""
    colour = console.color_system is not None and not console.no_color
    unicode = not ascii_only and console.encoding.startswith("utf")
    room = console.height >= 22 and console.width >= 76
    return View(colour, unicode, tall=colour and unicode and room, flipped=flipped)


def board_lines(state: State, before: State | None, view: View) -> list[Text]:
    """Return the board as lines of equal width; squares that differ from the position `before` are lit."""
    face = FACES[game_of(state).name]
    cells = board_cells(state)
    changed = np.zeros(cells.shape, bool) if before is None else cells != board_cells(before)
    rows, columns = range(cells.shape[0]), range(cells.shape[1])
    if view.flipped and not face.falls:
        rows, columns = rows[::-1], columns[::-1]
    lines = []
    for row in rows:
        drawn = [
            _cell(face, view, int(cells[row, column]), bool(changed[row, column]), row, column) for column in columns
        ]
        lines += [Text.assemble(*parts) for parts in zip(*drawn, strict=True)]
    if face.falls:
        width = TALL_CELL if view.tall else FLAT_CELL
        lines.append(Text("".join(str(column + 1).rjust(width // 2 + 1).ljust(width) for column in columns), "bold"))
    return lines


def _cell(face: Face, view: View, code: int, is_lit: bool, row: int, column: int) -> list[Text]:
    """Return the lines of one square."""
    label, background = face.square(row, column)
    if is_lit:
        background = face.lit
    square = Style(bgcolor=background)
    numbered = Style(color=face.label, bgcolor=background)
    disc = face.discs[0 if code > 0 else 1] if code else face.hole
    if view.tall:
        if not disc:
            return [Text(f"{label:>2}".ljust(TALL_CELL), numbered), Text(" " * TALL_CELL, square)]
        upper, lower = face.disc
        rim = Style(color=disc, bgcolor=background)
        crown = Style(color=face.crown, bgcolor=disc, bold=True)
        middle = ("♛", crown) if abs(code) == KING else (lower[1], rim)
        return [
            Text.assemble((f"{label:>2}", numbered), (upper, rim), (" ", square)),
            Text.assemble(("  ", square), (lower[0], rim), middle, (lower[2], rim), (" ", square)),
        ]
    if view.colour and view.unicode:
        piece = "♛" if abs(code) == KING else "●" if disc else " "
    else:
        piece = face.letters[code] + ("*" if is_lit and code and not view.colour else "")
    body = Style(color=disc or background, bgcolor=background, bold=True)
    return [Text.assemble((f"{label:>2}", numbered), (piece.ljust(FLAT_CELL - 2), body))]


def beside(board: list[Text], panel: list[Text], width: int) -> Text:
    """Return the board with a panel to its right, cut at the terminal's width."""
    lines = []
    for row in range(max(len(board), len(panel))):
        left = board[row].copy() if row < len(board) else Text(" " * board[0].cell_len)
        if row < len(panel):
            right = panel[row].copy()
            right.truncate(max(0, width - left.cell_len - PANEL_GAP), overflow="ellipsis")
            left.append(" " * PANEL_GAP)
            left.append_text(right)
        lines.append(left)
    return Text("\n").join(lines)
