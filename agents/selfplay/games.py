"""Games of the tree search against itself, many in step: what self-play learns from.

Silver et al. 2017 and 2018 (AlphaGo Zero, AlphaZero); with a Gumbel root, Danihelka et al. 2022.

G games, N positions of all games together, B games in step, A actions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from agents.alphago.policy_games import apply_all, describe, outcomes
from agents.mcts.search import LeafEvaluator, SearchSettings, TreeLimits, TreeSearch
from agents.selfplay.config import SelfPlayConfig
from games.compiled import NDArray
from games.rules import Game, States


@dataclass(frozen=True)
class Played:
    """Whole games, one after the other."""

    actions: NDArray  # int16 [N]
    policies: NDArray  # float16 [N, A]: what the search says to play, with which probability
    lengths: NDArray  # int64 [G] actions of each game
    results: NDArray  # int8 [G] player 0's

    @staticmethod
    def none(num_actions: int) -> Played:
        """Return no games."""
        return Played(
            np.zeros(0, np.int16), np.zeros((0, num_actions), np.float16), np.zeros(0, np.int64), np.zeros(0, np.int8)
        )

    def and_then(self, later: Played) -> Played:
        """Return these games and later ones."""
        return Played(
            np.concatenate([self.actions, later.actions]),
            np.concatenate([self.policies, later.policies]),
            np.concatenate([self.lengths, later.lengths]),
            np.concatenate([self.results, later.results]),
        )

    def newest(self, positions: int) -> Played:
        """Return the newest games that have this many positions together at the most, but one game at the least."""
        totals = self.lengths[::-1].cumsum()
        kept = max(1, int(np.searchsorted(totals, positions, "right"))) if len(totals) else 0
        first = len(self.actions) - int(totals[kept - 1]) if kept else 0
        games = len(self.lengths) - kept
        return Played(self.actions[first:], self.policies[first:], self.lengths[games:], self.results[games:])


@dataclass
class _Game:
    """A game under way or over."""

    actions: list[int] = field(default_factory=list)
    policies: list[NDArray] = field(default_factory=list)
    result: int = 0


class HaltedError(Exception):
    """Games were broken off, as `on_ply` wished."""


def search_settings(config: SelfPlayConfig) -> SearchSettings:
    """Return how a tree is searched in self-play: with noise at the root, by Gumbel variables or Dirichlet's."""
    if config.considered:
        return SearchSettings(gumbel_actions=config.considered)
    return SearchSettings(noise_fraction=config.noise, noise_alpha=config.noise_alpha)


def play_games(
    config: SelfPlayConfig,
    seeds: Sequence[int],
    game: Game,
    evaluate: LeafEvaluator,
    on_ply: Callable[[int], None] = lambda over: None,
) -> Played:
    """Play `config.games` games, as many in step as there are seeds; `on_ply` hears how many are over."""
    search = TreeSearch(game, evaluate, search_settings(config), seeds)
    limits = TreeLimits(visits=config.visits)
    begun = min(len(seeds), config.games)
    games = [_Game() for _ in range(config.games)]
    slots = np.arange(begun)  # which game each tree plays
    states = game.new(begun)
    movers, live = np.zeros(begun, np.int8), np.zeros(begun, bool)
    over = 0
    while slots.size:
        search.search(states, limits)
        actions = np.zeros(slots.size, np.int64)
        for tree, number in enumerate(slots.tolist()):
            actions[tree] = _choose(config, search, tree, games[number])
        apply_all(states, np.arange(slots.size), actions)
        describe(states, movers[: slots.size], live[: slots.size])
        ended = np.flatnonzero(~live[: slots.size])
        if ended.size:
            results = np.zeros(ended.size, np.int8)
            outcomes(states[ended], results)
            for number, result in zip(slots[ended].tolist(), results.tolist(), strict=True):
                games[number].result = result
            over += ended.size
            begin = min(ended.size, config.games - begun)
            states[ended[:begin]] = game.new(begin)
            slots[ended[:begin]] = np.arange(begun, begun + begin)
            begun += begin
            stay = np.delete(np.arange(slots.size), ended[begin:])
            slots, states = slots[stay], states[stay]
        on_ply(over)
    return Played(
        actions=np.concatenate([np.array(one.actions, np.int16) for one in games]),
        policies=np.concatenate([np.array(one.policies, np.float16) for one in games]),
        lengths=np.array([len(one.actions) for one in games], np.int64),
        results=np.array([one.result for one in games], np.int8),
    )


def _choose(config: SelfPlayConfig, search: TreeSearch, tree: int, game: _Game) -> int:
    """Return the action that a tree's game goes on with; write down what there is to learn of it."""
    if config.considered:
        policy, action = search.improved_policy(tree), search.choose(tree)
    else:
        policy = search.policy(tree, 1.0)
        action = search.choose(tree, 1.0 if len(game.actions) < config.drawn else 0.0)
    game.policies.append(policy.astype(np.float16))
    game.actions.append(action)
    return action


def match(
    config: SelfPlayConfig,
    seeds: Sequence[int],
    game: Game,
    evaluators: Sequence[LeafEvaluator],
    on_ply: Callable[[int], None] = lambda over: None,
) -> NDArray:
    """Return the first of two evaluators' results against the second, int8 [B]: one game a seed, every other as Black.

    Both search as in self-play, where lots make every game another.
    """
    count = len(seeds)
    searches = [TreeSearch(game, evaluate, search_settings(config), seeds) for evaluate in evaluators]
    seats = np.arange(count) % 2  # which player the first is
    states: States = game.new(count)
    movers, live = np.zeros(count, np.int8), np.ones(count, bool)
    ply = 0
    while live.any():
        describe(states, movers, live)
        for index, search in enumerate(searches):
            games = np.flatnonzero(live & (movers ^ seats == index))
            if games.size:
                search.search(states[games], TreeLimits(visits=config.visits))
                temperature = 1.0 if ply < config.drawn and not config.considered else 0.0
                actions = np.array([search.choose(tree, temperature) for tree in range(games.size)], np.int64)
                apply_all(states, games, actions)
        describe(states, movers, live)
        on_ply(int(count - live.sum()))
        ply += 1
    results = np.zeros(count, np.int8)
    outcomes(states, results)
    return np.where(seats == 1, -results, results)
