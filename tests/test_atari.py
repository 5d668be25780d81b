"""Atari games: names, protocols, frames, and games that go on exactly."""

from __future__ import annotations

import re

import numpy as np
import pytest

from games.atari import AtariError, find_game, find_protocol, game_names
from games.atari_vector import AtariEnvs, Step

N = 3


def play(envs: AtariEnvs, num_steps: int, seed: int) -> list[Step]:
    generator = np.random.default_rng(seed)
    return [envs.step(generator.integers(0, envs.num_actions, envs.num_envs)) for _ in range(num_steps)]


def assert_equal(first: list[Step], second: list[Step]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for name, a, b in zip(Step._fields, one, other, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("name", ["space_invaders", "Space Invaders", "space-invaders", "SpaceInvaders"])
def test_a_game_is_found_however_it_is_written(name: str) -> None:
    assert find_game(name) == "space_invaders"


def test_every_game_of_the_emulator_for_one_player_is_there() -> None:
    assert len(game_names()) >= 100
    assert {"pong", "breakout", "montezuma_revenge", "tetris"} <= set(game_names())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pnog", r"no Atari game 'pnog' among the \d+: did you mean pong"),
        ("pacman2", r"did you mean .*pacman"),
        ("invaders", r"did you mean .*space_invaders"),
        ("combat", r"'combat' needs two players"),
        ("", r"no Atari game ''"),
    ],
)
def test_a_wrong_name_lists_near_misses(name: str, message: str) -> None:
    with pytest.raises(AtariError, match=message) as error:
        find_game(name)
    assert "\n" not in str(error.value)


def test_a_wrong_protocol_lists_what_there_is() -> None:
    with pytest.raises(AtariError, match=re.escape("(did you mean nature?); there are: nature, machado2018")):
        find_protocol("natur")


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
        assert any(step.ended.any() for step in before + expected)
