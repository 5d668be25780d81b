"""Keys that are held down at a terminal, for games that are played in real time.

A terminal tells of presses and their repetition only, so a key counts as held for a moment after each; one that speaks
the Kitty keyboard protocol (sw.kovidgoyal.net/kitty/keyboard-protocol) tells of releases, and is believed.
"""

from __future__ import annotations

import os
import re
import select
import sys
import time
from types import TracebackType
from typing import Any

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]

HOLD_SECONDS = 0.2  # after a press without a release
ESCAPE_SECONDS = 0.05  # after which an escape alone is the key, not the beginning of a sequence
# Every key as an escape code, with releases, until told otherwise; terminals that do not know it ignore it.
_ASK_FOR_RELEASES, _AS_BEFORE = "\x1b[>11u", "\x1b[<u"
_SEQUENCE = re.compile(r"\x1b\[(\d*)(?:[:\d]*)(?:;(\d*)(?::(\d))?)?([A-Za-z~])|\x1bO([A-D])|\x1b|([^\x1b])", re.DOTALL)
_CUT_OFF = re.compile(r"\x1b(\[[\d:;]*|O)?\Z")
_ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
_NAMES = {" ": "space", "\x1b": "escape", "\x03": "ctrl-c", "\r": "enter", "\n": "enter"}
_REPEAT, _RELEASE = "2", "3"
_CONTROL = 4  # a bit of the modifiers, which are sent plus 1
_PRIVATE_USE = 0xE000  # the protocol's numbers from here on are keys without a letter, such as Shift


class Keyboard:
    """The keys of the terminal that standard input is; of anything else, none. A context: leaving it restores all."""

    def __init__(self) -> None:
        self._held: dict[str, float] = {}  # until when, by the monotonic clock
        self._settings: list[Any] | None = None
        self._cut_off = ""  # the beginning of an escape sequence whose rest has not come
        self._cut_off_at = 0.0

    def __enter__(self) -> Keyboard:
        if termios is not None and sys.stdin.isatty():
            self._settings = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
            _send(_ASK_FOR_RELEASES)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._settings is not None:
            _send(_AS_BEFORE)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._settings)
            self._settings = None

    def pressed(self) -> list[str]:
        """Return the keys that were pressed since the last call, in order: "up", "space", "escape", "a", ..."""
        if self._settings is None:
            return []
        text = ""
        while select.select([sys.stdin], [], [], 0)[0]:
            data = os.read(sys.stdin.fileno(), 1024)
            if not data:
                break
            text += data.decode(errors="ignore")
        return self.take(text, time.monotonic())

    def take(self, text: str, now: float) -> list[str]:
        """Take in what the terminal sent; return the keys that it says were pressed.

        A sequence that is cut off is kept until its rest comes; where none does, its escape was the key of that name.
        """
        text, tail = self._cut_off + text, _CUT_OFF.search(self._cut_off + text)
        if tail is None:
            self._cut_off = ""
        else:
            if tail[0] != self._cut_off:
                self._cut_off, self._cut_off_at = tail[0], now
            if now - self._cut_off_at < ESCAPE_SECONDS:
                text = text[: tail.start()]
            else:
                self._cut_off = ""
        pressed = []
        for match in _SEQUENCE.finditer(text):
            number, modifiers, event, final, old_arrow, letter = match.groups()
            if final is not None:
                key = _ARROWS.get(final) or (_letter(int(number)) if final == "u" and number else "")
                key = "ctrl-" * bool(int(modifiers or 1) - 1 & _CONTROL) + key
            else:
                key = _ARROWS[old_arrow] if old_arrow else _named(letter or "\x1b")
            if event == _RELEASE:
                self._held.pop(key, None)
            elif key:
                self._held[key] = now + (HOLD_SECONDS if event is None else float("inf"))
                if event != _REPEAT:
                    pressed.append(key)
        return pressed

    def held(self, now: float | None = None) -> set[str]:
        """Return the keys that are down."""
        now = time.monotonic() if now is None else now
        return {key for key, until in self._held.items() if until > now}


def _send(code: str) -> None:
    """Write a code to the terminal itself, whatever standing in for standard output would make of it."""
    assert sys.__stdout__ is not None
    print(code, end="", file=sys.__stdout__, flush=True)


def _letter(number: int) -> str:
    return _named(chr(number)) if number < _PRIVATE_USE else ""


def _named(letter: str) -> str:
    return _NAMES.get(letter, letter.lower())
