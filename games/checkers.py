"""English draughts (checkers) by the rules of the World Checkers and Draughts Federation.

Squares are numbered 1-32 from Black's side, four a row, as in every record of the game; here they are bits 0-31 (square
minus one). Black starts on rows 0-2, moves first, and moves down the board, to higher numbers.

An action is one step or one jump of one piece: `direction * 32 + square` with A = 128. A multi-jump is a sequence of
actions by the same player; `ply` counts whole turns. Captures are forced, any route may be chosen, and a man that
reaches the king row by a jump stops there. A player without a legal move loses.
"""

from __future__ import annotations

import numpy as np

from games.compiled import count_bits, lowest_bit, njit
from games.rules import Game, contract_functions, record_dtype, register

NUM_SQUARES = 32
NUM_ACTIONS = 128
NUM_PLANES = 7
NUM_PIECES = 24  # of both sides at the start
HISTORY = 80  # turns since the last capture or man's move that repetition looks back over
NO_JUMPER = 32
BLACK, WHITE = 0, 1

STATE = record_dtype(
    [
        ("black", np.uint32),  # squares of Black's pieces
        ("white", np.uint32),  # squares of White's pieces
        ("kings", np.uint32),  # squares of kings of either colour
        ("to_play", np.uint8),  # 0 Black, 1 White
        ("jumper", np.uint8),  # square of the piece in the middle of a multi-jump, 32 between turns
        ("ply", np.uint16),  # turns completed
        ("quiet_plies", np.uint16),  # turns completed since the last capture or man's move
        ("repeats", np.uint8),  # earlier occurrences of this position
        ("man_moves_count", np.uint8),  # rule: 1 when a man's move resets quiet_plies, 0 when only a capture does
        ("quiet_limit", np.uint16),  # rule: drawn at so many quiet plies; 0 never
        ("ply_limit", np.uint16),  # rule: drawn at so many plies; 0 never
        ("repeat_limit", np.uint8),  # rule: drawn at so many occurrences of a position; 0 never
        ("unused", np.uint8, (7,)),  # where padding would be
        ("history", np.uint64, (HISTORY,)),  # hashes of the positions at quiet_plies 0, 1, ...
    ]
)

RULE_SETS = {
    "wcdf": {"man_moves_count": 1, "quiet_limit": 80, "ply_limit": 0, "repeat_limit": 3},
    # Chellapilla & Fogel 1999: a game is drawn after 100 moves a side.
    "anaconda": {"man_moves_count": 1, "quiet_limit": 0, "ply_limit": 200, "repeat_limit": 0},
    # open_spiel's checkers: drawn after 40 turns without a capture.
    "open_spiel": {"man_moves_count": 0, "quiet_limit": 40, "ply_limit": 0, "repeat_limit": 0},
    "endless": {"man_moves_count": 1, "quiet_limit": 0, "ply_limit": 0, "repeat_limit": 0},
}

DRAW_LIMITS = ("quiet_limit", "ply_limit", "repeat_limit")  # rules of which every game that is sure to end needs one

# --- geometry: directions 0 down-left, 1 down-right, 2 up-left, 3 up-right; Black's men use 0 and 1 ------------------


def _square_at(row: int, column: int) -> int:
    """Return the playable square at a row and column of the 8x8 board, or -1."""
    inside = 0 <= row < 8 and 0 <= column < 8 and (row + column) % 2 == 1
    return row * 4 + column // 2 if inside else -1


def _targets(distance: int) -> np.ndarray:
    """Return the square that each action reaches at a diagonal distance, int8[128]; -1 off the board."""
    table = np.full(NUM_ACTIONS, -1, np.int8)
    for action in range(NUM_ACTIONS):
        direction, square = divmod(action, NUM_SQUARES)
        row, column = divmod(square, 4)
        column = 2 * column + (row + 1) % 2
        down, right = (1 if direction < 2 else -1), (1 if direction % 2 else -1)
        table[action] = _square_at(row + distance * down, column + distance * right)
    return table


STEP = _targets(1)  # int8[128]
JUMP = _targets(2)  # int8[128]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # spreads small numbers over all bits
FULL = np.uint64(0xFFFFFFFF)
EVEN_ROWS = np.uint64(0x0F0F0F0F)
ODD_ROWS = np.uint64(0xF0F0F0F0)
NOT_LEFT = np.uint64(0xEEEEEEEE)  # squares that are not the first of their row
NOT_RIGHT = np.uint64(0x77777777)  # squares that are not the last of their row
EVEN_NOT_RIGHT = EVEN_ROWS & NOT_RIGHT
ODD_NOT_LEFT = ODD_ROWS & NOT_LEFT
TOP_ROW = np.uint64(0x0000000F)
BOTTOM_ROW = np.uint64(0xF0000000)
ONE = np.uint64(1)
THREE, FOUR, FIVE, SEVEN, NINE = np.uint64(3), np.uint64(4), np.uint64(5), np.uint64(7), np.uint64(9)
HALF_WORD = np.uint64(32)
START_BLACK = np.uint32(0x00000FFF)
START_WHITE = np.uint32(0xFFF00000)


