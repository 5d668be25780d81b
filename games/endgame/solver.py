"""The solver of endgame tables: retrograde analysis, a slice and its mirror image at a time.

Quiet moves stay within a slice and its mirror image (the other side to move, turned around), which are solved
together; captures and promotions lead to slices solved before. A first pass writes what those say of each position and
counts the quiet moves. Then the positions of each distance, from 0 up, tell those before them: a loss wins there, a win
is one move less to hope for (the method of Thompson 1986 and of Lake, Schaeffer and Lu 1994). The array of results is
its own queue: what a capture or a promotion promises lies in it until its distance comes up, or a shorter win replaces
it.

The kernels know Black to move only. They share the geometry of `games.checkers` but none of its records.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import groupby

import numpy as np

from games.checkers import BOTTOM_ROW, FULL, JUMP, NUM_SQUARES, ONE, STEP, can_jump, can_step
from games.compiled import count_bits, lowest_bit, njit
from games.endgame.index import (
    DRAW,
    LONGEST,
    MAX_PIECES,
    MIN_PIECES,
    NO_POSITION,
    PAIRS,
    EndgameError,
    Entries,
    Pair,
    all_subsets,
    index_of,
    num_entries,
    position_at,
    turned,
)
from games.machine import available_processors, free_memory

# What a counter says besides the number of quiet moves that are not yet known to lose.
SAFE = np.uint8(253)  # some move wins or draws: never lost, though a shorter win may be found
SPREAD = np.uint8(254)  # a result too long for a byte, already passed on to the positions before it
SETTLED = np.uint8(255)  # known from other slices alone, or no position

WIN = 1000  # a score: WIN minus the distance, its negative, or 0
NO_SCORE = -2 * WIN

OnProgress = Callable[[int, int], None]  # bytes of the tables done, and to do in all


# --- what a position is worth by its captures and promotions ----------------------------------------------------------


@njit
def score_after(entries, black, white, kings):
    """Return what a finished turn of Black's has led to, as Black's score: the result is White's, who is to move."""
    if white == 0:
        return WIN - 1
    turned_black, turned_white, turned_kings = turned(black, white, kings)
    result = np.int64(entries[index_of(turned_black, turned_white, turned_kings)])
    if result == DRAW:
        return 0
    return WIN - result if result % 2 == 1 else result - WIN


@njit
def result_of(score):
    """Return the byte for a score."""
    if score == 0:
        return np.uint8(DRAW)
    result = 1 + (WIN - score if score > 0 else score + WIN)
    return np.uint8(result if result <= LONGEST else LONGEST - (result - LONGEST) % 2)


@njit
def push_jumps(stack, size, black, white, kings, jumpers):
    """Push what each single jump of the jumpers leads to: black, white, kings and who may jump on; return the size."""
    empty = ~(black | white) & FULL
    for direction in range(4):
        movers = (jumpers if direction < 2 else jumpers & kings) & can_jump(direction, white, empty)
        while movers != 0:
            square = lowest_bit(movers)
            movers &= movers - ONE
            origin = ONE << np.uint64(square)
            captured = ONE << np.uint64(STEP[direction * NUM_SQUARES + square])
            landing = ONE << np.uint64(JUMP[direction * NUM_SQUARES + square])
            is_king = (kings & origin) != 0
            crowned = not is_king and (landing & BOTTOM_ROW) != 0
            stack[size, 0] = black ^ (origin | landing)
            stack[size, 1] = white ^ captured
            stack[size, 2] = (kings & ~captured & ~origin) | (landing if is_king or crowned else np.uint64(0))
            stack[size, 3] = np.uint64(0) if crowned else landing
            size += 1
    return size


@njit
def best_capture(entries, black, white, kings, stack):
    """Return Black's best score by a capture, NO_SCORE where there is none."""
    best = NO_SCORE
    size = push_jumps(stack, 0, black, white, kings, black)
    while size > 0:
        size -= 1
        black, white, kings, jumper = stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3]
        grown = push_jumps(stack, size, black, white, kings, jumper)
        if grown == size:
            best = max(best, score_after(entries, black, white, kings))
        size = grown
    return best


