"""Playing strength from results: Elo, 95 % intervals, likelihood of superiority, sequential tests; pure functions.

On the Elo scale the expected score of a player who is `d` points stronger is 1 / (1 + 10 ** (-d / 400)) (Elo, The
Rating of Chessplayers, 1978); a draw counts half. N is the number of players, n a number of games.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ELO = 400 / math.log(10)  # Elo points in one unit of log odds
Z = 1.959964  # standard deviations either side of the mean that hold 95 % of a normal distribution

Floats = NDArray[np.float64]
Interval = tuple[float, float, float]  # estimate, lower and upper end of the 95 % interval, in Elo


@dataclass(frozen=True)
class Ratings:
    """Elo ratings with mean 0 and their 95 % intervals, float64 [N] each."""

    elo: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class SequentialTest:
    """Where a sequential test stands."""

    llr: float  # log likelihood ratio of the second hypothesis to the first
    lower: float  # at or below it the first hypothesis is accepted
    upper: float  # at or above it the second is

    @property
    def accepted(self) -> int | None:
        """Return 0 or 1, the hypothesis accepted, or None where more games are needed."""
        return 0 if self.llr <= self.lower else 1 if self.llr >= self.upper else None


def expected_score(elo: float) -> float:
    """Return the expected score of a player who is `elo` points stronger."""
    return 1 / (1 + math.exp(-elo / ELO))


def elo_difference(score: float) -> float:
    """Return how many points stronger a player with this expected score is; infinite for 0 and 1."""
    if not 0 < score < 1:
        return math.inf if score >= 1 else -math.inf
    return ELO * math.log(score / (1 - score))


def ratings(wins: ArrayLike, draws: ArrayLike) -> Ratings:
    """Return the maximum likelihood ratings of N players under the model of Bradley & Terry (Biometrika 39, 1952).

    `wins[i, j]` counts the games that i won against j, the symmetric `draws[i, j]` those drawn between them. Where the
    likelihood has no maximum (somebody won or lost everything: Ford, American Mathematical Monthly 64(8), 1957) it is
    multiplied by Jeffreys' prior, which keeps every rating finite and for two players is one more game, drawn (Firth,
    Biometrika 80, 1993). Players whom no chain of games connects are rated apart, each group with mean 0; one without
    a game has 0, give or take infinity.

    An interval is that of the difference to the group's mean, in which players count by how much is known of them: one
    who lost every game, and whose rating is anybody's guess, does not blur the others.
    """
    wins, draws = np.asarray(wins, np.float64), np.asarray(draws, np.float64)
    assert wins.ndim == 2 and wins.shape == draws.shape == wins.T.shape, "two square matrices"
    assert np.array_equal(draws, draws.T) and min(wins.min(), draws.min()) >= 0 and not np.trace(wins + draws)
    elo, deviation = np.zeros(len(wins)), np.full(len(wins), np.inf)
    connected = _reachable(wins + wins.T + draws > 0)
    for group in np.unique(connected, axis=0):
        if group.sum() > 1:
            members = np.ix_(group, group)
            strengths, deviations = _fit(wins[members], draws[members])
            elo[group], deviation[group] = ELO * strengths, ELO * deviations
    return Ratings(elo, elo - Z * deviation, elo + Z * deviation)


def match_elo(wins: int, draws: int, losses: int) -> Interval:
    """Return how much stronger the first player of a match is, from games taken one by one; see `paired_match_elo`."""
    return _match_elo([losses, draws, wins])


def paired_match_elo(pairs: Sequence[int]) -> Interval:
    """Return how much stronger the first player is, from pairs of games on one opening with colours swapped.

    `pairs[k]` counts the pairs in which it scored k / 2 points, k = 0 ... 4. Taking pairs as the unit allows for the
    two games of a pair having the opening in common: where one side always wins it, the pair is even.

    The interval holds the scores p0 from which the observed score lies at most 1.96 standard deviations away, as in
    `wilson_interval`, which it is when nothing is drawn. A perfect score has a finite estimate (one more game, drawn)
    and an interval without an end on its side.
    """
    assert len(pairs) == 5
    return _match_elo(pairs)


def wilson_interval(rate: float, n: int, calm: float = 0.0) -> tuple[float, float]:
    """Return the 95 % interval of Wilson (J. American Statistical Association 22, 1927) for a rate of n results.

    `calm` is by how much a result's variance lies below that of a win or a loss.
    """
    # (rate - p0)^2 = z^2 (p0 (1 - p0) - calm) / n, solved for p0.
    c = Z**2 / n
    middle = (rate + c / 2) / (1 + c)
    half = math.sqrt(max(middle**2 - (rate**2 + c * calm) / (1 + c), 0.0))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def los(wins: int, losses: int) -> float:
    """Return the likelihood of superiority: the probability, after these games, that a decisive game is rather won.

    With a uniform prior it is the integral of the Beta(wins + 1, losses + 1) density over (1/2, 1), here as the
    binomial sum that it equals. Draws say nothing of who is stronger.
    """
    n = wins + losses + 1
    fewer = min(wins, losses)  # sum the smaller tail: P(X <= fewer) for X ~ Binomial(n, 1/2)
    k = np.arange(1, fewer + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - k + 1) / k))]) - n * math.log(2)
    tail = float(np.exp(logs).sum())
    return tail if wins <= losses else 1 - tail


def sprt(counts: Sequence[int], elo0: float, elo1: float, alpha: float = 0.05, beta: float = 0.05) -> SequentialTest:
    """Test, after any number of games, that a player is elo1 rather than elo0 points stronger.

    `counts` are losses, draws, wins, or the five of `paired_match_elo`; `alpha` and `beta` bound the probabilities of
    accepting elo1 and elo0 wrongly (Wald, Annals of Mathematical Statistics 16, 1945). What else the probabilities of
    the outcomes may be is unknown, so either hypothesis gets those that explain the counts best, given its expected
    score: the generalised test of Li, Liu & Ying (Sequential Analysis 33, 2014), with empirical likelihoods.
    """
    assert len(counts) in (3, 5)
    # An outcome not yet seen is not impossible; without this the other hypothesis may have likelihood 0.
    observed = np.maximum(np.asarray(counts, np.float64), 1e-3)
    scores = np.linspace(0, 1, len(counts))
    likeliest = [_tilted(observed / observed.sum(), scores, expected_score(elo)) for elo in (elo0, elo1)]
    llr = float(observed @ np.log(likeliest[1] / likeliest[0]))
    return SequentialTest(llr, lower=math.log(beta / (1 - alpha)), upper=math.log((1 - beta) / alpha))


def interval_name(low: float, high: float) -> str:
    """Return an interval of Elo points as text; an end that is not known is open."""
    if math.isinf(low) and math.isinf(high):
        return "unknown"
    if math.isinf(low):
        return f"below {high:+.0f}"
    if math.isinf(high):
        return f"above {low:+.0f}"
    return f"{low:+.0f} to {high:+.0f}"


def _match_elo(counts: Sequence[int]) -> Interval:
    """Return the Elo difference and its interval from counts of equally spaced scores, from 0 to 1."""
    n = sum(counts)
    assert min(counts) >= 0
    if n == 0:
        return 0.0, -math.inf, math.inf
    scores = np.linspace(0, 1, len(counts))
    score = float(scores @ counts) / n
    variance = float((scores - score) ** 2 @ counts) / n
    # Under an expected score p0 a result has the variance p0 (1 - p0) - calm: draws calm it. Shrinking that by
    # n / (n + z^2) allows for decisive results not seen yet, and keeps a match of draws alone from being certain.
    calm = (score * (1 - score) - variance) * n / (n + Z**2)
    lowest, highest = wilson_interval(score, n, calm)
    games = n * (len(counts) - 1) / 2
    estimate = score if 0 < score < 1 else (score * games + 0.5) / (games + 1)
    low = elo_difference(lowest) if score > 0 else -math.inf
    high = elo_difference(highest) if score < 1 else math.inf
    return elo_difference(estimate), low, high


def _fit(wins: Floats, draws: Floats) -> tuple[Floats, Floats]:
    """Return log strengths with mean 0 [N], and their deviations [N], of players connected by games."""
    points = wins + draws / 2
    games = points + points.T
    has_maximum = bool(_reachable(points > 0).all())
    strengths = np.zeros(len(wins))
    objective, information, covariance, step = _likelihood(strengths, points, games, has_maximum)
    # Newton's method on a smooth function with one peak; a step that goes too far is halved.
    while np.abs(step).max() > 1e-8:
        step = step / max(1.0, float(np.abs(step).max()))
        while _likelihood(strengths + step, points, games, has_maximum)[0] < objective - 1e-12 * abs(objective):
            step = step / 2
        strengths = strengths + step
        objective, information, covariance, step = _likelihood(strengths, points, games, has_maximum)

    # Fisher's information takes every game as won or lost. Draws make scores vary less, by a quarter of their share;
    # what the games varied around the model's expectation is the least to reckon with. The information on either side
    # of the variance that results is Huber's (Proc. 5th Berkeley Symposium, 1967).
    expected = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    fair = expected * (1 - expected)
    total = np.maximum(games, 1)
    shrunk = fair - draws / (4 * (total + Z**2))
    observed = fair - draws / (4 * total) + (points / total - expected) * (1 - 2 * expected)
    covariance = covariance @ _laplacian(games * np.maximum(shrunk, observed)) @ covariance
    to_mean = np.eye(len(wins)) - np.diag(information) / np.trace(information)
    return strengths, np.sqrt(np.diag(to_mean @ covariance @ to_mean.T))


def _likelihood(
    strengths: Floats, points: Floats, games: Floats, has_maximum: bool
) -> tuple[float, Floats, Floats, Floats]:
    """Return the logarithm to be maximised, Fisher's information [N, N], its inverse, and Newton's step [N]."""
    ones = np.full_like(points, 1 / len(strengths))  # holds the mean at 0: the likelihood knows differences only
    margin = strengths[:, None] - strengths[None, :]
    expected = 1 / (1 + np.exp(-margin))
    fair = expected * (1 - expected)
    information = _laplacian(games * fair)
    covariance = np.linalg.inv(information + ones) - ones
    objective = -float((points * np.logaddexp(0, -margin)).sum())
    if has_maximum:
        gradient = (points - games * expected).sum(axis=1)
        return objective, information, covariance, covariance @ gradient
    # Jeffreys' prior, the root of the information's determinant, acts as draws in proportion to each pair's leverage,
    # N - 1 in all (Firth 1993).
    objective += float(np.linalg.slogdet(information + ones)[1]) / 2
    variances = np.diag(covariance)
    leverage = games * fair * (variances[:, None] + variances[None, :] - 2 * covariance)
    gradient = (points + leverage / 2 - (games + leverage) * expected).sum(axis=1)
    step = np.linalg.solve(_laplacian((games + leverage) * fair) + ones, gradient)
    return objective, information, covariance, step


def _laplacian(weights: Floats) -> Floats:
    """Return diag(sum of weights) - weights: the sum over pairs of weight times (e_i - e_j)(e_i - e_j)'."""
    without_diagonal = weights - np.diag(np.diag(weights))
    return np.diag(without_diagonal.sum(axis=1)) - without_diagonal


def _reachable(steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether j can be reached from i [N, N], given whether it can in one step."""
    paths = steps | np.eye(len(steps), dtype=bool)
    for _ in range(len(steps).bit_length()):
        paths = paths @ paths
    return paths


def _tilted(frequencies: Floats, scores: Floats, mean: float) -> Floats:
    """Return the probabilities with this mean score under which the frequencies are likeliest.

    They are frequency / (1 + t (score - mean)) with the t that makes them sum to 1 (Owen, Biometrika 75, 1988), found
    by bisection among the t that leave every probability positive.
    """
    away = scores - mean
    low, high = -1 / away.max(), -1 / away.min()
    for _ in range(60):
        t = (low + high) / 2
        if (frequencies * away / (1 + t * away)).sum() > 0:
            low = t
        else:
            high = t
    probabilities: Any = frequencies / (1 + t * away)
    return probabilities / probabilities.sum()  # type: ignore[no-any-return]
