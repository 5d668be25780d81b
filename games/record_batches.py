"""Positions of recorded games as network planes: tens of thousands a second on one core, in kernels without the GIL.

Shapes: n positions, planes [C, H, W], A actions, K symmetries, S starting positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from games.compiled import njit
from games.go_features import NO_PLANE, FeatureSet, feature_set, write_ranks
from games.record_formats import UNKNOWN, format_of
from games.records import Positions, RecordsError
from games.rules import Game, apply, is_legal, legal_mask, observe_batch, to_play

CHUNK = 32  # positions replayed before they are encoded: their records, 17 KB each in Go, stay in the cache

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Batch:
    """Positions as the mover sees them, and what became of them."""

    planes: Array  # uint8 or float32 [n, C, H, W]
    actions: Array  # int64 [n]: what was played
    outcomes: Array  # float32 [n]: the mover won 1, drew 0, lost -1; 0 where nobody knows
    has_outcome: Array  # bool [n]: whether the result is known
    legal: Array  # bool [n, A]: the legal actions
    movers: Array  # int64 [n]: who moves, 0 the first player
    games: Array  # int64 [n]: rows of the records
    plies: Array  # int64 [n]: actions played before


class PositionReader:
    """Makes batches of positions; `read` may run in several threads at once, and releases the GIL."""

    def __init__(self, positions: Positions, features: str = "observe", dtype: type = np.float32) -> None:
        """Read with a set of features (a key of games.go_features.FEATURES, or "observe") as uint8 or float32."""
        records, record_format = positions.records, format_of(positions.records.game)
        self.positions = positions
        self.game = positions.board_game
        self.dtype = np.dtype(dtype)
        rows, columns = self.game.planes_shape[1:]
        self.features = None if features == "observe" else _features_of(self.game, features)
        num_planes = self.game.planes_shape[0] if self.features is None else self.features.num_planes
        self.planes_shape = (num_planes, rows, columns)
        self.action_maps = record_format.action_maps(rows, columns)
        used = np.unique(records.start[positions.games])
        turned = [record_format.turn_start(records.starts[row], k) for k in range(self.num_symmetries) for row in used]
        self.starts = record_format.start_states(turned).reshape(self.num_symmetries, used.size)
        self.start_rows = np.zeros(len(records.starts), np.int64)
        self.start_rows[used] = np.arange(used.size)

    @property
    def num_symmetries(self) -> int:
        """K: symmetry k is of 0 ... K - 1, and 0 leaves everything as it is."""
        return int(self.action_maps.shape[0])

    def read(self, numbers: Array, symmetries: Array | None = None) -> Batch:
        """Return some positions by their numbers, int[n], each under its own symmetry (int[n]; default: as played)."""
        games, plies = self.positions.locate(numbers)
        records, count = self.positions.records, games.size
        start_rows, firsts, results = (
            self.start_rows[records.start[games]],
            records.offsets[games],
            records.result[games],
        )
        chosen = np.zeros(count, np.int64) if symmetries is None else np.asarray(symmetries, np.int64)
        batch = Batch(
            planes=np.empty((count, *self.planes_shape), self.dtype),
            actions=np.empty(count, np.int64),
            outcomes=np.zeros(count, np.float32),
            has_outcome=np.zeros(count, np.bool_),
            legal=np.zeros((count, self.game.num_actions), np.bool_),
            movers=np.empty(count, np.int64),
            games=games,
            plies=plies,
        )
        states = np.empty(min(count, CHUNK), self.game.dtype)
        for first in range(0, count, CHUNK):
            part = slice(first, min(first + CHUNK, count))
            made = states[: part.stop - first]
            replay(
                self.starts,
                start_rows[part],
                records.moves,
                firsts[part],
                plies[part],
                self.action_maps,
                chosen[part],
                made,
                batch.actions[part],
            )
            if self.features is None:
                observe_batch(made, batch.planes[part])
            else:
                self.features.encode(made, batch.planes[part])
            label(
                made,
                results[part],
                batch.legal[part],
                batch.movers[part],
                batch.outcomes[part],
                batch.has_outcome[part],
            )
        if self.features is not None and self.features.rank_plane != NO_PLANE:
            write_ranks(records.ranks[games, batch.movers], batch.planes, self.features.rank_plane)
        return batch


def _features_of(game: Game, name: str) -> FeatureSet:
    if game.family != "go":
        raise RecordsError(f"features {name!r} are of Go; {game.name} is read with observe")
    return feature_set(name)


@njit
def replay(starts, start_rows, moves, firsts, plies, action_maps, symmetries, states, actions):
    """Write each position, states [n], and the action played there, int64[n]: replayed under its symmetry.

    starts are records [K, S]; firsts is where in `moves` each position's game begins.
    """
    for i in range(states.size):
        symmetry, first = symmetries[i], firsts[i]
        states[i] = starts[symmetry, start_rows[i]]
        for index in range(first, first + plies[i]):
            actions[i] = action_maps[symmetry, moves[index]]
            apply(states[i], actions[i])
        actions[i] = action_maps[symmetry, moves[first + plies[i]]]


@njit
def label(states, results, legal, movers, outcomes, has_outcome):
    """Write legal actions, bool[n, A], movers and outcomes as they see them, from player 0's results, int8[n]."""
    mask = np.empty((legal.shape[1] + 63) // 64, np.uint64)
    for i in range(states.size):
        legal_mask(states[i], mask)
        for action in range(legal.shape[1]):
            legal[i, action] = is_legal(mask, action)
        movers[i] = to_play(states[i])
        has_outcome[i] = results[i] != UNKNOWN
        if has_outcome[i]:
            outcomes[i] = -results[i] if movers[i] == 1 else results[i]
