"""Tic-tac-toe, defined outside games/: the proof that a game plugs in by its record and its functions alone.

Cell (row, column) is bit 3 * row + column, and so is the action that marks it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from games.compiled import count_bits, njit
from games.rules import Game, contract_functions, record_dtype, register

# Generic kernels are cached by the field names of the records they meet, and the cache folder knows only the sources in
# games/ and agents/: naming this source's hash in a field makes an edit here start new kernels.
EDITION = "edition_" + hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]

STATE = record_dtype(
    [
        ("crosses", np.uint16),  # cells of the first player
        ("noughts", np.uint16),  # cells of the second player
        ("misere", np.uint8),  # rule: 1 when three in a row lose
        (EDITION, np.uint8),  # unused
    ]
)

FULL = 0b111_111_111
ROWS_OF_THREE = (0o007, 0o070, 0o700, 0o111, 0o222, 0o444, 0o421, 0o124)


@njit
def has_three(cells):
    found = False
    for row in ROWS_OF_THREE:
        found |= cells & row == row
    return found


@njit
def to_play(state):
    return np.int64(count_bits(np.uint64(state.crosses | state.noughts)) % 2)


@njit
def init(state):
    state.crosses = np.uint16(0)
    state.noughts = np.uint16(0)


@njit
def apply(state, action):
    cell = 1 << np.int64(action)
    if to_play(state) == 0:
        state.crosses = np.uint16(np.int64(state.crosses) | cell)
    else:
        state.noughts = np.uint16(np.int64(state.noughts) | cell)


@njit
def is_over(state):
    crosses, noughts = np.int64(state.crosses), np.int64(state.noughts)
    return has_three(crosses) or has_three(noughts) or crosses | noughts == FULL


@njit
def legal_mask(state, mask):
    mask[0] = np.uint64(0)
    if not is_over(state):
        mask[0] = np.uint64(FULL & ~(np.int64(state.crosses) | np.int64(state.noughts)))


@njit
def returns(state):
    value = np.float32(has_three(np.int64(state.crosses))) - np.float32(has_three(np.int64(state.noughts)))
    return -value if state.misere != 0 else value


@njit
def observe(state, planes):
    own, enemy = np.int64(state.crosses), np.int64(state.noughts)
    if to_play(state) == 1:
        own, enemy = enemy, own
    for cell in range(9):
        planes[0, cell // 3, cell % 3] = np.float32((own >> cell) & 1)
        planes[1, cell // 3, cell % 3] = np.float32((enemy >> cell) & 1)


@njit
def hash_key(state):
    return np.uint64(state.crosses) | (np.uint64(state.noughts) << np.uint64(16))


@njit
def is_quiet(state):
    return True


TIC_TAC_TOE = register(
    Game(
        name="tic_tac_toe",
        dtype=STATE,
        num_actions=9,
        planes_shape=(2, 3, 3),
        rule_sets={"standard": {"misere": 0}, "misere": {"misere": 1}},
        version=1,
        functions=contract_functions(globals()),
    )
)
