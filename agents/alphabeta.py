"""Alpha-beta search over the contract of games/rules.py: iterative deepening, principal variation search, a
transposition table, killer and history move ordering, quiescence over captures.

Depth counts whole turns: a multi-jump costs one. Scores are integers from the mover's side (agents/evaluators.py); a
win found n actions below the root scores WIN - n, so that shorter wins are preferred.
No selective pruning: the result equals plain minimax of the same leaves, but for what the transposition table cannot
know of checkers: whether positions below one that it holds have occurred in the game before.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba.extending import overload

from agents.analysis import Analysis
from agents.evaluators import MAX_SCORE, SCORE_UNIT, Evaluator, evaluate
from games import checkers
from games.compiled import NDArray, lowest_bit, njit
from games.endgame.index import DRAW, NO_TABLES, UNKNOWN, outcome, probe, turns_left
from games.legal_masks import NO_ACTION
from games.rules import (
    Game,
    State,
    apply,
    hash_key,
    is_quiet,
    legal_mask,
    record_dtype,
    returns,
    to_play,
)

MAX_LEVEL = 127  # actions below the root; deeper lines are evaluated where they stand
MAX_DEPTH = 64  # turns
WIN = 10 * MAX_SCORE
WIN_THRESHOLD = WIN - 1000  # scores beyond this are wins at a known distance
INFINITE = 2 * WIN
LIMIT_CHECK_MASK = 1023  # nodes between looks at the node limit, less one
EXACT, LOWER, UPPER = 0, 1, 2  # what a stored score says of the true one

ENTRY = record_dtype(
    [
        ("key", np.uint64),
        ("score", np.int32),  # wins counted from this position, not from the root
        ("action", np.int16),  # best or refuting action, -1 none
        ("depth", np.int8),  # turns searched below
        ("bound", np.uint8),  # EXACT, LOWER or UPPER; an empty entry has depth -1
    ]
)


@lru_cache(maxsize=8)
def workspace_dtype(game: Game) -> np.dtype[Any]:
    """Return the dtype of everything one search writes to, for one game; A actions, W mask words."""
    levels, actions = MAX_LEVEL + 2, game.num_actions
    return record_dtype(
        [
            ("nodes", np.int64),  # positions visited
            ("node_limit", np.int64),  # stop beyond it; 0 never
            ("stop", np.int64),  # not 0: unwind as fast as possible
            ("extension", np.int64),  # turns added where a line would end on a pending capture or a forced move
            ("states", game.dtype, (levels,)),  # the line being looked at
            ("masks", np.uint64, (levels, game.mask_words)),
            ("actions", np.int16, (levels, actions)),  # moves of each level, best first as far as sorted
            ("priorities", np.int64, (levels, actions)),
            ("killers", np.int16, (levels, 2)),  # refutations found at this level
            ("history", np.int64, (2, actions)),  # how often each player's action has refuted, weighted
            ("line", np.int16, (levels, levels)),  # principal variation below each level
            ("line_length", np.int64, (levels,)),
        ]
    )


def known_result(entries: NDArray, state: State) -> int:
    """Return what endgame tables say of a position (games/endgame); UNKNOWN for games without tables."""
    return int(probe(entries, state)) if state.dtype.names == checkers.STATE.names else UNKNOWN


@overload(known_result)
def _known_result(entries, state):
    if tuple(state.fields) == checkers.STATE.names:
        return lambda entries, state: probe(entries, state)
    return lambda entries, state: np.int64(UNKNOWN)


def counters_key(state: State, turns: int) -> int:
    """Return what a transposition table must tell positions apart by beside their hash; 0 but for checkers."""
    return int(checkers.counters_key(state, turns)) if state.dtype.names == checkers.STATE.names else 0


@overload(counters_key)
def _counters_key(state, turns):
    if tuple(state.fields) == checkers.STATE.names:
        return lambda state, turns: checkers.counters_key(state, turns)
    return lambda state, turns: np.uint64(0)


@njit
def table_score(result, level):
    """Return the score of a tabled result that stands `level` actions below the root."""
    if result == DRAW:
        return np.int64(0)
    distance = level + turns_left(result)
    return np.int64(WIN - distance if outcome(result) > 0 else distance - WIN)


@njit
def list_actions(search, level, table_action):
    """List the level's legal actions with the priority each is tried by; return their number."""
    mask = search.masks[level]
    actions, priorities, killers = search.actions[level], search.priorities[level], search.killers[level]
    history = search.history[to_play(search.states[level])]
    count = 0
    for word in range(mask.size):
        bits = mask[word]
        while bits != 0:
            action = word * 64 + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            priority = history[action]
            if action == table_action:
                priority = np.int64(1) << 62
            elif action == killers[0]:
                priority = np.int64(1) << 61
            elif action == killers[1]:
                priority = np.int64(1) << 60
            actions[count] = action
            priorities[count] = priority
            count += 1
    return count


