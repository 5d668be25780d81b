"""Random games of Go whose players answer threats: what they say of who lives is far better than blind games' word.

A player whose chain is put in atari takes the attacker or runs, takes what has walked into atari itself, plays the
vital point of what was taken from it, and otherwise moves at random, but neither into an own eye nor into atari (in the
manner of the playouts of Gelly, Wang, Munos & Teytaud, Modification of UCT with Patterns in Monte-Carlo Go, 2006).
"""

from __future__ import annotations

import numpy as np

from games.compiled import njit
from games.go_board import (
    EMPTY,
    NO_POINT,
    NUM_POINTS,
    OFFSETS,
    SIMPLE_KO,
    STRIDE,
    is_playable,
    place,
)
from games.go_playouts import fills_eye, list_empty_points, list_taken_points
from games.go_scoring import mark_owners
from games.random_bits import random_below, random_bits

MIN_NAKADE, MAX_NAKADE = 3, 6  # stones taken, whose vital point is worth a move


@njit
def last_liberty(state, chain):
    """Return the one liberty of the chain of this head, NO_POINT where it has more."""
    stone = chain
    while True:
        for offset in OFFSETS:
            liberty = stone + offset
            if state.board[liberty] == EMPTY:
                touching = 0
                for around in OFFSETS:
                    touching += state.head[liberty + around] == chain
                return liberty if touching == state.liberties[chain] else NO_POINT
        stone = np.int64(state.next_stone[stone])
        if stone == chain:
            return NO_POINT


@njit
def has_room(state, point, colour):
    """Say whether a stone on an empty point would have two liberties or more, or take something: a quick estimate."""
    around = np.int64(state.around[point])
    empty = around & 7
    if empty >= 2:
        return True
    for offset in OFFSETS:
        neighbour = point + offset
        stone = state.board[neighbour]
        if stone == colour and last_liberty(state, np.int64(state.head[neighbour])) == NO_POINT:
            if empty == 1 or has_liberties_beside(state, np.int64(state.head[neighbour]), point):
                return True
        elif stone == 3 - colour and last_liberty(state, np.int64(state.head[neighbour])) == point:
            return True
    return False


@njit
def has_liberties_beside(state, chain, point):
    """Say whether a chain has two liberties or more without a point."""
    first = NO_POINT
    stone = chain
    while True:
        for offset in OFFSETS:
            liberty = stone + offset
            if state.board[liberty] == EMPTY and liberty != point:
                if first == NO_POINT:
                    first = liberty
                elif liberty != first:
                    return True
        stone = np.int64(state.next_stone[stone])
        if stone == chain:
            return False


@njit
def capture_beside(state, chain, colour):
    """Return a point that takes an enemy chain beside the chain of this head, NO_POINT where there is none."""
    enemy = 3 - colour
    stone = chain
    while True:
        for offset in OFFSETS:
            neighbour = stone + offset
            if state.board[neighbour] == enemy:
                liberty = last_liberty(state, np.int64(state.head[neighbour]))
                if liberty != NO_POINT and is_playable(state, liberty, colour):
                    return liberty
        stone = np.int64(state.next_stone[stone])
        if stone == chain:
            return NO_POINT


@njit
def vital_point(state, first):
    """Return the point of the space around an empty point that has the most of it beside it, where there is but one."""
    space = np.empty(MAX_NAKADE + 1, np.int64)
    space[0] = first
    size, done = 1, 0
    best, most, is_single = NO_POINT, 1, False
    while done < size:
        point = space[done]
        done += 1
        degree = 0
        for offset in OFFSETS:
            neighbour = point + offset
            if state.board[neighbour] == EMPTY:
                degree += 1
                is_new = True
                for i in range(size):
                    is_new &= space[i] != neighbour
                if is_new:
                    if size > MAX_NAKADE - 1:
                        return NO_POINT
                    space[size] = neighbour
                    size += 1
        if degree >= most:
            is_single = degree > most
            best, most = point, degree
    return best if is_single and size >= MIN_NAKADE else NO_POINT


