"""Go on any board from 1x1 to 19x19, by area scoring: the contract, and one Game a size.

An action is row * columns + column, row 0 at the top, or the last, rows * columns: pass. Black moves first. Two passes
in a row end the game, and so does the move limit; all stones on the board count as alive (Tromp & Taylor's rules, and
the Chinese ones where dead stones were taken first). All sizes share one record, whose rule fields name the size, so
that kernels are compiled once.

Ko rules: no stone may be retaken at once where that brings the position before back. Beside that a move may not leave
stones as they stood before in the game (positional superko), or so with the same player to move (situational). A pass
is always legal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import product
from numbers import Real

import numpy as np

from games.compiled import njit
from games.go_board import (
    BLACK,
    EMPTY,
    KO_HASH,
    LAST_MOVES,
    MAX_SIZE,
    NO_MOVE,
    NO_POINT,
    ONE,
    PASSES_HASH,
    POSITIONAL,
    SIMPLE_KO,
    SITUATIONAL,
    STATE,
    STRIDE,
    VISITED,
    WHITE,
    WHITE_TO_MOVE,
    action_of,
    chain_liberties,
    clear_board,
    count_liberties,
    forget,
    is_playable,
    place,
    point_of,
    remember,
    stone_at,
)
from games.go_scoring import area_score
from games.rules import Game, GameError, State, States, contract_functions, register

__all__ = [
    "GO",
    "action_of",
    "area_score",
    "chain_liberties",
    "find_size",
    "game",
    "handicap_points",
    "is_legal",
    "parse_size",
    "point_of",
    "set_board",
    "setup",
    "star_points",
    "stone_at",
]

NUM_PLANES = 16
DEFAULT_KOMI = 7.5
MAX_KOMI = 1000
LEAST_LIMIT = 64  # plies that every game may have

# --- the contract ---------------------------------------------------------------------------------------------------


@njit
def init(state):
    clear_board(state)
    state.to_move = np.uint8(0)
    state.passes = np.uint8(0)
    state.ply = np.uint32(0)
    state.captured[0] = np.uint16(0)
    state.captured[1] = np.uint16(0)
    for i in range(LAST_MOVES):
        state.last_moves[i] = np.int16(NO_MOVE)
    forget(state)


@njit
def apply(state, action):
    colour = np.int64(state.to_move) + 1
    if action == np.int64(state.rows) * np.int64(state.columns):
        state.passes = np.uint8(state.passes + 1)
        state.ko_point = np.uint16(NO_POINT)
        state.num_taken = np.uint16(0)
    else:
        state.passes = np.uint8(0)
        place(state, point_of(state, action), colour)
    if state.ko_rule == SITUATIONAL or (state.ko_rule == POSITIONAL and state.passes == 0):
        remember(state, colour)
    state.to_move = np.uint8(2 - colour)
    state.ply = np.uint32(state.ply + 1)
    for i in range(LAST_MOVES - 1, 0, -1):
        state.last_moves[i] = state.last_moves[i - 1]
    state.last_moves[0] = np.int16(action)


@njit
def legal_mask(state, mask):
    for word in range(mask.size):
        mask[word] = np.uint64(0)
    if is_over(state):
        return
    colour = np.int64(state.to_move) + 1
    columns = np.int64(state.columns)
    doubtful = 0 if state.ko_rule == SIMPLE_KO else VISITED << colour  # without this mark no move repeats a position
    action = np.int64(0)
    for row in range(1, np.int64(state.rows) + 1):
        for point in range(STRIDE * row + 1, STRIDE * row + 1 + columns):
            if state.board[point] == EMPTY:
                around = np.int64(state.around[point])
                if (around & 7 != 0 and around & doubtful == 0) or is_playable(state, point, colour):
                    mask[action >> 6] |= ONE << np.uint64(action & 63)
            action += 1
    mask[action >> 6] |= ONE << np.uint64(action & 63)  # a pass


@njit
def is_over(state):
    return state.passes >= 2 or 0 < state.move_limit <= state.ply


@njit
def returns(state):
    return np.float32(np.sign(area_score(state)))


@njit
def to_play(state):
    return np.int64(state.to_move)


@njit
def observe(state, planes):
    """Planes as the mover sees them; H x W are the board, row 0 at the top.

    0 own stones, 1 enemy stones; own stones whose chain has 2: one, 3: two, 4: three or more liberties, and 5-7 the
    enemy's; 8-12 where the last five moves were, the newest first (passes nowhere); 13 the ko point; 14 the komi as the
    mover's gain / 15, at most 1 either way; 15 all 1.
    """
    planes[:] = np.float32(0.0)
    columns = np.int64(state.columns)
    area = np.int64(state.rows) * columns
    own = np.int64(state.to_move) + 1
    one = np.float32(1.0)
    for row in range(np.int64(state.rows)):
        for column in range(columns):
            point = STRIDE * (row + 1) + column + 1
            if state.board[point] == EMPTY:
                continue
            planes[0 if state.board[point] == own else 1, row, column] = one
            if state.head[point] == point:
                first_plane = 2 if state.board[point] == own else 5
                plane = first_plane + min(count_liberties(state, np.int64(point), 3), 3) - 1
                stone = np.int64(point)
                while True:
                    planes[plane, stone // STRIDE - 1, stone % STRIDE - 1] = one
                    stone = np.int64(state.next_stone[stone])
                    if stone == point:
                        break
    for i in range(5):
        action = np.int64(state.last_moves[i])
        if 0 <= action < area:
            planes[8 + i, action // columns, action % columns] = one
    if state.ko_point != NO_POINT:
        planes[13, state.ko_point // STRIDE - 1, state.ko_point % STRIDE - 1] = one
    komi = np.float32(state.komi2) / np.float32(30.0)
    planes[14] = max(min(komi if own == WHITE else -komi, one), -one)
    planes[15] = one


@njit
def hash_key(state):
    """Hash the stones, the mover, the ko point and the passes just made.

    What superko remembers beside the ko point is left out, as is the number of moves: two positions with this key may
    differ in the moves that would repeat an older position, and in the distance of the move limit.
    """
    key = np.uint64(state.hash)
    if state.ko_point != NO_POINT:
        key ^= KO_HASH[state.ko_point]
    if state.passes != 0:
        key ^= PASSES_HASH[state.passes]
    return key ^ WHITE_TO_MOVE if state.to_move == 1 else key


@njit
def is_quiet(state):
    return True


@njit
def is_cut(state):
    return state.passes < 2


# --- what programs ask of Go beyond the contract ----------------------------------------------------------------------


@njit
def is_legal(state, action):
    """Say whether an action 0 .. rows * columns is legal."""
    if is_over(state):
        return False
    if action == np.int64(state.rows) * np.int64(state.columns):
        return True
    point = point_of(state, action)
    return state.board[point] == EMPTY and is_playable(state, point, np.int64(state.to_move) + 1)


@njit
def set_board(state, stones, to_move):
    """Start the game at a board, stones int [rows * columns] of 0 empty, 1 black, 2 white; say whether it is legal.

    Not legal is a board with a chain that has no liberty. The rule fields stay as they are.
    """
    init(state)
    for action in range(stones.size):
        if stones[action] != EMPTY:
            place(state, point_of(state, action), np.int64(stones[action]))
    state.to_move = np.uint8(to_move)
    state.ko_point = np.uint16(NO_POINT)
    state.num_taken = np.uint16(0)
    forget(state)
    return state.captured[0] + state.captured[1] == 0


def setup(state: State, points_black: Iterable[int], points_white: Iterable[int], to_move: int) -> None:
    """Start the game at these stones, points given as actions; GameError where they are no legal board."""
    stones = np.zeros(int(state.rows) * int(state.columns), np.uint8)
    for colour, points in ((BLACK, points_black), (WHITE, points_white)):
        for point in points:
            if not 0 <= point < stones.size:
                raise GameError(f"set-up stone at {point}: allowed are points 0 to {stones.size - 1}")
            if stones[point] != EMPTY:
                raise GameError(f"two set-up stones at {point}")
            stones[point] = colour
    if to_move not in (0, 1):
        raise GameError(f"{to_move} to move: allowed are 0 (Black) and 1 (White)")
    if not set_board(state.copy(), stones, to_move):
        raise GameError("a chain of the set-up stones has no liberty")
    set_board(state, stones, to_move)


def handicap_points(size: int, stones: int) -> list[int]:
    """Return where GTP's fixed handicap puts so many stones on a square board, as actions (GTP 2, section 4.1.1)."""
    most = 0 if size < 7 else 4 if size == 7 or size % 2 == 0 else 9
    if not 2 <= stones <= most:
        allowed = f"allowed are 2 to {most}" if most else "there is none"
        raise GameError(f"a fixed handicap of {stones} stones on {size}x{size}: {allowed}")
    near = _marked_line(size)
    far, middle = size - 1 - near, size // 2
    corners = [(far, near), (near, far), (near, near), (far, far)]  # D4, Q16, D16, Q4
    sides = [(middle, near), (middle, far), (far, middle), (near, middle)]  # D10, Q10, K4, K16
    points = corners[:stones] + sides[: (stones - 4) // 2 * 2 if stones > 5 else 0]
    if stones > 4 and stones % 2:
        points.append((middle, middle))
    return [row * size + column for row, column in points]


def star_points(rows: int, columns: int) -> frozenset[int]:
    """Return the points, as actions, that a board has marks on: up to 4 in the corners, 1 in the middle, 4 between."""

    def lines(length: int) -> list[int]:
        near = _marked_line(length)
        middle = [length // 2] if length % 2 and length >= 9 else []
        return [near, *middle, length - 1 - near] if length >= 7 else []

    return frozenset(
        row * columns + column
        for row, column in product(lines(rows), lines(columns))
        if min(rows, columns) >= 15 or (row == rows // 2) == (column == columns // 2)
    )


def _marked_line(length: int) -> int:
    """Return how far from the edge a board's outer marks are: on its third line, or on its fourth where it is large."""
    return 2 if length < 13 else 3


# --- a Game for every size --------------------------------------------------------------------------------------------


def game(rows: int, columns: int | None = None, komi: float = DEFAULT_KOMI) -> Game:
    """Return Go on a board of this size (columns: as many as rows), the same object for the same arguments.

    Its rule sets are "chinese" (positional superko, no suicide), "tromp-taylor" (suicide allowed), "situational" and
    "simple-ko"; komi is a multiple of one half. GameError on what is not allowed.
    """
    columns = rows if columns is None else columns
    if not (1 <= rows <= MAX_SIZE and 1 <= columns <= MAX_SIZE):
        raise GameError(f"a Go board of {rows}x{columns}: allowed are 1x1 to {MAX_SIZE}x{MAX_SIZE}")
    if not (isinstance(komi, Real) and abs(komi) <= MAX_KOMI and float(2 * komi).is_integer()):
        raise GameError(f"komi {komi}: allowed are multiples of 0.5 from -{MAX_KOMI} to {MAX_KOMI}")
    return _game(int(rows), int(columns), int(2 * komi))


@cache
def _game(rows: int, columns: int, komi2: int) -> Game:
    area = rows * columns
    common = {"rows": rows, "columns": columns, "komi2": komi2, "move_limit": max(3 * area, LEAST_LIMIT)}
    return Game(
        name=f"go-{rows}x{columns}",
        dtype=STATE,
        num_actions=area + 1,
        planes_shape=(NUM_PLANES, rows, columns),
        rule_sets={
            "chinese": {**common, "ko_rule": POSITIONAL, "suicide": 0},
            "tromp-taylor": {**common, "ko_rule": POSITIONAL, "suicide": 1},
            "situational": {**common, "ko_rule": SITUATIONAL, "suicide": 0},
            "simple-ko": {**common, "ko_rule": SIMPLE_KO, "suicide": 0},
            "new-zealand": {**common, "ko_rule": SITUATIONAL, "suicide": 1},
        },
        version=1,
        functions=contract_functions(globals()),
        of_record=game_of_record,
    )


def game_of_record(states: States | State) -> Game:
    """Return the Game of the size that the records have."""
    first = states.flat[0] if isinstance(states, np.ndarray) and states.ndim else states
    return game(int(first["rows"]), int(first["columns"]))


def find_size(name: str) -> Game | None:
    """Return the Game that a name such as "go-9x9" means, None where it is no such name."""
    match = re.fullmatch(r"go-(\d{1,2})x(\d{1,2})", name)
    return game(int(match[1]), int(match[2])) if match else None


def parse_size(text: str) -> tuple[int, int]:
    """Return the rows and columns that "9" or "9x13" mean; GameError where it is no size of a board."""
    match = re.fullmatch(r"(\d{1,3})(?:x(\d{1,3}))?", text.strip())
    if match is None:
        raise GameError(f"board size {text!r}: allowed are lines such as 9, or rows and columns such as 9x13")
    return int(match[1]), int(match[2] or match[1])


def size_text(rows: int, columns: int) -> str:
    """Return a size as `parse_size` reads it."""
    return str(rows) if rows == columns else f"{rows}x{columns}"


GO = register(game(MAX_SIZE))
