"""Elo from results: hand-computed values, choix, brute force, and how often intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.ratings import (
    ELO,
    elo_difference,
    expected_score,
    los,
    match_elo,
    paired_match_elo,
    ratings,
    sprt,
    wilson_interval,
)

Matrix = NDArray[np.int64]


def play(generator: np.random.Generator, elo: NDArray[np.float64], games: int, drawn: float) -> tuple[Matrix, Matrix]:
    """Return wins and draws of a round robin; `drawn` is the share of draws between equals."""
    number = len(elo)
    wins, draws = np.zeros((2, number, number), np.int64)
    for i in range(number):
        for j in range(i + 1, number):
            score = expected_score(elo[i] - elo[j])
            draw = drawn * 2 * min(score, 1 - score)
            won, even, lost = generator.multinomial(games, [score - draw / 2, draw, 1 - score - draw / 2])
            wins[i, j], wins[j, i], draws[i, j], draws[j, i] = won, lost, even, even
    return wins, draws


def test_elo_scale() -> None:
    assert expected_score(400) == pytest.approx(10 / 11)
    assert elo_difference(0.75) == pytest.approx(190.848, abs=1e-3)
    assert elo_difference(0.0) == -math.inf and elo_difference(1.0) == math.inf
    assert all(elo_difference(expected_score(elo)) == pytest.approx(elo) for elo in (-700.0, 0.0, 12.5))


# Ratings


def test_two_players_by_hand() -> None:
    result = ratings([[0, 50], [30, 0]], [[0, 20], [20, 0]])
    assert result.elo == pytest.approx([elo_difference(0.6) / 2, -elo_difference(0.6) / 2])
    # A game's variance is 0.6 * 0.4 - 0.2 / 4 (the draws a little shrunk), the information 100 * 0.6 * 0.4.
    deviation = math.sqrt(100 * (0.24 - 0.25 * 20 / (100 + 1.959964**2))) / 24 * ELO / 2
    assert result.high - result.elo == pytest.approx(1.959964 * deviation)
    assert result.elo - result.low == pytest.approx(1.959964 * deviation)


def test_circle_of_wins_is_even() -> None:
    circle = [[0, 3, 0], [0, 0, 3], [3, 0, 0]]
    assert ratings(circle, np.zeros((3, 3))).elo == pytest.approx([0, 0, 0], abs=1e-6)


def test_agrees_with_choix() -> None:
    choix = pytest.importorskip("choix")
    generator = np.random.default_rng(1)
    for number in (2, 3, 6):
        wins, draws = play(generator, generator.normal(0, 150, number), 40, 0.4)
        data = [(i, j) for i in range(number) for j in range(number) for _ in range(2 * wins[i, j] + draws[i, j])]
        strengths = choix.opt_pairwise(number, data, tol=1e-10)
        assert ratings(wins, draws).elo == pytest.approx(ELO * (strengths - strengths.mean()), abs=1e-3)


def test_order_of_players_does_not_matter() -> None:
    generator = np.random.default_rng(2)
    wins, draws = play(generator, np.array([300.0, 0.0, -50.0, -900.0]), 10, 0.3)
    order = np.array([2, 0, 3, 1])
    result, other = ratings(wins, draws), ratings(wins[np.ix_(order, order)], draws[np.ix_(order, order)])
    assert other.elo == pytest.approx(result.elo[order], abs=1e-5)
    assert other.high == pytest.approx(result.high[order], abs=1e-5)


def test_perfect_score_counts_one_game_more_drawn() -> None:
    result = ratings([[0, 100], [0, 0]], np.zeros((2, 2)))
    assert result.elo[0] - result.elo[1] == pytest.approx(elo_difference(100.5 / 101), abs=1e-4)
    assert result.low[0] > 0 and result.high[0] < 2000


def test_rating_after_perfect_scores_is_the_peak_of_likelihood_times_jeffreys_prior() -> None:
    wins = np.array([[0, 9, 7, 4], [0, 0, 5, 6], [0, 3, 0, 8], [0, 0, 0, 0]])
    draws = np.zeros((4, 4))
    draws[1, 2] = draws[2, 1] = 2

    def objective(strengths: NDArray[np.float64]) -> float:
        value, information = 0.0, np.zeros((4, 4))
        for i in range(4):
            for j in range(4):
                expected = 1 / (1 + math.exp(strengths[j] - strengths[i]))
                value += (wins[i, j] + draws[i, j] / 2) * math.log(expected)
                games = wins[i, j] + wins[j, i] + draws[i, j]
                if i < j:
                    direction = np.eye(4)[i] - np.eye(4)[j]
                    information += games * expected * (1 - expected) * np.outer(direction, direction)
        return value + math.log(np.linalg.det(information[1:, 1:])) / 2

    peak = ratings(wins, draws).elo / ELO
    generator = np.random.default_rng(5)
    assert all(objective(peak) > objective(peak + generator.normal(0, 0.01, 4)) for _ in range(100))
    assert objective(peak) > objective(peak * 0.99) and objective(peak) > objective(peak * 1.01)


def test_groups_that_never_met_are_rated_apart() -> None:
    wins = np.zeros((5, 5))
    wins[0, 3] = wins[1, 2] = 3
    wins[3, 0] = wins[2, 1] = 1
    result = ratings(wins, np.zeros((5, 5)))
    half = elo_difference(0.75) / 2
    assert result.elo == pytest.approx([half, half, -half, -half, 0])
    assert np.isfinite(result.low[:4]).all() and result.low[4] == -math.inf and result.high[4] == math.inf


def test_hopeless_player_does_not_blur_the_others() -> None:
    wins = np.array([[0, 60, 100], [40, 0, 100], [0, 0, 0]])
    alone = ratings(wins[:2, :2], np.zeros((2, 2)))
    among = ratings(wins, np.zeros((3, 3)))
    assert among.elo[0] - among.elo[1] == pytest.approx(alone.elo[0] - alone.elo[1], abs=1)
    assert among.high[0] - among.low[0] < 1.2 * (alone.high[0] - alone.low[0])


def test_draws_against_all_expectation_are_not_taken_for_certainty() -> None:
    # By their games against 2, player 0 should beat 1 nearly always, yet the two drew a hundred times.
    wins = np.array([[0, 0, 990], [0, 0, 10], [10, 990, 0]])
    draws = np.array([[0, 100, 0], [100, 0, 0], [0, 0, 0]])
    surprising, without = ratings(wins, draws), ratings(wins, np.zeros((3, 3)))
    expected = expected_score(surprising.elo[0] - surprising.elo[1])
    assert expected > 0.99
    assert surprising.high[0] - surprising.low[0] > (without.high[0] - without.low[0]) / 2


def test_fit_ends_on_whatever_it_is_given() -> None:
    generator = np.random.default_rng(6)
    for _ in range(200):
        elo = generator.normal(0, generator.choice([10, 300, 2000]), int(generator.integers(2, 7)))
        result = ratings(*play(generator, elo, int(generator.choice([1, 2, 30, 10**6])), generator.random()))
        assert np.isfinite(result.elo).all() and (result.low < result.elo).all() and (result.elo < result.high).all()
        assert abs(result.elo.mean()) < 1e-3


@pytest.mark.parametrize("drawn", [0.0, 0.7])
def test_rating_intervals_hold_the_truth(drawn: float) -> None:
    generator = np.random.default_rng(7)
    elo = np.array([40.0, 10.0, -10.0, -40.0])
    held = 0
    for _ in range(400):
        result = ratings(*play(generator, elo, 40, drawn))
        held += int(((result.low <= elo) & (elo <= result.high)).sum())
    assert 0.93 < held / 1600 < 0.975


# Matches


def test_match_without_draws_has_wilsons_interval() -> None:
    # 60 of 100: (0.6 + c/2 +- sqrt(c (0.24 + c/4))) / (1 + c) with c = 1.959964^2 / 100, which is 0.50200 to 0.69060.
    elo, low, high = match_elo(60, 0, 40)
    assert elo == pytest.approx(70.44, abs=0.01)
    assert expected_score(low) == pytest.approx(0.50200, abs=1e-5)
    assert expected_score(high) == pytest.approx(0.69060, abs=1e-5)


def test_wilsons_interval_has_a_width_at_its_ends() -> None:
    # Of n results all alike: from n / (n + 1.959964^2) to 1.
    assert wilson_interval(1.0, 4) == pytest.approx((4 / 7.84146, 1.0), abs=1e-5)
    assert wilson_interval(0.0, 4) == pytest.approx((0.0, 3.84146 / 7.84146), abs=1e-5)


def test_match_at_the_edges() -> None:
    assert match_elo(0, 0, 0) == (0.0, -math.inf, math.inf)
    elo, low, high = match_elo(10, 0, 0)
    assert elo == pytest.approx(elo_difference(10.5 / 11)) and 0 < low < elo and high == math.inf
    assert match_elo(0, 0, 10) == pytest.approx((-elo, -math.inf, -low))
    assert paired_match_elo([0, 0, 0, 0, 5])[0] == pytest.approx(elo), "one more game, not one more pair"
    elo, low, high = match_elo(0, 100, 0)
    assert elo == pytest.approx(0, abs=1e-9) and -20 < low < -5 and 5 < high < 20


def test_draws_and_pairs_narrow_the_interval() -> None:
    def width(interval: tuple[float, float, float]) -> float:
        return interval[2] - interval[1]

    assert width(match_elo(15, 70, 15)) < 0.6 * width(match_elo(50, 0, 50))
    # Most pairs are even, won by the same side of the board twice.
    assert paired_match_elo([0, 2, 40, 8, 0])[0] == pytest.approx(elo_difference(0.53))
    assert width(paired_match_elo([0, 2, 40, 8, 0])) < 0.5 * width(match_elo(50, 6, 44))
    # Independent games: pairs tell as much as games.
    assert width(paired_match_elo([100, 0, 200, 0, 100])) == pytest.approx(width(match_elo(400, 0, 400)), rel=0.02)


@pytest.mark.parametrize("games", [20, 200])
@pytest.mark.parametrize("elo", [0.0, 100.0])
@pytest.mark.parametrize("drawn", [0.0, 0.4, 0.8])
def test_match_intervals_hold_the_truth(games: int, elo: float, drawn: float) -> None:
    score = expected_score(elo)
    draw = drawn * 2 * min(score, 1 - score)
    outcomes = np.random.default_rng(8).multinomial(games, [score - draw / 2, draw, 1 - score - draw / 2], 2000)
    intervals = [match_elo(*outcome) for outcome in outcomes.tolist()]
    assert sum(low <= elo <= high for _, low, high in intervals) > 0.93 * 2000
    assert sum(low > elo for _, low, _ in intervals) < 0.04 * 2000


def test_paired_intervals_hold_the_truth_where_openings_favour_a_side() -> None:
    generator = np.random.default_rng(9)
    openings = generator.normal(0, 300, (1000, 50))  # Elo that an opening is worth to its first mover
    first = generator.random(openings.shape) < 1 / (1 + np.exp(-(30 + openings) / ELO))
    second = generator.random(openings.shape) < 1 / (1 + np.exp(-(30 - openings) / ELO))
    points = first.astype(int) + second
    truth = elo_difference(float(np.mean(1 / (1 + np.exp(-(30 + openings) / ELO)))))
    intervals = [paired_match_elo(np.bincount(2 * row, minlength=5).tolist()) for row in points]
    assert 0.93 < sum(low <= truth <= high for _, low, high in intervals) / 1000 < 0.985


# Superiority and sequential tests


def test_likelihood_of_superiority_by_hand() -> None:
    assert los(0, 0) == pytest.approx(0.5)
    assert los(3, 0) == pytest.approx(15 / 16)
    assert los(2, 1) == pytest.approx(11 / 16)
    assert los(1, 2) == pytest.approx(5 / 16)
    for wins, losses in ((60, 40), (7, 0), (900, 1000)):
        p = np.linspace(0, 1, 200_001)[1:-1]
        logs = wins * np.log(p) + losses * np.log(1 - p)
        density = np.exp(logs - logs.max())
        assert los(wins, losses) == pytest.approx(density[p > 0.5].sum() / density.sum(), abs=1e-4)
    assert los(10_000, 9_800) == pytest.approx(0.9224, abs=1e-3) and los(100_000, 0) == 1.0


def test_sequential_test_without_draws_is_walds() -> None:
    low, high = expected_score(0), expected_score(50)
    expected = 120 * math.log(high / low) + 100 * math.log((1 - high) / (1 - low))
    result = sprt([100, 0, 120], 0, 50)
    assert result.llr == pytest.approx(expected, abs=1e-3)
    assert (result.lower, result.upper) == pytest.approx((math.log(0.05 / 0.95), math.log(0.95 / 0.05)))


def test_sequential_test_by_the_normal_approximation() -> None:
    counts = np.array([200, 700, 250])
    scores = np.array([0, 0.5, 1])
    mean = scores @ counts / counts.sum()
    variance = (scores - mean) ** 2 @ counts / counts.sum()
    low, high = expected_score(0), expected_score(10)
    approximation = counts.sum() * (high - low) * (2 * mean - low - high) / (2 * variance)
    assert sprt(counts.tolist(), 0, 10).llr == pytest.approx(approximation, rel=0.02)
    assert sprt(counts.tolist(), 0, 10).llr == pytest.approx(sprt(counts[::-1].tolist(), 0, -10).llr)


def test_sequential_test_decides() -> None:
    assert sprt([0, 0, 0], 0, 10).accepted is None
    assert sprt([100, 300, 100], 0, 50).accepted == 0
    assert sprt([100, 300, 200], 0, 50).accepted == 1
    assert sprt([0, 0, 50], 0, 50).accepted == 1
    assert sprt([2, 20, 100, 60, 10], 0, 30).accepted == 1


def test_sequential_test_is_rarely_wrong() -> None:
    generator = np.random.default_rng(10)
    wrong = 0
    for truth in (0, 1):
        score = expected_score(80 * truth)
        for _ in range(100):
            counts = np.zeros(3, np.int64)
            accepted = None
            while accepted is None:
                counts += generator.multinomial(20, [1 - score - 0.15, 0.3, score - 0.15])
                accepted = sprt(counts.tolist(), 0, 80).accepted
            wrong += accepted != truth
    assert wrong <= 16  # 10 are expected of 200 at the bounds of 5 %
