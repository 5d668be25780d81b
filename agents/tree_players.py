"""Players that ask a policy-value network or random games: the network alone, and the tree search over either."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.analysis import Analysis, MoveAnalysis, PlayerError, Progress
from agents.mcts.rollouts import by_rollouts, mixed
from agents.mcts.root import GREEDY_TEMPERATURE
from agents.mcts.search import EDGE_BYTES, MOST_EDGES, LeafEvaluator, SearchSettings, TreeLimits, TreeSearch, most_nodes
from games.compiled import NDArray
from games.machine import free_memory
from games.rules import Game, State, States, to_play

if TYPE_CHECKING:
    from agents.network_evaluator import NetworkEvaluator

DEFAULT_VISITS = {"mcts": 400, "rollouts": 1000}
DEFAULT_LEAVES = 8  # that one game's search evaluates together at the most
GUMBEL_ACTIONS = 16  # considered at the root (Danihelka et al. 2022, on Go)
ROLLOUTS = 8  # from each leaf beside a network: so many cost little next to it, and one alone is all chance
MIXTURE = 0.25  # lambda, the weight of rollouts beside a value head (Silver et al. 2016: 0.5)
FORCED_VISITS = 16  # where there is nothing to choose
PROGRESS_PERIOD = 0.1  # seconds between reports of a search under way

Options = Mapping[str, int | float | str]
OwnersOf = Callable[[States], NDArray | None]


def make_tree_player(
    spec: str,
    kind: str,
    options: Options,
    files: tuple[Path | None, Path | None],
    game: Game,
    seed: int,
    on_progress: Progress | None,
) -> PolicyPlayer | TreePlayer:
    """Make the player of a taken-apart spec: kind policy or mcts with a model file, or rollouts without one.

    The second file, if any, is of the network that gives the values in the first one's place.

    Raises PlayerError where model, game and options do not fit.
    """
    temperature = float(options.get("temperature", 0.0))
    network: NetworkEvaluator | None = None
    file, value_file = files
    if file is not None:
        from agents.network_evaluator import load_network_evaluator

        if options.get("symmetries") and game.family != "go":
            raise PlayerError(f"symmetries=1 is for Go, and this is {game.name}")
        network = load_network_evaluator(file, game, symmetrised=bool(options.get("symmetries")))
        if kind == "policy":
            return PolicyPlayer(spec, game, network, temperature, seed)
    # Where all moves are likely alike, a prior is about one over their number: it is weighed by the root of that.
    c_puct = SearchSettings.c_puct if network else math.sqrt(len(game.legal_actions(game.new(1)[0])))
    settings = SearchSettings(
        c_puct=float(options.get("c_puct", c_puct)),
        leaves=int(options.get("batch", DEFAULT_LEAVES)),
        noise_fraction=float(options.get("noise", 0.0)),
        gumbel_actions=GUMBEL_ACTIONS if options.get("gumbel") else 0,
    )
    limits = limits_of(options, kind)
    check_memory(limits, game)
    if settings.gumbel_actions:
        check_gumbel(options, limits)
    evaluate = leaf_evaluator(options, game, network, value_file, seed)
    owners = network.owners if network else None
    return TreePlayer(spec, game, evaluate, settings, limits, temperature, seed, on_progress, owners)


def limits_of(options: Options, kind: str) -> TreeLimits:
    """Return how far a search goes: the visits of its kind where no limit is named."""
    limits = TreeLimits(
        visits=int(options.get("visits", 0)),
        nodes=int(options.get("nodes", 0)),
        seconds=float(options.get("seconds", 0.0)),
    )
    return TreeLimits(visits=DEFAULT_VISITS[kind]) if limits == TreeLimits() else limits


def check_memory(limits: TreeLimits, game: Game) -> None:
    """Raise PlayerError for limits whose tree would not fit into memory; one by the clock alone keeps within it."""
    if not (limits.visits or limits.nodes):
        return
    given = {"visits": limits.visits, "nodes": limits.nodes}
    number, name = min((number, name) for name, number in given.items() if number)
    nodes, most, free = most_nodes(limits), MOST_EDGES // game.num_actions, free_memory()
    if nodes > most:
        raise PlayerError(f"{name}={number}: a tree of {game.name} has at most {most:,} nodes")
    needed = nodes * game.num_actions * EDGE_BYTES
    if free is not None and needed > free:
        raise PlayerError(
            f"{name}={number}: such a tree may take {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free here"
        )


def check_gumbel(options: Options, limits: TreeLimits) -> None:
    """Raise PlayerError for what a Gumbel root has no use for."""
    if not limits.visits:
        raise PlayerError("gumbel=1 shares out a number of visits: give visits=")
    for name in ("noise", "temperature"):
        if options.get(name):
            raise PlayerError(f"gumbel=1 already draws at random: leave {name}= out")


def leaf_evaluator(
    options: Options, game: Game, network: NetworkEvaluator | None, value_file: Path | None, seed: int
) -> LeafEvaluator:
    """Return what judges a leaf: a network, random games, or both in the weights that the options ask for."""
    rollouts, weight = int(options.get("rollouts", 0)), options.get("lambda")
    if network is None:
        return by_rollouts(game, rollouts or 1, seed)
    evaluate: LeafEvaluator = network
    if value_file is not None:
        from agents.network_evaluator import with_values_of

        evaluate = with_values_of(network, value_file)
    has_value = network.has_value or value_file is not None
    if has_value and not weight and (weight is not None or not rollouts):
        return evaluate
    return mixed(evaluate, by_rollouts(game, rollouts or ROLLOUTS, seed), mixture(has_value, weight))


def mixture(has_value: bool, weight: int | float | str | None) -> float:
    """Return the weight of rollouts; a network without a value head leaves the value to them."""
    if not has_value:
        if weight is not None and weight != 1:
            raise PlayerError("the network has no value head to mix with rollouts: lambda= must be 1")
        return 1.0
    return MIXTURE if weight is None else float(weight)


class PolicyPlayer:
    """Plays what a network's policy says: the likeliest legal action, or drawn at a temperature."""

    def __init__(self, name: str, game: Game, network: NetworkEvaluator, temperature: float, seed: int) -> None:
        self.name = name
        self._game = game
        self._network = network
        self._temperature = temperature
        self._generator = np.random.default_rng(seed)

    def act(self, states: States) -> list[Analysis]:
        """Ask the network once for all positions."""
        start = time.perf_counter()
        logits, values = self._network(states)
        seconds = time.perf_counter() - start
        return [self._choose(*row, seconds) for row in zip(states, logits, values, strict=True)]

    def _choose(self, state: State, logits: NDArray, value: float, seconds: float) -> Analysis:
        actions = np.array(self._game.legal_actions(state))
        order = actions[np.argsort(-logits[actions], kind="stable")]
        priors = softmax(logits[order].astype(np.float64))
        chosen = 0
        if self._temperature > GREEDY_TEMPERATURE:
            drawn = softmax(logits[order].astype(np.float64) / self._temperature)
            chosen = int(self._generator.choice(len(order), p=drawn))
        black_value = float(value) * (1 - 2 * to_play(state)) if self._network.has_value else None
        moves = [MoveAnalysis(int(a), 0, float(p), black_value) for a, p in zip(order, priors, strict=True)]
        action = int(order[chosen])
        return Analysis(action, black_value, (action,), depth=1, nodes=1, seconds=seconds, moves=tuple(moves))

    def owners(self, states: States) -> NDArray | None:
        """Return whose each point becomes, as the network sees it; see ForesightedPlayer."""
        return self._network.owners(states)

    def new_game(self) -> None:
        """Go on drawing from the same generator: another game is another draw."""

    def close(self) -> None:
        """Hold nothing but memory."""


