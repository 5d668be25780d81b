"""Scores over several games in one number, with intervals: Agarwal et al. 2021, *Deep RL at the edge of the precipice*.

R runs (trainings), G games, E episodes of each run in each game; scores are human-normalised, 0 random and 1 human.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
TAILS = (2.5, 97.5)  # percentiles: the ends of a 95 % interval
RESAMPLES_AT_ONCE = 100

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number and the ends of its 95 % interval; None where a single score tells no spread."""

    value: float
    low: float | None
    high: float | None


def interquartile_mean(scores: Floats) -> Floats:
    """Return the mean of the middle half of all R x G scores, [..., R, G] -> [...] (section 4.3).

    As where a quarter of the scores is no whole number elsewhere: so many are left out at each end as fit in a quarter.
    """
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    means: Floats = flat[..., cut : flat.shape[-1] - cut].mean(-1)
    return means


def mean(scores: Floats) -> Floats:
    """Return the mean, [..., R, G] -> [...]."""
    means: Floats = scores.mean((-2, -1))
    return means


def median(scores: Floats) -> Floats:
    """Return the median over games of the means over runs, [..., R, G] -> [...]."""
    medians: Floats = np.median(scores.mean(-2), axis=-1)
    return medians


def optimality_gap(scores: Floats) -> Floats:
    """Return how far scores fall short of the human's, on average, [..., R, G] -> [...]; less is better."""
    gaps: Floats = 1 - np.minimum(scores, 1).mean((-2, -1))
    return gaps


AGGREGATES: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {"iqm": interquartile_mean, "median": median, "mean": mean, "optimality_gap": optimality_gap}
)


def aggregate(episodes: Floats, seed: int) -> dict[str, Estimate]:
    """Return each aggregate of episodes [R, G, E] with its interval by stratified bootstrap (section 4.1).

    Runs are drawn anew within each game; where there is one run only, its episodes are, and the interval then says
    nothing about other trainings.
    """
    generator = np.random.default_rng(seed)
    means = episodes.mean(-1)
    resampled = _resampled_runs if len(episodes) > 1 else _resampled_episodes
    parts = []
    for _ in range(0, NUM_RESAMPLES, RESAMPLES_AT_ONCE):
        scores = resampled(episodes, generator)
        parts.append([function(scores) for function in AGGREGATES.values()])
    estimates = {}
    for index, (name, function) in enumerate(AGGREGATES.items()):
        ends = np.percentile(np.concatenate([part[index] for part in parts]), TAILS).tolist()
        low, high = ends if episodes.shape[0] > 1 or episodes.shape[2] > 1 else (None, None)
        estimates[name] = Estimate(float(function(means)), low, high)
    return estimates


def _resampled_runs(episodes: Floats, generator: np.random.Generator) -> Floats:
    """Return scores [RESAMPLES_AT_ONCE, R, G]."""
    num_runs, num_games, _ = episodes.shape
    picks = generator.integers(num_runs, size=(RESAMPLES_AT_ONCE, num_runs, num_games))
    scores: Floats = episodes.mean(-1)[picks, np.arange(num_games)]
    return scores


def _resampled_episodes(episodes: Floats, generator: np.random.Generator) -> Floats:
    """Return scores [RESAMPLES_AT_ONCE, 1, G]."""
    _, num_games, num_episodes = episodes.shape
    picks = generator.integers(num_episodes, size=(RESAMPLES_AT_ONCE, num_games, num_episodes))
    scores: Floats = episodes[0][np.arange(num_games)[:, None], picks].mean(-1)[:, None]
    return scores


def mean_score(runs: Sequence[Floats], seed: int) -> Estimate:
    """Return the mean over trainings of the mean scores of their games, with its interval by bootstrap.

    `runs` has the scores of each training's games. Where there are several, trainings are drawn anew, and games within
    each; of one alone its games are, and the interval then says nothing about other trainings.
    """
    generator = np.random.default_rng(seed)
    shape = (NUM_RESAMPLES, len(runs))
    picks = generator.integers(len(runs), size=shape) if len(runs) > 1 else np.zeros(shape, np.int64)
    means = np.empty(picks.shape)
    for index, scores in enumerate(runs):
        rows = picks == index
        means[rows] = scores[generator.integers(len(scores), size=(int(rows.sum()), len(scores)))].mean(-1)
    low, high = np.percentile(means.mean(-1), TAILS).tolist() if sum(map(len, runs)) > 1 else (None, None)
    return Estimate(float(np.mean([scores.mean() for scores in runs])), low, high)
