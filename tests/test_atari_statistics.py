"""Aggregates of scores over games, and the published scores they rest on."""

from __future__ import annotations

import numpy as np
import pytest

from agents.atari.scores import SCORES_2015
from agents.atari.statistics import aggregate, interquartile_mean, mean_score, median, optimality_gap
from games.atari import game_names


def test_the_published_table_holds_49_games_that_can_be_played() -> None:
    assert len(SCORES_2015) == 49
    assert set(SCORES_2015) <= set(game_names())
    assert SCORES_2015["pong"].human_normalised(9.3) == 1
    assert SCORES_2015["pong"].human_normalised(-20.7) == 0
    # Figure 3 of the paper: 2539 % in Video Pinball, 1327 % in Breakout, 132 % in Pong, 2 % in Private Eye.
    for game, percent in (("video_pinball", 2539), ("breakout", 1327), ("pong", 132), ("private_eye", 2)):
        assert int(100 * SCORES_2015[game].human_normalised(SCORES_2015[game].dqn)) in (percent, percent - 1), game


@pytest.mark.parametrize("shape", [(1, 5), (3, 4), (10, 7), (1, 1)])
def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end(shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(0).normal(size=shape)
    flat = sorted(scores.ravel().tolist())
    cut = len(flat) // 4
    assert interquartile_mean(scores) == pytest.approx(np.mean(flat[cut : len(flat) - cut]))


def test_the_other_aggregates_by_hand() -> None:
    scores = np.array([[0.0, 2.0, 0.5], [1.0, 4.0, 0.5]])
    assert median(scores) == 0.5
    assert optimality_gap(scores) == pytest.approx(1 - (0 + 1 + 0.5 + 1 + 1 + 0.5) / 6)


def test_several_runs_are_drawn_and_of_one_run_its_episodes() -> None:
    even = np.zeros((1, 2, 8)) + np.array([1.0, 3.0])[None, :, None]
    assert aggregate(even, seed=0)["mean"] == (2.0, 2.0, 2.0)
    spread = even + np.array([-1.0, 1.0] * 4)
    one_run = aggregate(spread, seed=0)["mean"]
    assert one_run.value == 2.0
    assert one_run.low < 2 < one_run.high
    # With two equal runs, however much their episodes differ, another training would have given the same.
    assert aggregate(np.concatenate([spread, spread]), seed=0)["mean"] == (2.0, 2.0, 2.0)
    runs = np.concatenate([even - 1, even, even + 1])
    several = aggregate(runs, seed=0)["mean"]
    assert several.low < several.value == 2.0 < several.high


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        estimate = mean_score([generator.normal(5, 2, size=40)], seed=trial)
        covered += estimate.low <= 5 <= estimate.high
    assert 180 <= covered <= 198


def test_trainings_that_differ_make_the_interval_wide() -> None:
    games = np.random.default_rng(0).normal(0, 1, size=(3, 30))
    alike = mean_score(list(games), seed=0)
    apart = mean_score(list(games + np.array([[-20.0], [0.0], [20.0]])), seed=0)
    assert alike.value == pytest.approx(apart.value)
    assert alike.high - alike.low < 1.0
    assert apart.high - apart.low > 25.0  # of one training drawn thrice at either end
