"""Where the result of a position lies in endgame tables, and the kernel by which a search looks it up.

Every position of 2 to `max_pieces` pieces, at least one a side, has one byte in a flat array, Black to move; a position
with White to move is looked up turned around. A slice holds the positions of one material. Within it the index counts
the placements of Black's men, White's men, Black's kings and White's kings, each ranked in the order of their bit
patterns, kings among the squares left free. Only pairs of men that share a square waste bytes.
"""

from __future__ import annotations

from itertools import product
from math import comb, prod
from typing import Any, NamedTuple

import numpy as np

from games.checkers import BOTTOM_ROW, FULL, HALF_WORD, NO_JUMPER, NUM_SQUARES, ONE, TOP_ROW, WHITE
from games.compiled import count_bits, lowest_bit, njit
from games.refusal import RefusedError

MIN_PIECES, MAX_PIECES = 2, 6
MEN_SQUARES = 28  # a man never stands on its king row

Entries = np.ndarray[Any, np.dtype[np.uint8]]  # [positions]
NO_TABLES: Entries = np.zeros(0, np.uint8)  # what a search without tables passes to `probe`

# A result is DRAW, or the turns to the end with best play plus one. The winner makes the last move: an even result is a
# win and an odd one a loss for the side to move. `probe` knows UNKNOWN besides, the bytes NO_POSITION.
UNKNOWN = -1
DRAW = 0
LONGEST = 254  # what would be higher is stored as LONGEST or LONGEST - 1, by parity
NO_POSITION = np.uint8(255)  # two men on one square, or padding


class EndgameError(RefusedError):
    """Tables that cannot be had: a damaged file, too many pieces, too little memory; the message is one line."""


# --- slices and the order they are stored and solved in ---------------------------------------------------------------


