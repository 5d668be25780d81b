"""Ladders: whether a chain that is down to its last liberties can be caught by atari after atari.

The hunter may do nothing but give atari; the prey may extend at its last liberty, or take a chain beside it that is in
atari itself. It has escaped where it has three liberties, or where the hunter has no atari that works. Ko is the simple
rule; superko is not looked at.

The reader plays on a bare copy of the stones and takes its moves back, so a step costs about as much as flooding the
prey. Points and colours are those of games/go_board.py.
"""

from __future__ import annotations

import numpy as np

from games.compiled import njit
from games.go_board import EMPTY, NO_POINT, NUM_POINTS, OFFSETS
from games.rules import record_dtype

MAX_DEPTH = 200  # moves of a ladder: one that crosses the board and comes back has some 150
MAX_NODES = 2_000  # positions of one reading; a prey that is not caught by then counts as escaped
MAX_REPLIES = 8  # ways out that the prey tries in one position

READER = record_dtype(
    [
        ("num_nodes", np.int32),  # positions read so far
        ("num_changes", np.int32),
        ("ko_point", np.int32),  # where no stone may be retaken now; NO_POINT none
        ("stamp", np.int32),  # of the latest flood: what it has reached has this mark
        ("board", np.uint8, (NUM_POINTS,)),
        ("marks", np.int32, (NUM_POINTS,)),
        ("chain", np.int16, (NUM_POINTS,)),  # stones that the latest flood has reached
        ("prey", np.int16, (NUM_POINTS,)),  # stones of the prey, in the position under way
        ("changes", np.int16, (NUM_POINTS + 2 * MAX_DEPTH + 2,)),  # 4 * point + what was there, to be taken back
        ("replies", np.int16, (MAX_DEPTH, MAX_REPLIES)),  # by depth
    ]
)


@njit
def start_reading(state, reader):
    """Copy the stones of a position into a reader, which may hold anything."""
    reader.stamp = np.int32(0)
    for point in range(NUM_POINTS):
        reader.board[point] = state.board[point]
        reader.marks[point] = np.int32(0)


@njit
def captures_in_ladder(reader, prey, point, other):
    """Say whether a chain is caught once its enemy has played on one of its two liberties, point and other.

    The chain is given by any of its stones. Precondition: the move is legal.
    """
    if empty_beside(reader, other, point) > 2:  # there the prey runs to three liberties
        return False
    return is_caught_after(reader, prey, point, 3 - np.int64(reader.board[prey]))


@njit
def escapes_ladder(reader, prey, point):
    """Say whether a chain in atari gets away by a move of its own colour; precondition: it is legal."""
    return not is_caught_after(reader, prey, point, np.int64(reader.board[prey]))


@njit
def is_caught_after(reader, prey, point, colour):
    """Say whether a chain is caught after a move of a colour, or kills itself by it; the reader is left as it was."""
    reader.num_nodes = np.int32(0)
    reader.num_changes = np.int32(0)
    reader.ko_point = np.int32(NO_POINT)
    is_hunters_turn = colour == np.int64(reader.board[prey])
    caught = is_hunters_turn
    if play(reader, point, colour):
        caught = is_caught(reader, prey, is_hunters_turn, np.int64(0))
    take_back(reader, 0)
    return caught


@njit
def is_caught(reader, prey, is_hunters_turn, depth):
    """Say whether the prey is lost, with either side to move.

    (A constant among the arguments of a call to itself would leave numba's cached code without a symbol.)
    """
    reader.num_nodes = np.int32(reader.num_nodes + 1)
    if reader.num_nodes > MAX_NODES or depth == MAX_DEPTH:
        return False
    colour = np.int64(reader.board[prey])
    count, first, second, num_stones = flood(reader, reader.prey, prey, 3)
    ko_point, num_changes = np.int32(reader.ko_point), np.int64(reader.num_changes)
    if is_hunters_turn:
        if count == 1:
            return first != ko_point
        if count > 2:
            return False
        for attempt in range(2):
            point, other = (first, second) if attempt == 0 else (second, first)
            if empty_beside(reader, other, point) > 2:
                continue
            reader.ko_point = ko_point
            if play(reader, point, 3 - colour) and is_caught(reader, prey, not is_hunters_turn, depth + 1):
                take_back(reader, num_changes)
                return True
            take_back(reader, num_changes)
        return False
    if count > 1:
        return False
    for i in range(find_replies(reader, colour, num_stones, first, depth)):
        reader.ko_point = ko_point
        if play(reader, np.int64(reader.replies[depth, i]), colour) and not is_caught(
            reader, prey, not is_hunters_turn, depth + 1
        ):
            take_back(reader, num_changes)
            return False
        take_back(reader, num_changes)
    return True