@njit
def take_best(search, level, first, count):
    """Bring the best action among first .. count - 1 to `first`, keeping the others' order, and return it."""
    actions, priorities = search.actions[level], search.priorities[level]
    best = first
    for i in range(first + 1, count):
        if priorities[i] > priorities[best]:
            best = i
    action, priority = actions[best], priorities[best]
    for i in range(best, first, -1):
        actions[i] = actions[i - 1]
        priorities[i] = priorities[i - 1]
    actions[first] = action
    priorities[first] = priority
    return np.int64(action)


@njit
def remember_refutation(search, level, mover, action, depth):
    """Let later siblings and cousins try this action early."""
    killers = search.killers[level]
    if killers[0] != action:
        killers[1] = killers[0]
        killers[0] = action
    search.history[mover, action] += depth * depth + 1


@njit
def extend_line(search, level, action):
    """Make `action` followed by the child's line the principal variation of a level."""
    line, below = search.line[level], search.line[level + 1]
    length = search.line_length[level + 1]
    line[0] = action
    for i in range(length):
        line[i + 1] = below[i]
    search.line_length[level] = length + 1


@njit
def ended_score(state, level):
    """Return the mover's score of a finished game that is `level` actions below the root."""
    outcome = returns(state) if to_play(state) == 0 else -returns(state)
    if outcome > 0:
        return np.int64(WIN - level)
    if outcome < 0:
        return np.int64(level - WIN)
    return np.int64(0)


@njit
def is_forced(mask):
    """Say whether there is no choice; precondition: there is a legal action."""
    words_used, last = 0, np.uint64(0)
    for word in range(mask.size):
        if mask[word] != 0:
            words_used += 1
            last = mask[word]
    return words_used == 1 and last & (last - np.uint64(1)) == 0


@njit
def look_up(table, key, level, depth, alpha, beta):
    """Return a position's best action in the table, its score from here, and whether that settles a search."""
    entry = table[np.int64(key & np.uint64(table.size - 1))]
    if entry.key != key or entry.depth < 0:
        return np.int64(NO_ACTION), np.int64(0), False
    score = np.int64(entry.score)
    if score > WIN_THRESHOLD:
        score -= level
    elif score < -WIN_THRESHOLD:
        score += level
    is_known = entry.depth == depth and (
        entry.bound == EXACT or (entry.bound == LOWER and score >= beta) or (entry.bound == UPPER and score <= alpha)
    )
    return np.int64(entry.action), score, is_known


@njit
def enter(table, key, level, depth, score, bound, action):
    """Write what a search found into the table, in the place of what is there."""
    entry = table[np.int64(key & np.uint64(table.size - 1))]
    if score > WIN_THRESHOLD:
        score += level
    elif score < -WIN_THRESHOLD:
        score -= level
    entry.key = key
    entry.score = np.int32(score)
    entry.action = np.int16(action)
    entry.depth = np.int8(depth)
    entry.bound = np.uint8(bound)


