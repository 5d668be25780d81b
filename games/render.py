"""Boards as text and as pictures, in plain numpy: what `render` of the environments returns.

Cells are [rows, columns] as a person looks at the board, row 0 at the top: checkers with Black above, square 1 in row 0
and White's first row below; Connect Four with the cells that fill last above; Go with its action 0 in the upper left
corner. Pictures are uint8 [height, width, 3].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from games import checkers, connect_four, go
from games.notation import COLUMN_LETTERS
from games.rules import Game, GameError, State, game_of, is_over, returns, to_play

Cells = np.ndarray[Any, np.dtype[np.int8]]
Picture = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]  # a canvas [height, width, 3] of 0-255, or a coverage of 0-1

# A cell holds one of these codes, with a minus sign where the piece is player 1's.
EMPTY, PIECE, KING = 0, 1, 2

DEFAULT_SIZE = 512  # pixels, the width of a picture
MIN_SIZE = 64


def board_cells(state: State) -> Cells:
    """Return what stands on the board as int8 [rows, columns]: 0 empty, 1 a piece, 2 a king; player 1's are negative.

    GameError for a game whose board this module does not know.
    """
    family = game_of(state).family
    if family not in _CELLS:
        raise GameError(f"no drawing of a {family} board; there are: {', '.join(_CELLS)}")
    return _CELLS[family](state)


def has_picture(game: Game) -> bool:
    """Say whether this module draws a game's board."""
    return game.family in _CELLS


def _checkers_cells(state: State) -> Cells:
    cells = np.zeros((8, 8), np.int8)
    for square in range(checkers.NUM_SQUARES):
        row, column = divmod(square, 4)
        bit = 1 << square
        kind = KING if int(state.kings) & bit else PIECE
        owner = (int(state.black) & bit != 0) - (int(state.white) & bit != 0)
        cells[row, 2 * column + (row + 1) % 2] = owner * kind
    return cells


def _connect_four_cells(state: State) -> Cells:
    cells = np.zeros((connect_four.ROWS, connect_four.COLUMNS), np.int8)
    for column in range(connect_four.COLUMNS):
        for height in range(connect_four.ROWS):
            bit = 1 << (connect_four.STRIDE * column + height)
            owner = (int(state.first) & bit != 0) - (int(state.second) & bit != 0)
            cells[connect_four.ROWS - 1 - height, column] = owner * PIECE
    return cells


def _go_cells(state: State) -> Cells:
    rows, columns = int(state.rows), int(state.columns)
    pieces = (EMPTY, PIECE, -PIECE)
    cells = [pieces[go.stone_at(state, point)] for point in range(rows * columns)]
    return np.array(cells, np.int8).reshape(rows, columns)


_CELLS: dict[str, Callable[[State], Cells]] = {
    "checkers": _checkers_cells,
    "connect_four": _connect_four_cells,
    "go": _go_cells,
}


# --- text -----------------------------------------------------------------------------------------------------------


def ansi_board(state: State) -> str:
    """Return the board as lines of plain text, with who moves or how the game ended; no newline at the end.

    A game without a drawing shows its record, one field a line.
    """
    family = game_of(state).family
    if family in _TEXTS:
        return _TEXTS[family](state)
    fields = [f"{field} {state[field]}" for field in state.dtype.names]
    return "\n".join([f"{family}: {_situation(state, ('player 0', 'player 1'))}", *fields])


def _checkers_text(state: State) -> str:
    """b and w are men, B and W kings, a dot an empty square; the numbers are those of a row's outer squares."""
    letters = {EMPTY: ".", PIECE: "b", KING: "B", -PIECE: "w", -KING: "W"}
    cells = _checkers_cells(state)
    lines = []
    for row in range(8):
        marks = [letters[int(cells[row, column])] if (row + column) % 2 else " " for column in range(8)]
        lines.append(f"{4 * row + 1:2}  {' '.join(marks)}  {4 * row + 4:2}")
    situation = _situation(state, ("Black", "White"))
    if state.jumper != checkers.NO_JUMPER:
        situation += f" and must jump on from {int(state.jumper) + 1}"
    return "\n".join([*lines, situation])


def _connect_four_text(state: State) -> str:
    letters = {EMPTY: ".", PIECE: "X", -PIECE: "O"}
    lines = [" ".join(letters[int(cell)] for cell in row) for row in _connect_four_cells(state)]
    return "\n".join([*lines, "1 2 3 4 5 6 7", _situation(state, ("X", "O"))])


