"""The Gymnasium and PettingZoo environments of board games."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from games import ENVIRONMENTS
from games.board_env import BoardEnv
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.go import game as go_game
from games.rules import RESIGN, GameError, game_of, observe, returns, to_play
from games.vector_env import BoardVectorEnv
from tests.tic_tac_toe import TIC_TAC_TOE

ROOT = Path(__file__).resolve().parent.parent
GAMES = [CHECKERS, CONNECT_FOUR, go_game(3, 2, komi=1.5), TIC_TAC_TOE]
each_game = pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
SETTINGS = [{}, {"opponent": "random"}, {"opponent": "random", "side": "random", "max_plies": 7}]
each_setting = pytest.mark.parametrize("settings", SETTINGS, ids=["self-play", "opponent", "opponent-any-side-cut"])


def random_legal(generator, info):
    return int(generator.choice(np.flatnonzero(info["action_mask"])))


def checkers_position(black, white, mover=0):
    """Return a record with men on these squares, 1-32."""
    state = CHECKERS.new(1)[0]
    state.black, state.white = (sum(1 << square - 1 for square in squares) for squares in (black, white))
    state.to_play = mover
    return state


# Black's man on 1 must jump twice, over 6 to 10 and over 15 to 19; then White is to move.
DOUBLE_JUMP = checkers_position(black=[1, 5], white=[6, 15, 32])
FIRST_JUMP, SECOND_JUMP = 1 * 32 + 0, 1 * 32 + 9


def refuse(state):
    raise AssertionError("the opponent was asked")


# --- Gymnasium's own demands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment_id", [*ENVIRONMENTS, "playfield/Go-v0"])
@each_setting
def test_passes_check_env_without_a_warning(environment_id, settings):
    env = gymnasium.make(environment_id, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)  # hashes wrap; seen with the JIT off
        check_env(env.unwrapped)


def test_a_fresh_process_makes_environments_by_name_alone():
    code = (
        "import sys, games; assert not {'numba', 'torch'} & set(sys.modules), 'import games is not light';"
        "import gymnasium; env = gymnasium.make('games:playfield/Checkers-v0', opponent='random');"
        "env.reset(seed=0); env.close(); assert not {'torch', 'pettingzoo'} & set(sys.modules);"
        "print(gymnasium.make_vec('playfield/ConnectFour-v0', num_envs=3))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "BoardVectorEnv(playfield/ConnectFour-v0, num_envs=3)\n"


# --- one game -------------------------------------------------------------------------------------------------------


@each_game
def test_self_play_follows_the_rules(game):
    """Masks, observations, movers and rewards are those of the game's own functions, to the end of the game."""
    env = BoardEnv(game)
    generator = np.random.default_rng(1)
    rewards_seen = set()
    for _ in range(8):
        observation, info = env.reset()
        terminated = False
        while not terminated:
            state = env.state
            planes = np.empty(game.planes_shape, np.float32)
            observe(state, planes)
            assert observation in env.observation_space and np.array_equal(observation, planes)
            assert info["to_play"] == to_play(state)
            assert np.flatnonzero(info["action_mask"]).tolist() == game.legal_actions(state)
            mover = info["to_play"]
            observation, reward, terminated, truncated, info = env.step(random_legal(generator, info))
            assert not truncated and (terminated or reward == 0)
        assert game.legal_actions(env.state) == [] and not info["action_mask"].any()
        assert reward == (returns(env.state) if mover == 0 else -returns(env.state))
        rewards_seen.add(reward)
    assert rewards_seen & {1.0, -1.0}, "no game was decided: the test saw nothing"


@each_game
@pytest.mark.parametrize("side", [0, 1])
def test_against_an_opponent_the_learner_is_always_to_move(game, side):
    env = BoardEnv(game, opponent="random", side=side)
    generator = np.random.default_rng(2)
    outcomes = set()
    for episode in range(12):
        _, info = env.reset(seed=episode)
        done = False
        while not done:
            assert info["to_play"] == info["side"] == side
            _, reward, done, _, info = env.step(random_legal(generator, info))
        assert reward == (returns(env.state) if side == 0 else -returns(env.state))
        outcomes.add(reward)
    assert {1.0, -1.0} <= outcomes


def test_the_learners_multi_jump_is_several_steps():
    asked = []

    def opponent(state):
        asked.append(state)
        return CHECKERS.legal_actions(state)[0]

    env = BoardEnv(CHECKERS, opponent=opponent)
    _, info = env.reset(options={"state": DOUBLE_JUMP})
    assert np.flatnonzero(info["action_mask"]).tolist() == [FIRST_JUMP]
    _, _, _, _, info = env.step(FIRST_JUMP)
    assert info["to_play"] == 0 and not asked
    assert np.flatnonzero(info["action_mask"]).tolist() == [SECOND_JUMP]
    env.step(SECOND_JUMP)
    assert len(asked) == 1 and to_play(asked[0]) == 1
    asked[0].white = 0  # the opponent has a copy
    assert env.state.white != 0