@njit
def answer(state, last, colour):
    """Return the point that answers the enemy's last move, NO_POINT where nothing calls for an answer."""
    for i in range(state.num_taken):
        point = vital_point(state, np.int64(state.taken[i]))
        if point != NO_POINT and is_playable(state, point, colour):
            return point
    for offset in OFFSETS:
        neighbour = last + offset
        if state.board[neighbour] == colour:
            chain = np.int64(state.head[neighbour])
            liberty = last_liberty(state, chain)
            if liberty != NO_POINT:
                point = capture_beside(state, chain, colour)
                if point != NO_POINT:
                    return point
                if is_playable(state, liberty, colour) and has_room(state, liberty, colour):
                    return liberty
    if state.board[last] != EMPTY:
        liberty = last_liberty(state, np.int64(state.head[last]))
        if liberty != NO_POINT and is_playable(state, liberty, colour):
            return liberty
    return NO_POINT


@njit
def careful_playout(state, points, places, stream):
    """Play to the end of the game, from a position that two passes may have ended.

    points uint16 and places int16 [NUM_POINTS] are scratch; stream: uint64 [1], of random numbers.
    """
    count = list_empty_points(state, points)
    for i in range(count):
        places[points[i]] = i
    plies = 2 * np.int64(state.rows) * np.int64(state.columns) + 20
    last = np.int64(NO_POINT)
    passes = np.int64(0)
    colour = np.int64(state.to_move) + 1
    while passes < 2 and plies > 0:
        plies -= 1
        move = np.int64(NO_POINT)
        if last != NO_POINT and random_bits(stream, 0) & np.uint64(15) != 0:
            move = answer(state, last, colour)
        left = count
        while move == NO_POINT and left > 0:
            drawn = random_below(stream, 0, left)
            point = np.int64(points[drawn])
            left -= 1
            points[drawn], points[left] = points[left], points[drawn]
            places[points[drawn]], places[point] = drawn, left
            if fills_eye(state, point, colour) or not is_playable(state, point, colour):
                continue
            if has_room(state, point, colour) or random_bits(stream, 0) & np.uint64(7) == 0:
                move = point
        if move == NO_POINT:
            passes += 1
            state.ko_point = np.uint16(NO_POINT)
            state.num_taken = np.uint16(0)
        else:
            passes = np.int64(0)
            count -= 1
            other = np.int64(points[count])
            points[places[move]] = other
            places[other] = places[move]
            place(state, move, colour)
            before, count = count, list_taken_points(state, points, count)
            for at in range(before, count):
                places[points[at]] = at
        last = move
        colour = 3 - colour
        state.to_move = np.uint8(colour - 1)


@njit
def careful_owners(states, count, seed):
    """Return who owns each point at the end of this many games, on the average: float32 [rows * columns], for Black.

    states: [2], the position and a record to play in. Half of the games begin with the other player.
    """
    start, state = states[0], states[1]
    rows, columns = np.int64(start.rows), np.int64(start.columns)
    owners = np.zeros(rows * columns, np.float32)
    marks = np.zeros(NUM_POINTS, np.int8)
    points = np.empty(NUM_POINTS, np.uint16)
    places = np.empty(NUM_POINTS, np.int16)
    stream = np.empty(1, np.uint64)
    stream[0] = np.uint64(seed)
    for game in range(count):
        states[1] = states[0]
        state.ko_rule = SIMPLE_KO
        state.suicide = 0
        state.to_move = np.uint8((np.int64(start.to_move) + game) & 1)
        careful_playout(state, points, places, stream)
        mark_owners(state, marks)
        for action in range(owners.size):
            owners[action] += marks[STRIDE * (action // columns + 1) + action % columns + 1]
    return owners / np.float32(count)