@njit
def search_node(search, evaluator, table, entries, level, depth, reserve, alpha, beta):
    """Return the score of states[level] searched `depth` turns deep within the window (alpha, beta), fail-soft.

    Where the line would end on a pending capture or a forced move, the turns in `reserve` are added, once (without a
    bound a king that must move to and fro would lengthen lines for ever); captures are played out in any case. All
    integers are int64. table is ENTRY[T], T a power of two, or of length 0 for none; entries are those of the endgame
    tables or NO_TABLES.
    """
    search.nodes += 1
    if search.nodes & LIMIT_CHECK_MASK == 0 and search.node_limit != 0 and search.nodes >= search.node_limit:
        search.stop = 1
    search.line_length[level] = 0
    state = search.states[level]
    mask = search.masks[level]
    legal_mask(state, mask)
    any_legal = np.uint64(0)
    for word in range(mask.size):
        any_legal |= mask[word]
    if any_legal == 0:
        return ended_score(state, level)
    result = known_result(entries, state)
    if result != UNKNOWN and level > 0:
        return table_score(result, level)
    if level >= MAX_LEVEL:
        return evaluate(evaluator, state)
    if depth <= 0:
        if is_quiet(state) and (reserve == 0 or not is_forced(mask)):
            return evaluate(evaluator, state)
        depth += reserve
        reserve = np.int64(0)

    table_action = np.int64(NO_ACTION)
    key = np.uint64(0)
    if depth > 0 and table.size > 0:
        key = hash_key(state) ^ np.uint64(reserve) ^ np.uint64(counters_key(state, depth + reserve))
        table_action, score, is_known = look_up(table, key, level, depth, alpha, beta)
        if is_known and level > 0:
            return score

    mover = to_play(state)
    count = list_actions(search, level, table_action)
    best, best_action = np.int64(-INFINITE), np.int64(NO_ACTION)
    raised = alpha
    for i in range(count):
        action = take_best(search, level, i, count)
        search.states[level + 1] = state
        apply(search.states[level + 1], action)
        goes_on = to_play(search.states[level + 1]) == mover  # a multi-jump: same turn, same side
        left = depth if goes_on else depth - 1
        # After the first action a window of one asks only whether another is better, and the whole one how much.
        upper = beta if i == 0 else raised + 1
        while True:
            low, high = (raised, upper) if goes_on else (-upper, -raised)
            score = search_node(search, evaluator, table, entries, level + 1, left, reserve, low, high)
            score = score if goes_on else -score
            if upper == beta or not raised < score < beta or search.stop != 0:
                break
            upper = beta
        if search.stop != 0:
            return best  # not used: the iteration is thrown away
        if score > best:
            best, best_action = score, action
            if score > raised:
                raised = score
                extend_line(search, level, action)
                if score >= beta:
                    remember_refutation(search, level, mover, action, depth)
                    break

    if depth > 0 and table.size > 0:
        bound = LOWER if best >= beta else (EXACT if best > alpha else UPPER)
        enter(table, key, level, depth, best, bound, best_action)
    return best


@njit
def search_root(search, evaluator, table, entries, depth):
    """Search states[0] to a depth with an open window; its principal variation is line[0]."""
    lowest, highest = np.int64(-INFINITE), np.int64(INFINITE)
    return search_node(
        search, evaluator, table, entries, np.int64(0), np.int64(depth), search.extension, lowest, highest
    )


@njit
def clear_search(search):
    """Forget what earlier searches learnt about move ordering, so that a search depends on its position alone."""
    search.nodes = 0
    search.stop = 0
    search.history[:] = 0
    search.killers[:] = NO_ACTION


@njit
def begin_search(search, state):
    """Set the root position, and keep some of what earlier searches learnt about move ordering."""
    search.states[0] = state
    search.nodes = 0
    search.stop = 0
    search.killers[:] = NO_ACTION
    for player in range(2):
        for action in range(search.history.shape[1]):
            search.history[player, action] >>= 3


