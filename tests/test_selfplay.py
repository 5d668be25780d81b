"""Learning from self-play alone: games of the search, the window that is learnt from, whole runs."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import signal
import unittest.mock
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.imitation.learner import Learner, adapted, policy_terms
from agents.mcts.rollouts import by_rollouts
from agents.mcts.search import SearchSettings, TreeLimits, TreeSearch
from agents.network_evaluator import encoder_of
from agents.run import Run
from agents.selfplay import command
from agents.selfplay import run as selfplay_run
from agents.selfplay.command import Options, check
from agents.selfplay.config import PRESETS, SelfPlayConfig
from agents.selfplay.games import GamesInStep, Match, Played
from agents.selfplay.run import new_network, seeds_of
from agents.selfplay.window import Window, symmetric_actions
from games.catalogue import find_game
from games.compiled import NDArray
from games.go_scoring import area_score
from games.rules import Game, States, apply, is_over, returns, to_play
from games.symmetries import turn
from nets.models import load_model
from tests.killed_runs import in_child

GUMBEL = SelfPlayConfig(games=7, games_at_once=3, visits=8, considered=4)
PUCT = dataclasses.replace(GUMBEL, considered=0, drawn=4)


def indifferent(game: Game) -> Any:
    def judge(states: States) -> tuple[NDArray, NDArray]:
        return np.zeros((len(states), game.num_actions), np.float32), np.zeros(len(states), np.float32)

    return judge


def play(config: SelfPlayConfig, game: Game) -> Played:
    games = GamesInStep(config, [1, 2, 3], game, indifferent(game))
    before = 0
    while not games.are_over:
        games.step()
        assert before <= games.num_over <= config.games
        before = games.num_over
    return games.played()


@pytest.mark.parametrize("config", [GUMBEL, PUCT], ids=["gumbel", "puct"])
@pytest.mark.parametrize("name", ["go-4x4", "connect_four", "checkers"])
def test_games_are_legal_and_whole_and_policies_are_of_legal_actions(name: str, config: SelfPlayConfig) -> None:
    game = find_game(name)
    played = play(config, game)
    assert len(played.lengths) == len(played.results) == 7
    assert played.policies.astype(float).sum(1) == pytest.approx(np.ones(len(played.actions)), abs=0.01)
    ply, finals = 0, []
    for length, result in zip(played.lengths.tolist(), played.results.tolist(), strict=True):
        state = game.new(1)[0]
        for action, policy in zip(played.actions[ply : ply + length], played.policies[ply : ply + length], strict=True):
            legal = game.legal_actions(state)
            assert action in legal and set(np.flatnonzero(policy)) <= set(legal)
            apply(state, int(action))
        ply += length
        assert is_over(state) and returns(state) == result
        finals.append(state)
    if game.family == "go":
        assert played.leads.tolist() == [area_score(state) for state in finals]
        assert (played.owners.sum(1) - float(finals[0].komi2) / 2 == played.leads).all()
    else:
        assert played.owners.shape == (7, 0)
    assert ply == len(played.actions)
    again = play(config, game)
    assert (again.actions == played.actions).all() and (again.policies == played.policies).all()
    first = set(played.actions[np.cumsum(played.lengths)[:-1]].tolist())
    assert len(first) > 1 or name == "checkers", "lots make games differ"


@pytest.mark.parametrize("config", [GUMBEL, PUCT], ids=["gumbel", "puct"])
def test_what_is_learnt_is_what_the_search_said_of_that_position(config: SelfPlayConfig) -> None:
    game = find_game("go-4x4")
    heard: dict[bytes, list[NDArray]] = {}
    search = TreeSearch.search

    def remember(self: TreeSearch, states: States, *arguments: Any) -> None:
        search(self, states, *arguments)
        for tree, state in enumerate(states):
            policy = self.improved_policy(tree) if config.considered else self.policy(tree, 1.0)
            heard.setdefault(state.tobytes(), []).append(policy.astype(np.float16))

    with unittest.mock.patch.object(TreeSearch, "search", remember):
        played = play(config, game)
    ply = 0
    for length in played.lengths.tolist():
        state = game.new(1)[0]
        for action in played.actions[ply : ply + length]:
            assert any((played.policies[ply] == policy).all() for policy in heard[state.tobytes()])
            apply(state, int(action))
            ply += 1


@pytest.mark.parametrize("logit", [-2.0, -200.0])  # the second is a prior of 0
def test_a_win_that_is_proven_is_all_that_there_is_to_learn(logit: float) -> None:
    game = find_game("connect_four")
    states = game.new(1)
    for action in (3, 0, 3, 0, 3, 0):
        apply(states[0], action)

    def blind(states: States) -> tuple[NDArray, NDArray]:
        logits = np.zeros((len(states), 7), np.float32)
        logits[:, 3] = logit
        return logits, np.full(len(states), 0.97, np.float32)

    search = TreeSearch(game, blind, SearchSettings(gumbel_actions=7))
    search.search(states, TreeLimits(visits=32))
    assert search.choose() == 3
    assert search.improved_policy().tolist() == [0, 0, 0, 1, 0, 0, 0]


def test_the_window_forgets_whole_iterations() -> None:
    game = find_game("go-4x4")
    window = Window(game, *encoder_of(game, "observe"), 5)

    def games(number: int, *lengths: int) -> Played:
        count = sum(lengths)
        policies = np.zeros((count, game.num_actions), np.float16)
        each = np.zeros(len(lengths), np.int8)
        owners, leads = np.zeros((len(lengths), 16), np.int8), each.astype(np.float32)
        return Played(np.full(count, number, np.int16), policies, np.array(lengths), each, owners, leads)

    sizes = []
    for number, lengths in enumerate(((3, 1), (2,), (4,), (1,), (9,), (1,))):
        window.append(games(number, *lengths))
        sizes.append(len(window))
    assert sizes == [4, 6, 6, 5, 9, 10]
    other = Window(game, *encoder_of(game, "observe"), 5)
    other.set_arrays(window.get_arrays())
    assert len(other) == 10 and {*other.get_arrays()} == {*window.get_arrays()}


def test_positions_come_back_under_every_symmetry_with_their_policies() -> None:
    game = find_game("go-4x4")
    window = Window(game, *encoder_of(game, "observe"), 10_000)
    both = [play(GUMBEL, game), play(PUCT, game)]
    for played in both:
        window.append(played)
    before = 0
    for played in both:
        firsts = np.append(0, played.lengths.cumsum())
        for number in (0, 5, len(played.actions) - 1):
            samples = window.samples(np.full(8, before + number), np.arange(8))
            one = int(np.searchsorted(firsts, number, "right")) - 1
            state = game.new(1)[0]
            for action in played.actions[firsts[one] : number]:
                apply(state, int(action))
            mover = to_play(state)
            assert samples.movers.tolist() == [mover] * 8
            assert samples.outcomes.tolist() == [float(played.results[one]) * (1 - 2 * mover)] * 8
            assert samples.legal[0].numpy().nonzero()[0].tolist() == game.legal_actions(state)
            planes, policies = samples.planes.numpy(), samples.actions.numpy()
            assert policies[0] == pytest.approx(played.policies[number].astype(float), abs=1e-3)
            board = policies[0, :-1].reshape(4, 4)
            assert samples.owners is not None and samples.leads is not None
            owners, sign = samples.owners.numpy(), 1 - 2 * mover
            assert owners[0].ravel().tolist() == (sign * played.owners[one]).tolist()
            assert samples.leads.tolist() == [sign * float(played.leads[one])] * 8
            for symmetry in range(8):
                assert (planes[symmetry] == turn(planes[0], symmetry)).all()
                assert (policies[symmetry, :-1].reshape(4, 4) == turn(board, symmetry)).all()
                assert (owners[symmetry] == turn(owners[0], symmetry)).all()
                assert set(np.flatnonzero(policies[symmetry])) <= set(np.flatnonzero(samples.legal[symmetry].numpy()))
        before += len(played.actions)


def test_movers_and_outcomes_are_right_across_the_jumps_of_checkers() -> None:
    game = find_game("checkers")
    window = Window(game, *encoder_of(game, "observe"), 10_000)
    window.append(play(GUMBEL, game))
    played = window.played[0]
    samples = window.samples(np.arange(len(window)), np.zeros(len(window), np.int64))
    ply = 0
    for length, result in zip(played.lengths.tolist(), played.results.tolist(), strict=True):
        state = game.new(1)[0]
        for action in played.actions[ply : ply + length]:
            assert samples.movers[ply] == to_play(state) and samples.legal[ply, action]
            assert samples.outcomes[ply] == result * (1 - 2 * to_play(state))
            apply(state, int(action))
            ply += 1


def test_connect_four_is_mirrored_and_checkers_is_not_turned() -> None:
    assert symmetric_actions(find_game("connect_four")).tolist() == [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]]
    assert symmetric_actions(find_game("checkers")).shape == (1, 128)
    game = find_game("connect_four")
    window = Window(game, *encoder_of(game, "observe"), 1000)
    window.append(play(GUMBEL, game))
    samples = next(window.batches((0, 1), 64, 1))
    assert samples.planes.shape == (64, 2, 6, 7) and samples.legal.any(1).all()
    assert samples.owners is None and samples.leads is None


def test_whose_the_points_are_is_learnt() -> None:
    game = find_game("go-4x4")
    window = Window(game, *encoder_of(game, "observe"), 1000)
    window.append(play(GUMBEL, game))
    samples = window.samples(np.arange(len(window)), np.zeros(len(window), np.int64))
    torch.manual_seed(0)
    model = adapted(new_network("resnet-1x16", game), (game.planes_shape[0], 4, 4), with_value=True, with_points=True)
    learner = Learner(dataclasses.replace(GUMBEL, learning_rate=0.01, average=0.0), model, torch.device("cpu"))
    learner.step(samples, 1.0)
    before = learner.means()
    for _ in range(60):
        learner.forget_sums()
        learner.step(samples, 1.0)
    after = learner.means()
    assert after["owner_error"] < before["owner_error"] / 2 and after["lead_error"] < before["lead_error"] / 2
    plain = Learner(GUMBEL, adapted(model, model.spec.input_shape, with_value=True), torch.device("cpu"))
    plain.step(samples, 1.0)
    assert plain.means().keys() == {"loss", "top1", "value_error"}, "what no head says is not learnt"


def test_a_policy_that_is_sure_is_learnt_as_a_move_is() -> None:
    game = find_game("go-4x4")
    window = Window(game, *encoder_of(game, "observe"), 1000)
    window.append(play(GUMBEL, game))
    samples = next(window.batches((0, 1), 16, 1))
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
    knows_more, seeds = by_rollouts(game, 8, 0), seeds_of(0, 0, 2, 20)
    config = dataclasses.replace(config, visits=48)

    def results(*evaluators: Any) -> NDArray:
        both = Match(config, seeds, game, evaluators)
        while not both.are_over:
            both.step()
        assert both.num_over == 20
        return both.results()

    assert results(knows_more, indifferent(game)).sum() > 4
    assert results(indifferent(game), knows_more).sum() < -2
    alike = results(indifferent(game), indifferent(game))
    assert (alike[::2] != -alike[1::2]).any(), "the two of a pair are no mirror images"


def test_a_match_draws_as_many_moves_of_a_game_as_self_play(monkeypatch: pytest.MonkeyPatch) -> None:
    game, temperatures = find_game("connect_four"), []
    choose = TreeSearch.choose

    def note_and_choose(search: TreeSearch, tree: int, temperature: float = 0.0) -> int:
        temperatures.append(temperature)
        return choose(search, tree, temperature)

    monkeypatch.setattr(TreeSearch, "choose", note_and_choose)
    config = dataclasses.replace(PRESETS["alphazero"], visits=8, drawn=5)
    both = Match(config, seeds_of(0, 0, 2, 2), game, [indifferent(game), indifferent(game)])
    while not both.are_over:
        both.step()
    assert temperatures.count(1.0) == 2 * 5 and 0.0 in temperatures


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
    made: list[int] = []

    class Stopping(GamesInStep):
        """Games in the second of which a signal comes."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(1)

        def step(self) -> None:
            super().step()
            if len(made) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(selfplay_run, "GamesInStep", Stopping)
    assert command.main([*RUN, "--iterations", "3", "--out", str(parts)]) == 0
    words = shlex.split(capsys.readouterr().err.rpartition("go on with: python train.py selfplay ")[2])
    assert command.main(words) == 0, "the command that was printed"
    assert len(made) == 4, "the iteration that was broken off is played again"
    assert run_bytes(whole) == run_bytes(parts)
    first, _ = load_model(whole / "first.safetensors")
    last, header = load_model(whole / "model.safetensors")
    assert header["training"]["learner"] == "selfplay"
    assert any((a != b).any() for a, b in zip(first.state_dict().values(), last.state_dict().values(), strict=True))
    assert last.spec.ownership is not None and last.spec.score is not None
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["owner_error"] < 4 and line["lead_error"] > 0 for line in lines)


