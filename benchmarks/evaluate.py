"""Evaluations of the Anaconda network a second: our kernel, torch and numpy, each on one core."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from rich.table import Table

from agents.evaluators import SCORE_UNIT, Evaluator, anaconda, evaluate
from benchmarks.positions import PLIES, after_lines, random_lines
from benchmarks.timing import Document, cpu_seconds, rate_fields
from games.checkers import BLACK, CHECKERS
from games.compiled import NDArray, njit
from games.rules import States
from nets import anaconda_layout as layout

NUM_POSITIONS = 256  # also the large batch
KING_VALUE = 2.0

Network = Callable[[NDArray], NDArray]  # codes float32[B, 32] -> values float32[B], both the mover's


@njit
def evaluate_all(evaluator, states, scores):
    """Write the score of each position, int64[B]."""
    for i in range(states.size):
        scores[i] = evaluate(evaluator, states[i])


def measure(seed: int, repeats: int) -> Document:
    """Return evaluations a second, and how far each program's values are from torch's (-1 to 1), at the largest."""
    weights = np.random.default_rng(seed).uniform(-0.2, 0.2, layout.NUM_WEIGHTS).astype(np.float32)
    states = after_lines(CHECKERS, random_lines(CHECKERS, NUM_POSITIONS, seed))
    codes = mover_codes(states)
    network = torch_network(weights)
    expected = network(codes)

    evaluator = anaconda(weights[None], np.full(1, KING_VALUE, np.float32))[0]
    scores = np.zeros(NUM_POSITIONS, np.int64)
    evaluate_all(evaluator, states, scores)  # compiles
    seconds = cpu_seconds(lambda: evaluate_all(evaluator, states, scores), repeats)
    results = [result("numba", 1, np.tanh(scores / SCORE_UNIT), expected, seconds)]
    for name, run in (("torch", network), ("numpy", numpy_network(evaluator))):
        for batch in (1, NUM_POSITIONS):
            run_all = in_batches(run, batch)
            values = run_all(codes)  # warms up
            results.append(result(name, batch, values, expected, cpu_seconds(partial(run_all, codes), repeats)))
    return {
        "game": CHECKERS.name,
        "network": "anaconda",
        "positions": NUM_POSITIONS,
        "plies": PLIES[CHECKERS.name],
        "seed": seed,
        "repeats": repeats,
        "results": results,
    }


def in_batches(run: Network, batch: int) -> Network:
    """Return the network as a function that hands it so many positions at a time."""
    return lambda codes: np.concatenate([run(part) for part in np.split(codes, len(codes) // batch)])


def result(program: str, batch: int, values: NDArray, expected: NDArray, seconds: list[float]) -> Document:
    """Return one row: the speed over all positions, and the largest difference from the expected values."""
    return {
        "program": program,
        "batch": batch,
        **rate_fields("evaluations", NUM_POSITIONS, seconds),
        "largest_difference": float(np.abs(values - expected).max()),
    }


def mover_codes(states: States) -> NDArray:
    """Return the network's input, float32[B, 32]: 1 and 2 are the mover's men and kings, negative the other's."""
    squares = np.arange(32, dtype=np.uint32)

    def bits(field: str) -> NDArray:
        return (states[field][:, None] >> squares & 1).astype(np.float32)

    codes = (bits("black") - bits("white")) * (1 + bits("kings"))
    is_black = (states["to_play"] == BLACK)[:, None]
    mine: NDArray = np.where(is_black, codes, -codes[:, ::-1])  # White sees the board turned by half
    return np.ascontiguousarray(mine)


def torch_network(weights: NDArray) -> Network:
    """Return the torch module as a function, on one thread."""
    import torch

    from nets.models import BoardEvaluator

    torch.set_num_threads(1)
    module = BoardEvaluator.from_flat(weights, KING_VALUE).eval()

    def run(codes: NDArray) -> NDArray:
        with torch.inference_mode():
            values: NDArray = module(torch.from_numpy(codes)).numpy()
        return values

    return run


def numpy_network(evaluator: Evaluator) -> Network:
    """Return the network as three matrix products, with the weights of an evaluator record."""
    used_1, used_2, used_3 = layout.NUM_WINDOWS, layout.NUM_HIDDEN_2, layout.NUM_HIDDEN_3
    matrices = [
        np.ascontiguousarray(part)
        for part in (
            evaluator["first"][:, :used_1],
            evaluator["second"][:used_1, :used_2],
            evaluator["third"][:used_2, :used_3],
        )
    ]
    biases = evaluator["first_bias"][:used_1], evaluator["second_bias"][:used_2], evaluator["third_bias"][:used_3]
    output, output_bias = evaluator["output"][:used_3], evaluator["output_bias"]
    king = np.float32(KING_VALUE)

    def run(codes: NDArray) -> NDArray:
        inputs = np.where(np.abs(codes) == 2, np.sign(codes) * king, codes)
        hidden = inputs
        for matrix, bias in zip(matrices, biases, strict=True):
            hidden = np.tanh(hidden @ matrix + bias)
        values: NDArray = np.tanh(hidden @ output + output_bias + inputs.sum(axis=1))
        return values

    return run


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    title = f"{document['network']}: {document['positions']} positions of {document['game']}, one core, CPU time"
    table = Table("program", "batch", "evaluations/s, best", "median", "largest difference from torch", title=title)
    for row in document["results"]:
        best, median = row["evaluations_per_second"], row["evaluations_per_second_median"]
        difference = f"{row['largest_difference']:.1e}"
        table.add_row(row["program"], str(row["batch"]), f"{best:,}", f"{median:,}", difference)
    return [table]
