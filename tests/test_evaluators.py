"""Evaluators against torch, naive counts and numpy; and the files that hold them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from agents.evaluators import (
    MAX_SCORE,
    SCORE_UNIT,
    anaconda,
    anaconda_sum,
    evaluate,
    input_codes,
    lines,
    load_evaluator,
    material,
    save_evaluator,
    tanh_in_place,
)
from agents.evolution.weighted_rows import sum_rows
from games.checkers import CHECKERS, NUM_SQUARES, start_history
from games.compiled import NDArray, njit
from games.connect_four import CONNECT_FOUR
from games.rules import State, States, apply, is_over, to_play
from nets.anaconda_layout import ARCHITECTURE, NUM_WEIGHTS
from nets.model_file import ModelFileError, model_header, read_header, write_model_file
from nets.models import BoardEvaluator, load_model
from tests.reference import rotate


def random_boards(count: int, seed: int, *, balanced: bool = False) -> States:
    """Return checkers positions of 0 to 12 pieces a side, either side to move; balanced: as many men and kings each."""
    rng = np.random.default_rng(seed)
    states = CHECKERS.new(count, "endless")
    for state in states:
        sizes = np.repeat(rng.integers(13), 2) if balanced else rng.integers(13, size=2)
        squares = [int(square) for square in rng.permutation(NUM_SQUARES)]
        black, white = squares[: sizes[0]], squares[sizes[0] : sizes.sum()]
        if balanced:
            num_kings = int(rng.integers(sizes[0] + 1))
            kings = black[:num_kings] + white[:num_kings]
        else:
            kings = [square for square in squares if rng.random() < 0.3]
        state.black, state.white = sum(1 << square for square in black), sum(1 << square for square in white)
        state.kings = sum(1 << square for square in kings) & (int(state.black) | int(state.white))
        state.to_play = rng.integers(2)
        start_history(state)
    return states


def codes_of(state: State) -> list[float]:
    """Return what torch's network reads: 2 and 1 the mover's kings and men, negative the enemy's, as the mover sees."""
    sides = [int(state.black), int(state.white)]
    codes = []
    for square in range(NUM_SQUARES):
        on_board = square if state.to_play == 0 else NUM_SQUARES - 1 - square
        rank = 2.0 if int(state.kings) >> on_board & 1 else 1.0
        own, enemy = (sides[player] >> on_board & 1 for player in (state.to_play, 1 - state.to_play))
        codes.append(rank * (own - enemy))
    return codes


