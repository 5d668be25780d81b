"""Geometry and flat weight layout of Anaconda, the evolved checkers evaluator; numpy only.

Source: Chellapilla & Fogel, "Evolving an expert checkers playing program without using human expertise", IEEE
Transactions on Evolutionary Computation 5(4), 2001, section II. The 32 playable squares of the 8x8 board are
numbered row by row from the top, four a row; an index here is the square's number less one, as the mover sees
the board. Rows 0, 2, 4, 6 are playable in columns 1, 3, 5, 7, the other rows in columns 0, 2, 4, 6.

A network is one flat float32 vector of 5,046 weights, in the order of the slices below, and a scalar king
value K that is kept apart. Matrices are stored [in, out], row-major; the first layer window by window,
squares ascending. The sizes below are compiled into the kernels of agents/evaluators.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BOARD_SIZE = 8
NUM_SQUARES = 32
WINDOW_SIZES = (3, 4, 5, 6, 7, 8)  # 36 + 25 + 16 + 9 + 4 + 1 = 91 windows

NUM_WINDOWS = 91
NUM_CONNECTIONS = 854  # playable squares, counted once for every window that covers them
NUM_HIDDEN_2 = 40
NUM_HIDDEN_3 = 10


def _parts() -> tuple[slice, ...]:
    """Return the slices of the flat vector, one a part, end to end."""
    sizes = (
        NUM_CONNECTIONS,
        NUM_WINDOWS,
        NUM_WINDOWS * NUM_HIDDEN_2,
        NUM_HIDDEN_2,
        NUM_HIDDEN_2 * NUM_HIDDEN_3,
        NUM_HIDDEN_3,
        NUM_HIDDEN_3,
        1,
    )
    ends = np.cumsum(sizes).tolist()
    return tuple(slice(end - size, end) for size, end in zip(sizes, ends, strict=True))


(
    WINDOW_WEIGHTS,  # [854]
    WINDOW_BIASES,  # [91]
    HIDDEN_2_WEIGHTS,  # [91 * 40], [in, out]
    HIDDEN_2_BIASES,  # [40]
    HIDDEN_3_WEIGHTS,  # [40 * 10], [in, out]
    HIDDEN_3_BIASES,  # [10]
    OUTPUT_WEIGHTS,  # [10]
    OUTPUT_BIAS,  # [1]
) = _parts()

NUM_WEIGHTS: int = OUTPUT_BIAS.stop  # 5,046, as published

# A model file of Anaconda names this architecture and holds float32 "weights" [5046] and "king_value" [].
ARCHITECTURE = {"kind": "board_evaluator", "preset": "anaconda"}


def square_index(row: int, column: int) -> int | None:
    """Return the index 0..31 of a playable square, None for a square that is not played on."""
    return row * 4 + column // 2 if (row + column) % 2 == 1 else None


def windows() -> list[NDArray[np.int64]]:
    """Return the playable squares that each of the 91 windows covers, ascending.

    Windows go by size, 3x3 first, and within a size row by row from the top left.
    """
    covered = []
    for size in WINDOW_SIZES:
        for top in range(BOARD_SIZE - size + 1):
            for left in range(BOARD_SIZE - size + 1):
                squares = [
                    square_index(row, column)
                    for row in range(top, top + size)
                    for column in range(left, left + size)
                    if square_index(row, column) is not None
                ]
                covered.append(np.array(squares, dtype=np.int64))
    return covered


def connections() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (squares int64 [854], starts int64 [92]): window w reads squares[starts[w]:starts[w + 1]].

    Entry i of `squares` is the input of weight i of the flat vector.
    """
    covered = windows()
    starts = np.cumsum([0, *(len(squares) for squares in covered)], dtype=np.int64)
    return np.concatenate(covered), starts
