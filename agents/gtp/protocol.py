"""GTP 2 as text: command lines taken apart, responses put together, input cut into lines (sections 2.3 to 2.10)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from games.notation import read_vertex
from games.refusal import RefusedError

MAX_ID = 2**31 - 1
LONGEST_LINE = 1 << 20  # characters; a loadsgf or a play sequence is far shorter

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all but tab and line feed


class GtpError(RefusedError):
    """What a command fails by; the message goes behind the question mark of the response."""


class UsageError(GtpError):
    """Arguments that a command cannot be given; what it takes is told beside the message."""


@dataclass(frozen=True)
class Stream:
    """A response whose lines come while the engine thinks."""

    work: Callable[[Callable[[str], None]], None]  # is handed what sends a line
    until_input: bool  # the next input ends it; else it ends by itself, and input waits


@dataclass(frozen=True)
class Task:
    """What the engine does for a command."""

    run: Callable[[Any, tuple[str, ...]], str | Stream]  # is handed the session and the arguments
    usage: str = ""  # the arguments that it takes


@dataclass(frozen=True)
class Command:
    """A command line taken apart."""

    id: str  # as it came, "" where there is none
    name: str  # "" where the line is an id and nothing else
    arguments: tuple[str, ...]


def parse_command(line: str) -> Command | None:
    """Return the command of a line, None where the line is empty: nothing, blanks, a comment."""
    text = _CONTROL.sub("", line).replace("\t", " ").partition("#")[0]
    words = text.split()
    if not words:
        return None
    id = ""
    if re.fullmatch("[0-9]{1,10}", words[0], re.ASCII) and int(words[0]) <= MAX_ID:
        id = words.pop(0)
    return Command(id, words[0] if words else "", tuple(words[1:]))


def response(id: str, text: str = "", is_success: bool = True) -> str:
    """Return a whole response, the empty line at its end included.

    The text may begin on a line of its own; empty lines within it are left out.
    """
    lines = [line.rstrip() for line in _CONTROL.sub("", text.replace("\t", " ")).split("\n")]
    body = "\n".join([*lines[:1], *(line for line in lines[1:] if line)])
    return f"{'=' if is_success else '?'}{id}{' ' if body else ''}{body}\n\n"


def input_lines(read: Callable[[], bytes], on_input: Callable[[], None]) -> Iterator[str]:
    """Cut what `read` brings, b"" at the end, into lines; `on_input` is called for any input, before it is a line.

    Of a line that is too long only the beginning is kept.
    """
    rest = b""
    while data := read():
        on_input()
        *whole, rest = (rest + data).split(b"\n")
        rest = rest[:LONGEST_LINE]
        for line in whole:
            yield line[:LONGEST_LINE].decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def parse_vertex(text: str, rows: int, columns: int) -> int:
    """Return the action that a vertex stands for; UsageError where it is none of the board."""
    action = read_vertex(text, rows, columns)
    if action is None:
        raise UsageError("invalid coordinate")
    return action