def random_networks(count: int, spread: float, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Return flat weights [count, 5046] and king values [count]."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(-spread, spread, (count, NUM_WEIGHTS)).astype(np.float32)
    return weights, rng.uniform(1.0, 3.0, count).astype(np.float32)


# --- Anaconda ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.2, 1.0])
@pytest.mark.parametrize("balanced", [True, False])
def test_anaconda_is_torchs_network(spread: float, balanced: bool) -> None:
    """tanh of the kernel's sum is the output node, and the sums agree as well where tanh is flat."""
    states = random_boards(500 if numba.config.DISABLE_JIT else 1_500, seed=1, balanced=balanced)
    codes = torch.tensor([codes_of(state) for state in states])
    weights, king_values = random_networks(3, spread)
    for i, network in enumerate(anaconda(weights, king_values)):
        model = BoardEvaluator.from_flat(weights[i], float(king_values[i]))
        sums = np.array([anaconda_sum(network, state) for state in states])
        with torch.no_grad():
            values = model(codes).numpy()
            inputs = torch.where(codes.abs() == 2, codes.sign() * model.king_value, codes)
            expected_sums = (model.trunk(inputs).squeeze(1) + inputs.sum(1)).numpy()
        np.testing.assert_allclose(np.tanh(sums), values, rtol=0, atol=1e-5)
        np.testing.assert_allclose(sums, expected_sums, rtol=2e-6, atol=1e-5)
        assert np.ptp(values) > 0.2
        scores = [evaluate(network, state) for state in states]
        np.testing.assert_allclose(np.array(scores) / SCORE_UNIT, sums, rtol=2e-6, atol=1 / SCORE_UNIT)


def test_input_codes_are_what_torchs_network_reads() -> None:
    states = random_boards(500, seed=6)
    codes = np.full((500, NUM_SQUARES), 9, np.int8)
    input_codes(states, codes)
    assert codes.tolist() == [codes_of(state) for state in states]


def test_a_full_board_and_an_empty_one_fit() -> None:
    states = random_boards(3, seed=2)
    states["black"], states["white"] = [0xFFF, 0, 0xFFFF], [0xFFF00000, 0, 0xFFFF0000]
    states["kings"] = [0xF0F, 0, 0xFF0FF0FF]
    weights, king_values = random_networks(1, 0.2)
    network = anaconda(weights, king_values)[0]
    model = BoardEvaluator.from_flat(weights[0], float(king_values[0]))
    with torch.no_grad():
        values = model(torch.tensor([codes_of(state) for state in states])).numpy()
    np.testing.assert_allclose(np.tanh([anaconda_sum(network, state) for state in states]), values, rtol=0, atol=1e-5)


def test_the_mover_sees_the_same_board_from_either_side() -> None:
    network = anaconda(*random_networks(1, 0.2, seed=3))[0]
    pieces = material()
    differing = 0
    for state in random_boards(500, seed=3):
        turned = state.copy()
        rotate(turned)
        assert to_play(turned) == 1 - to_play(state)
        assert anaconda_sum(network, turned) == pytest.approx(anaconda_sum(network, state), abs=1e-5)
        assert evaluate(pieces, turned) == evaluate(pieces, state)
        turned.to_play = state.to_play
        differing += abs(anaconda_sum(network, turned) - anaconda_sum(network, state)) > 0.1
    assert differing > 400, "colours swapped and the mover kept is another position"


def test_networks_of_a_population_are_apart() -> None:
    weights, king_values = random_networks(3, 0.2)
    state = CHECKERS.new(1)[0]
    apply(state, CHECKERS.legal_actions(state)[0])
    together = [anaconda_sum(network, state) for network in anaconda(weights, king_values)]
    alone = [anaconda_sum(anaconda(weights[i : i + 1], king_values[i : i + 1])[0], state) for i in range(3)]
    assert together == alone
    assert len(set(together)) == 3


# --- its parts --------------------------------------------------------------------------------------------------------


@njit
def sum_rows_of(net, rows, scales, count, layer):
    """Write a layer's sums as the search does: arrays within a record."""
    if layer == 1:
        sum_rows(net.hidden_1, net.first_bias, net.first, rows, scales, count)
    elif layer == 2:
        sum_rows(net.hidden_2, net.second_bias, net.second, rows, scales, count)
    else:
        sum_rows(net.hidden_3, net.third_bias, net.third, rows, scales, count)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_sum_rows_is_its_python_body(layer: int) -> None:
    rng = np.random.default_rng(layer)
    net = anaconda(*random_networks(1, 1.0))[0]
    out, bias, weights = (
        (net.hidden_1, net.first_bias, net.first),
        (net.hidden_2, net.second_bias, net.second),
        (net.hidden_3, net.third_bias, net.third),
    )[layer - 1]
    assert np.count_nonzero(weights) > weights.shape[0]
    for count in (0, 2, 4, 24, 48):
        rows = rng.integers(len(weights), size=48)
        scales = rng.normal(size=48).astype(np.float32)
        expected = np.empty_like(bias)
        sum_rows(expected, bias, weights, rows, scales, count)
        reference = bias.astype(np.float64)
        for k in range(count):
            reference = reference + np.float64(scales[k]) * weights[rows[k]]
        np.testing.assert_allclose(expected, reference, rtol=1e-5, atol=1e-5)
        out[:] = np.nan
        sum_rows_of(net, rows, scales, np.int64(count), layer)
        np.testing.assert_allclose(out, reference, rtol=1e-5, atol=1e-5)


def test_tanh_is_within_its_tolerance() -> None:
    exact = np.concatenate([np.linspace(-20, 20, 40_001), [0.0, 1e-30, -1e-30, 1e30, -1e30]]).astype(np.float32)
    values = exact.copy()
    tanh_in_place(values)
    np.testing.assert_allclose(values, np.tanh(exact.astype(np.float64)), rtol=0, atol=3e-7)
    assert (np.abs(values) <= 1 + 3e-7).all()


# --- counts -----------------------------------------------------------------------------------------------------------


def test_material_counts_pieces() -> None:
    pieces = material(man_value=0.75, king_value=1.25)
    seen = set()
    for state in random_boards(500, seed=4):
        lead = 0.0
        for square in range(NUM_SQUARES):
            worth = 1.25 if int(state.kings) >> square & 1 else 0.75
            lead += worth * ((int(state.black) >> square & 1) - (int(state.white) >> square & 1))
        expected = lead if state.to_play == 0 else -lead
        assert evaluate(pieces, state) == round(expected * SCORE_UNIT)
        seen.add(expected)
    assert len(seen) > 50


def test_scores_stay_within_their_bound() -> None:
    state = CHECKERS.new(1)[0]
    state.white = 0
    assert evaluate(material(1e3), state) == MAX_SCORE
    assert evaluate(material(-1e3), state) == -MAX_SCORE


def open_lines(grid: list[list[str]], enemy: str) -> int:
    """Count the lines of four cells that hold none of the enemy's discs."""
    count = 0
    for row in range(6):
        for column in range(7):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(row + i * down, column + i * right) for i in range(4)]
                if all(0 <= r < 6 and 0 <= c < 7 and grid[r][c] != enemy for r, c in cells):
                    count += 1
    return count


