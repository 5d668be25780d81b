"""`tournament.py atari`: scores that only the seed and the player decide, and what the command refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tournament
from agents.atari import evaluation as atari_evaluation
from agents.atari.evaluation import Task, play, play_tasks, split
from agents.atari.player import find_models, make_player, read_model
from agents.atari.tournament import Options, conditions, prepare
from games.atari import PROTOCOLS, VERSION, AtariError, find_protocol
from nets.models import save_model
from nets.presets import preset

Save = Callable[..., Path]

ROOT = Path(__file__).resolve().parent.parent
SHORT = replace(PROTOCOLS["nature"], max_episode_frames=400)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that saves a network with random weights and gives its file."""

    def write(game: str = "pong", actions: int = 6, protocol: str = "nature", seed: int = 0, where: str = "m") -> Path:
        torch.manual_seed(seed)
        spec = preset("dqn-2013", num_actions=actions)
        path = tmp_path / where / game / "model.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_model(path, spec.build(), spec, game=game, rules_version=VERSION, training={"protocol": protocol})
        return path

    return write


def run(arguments: Sequence[str | Path], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = tournament.main(["atari", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_model_says_what_it_plays(save: Save) -> None:
    model = read_model(save())
    assert (model.game, model.protocol, model.full_action_set) == ("pong", "nature", False)
    full = read_model(save("breakout", 18, "machado2018"))
    assert full.full_action_set
    player = make_player("", "breakout", full, find_protocol("nature"))
    assert len(player.action_names) == 18
    assert not player.protocol.clip_rewards
    assert not player.protocol.terminal_on_life_loss


def test_a_folder_of_folders_is_one_player_of_several_games(save: Save) -> None:
    folder = save().parent.parent
    save("breakout", 4)
    assert [model.game for model in find_models(str(folder), print)] == ["breakout", "pong"]


def test_models_of_other_games_in_a_folder_are_left_out(save: Save) -> None:
    folder, told = save().parent.parent, list[str]()
    spec = preset("resnet-1x4", (3, 9, 9))
    for name in ("chess", "go"):
        (folder / name).mkdir()
        save_model(folder / name / "model.safetensors", spec.build(), spec, game=name, rules_version=1, training={})
    assert [model.game for model in find_models(str(folder), told.append)] == ["pong"]
    assert told == [f"{folder}: left out, since they play no Atari game: chess, go"]
    shutil.rmtree(folder / "pong")
    with pytest.raises(AtariError, match="of its 2 models none plays an Atari game"):
        find_models(str(folder), told.append)


def test_trainings_under_another_protocol_are_no_trainings_of_the_same_method(
    save: Save, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save().parent.parent
    shutil.move(save(protocol="machado2018", actions=18, where="other").parent, folder / "sticky")
    for protocol, kept, left_out in (("nature", "pong", "sticky"), ("machado2018", "sticky", "pong")):
        plan = prepare(Options((str(folder),), protocol=protocol))
        assert [model.path.parent.name for model in plan.models[0, "pong"] if model] == [kept]
        assert f"left out, since they learnt under another protocol: {left_out}" in capsys.readouterr().err


def test_networks_that_play_with_other_actions_are_told(save: Save) -> None:
    for game, actions, protocol, is_told in (
        ("pong", 6, "nature", False),
        ("pong", 6, "machado2018", True),
        ("road_runner", 18, "nature", False),  # the least that it has are all 18
        ("road_runner", 18, "machado2018", False),
    ):
        plan = prepare(Options((str(save(game, actions)),), protocol=protocol))
        assert ("networks keep the actions that they learnt with" in conditions(plan)) == is_told


def test_a_run_without_a_model_is_left_out_and_named(save: Save) -> None:
    folder, told = save().parent.parent, list[str]()
    (folder / "begun" / "checkpoints").mkdir(parents=True)
    assert [model.game for model in find_models(str(folder), told.append)] == ["pong"]
    assert told == [f"{folder / 'begun'}: left out, a run that has saved no model yet"]


def test_a_run_is_one_player_its_best_network(save: Save) -> None:
    file = save()
    best = file.with_name("best.safetensors")
    best.write_bytes(file.read_bytes())
    assert [model.path for model in find_models(str(file.parent), print)] == [best]
    assert [model.path.name for model in find_models(str(file.parent.parent), print)] == ["best.safetensors"]


def test_chance_and_epsilon_draw_and_otherwise_the_best_is_taken(save: Save) -> None:
    player = make_player("", "pong", read_model(save()), PROTOCOLS["nature"])
    values = np.array([[0.0, 2.0, 1.0]], np.float32).repeat(1000, 0)
    generators = [np.random.default_rng(number) for number in range(1000)]
    assert player.choose(values, 0.0, generators) == [1] * 1000
    share = np.mean(np.array(player.choose(values, 0.3, generators)) == 1)
    assert 0.75 < share < 0.85
    chance = make_player("random", "pong", None, PROTOCOLS["nature"])
    counts = np.bincount(chance.choose(values, 0.0, generators))
    assert counts.min() > 270


def test_a_game_depends_on_seed_and_number_alone(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atari_evaluation, "GAMES_TOGETHER", 2)
    model = read_model(save("breakout", 4))
    player = make_player("", "breakout", model, SHORT)
    results = play(player, 0.05, 7, range(2)) + play(player, 0.05, 7, range(2, 3))
    tasks = split(Task(model, "breakout", SHORT, 0.05, 7, range(3)))
    assert [task.numbers for task in tasks] == [range(2), range(2, 3)]
    found = [result for _, part in sorted(play_tasks(tasks, 2)) for result in part]
    assert found == results
    assert [result.place for result in results] == [0, 1, 2]
    assert play(player, 0.05, 8, range(2)) != results[:2]


@pytest.fixture
def short_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROTOCOLS, "nature", SHORT)  # type: ignore[misc]  # a dict, which nobody else changes


@pytest.mark.usefixtures("short_games")
def test_the_document_says_how_each_player_did(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save("breakout", 4).parent.parent
    save("freeway", 3)
    arguments = [
        folder,
        "random",
        "--games",
        "breakout",
        "freeway",
        "--episodes",
        2,
        "--json",
        "--seed",
        3,
        "--workers",
        1,
    ]
    status, out, _ = run(arguments, capsys)
    document = json.loads(out)
    assert status == 0
    assert (document["protocol"], document["epsilon"], document["episodes"]) == ("nature", 0.05, 2)
    rows = {(row["player"], row["game"]): row for row in document["scores"]}
    assert set(rows) == {(who, game) for who in (str(folder), "random") for game in ("breakout", "freeway")}
    row = rows["random", "breakout"]
    (scores,) = row["episode_scores"]
    assert row["mean"] == np.mean(scores)
    assert row["low"] <= row["mean"] <= row["high"]
    assert row["human_normalised"] == pytest.approx((row["mean"] - 1.7) / (31.8 - 1.7))
    assert document["published_2015"]["breakout"]["dqn"] == 401.2
    shares = [rows["random", game]["human_normalised"] for game in ("breakout", "freeway")]
    assert document["aggregates"]["random"]["mean"]["value"] == pytest.approx(np.mean(shares))


@pytest.mark.usefixtures("short_games")
def test_the_table_puts_players_beside_the_published_scores(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run([save("breakout", 4), "--episodes", 2, "--epsilon", 1, "--workers", 1], capsys)
    assert status == 0
    assert "epsilon 1, 2 games each" in out
    assert re.search(r"2015: DQN +401\.2 +std 26\.9 +1327\.2%", out)
    assert re.search(r"/breakout +\d+\.\d +\d+\.\d to \d+\.\d", out)
    _, out, _ = run([save("breakout", 4), "--episodes", 1, "--workers", 1], capsys)
    assert re.search(r"/breakout +\d+\.\d +-?\d+\.\d%", out), "one game has no interval"


def test_without_players_the_published_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run([], capsys)
    assert status == 0
    assert len(out.strip().splitlines()) == 51
    assert re.search(r"zaxxon +32\.5 +9,173 +4,977 ±1,235 +54\.1%", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["random"], "--games says which"),
        (["nowhere", "--games", "pong"], "player 'nowhere': neither random nor a model file"),
        (["random", "--games", "pnog"], "did you mean pong"),
        (["random", "--games", "pong", "--episodes", "0"], "--episodes 0 is less than 1"),
        (["random", "--games", "pong", "--seed", "-1"], "--seed -1 is less than 0"),
        (["random", "--games", "pong", "--workers", "-1"], "--workers -1 is less than 0"),
        (["random", "--games", "pong", "--epsilon", "2"], "epsilon 2 is not from 0 to 1"),
        (["random", "--games", "pong", "--epsilon", "nan"], "epsilon nan is not from 0 to 1"),
        (["random", "--games", "pong", "--protocol", "2015"], "no protocol '2015'"),
        (["models/checkers-anaconda", "--games", "pong"], "its header says checkers"),
        (["--games", "pong"], "name at least one player"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(arguments, capsys)
    assert status == 2
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.fixture
def heard_ctrl_c() -> Iterator[None]:
    """Let programs that a test starts hear Ctrl-C, which they would not where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells when the games have begun")
@pytest.mark.usefixtures("heard_ctrl_c")
def test_ctrl_c_ends_a_tournament_at_once() -> None:
    command = [sys.executable, "tournament.py", "atari", "random", "--games", "pong", "--episodes", "1000"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children.read_text().split()) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)  # all of the games take many minutes
    assert process.returncode == 130
    assert "tournament.py: stopped" in err.strip().splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which processes there are")
def test_a_killed_tournament_leaves_no_workers_behind() -> None:
    command = [sys.executable, "tournament.py", "atari", "random", "--games", "pong", "--episodes", "1000"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def workers() -> list[str]:
        commands = {number: Path(f"/proc/{number}/cmdline").read_bytes() for number in children.read_text().split()}
        return [number for number, words in commands.items() if b"spawn_main" in words]

    while not workers():
        assert process.poll() is None
        time.sleep(0.1)
    left = workers()
    time.sleep(3)  # until they watch
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{number}").exists() for number in left):
        assert time.monotonic() < deadline, "workers outlive their tournament"
        time.sleep(0.1)


def test_models_that_do_not_fit_are_refused(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = run([save(), save("pong", 18, "machado2018", where="other")], capsys)
    assert "learnt under machado2018 and nature: --protocol says which" in err
    _, _, err = run([save(), "--games", "breakout"], capsys)
    assert "plays pong, none of --games" in err
    with pytest.raises(AtariError, match="chooses among 7 actions, but pong has 6, or 18 in full"):
        read_model(save(actions=7))
