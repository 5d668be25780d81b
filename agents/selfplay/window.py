"""The newest games of self-play as batches: positions are replayed, each under a symmetry of its own, and encoded.

B samples, N positions, A actions, K symmetries.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from agents.imitation.data import Samples, made_ahead
from agents.network_evaluator import Encoder
from agents.selfplay.games import Played
from games.compiled import NDArray
from games.record_batches import CHUNK, label, replay
from games.rules import Game
from games.symmetries import action_maps


def symmetric_actions(game: Game) -> NDArray:
    """Return the image of each action under each symmetry of a game, int16 [K, A]; symmetry 0 changes nothing."""
    actions = np.arange(game.num_actions, dtype=np.int16)
    if game.family == "go":
        return action_maps(*game.planes_shape[1:])
    return np.stack([actions, actions[::-1]]) if game.family == "connect_four" else actions[None]


class Window:
    """The newest iterations' games, those that hold so many positions together at the least: what is learnt from."""

    def __init__(self, game: Game, encode: Encoder, num_planes: int, least_positions: int) -> None:
        self.game = game
        self._least = least_positions
        self.played: list[Played] = []
        self._encode = encode
        self._planes_shape = (num_planes, *game.planes_shape[1:])
        self._maps = symmetric_actions(game)
        self._starts = game.new(1)[None].repeat(len(self._maps), 0)

    def __len__(self) -> int:
        """Return N."""
        return sum(len(played.actions) for played in self.played)

    def append(self, played: Played) -> None:
        """Take in an iteration's games, and forget the oldest that are needed no more."""
        self.played.append(played)
        while len(self) - len(self.played[0].actions) >= self._least:
            del self.played[0]

    def batches(self, seed: Sequence[int], size: int, count: int) -> Iterator[Samples]:
        """Yield batches of positions drawn evenly, each under a symmetry drawn evenly; the next ones are made ahead."""
        return itertools.islice(made_ahead(lambda number: self.batch((*seed, number), size), 0, 1), count)

    def batch(self, seed: Sequence[int], size: int) -> Samples:
        """Return one batch."""
        generator, maps = np.random.default_rng(seed), self._maps
        drawn = generator.integers(len(self), size=size)
        return self.samples(drawn, generator.integers(len(maps), size=size))

    def samples(self, numbers: NDArray, symmetries: NDArray) -> Samples:
        """Return positions by their numbers, each under a symmetry."""
        size, num_actions = numbers.size, self.game.num_actions
        planes = np.zeros((size, *self._planes_shape), np.float32)
        policies = np.zeros((size, num_actions), np.float32)
        legal, movers = np.zeros((size, num_actions), np.bool_), np.zeros(size, np.int64)
        outcomes, has_outcome = np.zeros(size, np.float32), np.zeros(size, np.bool_)
        num_points = self.played[0].owners.shape[1]
        owners, leads = np.zeros((size, num_points), np.float32), np.zeros(size, np.float32)
        states, actions = np.zeros(CHUNK, self.game.dtype), np.zeros(CHUNK, np.int64)
        ends = np.cumsum([len(played.actions) for played in self.played])
        iterations = np.searchsorted(ends, numbers, "right")
        for index in np.unique(iterations).tolist():
            played = self.played[index]
            before = ends[index] - len(played.actions)
            for part in _chunks(np.flatnonzero(iterations == index)):
                places, turns, made = numbers[part] - before, symmetries[part], states[: part.size]
                games = np.searchsorted(played.lengths.cumsum(), places, "right")
                firsts = played.lengths.cumsum()[games] - played.lengths[games]
                rows, plies = np.zeros(part.size, np.int64), places - firsts
                replay(self._starts, rows, played.actions, firsts, plies, self._maps, turns, made, actions[: part.size])
                seen = np.zeros((part.size, *self._planes_shape), np.float32)
                self._encode(made, seen)
                planes[part] = seen
                told = (legal[part], movers[part], outcomes[part], has_outcome[part])
                label(made, played.results[games], *told)
                legal[part], movers[part], outcomes[part], has_outcome[part] = told
                images = self._maps[turns].astype(np.int64)
                turned = np.zeros((part.size, num_actions), np.float32)
                np.put_along_axis(turned, images, played.policies[places].astype(np.float32), 1)
                policies[part] = turned / turned.sum(1, keepdims=True)
                sign = 1 - 2 * movers[part].astype(np.float32)
                turned = np.zeros((part.size, num_points), np.float32)
                np.put_along_axis(turned, images[:, :num_points], sign[:, None] * played.owners[games], 1)
                owners[part], leads[part] = turned, sign * played.leads[games]
        samples = Samples(
            *map(torch.from_numpy, (planes, policies, legal, movers, outcomes, has_outcome.astype(np.float32)))
        )
        if not num_points:
            return samples
        board = (size, *self._planes_shape[1:])
        return samples._replace(owners=torch.from_numpy(owners.reshape(board)), leads=torch.from_numpy(leads))

    def get_arrays(self) -> dict[str, NDArray]:
        """Return everything that `set_arrays` needs to go on."""
        return {f"{index}.{name}": array for index, one in enumerate(self.played) for name, array in vars(one).items()}

    def set_arrays(self, arrays: Mapping[str, NDArray]) -> None:
        """Go on from what `get_arrays` gave."""
        names = [field.name for field in dataclasses.fields(Played)]
        count = 1 + max((int(key.partition(".")[0]) for key in arrays), default=-1)
        self.played = [Played(*(arrays[f"{index}.{name}"] for name in names)) for index in range(count)]


def _chunks(rows: NDArray) -> Iterator[NDArray]:
    """Cut rows into parts of CHUNK."""
    return (rows[first : first + CHUNK] for first in range(0, rows.size, CHUNK))
