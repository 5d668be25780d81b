"""Recorded games as training samples: games kept apart for validation, shuffled batches made ahead of the network.

Batch i of a run depends on the seed and on i alone, neither on the order of the files nor on what was read before, so a
run that resumes needs no more than i. B samples, A actions, C channels, H height, W width.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from games.compiled import NDArray
from games.go import game as go_game
from games.record_batches import Batch, PositionReader
from games.records import Positions, Records, RecordsError
from games.rules import Game
from games.shuffle import Shuffle

KOMI2 = (10, 17)  # twice the komi, least and most, of the Go games whose results a value head learns from


class Samples(NamedTuple):
    """A batch as the network is trained on it."""

    planes: Tensor  # [B, C, H, W], uint8 or float32
    actions: Tensor  # int64 [B]: what was played; or float32 [B, A]: what to play, with which probability
    legal: Tensor  # bool [B, A]
    movers: Tensor  # int64 [B]: 0 the first player, 1 the second
    outcomes: Tensor  # float32 [B]: as the mover sees them, 0 where not known
    outcome_weights: Tensor  # float32 [B]: 1 where the value head learns from the outcome, 0 elsewhere
    owners: Tensor | None = None  # float32 [B, H, W]: whose each point is in the end, 1 the mover's; None: not known
    leads: Tensor | None = None  # float32 [B]: points that the mover wins by, komi included; None: not known

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Samples:
        """Return the batch with every tensor changed."""
        return Samples(*(None if tensor is None else change(tensor) for tensor in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Split:
    """The positions to learn from and, of other games, those to validate with."""

    training: Positions
    validation: Positions


def split_records(records: Records, game: Game, held_out: float) -> Split:
    """Part the games played on this game's board without handicap; RecordsError where a side is left empty."""
    apart = records.held_out(held_out)
    return Split(choose_games(records, game, ~apart, "learn from"), choose_games(records, game, apart, "validate with"))


def choose_games(records: Records, game: Game, chosen: NDArray, purpose: str) -> Positions:
    """Return the positions of those of some games (bool [N]) that are of this game's board and without handicap.

    They are in the order of their hashes, those that begin alike in one of their results and digests, so that neither
    the order nor the names of the files matter.
    """
    fit = records.of_board(*game.planes_shape[1:])
    if game.family == "go":
        fit &= records.handicap == 0
    lengths = np.diff(records.offsets)
    order = np.lexsort((records.digests(), records.result, lengths, records.hashes))
    positions = Positions(records, order[(fit & chosen)[order]])
    if not len(positions):
        terms = f"{game.name} without handicap" if game.family == "go" else game.name
        found = f"{int(fit.sum()):,} of {len(records):,} games are of {terms}"
        if not fit.any():
            why = other_board(records, game)
        elif not lengths[fit].any():
            why = ", none of them with a move"
        else:
            why = f", {int((fit & chosen).sum())} of them for this"
        raise RecordsError(f"no positions to {purpose}: {found}{why}")
    return positions


def other_board(records: Records, game: Game) -> str:
    """Return what to say of records none of which is of this game's board: most are of this one."""
    board = records.usual_board() if game.family == "go" else None
    return "" if board is None else f"; most are of {go_game(*board).name}: --game names another board"


def fair_starts(reader: PositionReader) -> NDArray:
    """Say of which starts, bool [S] by row of the records, a value head may learn results: not where komi decides."""
    starts = reader.starts[0][reader.start_rows]
    if "komi2" not in (starts.dtype.names or ()):
        return np.ones(len(starts), np.bool_)
    fair: NDArray = (starts["komi2"] >= KOMI2[0]) & (starts["komi2"] <= KOMI2[1])
    return fair


class SampleStream:
    """Endless batches of shuffled training positions, each under a symmetry of its own."""

    def __init__(self, reader: PositionReader, batch_size: int, seed: int, augment: bool, pin: bool = False) -> None:
        self.reader = reader
        self.batch_size = batch_size
        self._seed = seed
        self._num_symmetries = reader.num_symmetries if augment else 1
        self._shuffle = Shuffle(len(reader.positions), seed)
        self._fair_starts = fair_starts(reader)
        self._pin = pin  # in memory that a GPU reads from directly

    def batch(self, number: int) -> Samples:
        """Return one batch by its number, from 0."""
        rng = np.random.default_rng((self._seed, number))
        symmetries = rng.integers(self._num_symmetries, size=self.batch_size)
        numbers = self._shuffle.numbers(number * self.batch_size, self.batch_size)
        batch = self.reader.read(numbers, symmetries)
        fair = self._fair_starts[self.reader.positions.records.start[batch.games]]
        samples = to_samples(batch, fair)
        return samples.mapped(Tensor.pin_memory) if self._pin else samples

    def batches(self, first: int, num_threads: int) -> Iterator[Samples]:
        """Yield batches first, first + 1, ...; see `made_ahead`."""
        return made_ahead(self.batch, first, num_threads)


def made_ahead(batch: Callable[[int], Samples], first: int, num_threads: int) -> Iterator[Samples]:
    """Yield batches first, first + 1, ...; threads keep some ready, so that the network need not wait."""
    with ThreadPoolExecutor(num_threads, "samples") as pool:
        ready: deque[Future[Samples]] = deque()
        number = first
        while True:
            while len(ready) < 2 * num_threads + 2:
                ready.append(pool.submit(batch, number))
                number += 1
            yield ready.popleft().result()


def to_samples(batch: Batch, fair: NDArray) -> Samples:
    """Return a batch of positions as tensors that share its memory."""
    return Samples(
        planes=torch.from_numpy(batch.planes),
        actions=torch.from_numpy(batch.actions),
        legal=torch.from_numpy(batch.legal),
        movers=torch.from_numpy(batch.movers),
        outcomes=torch.from_numpy(batch.outcomes),
        outcome_weights=torch.from_numpy((batch.has_outcome & fair).astype(np.float32)),
    )