def test_lines_are_those_that_a_side_can_still_complete() -> None:
    assert open_lines([["."] * 7 for _ in range(6)], "x") == 69
    evaluator = lines(line_value=0.25)
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(40):
        state = CONNECT_FOUR.new(1)[0]
        grid = [["."] * 7 for _ in range(6)]
        while not is_over(state):
            own, enemy = "xo" if to_play(state) == 0 else "ox"
            expected = 0.25 * (open_lines(grid, enemy) - open_lines(grid, own))
            assert evaluate(evaluator, state) == round(expected * SCORE_UNIT)
            seen.add(expected)
            column = int(rng.choice(CONNECT_FOUR.legal_actions(state)))
            row = min(row for row in range(6) if grid[row][column] == ".")
            grid[row][column] = own
            apply(state, column)
    assert len(seen) > 20


# --- model files ------------------------------------------------------------------------------------------------------


def test_a_saved_network_comes_back(tmp_path: Path) -> None:
    weights, king_values = random_networks(1, 0.2)
    path = tmp_path / "model.safetensors"
    save_evaluator(path, weights[0], float(king_values[0]), {"generations": 7}, CHECKERS.version)
    loaded = load_evaluator(path)
    assert loaded.tobytes() == anaconda(weights, king_values)[0].tobytes()
    header = read_header(path)
    assert (header["game"], header["rules_version"]) == ("checkers", CHECKERS.version)
    assert header["training"] == {"generations": 7}

    model, _ = load_model(path)
    assert isinstance(model, BoardEvaluator)
    np.testing.assert_array_equal(model.flat_weights(), weights[0])
    assert float(model.king_value) == king_values[0]


def test_equal_networks_make_equal_files(tmp_path: Path) -> None:
    weights, king_values = random_networks(1, 0.2)
    for name in ("a", "b"):
        save_evaluator(tmp_path / name, weights[0].astype(np.float64), float(king_values[0]), {}, 1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("architecture", "tensors", "problem"),
    [
        ({"kind": "policy_value_net"}, {}, "'policy_value_net'"),
        ({"kind": "board_evaluator", "preset": "chinook"}, {}, "'chinook'"),
        ("chinook", {}, "'chinook'"),
        (None, {}, "None"),
        (ARCHITECTURE, {"weights": None}, "weights"),
        (ARCHITECTURE, {"king_value": None}, "king_value"),
        (ARCHITECTURE, {"weights": np.zeros(5045, np.float32)}, "weights"),
        (ARCHITECTURE, {"weights": np.zeros(5046, np.float64)}, "weights"),
        (ARCHITECTURE, {"weights": np.zeros((1, 5046), np.float32)}, "weights"),
        (ARCHITECTURE, {"king_value": np.zeros(2, np.float32)}, "king_value"),
    ],
)
def test_a_file_of_another_network_is_refused(
    tmp_path: Path, architecture: object, tensors: dict[str, NDArray | None], problem: str
) -> None:
    path = tmp_path / "model.safetensors"
    whole = {"weights": np.zeros(NUM_WEIGHTS, np.float32), "king_value": np.array(2.0, np.float32)}
    header = model_header(ARCHITECTURE, game="checkers", rules_version=1, training={})
    header["architecture"] = architecture
    contents = {name: tensor for name, tensor in (whole | tensors).items() if tensor is not None}
    write_model_file(path, contents, header)
    with pytest.raises(ModelFileError) as caught:
        load_evaluator(path)
    message = str(caught.value)
    assert problem in message
    assert str(path) in message
    assert "\n" not in message


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="nowhere"):
        load_evaluator(tmp_path / "nowhere")
    weights, king_values = random_networks(1, 0.2)
    whole = tmp_path / "whole"
    save_evaluator(whole, weights[0], float(king_values[0]), {}, 1)
    for name, damage in (
        ("flipped", lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]),
        ("cut", lambda data: data[: len(data) // 2]),
    ):
        damaged = tmp_path / name
        shutil.copy(whole, damaged)
        damaged.write_bytes(damage(whole.read_bytes()))
        with pytest.raises(ModelFileError, match=name):
            load_evaluator(damaged)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_of_no_numbers_is_not_saved(tmp_path: Path, value: float) -> None:
    weights, _ = random_networks(1, 0.2)
    weights[0, 100] = value
    with pytest.raises(ModelFileError):
        save_evaluator(tmp_path / "model", weights[0], 2.0, {}, 1)
    assert not (tmp_path / "model").exists()
