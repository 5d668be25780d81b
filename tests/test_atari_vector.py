"""Many Atari games in step: how they end, how they are saved, and that processes change nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from games import atari
from games.atari import PROTOCOLS, AtariError, for_evaluation
from games.atari_vector import STAY, AtariEnvs, GamesLostError, Step

N = 3


def play(envs: AtariEnvs, num_steps: int, seed: int) -> list[Step]:
    generator = np.random.default_rng(seed)
    return [envs.step(generator.integers(0, envs.num_actions, envs.num_envs)) for _ in range(num_steps)]


def assert_equal(first: list[Step], second: list[Step]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for name, a, b in zip(Step._fields, one, other, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize(("game", "protocol"), [("breakout", "nature"), ("pong", "machado2018")])
def test_saved_games_go_on_bit_for_bit_in_any_number_of_processes(game: str, protocol: str) -> None:
    envs = AtariEnvs(game, N, protocol)
    envs.reset(seed=1)
    before = play(envs, 150, seed=2)
    state = envs.get_state()
    expected = play(envs, 150, seed=3)

    fresh = AtariEnvs(game, N, protocol, num_processes=2)
    fresh.set_state(state)
    np.testing.assert_array_equal(fresh.frames, before[-1].frames)
    assert_equal(play(fresh, 150, seed=3), expected)
    fresh.reset(seed=1)
    assert_equal(play(fresh, 150, seed=2), before)
    fresh.close()
    if game == "breakout":
        assert any(step.ended.any() for step in expected), "what follows a saved state goes through a new game"


@pytest.mark.parametrize("num_processes", [0, 2])
def test_a_game_that_stays_waits_for_the_others(num_processes: int) -> None:
    envs, all_play = AtariEnvs("pong", N, num_processes=num_processes), AtariEnvs("pong", N)
    for each in (envs, all_play):
        each.reset(seed=5)
    before = envs.frames
    waited, moved = envs.step([2, STAY, 3]), all_play.step([2, 0, 3])
    assert np.array_equal(waited.frames[1], before[1]) and waited.rewards[1] == 0 and not waited.ended[1]
    assert np.array_equal(waited.frames[[0, 2]], moved.frames[[0, 2]])
    envs.step([STAY, 0, STAY])
    assert np.array_equal(envs.frames, all_play.frames), "all have played the same"
    envs.close()


@pytest.mark.parametrize("num_processes", [0, 2])
def test_groups_step_apart_and_play_the_same_games(num_processes: int) -> None:
    envs, together = AtariEnvs("breakout", 5, num_processes=num_processes, num_groups=2), AtariEnvs("breakout", 5)
    assert np.array_equal(envs.reset(seed=5), together.reset(seed=5))
    first, second = envs.groups
    rng = np.random.default_rng(0)
    for _ in range(120):
        actions = rng.integers(envs.num_actions, size=5)
        expected = together.step(actions)
        envs.send(actions[first], 0)
        envs.send(actions[second], 1)
        for places, step in zip(envs.groups, (envs.recv(0), envs.recv(1)), strict=True):
            for name in ("frames", "rewards", "terminated", "ended"):
                assert np.array_equal(getattr(step, name), getattr(expected, name)[places])
            assert step.results == tuple(
                result for result in expected.results if places.start <= result.place < places.stop
            )
    envs.send(actions[first], 0)
    with pytest.raises(AtariError, match="group by group in the order sent"):
        envs.recv(1)
    with pytest.raises(AtariError, match="recv ends a step before the next"):
        envs.send(actions[first], 0)
    envs.recv(0)
    envs.close()


@pytest.mark.parametrize("game", ["qbert", "breakout", "skiing"])
def test_a_game_goes_on_exactly_from_any_step(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the emulator's own saved states do not, as in Q*bert, and across a renewal of the console."""
    monkeypatch.setattr(atari, "RENEWAL_STEPS", 60)
    envs, fresh = AtariEnvs(game, 1, "machado2018"), AtariEnvs(game, 1, "machado2018")
    envs.reset(seed=4)
    for cut in range(3):
        play(envs, 70 + 31 * cut, seed=cut)
        fresh.set_state(envs.get_state())
        assert_equal(play(envs, 25, seed=9), play(fresh, 25, seed=9))


