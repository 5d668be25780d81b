"""Connect Four: seven columns of six cells; whoever first has four in a line, in any direction, wins.

Cell (column, height) is bit 7 * column + height, height 0 at the bottom: six cells a column and one guard bit on top
that stays 0, so that no line runs from one column into the next. An action is the column, 0-6 from the left.
"""

from __future__ import annotations

import numpy as np

from games.compiled import lowest_bit, njit
from games.random_bits import mix
from games.rules import Game, contract_functions, record_dtype, register

COLUMNS = 7
ROWS = 6
NUM_ACTIONS = COLUMNS
NUM_PLANES = 2
NUM_CELLS = COLUMNS * ROWS
STRIDE = ROWS + 1  # bits a column, the guard bit included

STATE = record_dtype(
    [
        ("first", np.uint64),  # cells of the first player's discs
        ("second", np.uint64),  # cells of the second player's discs
        ("discs", np.uint8),  # discs on the board; the first player moves at an even number
        ("unused", np.uint8, (7,)),  # where padding would be
    ]
)

RULE_SETS: dict[str, dict[str, int]] = {"standard": {}}

ONE = np.uint64(1)
BOTTOM = np.uint64(sum(1 << STRIDE * column for column in range(COLUMNS)))  # the lowest cell of every column
COLUMN = np.uint64((1 << ROWS) - 1)  # the six cells of column 0
LINES = (np.uint64(1), np.uint64(STRIDE), np.uint64(STRIDE - 1), np.uint64(STRIDE + 1))  # up, right, and the diagonals


@njit
def has_four(discs):
    """Say whether four of these cells stand in a line."""
    for step in LINES:
        pairs = discs & (discs >> step)
        if pairs & (pairs >> (step + step)) != 0:
            return True
    return False


@njit
def has_lost(state):
    """Say whether the mover faces four in a line; the mover never has them."""
    return has_four(np.uint64(state.first if state.discs % 2 == 1 else state.second))


# --- the contract ---------------------------------------------------------------------------------------------------


@njit
def init(state):
    state.first = np.uint64(0)
    state.second = np.uint64(0)
    state.discs = np.uint8(0)


@njit
def apply(state, action):
    occupied = np.uint64(state.first) | np.uint64(state.second)
    shift = np.uint64(STRIDE * action)
    disc = (occupied + (ONE << shift)) & (COLUMN << shift)  # the carry runs up to the lowest empty cell
    if state.discs % 2 == 0:
        state.first = np.uint64(state.first) | disc
    else:
        state.second = np.uint64(state.second) | disc
    state.discs = np.uint8(state.discs + 1)


@njit
def legal_mask(state, mask):
    mask[0] = np.uint64(0)
    if has_lost(state):
        return
    occupied = np.uint64(state.first) | np.uint64(state.second)
    for column in range(COLUMNS):
        top = occupied >> np.uint64(STRIDE * column + ROWS - 1)
        mask[0] |= (~top & ONE) << np.uint64(column)


@njit
def is_over(state):
    return state.discs == NUM_CELLS or has_lost(state)


@njit
def returns(state):
    if not has_lost(state):
        return np.float32(0.0)
    return np.float32(1.0) if state.discs % 2 == 1 else np.float32(-1.0)


@njit
def to_play(state):
    return np.int64(state.discs % 2)


@njit
def observe(state, planes):
    """Planes: own discs, enemy discs; row 0 is the top of the board."""
    planes[:] = np.float32(0.0)
    first, second = np.uint64(state.first), np.uint64(state.second)
    groups = (first, second) if state.discs % 2 == 0 else (second, first)
    for plane in range(NUM_PLANES):
        cells = groups[plane]
        while cells != 0:
            cell = lowest_bit(cells)
            cells &= cells - ONE
            planes[plane, ROWS - 1 - cell % STRIDE, cell // STRIDE] = np.float32(1.0)


@njit
def hash_key(state):
    """Mix a number that names the position, by steps that are one-to-one: no two positions share a key.

    A column of n discs adds 2**n - 1, its occupied cells, and up to as much again, the first player's among them: the
    ranges of different n do not overlap, and none reaches the next column.
    """
    first = np.uint64(state.first)
    return mix((first | np.uint64(state.second)) + first)


@njit
def is_quiet(state):
    return True


CONNECT_FOUR = register(
    Game(
        name="connect_four",
        dtype=STATE,
        num_actions=NUM_ACTIONS,
        planes_shape=(NUM_PLANES, ROWS, COLUMNS),
        rule_sets=RULE_SETS,
        version=1,
        functions=contract_functions(globals()),
    )
)
