"""Alpha-beta: nodes a second and milliseconds a move, over a fixed set of positions, each searched from scratch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from agents.alphabeta import MAX_DEPTH, Searcher, SearchLimits
from agents.evaluators import Evaluator, anaconda, lines, load_evaluator, material
from agents.model_files import find_model, no_model
from benchmarks.peers import PeerMissingError, open_spiel_checkers, open_spiel_searcher
from benchmarks.positions import PLIES, after_lines, random_lines
from benchmarks.timing import BenchError, Document, installed_version, rate_fields, time_fields
from games.checkers import CHECKERS
from games.openings import Opening
from games.rules import Game, States
from nets.anaconda_layout import NUM_WEIGHTS

PEER_SECONDS = 1.0  # a peer that took as long for a depth is not asked for the next


SEARCHED = ("checkers", "connect_four")


def measure(game: Game, depths: Sequence[int], positions: int, model: str | None, seed: int, repeats: int) -> Document:
    """Return speeds for each evaluator of the game and each depth in turns, which is reached by iterative deepening."""
    if not depths:
        raise BenchError("--depths names no depth")
    for depth in depths:
        if not 1 <= depth <= MAX_DEPTH:
            raise BenchError(f"--depths {depth} is not from 1 to {MAX_DEPTH}")
    if game.name not in SEARCHED:
        raise BenchError(f"{game.name} is not searched by alpha-beta; allowed: {', '.join(SEARCHED)}")
    if model is not None and game is not CHECKERS:
        raise BenchError(f"--model is a network for checkers, and this is {game.name}")
    start_lines = random_lines(game, positions, seed)
    states = after_lines(game, start_lines)
    results = [
        {"evaluator": name, "depth": depth, **measure_search(Searcher(game, evaluator), states, depth, repeats)}
        for name, evaluator in evaluators(game, model, seed).items()
        for depth in depths
    ]
    return {
        "game": game.name,
        "positions": positions,
        "plies": PLIES[game.family],
        "seed": seed,
        "model": model,
        "repeats": repeats,
        "results": results,
        "peers": [measure_open_spiel(game, start_lines, depths)],
    }


def evaluators(game: Game, model: str | None, seed: int) -> dict[str, Evaluator]:
    """Return the evaluators to search with, by name; without a model file the network's weights are random."""
    if game is not CHECKERS:
        return {"lines": lines()}
    network = random_anaconda(seed) if model is None else load_evaluator(model_path(model))
    return {"material": material(), "anaconda": network}


def random_anaconda(seed: int) -> Evaluator:
    """Return a network as evolution starts from: weights even in [-0.2, 0.2], K = 2."""
    weights = np.random.default_rng(seed).uniform(-0.2, 0.2, (1, NUM_WEIGHTS)).astype(np.float32)
    return anaconda(weights, np.full(1, 2.0, np.float32))[0]


def model_path(name: str) -> Path:
    """Return the model file at a path or in a folder, as player specs name it."""
    path = find_model(name)
    if path is None:
        raise BenchError(f"--model {name}: {no_model(name)}")
    return path


def measure_search(searcher: Searcher, states: States, depth: int, repeats: int) -> Document:
    """Return what a search of each position costs; the transposition table is cleared before each, unmeasured."""
    limits = SearchLimits(depth)
    searcher.search(states[0], limits)  # compiles and warms up
    seconds = []
    for _ in range(repeats):
        nodes, elapsed = 0, 0.0
        for state in states:
            searcher.clear()
            start = time.process_time()
            analysis = searcher.search(state, limits)
            elapsed += time.process_time() - start
            nodes += analysis.nodes
        seconds.append(elapsed)
    return {
        "nodes": nodes,
        **rate_fields("nodes", nodes, seconds),
        **time_fields("ms_per_move", seconds, 1000 / len(states)),
    }


def measure_open_spiel(game: Game, start_lines: Sequence[Opening], depths: Sequence[int]) -> Document:
    """Return the milliseconds a move of open_spiel's alpha-beta at the depths that do not take it long."""
    peer = {"name": "open_spiel"}
    if game is not CHECKERS:
        return {**peer, "note": f"compared on {CHECKERS.name} only"}
    try:
        search = open_spiel_searcher()
        states = [open_spiel_checkers(line.turns) for line in start_lines]
    except PeerMissingError as reason:
        return {**peer, "note": str(reason)}
    results = []
    for depth in sorted(depths):
        start = time.process_time()
        for state in states:
            search(state, depth)
        seconds = time.process_time() - start
        results.append({"depth": depth, **time_fields("ms_per_move", [seconds], 1000 / len(states))})
        if seconds > PEER_SECONDS:
            break
    return {**peer, "version": installed_version("open_spiel"), "evaluator": "material", "results": results}


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    columns = ("evaluator", "depth", "nodes/s", "median", "ms/move", "median", "nodes")  # fits into 80 columns
    table = Table(*columns, title=f"{document['game']}, {document['positions']} positions, one core, CPU time")
    remarks = ["best and median of the repetitions; nodes of one move"]
    if document["game"] == CHECKERS.name:
        remarks.append(f"anaconda: {document['model'] or 'random weights'}")
    for row in document["results"]:
        table.add_row(
            row["evaluator"],
            str(row["depth"]),
            f"{row['nodes_per_second']:,}",
            f"{row['nodes_per_second_median']:,}",
            f"{row['ms_per_move']:.3f}",
            f"{row['ms_per_move_median']:.3f}",
            f"{row['nodes'] / document['positions']:,.0f}",
        )
    for peer in document["peers"]:
        remarks.append(f"{peer['name']}: {peer['note'] if 'note' in peer else peer['evaluator']}")
        for row in peer.get("results", ()):
            table.add_row(peer["name"], str(row["depth"]), "", "", f"{row['ms_per_move']:.3f}")
    table.columns[0].no_wrap = True
    table.caption = "\n".join(remarks)
    return [table]