def test_the_opponents_multi_jump_is_within_one_step():
    asked = []

    class Player:
        games = 0

        def act(self, states):
            assert states.shape == (1,) and game_of(states) is CHECKERS
            asked.append(states[0])

            class Choice:
                action = CHECKERS.legal_actions(states[0])[0]

            return [Choice]

        def new_game(self):
            self.games += 1

    player = Player()
    env = BoardEnv(CHECKERS, opponent=player, side=1)
    _, info = env.reset(options={"state": DOUBLE_JUMP})
    assert len(asked) == 2 and info["to_play"] == 1 and player.games == 1
    assert int(env.state.white) == 1 << 31, "both men on the way are off the board"


def test_the_number_of_turns_limits_a_game():
    env = BoardEnv(CHECKERS, max_plies=2)
    env.reset(options={"state": DOUBLE_JUMP})
    assert env.step(FIRST_JUMP)[3] is False
    _, _, terminated, truncated, info = env.step(SECOND_JUMP)  # ends the first turn
    assert not terminated and not truncated
    _, reward, terminated, truncated, info = env.step(np.flatnonzero(info["action_mask"])[0])
    assert truncated and not terminated and reward == 0 and info["action_mask"].any()
    with pytest.raises(GameError, match="reset"):
        env.step(0)


def test_the_rules_own_move_limit_truncates():
    start = go_game(9).new(1)[0]
    start.move_limit = 3
    env = BoardEnv("go-9x9")
    vector = BoardVectorEnv("go-9x9", 2)
    vector.reset(seed=0)
    vector._settings.start["move_limit"] = vector._batch.states["move_limit"] = 3
    env.reset(options={"state": start})
    for action in (40, 41):
        assert env.step(action)[2:4] == (False, False)
        vector.step(np.full(2, action))
    _, reward, terminated, truncated, info = env.step(42)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert not info["action_mask"].any()
    with pytest.raises(GameError, match="reset"):
        env.step(43)
    _, rewards, terminations, truncations, infos = vector.step(np.array([42, 81]))
    assert (rewards.tolist(), terminations.tolist(), truncations.tolist()) == ([0, 0], [False] * 2, [True] * 2)
    assert infos["_final_obs"].all()
    env.reset(options={"state": start})
    env.step(81)
    _, reward, terminated, truncated, _ = env.step(81)  # White is ahead by the komi
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_go_of_any_size():
    env = gymnasium.make("playfield/Go-v0", size=9, komi=6.5, rules="tromp-taylor")
    env.reset(seed=0)
    state = env.unwrapped.state
    assert (state.rows, state.columns, state.komi2, state.suicide) == (9, 9, 13, 1)
    assert env.observation_space.shape == go_game(9).planes_shape and env.action_space.n == 82
    assert gymnasium.make("playfield/Go-v0").action_space.n == 362
    vector = gymnasium.make_vec("playfield/Go-v0", num_envs=3, size=(3, 5), komi=0, opponent="random")
    observations, info = vector.reset(seed=0)
    assert observations.shape == (3, *go_game(3, 5).planes_shape) and info["action_mask"].shape == (3, 16)
    for size, message in (("9", "size '9': a number of lines, or"), ((9, 9, 9), "size"), (20, "a Go board of 20x20")):
        with pytest.raises(GameError, match=message):
            gymnasium.make("playfield/Go-v0", size=size)


def test_a_game_that_ends_at_the_limit_is_terminated():
    env = BoardEnv(CONNECT_FOUR, max_plies=7)
    env.reset()
    for column in (0, 1, 0, 1, 0, 1):
        env.step(column)
    _, reward, terminated, truncated, _ = env.step(0)
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_an_illegal_action_loses_or_raises():
    env = BoardEnv(CONNECT_FOUR)
    env.reset()
    for _ in range(6):
        env.step(3)
    _, reward, terminated, truncated, info = env.step(3)
    assert (reward, terminated, truncated) == (-1.0, True, False)
    assert info["illegal"] == "action 3 is not legal here; legal: 0, 1, 2, 4, 5, 6"
    assert int(env.state.discs) == 6 and not info["action_mask"].any()
    strict = BoardEnv(CONNECT_FOUR, illegal="raise")
    strict.reset()
    for _ in range(6):
        strict.step(3)
    with pytest.raises(GameError, match="action 3 is not legal here; legal: 0, 1, 2, 4, 5, 6"):
        strict.step(3)
    strict.step(4)  # and the game goes on


