"""Tree search: simulations a second with an evaluator that costs nothing and with a network, and the network's share.

All on one core. A repetition takes every measurement once, one after the other, so that shares compare like with like.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from rich.table import Table

from agents.mcts.search import LeafEvaluator, SearchSettings, TreeLimits, TreeSearch
from agents.model_files import find_model
from agents.network_evaluator import NetworkEvaluator, load_policy
from benchmarks.peers import PeerMissingError, open_spiel_tree_search
from benchmarks.positions import PLIES, after_lines, random_lines
from benchmarks.timing import BenchError, Document, cpu_seconds, installed_version, rate_fields
from games.compiled import NDArray
from games.rules import Game, States, observe_batch
from nets.inference import InferenceModel, make_inference
from nets.models import PolicyValueSpec
from nets.presets import preset
from nets.spec import SpecError

NETWORK_SHARE = 16  # the network is asked for so many times fewer simulations of each of many trees


class TimedInference:
    """A network that counts the CPU time spent in it and the positions it was asked for."""

    def __init__(self, inference: InferenceModel) -> None:
        self.seconds = 0.0
        self.positions = 0
        self._inference = inference
        self.spec, self.any_size = inference.spec, inference.any_size
        self.needs_to_play = inference.needs_to_play

    def __call__(self, planes: NDArray, to_play: NDArray | None = None) -> tuple[NDArray, NDArray]:
        """Ask the network."""
        start = time.process_time()
        answers = self._inference(planes, to_play)
        self.seconds += time.process_time() - start
        self.positions += len(planes)
        return answers


def measure(game: Game, network: str, trees: int, leaves: int, visits: int, seed: int, repeats: int) -> Document:
    """Return speeds of many trees with one leaf each and of one tree with many, by both evaluators."""
    if visits < NETWORK_SHARE:
        raise BenchError(f"--visits {visits} is less than {NETWORK_SHARE}")
    states = after_lines(game, random_lines(game, trees, seed))
    inference = TimedInference(network_of(game, network, seed))
    evaluator = NetworkEvaluator(inference, game)  # type: ignore[arg-type]  # it answers as the network does
    dummy = random_answers(game, max(trees, leaves), seed)
    shape = (max(trees, leaves), *game.planes_shape)
    planes = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    searches = {
        ("dummy", trees, 1): searcher(game, dummy, trees, 1, states, visits),
        ("dummy", 1, leaves): searcher(game, dummy, 1, leaves, states, visits),
        ("network", trees, 1): searcher(game, evaluator, trees, 1, states, visits // NETWORK_SHARE),
        ("network", 1, leaves): searcher(game, evaluator, 1, leaves, states, visits),
    }
    alone: dict[int, list[float]] = {trees: [], leaves: []}  # CPU seconds a position, by the size of the batch
    seconds: dict[tuple[str, int, int], list[float]] = {key: [] for key in searches}
    shares: dict[tuple[str, int, int], list[float]] = {key: [] for key in searches}
    evaluations: dict[tuple[str, int, int], list[float]] = {key: [] for key in searches}  # CPU seconds of each used
    simulations = {key: search() for key, search in searches.items()}  # compiles and warms up
    for _ in range(repeats):
        for size, times in alone.items():
            batch = planes[:size]
            inference(batch)
            times += [one / size for one in cpu_seconds(partial(inference, batch), 1)]
        for key, search in searches.items():
            inference.seconds, inference.positions, start = 0.0, 0, time.process_time()
            simulations[key] = search()
            taken = time.process_time() - start
            seconds[key].append(taken / simulations[key])
            shares[key].append(inference.seconds / taken)
            evaluations[key].append(taken / max(min(inference.positions, simulations[key]), 1))
    rows: list[Document] = []
    for key, times in seconds.items():
        row = dict(zip(("evaluator", "trees", "leaves"), key, strict=True))
        row |= {"simulations": simulations[key], **rate_fields("simulations", 1, times)}
        if key[0] == "network":
            # A simulation that ends in a finished game asks the network nothing, and what was looked at ahead in vain
            # does not count.
            row["network_share"] = round(statistics.median(shares[key]), 4)
            for name, size in (("of_own_batch", key[1] * key[2]), ("of_full_batch", trees)):
                ratios = [one / other for one, other in zip(alone[size], evaluations[key], strict=True)]
                row[name] = round(statistics.median(ratios), 4)
        rows.append(row)
    return {
        "game": game.name,
        "network": network,
        "positions": trees,
        "plies": PLIES[game.family],
        "visits": visits,
        "seed": seed,
        "repeats": repeats,
        "inference": [{"batch": size, **rate_fields("positions", 1, times)} for size, times in alone.items()],
        "results": rows,
        "peers": [measure_open_spiel(game, visits)],
    }


def network_of(game: Game, network: str, seed: int) -> InferenceModel:
    """Return the policy-value network of a model file, or one of random weights, for a game's own planes."""
    if find_model(network) is not None:
        policy = load_policy(network, "--network", game)
        if policy.features != "observe":
            raise BenchError(f"--network {network} sees other planes than the game's own")
        return make_inference(policy.model)
    torch.manual_seed(seed)
    try:
        spec = preset(network, game.planes_shape, None if game.family == "go" else game.num_actions)
    except SpecError as error:
        raise BenchError(f"--network: {error}") from None
    if not isinstance(spec, PolicyValueSpec):
        raise BenchError(f"--network {network} has no policy and no value, as resnet-6x96 does")
    return make_inference(spec.build().eval())


