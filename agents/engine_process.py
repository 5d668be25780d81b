"""An outside engine as a process of its own: lines to its input, lines from its output, its last words, its end.

What a protocol says is none of this module's business: agents/hub/client.py and agents/gtp/client.py see to that.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO

from agents.analysis import PlayerError, PlayerTimeoutError

LEAVE_SECONDS = 1.0  # from the word of farewell, or the end of its output, until it is killed
SILENCE_TOLD_SECONDS = 5.0
LONGEST_LINE = 1 << 20  # bytes; the rest of a longer line counts as the next one
MOST_LINES = 10_000  # that wait to be heard; an engine that says more waits itself
FLOOD_SECONDS = 5.0  # beyond a deadline until lines that have come in time are no longer listened to
SHOWN = 200  # characters of its complaints that an error repeats


class EngineProcess:
    """A running engine; a new one is a new object, so that threads of the old one hand their lines to nobody."""

    def __init__(self, name: str, command: str) -> None:
        """Start it; PlayerError where that fails. `name` is the player's, for errors."""
        self._name = name
        self._heard: queue.Queue[str | None] = queue.Queue(MOST_LINES)
        self._complaints: deque[str] = deque(maxlen=3)  # its last lines on stderr
        try:
            words = shlex.split(command)
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        except FileNotFoundError:
            raise self.error(
                f"cannot be started: no program {words[0]!r} on the path (Debian's games lie in /usr/games)"
            ) from None
        except (OSError, ValueError, IndexError) as error:
            raise self.error(f"cannot be started: {error}") from None
        process = self._process
        assert process.stdout is not None and process.stderr is not None
        self._thread = threading.Thread(target=self._listen, args=(process.stdout,), daemon=True)
        self._thread.start()
        self._complaint_thread = threading.Thread(
            target=self._listen_to_complaints, args=(process.stderr,), daemon=True
        )
        self._complaint_thread.start()

    @property
    def is_alive(self) -> bool:
        """Say whether the process still runs."""
        return self._process.poll() is None

    def send(self, line: str) -> None:
        """Send a line; PlayerError where the engine is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise self.ended() from None

    def hear(self, deadline: float) -> str:
        """Return its next line; PlayerError where it has ended or none comes until the deadline (monotonic)."""
        left = deadline - time.monotonic()
        try:
            if left < -FLOOD_SECONDS:
                raise queue.Empty
            line = self._heard.get(timeout=max(0.0, left))
        except queue.Empty:
            raise PlayerTimeoutError(f"player {self._name!r}: the engine has been silent for too long") from None
        if line is None:
            raise self.ended()
        return line

    def close(self, farewell: str) -> None:
        """End the engine, by force where it does not leave when it is told."""
        process = self._process
        with contextlib.suppress(OSError, ValueError):
            assert process.stdin is not None
            process.stdin.write(farewell.encode() + b"\n")
            process.stdin.close()
        try:
            process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children too, where it is a script around the engine
            process.wait()
        deadline = time.monotonic() + LEAVE_SECONDS
        while self._thread.is_alive() and time.monotonic() < deadline:  # it may wait for room for one more line
            with contextlib.suppress(queue.Empty):
                self._heard.get(timeout=0.01)

    def ended(self) -> PlayerError:
        """Return the error of an engine whose output has ended, after its last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVE_SECONDS)  # its output closes before it is gone
        self._complaint_thread.join(LEAVE_SECONDS)
        return self.error("has ended")

    def error(self, problem: str) -> PlayerError:
        """Return an error about the engine, with what it said on stderr at last."""
        said = f" (it said: {shorten(self._complaints[-1], SHOWN)})" if self._complaints else ""
        return PlayerError(f"player {self._name!r}: the engine {problem}{said}")

    def _listen(self, stream: IO[bytes]) -> None:
        """Hand over each line of its output, then None."""
        read_lines(stream, self._heard.put)
        self._heard.put(None)

    def _listen_to_complaints(self, stream: IO[bytes]) -> None:
        read_lines(stream, lambda line: self._complaints.append(line) if line else None)


@contextlib.contextmanager
def told_when_silent(name: str, protocol: str) -> Iterator[None]:
    """Inside the block an engine gives its first answer; where that takes long, say on stderr who is waited for."""
    text = f"player {name!r}: its engine has not answered yet; does it speak {protocol}, with these options? Waiting on"
    timer = threading.Timer(SILENCE_TOLD_SECONDS, lambda: print(text, file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def read_lines(stream: IO[bytes], receive: Callable[[str], None]) -> None:
    """Hand over each line until the stream ends."""
    with contextlib.suppress(OSError, ValueError):
        while line := stream.readline(LONGEST_LINE):
            receive(line.decode(errors="replace").strip())


def shorten(text: str, length: int = 60) -> str:
    """Return text as a message may quote it: one line, printable, not long."""
    quoted = ascii(text)
    return quoted if len(quoted) <= length else quoted[: length - 4] + "...'"
