"""The Go board under the rules of games/go.py: stones, chains, liberties, hashes and what a superko rule remembers.

Points are numbered on a board of fixed stride with a border around it, whatever the size: the point at (row, column),
row 0 at the top, is STRIDE * (row + 1) + column + 1. So the four neighbours of a point are at fixed distances, none
needs a check of the edge, and kernels are compiled once for every size. Colours are 1 (Black) and 2 (White); `stone_at`
and others that take an action's number say so.

A chain is a circular list of stones (`next_stone`) that share a head. Its pseudo-liberties count a liberty once for
each stone beside it: they cost one addition a neighbour, and tell when the last liberty goes, all that the rules ask.
Heads of empty points and of the border are 0, a corner of the border: what is added there counts for nothing, which
saves asking what a neighbour is.

A position can only repeat an earlier one at a point where a stone of that colour has stood before (`VISITED`): few
points have that, and for others no superko rule asks for a hash.
"""

from __future__ import annotations

import numpy as np

from games.compiled import njit
from games.random_bits import STREAM_STEP, mixed
from games.rules import record_dtype

MAX_SIZE = 19
STRIDE = MAX_SIZE + 2
NUM_POINTS = 448  # STRIDE * STRIDE and a few that no board has, so that records hold no padding
MAX_PLIES = 3 * MAX_SIZE * MAX_SIZE  # moves that a game under a superko rule can have
LAST_MOVES = 8
EMPTY, BLACK, WHITE, BORDER = 0, 1, 2, 3
SIMPLE_KO, POSITIONAL, SITUATIONAL = 0, 1, 2
NO_MOVE = -1
NO_POINT = 0

STATE = record_dtype(
    [
        ("rows", np.uint8),  # rule: 1-19
        ("columns", np.uint8),  # rule: 1-19
        ("ko_rule", np.uint8),  # rule: SIMPLE_KO, POSITIONAL or SITUATIONAL superko
        ("suicide", np.uint8),  # rule: 1 where a move may take its own chain off the board
        ("komi2", np.int16),  # rule: twice the komi
        ("move_limit", np.uint16),  # rule: over at so many plies, at most MAX_PLIES under a superko rule; 0 never
        ("to_move", np.uint8),  # 0 Black, 1 White
        ("passes", np.uint8),  # passes in a row, up to 2
        ("ko_point", np.uint16),  # point where a stone may not be retaken at once; 0 none
        ("ply", np.uint32),  # moves so far, passes counted
        ("captured", np.uint16, (2,)),  # stones that Black and White have lost
        ("last_moves", np.int16, (LAST_MOVES,)),  # actions, the newest first; -1 none
        ("taken", np.uint16, (4,)),  # heads of the chains that the last move took; their lists are whole until the next
        ("num_taken", np.uint16),  # how many those are
        ("num_history", np.uint16),  # positions that a superko rule remembers
        ("hash", np.uint64),  # of the stones; 0 for the empty board
        ("board", np.uint8, (NUM_POINTS,)),  # EMPTY, BLACK, WHITE or BORDER
        ("around", np.uint16, (NUM_POINTS,)),  # neighbours: bits 0-2 empty, 3-5 black, 6-8 white; bits 9, 10 VISITED
        ("head", np.uint16, (NUM_POINTS,)),  # head of a stone's chain; 0 where there is no stone
        ("next_stone", np.uint16, (NUM_POINTS,)),  # of a stone: the next of its chain, in a circle
        ("chain_size", np.uint16, (NUM_POINTS,)),  # at a head: stones of the chain
        ("liberties", np.int16, (NUM_POINTS,)),  # at a head: pseudo-liberties of the chain
        ("chain_hash", np.uint64, (NUM_POINTS,)),  # at a head: hash of the chain's stones
        ("history_filter", np.uint64, (64,)),  # bit h % 4096 for every hash h of history
        ("history", np.uint64, (MAX_PLIES + 1,)),  # hashes of the positions so far; SITUATIONAL: with the mover's
    ]
)

LEFT, RIGHT, UP, DOWN = -1, 1, -STRIDE, STRIDE
OFFSETS = (LEFT, RIGHT, UP, DOWN)
DIAGONALS = (-STRIDE - 1, -STRIDE + 1, STRIDE - 1, STRIDE + 1)
VISITED = 1 << 8  # shifted by a colour: a stone of it has stood here