@njit
def clear_table(table):
    """Empty a transposition table."""
    for i in range(table.size):
        table[i].depth = np.int8(-1)


# --- searching from Python ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SearchLimits:
    """When a search ends; it always looks at least one turn ahead."""

    depth: int = MAX_DEPTH  # turns
    nodes: int = 0  # positions visited; 0 no limit
    seconds: float = 0.0  # wall-clock time; 0 no limit


def expected_return(score: int) -> float:
    """Return the mover's expected return, -1.0 to 1.0, that a score stands for."""
    if abs(score) > WIN_THRESHOLD:
        return math.copysign(1.0, score)
    return math.tanh(score / SCORE_UNIT)


class Searcher:
    """Iterative deepening with one evaluator and one transposition table, for one thread at a time."""

    def __init__(
        self,
        game: Game,
        evaluator: Evaluator,
        table_bits: int = 18,
        tables: NDArray = NO_TABLES,
        extension: int = 0,
    ) -> None:
        """table_bits: log2 of the table's entries of 16 bytes. tables: entries of games.endgame's tables.

        extension: turns added once where a line ends on a pending capture or a forced move; 2 as published.
        """
        self.game = game
        self._evaluator = np.array([evaluator], evaluator.dtype)[0]  # a copy: evaluators hold scratch
        self._table = np.zeros(1 << table_bits, ENTRY)
        self._entries = tables
        workspace = np.zeros(1, workspace_dtype(game))
        workspace["extension"] = extension
        self._search = workspace[0]
        # Views of its fields: reading one through the record costs as much as a small search.
        self._stop, self._nodes, self._node_limit = workspace["stop"], workspace["nodes"], workspace["node_limit"]
        self._line, self._line_length = workspace["line"][0, 0], workspace["line_length"][0]
        self.clear()

    def clear(self) -> None:
        """Forget all earlier searches."""
        clear_search(self._search)
        clear_table(self._table)

    def stop(self) -> None:
        """End the search that is running in another thread as soon as possible."""
        self._stop[0] = 1

    def search(
        self, state: State, limits: SearchLimits, on_iteration: Callable[[Analysis], None] | None = None
    ) -> Analysis:
        """Return the best action found; on_iteration hears of each depth completed.

        Precondition: the game is not over.
        """
        start, mover = time.perf_counter(), to_play(state)
        begin_search(self._search, state)
        alarm = threading.Timer(limits.seconds, self.stop) if limits.seconds else None
        if alarm:
            alarm.daemon = True
            alarm.start()
        best = None
        try:
            for depth in range(1, min(limits.depth, MAX_DEPTH) + 1):
                self._node_limit[0] = limits.nodes if depth > 1 else 0
                score = int(search_root(self._search, self._evaluator, self._table, self._entries, depth))
                stopped = bool(self._stop[0])
                if stopped and depth > 1:
                    break
                while self._stop[0]:  # one turn is looked at to its end, whenever the stop came
                    self._stop[0] = 0
                    score = int(search_root(self._search, self._evaluator, self._table, self._entries, depth))
                best = self._analysis(mover, score, depth, time.perf_counter() - start)
                if on_iteration:
                    on_iteration(best)
                if abs(score) > WIN_THRESHOLD or stopped or self._stop[0]:
                    break
        finally:
            if alarm:
                alarm.cancel()
        assert best is not None, f"limits {limits} allow no turn"
        return best

    def _analysis(self, mover: int, score: int, depth: int, seconds: float) -> Analysis:
        line = tuple(self._line[: self._line_length[0]].tolist())
        return Analysis(
            action=line[0],
            value=expected_return(score if mover == 0 else -score),
            principal_variation=line,
            depth=depth,
            nodes=int(self._nodes[0]),
            seconds=seconds,
        )