def softmax(logits: NDArray) -> NDArray:
    """Return probabilities float64[n] of logits."""
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


class TreePlayer:
    """Searches by Monte Carlo tree search and keeps the tree from move to move."""

    def __init__(
        self,
        name: str,
        game: Game,
        evaluate: LeafEvaluator,
        settings: SearchSettings,
        limits: TreeLimits,
        temperature: float = 0.0,
        seed: int = 0,
        on_progress: Progress | None = None,
        owners: OwnersOf | None = None,
    ) -> None:
        self.name = name
        self.limits = limits
        self._owners = owners
        self._game = game
        self._evaluate = evaluate
        self._settings = settings
        self._temperature = temperature
        self._seed = seed
        self._on_progress = on_progress
        self._num_searches = 0  # made so far
        self._tree_search = self._make_search(1)

    def _make_search(self, num_trees: int) -> TreeSearch:
        """Return a search of this many trees, each with leaves enough that together they fill a batch."""
        settings = replace(self._settings, leaves=math.ceil(self._settings.leaves / num_trees))
        key = (self._num_searches,) if self._num_searches else ()  # each draws lots of its own
        self._num_searches += 1
        seeds = np.random.SeedSequence(self._seed, spawn_key=key).generate_state(num_trees).tolist()
        return TreeSearch(self._game, self._evaluate, settings, seeds)

    def act(self, states: States) -> list[Analysis]:
        """Search all positions in step; position i goes on with the tree of the last call's position i."""
        return self._act(states, self.limits, self._on_progress)

    def search(self, state: State, seconds: float | None = None, on_progress: Progress | None = None) -> Analysis:
        """Search one position; see SearchingPlayer. Ends early where the outcome is proven or memory is used up.

        By the clock there are no visits that a Gumbel root could share out: it is then searched by PUCT.
        """
        return self.search_among(state, None, seconds, on_progress)

    def search_among(
        self,
        state: State,
        permits: Callable[[int], bool] | None,
        seconds: float | None = None,
        on_progress: Progress | None = None,
    ) -> Analysis:
        """Search some of a position's moves; see SelectivePlayer and `search`."""
        limits = self.limits
        if seconds is not None:
            limits = TreeLimits(nodes=limits.nodes, seconds=0.0 if math.isinf(seconds) else seconds)
        states = np.zeros(1, self._game.dtype)
        states[0] = state
        permitted = None
        if permits is not None:
            legal = self._game.legal_actions(state)
            chosen = list(filter(permits, legal))
            if 0 < len(chosen) < len(legal):
                permitted = np.zeros(self._game.num_actions, np.bool_)
                permitted[chosen] = True
        return self._act(states, limits, on_progress, permitted)[0]

    def _act(
        self, states: States, limits: TreeLimits, on_progress: Progress | None, permitted: NDArray | None = None
    ) -> list[Analysis]:
        if self._game.family == "go":
            # To answer a pass ends the game, which the tree counts with dead stones alive: see agents/go_conduct.py.
            states = states.copy()
            states["passes"] = 0
        if len(states) != len(self._tree_search):
            self._tree_search = self._make_search(len(states))
        search, start = self._tree_search, time.perf_counter()
        if all(len(self._game.legal_actions(state)) == 1 for state in states):
            limits = replace(limits, visits=min(limits.visits or FORCED_VISITS, FORCED_VISITS))
        reporter = None if on_progress is None else self._reporter(on_progress, start)
        search.search(states, limits, reporter, permitted)
        seconds = time.perf_counter() - start
        return [search.analysis(t, self._temperature, seconds) for t in range(len(states))]

    def _reporter(self, on_progress: Progress, start: float) -> Callable[[TreeSearch], None]:
        """Return what a search calls after each step: it tells of the first position every now and then."""
        due = start + PROGRESS_PERIOD

        def report(search: TreeSearch) -> None:
            nonlocal due
            now = time.perf_counter()
            if now >= due:
                due = now + PROGRESS_PERIOD
                on_progress(search.analysis(0, 0.0, now - start))

        return report

    def owners(self, states: States) -> NDArray | None:
        """Return whose each point becomes, as the network sees it; see ForesightedPlayer."""
        return None if self._owners is None else self._owners(states)

    def stop(self) -> None:
        """End the search under way."""
        self._tree_search.stop()

    def new_game(self) -> None:
        """Forget all trees; the random numbers go on."""
        self._tree_search.clear()

    def close(self) -> None:
        """Hold nothing but memory."""
