"""How a program ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

CLOSED_PIPE = 141  # the exit status of a program whose reader has gone, as shells have it


def end(main: Callable[[], int]) -> NoReturn:
    """Run a program and exit with its status, silently where nobody reads on, as after `| head`."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or python complains when it flushes
        status = CLOSED_PIPE
    sys.exit(status)
