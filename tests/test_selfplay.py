"""Learning from self-play alone: games of the search, the window that is learnt from, whole runs."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.imitation.learner import policy_terms
from agents.mcts.rollouts import by_rollouts
from agents.network_evaluator import encoder_of
from agents.selfplay import command
from agents.selfplay import run as selfplay_run
from agents.selfplay.command import check
from agents.selfplay.config import PRESETS, SelfPlayConfig
from agents.selfplay.games import Played, match, play_games
from agents.selfplay.window import Window, symmetric_actions
from games.catalogue import find_game
from games.compiled import NDArray
from games.rules import Game, States, apply, is_over, returns, to_play
from games.symmetries import turn
from nets.models import load_model

GUMBEL = SelfPlayConfig(games=7, games_at_once=3, visits=8, considered=4)
PUCT = dataclasses.replace(GUMBEL, considered=0, drawn=4)


def indifferent(game: Game) -> Any:
    def judge(states: States) -> tuple[NDArray, NDArray]:
        return np.zeros((len(states), game.num_actions), np.float32), np.zeros(len(states), np.float32)

    return judge


@pytest.mark.parametrize("config", [GUMBEL, PUCT], ids=["gumbel", "puct"])
@pytest.mark.parametrize("name", ["go-4x4", "connect_four", "checkers"])
def test_games_are_legal_and_whole_and_policies_are_of_legal_actions(name: str, config: SelfPlayConfig) -> None:
    game = find_game(name)
    heard: list[int] = []
    played = play_games(config, [1, 2, 3], game, indifferent(game), heard.append)
    assert len(played.lengths) == len(played.results) == 7 and heard[-1] == 7 and heard == sorted(heard)
    assert played.policies.astype(float).sum(1) == pytest.approx(np.ones(len(played.actions)), abs=0.01)
    ply = 0
    for length, result in zip(played.lengths.tolist(), played.results.tolist(), strict=True):
        state = game.new(1)[0]
        for action, policy in zip(played.actions[ply : ply + length], played.policies[ply : ply + length], strict=True):
            legal = game.legal_actions(state)
            assert action in legal and set(np.flatnonzero(policy)) <= set(legal)
            apply(state, int(action))
        ply += length
        assert is_over(state) and returns(state) == result
    assert ply == len(played.actions)
    again = play_games(config, [1, 2, 3], game, indifferent(game))
    assert (again.actions == played.actions).all() and (again.policies == played.policies).all()
    first = set(played.actions[np.cumsum(played.lengths)[:-1]].tolist())
    assert len(first) > 1 or name == "checkers", "lots make games differ"


def test_the_window_keeps_the_newest_games_whole() -> None:
    lengths = np.array([3, 4, 2])
    numbers = np.arange(9)
    played = Played(numbers.astype(np.int16), np.zeros((9, 5), np.float16), lengths, np.array([1, -1, 0], np.int8))
    assert played.newest(9).lengths.tolist() == [3, 4, 2]
    assert played.newest(8).actions.tolist() == [3, 4, 5, 6, 7, 8]
    assert played.newest(6).results.tolist() == [-1, 0]
    assert played.newest(1).actions.tolist() == [7, 8]
    assert Played.none(5).and_then(played).actions.tolist() == numbers.tolist()
    assert len(Played.none(5).newest(4).lengths) == 0


def test_positions_come_back_under_every_symmetry_with_their_policies() -> None:
    game = find_game("go-4x4")
    window = Window(game, *encoder_of(game, "observe"), 10_000)
    window.append(play_games(GUMBEL, [1, 2, 3], game, indifferent(game)))
    played = window.played

    class Chosen:
        """Draws what it is told to."""

        def __init__(self, *drawn: NDArray) -> None:
            self.drawn = list(drawn)

        def integers(self, most: int, size: int) -> NDArray:
            return self.drawn.pop(0)

    for number in (0, 5, len(window) - 1):
        samples = window.batch(Chosen(np.full(8, number), np.arange(8)), 8)  # type: ignore[arg-type]
        before = np.append(0, played.lengths.cumsum())
        one = int(np.searchsorted(before, number, "right")) - 1
        state = game.new(1)[0]
        for action in played.actions[before[one] : number]:
            apply(state, int(action))
        mover = to_play(state)
        assert samples.movers.tolist() == [mover] * 8
        assert samples.outcomes.tolist() == [float(played.results[one]) * (1 - 2 * mover)] * 8
        planes, policies = samples.planes.numpy(), samples.actions.numpy()
        assert policies.sum(1) == pytest.approx(np.ones(8))
        board = policies[0, :-1].reshape(4, 4)
        for symmetry in range(8):
            assert (planes[symmetry] == turn(planes[0], symmetry)).all()
            assert (policies[symmetry, :-1].reshape(4, 4) == turn(board, symmetry)).all()
            assert set(np.flatnonzero(policies[symmetry])) <= set(np.flatnonzero(samples.legal[symmetry].numpy()))


def test_connect_four_is_mirrored_and_checkers_is_not_turned() -> None:
    assert symmetric_actions(find_game("connect_four")).tolist() == [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]]
    assert symmetric_actions(find_game("checkers")).shape == (1, 128)
    game = find_game("connect_four")
    window = Window(game, *encoder_of(game, "observe"), 1000)
    window.append(play_games(GUMBEL, [1], game, indifferent(game)))
    samples = window.batch(np.random.default_rng(0), 64)
    assert samples.planes.shape == (64, 2, 6, 7) and samples.legal.any(1).all()


def test_a_policy_that_is_sure_is_learnt_as_a_move_is() -> None:
    game = find_game("go-4x4")
    window = Window(game, *encoder_of(game, "observe"), 1000)
    window.append(play_games(GUMBEL, [1, 2, 3], game, indifferent(game)))
    samples = window.batch(np.random.default_rng(0), 16)
    moves = samples.legal.long().argmax(1)
    sure = torch.nn.functional.one_hot(moves, game.num_actions).float()
    for outputs in (game.num_actions, game.num_actions - 1):  # the second knows no pass
        logits = torch.randn(16, outputs, generator=torch.Generator().manual_seed(0))
        for ours, theirs in zip(
            policy_terms(logits, samples._replace(actions=sure)),
            policy_terms(logits, samples._replace(actions=moves)),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("config", [GUMBEL, PUCT], ids=["gumbel", "puct"])
def test_a_match_is_counted_for_the_first(config: SelfPlayConfig) -> None:
    game = find_game("connect_four")
    knows_more, seeds = by_rollouts(game, 8, 0), list(range(12))
    config = dataclasses.replace(config, visits=24)
    assert match(config, seeds, game, (knows_more, indifferent(game))).sum() > 4
    assert match(config, seeds, game, (indifferent(game), knows_more)).sum() < -4


# --- whole runs -------------------------------------------------------------------------------------------------------

RUN = ["--game", "go-4x4", "--preset", "quick", "--games", "6", "--games-at-once", "4", "--visits", "4"]
RUN += ["--considered", "4", "--network", "resnet-1x8", "--batch-size", "16", "--threads", "1", "--match-games", "4"]
RUN += ["--match-period", "1"]


def run_bytes(directory: Path) -> tuple[bytes, bytes]:
    return (directory / "model.safetensors").read_bytes(), (directory / "metrics.jsonl").read_bytes()


def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_never_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selfplay_run, "REPORT_GAMES", 4)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command.main([*RUN, "--iterations", "3", "--out", str(whole)]) == 0
    assert json.loads((whole / "report.json").read_text()).keys() == {"won", "drawn", "lost", "elo"}
    play = selfplay_run.play_games

    def play_and_stop(config: SelfPlayConfig, *arguments: Any) -> Played:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return play(config, *arguments)

    calls: list[int] = []
    monkeypatch.setattr(selfplay_run, "play_games", play_and_stop)
    assert command.main([*RUN, "--iterations", "3", "--out", str(parts)]) == 0
    words = shlex.split(capsys.readouterr().err.rpartition("go on with: python train.py selfplay ")[2])
    assert command.main(words) == 0, "the command that was printed"
    assert len(calls) == 4, "the iteration that was broken off is played again"
    assert run_bytes(whole) == run_bytes(parts)
    first, _ = load_model(whole / "first.safetensors")
    last, header = load_model(whole / "model.safetensors")
    assert header["training"]["learner"] == "selfplay"
    assert any((a != b).any() for a, b in zip(first.state_dict().values(), last.state_dict().values(), strict=True))


def test_a_run_goes_on_from_a_network_of_another_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfplay_run, "REPORT_GAMES", 2)
    small, larger = tmp_path / "small", tmp_path / "larger"
    assert command.main([*RUN, "--iterations", "1", "--out", str(small)]) == 0
    words = [*RUN, "--game", "go-5x4", "--iterations", "1", "--considered", "0", "--init", str(small)]
    assert command.main([*words, "--out", str(larger)]) == 0
    first, header = load_model(larger / "first.safetensors")
    assert first.spec.input_shape[1:] == (5, 4) and header["training"]["network"] is None


def test_time_ends_a_call_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*RUN, "--iterations", "3", "--stop-after", "1e-9", "--out", str(tmp_path / "run")]) == 0
    assert "stopped; go on with: python train.py selfplay" in capsys.readouterr().err


def test_presets_are_configurations_that_a_run_can_have() -> None:
    for config in PRESETS.values():
        check(config)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--games", "0"], "--games 0: at least 1"),
        (["--value-weight", "0"], "--value-weight 0.0: a finite number above 0"),
        (["--noise", "2", "--considered", "0"], "--noise 2: 0 to 1"),
        (["--noise", "0.5"], "--noise: only with --considered 0"),
        (["--considered", "9", "--visits", "8"], "--considered 9: at most --visits 8"),
        (["--network", "alphago13"], "alphago13"),
        (["--network", "nature-dqn"], "--network nature-dqn: it chooses no moves of a board game"),
        (["--init", "nowhere"], "--init nowhere: no model file or folder"),
        (["--game", "chess"], "chess"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert command.main([*words, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert message in told and len(told.splitlines()) == 1 and not out.exists()
