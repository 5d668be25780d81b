"""Evolution: CPU seconds of one generation, from the networks that a seed starts with."""

from __future__ import annotations

from dataclasses import replace

from rich.table import Table

from agents.evolution.arena import Arena
from agents.evolution.config import PRESETS, EvolveConfig
from agents.evolution.evolve import evolve, first_state
from benchmarks.timing import BenchError, Document, cpu_seconds, rate_fields, time_fields
from games.checkers import CHECKERS


def measure(preset: str, seed: int, repeats: int) -> Document:
    """Return the cost of the first generation; every repetition plays the same games, one after the other."""
    if preset not in PRESETS:
        raise BenchError(f"no preset {preset!r}; there are: {', '.join(PRESETS)}")
    config = replace(PRESETS[preset], seed=seed)
    start = first_state(config)
    arena = Arena(CHECKERS, workers=1, extension=config.extension)

    def games(config: EvolveConfig) -> int:
        return next(evolve(config, start, 0, arena))[1].games

    try:
        num_games = games(replace(config, depth=1))  # compiles
        seconds = cpu_seconds(lambda: games(config), repeats)
    finally:
        arena.close()
    return {
        "preset": preset,
        "method": config.method,
        "depth": config.depth,
        "seed": seed,
        "games": num_games,
        **time_fields("cpu_seconds_per_generation", seconds),
        **rate_fields("games", num_games, seconds),
        "repeats": repeats,
    }


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    title = f"evolve, preset {document['preset']}: the first generation, seed {document['seed']}, CPU time of one core"
    table = Table("games", "depth", "s a generation, best", "median", "games/s, best", "median", title=title)
    seconds = document["cpu_seconds_per_generation"], document["cpu_seconds_per_generation_median"]
    rates = document["games_per_second"], document["games_per_second_median"]
    table.add_row(str(document["games"]), str(document["depth"]), *(f"{number:,.4g}" for number in (*seconds, *rates)))
    return [table]
