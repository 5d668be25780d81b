"""What a training tells of itself: means since the last line of metrics, and the scores of the last hundred games."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import Any

from agents.dqn.loop import Round
from games.atari_vector import GameResult

GAMES = 100  # of the mean score


class Journal:
    """Takes in rounds and gives lines of metrics; its state is saved with a checkpoint."""

    def __init__(self) -> None:
        self.scores: deque[float] = deque(maxlen=GAMES)
        self.num_games = 0
        self.num_updates = 0
        self.best_score: float | None = None  # the greatest mean of an evaluation
        self.evaluations_since_best = 0
        self.confirmed_score: float | None = None  # the greatest mean of the further games that a target score asks for
        self.epsilon = 1.0
        self._sums = [0.0, 0.0, 0]  # loss, Q and updates since the last line

    def add(self, done: Round) -> None:
        """Take in what a round did."""
        self.epsilon = done.epsilon
        self.scores.extend(float(result.score) for result in done.results)
        self.num_games += len(done.results)
        self.num_updates += len(done.learnt)
        self._sums[0] += sum(learnt.loss for learnt in done.learnt)
        self._sums[1] += sum(learnt.q for learnt in done.learnt)
        self._sums[2] += len(done.learnt)

    def line(self) -> dict[str, Any]:
        """Return the metrics since the last call; a value that there is none of yet is left out."""
        loss, q, count = self._sums
        self._sums = [0.0, 0.0, 0]
        line: dict[str, Any] = {"epsilon": self.epsilon, "games": self.num_games, "updates": self.num_updates}
        if self.scores:
            line["score"] = statistics.fmean(self.scores)
        if count:
            line |= {"loss": loss / count, "q": q / count}
        return line

    def note_evaluation(self, results: Sequence[GameResult]) -> tuple[dict[str, Any], bool]:
        """Take in an evaluation; return its metrics and whether its mean score is the best so far."""
        score = statistics.fmean(result.score for result in results)
        is_best = self.best_score is None or score > self.best_score
        self.best_score = score if is_best else self.best_score
        self.evaluations_since_best = 0 if is_best else self.evaluations_since_best + 1
        return {"evaluation": score, "evaluation_standard_error": standard_error(results)}, is_best

    def note_confirmation(self, results: Sequence[GameResult]) -> tuple[dict[str, Any], bool]:
        """Take in the further games that a target score asks for; return metrics and whether they are the best."""
        score = statistics.fmean(result.score for result in results)
        is_best = self.confirmed_score is None or score > self.confirmed_score
        self.confirmed_score = score if is_best else self.confirmed_score
        return {"confirmation": score}, is_best

    def get_state(self) -> dict[str, Any]:
        """Return JSON with which `set_state` goes on."""
        names = ("num_games", "num_updates", "best_score", "evaluations_since_best", "confirmed_score", "epsilon")
        return {**{name: getattr(self, name) for name in names}, "scores": list(self.scores), "sums": self._sums}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        state = dict(state)
        self.scores.clear()
        self.scores.extend(state.pop("scores"))
        self._sums = state.pop("sums")
        for name, value in state.items():
            setattr(self, name, value)


def standard_error(results: Sequence[GameResult]) -> float:
    """Return the standard error of the mean score; 0 for one game."""
    if len(results) < 2:
        return 0.0
    return statistics.stdev(result.score for result in results) / math.sqrt(len(results))


def is_due(period: int, before: int, now: int) -> bool:
    """Say whether a multiple of `period` lies after `before` and not after `now`; never for period 0."""
    return bool(period) and now // period > before // period