def _go_text(state: State) -> str:
    """X is Black, O White, + a star point; columns have letters without I, rows numbers from below."""
    letters = {EMPTY: ".", PIECE: "X", -PIECE: "O"}
    cells = _go_cells(state)
    rows, columns = cells.shape
    stars = go.star_points(rows, columns)
    last = int(state.last_moves[0])
    header = "   " + " ".join(COLUMN_LETTERS[:columns])
    lines = [header]
    for row in range(rows):
        marks = []
        for column in range(columns):
            mark = letters[int(cells[row, column])]
            marks.append("+" if mark == "." and row * columns + column in stars else mark)
        line = " " + " ".join(marks) + " "
        if last // columns == row:  # a pass stands below the last row
            place = 2 * (last % columns)
            line = f"{line[:place]}({line[place + 1]}){line[place + 3 :]}"
        lines.append(f"{rows - row:2}{line}{rows - row}")
    lines += [header, _situation(state, ("Black (X)", "White (O)"))]
    if is_over(state):
        if state.passes < 2:
            lines[-1] = f"cut off after {state.ply} moves"
        lines[-1] += f"; Black's area less White's and the komi: {go.area_score(state):+g}"
    if state.captured.any():
        lines.append(f"stones lost: Black {state.captured[0]}, White {state.captured[1]}")
    return "\n".join(lines)


_TEXTS: dict[str, Callable[[State], str]] = {
    "checkers": _checkers_text,
    "connect_four": _connect_four_text,
    "go": _go_text,
}


def _situation(state: State, players: tuple[str, str]) -> str:
    """Say who moves, or how the game ended."""
    if not is_over(state):
        return f"{players[to_play(state)]} to move"
    outcome = returns(state)
    return "drawn" if outcome == 0 else f"{players[0 if outcome > 0 else 1]} has won"


# --- pictures -------------------------------------------------------------------------------------------------------

Colour = tuple[int, int, int]

FRAME, FRAME_EDGE = (92, 61, 40), (62, 40, 26)
LIGHT_SQUARE, DARK_SQUARE, NUMBER = (236, 221, 189), (97, 134, 92), (205, 219, 192)
PANEL, PANEL_EDGE, HOLE = (38, 84, 168), (24, 58, 124), (232, 236, 243)
SQUARE_GLOW, RING_GLOW = (250, 214, 74), (255, 255, 255)  # cells that are lit up
GOLD = (226, 178, 66)
WOOD, LINE, POINT_GLOW = (220, 179, 92), (58, 42, 24), (214, 58, 50)
GO_STONES = {1: ((28, 28, 31), (112, 112, 120)), -1: ((222, 219, 212), (255, 255, 252))}  # body, and where light falls
# Body, rim and groove of player 0's and player 1's pieces.
CHECKERS_PIECES = {
    1: ((48, 45, 46), (92, 87, 88), (28, 26, 27)),
    -1: ((243, 233, 214), (255, 250, 240), (198, 182, 154)),
}
CONNECT_FOUR_PIECES = {
    1: ((212, 56, 50), (240, 106, 92), (160, 34, 34)),
    -1: ((246, 200, 58), (255, 230, 128), (203, 154, 26)),
}


def rgb_board(state: State, size: int = DEFAULT_SIZE, highlight: np.ndarray[Any, Any] | None = None) -> Picture:
    """Return a picture of the board, uint8 [height, size, 3]; highlight: bool [rows, columns], cells to light up.

    GameError for a game without a drawing and for a size too small to see.
    """
    if size < MIN_SIZE:
        raise GameError(f"a board {size} pixels wide cannot be seen; at least {MIN_SIZE}")
    cells = board_cells(state)
    look = _LOOKS[game_of(state).family]
    empty_board, tile, margin = look.board(size, *cells.shape)
    picture = empty_board.copy()
    lit = np.zeros(cells.shape, bool) if highlight is None else highlight
    for row, column in np.argwhere((cells != EMPTY) | lit):
        window = picture[margin + row * tile :, margin + column * tile :][:tile, :tile]
        canvas = window.astype(np.float32)
        code = int(cells[row, column])
        if lit[row, column] and not look.marks_pieces:
            look.light(canvas)
        if code != EMPTY:
            colours, coverage = look.piece(tile, code)
            canvas += (colours - canvas) * coverage
        if lit[row, column] and look.marks_pieces:
            look.light(canvas)
        window[:] = np.rint(canvas)
    return picture


