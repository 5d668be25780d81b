"""Counting a Go board: area score."""

from __future__ import annotations

import numpy as np

from games.compiled import njit
from games.go_board import BLACK, BORDER, EMPTY, NUM_POINTS, OFFSETS, STRIDE, WHITE


@njit
def area_margin(state):
    """Return Black's area minus White's: stones, and empty regions that only one colour borders; komi not counted."""
    board = state.board
    is_seen = np.zeros(NUM_POINTS, np.bool_)
    stack = np.empty(NUM_POINTS, np.uint16)
    margin = np.int64(0)
    for row in range(1, np.int64(state.rows) + 1):
        for start in range(STRIDE * row + 1, STRIDE * row + 1 + np.int64(state.columns)):
            if board[start] == BLACK:
                margin += 1
            elif board[start] == WHITE:
                margin -= 1
            elif not is_seen[start]:
                is_seen[start] = True
                stack[0] = start
                found, done = 1, 0
                borders = 0  # bit 1: Black, bit 2: White
                while done < found:
                    point = np.int64(stack[done])
                    done += 1
                    for offset in OFFSETS:
                        neighbour = point + offset
                        stone = board[neighbour]
                        if stone != EMPTY:
                            borders |= 1 << stone
                        elif not is_seen[neighbour]:
                            is_seen[neighbour] = True
                            stack[found] = neighbour
                            found += 1
                borders &= ~(1 << BORDER)
                if borders == 1 << BLACK:
                    margin += found
                elif borders == 1 << WHITE:
                    margin -= found
    return margin


@njit
def area_score(state):
    """Return Black's area minus White's and the komi; every stone on the board counts as alive."""
    return np.float64(area_margin(state)) - np.float64(state.komi2) / 2.0