@njit
def best_promotion(entries, black, white, kings):
    """Return Black's best score by stepping to the king row, NO_SCORE where no man can."""
    best = NO_SCORE
    empty = ~(black | white) & FULL & BOTTOM_ROW
    for direction in range(2):
        movers = black & ~kings & can_step(direction, empty)
        while movers != 0:
            square = lowest_bit(movers)
            movers &= movers - ONE
            landing = ONE << np.uint64(STEP[direction * NUM_SQUARES + square])
            best = max(
                best, score_after(entries, black ^ ((ONE << np.uint64(square)) | landing), white, kings | landing)
            )
    return best


@njit
def count_quiet_moves(black, white, kings):
    """Return the number of Black's steps that keep the material."""
    empty = ~(black | white) & FULL
    below = empty & ~BOTTOM_ROW
    men, kings = black & ~kings, black & kings
    total = 0
    for direction in range(4):
        if direction < 2:
            total += count_bits(men & can_step(direction, below))
        total += count_bits(kings & can_step(direction, empty))
    return total


# --- the solver -------------------------------------------------------------------------------------------------------


@njit
def open_slice(entries, counters, subsets, key, start, stop):
    """Write what captures and promotions say of every position of a slice, [start, stop); counters are this slice's."""
    stack = np.zeros((64, 4), np.uint64)
    for index in range(start, stop):
        black, white, kings = position_at(subsets, key, index - start)
        result = np.uint8(DRAW)
        counter = SETTLED
        if black & white != 0:
            result = NO_POSITION
        else:
            score = best_capture(entries, black, white, kings, stack)
            if score == NO_SCORE:
                score = best_promotion(entries, black, white, kings)
                quiet_moves = count_quiet_moves(black, white, kings)
                if quiet_moves == 0:
                    score = max(score, -WIN)  # no move at all: lost here and now
                elif score >= 0:
                    counter = SAFE
                else:
                    counter = np.uint8(quiet_moves)
                    score = 0  # not known yet
            result = result_of(score)
        entries[index] = result
        counters[index - start] = counter


@njit
def pass_on(entries, counters, start, black, white, kings, result):
    """Tell the positions from which a quiet move led here what that move is worth; counters begin at `start`."""
    # White has just moved. Turned around it was Black, as in every stored position, and its men came from above.
    own, enemy, kings = turned(black, white, kings)
    empty = ~(own | enemy) & FULL
    for direction in range(4):
        movers = (own if direction >= 2 else own & kings) & can_step(direction, empty)
        while movers != 0:
            square = lowest_bit(movers)
            movers &= movers - ONE
            here = ONE << np.uint64(square)
            step = here | (ONE << np.uint64(STEP[direction * NUM_SQUARES + square]))
            kings_before = kings ^ step if kings & here != 0 else kings
            index = index_of(own ^ step, enemy, kings_before)
            counter = counters[index - start]
            if counter >= SPREAD:
                continue
            if result % 2 == 1:  # lost for the side to move here, so won there
                before = result_of(WIN - result)
                if entries[index] == DRAW or entries[index] > before:
                    entries[index] = before
                    counters[index - start] = SAFE
            elif counter != SAFE:
                counters[index - start] = counter - 1
                if counter == 1:
                    entries[index] = result_of(
                        max(result - WIN, best_promotion(entries, own ^ step, enemy, kings_before))
                    )


LOW_BITS = np.uint64(0x0101010101010101)
HIGH_BITS = np.uint64(0x8080808080808080)


