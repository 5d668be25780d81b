"""CPU time of repeated work, and a line about the machine it was taken on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from games.machine import available_processors
from games.refusal import RefusedError

LEAST_SECONDS = 0.2  # CPU time of one repetition of short work, so that the clock's steps and single hiccups drown
VERSIONS = ("numba", "numpy", "torch")  # packages whose versions shape the speed

Document = dict[str, Any]  # what a benchmark found, as it becomes JSON


class BenchError(RefusedError):
    """A benchmark that cannot be run as asked; the message is one line."""


def cpu_seconds(
    work: Callable[[], object],
    repeats: int,
    least: float = LEAST_SECONDS,
    clock: Callable[[], float] = time.process_time,
) -> list[float]:
    """Return the CPU seconds of one call, in all threads of the process, for each of some repetitions.

    A repetition calls `work` until it has taken `least` seconds; another `clock` may tell another time. Precondition:
    its kernels are compiled.
    """
    seconds = []
    for _ in range(repeats):
        calls, elapsed, start = 0, 0.0, clock()
        while calls == 0 or elapsed < least:
            work()
            calls += 1
            elapsed = clock() - start
        seconds.append(elapsed / calls)
    return seconds


def rate_fields(unit: str, amount: float, seconds: Sequence[float]) -> Document:
    """Return the best and the median speed of repetitions that each did an `amount` of work."""
    return {
        f"{unit}_per_second": _rounded(amount / min(seconds)),
        f"{unit}_per_second_median": _rounded(amount / statistics.median(seconds)),
    }


def _rounded(rate: float) -> float:
    return round(rate) if rate >= 100 else round(rate, 2)


def time_fields(name: str, seconds: Sequence[float], scale: float = 1.0) -> Document:
    """Return the best and the median time of repetitions, times a scale (1000 for milliseconds)."""
    return {name: round(min(seconds) * scale, 4), f"{name}_median": round(statistics.median(seconds) * scale, 4)}


def machine() -> Document:
    """Return what a speed depends on beside the code; load is the system's average of the last minute."""
    return {
        "cpu": cpu_model(),
        "cores": available_processors(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: installed_version(name) for name in VERSIONS},
    }


def machine_line(described: Document) -> str:
    """Return the machine as one line of text."""
    load = "" if described["load"] is None else f", load {described['load']}"
    versions = ", ".join(f"{name} {described[name] or 'missing'}" for name in ("python", *VERSIONS))
    return f"{described['cpu']}, {described['cores']} cores{load}; {versions}"


def cpu_model() -> str:
    """Return the processor's name as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def installed_version(package: str) -> str | None:
    """Return a package's version without importing it, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