@njit
def can_step(direction, targets):
    """Return the squares whose neighbour in a direction is among targets."""
    if direction == 0:
        return ((targets >> FOUR) & EVEN_ROWS) | ((targets >> THREE) & ODD_NOT_LEFT)
    if direction == 1:
        return ((targets >> FIVE) & EVEN_NOT_RIGHT) | ((targets >> FOUR) & ODD_ROWS)
    if direction == 2:
        return ((targets << FOUR) & EVEN_ROWS) | ((targets << FIVE) & ODD_NOT_LEFT)
    return ((targets << THREE) & EVEN_NOT_RIGHT) | ((targets << FOUR) & ODD_ROWS)


@njit
def can_jump(direction, enemy, empty):
    """Return the squares from which a jump in a direction takes an enemy piece and lands on an empty square."""
    over = can_step(direction, enemy)
    if direction == 0:
        return over & (empty >> SEVEN) & NOT_LEFT
    if direction == 1:
        return over & (empty >> NINE) & NOT_RIGHT
    if direction == 2:
        return over & (empty << NINE) & NOT_LEFT
    return over & (empty << SEVEN) & NOT_RIGHT


@njit
def sides(state):
    """Return the mover's pieces, which of them move down and which up, the enemy's pieces, and the empty squares."""
    black, white, kings = np.uint64(state.black), np.uint64(state.white), np.uint64(state.kings)
    empty = ~(black | white) & FULL
    if state.to_play == BLACK:
        return black, black, black & kings, white, empty
    return white, white & kings, white, black, empty


@njit
def jumps(state):
    """Return the squares that can jump in each of the four directions, by any piece of the mover's."""
    _, down, up, enemy, empty = sides(state)
    return (
        down & can_jump(0, enemy, empty),
        down & can_jump(1, enemy, empty),
        up & can_jump(2, enemy, empty),
        up & can_jump(3, enemy, empty),
    )


# --- the contract ---------------------------------------------------------------------------------------------------


@njit
def init(state):
    state.black = START_BLACK
    state.white = START_WHITE
    state.kings = np.uint32(0)
    state.to_play = np.uint8(BLACK)
    state.jumper = np.uint8(NO_JUMPER)
    state.ply = np.uint16(0)
    start_history(state)


@njit
def start_history(state):
    """Forget the positions before this one: after a capture or a man's move none of them can come back."""
    state.quiet_plies = np.uint16(0)
    state.repeats = np.uint8(0)
    state.history[0] = hash_key(state)


@njit
def hash_key(state):
    """Mix the four words that tell positions apart (multiply-xorshift, odd constants of splitmix64)."""
    pieces = np.uint64(state.black) | (np.uint64(state.white) << HALF_WORD)
    rest = np.uint64(state.kings) | (np.uint64(state.jumper) << HALF_WORD) | (np.uint64(state.to_play) << np.uint64(40))
    key = pieces * np.uint64(0xBF58476D1CE4E5B9)
    key ^= key >> np.uint64(31)
    key += rest * np.uint64(0x94D049BB133111EB)
    key ^= key >> np.uint64(29)
    key *= np.uint64(0x9E3779B97F4A7C15)
    return key ^ (key >> HALF_WORD)


@njit
def apply(state, action):
    square = action % NUM_SQUARES
    origin = ONE << np.uint64(square)
    own, _, _, enemy, _ = sides(state)
    kings = np.uint64(state.kings)
    is_king = (kings & origin) != 0
    target = STEP[action]
    is_jump = (enemy >> np.uint64(target)) & ONE != 0
    if is_jump:
        captured = ONE << np.uint64(target)
        enemy ^= captured
        kings &= ~captured
        target = JUMP[action]
    landing = ONE << np.uint64(target)
    own ^= origin | landing
    crowned = not is_king and (landing & (TOP_ROW | BOTTOM_ROW)) != 0
    if is_king:
        kings ^= origin | landing
    elif crowned:
        kings |= landing
    if state.to_play == BLACK:
        state.black, state.white = np.uint32(own), np.uint32(enemy)
    else:
        state.white, state.black = np.uint32(own), np.uint32(enemy)
    state.kings = np.uint32(kings)

    if is_jump and not crowned:
        first, second, third, fourth = jumps(state)
        if (first | second | third | fourth) & landing != 0:
            state.jumper = np.uint8(target)
            return
    end_turn(state, is_jump or (state.man_moves_count != 0 and not is_king))


@njit
def end_turn(state, irreversible):
    """Hand the move over and bring the draw counters up to date."""
    state.jumper = np.uint8(NO_JUMPER)
    state.to_play = np.uint8(1 - state.to_play)
    state.ply = np.uint16(state.ply + 1)
    if irreversible:
        start_history(state)
        return
    quiet_plies = np.int64(state.quiet_plies) + 1
    state.quiet_plies = np.uint16(quiet_plies)
    if state.repeat_limit != 0 and quiet_plies < HISTORY:
        key = hash_key(state)
        repeats = 0
        for earlier in range(quiet_plies % 2, quiet_plies, 2):
            if state.history[earlier] == key:
                repeats += 1
        state.history[quiet_plies] = key
        state.repeats = np.uint8(repeats)


