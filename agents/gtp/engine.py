"""The engine's loop: command lines in, one response each out, and analysis that lasts until something else comes in.

Commands run in the thread that reads, one after the other. Only analysis runs beside it: its `=` line goes out at
once, `info` lines follow, and the next input ends it. Nothing ends the loop but `quit` and the end of the input.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from typing import TextIO

from agents.engine_process import shorten
from agents.gtp import analysis, gogui, moves, setup
from agents.gtp.protocol import Command, GtpError, Stream, Task, UsageError, parse_command, response
from agents.gtp.session import Session
from games.machine import own_version
from games.refusal import RefusedError

STOP_PERIOD = 0.01  # seconds between two calls to a search to stop


class GtpEngine:
    """Answers the lines of a controller with one session, until `quit` or the end of the input."""

    def __init__(self, session: Session, output: TextIO) -> None:
        self._session = session
        self._output = output
        self._is_gone = False  # nobody reads the output any longer
        self._analysis: threading.Thread | None = None
        self._stopping = threading.Event()
        self._handlers: Mapping[str, Task] = {
            "protocol_version": Task(lambda session, arguments: "2"),
            "name": Task(lambda session, arguments: "Playfield"),
            "version": Task(lambda session, arguments: own_version()),
            "known_command": Task(self._known_command, "NAME"),
            "list_commands": Task(lambda session, arguments: "\n".join(self._handlers)),
            "quit": Task(lambda session, arguments: ""),
            "stop": Task(lambda session, arguments: ""),  # whatever comes in stops an analysis
            **setup.HANDLERS,
            **moves.HANDLERS,
            **analysis.HANDLERS,
            **gogui.HANDLERS,
        }

    def run(self, lines: Iterable[str]) -> None:
        """Answer lines until `quit`, the end of the input, or that of the output."""
        try:
            for line in lines:
                self.interrupt()
                command = parse_command(line)
                if command is not None:
                    self._answer(command)
                if self._is_gone or (command is not None and command.name == "quit"):
                    break
        finally:
            self.interrupt()

    def interrupt(self) -> None:
        """End an analysis under way; its response is whole when this returns."""
        thread, self._analysis = self._analysis, None
        if thread is not None:
            self._stopping.set()
            while thread.is_alive():
                self._session.stop()
                thread.join(STOP_PERIOD)
            self._stopping.clear()

    def _answer(self, command: Command) -> None:
        """Give the response to one command."""
        task = self._handlers.get(command.name)
        try:
            if task is None:
                raise GtpError("unknown command")
            try:
                answer = task.run(self._session, command.arguments)
            except UsageError as error:
                raise GtpError(f"{error}; expected {' '.join((command.name, task.usage)).strip()}") from None
        except RefusedError as error:
            self._write(response(command.id, str(error), is_success=False))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._write(response(command.id, f"internal error: {error!r}", is_success=False))
        else:
            if isinstance(answer, Stream):
                self._begin(command.id, answer)
            else:
                self._write(response(command.id, answer))

    def _begin(self, id: str, stream: Stream) -> None:
        """Send the first line of a response that comes bit by bit, and let the rest come."""
        self._write(f"={id}\n")
        if not stream.until_input:
            self._follow(stream)
            return
        self._analysis = threading.Thread(target=self._follow, args=(stream,), daemon=True)
        self._analysis.start()

    def _follow(self, stream: Stream) -> None:
        try:
            stream.work(lambda line: self._write(line + "\n"))
            if stream.until_input:
                self._stopping.wait()
        except Exception as error:  # the response has begun with success: only its end can be sent
            print(f"analysis: {shorten(str(error), 200)}", file=sys.stderr, flush=True)
            if not isinstance(error, ValueError):
                traceback.print_exc(file=sys.stderr)
        self._write("\n")

    def _write(self, text: str) -> None:
        try:
            self._output.write(text)
            self._output.flush()
        except OSError:  # the controller is gone
            self._is_gone = True
        except ValueError:
            if not self._output.closed:
                raise
            self._is_gone = True

    def _known_command(self, session: Session, arguments: tuple[str, ...]) -> str:
        if len(arguments) != 1:
            raise UsageError("one name is asked for at a time")
        return str(arguments[0] in self._handlers).lower()
