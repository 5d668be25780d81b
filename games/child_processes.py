"""What processes inherit that play games for this one, and when they end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextlib.contextmanager
def child_settings() -> Iterator[None]:
    """Let processes started here inherit one thread each, and leave Ctrl-C to the parent.

    A Ctrl-C that comes meanwhile interrupts at the block's end.
    """
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        with _without_ctrl_c():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_with(lifeline: Connection, close: Callable[[], None] = lambda: None) -> None:
    """Let this worker process end, in the middle of its work too, when the parent lets go of the lifeline or has died.

    `close` is called first, in a thread of its own.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "only worker processes have a parent to watch"
    sentinel = parent.sentinel

    def leave_in_time() -> None:
        wait([lifeline, sentinel])
        close()
        os._exit(0)

    threading.Thread(target=leave_in_time, daemon=True).start()


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Hold SIGINT back until the block's end, and for good in what it starts."""
    resource_tracker.ensure_running()  # started by the first child, it would let SIGINT through again
    is_main = threading.current_thread() is threading.main_thread()
    came: list[int] = []
    # Another thread may take the signal that this one blocks; python then calls the handler in the main thread.
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.append(number)) if is_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if is_main:
            signal.signal(signal.SIGINT, handler)
            if came:
                signal.raise_signal(signal.SIGINT)