def test_a_games_course_depends_on_its_place_and_the_seed_alone() -> None:
    many, few = AtariEnvs("pong", 2, "machado2018"), AtariEnvs("pong", 1, "machado2018")
    many.reset(seed=5)
    few.reset(seed=5)
    for step in range(40):
        frames = many.step([step % 18, 3]).frames
        np.testing.assert_array_equal(frames[0], few.step([step % 18]).frames[0])
    few.reset(seed=2**32)  # in two words, of which the first is 0
    many.reset(seed=0)
    assert any((few.step([step % 18]).frames[0] != many.step([0, step % 18]).frames[1]).any() for step in range(40))
    many.reset(seed=5)
    few.reset(seed=6)
    assert any((few.step([step % 18]).frames[0] != many.step([0, 3]).frames[0]).any() for step in range(40))


def test_lives_end_returns_and_games_end_episodes() -> None:
    envs = AtariEnvs("breakout", 1, "nature")
    envs.reset(seed=2)
    steps = play(envs, 400, seed=1)
    lost = [index for index, step in enumerate(steps) if step.terminated[0]]
    ended = [index for index, step in enumerate(steps) if step.ended[0]]
    assert ended
    assert set(ended) <= set(lost)
    assert lost.index(ended[0]) == 4, "the fifth ball that is lost ends the game"
    end = steps[ended[0]]
    assert (end.frames[0, :3] == 0).all()
    (result,) = end.results
    assert result.place == 0
    assert result.steps == ended[0] + 1
    assert 4 * (result.steps - 1) < result.frames <= 4 * result.steps + 30
    assert result.score == sum(step.rewards[0] for step in steps[: ended[0] + 1]), (
        "breakout's first rows count one each"
    )

    scored = AtariEnvs("breakout", 1, for_evaluation(PROTOCOLS["nature"]))
    scored.reset(seed=2)
    for step, other in zip(steps, play(scored, 400, seed=1), strict=True):
        np.testing.assert_array_equal(step.frames, other.frames)
        np.testing.assert_array_equal(step.ended, other.terminated)


def test_rewards_are_clipped_and_scores_are_not() -> None:
    envs = AtariEnvs("space_invaders", 1, replace(PROTOCOLS["nature"], max_episode_frames=2000))
    envs.reset(seed=0)
    steps = play(envs, 500, seed=0)
    assert {float(step.rewards[0]) for step in steps} == {0.0, 1.0}
    results = [result for step in steps for result in step.results]
    assert max(result.score for result in results) > 30
    assert all(step.truncated[0] or step.terminated[0] for step in steps if step.ended[0])


@pytest.mark.parametrize(
    ("num_envs", "num_processes"),
    [(0, 0), (2, 3), (2, -1)],
)
def test_impossible_numbers_are_refused(num_envs: int, num_processes: int) -> None:
    with pytest.raises(AtariError, match="there must be 1 game or more a process"):
        AtariEnvs("pong", num_envs, num_processes=num_processes)
    with pytest.raises(AtariError, match="there must be 1 game or more a group"):
        AtariEnvs("pong", 2, num_groups=3)


def test_the_doors_say_what_they_take() -> None:
    envs = AtariEnvs("pong", 2)
    with pytest.raises(AtariError, match="reset comes before the first step"):
        envs.step([0, 0])
    with pytest.raises(AtariError, match="saved after reset and between steps only"):
        envs.get_state()
    envs.reset(seed=0)
    with pytest.raises(AtariError, match=r"actions of pong go from 0 to 5, not \[0, 6\]"):
        envs.step([0, 6])
    with pytest.raises(AtariError, match=r"2 actions are needed, not int64 \[1\]"):
        envs.step([0])
    with pytest.raises(AtariError, match="send begins a step"):
        envs.recv()
    with pytest.raises(AtariError, match=r"the saved games have frames \[2, 4, 84, 84\], these have \[1, 4, 84, 84\]"):
        AtariEnvs("pong", 1).set_state(envs.get_state())


def test_a_process_that_dies_is_reported() -> None:
    envs = AtariEnvs("pong", 1, num_processes=1)
    envs.reset(seed=0)
    process = envs._workers[0][0]
    process.kill()
    process.join()
    with pytest.raises(GamesLostError, match="the process of some games ended"):
        envs.step([0])
    envs.close()


def test_signals_to_all_processes_are_left_to_the_one_that_saves() -> None:
    envs = AtariEnvs("pong", 1, num_processes=1)
    envs.reset(seed=0)
    process = envs._workers[0][0]
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process.pid, number)
        envs.step([0])
    envs.close()
    assert process.exitcode == 0


def test_games_that_nobody_closes_end_with_their_program() -> None:
    """Whatever the program has registered for its end before."""
    program = """
import weakref

keep = set()
weakref.finalize(keep, print, "the end")
from games.atari_vector import AtariEnvs

envs = AtariEnvs("pong", 1, num_processes=1)
envs.reset(seed=0)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the end\n", "")
