"""What this machine lets a program use: processors and memory; and the version of ours that it has."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from importlib import metadata
from pathlib import Path

PROC, CONTROL_GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # options of glibc's mallopt


@cache
def own_version() -> str:
    """Return the version of Playfield that is installed."""
    try:
        return metadata.version("playfield")
    except metadata.PackageNotFoundError:
        return "from a source tree"


def available_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int | None:
    """Return the bytes that a process can still get without swapping, None where the system does not say."""
    free = [] if (available := _read_number(PROC / "meminfo", "MemAvailable:")) is None else [1024 * available]
    for group in _control_groups():
        most, used = _read_number(group / "memory.max"), _read_number(group / "memory.current")
        if most is not None and used is not None:
            free.append(max(0, most - used + (_read_number(group / "memory.stat", "inactive_file") or 0)))
    return min(free, default=None)


def keep_freed_memory() -> None:
    """Let this process use freed memory again, where the C library is glibc, rather than give it back each time.

    New pages are cleared, and the arrays of a training step are some thousands of pages.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, 32 << 20)  # the most that it takes; larger arrays are given back
        mallopt(TRIM_THRESHOLD, 1 << 30)


def _control_groups() -> list[Path]:
    """Return the folders of this process's control group, which may limit its memory, and of those it lies in."""
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    names = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    folders = [CONTROL_GROUPS / name for name in names]
    return [group for folder in folders for group in (folder, *folder.parents) if group.is_relative_to(CONTROL_GROUPS)]


def _read_number(path: Path, name: str = "") -> int | None:
    """Return the number that a file consists of, or that of its line of this name; None where there is none."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return next(int(line.removeprefix(name).split()[0]) for line in lines if line.startswith(name))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
