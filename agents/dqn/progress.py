"""The live display of a training: a line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import TextColumn

from agents.dqn.config import DqnConfig
from agents.dqn.evaluation import Tell
from agents.dqn.journal import Journal
from agents.dqn.loop import Round
from agents.steps_bar import live_bar

SPEED_SECONDS = 1.0  # between two measurements of the speed shown


class Display:
    """Shows rounds as they are done; a context manager."""

    def __init__(self, console: Console, config: DqnConfig, steps: int) -> None:
        self._console = console
        self._total, self._evaluation_period = config.steps, config.evaluation_period
        self._bar = live_bar(console, TextColumn("{task.fields[count]}"))
        self._task = self._bar.add_task("", total=config.steps, completed=steps, shown="", count=self._count(steps))
        self._started = self._measured = time.perf_counter()
        self._timed_steps = self._measured_steps = steps
        self._timed, self._timed_cpu = self._started, time.process_time()
        self._evaluation_seconds = self._last_evaluation = 0.0
        self._speed = 0.0
        self._loss = self._q = 0.0

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, done: Round, journal: Journal) -> None:
        """Bring the line of a terminal up to date."""
        if done.learnt:
            self._loss, self._q = done.learnt[-1].loss, done.learnt[-1].q
        now = time.perf_counter()
        if now - self._measured < SPEED_SECONDS:
            return
        self._speed = (done.steps - self._measured_steps) / (now - self._measured)
        self._measured, self._measured_steps = now, done.steps
        score = f"{sum(journal.scores) / len(journal.scores):.1f}" if journal.scores else "-"
        shown = f"score {score}  {self._speed:.0f}/s  loss {self._loss:.2g}  eps {journal.epsilon:.2g}  Q {self._q:.2f}"
        self._bar.update(self._task, completed=done.steps, count=self._count(done.steps), shown=shown)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[Tell]:
        """Inside the block the line says how many games are scored, whose time is told apart from training's."""
        self._bar.update(self._task, shown="games that score it ...")
        begun, cpu = time.perf_counter(), time.process_time()
        yield lambda done, total: self._bar.update(self._task, shown=f"{done}/{total} games that score it")
        seconds = time.perf_counter() - begun
        self._timed, self._measured = self._timed + seconds, self._measured + seconds
        self._timed_cpu += time.process_time() - cpu
        self._evaluation_seconds += seconds
        self._last_evaluation = seconds

    def _count(self, steps: int) -> str:
        return f"{short(steps)}/{short(self._total)} steps"

    def timing(self, steps: int) -> dict[str, float]:
        """Return what the training took since the last call, by the clock and of this process's threads, and its speed.

        Seconds of evaluations, by the clock, are told apart, where there were any.
        """
        now, cpu = time.perf_counter(), time.process_time()
        seconds, cpu_seconds, evaluation_seconds = now - self._timed, cpu - self._timed_cpu, self._evaluation_seconds
        speed = (steps - self._timed_steps) / seconds
        self._timed, self._timed_cpu, self._timed_steps, self._evaluation_seconds = now, cpu, steps, 0.0
        evaluated = {"evaluation_seconds": evaluation_seconds} if evaluation_seconds else {}
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, "steps_per_second": speed, **evaluated}

    def print(self, steps: int, metrics: dict[str, Any], speed: float) -> None:
        """Print a line of metrics where there is no terminal, and every evaluation; `speed` is in steps a second."""
        if not self._console.is_terminal or "evaluation" in metrics:
            names = ("score", "evaluation", "confirmation", "loss", "epsilon", "q")
            shown = "  ".join(f"{name} {metrics[name]:.4g}" for name in names if name in metrics)
            minutes = (time.perf_counter() - self._started) / 60
            left = max(0, self._total - steps) / speed
            left += evaluations_left(self._evaluation_period, steps, self._total) * self._last_evaluation
            times = f"{minutes:.1f} minutes, {left / 60:.0f} left at {speed:.0f} steps/s"
            self._console.print(f"{steps:,} steps, {times}: {shown}", highlight=False, soft_wrap=True)


def evaluations_left(period: int, steps: int, total: int) -> int:
    """Return how many evaluations follow those until now: one each `period` and one after the last step."""
    return math.ceil(total / period) - steps // period if period and steps < total else 0


def short(number: int) -> str:
    """Return a number in at most five characters, such as 820, 12k or 3.05M."""
    if number < 1000:
        return str(number)
    return f"{number / 1e3:.0f}k" if number < 999_500 else f"{number / 1e6:.3g}M"
