"""Games of the tree search against itself, many in step: what self-play learns from.

Silver et al. 2017 and 2018 (AlphaGo Zero, AlphaZero); with a Gumbel root, Danihelka et al. 2022.

G games, N positions of all games together, B games in step, A actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agents.mcts.search import LeafEvaluator, SearchSettings, TreeLimits, TreeSearch
from agents.selfplay.config import SelfPlayConfig
from games.batches import apply_all, describe, outcomes
from games.compiled import NDArray
from games.go_scoring import owners_of
from games.rules import Game, States


@dataclass(frozen=True)
class Played:
    """Whole games, one after the other."""

    actions: NDArray  # int16 [N]
    policies: NDArray  # float16 [N, A]: what the search says to play, with which probability
    lengths: NDArray  # int64 [G] actions of each game
    results: NDArray  # int8 [G] player 0's
    owners: NDArray  # int8 [G, points] whose each point is in the end, 1 player 0's, -1 player 1's; [G, 0] but in Go
    leads: NDArray  # float32 [G] points that player 0 won by, komi included; 0 but in Go


@dataclass
class _Game:
    """A game under way or over."""

    actions: list[int] = field(default_factory=list)
    policies: list[NDArray] = field(default_factory=list)
    result: int = 0
    owners: NDArray = field(default_factory=lambda: np.zeros(0, np.int8))
    lead: float = 0.0


def search_settings(config: SelfPlayConfig) -> SearchSettings:
    """Return how a tree is searched in self-play: with noise at the root, by Gumbel variables or Dirichlet's."""
    if config.considered:
        return SearchSettings(gumbel_actions=config.considered)
    return SearchSettings(noise_fraction=config.noise, noise_alpha=config.noise_alpha)


class GamesInStep:
    """`config.games` games, as many at a time as there are seeds; a game that is over makes room for the next."""

    def __init__(self, config: SelfPlayConfig, seeds: Sequence[int], game: Game, evaluate: LeafEvaluator) -> None:
        self._config, self._game = config, game
        self._search = TreeSearch(game, evaluate, search_settings(config), seeds)
        self._games = [_Game() for _ in range(config.games)]
        self._num_begun = min(len(seeds), config.games)
        self._slots = np.arange(self._num_begun)  # the game that each tree plays
        self._states = game.new(self._num_begun)

    @property
    def num_over(self) -> int:
        """How many games are over."""
        return self._num_begun - self._slots.size

    @property
    def are_over(self) -> bool:
        """Whether all games are."""
        return self._slots.size == 0

    def step(self) -> None:
        """Play an action in every game under way; precondition: not all are over."""
        self._search.search(self._states, TreeLimits(visits=self._config.visits))
        actions = np.zeros(self._slots.size, np.int64)
        for tree, number in enumerate(self._slots.tolist()):
            actions[tree] = self._choose(tree, self._games[number])
        apply_all(self._states, np.arange(actions.size), actions)
        _, live = _describe(self._states)
        if not live.all():
            self._replace(np.flatnonzero(~live))

    def _choose(self, tree: int, game: _Game) -> int:
        """Return the action that a tree's game goes on with; write down what there is to learn of it."""
        search, config = self._search, self._config
        if config.considered:
            policy, action = search.improved_policy(tree), search.choose(tree)
        else:
            policy = search.policy(tree, 1.0)
            action = search.choose(tree, 1.0 if len(game.actions) < config.drawn else 0.0)
        game.policies.append(policy.astype(np.float16))
        game.actions.append(action)
        return action

    def _replace(self, ended: NDArray) -> None:
        """Write down the results of some slots' games; begin others there, and give up the slots that none is left for.

        Slots behind one that is given up move to other trees, and lose what a kept tree knows.
        """
        last = self._states[ended]
        for number, result in zip(self._slots[ended].tolist(), _results(last).tolist(), strict=True):
            self._games[number].result = result
        if self._game.family == "go":
            for number, owners, komi2 in zip(self._slots[ended].tolist(), owners_of(last), last["komi2"], strict=True):
                game = self._games[number]
                game.owners, game.lead = owners, float(owners.sum(dtype=np.int64)) - int(komi2) / 2
        count = min(ended.size, self._config.games - self._num_begun)
        self._states[ended[:count]] = self._game.new(count)
        self._slots[ended[:count]] = np.arange(self._num_begun, self._num_begun + count)
        self._num_begun += count
        stay = np.delete(np.arange(self._slots.size), ended[count:])
        self._slots, self._states = self._slots[stay], self._states[stay]

    def played(self) -> Played:
        """Return the games in the order in which they began; precondition: all are over."""
        games = self._games
        return Played(
            actions=np.concatenate([np.array(one.actions, np.int16) for one in games]),
            policies=np.concatenate([np.array(one.policies, np.float16) for one in games]),
            lengths=np.array([len(one.actions) for one in games], np.int64),
            results=np.array([one.result for one in games], np.int8),
            owners=np.stack([one.owners for one in games]),
            leads=np.array([one.lead for one in games], np.float32),
        )


class Match:
    """As many games between two evaluators as there are seeds, every other with the first as player 0.

    Both search as in self-play, where lots make every game another. What a kept tree knows is lost where games end.
    """

    def __init__(
        self, config: SelfPlayConfig, seeds: Sequence[int], game: Game, evaluators: Sequence[LeafEvaluator]
    ) -> None:
        self._config = config
        self._states = game.new(len(seeds))
        self._seats = np.arange(len(seeds)) % 2  # which player the first evaluator is
        self._movers, self._live = _describe(self._states)
        self._num_plies = np.zeros(len(seeds), np.int64)
        # Each has trees of its own for the games of either seat: there all games are at the same player's turn.
        self._searches = [
            (player, seat, TreeSearch(game, evaluate, search_settings(config), _others(seeds[seat::2], player)))
            for player, evaluate in enumerate(evaluators)
            for seat in (0, 1)
            if seeds[seat::2]
        ]

    @property
    def num_over(self) -> int:
        """How many games are over."""
        return int((~self._live).sum())

    @property
    def are_over(self) -> bool:
        """Whether all games are."""
        return not self._live.any()

    def step(self) -> None:
        """Play an action, at times two, in every game under way."""
        for player, seat, search in self._searches:
            games = np.flatnonzero(self._live & (self._seats == seat) & (self._movers == player ^ seat))
            if games.size:
                search.search(self._states[games], TreeLimits(visits=self._config.visits))
                drawn = self._num_plies[games] < (0 if self._config.considered else self._config.drawn)
                actions = [search.choose(tree, float(is_drawn)) for tree, is_drawn in enumerate(drawn)]
                apply_all(self._states, games, np.array(actions, np.int64))
                self._num_plies[games] += 1
                self._movers, self._live = _describe(self._states)

    def results(self) -> NDArray:
        """Return the games' results for the first evaluator, int8 [B]; precondition: all are over."""
        results = _results(self._states)
        return np.where(self._seats == 1, -results, results)


def _others(seeds: Sequence[int], player: int) -> list[int]:
    """Return seeds of a player's own."""
    return [int(np.random.SeedSequence([seed, player]).generate_state(1)[0]) for seed in seeds]


def _describe(states: States) -> tuple[NDArray, NDArray]:
    """Return who moves, int8 [B], and which games go on, bool [B]."""
    movers, live = np.zeros(len(states), np.int8), np.zeros(len(states), bool)
    describe(states, movers, live)
    return movers, live


def _results(states: States) -> NDArray:
    """Return player 0's results, int8 [B], of games that are over."""
    results = np.zeros(len(states), np.int8)
    outcomes(states, results)
    return results
