"""Endgame tables: what it costs to make them; nothing is stored, and stored ones are not touched."""

from __future__ import annotations

from rich.table import Table

from benchmarks.timing import Document, cpu_seconds, rate_fields, time_fields
from games.endgame import Entries, Tables
from games.endgame.index import MIN_PIECES
from games.endgame.solver import solve


def measure(pieces: int, repeats: int) -> Document:
    """Return the CPU seconds of all threads for tables of up to so many pieces; EndgameError if out of reach."""
    solved: list[Entries] = [solve(MIN_PIECES)]  # compiles

    def work() -> None:
        solved[0] = solve(pieces)

    seconds = cpu_seconds(work, repeats)
    counts = Tables(pieces, solved[0]).counts()
    positions = sum(count.wins + count.losses + count.draws for count in counts.values())
    return {
        "game": "checkers",
        "pieces": pieces,
        "counts": {str(number): count._asdict() for number, count in counts.items()},
        "positions": positions,
        **time_fields("cpu_seconds", seconds),
        **rate_fields("positions", positions, seconds),
        "repeats": repeats,
    }


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    counts = Table("pieces", "won", "lost", "drawn", "longest, turns", title=f"{document['game']}, Black to move")
    for pieces, count in document["counts"].items():
        counts.add_row(pieces, *(f"{number:,}" for number in count.values()))
    cost = Table("positions", "CPU s, best", "median", "positions/s, best", "median", title="made by all threads")
    seconds = document["cpu_seconds"], document["cpu_seconds_median"]
    rates = document["positions_per_second"], document["positions_per_second_median"]
    cost.add_row(f"{document['positions']:,}", *(f"{number:.2f}" for number in seconds), *(f"{n:,}" for n in rates))
    return [counts, cost]