@njit
def is_drawn(state):
    """Say whether a draw rule ends the game here; never in the middle of a multi-jump."""
    if state.jumper != NO_JUMPER:
        return False
    return (
        (state.quiet_limit != 0 and state.quiet_plies >= state.quiet_limit)
        or (state.ply_limit != 0 and state.ply >= state.ply_limit)
        or (state.repeat_limit != 0 and state.repeats + 1 >= state.repeat_limit)
    )


@njit
def legal_mask(state, mask):
    mask[0] = np.uint64(0)
    mask[1] = np.uint64(0)
    if is_drawn(state):
        return
    _, down, up, enemy, empty = sides(state)
    if state.jumper != NO_JUMPER:
        jumper = ONE << np.uint64(state.jumper)
        down &= jumper
        up &= jumper
    mask[0] = (down & can_jump(0, enemy, empty)) | ((down & can_jump(1, enemy, empty)) << HALF_WORD)
    mask[1] = (up & can_jump(2, enemy, empty)) | ((up & can_jump(3, enemy, empty)) << HALF_WORD)
    if mask[0] | mask[1] == 0:
        mask[0] = (down & can_step(0, empty)) | ((down & can_step(1, empty)) << HALF_WORD)
        mask[1] = (up & can_step(2, empty)) | ((up & can_step(3, empty)) << HALF_WORD)


@njit
def is_quiet(state):
    first, second, third, fourth = jumps(state)
    return (first | second | third | fourth) == 0


@njit
def cannot_move(state):
    """Say whether the mover has neither a step nor a jump."""
    _, down, up, _, empty = sides(state)
    steps = (down & (can_step(0, empty) | can_step(1, empty))) | (up & (can_step(2, empty) | can_step(3, empty)))
    if steps != 0:
        return False
    first, second, third, fourth = jumps(state)
    return (first | second | third | fourth) == 0


@njit
def is_over(state):
    return is_drawn(state) or cannot_move(state)


@njit
def returns(state):
    if is_drawn(state):
        return np.float32(0.0)
    return np.float32(-1.0) if state.to_play == BLACK else np.float32(1.0)


@njit
def to_play(state):
    return np.int64(state.to_play)


@njit
def observe(state, planes):
    """Planes: own men, own kings, enemy men, enemy kings, piece that must jump on, White to move, quiet plies / 100."""
    planes[:] = np.float32(0.0)
    own, _, _, enemy, _ = sides(state)
    kings = np.uint64(state.kings)
    groups = (own & ~kings, own & kings, enemy & ~kings, enemy & kings)
    for plane in range(4):
        squares = groups[plane]
        while squares != 0:
            square = lowest_bit(squares)
            squares &= squares - ONE
            row = square // 4
            planes[plane, row, 2 * (square % 4) + (row + 1) % 2] = np.float32(1.0)
    if state.jumper != NO_JUMPER:
        jumper = np.int64(state.jumper)
        planes[4, jumper // 4, 2 * (jumper % 4) + (jumper // 4 + 1) % 2] = np.float32(1.0)
    planes[5] = np.float32(state.to_play)
    planes[6] = min(np.float32(state.quiet_plies) / np.float32(100.0), np.float32(1.0))


# --- what programs ask of checkers beyond the contract --------------------------------------------------------------


@njit
def counters_key(state, turns):
    """Return a hash of the draw counters that can end the game within so many turns and captures after them, else 0.

    Of repetitions it tells those of the position itself; that others below it may have occurred before, it does not.
    """
    key = np.uint64(state.repeats) if state.repeat_limit != 0 else np.uint64(0)
    if state.quiet_limit != 0 and state.quiet_plies + turns >= state.quiet_limit:
        key |= np.uint64(state.quiet_plies + 1) << np.uint64(8)
    if state.ply_limit != 0 and state.ply + turns + NUM_PIECES >= state.ply_limit:
        key |= np.uint64(state.ply + 1) << np.uint64(24)
    return key * GOLDEN


@njit
def piece_counts(state):
    """Return the numbers of Black's men, Black's kings, White's men and White's kings."""
    black, white, kings = np.uint64(state.black), np.uint64(state.white), np.uint64(state.kings)
    return (
        count_bits(black & ~kings),
        count_bits(black & kings),
        count_bits(white & ~kings),
        count_bits(white & kings),
    )


CHECKERS = register(
    Game(
        name="checkers",
        dtype=STATE,
        num_actions=NUM_ACTIONS,
        planes_shape=(NUM_PLANES, 8, 8),
        rule_sets=RULE_SETS,
        version=1,
        functions=contract_functions(globals()),
    )
)
