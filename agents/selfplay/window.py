"""The newest games of self-play as batches: positions are replayed, each under a symmetry of its own, and encoded.

B samples, N positions, A actions, K symmetries.
"""

from __future__ import annotations

import numpy as np
import torch

from agents.imitation.data import Samples
from agents.network_evaluator import Encoder
from agents.selfplay.games import Played
from games.compiled import NDArray
from games.record_batches import describe, replay
from games.rules import Game
from games.symmetries import action_maps


def symmetric_actions(game: Game) -> NDArray:
    """Return the image of each action under each symmetry of a game, int16 [K, A]; symmetry 0 changes nothing."""
    actions = np.arange(game.num_actions, dtype=np.int16)
    if game.family == "go":
        return action_maps(*game.planes_shape[1:])
    return np.stack([actions, actions[::-1]]) if game.family == "connect_four" else actions[None]


class Window:
    """The games that are learnt from."""

    def __init__(self, game: Game, encode: Encoder, num_planes: int, capacity: int) -> None:
        self.game = game
        self.capacity = capacity  # positions
        self.played = Played.none(game.num_actions)
        self._encode = encode
        self._planes_shape = (num_planes, *game.planes_shape[1:])
        self._maps = symmetric_actions(game)
        self._starts = game.new(1)[None].repeat(len(self._maps), 0)

    def __len__(self) -> int:
        """Return N."""
        return len(self.played.actions)

    def append(self, played: Played) -> None:
        """Take in games, which replace the oldest once there are too many positions."""
        self.played = self.played.and_then(played).newest(self.capacity)

    def batch(self, generator: np.random.Generator, size: int) -> Samples:
        """Return positions drawn evenly, each under a symmetry drawn evenly."""
        played, maps = self.played, self._maps
        numbers, symmetries = generator.integers(len(self), size=size), generator.integers(len(maps), size=size)
        ends = played.lengths.cumsum()
        games = np.searchsorted(ends, numbers, "right")
        firsts = ends[games] - played.lengths[games]
        states, actions = np.zeros(size, self.game.dtype), np.zeros(size, np.int64)
        rows = np.zeros(size, np.int64)
        replay(self._starts, rows, played.actions, firsts, numbers - firsts, maps, symmetries, states, actions)
        planes = np.zeros((size, *self._planes_shape), np.float32)
        self._encode(states, planes)
        legal, movers = np.zeros((size, self.game.num_actions), np.bool_), np.zeros(size, np.int64)
        outcomes, has_outcome = np.zeros(size, np.float32), np.zeros(size, np.bool_)
        describe(states, played.results[games], legal, movers, outcomes, has_outcome)
        policies = np.zeros((size, self.game.num_actions), np.float32)
        np.put_along_axis(policies, maps[symmetries].astype(np.int64), played.policies[numbers].astype(np.float32), 1)
        arrays = (planes, policies / policies.sum(1, keepdims=True), legal, movers, outcomes, np.ones(size, np.float32))
        return Samples(*map(torch.from_numpy, arrays))

    def get_arrays(self) -> dict[str, NDArray]:
        """Return everything that `set_arrays` needs to go on."""
        return dict(vars(self.played))

    def set_arrays(self, arrays: dict[str, NDArray]) -> None:
        """Go on from what `get_arrays` gave."""
        self.played = Played(**arrays)