ONE = np.uint64(1)
FILTER_MASK = np.uint64(4095)
SIX, WORD_MASK = np.uint64(6), np.uint64(63)


# Zobrist's hash: a stone's number, uint64 [3, NUM_POINTS] by colour and point; row 0 holds those of other features.
STONE_HASH = mixed(np.arange(1, 3 * NUM_POINTS + 1, dtype=np.uint64) * STREAM_STEP).reshape(3, NUM_POINTS)
WHITE_TO_MOVE = STONE_HASH[0, 0]
PASSES_HASH = STONE_HASH[0]  # by the passes in a row, 1 or 2
KO_HASH = STONE_HASH[0]  # by the ko point, which is never so small


@njit
def point_of(state, action):
    """Return the point of an action that places a stone."""
    columns = np.int32(state.columns)
    row = np.int32(action) // columns
    return np.int64(action) + row * (STRIDE - columns) + STRIDE + 1


@njit
def action_of(state, point):
    """Return the action that places a stone on a point."""
    point = np.int32(point)
    return np.int64((point // STRIDE - 1) * np.int32(state.columns) + point % STRIDE - 1)


@njit
def clear_board(state):
    """Take all stones off; what superko remembers is forgotten."""
    rows, columns = np.int64(state.rows), np.int64(state.columns)
    state.hash = np.uint64(0)
    state.ko_point = np.uint16(NO_POINT)
    state.num_taken = np.uint16(0)
    for point in range(NUM_POINTS):
        state.board[point] = np.uint8(BORDER)
        state.around[point] = np.uint16(0)
        state.head[point] = np.uint16(0)
    state.liberties[0] = np.int16(0)
    for row in range(rows):
        for column in range(columns):
            point = STRIDE * (row + 1) + column + 1
            state.board[point] = np.uint8(EMPTY)
            at_edge = int(row == 0) + int(row == rows - 1) + int(column == 0) + int(column == columns - 1)
            state.around[point] = np.uint16(4 - at_edge)


# --- placing and taking stones ----------------------------------------------------------------------------------------


@njit
def place(state, point, colour):
    """Put a stone on an empty point and take what has no liberty left, the enemy's first; sets the ko point.

    Writes neither the mover nor the history. Precondition: the move is legal.
    """
    board, around, head, liberties = state.board, state.around, state.head, state.liberties
    enemy = 3 - colour
    before = np.int64(around[point])
    own_stones, no_space = (before >> 3 * colour) & 7, before & 7 == 0
    board[point] = np.uint8(colour)
    around[point] = np.uint16(before | VISITED << colour)
    change = (1 << 3 * colour) - 1
    for offset in OFFSETS:
        neighbour = point + offset
        around[neighbour] = np.uint16(np.int64(around[neighbour]) + change)
        liberties[head[neighbour]] = np.int16(liberties[head[neighbour]] - 1)
    key = STONE_HASH[colour, point]
    state.hash = np.uint64(state.hash) ^ key
    state.num_taken = np.uint16(0)
    state.ko_point = np.uint16(NO_POINT)
    if own_stones == 0:
        head[point] = np.uint16(point)
        state.next_stone[point] = np.uint16(point)
        state.chain_size[point] = np.uint16(1)
        state.chain_hash[point] = key
        liberties[point] = np.int16(before & 7)
    else:
        join(state, point, colour, before & 7)
    is_any_dead = False
    for offset in OFFSETS:  # & and not `and`: no branch to mispredict
        is_any_dead |= (board[point + offset] == enemy) & (liberties[head[point + offset]] == 0)
    if is_any_dead:
        lost = 0
        last = NO_POINT
        for offset in OFFSETS:
            neighbour = point + offset
            if board[neighbour] == enemy and liberties[head[neighbour]] == 0:
                last = neighbour
                lost += take(state, np.int64(head[neighbour]), enemy)
        if lost == 1 and no_space and own_stones == 0:
            state.ko_point = np.uint16(last)
    if no_space and liberties[head[point]] == 0:
        take(state, np.int64(head[point]), colour)


@njit
def join(state, point, colour, empty_neighbours):
    """Add a new stone to a chain of its colour beside it, and other such chains to that."""
    board, head, next_stone = state.board, state.head, state.next_stone
    main = np.int64(0)
    for offset in OFFSETS:
        main = max(main, np.int64(head[point + offset]) * (board[point + offset] == colour))
    is_merger = False
    for offset in OFFSETS:
        is_merger |= (board[point + offset] == colour) & (head[point + offset] != main)
    if is_merger:
        main = merge(state, point, colour, main)
    head[point] = np.uint16(main)
    next_stone[point] = next_stone[main]
    next_stone[main] = np.uint16(point)
    state.chain_hash[main] = np.uint64(state.chain_hash[main]) ^ STONE_HASH[colour, point]
    state.liberties[main] = np.int16(state.liberties[main] + empty_neighbours)
    state.chain_size[main] = np.uint16(state.chain_size[main] + 1)


@njit
def merge(state, point, colour, main):
    """Make one chain of those of a colour beside a point, main among them, and return its head: the largest one's."""
    head, next_stone, chain_size = state.head, state.next_stone, state.chain_size
    for offset in OFFSETS:
        other = np.int64(head[point + offset])
        if state.board[point + offset] == colour and chain_size[other] > chain_size[main]:
            main = other
    for offset in OFFSETS:
        other = np.int64(head[point + offset])
        if state.board[point + offset] == colour and other != main:
            stone = other
            while True:
                head[stone] = np.uint16(main)
                stone = np.int64(next_stone[stone])
                if stone == other:
                    break
            next_stone[main], next_stone[other] = next_stone[other], next_stone[main]
            state.chain_hash[main] = np.uint64(state.chain_hash[main]) ^ np.uint64(state.chain_hash[other])
            state.liberties[main] = np.int16(state.liberties[main] + state.liberties[other])
            chain_size[main] = np.uint16(chain_size[main] + chain_size[other])
    return main


@njit
def take(state, chain, colour):
    """Take a chain off the board and return how many stones it had."""
    board, around, head, liberties = state.board, state.around, state.head, state.liberties
    change = (1 << 3 * colour) - 1
    stone = chain
    while True:
        board[stone] = np.uint8(EMPTY)
        head[stone] = np.uint16(0)
        for offset in OFFSETS:
            neighbour = stone + offset
            around[neighbour] = np.uint16(np.int64(around[neighbour]) - change)
            liberties[head[neighbour]] = np.int16(liberties[head[neighbour]] + 1)
        stone = np.int64(state.next_stone[stone])
        if stone == chain:
            break
    lost = np.int64(state.chain_size[chain])
    state.hash = np.uint64(state.hash) ^ np.uint64(state.chain_hash[chain])
    state.captured[colour - 1] = np.uint16(state.captured[colour - 1] + lost)
    state.taken[state.num_taken] = np.uint16(chain)
    state.num_taken = np.uint16(state.num_taken + 1)
    return lost


# --- what is legal ----------------------------------------------------------------------------------------------------


@njit
def is_playable(state, point, colour):
    """Say whether a colour may place a stone on an empty point of the board."""
    around = np.int64(state.around[point])
    can_repeat = around & (VISITED << colour) != 0
    if around & 7 == 0:
        if point == state.ko_point and colour == state.to_move + 1:
            return False
        if not leaves_liberty(state, point, colour):
            if state.suicide == 0:
                return False
            can_repeat = True
    if not can_repeat or state.ko_rule == SIMPLE_KO:
        return True
    return not is_remembered(state, hash_after(state, point, colour), colour)


@njit
def last_liberty_of(state, point):
    """Return the heads of the chains beside an empty point, each once, 0 for others; and which of them it takes last.

    Two tuples of four in the order of OFFSETS: heads, and whether the point is the chain's only liberty.
    """
    head, liberties = state.head, state.liberties
    first, second = np.int64(head[point + LEFT]), np.int64(head[point + RIGHT])
    third, fourth = np.int64(head[point + UP]), np.int64(head[point + DOWN])
    first_last = liberties[first] == 1 + (second == first) + (third == first) + (fourth == first)
    second_last = liberties[second] == 1 + (third == second) + (fourth == second)
    third_last = liberties[third] == 1 + (fourth == third)
    fourth_last = liberties[fourth] == 1
    if second == first:
        second = np.int64(0)
    if third in (first, second):
        third = np.int64(0)
    if fourth in (first, second, third):
        fourth = np.int64(0)
    return (first, second, third, fourth), (first_last, second_last, third_last, fourth_last)


@njit
def leaves_liberty(state, point, colour):
    """Say whether a stone on an empty point takes something or has a liberty through its own chains beside it.

    Precondition: no neighbour is empty.
    """
    head, liberties = state.head, state.liberties
    for offset in OFFSETS:
        neighbour = point + offset
        chain = head[neighbour]
        if chain != 0:
            beside = np.int64(0)  # the times that the chain counts the point as a liberty
            for other in OFFSETS:
                beside += head[point + other] == chain
            if (state.board[neighbour] == colour) != (liberties[chain] == beside):
                return True
    return False


@njit
def hash_after(state, point, colour):
    """Return the hash of the stones after a move on an empty point, what it takes gone."""
    key = np.uint64(state.hash) ^ STONE_HASH[colour, point]
    heads, is_last = last_liberty_of(state, point)
    own = STONE_HASH[colour, point]
    is_suicide = state.around[point] & 7 == 0
    for i in range(4):
        if heads[i] != 0:
            is_own = state.board[heads[i]] == colour
            if is_own:
                own ^= np.uint64(state.chain_hash[heads[i]])
            elif is_last[i]:
                key ^= np.uint64(state.chain_hash[heads[i]])
            is_suicide &= is_own == is_last[i]
    return key ^ own if is_suicide else key


@njit
def stones_taken_by(state, point, colour):
    """Return how many enemy stones a move on an empty point takes."""
    heads, is_last = last_liberty_of(state, point)
    taken = np.int64(0)
    for i in range(4):
        if heads[i] != 0 and is_last[i] and state.board[heads[i]] != colour:
            taken += np.int64(state.chain_size[heads[i]])
    return taken


# --- superko ----------------------------------------------------------------------------------------------------------


@njit
def situation(state, key, mover):
    """Return what superko compares: the hash of the stones, and under SITUATIONAL who is to move after `mover`."""
    if state.ko_rule == SITUATIONAL and mover == BLACK:
        return key ^ WHITE_TO_MOVE
    return key


@njit
def is_remembered(state, key, mover):
    """Say whether the stones of this hash, left by a move of this colour, have been there before."""
    key = situation(state, key, mover)
    low = key & FILTER_MASK
    if (np.uint64(state.history_filter[low >> SIX]) >> (low & WORD_MASK)) & ONE == 0:
        return False
    is_found = False
    for i in range(np.int64(state.num_history)):
        is_found |= state.history[i] == key
    return is_found


@njit
def remember(state, mover):
    """Add the position that a move of this colour has left; precondition: fewer than MAX_PLIES moves were made."""
    key = situation(state, np.uint64(state.hash), mover)
    low = key & FILTER_MASK
    state.history[state.num_history] = key
    state.num_history = np.uint16(state.num_history + 1)
    state.history_filter[low >> SIX] |= ONE << (low & WORD_MASK)


@njit
def forget(state):
    """Start the history at the position on the board."""
    state.num_history = np.uint16(0)
    for word in range(64):
        state.history_filter[word] = np.uint64(0)
    if state.ko_rule != SIMPLE_KO:
        remember(state, WHITE if state.to_move == 0 else BLACK)


# --- asking about the board -------------------------------------------------------------------------------------------


@njit
def stone_at(state, point):
    """Return 0 empty, 1 black, 2 white for a point given as an action."""
    return np.int64(state.board[point_of(state, point)])


@njit
def chain_liberties(state, point):
    """Return how many liberties the chain of a stone has, the point given as an action; 0 where there is no stone."""
    return count_liberties(state, np.int64(state.head[point_of(state, point)]), NUM_POINTS)


@njit
def count_liberties(state, chain, enough):
    """Return how many liberties the chain of this head has, counting on to `enough` at least; 0 for head 0.

    A liberty is counted from the first of its neighbours, in the order of OFFSETS, that belongs to the chain.
    """
    board, head = state.board, state.head
    total = np.int64(0)
    if chain == 0:
        return total
    stone = chain
    while True:
        total += board[stone + RIGHT] == EMPTY
        liberty = stone + LEFT
        total += board[liberty] == EMPTY and head[liberty + LEFT] != chain
        for liberty in (stone + DOWN, stone + UP):
            if board[liberty] == EMPTY and head[liberty + LEFT] != chain and head[liberty + RIGHT] != chain:
                total += liberty > stone or head[liberty + UP] != chain
        stone = np.int64(state.next_stone[stone])
        if stone == chain or total >= enough:
            return total