@pytest.mark.parametrize("action", [-1, 7, 2.0, "3", None])
def test_what_is_no_action_raises(action):
    env = BoardEnv(CONNECT_FOUR)
    env.reset()
    with pytest.raises(GameError, match=r"is no action of connect_four; allowed: 0 to 6"):
        env.step(action)


def test_an_opponent_who_resigns_has_lost():
    env = BoardEnv(CONNECT_FOUR, opponent=lambda state: RESIGN)
    env.reset()
    _, reward, terminated, truncated, info = env.step(3)
    assert (reward, terminated, truncated, info["resigned"]) == (1.0, True, False, True)
    assert not info["action_mask"].any()
    with pytest.raises(GameError, match="reset"):
        env.step(3)
    _, info = env.reset()
    assert "resigned" not in info


def test_an_opponents_illegal_action_raises():
    env = BoardEnv(CONNECT_FOUR, opponent=lambda state: 7)
    env.reset()
    with pytest.raises(GameError, match="the opponent's action 7 is not legal"):
        env.step(0)
    with pytest.raises(GameError, match="reset"):
        env.step(0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"game": "chess"}, "no game 'chess'; there are: checkers, connect_four"),
        ({"side": 2}, "side 2: allowed are"),
        ({"max_plies": -1}, "max_plies -1"),
        ({"illegal": "ignore"}, "illegal 'ignore': allowed are"),
        ({"rules": "house"}, "checkers has no rule set 'house'; there are: wcdf"),
        ({"render_mode": "human"}, "render_mode 'human': allowed for checkers are ansi and rgb_array"),
        ({"game": TIC_TAC_TOE, "render_mode": "rgb_array"}, "allowed for tic_tac_toe are ansi$"),
        ({"opponent": "alphabeta"}, "opponent 'alphabeta': "),
    ],
)
@pytest.mark.parametrize("environment", [BoardEnv, BoardVectorEnv])
def test_bad_settings_are_refused_in_one_line(environment, settings, message):
    with pytest.raises(GameError, match=message) as error:
        environment(**{"game": "checkers"} | settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fen": "W"}, "reset options fen: allowed is state"),
        ({"state": CONNECT_FOUR.new(1)[0]}, "not one record of checkers"),
        ({"state": CHECKERS.new(2)}, "not one record of checkers"),
        ({"state": checkers_position([1], [], mover=1)}, "the game is over"),
    ],
)
def test_bad_starts_are_refused(options, message):
    with pytest.raises(GameError, match=message):
        BoardEnv(CHECKERS).reset(options=options)


def test_an_opponent_who_wins_at_once_leaves_no_game():
    with pytest.raises(GameError, match="the opponent's first turn ended the game"):
        BoardEnv(CHECKERS, opponent="random", side=1).reset(options={"state": checkers_position([1], [6])})


def play_through(env, seed, steps):
    generator = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    trace = [observation]
    for _ in range(steps):
        observation, _, terminated, _, info = env.step(random_legal(generator, info))
        if terminated:
            observation, info = env.reset()
        trace.append(observation)
    return np.stack(trace)


@each_game
def test_a_seed_decides_everything(game):
    make = lambda: BoardEnv(game, opponent="random", side="random")  # noqa: E731
    first = play_through(make(), 5, 60)
    assert np.array_equal(first, play_through(make(), 5, 60))
    assert not np.array_equal(first, play_through(make(), 6, 60))


def test_without_a_seed_games_differ():
    env = BoardEnv(CHECKERS, opponent="random", side=1)
    assert len({env.reset()[0].tobytes() for _ in range(20)}) > 3  # Black opens in 7 ways


# --- many games -----------------------------------------------------------------------------------------------------


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif one.dtype == object:
        for left, right in zip(one, other, strict=True):
            assert left is right is None or np.array_equal(left, right)
    else:
        np.testing.assert_array_equal(one, other)


@each_game
@each_setting
def test_a_vector_of_games_equals_single_games(game, settings):
    """Observations, rewards, endings and infos are those of Gymnasium's own vector of single environments."""
    num_envs = 6
    singles = SyncVectorEnv(
        [lambda: BoardEnv(game, **settings) for _ in range(num_envs)], autoreset_mode=AutoresetMode.SAME_STEP
    )
    vector = BoardVectorEnv(game, num_envs, **settings)
    generator = np.random.default_rng(3)
    results, expected = vector.reset(seed=11), singles.reset(seed=11)
    num_endings = 0
    for _ in range(160):
        for result, single in zip(results, expected, strict=True):
            assert_same(result, single)
        mask = results[-1]["action_mask"]
        actions = (generator.random(mask.shape) * mask).argmax(1)
        if generator.random() < 0.05:
            actions[generator.integers(num_envs)] = generator.integers(game.num_actions)  # mostly illegal
        results, expected = vector.step(actions), singles.step(actions)
        num_endings += int(results[2].sum() + results[3].sum())
    assert num_endings > 5


