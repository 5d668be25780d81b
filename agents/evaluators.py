"""Static evaluators that steer alpha-beta search: material, open lines, and the evolved Anaconda network, in numba.

An evaluator is one record, told apart by its field names as games are; `evaluate` picks the code at compile time, so a
population is an array of records. Scores are integers from the mover's side, so comparisons are exact and a null window
is one wide: SCORE_UNIT is one man ahead, and tanh(score / SCORE_UNIT) is the expected return. Anaconda's output node is
such a tanh; leaving it to the display changes no comparison and keeps a large lead from rounding to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numba.extending import overload

from agents.evolution.weighted_rows import sum_rows
from games import checkers, connect_four
from games.compiled import NDArray, count_bits, lowest_bit, njit
from games.rules import record_dtype
from nets import anaconda_layout as layout
from nets.model_file import ModelFileError, model_header, read_model_file, write_model_file

SCORE_UNIT = 100_000  # score of one man ahead
MAX_SCORE = 100 * SCORE_UNIT  # no evaluator returns more, either sign

Evaluator = Any  # np.record of one of the dtypes below

MATERIAL = record_dtype(
    [
        ("man_value", np.float32),
        ("king_value", np.float32),
    ]
)
LINES = record_dtype([("line_value", np.float32)])  # value of one line of four that only one side can still fill

# Widths are padded with zero weights to whole vectors of sixteen floats.
HIDDEN_1, HIDDEN_2, HIDDEN_3 = 96, 48, 16
MAX_PIECES = layout.NUM_SQUARES  # a position that somebody set up may have more than the 24 of a game
ANACONDA = record_dtype(
    [
        ("first", np.float32, (layout.NUM_SQUARES, HIDDEN_1)),  # weights of one own man on each square
        ("first_bias", np.float32, (HIDDEN_1,)),
        ("second", np.float32, (HIDDEN_1, HIDDEN_2)),
        ("second_bias", np.float32, (HIDDEN_2,)),
        ("third", np.float32, (HIDDEN_2, HIDDEN_3)),
        ("third_bias", np.float32, (HIDDEN_3,)),
        ("output", np.float32, (HIDDEN_3,)),
        ("output_bias", np.float32),
        ("king_weight", np.float32),  # K
        ("hidden_1", np.float32, (HIDDEN_1,)),  # scratch, so one record serves one thread at a time
        ("hidden_2", np.float32, (HIDDEN_2,)),
        ("hidden_3", np.float32, (HIDDEN_3,)),
        ("rows", np.int64, (MAX_PIECES,)),  # scratch: the mover's view of the occupied squares, and what stands there
        ("codes", np.float32, (MAX_PIECES,)),
        ("all_rows", np.int64, (HIDDEN_1,)),  # 0, 1, 2, ...
    ]
)


def material(man_value: float = 1.0, king_value: float = 1.5) -> Evaluator:
    """Return the piece-count evaluator for checkers (king value as in Chellapilla & Fogel's control)."""
    evaluator = np.zeros(1, MATERIAL)
    evaluator["man_value"] = man_value
    evaluator["king_value"] = king_value
    return evaluator[0]


def lines(line_value: float = 0.1) -> Evaluator:
    """Return the evaluator for Connect Four that counts the lines each side can still complete (69 on the board)."""
    evaluator = np.zeros(1, LINES)
    evaluator["line_value"] = line_value
    return evaluator[0]


def anaconda(weights: NDArray, king_values: NDArray) -> NDArray:
    """Return Anaconda evaluators [B] from flat weights float32[B, 5046] (nets/anaconda_layout.py) and K float32[B]."""
    evaluators = np.zeros(len(weights), ANACONDA)
    squares, starts = layout.connections()
    windows = np.repeat(np.arange(layout.NUM_WINDOWS), np.diff(starts))
    used_1, used_2, used_3 = layout.NUM_WINDOWS, layout.NUM_HIDDEN_2, layout.NUM_HIDDEN_3
    evaluators["first"][:, squares, windows] = weights[:, layout.WINDOW_WEIGHTS]
    evaluators["first_bias"][:, :used_1] = weights[:, layout.WINDOW_BIASES]
    evaluators["second"][:, :used_1, :used_2] = weights[:, layout.HIDDEN_2_WEIGHTS].reshape(-1, used_1, used_2)
    evaluators["second_bias"][:, :used_2] = weights[:, layout.HIDDEN_2_BIASES]
    evaluators["third"][:, :used_2, :used_3] = weights[:, layout.HIDDEN_3_WEIGHTS].reshape(-1, used_2, used_3)
    evaluators["third_bias"][:, :used_3] = weights[:, layout.HIDDEN_3_BIASES]
    evaluators["output"][:, :used_3] = weights[:, layout.OUTPUT_WEIGHTS]
    evaluators["output_bias"] = weights[:, layout.OUTPUT_BIAS][:, 0]
    evaluators["king_weight"] = king_values
    evaluators["all_rows"] = np.arange(HIDDEN_1)
    return evaluators


# --- kernels --------------------------------------------------------------------------------------------------------

ONE = np.uint64(1)
ALL_CELLS = connect_four.BOTTOM * connect_four.COLUMN  # the 42 cells of the Connect Four board


@njit
def tanh_in_place(values):
    """Replace float32 values by their tanh, to 3e-7: t = exp(2x) - 1 over t + 2, branch-free so that it vectorises."""
    for i in range(values.size):
        x = values[i]
        x = min(max(x, np.float32(-9.0)), np.float32(9.0))
        square = x * x
        # Rational approximation of odd degree 13 over even degree 6, as used by the Eigen library.
        p = np.float32(-2.76076847742355e-16)
        p = p * square + np.float32(2.00018790482477e-13)
        p = p * square + np.float32(-8.60467152213735e-11)
        p = p * square + np.float32(5.12229709037114e-08)
        p = p * square + np.float32(1.48572235717979e-05)
        p = p * square + np.float32(6.37261928875436e-04)
        p = p * square + np.float32(4.89352455891786e-03)
        q = np.float32(1.19825839466702e-06)
        q = q * square + np.float32(1.18534705686654e-04)
        q = q * square + np.float32(2.26843463243900e-03)
        q = q * square + np.float32(4.89352518554385e-03)
        values[i] = x * p / q


@njit
def list_pieces(net, count, squares, turn, code):
    """Append the squares of a bit set to the net's rows with the input value of what stands there; return the count."""
    while squares != 0:
        net.rows[count] = lowest_bit(squares) ^ turn
        net.codes[count] = code
        squares &= squares - ONE
        count += 1
    return count


@njit
def anaconda_sum(net, state):
    """Return what enters the output node's tanh, for the mover, who sees the board with the own men going down it.

    The first layer is summed anew over the occupied squares: 30 to 60 of some 225 ns. Carried along from move to move,
    for both viewpoints, it took 14 ns a node: less than a tenth of a search, for an accumulator in every game's search.
    """
    black, white, kings = np.uint64(state.black), np.uint64(state.white), np.uint64(state.kings)
    is_white = state.to_play == checkers.WHITE
    own, enemy = (white, black) if is_white else (black, white)
    turn = 31 if is_white else 0  # 31 - s = 31 ^ s
    one, king_weight = np.float32(1.0), net.king_weight
    count = list_pieces(net, 0, own & ~kings, turn, one)
    count = list_pieces(net, count, enemy & ~kings, turn, -one)
    count = list_pieces(net, count, own & kings, turn, king_weight)
    count = list_pieces(net, count, enemy & kings, turn, -king_weight)
    if count % 2 == 1:
        net.rows[count] = 0
        net.codes[count] = np.float32(0.0)
        count += 1

    sum_rows(net.hidden_1, net.first_bias, net.first, net.rows, net.codes, count)
    tanh_in_place(net.hidden_1)
    sum_rows(net.hidden_2, net.second_bias, net.second, net.all_rows, net.hidden_1, layout.NUM_WINDOWS + 1)
    tanh_in_place(net.hidden_2)
    sum_rows(net.hidden_3, net.third_bias, net.third, net.all_rows, net.hidden_2, layout.NUM_HIDDEN_2)
    tanh_in_place(net.hidden_3)

    men = count_bits(own & ~kings) - count_bits(enemy & ~kings)
    king_lead = count_bits(own & kings) - count_bits(enemy & kings)
    total = net.output_bias + np.float32(men) + king_weight * np.float32(king_lead)
    for j in range(HIDDEN_3):
        total += net.hidden_3[j] * net.output[j]
    return total


@njit
def input_codes(states, codes):
    """Write what stands on each square in the mover's view, int8[B, 32]: 1 own man, 2 own king, negated the enemy's."""
    for i in range(states.size):
        state = states[i]
        own = np.uint64(state.black if state.to_play == checkers.BLACK else state.white)
        turn = 0 if state.to_play == checkers.BLACK else 31
        occupied = np.uint64(state.black | state.white)
        for square in range(layout.NUM_SQUARES):
            bit = ONE << np.uint64(square)
            code = 0
            if occupied & bit != 0:
                code = 2 if np.uint64(state.kings) & bit != 0 else 1
                if own & bit == 0:
                    code = -code
            codes[i, square ^ turn] = code


@njit
def as_score(total):
    """Turn a value in men into an integer score within MAX_SCORE."""
    score = np.rint(total * np.float32(SCORE_UNIT))
    return np.int64(min(max(score, np.float32(-MAX_SCORE)), np.float32(MAX_SCORE)))


@njit
def evaluate_anaconda(evaluator, state):
    return as_score(anaconda_sum(evaluator, state))


@njit
def evaluate_material(evaluator, state):
    black_men, black_kings, white_men, white_kings = checkers.piece_counts(state)
    lead = evaluator.man_value * np.float32(black_men - white_men)
    lead += evaluator.king_value * np.float32(black_kings - white_kings)
    return as_score(lead if state.to_play == checkers.BLACK else -lead)


@njit
def open_lines(enemy):
    """Return how many lines of four on the Connect Four board hold none of the enemy's discs."""
    cells = ~enemy & ALL_CELLS
    total = np.int64(0)
    for step in connect_four.LINES:
        pairs = cells & (cells >> step)
        total += count_bits(pairs & (pairs >> (step + step)))
    return total


@njit
def evaluate_lines(evaluator, state):
    first, second = np.uint64(state.first), np.uint64(state.second)
    mover, other = open_lines(second), open_lines(first)
    if state.discs % 2 == 1:
        mover, other = other, mover
    return as_score(np.float32(mover - other) * evaluator.line_value)


_EVALUATORS: dict[tuple[str, ...] | None, Any] = {
    MATERIAL.names: evaluate_material,
    LINES.names: evaluate_lines,
    ANACONDA.names: evaluate_anaconda,
}


def evaluate(evaluator: Evaluator, state: Any) -> int:
    """Return the evaluator's score of a position for the mover."""
    return int(_EVALUATORS[evaluator.dtype.names](evaluator, state))


# The lambda's argument names must be those of the compiled functions: numba compares them.
overload(evaluate)(lambda evaluator, state: _EVALUATORS[tuple(evaluator.fields)].py_func)


# --- model files ----------------------------------------------------------------------------------------------------


def load_evaluator(path: str | Path) -> Evaluator:
    """Return the Anaconda evaluator in a model file; ModelFileError where it is damaged or holds another network."""
    tensors, header = read_model_file(path)
    architecture = header.get("architecture")
    name = architecture.get("preset", architecture.get("kind")) if isinstance(architecture, dict) else architecture
    if name != layout.ARCHITECTURE["preset"]:
        raise ModelFileError(path, f"alpha-beta needs the network 'anaconda', this file holds {name!r}")
    for name, shape in (("weights", [layout.NUM_WEIGHTS]), ("king_value", [])):
        found = f"{tensors[name].dtype} {list(tensors[name].shape)}" if name in tensors else "missing"
        if found != f"float32 {shape}":
            raise ModelFileError(path, f"tensor {name!r} is {found}, the network 'anaconda' needs float32 {shape}")
    return anaconda(tensors["weights"][None], tensors["king_value"].reshape(1))[0]


def save_evaluator(
    path: str | Path, weights: NDArray, king_value: float, training: Mapping[str, Any], rules_version: int
) -> None:
    """Write flat Anaconda weights float32[5046] and K to a model file, with the configuration they came from."""
    tensors = {"weights": weights.astype(np.float32), "king_value": np.array(king_value, np.float32)}
    header = model_header(
        layout.ARCHITECTURE,
        game="checkers",
        rules_version=rules_version,
        training=training,
    )
    write_model_file(path, tensors, header)
