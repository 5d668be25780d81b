"""Atari games: names, protocols, and frames like those of other implementations."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from games.atari import (
    PROTOCOLS,
    AtariError,
    AtariGame,
    Protocol,
    action_names,
    find_game,
    find_protocol,
    game_names,
)
from games.atari_env import AtariEnv

PLAIN = Protocol("plain", max_noops=0)

# Of 300 fixed actions under machado2018 from seed 0: SHA-256 of cartridge, actions and raw screens, and of the frames.
GOLDEN = {
    "pong": ("ce3281b74aa8e2b7", "4dc5da69aaaaa277"),
    "breakout": ("c3ee3eddc445b479", "6570cfde3e3bfdba"),
    "space_invaders": ("ded10206ff8b4ff4", "fad41f9f12af02e4"),
    "air_raid": ("b772186878300288", "57bb43989c942589"),  # of 250 lines, for European televisions
}


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


def test_the_protocols_choose_the_actions() -> None:
    assert action_names("breakout", PROTOCOLS["nature"]) == ("NOOP", "FIRE", "RIGHT", "LEFT")
    full = action_names("breakout", PROTOCOLS["machado2018"])
    assert len(full) == 18
    assert full[:6] == ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN")


@pytest.mark.parametrize("name", GOLDEN)
def test_frames_are_pinned(name: str) -> None:
    game = AtariGame(name, PROTOCOLS["machado2018"])
    game.power_on(seed=0)
    actions = [(7 * t * t + 3 * t) // 5 % 18 for t in range(300)]
    path = roms.get_rom_path(name)
    assert path is not None
    inputs, outputs = hashlib.sha256(path.read_bytes()), hashlib.sha256()
    inputs.update(bytes(actions))
    for action in actions:
        outcome = game.step(action)
        inputs.update(game.emulator.getScreen().tobytes())
        outputs.update(game.stack[-1].tobytes())
        if outcome.game_over:
            game.new_game()
    expected_inputs, expected_outputs = GOLDEN[name]
    assert inputs.hexdigest()[:16] == expected_inputs, "the emulator itself plays differently"
    assert outputs.hexdigest()[:16] == expected_outputs


@pytest.mark.parametrize(
    ("name", "sticky"), [("pong", 0.25), ("breakout", 0.0), ("space_invaders", 0.25), ("air_raid", 0.0)]
)
def test_games_are_those_of_the_emulators_own_vector_environment(name: str, sticky: float) -> None:
    """Stacks, rewards, lives and ends, step by step."""
    game = AtariGame(name, replace(PLAIN, sticky_probability=sticky, full_action_set=True))
    game.power_on(seed=5)
    other = AtariVectorEnv(
        name, 1, num_threads=1, noop_max=1, use_fire_reset=False, life_loss_info=True, reward_clipping=False,
        autoreset_mode="SameStep", repeat_action_probability=sticky, full_action_space=True,
        max_num_frames_per_episode=1600,
    )  # fmt: skip
    game.emulator.setInt("max_num_frames_per_episode", 1600)
    generator = np.random.default_rng(1)
    frames = other.reset(seed=np.array([5]))[0]
    game_over = 0
    for _ in range(450):
        np.testing.assert_array_equal(frames[0], game.stack)
        action = int(generator.integers(18))
        frames, rewards, terminated, truncated, _ = other.step(np.array([action]))
        outcome = game.step(action)
        assert rewards[0] == outcome.score
        assert terminated[0] == (outcome.life_lost or outcome.game_over)
        if outcome.game_over or truncated[0]:
            game_over += 1
            game.new_game()
    assert game_over


@pytest.mark.parametrize("name", ["pong", "ms_pacman"])
def test_frames_are_those_of_gymnasium(name: str) -> None:
    pytest.importorskip("cv2", reason="Gymnasium's preprocessing needs OpenCV")
    game = AtariGame(name, PLAIN)
    game.power_on(seed=0)
    identifier = f"ALE/{name.title().replace('_', '')}-v5"
    single = gymnasium.make(identifier, frameskip=1, repeat_action_probability=0.0)
    other = gymnasium.wrappers.AtariPreprocessing(single, noop_max=0)
    frame = other.reset(seed=0)[0]
    generator = np.random.default_rng(2)
    for _ in range(300):
        np.testing.assert_array_equal(frame, game.stack[-1])
        action = int(generator.integers(game.num_actions))
        frame, reward, game_over, _, _ = other.step(action)
        outcome = game.step(action)
        assert (outcome.score, outcome.game_over) == (reward, game_over)
        if game_over:
            frame = other.reset()[0]
            game.new_game()


def test_a_game_begins_with_one_to_thirty_noops_drawn_from_the_seed() -> None:
    def begin(seed: int) -> list[int]:
        game = AtariGame("pong", PROTOCOLS["nature"])
        game.power_on(seed)
        frames = [game.frames]
        for _ in range(40):
            game.new_game()
            frames.append(game.frames)
        return frames

    assert begin(1) == begin(1) != begin(2)
    drawn = begin(3)
    assert min(drawn) == 1
    assert max(drawn) == 30
    assert len(set(drawn)) > 15


def test_a_game_is_cut_off_after_the_protocols_frames() -> None:
    game = AtariGame("pong", replace(PLAIN, max_episode_frames=42))
    game.power_on(seed=0)
    outcomes = [game.step(0) for _ in range(11)]
    assert not any(outcome.truncated for outcome in outcomes[:10])
    assert outcomes[10].truncated
    assert not outcomes[10].game_over
    assert game.frames == 42
    assert PROTOCOLS["nature"].max_episode_frames == 18_000


def test_a_stack_holds_the_last_four_frames_and_begins_black() -> None:
    game = AtariGame("space_invaders", PLAIN)
    game.power_on(seed=0)
    frames = [np.zeros((84, 84), np.uint8)] * 3 + [game.stack[-1].copy()]
    for action in range(6):
        np.testing.assert_array_equal(game.stack, frames[-4:])
        game.step(action)
        frames.append(game.stack[-1].copy())


def test_the_environment_of_one_game_keeps_gymnasiums_contract() -> None:
    env = gymnasium.make("playfield/Atari-v0", game="breakout", protocol="nature", render_mode="rgb_array")
    check_env(env.unwrapped)
    assert env.unwrapped.render().shape == (210, 160, 3)


def test_training_ends_a_life_and_scoring_a_game() -> None:
    lives: dict[bool, list[int]] = {}
    for training in (True, False):
        env = gymnasium.make("playfield/Atari-v0", game="breakout", training=training)
        info = env.reset(seed=3)[1]
        env.action_space.seed(4)
        lives[training] = []
        while info["lives"] or not lives[training]:
            _, reward, terminated, _, info = env.step(env.action_space.sample())
            assert not training or -1 <= reward <= 1
            if terminated:
                lives[training].append(info["lives"])
                if info["lives"]:
                    info = env.reset()[1]
                    assert info["lives"] == lives[training][-1], "a lost life begins no new game"
    assert lives == {True: [4, 3, 2, 1, 0], False: [0]}


def test_reset_begins_a_new_game_but_after_a_lost_life() -> None:
    env = AtariEnv("pong")
    env.reset(seed=0)
    for _ in range(10):
        env.step(np.int64(0))
    assert env.reset()[1]["steps"] == 0


def test_the_environment_refuses_actions_that_do_not_exist_and_steps_before_reset() -> None:
    env = gymnasium.make("playfield/Atari-v0", game="pong").unwrapped
    with pytest.raises(AtariError, match="reset comes before a step"):
        env.step(np.int64(0))
    env.reset(seed=0)
    with pytest.raises(AtariError, match=r"actions of pong go from 0 to 5, not 6"):
        env.step(6)  # type: ignore[arg-type]
    with pytest.raises(AtariError, match="no render mode 'human'"):
        AtariEnv(render_mode="human")
    with pytest.raises(AtariError, match="game 3: a name"):
        AtariEnv(3)  # type: ignore[arg-type]
    with pytest.raises(AtariError, match="protocol None: a name"):
        AtariEnv(protocol=None)  # type: ignore[arg-type]
    with pytest.raises(ResetNeeded, match="reset comes before render"):
        AtariEnv(render_mode="rgb_array").render()
