"""Recorded games: how long their archives take to read, and positions a second replayed and encoded as planes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from rich.table import Table

from agents.imitation.data import choose_games
from benchmarks.timing import Document, cpu_seconds, rate_fields
from games.archives import Loaded, fault_line, load_records
from games.catalogue import find_game
from games.go_features import FEATURES
from games.record_batches import PositionReader
from games.rules import Game
from games.shuffle import Shuffle

BATCH = 256  # positions encoded together
BATCHES = 16


def measure(data: list[Path], game_name: str, seed: int, repeats: int) -> Document:
    """Return the seconds to read the records at some paths, and for each set of planes the positions encoded a second.

    Positions are drawn at random from all games without handicap, and so is the symmetry of each, as in training.
    """
    game = find_game(game_name)
    start = time.perf_counter()
    loaded = read(data, game)
    seconds = time.perf_counter() - start
    records = loaded.records
    positions = choose_games(records, game, np.ones(len(records), np.bool_), "encode")
    count = BATCH * BATCHES
    numbers = np.sort(Shuffle(len(positions), seed).numbers(0, min(count, len(positions))))
    rows = []
    for features in ("observe", *(FEATURES if game.family == "go" else ())):
        reader = PositionReader(positions, features, np.uint8 if features != "observe" else np.float32)
        symmetries = np.random.default_rng(seed).integers(reader.num_symmetries, size=numbers.size)

        def encode(reader: PositionReader = reader, symmetries: np.ndarray = symmetries) -> None:
            for first in range(0, numbers.size, BATCH):
                reader.read(numbers[first : first + BATCH], symmetries[first : first + BATCH])

        encode()  # compiles
        taken = cpu_seconds(encode, repeats)
        rows.append(
            {"features": features, "planes": reader.planes_shape[0], **rate_fields("positions", numbers.size, taken)}
        )
    return {
        "game": game.name,
        "games_read": len(records),
        "faults": [fault._asdict() for fault in loaded.faults],
        "reading_seconds": round(seconds, 2),
        "seed": seed,
        "repeats": repeats,
        "results": rows,
    }


def read(data: list[Path], game: Game) -> Loaded:
    """Return what lies at some paths; faults are told on stderr at once, for they may leave nothing to measure."""
    loaded = load_records(data, game.family, workers=0)
    if loaded.faults:
        print(fault_line(loaded.faults, game.family), file=sys.stderr)
    return loaded


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    table = Table(
        "planes", "number", "positions/s, best", "median",
        title=f"{document['game']}: recorded positions replayed and encoded, one core, CPU time",
        caption=f"{document['games_read']:,} games read in {document['reading_seconds']:g} s",
    )  # fmt: skip
    for row in document["results"]:
        best, median = row["positions_per_second"], row["positions_per_second_median"]
        table.add_row(row["features"], str(row["planes"]), f"{best:,}", f"{median:,}")
    return [table]
