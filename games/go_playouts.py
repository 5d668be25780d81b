"""Random games of Go from a position to its end."""

from __future__ import annotations

import numpy as np

from games.compiled import njit
from games.go_board import (
    BORDER,
    DIAGONALS,
    EMPTY,
    MAX_SIZE,
    NO_MOVE,
    NO_POINT,
    SIMPLE_KO,
    STRIDE,
    is_playable,
    place,
    remember,
)
from games.go_scoring import area_score
from games.random_bits import random_below


@njit
def fills_eye(state, point, colour):
    """Say whether a move fills an eye of its own colour: a point that its stones surround, and cannot easily lose.

    The enemy holds fewer than two of the points diagonal to it, and none at the edge.
    """
    enemy = 3 - colour
    if (np.int64(state.around[point]) & (7 | 7 << 3 * enemy)) != 0:
        return False
    enemies = 0
    borders = 0
    for offset in DIAGONALS:
        enemies += state.board[point + offset] == enemy
        borders |= state.board[point + offset] == BORDER
    return enemies + borders < 2


@njit
def playout(state, stream):
    """Play random moves to the end of the game; a player passes only where every move left would fill an own eye.

    stream: uint64 [1], of random numbers. The record's `last_moves` are not kept. Without a move limit the game is
    broken off after 3 moves a point.
    """
    points = np.empty(MAX_SIZE * MAX_SIZE, np.uint16)  # the empty ones, in any order
    count = list_empty_points(state, points)
    ply, passes = np.int64(state.ply), np.int64(state.passes)
    limit = np.int64(state.move_limit)
    if limit == 0:
        limit = ply + 3 * np.int64(state.rows) * np.int64(state.columns)
    colour = np.int64(state.to_move) + 1
    while passes < 2 and ply < limit:
        passes += 1
        left = count  # the points before this have not been tried
        while left > 0:
            i = random_below(stream, 0, left)
            point = np.int64(points[i])
            left -= 1
            if not fills_eye(state, point, colour) and is_playable(state, point, colour):
                count -= 1
                points[i] = points[left]
                points[left] = points[count]
                place(state, point, colour)
                if state.num_taken != 0:
                    count = list_taken_points(state, points, count)
                if state.ko_rule != SIMPLE_KO:
                    remember(state, colour)
                passes = np.int64(0)
                break
            points[i], points[left] = points[left], np.uint16(point)
        if passes != 0:
            state.ko_point = np.uint16(NO_POINT)
            state.num_taken = np.uint16(0)
        colour = 3 - colour
        state.to_move = np.uint8(colour - 1)
        ply += 1
    state.ply = np.uint32(ply)
    state.passes = np.uint8(passes)
    state.last_moves[:] = np.int16(NO_MOVE)


@njit
def list_empty_points(state, points):
    """Write the empty points and return how many there are."""
    count = np.int64(0)
    for row in range(1, np.int64(state.rows) + 1):
        for point in range(STRIDE * row + 1, STRIDE * row + 1 + np.int64(state.columns)):
            points[count] = point
            count += np.int64(state.board[point] == EMPTY)
    return count


@njit
def list_taken_points(state, points, count):
    """Add the points that the last move emptied to this many others and return how many there are."""
    for chain in range(state.num_taken):
        first = np.int64(state.taken[chain])
        stone = first
        while True:
            points[count] = stone
            count += 1
            stone = np.int64(state.next_stone[stone])
            if stone == first:
                break
    return count


@njit
def playouts(state, scratch, count, stream):
    """Play this many random games from a position; return Black's wins, the draws, and the moves made.

    scratch: records [1] to play in; stream: uint64 [1], of random numbers.
    """
    wins = draws = moves = np.int64(0)
    for _ in range(count):
        scratch[0] = state
        playout(scratch[0], stream)
        score = area_score(scratch[0])
        wins += score > 0
        draws += score == 0
        moves += np.int64(scratch[0].ply) - np.int64(state.ply)
    return wins, draws, moves