def random_answers(game: Game, count: int, seed: int) -> LeafEvaluator:
    """Return an evaluator that costs nothing: the same random answers for the first leaf, the second, ..."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0.0, 1.5, (count, game.num_actions)).astype(np.float32)
    values = generator.uniform(-0.2, 0.2, count).astype(np.float32)
    planes = np.zeros((count, *game.planes_shape), np.float32)

    def evaluate_leaves(states: States) -> tuple[NDArray, NDArray]:
        observe_batch(states, planes[: len(states)])  # a real one would have to
        return logits[: len(states)], values[: len(states)]

    return evaluate_leaves


def searcher(
    game: Game, evaluate: LeafEvaluator, trees: int, leaves: int, states: States, visits: int
) -> Callable[[], int]:
    """Return a function that searches the first positions from scratch and returns its simulations."""
    search = TreeSearch(game, evaluate, SearchSettings(leaves=leaves), seeds=range(trees))

    def run() -> int:
        search.clear()
        search.search(states[:trees], TreeLimits(visits=visits))
        return sum(int(search.root(t).visits.sum()) for t in range(trees))

    return run


def measure_open_spiel(game: Game, visits: int) -> Document:
    """Return the simulations a second of open_spiel's search in Python, with an evaluator that costs nothing."""
    peer = {"name": "open_spiel"}
    try:
        search = open_spiel_tree_search(game, visits)
    except PeerMissingError as reason:
        return {**peer, "note": str(reason)}
    search()
    times = [one / visits for one in cpu_seconds(search, 3)]
    return {
        **peer,
        "version": installed_version("open_spiel"),
        "simulations": visits,
        **rate_fields("simulations", 1, times),
    }


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    table = Table(
        "evaluator", "trees", "leaves", "sims/s", "median", "network", "of own", "of full",
        title=f"{document['game']}, {document['visits']} simulations, one core, CPU time",
    )  # fmt: skip
    for row in document["results"]:
        shares = [
            f"{row[name]:.1%}" if name in row else "" for name in ("network_share", "of_own_batch", "of_full_batch")
        ]
        table.add_row(
            row["evaluator"],
            str(row["trees"]),
            str(row["leaves"]),
            f"{row['simulations_per_second']:,}",
            f"{row['simulations_per_second_median']:,}",
            *shares,
        )
    speeds = [f"{row['positions_per_second']:,} at batch {row['batch']}" for row in document["inference"]]
    remarks = [
        "network: the share of the time that is spent in it",
        f"of own, of full: evaluations used a second, of the positions a second of {document['network']} alone "
        f"({', '.join(speeds)}) at a batch as large as that row's, and as the largest; a simulation that ends a game "
        "needs none",
    ]
    for peer in document["peers"]:
        if "note" in peer:
            remarks.append(f"{peer['name']}: {peer['note']}")
        else:
            rates = (peer["simulations_per_second"], peer["simulations_per_second_median"])
            table.add_row(peer["name"], "1", "1", *(f"{rate:,}" for rate in rates), "", "", "")
    table.caption = "\n".join(remarks)
    return [table]