@njit
def find_replies(reader, colour, num_stones, last_liberty, depth):
    """Write what may save a prey in atari, and return how many moves those are: reader.prey has its stones.

    They are its last liberty and the last liberties of the enemy chains beside it.
    """
    reader.replies[depth, 0] = np.int16(last_liberty)
    num_replies = 1
    stamp_of_prey = np.int32(reader.stamp)
    for i in range(num_stones):
        for offset in OFFSETS:
            beside = np.int64(reader.prey[i]) + offset
            if reader.board[beside] == 3 - colour and reader.marks[beside] <= stamp_of_prey:
                count, point, _, _ = flood(reader, reader.chain, beside, 2)
                is_new = count == 1 and num_replies < MAX_REPLIES
                for reply in range(num_replies):
                    is_new &= reader.replies[depth, reply] != point
                if is_new:
                    reader.replies[depth, num_replies] = np.int16(point)
                    num_replies += 1
    return num_replies


@njit
def flood(reader, stones, start, most):
    """Return how many liberties a chain has, the first two of them, and how many stones of it were listed.

    Counting stops at `most`; below that all stones are listed.
    """
    board, marks = reader.board, reader.marks
    reader.stamp = np.int32(reader.stamp + 1)
    stamp = reader.stamp
    colour = board[start]
    count = first = second = np.int64(0)
    stones[0] = np.int16(start)
    marks[start] = stamp
    num_stones = 1
    i = 0
    while i < num_stones:
        for offset in OFFSETS:
            point = np.int64(stones[i]) + offset
            if marks[point] == stamp:
                continue
            marks[point] = stamp
            if board[point] == colour:
                stones[num_stones] = np.int16(point)
                num_stones += 1
            elif board[point] == EMPTY:
                count += 1
                if count == 1:
                    first = point
                elif count == 2:
                    second = point
                if count == most:
                    return count, first, second, num_stones
        i += 1
    return count, first, second, num_stones


@njit
def play(reader, point, colour):
    """Play a move on an empty point and say whether it is legal; either way it is to be taken back."""
    if point == reader.ko_point:
        return False
    board = reader.board
    has_room = has_friend = False
    for offset in OFFSETS:
        has_room |= board[point + offset] == EMPTY
        has_friend |= board[point + offset] == colour
    change(reader, point, colour)
    num_taken = taken = np.int64(0)
    for offset in OFFSETS:
        beside = point + offset
        if board[beside] == 3 - colour:
            count, _, _, num_stones = flood(reader, reader.chain, beside, 1)
            if count == 0:
                for i in range(num_stones):
                    change(reader, np.int64(reader.chain[i]), EMPTY)
                num_taken += num_stones
                taken = beside
    reader.ko_point = np.int32(taken if num_taken == 1 and not has_room and not has_friend else NO_POINT)
    return has_room or num_taken > 0 or flood(reader, reader.chain, point, 1)[0] > 0


@njit
def change(reader, point, stone):
    """Put a stone on a point, or take it away, and note what was there."""
    reader.changes[reader.num_changes] = np.int16(4 * point + reader.board[point])
    reader.num_changes = np.int32(reader.num_changes + 1)
    reader.board[point] = np.uint8(stone)


@njit
def take_back(reader, num_changes):
    """Undo all changes but the first so many."""
    while reader.num_changes > num_changes:
        reader.num_changes = np.int32(reader.num_changes - 1)
        noted = np.int64(reader.changes[reader.num_changes])
        reader.board[noted >> 2] = np.uint8(noted & 3)


@njit
def empty_beside(reader, point, besides):
    """Return how many points next to a point are empty, one point left out."""
    count = 0
    for offset in OFFSETS:
        count += reader.board[point + offset] == EMPTY and point + offset != besides
    return count