def test_a_run_goes_on_from_a_network_of_another_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfplay_run, "REPORT_GAMES", 2)
    small, larger = tmp_path / "small", tmp_path / "larger"
    assert command.main([*RUN, "--iterations", "1", "--out", str(small)]) == 0
    words = [*RUN, "--game", "go-5x4", "--iterations", "1", "--considered", "0", "--init", str(small)]
    del words[words.index("--network") : words.index("--network") + 2]
    assert command.main([*words, "--out", str(larger)]) == 0
    first, header = load_model(larger / "first.safetensors")
    assert first.spec.input_shape[1:] == (5, 4) and header["training"]["network"] is None
    shutil.rmtree(small)  # a run has its own copy
    assert command.main(["--out", str(larger), "--resume", "--iterations", "2"]) == 0


@pytest.mark.parametrize(
    "moment",
    [(Run, "save_checkpoint", 2, "before"), (Run, "save_checkpoint", 3, "after"), (Match, "step", 5, "after")],
    ids=["before the second checkpoint", "after the last", "in a match"],
)
@pytest.mark.parametrize(
    "more", [[], ["--optimiser", "sgd", "--average", "0", "--considered", "0", "--no-points"]], ids=["", "sgd"]
)
def test_a_run_that_is_killed_and_resumed_ends_as_one_that_never_was(
    moment: Any, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfplay_run, "REPORT_GAMES", 2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = [*RUN, *more, "--iterations", "3"]
    assert command.main([*words, "--out", str(whole)]) == 0
    assert in_child(command.main, [*words, "--out", str(parts)], moment) == -signal.SIGKILL
    assert command.main([*words, "--out", str(parts), "--resume"]) == 0
    assert run_bytes(whole) == run_bytes(parts)


def test_time_ends_a_call_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"

    def clock() -> float:
        """Return seconds: an iteration takes two minutes."""
        metrics = run / "metrics.jsonl"
        return 120.0 * len(metrics.read_text().splitlines()) if metrics.exists() else 0.0

    monkeypatch.setattr(selfplay_run.time, "monotonic", clock)
    assert command.main([*RUN, "--iterations", "3", "--stop-after", "2", "--out", str(run)]) == 0
    assert "stopped; go on with: python train.py selfplay" in capsys.readouterr().err
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1


def test_presets_are_configurations_that_a_run_can_have() -> None:
    for name, config in PRESETS.items():
        check(Options(preset=name, config=config))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--games", "0"], "--games 0: at least 1"),
        (["--value-weight", "0"], "--value-weight 0.0: above 0"),
        (["--noise", "2", "--considered", "0"], "--noise 2.0: 0 to 1"),
        (["--noise", "0.5"], "--noise 0.5: only with --considered 0"),
        (["--considered", "0", "--noise", "0", "--noise-alpha", "3"], "--noise-alpha 3.0: only with --noise"),
        (["--match-games", "5"], "--match-games 5: an even number"),
        (["--match-games", "6", "--match-period", "0"], "--match-games 6: only with --match-period"),
        (["--network", "resnet-1x8", "--init", "x"], "--network resnet-1x8: --init brings its own"),
        (["--considered", "9", "--visits", "8"], "--considered 9: at most --visits 8"),
        (["--network", "alphago13"], "--network alphago13: it does not judge positions"),
        (["--network", "anaconda"], "--network anaconda: "),
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
