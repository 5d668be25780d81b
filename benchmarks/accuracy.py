"""How often a network's first choice is the expert's move, on recorded games, in all, by phase and by source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.table import Table

from agents.imitation import accuracy
from agents.imitation.data import choose_games
from agents.model_files import check_made_for
from agents.network_evaluator import Symmetrised, check_board, encoder_of, load_policy
from benchmarks.records import read
from benchmarks.timing import BenchError, Document
from games.catalogue import find_game
from games.record_batches import PositionReader
from nets.inference import make_inference
from nets.model_file import Header

HELD_OUT = 0.02  # of the games, where a model does not say how many were kept apart


def measure(
    path: str, data: list[Path], count: int, every_game: bool, seed: int, game_name: str | None, symmetrised: bool
) -> Document:
    """Return a model's accuracy on the records at some paths, on games kept apart from training or on every game."""
    policy = load_policy(path, "model")
    game = find_game(game_name or trained_game(policy.header))
    check_made_for(game, policy.file, policy.header)
    check_board(policy.model, game, encoder_of(game, policy.features)[1])
    loaded = read(data, game)
    records = loaded.records
    share = HELD_OUT if policy.kept_apart is None else policy.kept_apart
    chosen = np.ones(len(records), np.bool_) if every_game else records.held_out(share)
    positions = choose_games(records, game, chosen, "measure with")
    if symmetrised and game.family != "go":
        raise BenchError(f"--symmetries is for Go, and this is {game.name}")
    inference = make_inference(policy.model)
    network = Symmetrised(inference) if symmetrised else inference
    found = accuracy.measure(network, PositionReader(positions, policy.features), count, seed)
    return {
        "model": str(policy.file),
        "game": game.name,
        "games_read": len(records),
        "faults": [fault._asdict() for fault in loaded.faults],
        "games_apart": len(positions.games),
        "every_game": every_game,
        "symmetries": symmetrised,
        "seed": seed,
        **found,
    }


def trained_game(header: Header) -> str:
    """Return the name of the game that a model was trained on, its board size included."""
    rows, columns = header.get("board", (0, 0))
    return f"go-{rows}x{columns}" if header["game"] == "go" and rows else str(header["game"])


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    games = "every game" if document["every_game"] else f"{document['games_apart']:,} games kept apart from training"
    return [accuracy.table(document, f"{document['model']}: moves of {document['game']}, {games}")]
