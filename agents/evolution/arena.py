"""Games between evaluators, played inside kernels: what evolution and its control matches spend their time on.

Threads, not processes: the kernels release the GIL, share the population's memory and need no start-up. The outcome of
a game depends on its two evaluators, its starting position and its seed alone, never on the number of threads.
"""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from agents.alphabeta import ENTRY, clear_search, clear_table, search_root, workspace_dtype
from games.compiled import NDArray, njit
from games.endgame.index import NO_TABLES
from games.legal_masks import NO_ACTION, count_actions, is_empty, nth_action, only_action
from games.machine import available_processors
from games.rules import Game, States, apply, is_quiet, legal_mask, returns, to_play

TABLE_BITS = 13  # log2 of a player's table entries: 200 KB, so that a game's tables stay in the processor's cache


@njit
def play_game(search, tables, position, first, second, depths, seed, searched, scores):
    """Play position[0] to its end; return the outcome for player 0 and how many positions were written to `searched`.

    Depth 0 plays at random. The quiet positions that were searched go to searched [M], the search's scores for the
    mover to scores int64[M], as many as there is room for.

    first and second are evaluator records, depths int64[2] in turns, tables ENTRY[2, T]: one a player, since each holds
    the scores of one evaluator. Kept from move to move, they save four fifths of the time where kings move to and fro.
    """
    np.random.seed(seed)  # noqa: NPY002
    clear_search(search)
    clear_table(tables[0])
    clear_table(tables[1])
    mask = search.masks[0]
    num_searched = 0
    while True:
        legal_mask(position[0], mask)
        if is_empty(mask):
            return returns(position[0]), num_searched
        player = to_play(position[0])
        action = only_action(mask)
        if action == NO_ACTION:
            if depths[player] == 0:
                action = nth_action(mask, np.random.randint(count_actions(mask)))  # noqa: NPY002  # numba's generator
            else:
                search.states[0] = position[0]
                if player == 0:
                    score = search_root(search, first, tables[0], NO_TABLES, depths[0])
                else:
                    score = search_root(search, second, tables[1], NO_TABLES, depths[1])
                action = np.int64(search.line[0, 0])
                if num_searched < searched.size and is_quiet(position[0]):
                    searched[num_searched] = position[0]
                    scores[num_searched] = score
                    num_searched += 1
        apply(position[0], action)


class GameTrace(NamedTuple):
    """A game that was played and the quiet positions in it that were searched."""

    outcome: float  # for player 0
    positions: States  # [M]
    scores: NDArray  # int64 [M], of the search, for the mover


class MatchResult(NamedTuple):
    """Games from the side of an evaluator."""

    won: int
    drawn: int
    lost: int
    pairs: tuple[int, ...]  # starts from which it scored 0, 1/2, 1, 3/2 and 2 points in its two games


class Arena:
    """Plays games between evaluators on several threads."""

    def __init__(self, game: Game, workers: int = 0, extension: int = 0) -> None:
        """workers: threads, 0 for one a processor. extension: turns, see search_node."""
        self.game = game
        self.workers = workers or available_processors()
        self._pool = ThreadPoolExecutor(self.workers)
        self._workspaces: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.workers):
            workspace = np.zeros(1, workspace_dtype(game))
            workspace["extension"] = extension
            self._workspaces.put((workspace[0], np.zeros((2, 1 << TABLE_BITS), ENTRY)))

    def play(
        self,
        first: NDArray,
        second: NDArray,
        pairings: NDArray,
        starts: States,
        depths: tuple[int, int],
        seed: int = 0,
    ) -> Iterator[float]:
        """Yield the outcome for player 0 of each game, in order.

        first, second: evaluators (arrays of records; may be of different kinds) of player 0 and of player 1.
        pairings: int[G, 3]: index into first, index into second, index into starts. depths: turns, 0 plays at random.
        """
        for game in self.play_on_record(first, second, pairings, starts, depths, seed, room=0):
            yield game.outcome

    def play_on_record(
        self,
        first: NDArray,
        second: NDArray,
        pairings: NDArray,
        starts: States,
        depths: tuple[int, int],
        seed: int = 0,
        room: int = 256,
    ) -> Iterator[GameTrace]:
        """As `play`, with the quiet positions that were searched, at most `room` of each game."""

        def play_one(number: int) -> GameTrace:
            i, j, start = pairings[number]
            search, tables = workspace = self._workspaces.get()
            searched, scores = np.empty(room, self.game.dtype), np.empty(room, np.int64)
            try:
                # Evaluators hold scratch: each game works on copies of its own.
                outcome, count = play_game(
                    search,
                    tables,
                    starts[start : start + 1].copy(),
                    first[i : i + 1].copy()[0],
                    second[j : j + 1].copy()[0],
                    np.array(depths, np.int64),
                    (seed * 1_000_003 + number) % 2**31,
                    searched,
                    scores,
                )
            finally:
                self._workspaces.put(workspace)
            return GameTrace(float(outcome), searched[:count], scores[:count])

        return self._pool.map(play_one, range(len(pairings)))

    def match(
        self, evaluator: Any, opponent: Any, starts: States, depths: tuple[int, int], seed: int = 0
    ) -> MatchResult:
        """Let an evaluator play an opponent over starts [S], each from both sides.

        depths: turns of the evaluator and of the opponent.
        """
        ours, theirs = np.array([evaluator], evaluator.dtype), np.array([opponent], opponent.dtype)
        pairings = np.array([(0, 0, start) for start in range(len(starts))])
        as_first = [*self.play(ours, theirs, pairings, starts, depths, seed)]
        as_second = [-outcome for outcome in self.play(theirs, ours, pairings, starts, depths[::-1], seed + 1)]
        won, drawn, lost = ((as_first + as_second).count(outcome) for outcome in (1.0, 0.0, -1.0))
        pairs = Counter(first + second for first, second in zip(as_first, as_second, strict=True))
        return MatchResult(won, drawn, lost, tuple(pairs[total] for total in (-2.0, -1.0, 0.0, 1.0, 2.0)))

    def map(self, work: Callable[[int], float], items: Iterable[int]) -> Iterator[float]:
        """Yield the results of other work on the same threads, in order."""
        return self._pool.map(work, items)

    def close(self) -> None:
        """Let running games end and drop the rest."""
        self._pool.shutdown(cancel_futures=True)
