"""The second and third stage of AlphaGo's pipeline: games of policies, the policy gradient, value games, whole runs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import unittest.mock
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import network_evaluator
from agents.alphago import reinforce_command, value_command
from agents.alphago.config import ReinforceConfig, ValueConfig
from agents.alphago.policy_games import by_seat, choices, draw_actions, play_games
from agents.alphago.reinforce import Experience, learn, opponent_of, policy_gradient_loss
from agents.alphago.value_learning import play_value_games
from agents.imitation import command as imitate_command
from agents.learner_command import check_ranges
from games.catalogue import find_game
from games.compiled import NDArray
from games.go import area_score, is_legal
from games.rules import States, apply, is_over
from nets.blocks import Conv, Relu
from nets.heads import PointPolicySpec
from nets.models import PolicyValueSpec, load_model, save_model
from nets.presets import preset

SMALL = find_game("go-5x5")


def indifferent(states: States) -> tuple[NDArray, NDArray]:
    return np.zeros((len(states), SMALL.num_actions), np.float32), np.zeros(len(states), np.float32)


def fond_of_centre(states: States) -> tuple[NDArray, NDArray]:
    logits = np.zeros((len(states), SMALL.num_actions), np.float32)
    logits[:, 12] = 9.0
    return logits, np.zeros(len(states), np.float32)


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a small policy network with random weights."""
    torch.manual_seed(0)
    model = preset("resnet-1x8", SMALL.planes_shape).build()
    path = tmp_path_factory.mktemp("policy") / "model.safetensors"
    save_model(
        path, model, model.spec, game="go", rules_version=SMALL.version, training={}, extras={"features": "observe"}
    )
    return path


# --- games ------------------------------------------------------------------------------------------------------------


