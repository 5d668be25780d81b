"""Whose a point of a Go board is when the game is over, and the area score that follows."""

from __future__ import annotations

from typing import Any

import numpy as np

from games.compiled import njit
from games.go_board import BLACK, BORDER, EMPTY, NUM_POINTS, OFFSETS, STRIDE, WHITE, point_of
from games.rules import States

OWNED = np.array([0, 1, -1], np.int8)  # by colour


@njit
def mark_owners(state, owners):
    """Write whose every point is, int8 [NUM_POINTS]: 1 Black's, -1 White's, 0 neither's; the border's stay.

    A stone's point is its colour's, an empty region that of the one colour that borders it.
    """
    board = state.board
    is_seen = np.zeros(NUM_POINTS, np.bool_)
    region = np.empty(NUM_POINTS, np.uint16)
    for row in range(1, np.int64(state.rows) + 1):
        for start in range(STRIDE * row + 1, STRIDE * row + 1 + np.int64(state.columns)):
            if board[start] != EMPTY:
                owners[start] = OWNED[board[start]]
            elif not is_seen[start]:
                is_seen[start] = True
                region[0] = start
                found, done = 1, 0
                beside = np.int64(0)  # bit c: a neighbour of colour c
                while done < found:
                    point = np.int64(region[done])
                    done += 1
                    for offset in OFFSETS:
                        neighbour = point + offset
                        beside |= 1 << np.int64(board[neighbour])
                        if board[neighbour] == EMPTY and not is_seen[neighbour]:
                            is_seen[neighbour] = True
                            region[found] = neighbour
                            found += 1
                beside &= ~(1 << EMPTY | 1 << BORDER)
                owner = np.int8(int(beside == 1 << BLACK) - int(beside == 1 << WHITE))
                for i in range(found):
                    owners[region[i]] = owner


@njit
def write_owners(states, owners):
    """Write whose every point is, int8 [B, rows * columns], of positions [B] of one size."""
    marked = np.zeros(NUM_POINTS, np.int8)
    for i in range(states.size):
        mark_owners(states[i], marked)
        for action in range(owners.shape[1]):
            owners[i, action] = marked[point_of(states[i], action)]


def owners_of(states: States) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Return whose every point is, int8 [B, rows * columns], of positions [B] of one size: see `mark_owners`."""
    owners = np.zeros((states.size, int(states["rows"].flat[0]) * int(states["columns"].flat[0])), np.int8)
    write_owners(states, owners)
    return owners


@njit
def area_score(state):
    """Return Black's area minus White's and the komi; every stone on the board counts as alive."""
    owners = np.zeros(NUM_POINTS, np.int8)
    mark_owners(state, owners)
    margin = np.int64(0)
    for point in range(NUM_POINTS):
        margin += owners[point]
    return np.float64(margin) - np.float64(state.komi2) / 2.0
