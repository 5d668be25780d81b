"""How well a network predicts the moves of recorded games: ranks of the played moves, tallied by phase and by source.

n positions, A actions. Positions where the expert passed are left out, as in the published figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from agents.network_evaluator import Symmetrised
from agents.ratings import wilson_interval
from games.compiled import NDArray
from games.record_batches import Batch, PositionReader
from games.shuffle import Shuffle
from nets.inference import InferenceModel

BATCH_SIZE = 128
PHASES = ("opening", "middle", "end")

Predict = Callable[[Batch], tuple[NDArray, NDArray | None]]  # -> logits float32 [n, A], values float32 [n] if any


@dataclass(frozen=True)
class Predictions:
    """What a network made of each position."""

    ranks: NDArray  # int64 [n]: legal moves that it found better than the one played
    losses: NDArray  # float64 [n]: -log of the probability it gave to that move
    value_errors: NDArray  # float64 [n]: squared; NaN where no value or outcome is known
    value_signs: NDArray  # float64 [n]: 1 where it named the winner, 0 where not; NaN as above
    games: NDArray  # int64 [n]: rows of the records
    plies: NDArray  # int64 [n]


def predict_all(predict: Predict, reader: PositionReader, numbers: NDArray) -> Predictions:
    """Return what a network makes of positions by their numbers, passes left out."""
    parts = list(predictions(predict, reader, numbers))
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Predictions.__annotations__}
    return Predictions(**joined)


def predictions(predict: Predict, reader: PositionReader, numbers: NDArray) -> Iterator[Predictions]:
    """Yield the predictions batch by batch."""
    for first in range(0, len(numbers), BATCH_SIZE):
        batch = reader.read(numbers[first : first + BATCH_SIZE])
        logits, values = predict(batch)
        yield judge(logits, values, batch, reader)


def judge(logits: NDArray, values: NDArray | None, batch: Batch, reader: PositionReader) -> Predictions:
    """Return the predictions of one batch from a network's answers."""
    moved = np.ones(len(batch.actions), np.bool_)
    if reader.game.family == "go":
        moved = batch.actions < reader.game.num_actions - 1
    rows, chosen = np.flatnonzero(moved), batch.actions[moved]
    legal = batch.legal[moved, : logits.shape[1]]
    scores = np.where(legal, logits[moved].astype(np.float64), -np.inf)
    played = scores[np.arange(len(rows)), chosen]
    peaks = scores.max(axis=1)
    totals = peaks + np.log(np.exp(scores - peaks[:, None]).sum(axis=1))
    errors = np.full(len(rows), np.nan)
    signs = np.full(len(rows), np.nan)
    if values is not None:
        known = batch.has_outcome[moved]
        outcomes = batch.outcomes[moved]
        errors = np.where(known, (values[moved] - outcomes) ** 2, np.nan)
        signs = np.where(known & (outcomes != 0), np.sign(values[moved]) == np.sign(outcomes), np.nan)
    is_before = np.arange(scores.shape[1]) < chosen[:, None]  # of equals the first, as for players
    ranks = ((scores > played[:, None]) | ((scores == played[:, None]) & is_before)).sum(axis=1)
    return Predictions(ranks, totals - played, errors, signs, batch.games[moved], batch.plies[moved])


def summary(found: Predictions, chosen: NDArray | None = None) -> dict[str, Any]:
    """Return the accuracies, shares of 1, over some of the positions (bool [n]; default: all); None for no answer."""
    rows = np.ones(len(found.ranks), np.bool_) if chosen is None else chosen
    count = int(rows.sum())
    if not count:
        return {"positions": 0}
    top1 = float((found.ranks[rows] == 0).mean())
    low, high = wilson_interval(top1, count)
    result: dict[str, Any] = {
        "positions": count,
        "games": int(np.unique(found.games[rows]).size),
        "top1": top1,
        "top1_margin": max(top1 - low, high - top1),  # to the farther end of a 95 % interval
        "top5": float((found.ranks[rows] < 5).mean()),
        "loss": float(found.losses[rows].mean()),
    }
    for name, values in (("value_error", found.value_errors[rows]), ("value_sign", found.value_signs[rows])):
        known = values[~np.isnan(values)]
        result[name] = float(known.mean()) if known.size else None
    return result


def phase_bounds(rows: int, columns: int) -> tuple[int, int]:
    """Return the plies at which a game's middle and its end begin: 60 and 180 on 19x19."""
    return rows * columns // 6, rows * columns // 2


def by_phase(found: Predictions, rows: int, columns: int) -> dict[str, dict[str, Any]]:
    """Return the summaries of the opening, the middle and the end."""
    phases = np.digitize(found.plies, phase_bounds(rows, columns))
    return {name: summary(found, phases == number) for number, name in enumerate(PHASES)}


def by_source(found: Predictions, reader: PositionReader) -> dict[str, dict[str, Any]]:
    """Return the summaries of each kind of archive: what the files' names have before the first dash."""
    records = reader.positions.records
    return {name: summary(found, records.in_collection(name)[found.games]) for name in records.collections}


# --- a whole measurement ----------------------------------------------------------------------------------------------


def measure(network: InferenceModel | Symmetrised, reader: PositionReader, count: int, seed: int) -> dict[str, Any]:
    """Return the accuracy over a random choice of positions, without repetition: in all, by phase and by source."""
    found = predict_all(inference_predictor(network), reader, choose(reader, count, seed))
    rows, columns = reader.planes_shape[1:]
    return {
        **summary(found),
        "by_phase": by_phase(found, rows, columns),
        "by_source": by_source(found, reader),
    }


def choose(reader: PositionReader, count: int, seed: int) -> NDArray:
    """Return the numbers of some positions, in ascending order."""
    size = len(reader.positions)
    chosen: NDArray = np.sort(Shuffle(size, seed).numbers(0, min(count, size)))
    return chosen


def has_moves(reader: PositionReader, numbers: NDArray) -> bool:
    """Whether any of some positions counts: not those where the expert passed."""
    records = reader.positions.records
    games, plies = reader.positions.locate(numbers)
    played = records.moves[records.offsets[games] + plies]
    return reader.game.family != "go" or bool((played < reader.game.num_actions - 1).any())


def inference_predictor(network: InferenceModel | Symmetrised) -> Predict:
    """Return a network made for play as the tallies ask it."""

    def predict(batch: Batch) -> tuple[NDArray, NDArray | None]:
        logits, values = network(batch.planes.astype(np.float32, copy=False), batch.movers)
        return logits, values if network.spec.value is not None else None

    return predict


def table(document: dict[str, Any], title: str) -> Table:
    """Return a measurement for the terminal."""
    result = Table(title=title)
    for heading in ("positions", "number", "top-1", "95 %", "top-5", "loss", "winner named"):
        result.add_column(heading, justify="left" if heading == "positions" else "right")
    rows = {"all": document, **document["by_phase"], **document["by_source"]}
    for name, row in rows.items():
        if not row["positions"]:
            continue
        winner = "" if row["value_sign"] is None else f"{row['value_sign']:.1%}"
        shares = f"{row['top1']:.2%}", f"±{row['top1_margin']:.2%}", f"{row['top5']:.2%}"
        result.add_row(name, f"{row['positions']:,}", *shares, f"{row['loss']:.3f}", winner)
    return result