def test_actions_are_drawn_as_often_as_the_policy_says_and_only_allowed_ones() -> None:
    logits = np.tile(np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32)), (20_000, 1))
    allowed = np.tile(np.array([True, False, True, True]), (20_000, 1))
    drawn = draw_actions(logits, allowed, np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert np.allclose(shares, [0.1 / 0.8, 0, 0.3 / 0.8, 0.4 / 0.8], atol=0.015)


def test_no_policy_fills_its_eyes_and_it_passes_only_where_nothing_is_left() -> None:
    state = SMALL.new(1)
    assert not choices(SMALL, state)[0, -1]
    assert choices(SMALL, state)[0, :-1].all()
    # Black holds all but two eyes, A5 and C5: nothing is left but to pass; White may play neither (suicide).
    board = np.ones(25, np.uint8)
    board[[0, 2]] = 0
    from games.go import set_board

    for mover in (0, 1):
        assert set_board(state[0], board, mover)
        assert choices(SMALL, state)[0].nonzero()[0].tolist() == [25]


def test_games_are_played_to_their_ends_by_whoever_is_seated() -> None:
    seats = np.array([False, True, False, True])
    played: list[list[tuple[int, int]]] = [[] for _ in seats]

    def hear(policy: int, games: NDArray, positions: States, allowed: NDArray, actions: NDArray) -> None:
        for game, action in zip(games.tolist(), actions.tolist(), strict=True):
            played[game].append((policy, action))

    states = SMALL.new(4)
    policies = (fond_of_centre, indifferent)
    results = play_games(SMALL, states, policies, by_seat(seats), np.random.default_rng(1), hear)
    for game, moves in enumerate(played):
        state = SMALL.new(1)[0]
        for ply, (policy, action) in enumerate(moves):
            assert policy == (ply % 2) ^ int(seats[game])
            assert is_legal(state, action)
            apply(state, action)
        assert is_over(state)
        assert results[game] == np.sign(area_score(state))
        assert next(action for policy, action in moves if policy == 0) == 12


# --- the policy gradient ----------------------------------------------------------------------------------------------


def test_the_gradient_makes_winning_actions_likelier_and_losing_ones_less_likely() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    allowed = torch.tensor([[True, True, False], [True, True, True]])
    policy_gradient_loss(logits, allowed, torch.tensor([0, 1]), torch.tensor([1.0, -1.0])).sum().backward()
    # -z (1[a] - p(a)) by hand: probabilities 1/2 and 1/3.
    expected = torch.tensor([[-0.5, 0.5, 0.0], [-1 / 3, 2 / 3, -1 / 3]])
    assert torch.allclose(logits.grad, expected)


def test_a_policy_for_each_colour_learns_from_the_movers_own() -> None:
    policy = PointPolicySpec(num_outputs=2, position_bias=True)
    model = PolicyValueSpec(SMALL.planes_shape, (Conv(4, 3, padding=1), Relu()), policy=policy).build()
    before = [bias.clone() for bias in model.policy.position_bias.parameters()]
    allowed = np.ones((3, 26), bool)
    allowed[2, :25] = False  # nothing but the pass, of which such a network knows nothing
    planes = np.ones((3, *SMALL.planes_shape), np.float32)
    seen = Experience(planes, np.ones(3, np.int64), allowed, np.array([3, 4, 25]), np.ones(3, np.float32), 1.0, 3.0)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    assert learn(model, optimiser, ReinforceConfig(max_gradient_norm=100.0), seen) > 0
    (old,), (new,) = before, list(model.policy.position_bias.parameters())
    assert (new[0] == old[0]).all(), "Black did not move"
    change = (new[1] - old[1]).flatten()
    assert (change.argsort(descending=True)[:2].sort().values == torch.tensor([3, 4])).all()


def test_opponents_come_from_the_whole_pool_of_earlier_policies() -> None:
    config = ReinforceConfig(pool_period=5)
    assert {opponent_of(config, iteration) for iteration in range(5)} == {0}
    later = {opponent_of(config, iteration) for iteration in range(40, 45)}
    assert later <= set(range(0, 41, 5))
    assert len({opponent_of(config, iteration) for iteration in range(200)}) > 15


# --- value games ------------------------------------------------------------------------------------------------------


def test_a_value_game_gives_one_position_after_one_even_draw() -> None:
    config = ValueConfig(games_at_once=64)
    games = play_value_games(config, 0, SMALL, fond_of_centre, indifferent)
    assert len(games.actions) == len(games.plies) == len(games.results) > 30
    for actions, ply in zip(games.actions, games.plies.tolist(), strict=True):
        assert 1 <= ply < len(actions)
        if ply > 1:  # the imitating policy opens
            assert actions[0] == 12
    openings = [int(actions[0]) for actions, ply in zip(games.actions, games.plies.tolist(), strict=True) if ply == 1]
    assert not openings or set(openings) != {12}
    again = play_value_games(config, 0, SMALL, fond_of_centre, indifferent)
    assert all((a == b).all() for a, b in zip(games.actions, again.actions, strict=True))


# --- whole runs -------------------------------------------------------------------------------------------------------

REINFORCE = ["--game", "go-5x5", "--games", "4", "--pool-period", "2", "--checkpoint-period", "1", "--threads", "1"]
VALUE = ["--game", "go-5x5", "--games", "24", "--games-at-once", "8", "--held-out", "0.25", "--batch-size", "8"]
VALUE += ["--epochs", "2", "--checkpoint-period", "1", "--threads", "1"]
FILES = ["--imitating", "x", "--improved", "x"]


def save_policy(folder: Path, policy: PointPolicySpec) -> Path:
    """Write a small policy network of a kind that knows no pass."""
    torch.manual_seed(1)
    model = PolicyValueSpec(SMALL.planes_shape, (Conv(8, 3, padding=1), Relu()), policy=policy).build()
    path = folder / "model.safetensors"
    save_model(path, model, model.spec, game="go", rules_version=SMALL.version, training={})
    return path


def run_bytes(directory: Path) -> tuple[bytes, bytes]:
    return (directory / "model.safetensors").read_bytes(), (directory / "metrics.jsonl").read_bytes()


def test_a_reinforcement_that_is_stopped_and_resumed_ends_as_one_that_never_was(
    tmp_path: Path, policy_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agents.alphago import reinforce_run

    monkeypatch.setattr(reinforce_run, "REPORT_GAMES", 8)
    begun_from = Path(shutil.copy(policy_file, tmp_path / "begun_from.safetensors"))
    common = ["--init", str(begun_from), *REINFORCE]
    whole, parts = tmp_path / "a whole", tmp_path / "parts"
    with unittest.mock.patch.object(
        network_evaluator, "make_inference", wraps=network_evaluator.make_inference
    ) as make:
        assert reinforce_command.main([*common, "--iterations", "4", "--out", str(whole)]) == 0
    assert make.call_count == 2, "one network plays for the learner, and one for its opponents"
    following = f"python train.py value --game go-5x5 --imitating {begun_from} --improved '{whole}'\n"
    assert following in capsys.readouterr().err
    assert reinforce_command.main([*common, "--iterations", "3", "--out", str(parts)]) == 0
    begun_from.unlink()  # a run has its own copy
    assert reinforce_command.main([*common, "--iterations", "2", "--out", str(parts), "--resume"]) == 2
    assert reinforce_command.main([*common, "--iterations", "4", "--out", str(parts), "--resume"]) == 0
    (first_model, first_metrics), (second_model, second_metrics) = run_bytes(whole), run_bytes(parts)
    assert first_metrics == second_metrics
    assert first_model == second_model
    before, _ = load_model(policy_file)
    after, header = load_model(whole / "model.safetensors")
    assert header["features"] == "observe"
    assert any((a != b).any() for a, b in zip(before.state_dict().values(), after.state_dict().values(), strict=True))
    assert json.loads((whole / "report.json").read_text()).keys() == {"won", "drawn", "lost", "elo"}


@pytest.mark.parametrize("num_outputs", [1, 2])
def test_networks_without_a_pass_are_reinforced(
    tmp_path: Path, num_outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents.alphago import reinforce_run

    monkeypatch.setattr(reinforce_run, "REPORT_GAMES", 2)
    file = save_policy(tmp_path, PointPolicySpec(size=3, num_outputs=num_outputs, position_bias=num_outputs == 2))
    out = tmp_path / "out"
    assert reinforce_command.main(["--init", str(file), *REINFORCE, "--iterations", "1", "--out", str(out)]) == 0
    before, after = (load_model(path)[0].state_dict() for path in (file, out / "model.safetensors"))
    assert any((before[name] != after[name]).any() for name in before)


def test_a_value_run_that_is_killed_between_steps_ends_as_one_that_never_was(
    tmp_path: Path, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents.alphago import value_run

    common = ["--imitating", str(policy_file), "--improved", str(policy_file), *VALUE]
    monkeypatch.setattr(value_run, "STEPS_PERIOD", 1)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert value_command.main([*common, "--out", str(whole)]) == 0

    calls = 0
    error = value_run.ValueLearner.error

    def dies(self: value_run.ValueLearner) -> float:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return error(self)

    monkeypatch.setattr(value_run.ValueLearner, "error", dies)
    assert value_command.main([*common, "--out", str(parts)]) == 130
    monkeypatch.setattr(value_run.ValueLearner, "error", error)
    assert value_command.main([*common, "--out", str(parts), "--resume"]) == 0
    assert run_bytes(whole) == run_bytes(parts)
    model, _ = load_model(whole / "model.safetensors")
    assert model.policy is None
    assert model.value is not None


def test_a_value_run_that_is_stopped_between_two_lines_of_metrics_ends_as_one_that_never_was(
    tmp_path: Path, policy_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agents.alphago import value_run

    common = ["--imitating", str(policy_file), "--improved", str(policy_file), *VALUE]
    monkeypatch.setattr(value_run, "STEPS_PERIOD", 2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert value_command.main([*common, "--out", str(whole)]) == 0
    assert "play it:     python play.py go --size 5 --white " in capsys.readouterr().err

    draw = value_run.ValueLearner._draw

    def draw_and_stop(self: value_run.ValueLearner, numbers: NDArray, step: int, count: int) -> tuple[NDArray, NDArray]:
        os.kill(os.getpid(), signal.SIGINT)
        return draw(self, numbers, step, count)

    monkeypatch.setattr(value_run.ValueLearner, "_draw", draw_and_stop)
    assert value_command.main([*common, "--out", str(parts)]) == 0
    monkeypatch.setattr(value_run.ValueLearner, "_draw", draw)
    words = shlex.split(capsys.readouterr().err.rpartition("go on with: python train.py value ")[2])
    assert value_command.main(words) == 0, "the command that was printed"
    assert run_bytes(whole) == run_bytes(parts)


def test_few_games_make_one_learning_step(tmp_path: Path, policy_file: Path) -> None:
    common = ["--imitating", str(policy_file), "--improved", str(policy_file), *VALUE]
    common[common.index("--batch-size") + 1] = "1000"
    assert value_command.main([*common, "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 4


def test_numbers_that_are_not_whole_may_be_small() -> None:
    check_ranges(vars(ReinforceConfig(max_gradient_norm=0.5, learning_rate=0.0, seed=0)), reinforce_command.LEAST)


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (reinforce_command.main, ["--init", "nowhere"], "--init nowhere: no model file or folder"),
        (reinforce_command.main, ["--init", "x", "--games", "0"], "--games 0: at least 1"),
        (reinforce_command.main, ["--init", "x", "--threads", "-1"], "--threads -1: 0 to "),
        (reinforce_command.main, ["--init", "x", "--max-gradient-norm", "0"], "--max-gradient-norm 0.0: above 0"),
        (value_command.main, [*FILES, "--threads", "-1"], "--threads -1: 0 to "),
        (value_command.main, [*FILES, "--learning-rate", "-1"], "-1.0: at least 0"),
        (value_command.main, [*FILES, "--held-out", "1"], "--held-out 1.0: above 0"),
        (value_command.main, [*FILES, "--game", "checkers"], "are for Go"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    main: object, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(main)
    assert main(arguments) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("rules_version", "features", "position_bias", "size", "message"),
    [
        (SMALL.version + 1, "observe", False, 5, "of the rules of go-5x5, which are at version"),
        (SMALL.version, "alphago13", False, 5, "the network takes 16 planes, and its features have 48"),
        (SMALL.version, "nonsense", False, 5, "nonsense"),
        (SMALL.version, "observe", True, 7, "the network plays on 7x7 only, and this is go-5x5"),
    ],
)
@pytest.mark.parametrize("learner", ["reinforce", "value", "imitate"])
def test_a_network_of_other_rules_planes_or_boards_is_refused(
    learner: str,
    rules_version: int,
    features: str,
    position_bias: bool,
    size: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy = PointPolicySpec(position_bias=position_bias)
    spec = PolicyValueSpec((SMALL.planes_shape[0], size, size), (Conv(2, 3, padding=1),), policy=policy)
    file, out = tmp_path / "model.safetensors", tmp_path / "run"
    extras = {"features": features}
    save_model(file, spec.build(), spec, game="go", rules_version=rules_version, training={}, extras=extras)
    begun_from = ["--init", str(file)]
    files = {
        "reinforce": begun_from,
        "value": ["--imitating", str(file), "--improved", str(file)],
        "imitate": [*begun_from, "--data", str(tmp_path)],
    }[learner]
    main = {"reinforce": reinforce_command, "value": value_command, "imitate": imitate_command}[learner].main
    assert main([*files, "--game", "go-5x5", "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert f"{files[0]} {file}: " in told and message in told
    assert len(told.splitlines()) == 1 and not out.exists()
