"""The one kind of error that a program tells in a line, without a traceback: all others are mistakes of ours."""

from __future__ import annotations


class RefusedError(ValueError):
    """What a person can put right: the message, of one line, says what is wrong, where, and what is allowed."""