@lru_cache(maxsize=8)
def _checkers_board(size: int, _rows: int, _columns: int) -> tuple[Picture, int, int]:
    """Return an empty board in its frame, the pixels of a square's side and of the frame's width."""
    tile = int(size * 0.93) // 8
    margin = (size - 8 * tile) // 2
    picture = np.empty((size, size, 3), np.float32)
    picture[:] = FRAME
    edge = max(1, margin // 6)
    picture[margin - edge : margin + 8 * tile + edge, margin - edge : margin + 8 * tile + edge] = FRAME_EDGE
    for row in range(8):
        for column in range(8):
            window = picture[margin + row * tile :, margin + column * tile :][:tile, :tile]
            window[:] = DARK_SQUARE if (row + column) % 2 else LIGHT_SQUARE
            if (row + column) % 2 and tile >= 30:
                _paint(window, NUMBER, _number(tile, 4 * row + column // 2 + 1))
    return np.rint(picture).astype(np.uint8), tile, margin


@lru_cache(maxsize=8)
def _connect_four_board(size: int, _rows: int, _columns: int) -> tuple[Picture, int, int]:
    """Return an empty board, the pixels of a cell's side and of the rim's width."""
    tile = int(size * 0.94) // 7
    margin = (size - 7 * tile) // 2
    height = 6 * tile + 2 * margin
    picture = np.empty((height, size, 3), np.float32)
    picture[:] = PANEL_EDGE
    edge = max(1, margin // 4)
    picture[edge : height - edge, edge : size - edge] = PANEL
    for row in range(6):
        for column in range(7):
            window = picture[margin + row * tile :, margin + column * tile :][:tile, :tile]
            _paint(window, PANEL_EDGE, _disc(tile, 0.46))
            _paint(window, HOLE, _disc(tile, 0.42))
    return np.rint(picture).astype(np.uint8), tile, margin


@lru_cache(maxsize=8)
def _go_board(size: int, rows: int, columns: int) -> tuple[Picture, int, int]:
    """Return an empty board, the pixels between two lines and of the rim's width."""
    tile = int(size * 0.96) // columns
    margin = (size - columns * tile) // 2
    picture = np.empty((rows * tile + 2 * margin, size, 3), np.float32)
    picture[:] = WOOD
    half, thickness = tile // 2, max(1, tile // 30)
    first, last_row, last_column = (
        margin + half,
        margin + half + (rows - 1) * tile,
        margin + half + (columns - 1) * tile,
    )
    for row in range(rows):
        picture[first + row * tile :, first : last_column + thickness][:thickness] = LINE
    for column in range(columns):
        picture[first : last_row + thickness, first + column * tile :][:, :thickness] = LINE
    for point in go.star_points(rows, columns):
        row, column = divmod(point, columns)
        window = picture[margin + row * tile :, margin + column * tile :][:tile, :tile]
        _paint(window, LINE, _disc(tile, max(0.09, 1.5 / tile)))
    return np.rint(picture).astype(np.uint8), tile, margin


@lru_cache(maxsize=8)
def _stone(tile: int, code: int) -> tuple[Floats, Floats]:
    """Return a Go stone's colours [tile, tile, 3] and its coverage [tile, tile, 1], shadow included."""
    body, shine = GO_STONES[code]
    x, y = _pixels(tile)
    light = np.clip(1 - 2.2 * np.hypot(x - 0.36, y - 0.33), 0, 1)[:, :, None]
    disc = _disc(tile, 0.47)[:, :, None]
    shadow = 0.3 * _disc(tile, 0.47, offset=0.03)[:, :, None]
    coverage = disc + shadow * (1 - disc)
    colours = np.asarray(body, np.float32) + (np.asarray(shine, np.float32) - np.asarray(body, np.float32)) * light
    return colours * disc / np.maximum(coverage, 1e-9), coverage


@lru_cache(maxsize=64)
def _piece(tile: int, palette: tuple[Colour, Colour, Colour], crowned: bool) -> tuple[Floats, Floats]:
    """Return a piece's colours [tile, tile, 3] and its coverage [tile, tile, 1], shadow included."""
    body, rim, groove = palette
    colours = np.zeros((tile, tile, 3), np.float32)
    shadow = 0.35 * _disc(tile, 0.41, offset=0.025)
    disc = _disc(tile, 0.40)
    _paint(colours, groove, disc)
    _paint(colours, rim, _disc(tile, 0.385))
    _paint(colours, body, _disc(tile, 0.35))
    for radius in (0.29, 0.21) if not crowned else (0.30,):
        _paint(colours, groove, _disc(tile, radius))
        _paint(colours, body, _disc(tile, radius - 0.025))
    if crowned:
        _paint(colours, groove, _polygon(tile, CROWN, offset=0.012))
        _paint(colours, GOLD, _polygon(tile, CROWN))
    down = np.linspace(1.0, -1.0, tile)[:, None, None]  # light from above
    coverage = disc + shadow * (1 - disc)
    shaded: Floats = np.clip(colours * (1 + 0.07 * down), 0, 255)  # the shadow is black
    return shaded * disc[:, :, None] / np.maximum(coverage, 1e-9)[:, :, None], coverage[:, :, None]


def _paint(canvas: Floats, colour: Colour, coverage: Floats) -> None:
    """Lay a colour over a canvas [height, width, 3], in place."""
    canvas += (np.asarray(colour, np.float32) - canvas) * coverage[:, :, None]


def _pixels(tile: int) -> tuple[Floats, Floats]:
    """Return the x and y of the pixels' centres, in tiles from the upper left corner."""
    centres = (np.arange(tile, dtype=np.float32) + np.float32(0.5)) / tile
    return np.meshgrid(centres, centres)


def _disc(tile: int, radius: float, offset: float = 0.0) -> Floats:
    """Return the share of each pixel that a disc in the tile's middle covers; offset moves it down. Units: tiles."""
    x, y = _pixels(tile)
    distance: Floats = np.hypot(x - 0.5, y - 0.5 - offset)
    shares: Floats = np.clip((radius - distance) * tile + 0.5, 0, 1)
    return shares


# A crown with three points, x and y in tiles.
CROWN = ((0.33, 0.63), (0.29, 0.39), (0.41, 0.50), (0.50, 0.33), (0.59, 0.50), (0.71, 0.39), (0.67, 0.63))
SAMPLES = 4  # a side, per pixel


def _polygon(tile: int, corners: tuple[tuple[float, float], ...], offset: float = 0.0) -> Floats:
    """Return the share of each pixel inside a polygon, by the even-odd rule on a grid of samples."""
    x, y = _pixels(tile * SAMPLES)
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        y0, y1 = y0 + offset, y1 + offset
        crosses = (y0 > y) != (y1 > y)
        inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0 if y1 != y0 else 1.0))
    shares: Floats = inside.reshape(tile, SAMPLES, tile, SAMPLES).mean(axis=(1, 3))
    return shares


def _glow(canvas: Floats) -> None:
    """Light up a square of checkers."""
    canvas += 0.45 * (np.asarray(SQUARE_GLOW, np.float32) - canvas)


def _ring(canvas: Floats) -> None:
    """Light up a cell of Connect Four."""
    tile = len(canvas)
    _paint(canvas, RING_GLOW, _disc(tile, 0.48) - _disc(tile, 0.42))


def _dot(canvas: Floats) -> None:
    """Light up a point of Go."""
    _paint(canvas, POINT_GLOW, _disc(len(canvas), 0.16))


@dataclass(frozen=True)
class _Look:
    """How the pictures of one game are made."""

    board: Callable[[int, int, int], tuple[Picture, int, int]]  # size, rows, columns -> empty board, tile, margin
    piece: Callable[[int, int], tuple[Floats, Floats]]  # tile, code -> colours, coverage
    light: Callable[[Floats], None]  # canvas [tile, tile, 3] of a cell
    marks_pieces: bool = False  # a lit cell's light is above its piece


def _checkers_piece(tile: int, code: int) -> tuple[Floats, Floats]:
    return _piece(tile, CHECKERS_PIECES[int(np.sign(code))], abs(code) == KING)


def _connect_four_piece(tile: int, code: int) -> tuple[Floats, Floats]:
    return _piece(tile, CONNECT_FOUR_PIECES[code], crowned=False)


_LOOKS = {
    "checkers": _Look(_checkers_board, _checkers_piece, _glow),
    "connect_four": _Look(_connect_four_board, _connect_four_piece, _ring),
    "go": _Look(_go_board, _stone, _dot, marks_pieces=True),
}


# Digits as strokes through points of a 2 x 4 grid, x from the left, y from the top.
DIGITS = {
    "0": "10 01 03 14 23 21 10",
    "1": "01 10 14",
    "2": "01 10 21 04 24",
    "3": "00 20 12 23 14 03",
    "4": "20 03 23 | 22 24",
    "5": "20 00 02 12 23 14 04",
    "6": "20 01 03 14 23 12 02",
    "7": "00 20 14",
    "8": "10 01 12 23 14 03 12 21 10",
    "9": "22 12 01 10 21 23 04",
}
DIGIT_HEIGHT, CORNER, STROKE = 0.13, 0.045, 0.015  # in tiles


def _number(tile: int, number: int) -> Floats:
    """Return the coverage of a number in the tile's upper left corner."""
    x, y = _pixels(tile)
    unit = DIGIT_HEIGHT / 4
    distance = np.full((tile, tile), np.inf)
    for position, digit in enumerate(str(number)):
        left = CORNER + position * 3.4 * unit
        for stroke in DIGITS[digit].split("|"):
            points = [(left + int(p[0]) * unit, CORNER + int(p[1]) * unit) for p in stroke.split()]
            for (x0, y0), (x1, y1) in pairwise(points):
                along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
                along = np.clip(along, 0, 1)
                distance = np.minimum(distance, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    shares: Floats = np.clip((STROKE - distance) * tile + 0.5, 0, 1)
    return shares