class Material(NamedTuple):
    """How many pieces of each kind a slice has."""

    black_men: int
    black_kings: int
    white_men: int
    white_kings: int

    @property
    def mirrored(self) -> Material:
        return Material(self.white_men, self.white_kings, self.black_men, self.black_kings)

    @property
    def key(self) -> int:
        """The row of LAYOUT."""
        return ((self.black_men * 6 + self.black_kings) * 6 + self.white_men) * 6 + self.white_kings

    @property
    def placements(self) -> tuple[int, int, int, int]:
        """The numbers of placements of Black's men, White's men, Black's kings and White's kings."""
        free = NUM_SQUARES - self.black_men - self.white_men
        return (
            comb(MEN_SQUARES, self.black_men),
            comb(MEN_SQUARES, self.white_men),
            comb(free, self.black_kings),
            comb(free - self.black_kings, self.white_kings),
        )

    @property
    def positions(self) -> int:
        return prod(self.placements)

    @property
    def size(self) -> int:
        """Bytes, padded so that the solver can look at eight at a time."""
        return -(-self.positions // 8) * 8


class Pair(NamedTuple):
    """A slice and its mirror image (itself where the sides are equal), which are stored and solved together."""

    material: Material
    start: int  # the first byte of the pair
    middle: int  # the first byte of the mirror image; `stop` where there is none
    stop: int

    @property
    def pieces(self) -> int:
        return sum(self.material)

    @property
    def men(self) -> int:
        return self.material.black_men + self.material.white_men


def _pairs() -> list[Pair]:
    """Return every pair in the order of storage: fewer pieces first, among them fewer men first."""
    materials = [Material(*counts) for counts in product(range(MAX_PIECES), repeat=4)]
    stored = [m for m in materials if m.black_men + m.black_kings and m.white_men + m.white_kings and m >= m.mirrored]
    stored = [material for material in stored if sum(material) <= MAX_PIECES]
    stored.sort(key=lambda m: (sum(m), m.black_men + m.white_men, m))
    pairs = []
    start = 0
    for material in stored:
        middle = start + material.size
        stop = middle if material == material.mirrored else middle + material.size
        pairs.append(Pair(material, start, middle, stop))
        start = stop
    return pairs


def _layout(pairs: list[Pair]) -> np.ndarray:
    """Return by material key the first byte (-1: no such slice) and the factors of the index, int64[6 ** 4, 4]."""
    layout = np.full((6**4, 4), -1, np.int64)
    for pair in pairs:
        for material, start in ((pair.material.mirrored, pair.middle), (pair.material, pair.start)):
            layout[material.key] = start, *material.placements[1:]
    return layout


PAIRS = _pairs()
LAYOUT = _layout(PAIRS)
CHOOSE = np.array([[comb(n, k) for n in range(NUM_SQUARES + 1)] for k in range(MAX_PIECES)])  # int64[k, n]
SUBSETS_START = np.concatenate([[0], np.cumsum(CHOOSE[:, NUM_SQUARES])])  # int64[k]: where sets of k begin in `subsets`


def num_entries(max_pieces: int) -> int:
    """Return the bytes of the tables of up to this many pieces."""
    return max(pair.stop for pair in PAIRS if pair.pieces <= max_pieces)


# --- position <-> index -----------------------------------------------------------------------------------------------

SWAPS = tuple(  # masks and distances that reverse 64 bits by swapping ever larger groups
    (np.uint64(mask), np.uint64(distance))
    for mask, distance in (
        (0x5555555555555555, 1),
        (0x3333333333333333, 2),
        (0x0F0F0F0F0F0F0F0F, 4),
        (0x00FF00FF00FF00FF, 8),
        (0x0000FFFF0000FFFF, 16),
    )
)


@njit
def reversed_word(word):
    """Return the 64 bits in reverse order."""
    for mask, distance in SWAPS:
        word = ((word >> distance) & mask) | ((word & mask) << distance)
    return (word >> HALF_WORD) | (word << HALF_WORD)


@njit
def turned(black, white, kings):
    """Return the position with the board turned by 180 degrees and the colours swapped."""
    pieces = reversed_word(black | (white << HALF_WORD))
    return pieces & FULL, pieces >> HALF_WORD, reversed_word(kings) >> HALF_WORD


@njit
def rank(squares, taken):
    """Return which of the sets of its size this is, counting only the squares that are not taken."""
    result = np.int64(0)
    size = 0
    while squares != 0:
        square = lowest_bit(squares)
        below = (ONE << np.uint64(square)) - ONE
        squares &= squares - ONE
        size += 1
        result += CHOOSE[size, square - count_bits(taken & below)]
    return result


@njit
def index_of(black, white, kings):
    """Return the index of a position with Black to move.

    Preconditions: 2 to 6 pieces, at least one a side, no man on its king row.
    """
    black_men, white_men = black & ~kings, white & ~kings
    black_kings, white_kings = black & kings, white & kings
    men = black_men | white_men
    key = (
        (count_bits(black_men) * 6 + count_bits(black_kings)) * 36 + count_bits(white_men) * 6 + count_bits(white_kings)
    )
    start, white_men_placements, black_kings_placements, white_kings_placements = LAYOUT[key]
    index = rank(black_men, np.uint64(0)) * white_men_placements + rank(white_men, TOP_ROW)
    index = index * black_kings_placements + rank(black_kings, men)
    return start + index * white_kings_placements + rank(white_kings, men | black_kings)


@njit
def all_subsets():
    """Return the sets of 0 to 5 squares, each size in ascending order of its bit patterns, uint32."""
    subsets = np.zeros(SUBSETS_START[MAX_PIECES], np.uint32)
    for size in range(1, MAX_PIECES):
        word = (ONE << np.uint64(size)) - ONE
        for index in range(SUBSETS_START[size], SUBSETS_START[size + 1]):
            subsets[index] = word
            # The next word with as many bits: the lowest run of ones carries, what is left of it goes to the bottom.
            lowest = word & (~word + ONE)
            carried = word + lowest
            word = carried | (((word ^ carried) >> np.uint64(2)) >> np.uint64(lowest_bit(lowest)))
    return subsets


@njit
def placed(subsets, size, number, taken):
    """Return the squares of which `number` is the rank."""
    compact = np.uint64(subsets[SUBSETS_START[size] + number])
    squares = np.uint64(0)
    while compact != 0:
        square = lowest_bit(compact)
        compact &= compact - ONE
        obstacles = taken
        while obstacles != 0 and lowest_bit(obstacles) <= square:
            obstacles &= obstacles - ONE
            square += 1
        squares |= ONE << np.uint64(square)
    return squares


@njit
def position_at(subsets, key, offset):
    """Return (black, white, kings) at an offset of a slice; two men may share a square."""
    _, white_men_placements, black_kings_placements, white_kings_placements = LAYOUT[key]
    rest, white_kings_rank = divmod(offset, white_kings_placements)
    rest, black_kings_rank = divmod(rest, black_kings_placements)
    black_men_rank, white_men_rank = divmod(rest, white_men_placements)
    black_men = placed(subsets, key // 216, black_men_rank, np.uint64(0))
    white_men = placed(subsets, key // 6 % 6, white_men_rank, TOP_ROW)
    men = black_men | white_men
    black_kings = placed(subsets, key // 36 % 6, black_kings_rank, men)
    white_kings = placed(subsets, key % 6, white_kings_rank, men | black_kings)
    return black_men | black_kings, white_men | white_kings, black_kings | white_kings


# --- what a search asks -----------------------------------------------------------------------------------------------


@njit
def probe(entries, state):
    """Return the result of a checkers position for the side to move; UNKNOWN where the tables do not hold it.

    They hold none in the middle of a multi-jump, and none where a side has lost all its pieces. Draw counters and
    repetition are not looked at. Costs a comparison with NO_TABLES.
    """
    if entries.size == 0 or state.jumper != NO_JUMPER:
        return UNKNOWN
    black, white, kings = np.uint64(state.black), np.uint64(state.white), np.uint64(state.kings)
    if black == 0 or white == 0 or count_bits(black | white) > MAX_PIECES:
        return UNKNOWN
    if (black & ~kings & BOTTOM_ROW) | (white & ~kings & TOP_ROW) != 0:  # a position that no game reaches
        return UNKNOWN
    if state.to_play == WHITE:
        black, white, kings = turned(black, white, kings)
    index = index_of(black, white, kings)
    if index >= entries.size:
        return UNKNOWN
    return np.int64(entries[index])


@njit
def outcome(result):
    """Return 1 for a win of the side to move, -1 for a loss, 0 for a draw; precondition: the result is known."""
    if result == DRAW:
        return 0
    return -1 if result % 2 == 1 else 1


@njit
def turns_left(result):
    """Return the turns to the end with best play, 0 for a draw; precondition: the result is known."""
    return 0 if result == DRAW else result - 1
