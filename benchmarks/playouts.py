"""Random games of Go from the empty board: how many a second on one core, beside open_spiel's in C++."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.peers import PeerMissingError, open_spiel_go
from benchmarks.perft import KO_RULES
from benchmarks.timing import LEAST_SECONDS, BenchError, Document, cpu_seconds, installed_version, rate_fields
from games.go_playouts import playouts
from games.rules import Game, State

GAMES_A_CALL = 200  # of ours, between two looks at the clock
SAMPLE = 20  # of their games, played from Python to learn how long they are


def measure(game: Game, rules: str | None, seed: int, repeats: int) -> Document:
    """Return the speed of random games of a size under a rule set, and open_spiel's."""
    if game.family != "go":
        raise BenchError(f"random games are measured of go, and this is {game.name}")
    rules = rules or next(iter(game.rule_sets))
    state = game.new(1, KO_RULES.get(rules, rules))[0]
    scratch, stream = np.zeros(1, game.dtype), np.array([seed], np.uint64)
    totals = np.zeros(3, np.int64)  # wins, draws, moves
    calls = 0

    def work() -> None:
        nonlocal calls
        totals[:] += playouts(state, scratch, GAMES_A_CALL, stream)
        calls += 1

    work()  # compiles, too
    seconds = cpu_seconds(work, repeats)
    wins, draws, moves = totals / (calls * GAMES_A_CALL)
    return {
        "game": game.name,
        "rules": rules,
        **rate_fields("playouts", GAMES_A_CALL, seconds),
        "moves_per_playout": round(moves, 1),
        "nanoseconds_per_move": round(1e9 * min(seconds) / GAMES_A_CALL / moves, 1),
        "black_wins": round(wins, 3),
        "draws": round(draws, 3),
        "seed": seed,
        "repeats": repeats,
        "peers": [measure_open_spiel(state, seed, repeats)],
    }


def measure_open_spiel(state: State, seed: int, repeats: int) -> Document:
    """Return the speed of open_spiel's random games, which its tree search plays in C++ to value its first node.

    They choose among all legal moves, passes and filled eyes included, up to 2 moves a point.
    """
    try:
        pyspiel, game = open_spiel_go(state)
    except PeerMissingError as reason:
        return {"name": "open_spiel", "note": str(reason)}

    def rollouts(count: int) -> None:
        evaluator = pyspiel.RandomRolloutEvaluator(count, seed)
        bot = pyspiel.MCTSBot(game, evaluator, 1.0, 1, 1, False, seed, False)
        bot.mcts_search(game.new_initial_state())

    start = time.process_time()
    rollouts(SAMPLE)
    count = max(SAMPLE, round(SAMPLE * LEAST_SECONDS / (time.process_time() - start)))  # the search's own work drowns
    seconds = cpu_seconds(lambda: rollouts(count), repeats)
    generator = random.Random(seed)
    moves = sum(length_of_random_game(game, generator) for _ in range(SAMPLE)) / SAMPLE
    return {
        "name": "open_spiel",
        "version": installed_version("open_spiel"),
        **rate_fields("playouts", count, seconds),
        "moves_per_playout": round(moves, 1),
        "nanoseconds_per_move": round(1e9 * min(seconds) / count / moves, 1),
    }


def length_of_random_game(game: Any, generator: random.Random) -> int:
    """Return how many moves a random game of open_spiel has."""
    state = game.new_initial_state()
    while not state.is_terminal():
        state.apply_action(generator.choice(state.legal_actions()))
    return int(state.move_number())


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    title = f"random games of {document['game']}, {document['rules']}: one core, CPU time"
    caption = "open_spiel draws from all legal moves, passes and own eyes among them"
    table = Table(
        "program", "games a second, best", "median", "moves a game", "ns a move", title=title, caption=caption
    )
    for entry in ({"name": "playfield", **document}, *document["peers"]):
        name = f"{entry['name']} {entry.get('version', '')}".strip()
        if "note" in entry:
            table.add_row(f"{name}: {entry['note']}")
            continue
        table.add_row(
            name,
            f"{entry['playouts_per_second']:,}",
            f"{entry['playouts_per_second_median']:,}",
            str(entry["moves_per_playout"]),
            str(entry["nanoseconds_per_move"]),
        )
    return [table]
