"""What published Go networks see of a position: sets of planes, written from the record by kernels.

All planes are zeros and ones, H x W the board, row 0 at the top; a number is one plane a value, the last for that value
or more. "Own" is the mover. What a move would do is told at the empty points where it is legal.

Sources: Clark & Storkey 2014 (arXiv 1412.3409), section 3; Maddison, Huang, Sutskever & Silver 2014 (arXiv 1412.6564),
table 1; Silver et al. 2016 (Nature 529), extended data tables 2 and 4. AlphaGo's value network has one plane more than
its policy network, behind the other 48: all 1 where Black is to move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from games.compiled import njit
from games.go import is_over
from games.go_board import (
    BLACK,
    EMPTY,
    LAST_MOVES,
    NO_POINT,
    NUM_POINTS,
    OFFSETS,
    STRIDE,
    count_liberties,
    is_playable,
    last_liberty_of,
)
from games.go_ladders import READER, captures_in_ladder, escapes_ladder, find_replies, flood, start_reading
from games.go_playouts import fills_eye
from games.rules import GameError

NO_PLANE = -1  # in place of a plane, where a set does not have that feature
NUM_RANKS = 9  # 1 dan to 9 dan
PROFESSIONAL = 10  # what a record's rank has more for a professional

Kernel = Callable[..., Any]


@dataclass(frozen=True)
class FeatureSet:
    """A set of planes."""

    name: str
    num_planes: int
    encode: Kernel  # (states [n], planes uint8 or float32 [n, C, H, W])
    rank_plane: int = NO_PLANE  # the first of nine for the mover's rank, 1 dan to 9 dan


def feature_set(name: str) -> FeatureSet:
    """Return a set of planes by its name; GameError where there is none."""
    if name not in FEATURES:
        raise GameError(f"no features {name!r}; there are: observe, {', '.join(FEATURES)}")
    return FEATURES[name]


class MovePlanes(NamedTuple):
    """Which planes of a set tell what a move would do, NO_PLANE where none does."""

    legal: int
    sensible: int  # legal, and it fills no own eye
    takes: int  # the first for stones that it takes: 0, 1, ...
    num_takes: int
    self_atari: int  # the first for own stones that it puts in atari: 1, 2, ...
    num_self_atari: int
    liberties: int  # the first for liberties after it: 1, 2, ...
    num_liberties: int


# --- the sets -------------------------------------------------------------------------------------------------------

MADDISON_MOVES = MovePlanes(
    legal=13, sensible=NO_PLANE, takes=19, num_takes=7, self_atari=NO_PLANE, num_self_atari=0,
    liberties=7, num_liberties=6,
)  # fmt: skip
ALPHAGO_MOVES = MovePlanes(
    legal=NO_PLANE, sensible=46, takes=20, num_takes=8, self_atari=28, num_self_atari=8,
    liberties=36, num_liberties=8,
)  # fmt: skip


@njit
def encode_clark_storkey(states, planes):
    """Own stones whose chain has 1, 2, 3 or more liberties (0-2), the enemy's (3-5), the ko point (6).

    The published network pads its first layer with ones beyond the edge, in a plane of its own.
    """
    for i in range(states.size):
        state, view = states[i], planes[i]
        view[:] = 0
        own = np.int64(state.to_move) + 1
        write_liberties(state, view, own, 0, 3)
        write_liberties(state, view, 3 - own, 3, 3)
        if state.ko_point != NO_POINT:
            view[6, state.ko_point // STRIDE - 1, state.ko_point % STRIDE - 1] = 1


@njit
def encode_history(states, planes):
    """Own stones, enemy stones, empty points, ones (3), and how many turns ago each stone was played (4-11).

    The twelve of AlphaGo's planes that make most of its accuracy (extended data table 4).
    """
    for i in range(states.size):
        state, view = states[i], planes[i]
        view[:] = 0
        own = np.int64(state.to_move) + 1
        write_stones(state, view, own, 0)
        view[3] = 1
        write_turns_since(state, view, 4, 8)


@njit
def encode_maddison(states, planes):
    """Black stones, white stones, empty points; liberties 1-4 (3-6); liberties after the move 1-6 (7-12); legal (13);
    turns since 1-5 (14-18); stones that the move takes, 0-6 (19-25); the move catches in a ladder (26); rank (27-35).

    The stones are by colour, since the network predicts both players' next move. The rank is 9 dan: what to play like.
    """
    for i in range(states.size):
        state, view = states[i], planes[i]
        view[:] = 0
        write_stones(state, view, BLACK, 0)
        write_liberties(state, view, BLACK, 3, 4)
        write_liberties(state, view, 3 - BLACK, 3, 4)
        write_turns_since(state, view, 14, 5)
        write_moves(state, view, MADDISON_MOVES)
        write_ladders(state, view, captures=26, escapes=NO_PLANE)
        view[27 + NUM_RANKS - 1] = 1


@njit
def encode_alphago(states, planes):
    """Own stones, enemy stones, empty points; ones (3); turns since 1-8 (4-11); liberties 1-8 (12-19); stones that the
    move takes, 0-7 (20-27); own stones that it puts in atari, 1-8 (28-35); liberties after it, 1-8 (36-43); it catches
    in a ladder (44); it escapes from one (45); it is legal and fills no own eye (46); zeros (47).
    """
    for i in range(states.size):
        state, view = states[i], planes[i]
        view[:] = 0
        own = np.int64(state.to_move) + 1
        write_stones(state, view, own, 0)
        view[3] = 1
        write_turns_since(state, view, 4, 8)
        write_liberties(state, view, BLACK, 12, 8)
        write_liberties(state, view, 3 - BLACK, 12, 8)
        write_moves(state, view, ALPHAGO_MOVES)
        write_ladders(state, view, captures=44, escapes=45)


FEATURES = {
    features.name: features
    for features in (
        FeatureSet("clark-storkey", 7, encode_clark_storkey),
        FeatureSet("history12", 12, encode_history),
        FeatureSet("maddison12", 36, encode_maddison, rank_plane=27),
        FeatureSet("alphago13", 48, encode_alphago),
    )
}


@njit
def write_ranks(ranks, planes, first):
    """Write the movers' ranks, int [n] as records have them, over those in planes [n, C, H, W]: dan, else none.

    A professional is a 9 dan: the networks that know ranks were made for amateurs'.
    """
    for i in range(ranks.size):
        planes[i, first : first + NUM_RANKS] = 0
        if ranks[i] > PROFESSIONAL:
            planes[i, first + NUM_RANKS - 1] = 1
        elif ranks[i] > 0:
            planes[i, first + ranks[i] - 1] = 1


# --- stones ---------------------------------------------------------------------------------------------------------


@njit
def write_stones(state, planes, colour, first):
    """Write the stones of a colour, those of the other, and the empty points."""
    for row in range(np.int64(state.rows)):
        for column in range(np.int64(state.columns)):
            stone = np.int64(state.board[STRIDE * (row + 1) + column + 1])
            planes[first + (2 if stone == EMPTY else 0 if stone == colour else 1), row, column] = 1


@njit
def write_liberties(state, planes, colour, first, num_planes):
    """Write how many liberties the chains of a colour have."""
    for row in range(1, np.int64(state.rows) + 1):
        for point in range(STRIDE * row + 1, STRIDE * row + 1 + np.int64(state.columns)):
            if state.head[point] == point and state.board[point] == colour:
                plane = first + min(count_liberties(state, np.int64(point), num_planes), num_planes) - 1
                stone = np.int64(point)
                while True:
                    planes[plane, stone // STRIDE - 1, stone % STRIDE - 1] = 1
                    stone = np.int64(state.next_stone[stone])
                    if stone == point:
                        break


@njit
def write_turns_since(state, planes, first, num_planes):
    """Write how many turns ago each stone was played: 1 is the last move; set-up stones have been there forever."""
    columns = np.int64(state.columns)
    area = np.int64(state.rows) * columns
    for row in range(np.int64(state.rows)):
        for column in range(columns):
            if state.board[STRIDE * (row + 1) + column + 1] != EMPTY:
                planes[first + num_planes - 1, row, column] = 1
    for age in range(min(LAST_MOVES, num_planes - 1) - 1, -1, -1):  # the oldest first: a point may be played on again
        action = np.int64(state.last_moves[age])
        if 0 <= action < area:
            point_row, point_column = action // columns, action % columns
            if state.board[STRIDE * (point_row + 1) + point_column + 1] != EMPTY:
                for plane in range(first, first + num_planes):
                    planes[plane, point_row, point_column] = 0
                planes[first + age, point_row, point_column] = 1


# --- moves ----------------------------------------------------------------------------------------------------------


@njit
def write_moves(state, planes, where):
    """Write what each legal move would do; where: MovePlanes."""
    if is_over(state):
        return
    marks = np.zeros(NUM_POINTS, np.int32)
    stamp = 0
    colour = np.int64(state.to_move) + 1
    for row in range(np.int64(state.rows)):
        for column in range(np.int64(state.columns)):
            point = STRIDE * (row + 1) + column + 1
            if state.board[point] != EMPTY or not is_playable(state, point, colour):
                continue
            stamp += 1
            taken, stones, liberties = outcome_of_move(state, point, colour, where.num_liberties, marks, stamp)
            if where.legal != NO_PLANE:
                planes[where.legal, row, column] = 1
            if where.sensible != NO_PLANE and not fills_eye(state, point, colour):
                planes[where.sensible, row, column] = 1
            planes[where.takes + min(taken, where.num_takes - 1), row, column] = 1
            if where.self_atari != NO_PLANE and liberties == 1:
                planes[where.self_atari + min(stones, where.num_self_atari) - 1, row, column] = 1
            if liberties > 0:  # else it is suicide, where that is allowed
                planes[where.liberties + min(liberties, where.num_liberties) - 1, row, column] = 1


@njit
def outcome_of_move(state, point, colour, most, marks, stamp):
    """Return how many stones a move takes, and stones and liberties of its chain afterwards, counted up to `most`.

    marks: int32 [NUM_POINTS], where no point has this stamp yet.
    """
    board = state.board
    heads, is_last = last_liberty_of(state, point)
    taken, stones, liberties = np.int64(0), np.int64(1), np.int64(0)
    marks[point] = stamp
    for i in range(4):
        chain = heads[i]
        if chain == 0:
            if board[point + OFFSETS[i]] == EMPTY:
                marks[point + OFFSETS[i]] = stamp
                liberties += 1
        elif board[chain] == colour:
            stones += np.int64(state.chain_size[chain])
        elif is_last[i]:
            taken += np.int64(state.chain_size[chain])
    for i in range(4):
        chain = heads[i]
        if chain == 0 or (board[chain] != colour and not is_last[i]) or liberties >= most:
            continue
        stone = chain
        while True:
            if board[chain] != colour:  # a stone that is taken: its point is a liberty if it is beside the new chain
                if is_beside(state, stone, point, heads, colour):
                    liberties += 1
            else:
                for offset in OFFSETS:
                    beside = stone + offset
                    if board[beside] == EMPTY and marks[beside] != stamp:
                        marks[beside] = stamp
                        liberties += 1
            stone = np.int64(state.next_stone[stone])
            if stone == chain or liberties >= most:
                break
    return taken, stones, liberties


@njit
def is_beside(state, stone, point, heads, colour):
    """Say whether a stone is next to a point, or to one of the chains of a colour among these heads."""
    is_found = False
    for offset in OFFSETS:
        beside = stone + offset
        is_found |= beside == point
        if state.board[beside] == colour:
            chain = np.int64(state.head[beside])
            is_found |= chain == heads[0] or chain == heads[1] or chain == heads[2] or chain == heads[3]
    return is_found


# --- ladders --------------------------------------------------------------------------------------------------------


@njit
def write_ladders(state, planes, captures, escapes):
    """Write the legal moves that catch a chain of two liberties in a ladder, and those that save one from atari."""
    if is_over(state):
        return
    readers = np.empty(1, READER)
    reader = readers[0]
    start_reading(state, reader)
    own = np.int64(state.to_move) + 1
    for row in range(1, np.int64(state.rows) + 1):
        for chain in range(STRIDE * row + 1, STRIDE * row + 1 + np.int64(state.columns)):
            if state.head[chain] != chain:
                continue
            if state.board[chain] != own:
                if count_liberties(state, np.int64(chain), 3) == 2:
                    write_captures(state, planes, captures, reader, chain)
            elif escapes != NO_PLANE and count_liberties(state, np.int64(chain), 2) == 1:
                write_escapes(state, planes, escapes, reader, chain)


@njit
def write_captures(state, planes, plane, reader, chain):
    """Write the moves that catch an enemy chain of two liberties."""
    own = np.int64(state.to_move) + 1
    _, first, second, _ = flood(reader, reader.chain, chain, 3)
    for attempt in range(2):
        point, other = (first, second) if attempt == 0 else (second, first)
        row, column = point // STRIDE - 1, point % STRIDE - 1
        is_open = planes[plane, row, column] == 0 and is_playable(state, point, own)
        if is_open and captures_in_ladder(reader, chain, point, other):
            planes[plane, row, column] = 1


@njit
def write_escapes(state, planes, plane, reader, chain):
    """Write the moves that save an own chain in atari: at its last liberty, or taking a chain beside it."""
    own = np.int64(state.to_move) + 1
    _, last, _, num_stones = flood(reader, reader.prey, chain, 3)
    num_replies = find_replies(reader, own, num_stones, last, 0)
    for i in range(num_replies):
        point = np.int64(reader.replies[0, i])
        row, column = point // STRIDE - 1, point % STRIDE - 1
        is_open = planes[plane, row, column] == 0 and is_playable(state, point, own)
        if is_open and escapes_ladder(reader, chain, point):
            planes[plane, row, column] = 1
