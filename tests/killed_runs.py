"""Learners in forked children that kill themselves at a moment, as a power cut would."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

Moment = tuple[Any, str, int, str]  # an owner, the name of its function, the number of the call, "before" or "after" it

_fork = multiprocessing.get_context("fork")


def in_child(main: Callable[[list[str]], int], arguments: list[str], moment: Moment | None = None) -> int | None:
    """Return the exit status of a forked child that trains."""
    child = _fork.Process(target=_run_and_die, args=(main, arguments, moment))
    child.start()
    child.join()
    return child.exitcode


def _run_and_die(main: Callable[[list[str]], int], arguments: list[str], moment: Moment | None) -> None:
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    if moment is not None:
        owner, name, number, when = moment
        real, calls = getattr(owner, name), 0

        def striking(*positional: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*positional, **named)
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, striking)
    sys.exit(main(arguments))