@njit
def pass_on_all(entries, counters, subsets, key, mirrored_key, start, middle, stop, result):
    """Pass on every position of a pair that has this result, and return how many they were."""
    words = entries[start:stop].view(np.uint64)
    pattern = LOW_BITS * np.uint64(result)
    longest = result >= LONGEST - 1
    found = 0
    for word in range(words.size):
        differences = words[word] ^ pattern
        if (differences - LOW_BITS) & ~differences & HIGH_BITS == 0:  # no byte of the eight is zero
            continue
        for index in range(start + 8 * word, start + 8 * word + 8):
            if entries[index] != result:
                continue
            if longest:  # these are looked at again and again, until no more appear
                if counters[index - start] == SPREAD:
                    continue
                counters[index - start] = SPREAD
            found += 1
            in_mirror = index >= middle
            black, white, kings = position_at(
                subsets, mirrored_key if in_mirror else key, index - (middle if in_mirror else start)
            )
            pass_on(entries, counters, start, black, white, kings, result)
    return found


@njit
def solve_pair(entries, subsets, key, mirrored_key, start, middle, stop, size):
    """Solve a slice of `size` positions and its mirror image; precondition: those that its conversions lead to are."""
    entries[start:stop] = NO_POSITION
    counters = np.full(stop - start, SETTLED)
    open_slice(entries, counters, subsets, key, start, start + size)
    if middle < stop:
        open_slice(entries, counters[middle - start :], subsets, mirrored_key, middle, middle + size)
    for result in range(1, LONGEST - 1):
        pass_on_all(entries, counters, subsets, key, mirrored_key, start, middle, stop, result)
    found = 1
    while found != 0:
        found = pass_on_all(entries, counters, subsets, key, mirrored_key, start, middle, stop, LONGEST - 1)
        found += pass_on_all(entries, counters, subsets, key, mirrored_key, start, middle, stop, LONGEST)


# --- all slices -------------------------------------------------------------------------------------------------------


def solve(max_pieces: int, on_progress: OnProgress | None = None) -> Entries:
    """Return the tables of up to so many pieces; EndgameError where there are none or memory is short."""
    if not MIN_PIECES <= max_pieces <= MAX_PIECES:
        raise EndgameError(f"endgame tables are for {MIN_PIECES} to {MAX_PIECES} pieces, not {max_pieces}")
    needed, free = memory_needed(max_pieces), free_memory()
    if free is not None and needed > free:
        raise EndgameError(
            f"endgame tables of {max_pieces} pieces need {needed / 1e9:.2f} GB of memory to make, "
            f"{free / 1e9:.2f} GB are free: choose fewer pieces"
        )
    entries = np.zeros(num_entries(max_pieces), np.uint8)
    subsets = all_subsets()
    done = 0
    if on_progress is not None:
        on_progress(done, entries.size)
    pool = ThreadPoolExecutor(available_processors())
    try:
        for layer in _layers(max_pieces):
            solving = {pool.submit(_solve_pair, entries, subsets, pair): pair for pair in layer}
            for solved in as_completed(solving):
                solved.result()
                done += solving[solved].stop - solving[solved].start
                if on_progress is not None:
                    on_progress(done, entries.size)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # an interrupt does not wait for the kernels that run
    return entries


def memory_needed(max_pieces: int) -> int:
    """Return the bytes that `solve` takes at its peak: the tables, and a counter a position of what is being solved."""
    threads = available_processors()
    counters = (sum(sorted(pair.stop - pair.start for pair in layer)[-threads:]) for layer in _layers(max_pieces))
    return num_entries(max_pieces) + max(counters)


def _layers(max_pieces: int) -> list[list[Pair]]:
    """Return the pairs in groups (as many pieces, as many men) that depend on those before, the largest first."""
    pairs = [pair for pair in PAIRS if pair.pieces <= max_pieces]
    groups = groupby(pairs, key=lambda pair: (pair.pieces, pair.men))
    return [sorted(group, key=lambda pair: pair.start - pair.stop) for _, group in groups]


def _solve_pair(entries: Entries, subsets: np.ndarray, pair: Pair) -> None:
    material, start, middle, stop = pair
    solve_pair(entries, subsets, material.key, material.mirrored.key, start, middle, stop, material.positions)