def test_a_vector_keeps_no_hold_of_what_it_returned():
    vector = BoardVectorEnv(CONNECT_FOUR, 4)
    first, info = vector.reset(seed=0)
    kept, kept_mask = first.copy(), info["action_mask"].copy()
    for _ in range(12):
        vector.step(np.zeros(4, np.int64))
    assert np.array_equal(first, kept) and np.array_equal(info["action_mask"], kept_mask)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 1, 7], r"game 2: 7 is no action of connect_four; allowed: 0 to 6"),
        ([0, -1, 0], "game 1: -1 is no action"),
        ([0, 0], r"actions int64 \[2\]: must be integers \[3\]"),
        ([0.0, 0.0, 0.0], r"actions float64 \[3\]: must be integers"),
    ],
)
def test_a_vector_refuses_what_are_no_actions(actions, message):
    vector = BoardVectorEnv(CONNECT_FOUR, 3)
    with pytest.raises(GameError, match="reset"):
        vector.step(np.zeros(3, np.int64))
    vector.reset()
    with pytest.raises(GameError, match=message):
        vector.step(np.array(actions))


def test_a_strict_vector_names_the_illegal_action_and_plays_none():
    vector = BoardVectorEnv(CHECKERS, 3, illegal="raise")
    _, info = vector.reset(seed=0)
    actions = info["action_mask"].argmax(1)
    actions[1] = 127
    before = vector.states
    with pytest.raises(GameError, match="game 1: action 127 is not legal here; legal: 8, 9, 10, 11, 40, 41, 42"):
        vector.step(actions)
    assert np.array_equal(before, vector.states)


def test_a_vector_is_made_by_its_name():
    vector = gymnasium.make_vec(
        "playfield/Checkers-v0",
        num_envs=2,
        vectorization_mode="vector_entry_point",
        render_mode="ansi",
        rules="endless",
    )
    assert isinstance(vector, BoardVectorEnv) and vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    vector.reset(seed=0)
    assert vector.states["quiet_limit"].tolist() == [0, 0]
    assert [board.splitlines()[-1] for board in vector.render()] == ["Black to move"] * 2


# --- PettingZoo -----------------------------------------------------------------------------------------------------


@each_game
@pytest.mark.parametrize("form", ["env", "BoardAECEnv"])
def test_passes_pettingzoos_own_tests(game, form, capsys):
    pytest.importorskip("pettingzoo")
    from pettingzoo.test import api_test, seed_test

    from games import aec

    def make():
        return getattr(aec, form)(game)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Observation numpy array is all zeros")  # an empty board is
        warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)  # hashes wrap; seen with the JIT off
        api_test(make(), num_cycles=300)
        seed_test(make, num_cycles=200)
    assert "Passed API test" in capsys.readouterr().out


def test_agents_rewards_and_turns():
    pytest.importorskip("pettingzoo")
    from games.aec import BoardAECEnv

    env = BoardAECEnv(CHECKERS)
    env.reset(options={"state": DOUBLE_JUMP})
    movers = []
    generator = np.random.default_rng(0)
    totals = {"player_0": 0.0, "player_1": 0.0}
    for agent in env.agent_iter():
        _, reward, terminated, _, info = env.last()
        totals[agent] += reward
        movers.append(agent)
        env.step(None if terminated else random_legal(generator, info))
    assert movers[:3] == ["player_0", "player_0", "player_1"], "a multi-jump is one player's"
    assert sorted(totals.values()) == [-1.0, 1.0] and env.agents == []


@pytest.mark.parametrize(
    ("game", "settings", "name", "komi"),
    [("go", {"size": 9, "komi": 6.5}, "go-9x9", 6.5), ("go", {"size": (3, 5)}, "go-3x5", 7.5),
     ("go-5x5", {"komi": 0}, "go-5x5", 0.0)],
)  # fmt: skip
def test_go_has_a_size_and_a_komi(game, settings, name, komi):
    pytest.importorskip("pettingzoo")
    from games.aec import env as make

    env = make(game, **settings)
    env.reset()
    assert env.unwrapped.metadata["name"] == f"{name}_v0"
    assert env.unwrapped._game.state.komi2 == 2 * komi


def test_no_other_game_has_a_size_or_a_komi():
    pytest.importorskip("pettingzoo")
    from games.aec import env as make

    with pytest.raises(GameError, match="size 9, komi None: they belong to go, not to connect_four"):
        make("connect_four", size=9)


def test_an_illegal_action_loses_in_the_guarded_form():
    pytest.importorskip("pettingzoo")
    from games.aec import env as make

    env = make(CONNECT_FOUR)
    env.reset()
    for _ in range(6):
        env.step(2)
    assert env.agent_selection == "player_0"
    env.step(2)
    assert env.rewards == {"player_0": -1.0, "player_1": 0} and all(env.terminations.values())
