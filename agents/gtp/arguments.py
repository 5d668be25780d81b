"""The arguments of commands as values, and values as text; UsageError and GtpError say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agents.gtp.protocol import UsageError, parse_vertex
from agents.gtp.session import BLACK_PLAYER, WHITE_PLAYER, Session
from games.notation import vertex_name

Arguments = tuple[str, ...]

MOST_SECONDS = 2**31 - 1  # as controllers send that mean no limit


def parse_colour(text: str) -> int:
    """Return 0 for Black, 1 for White."""
    colour = {"b": BLACK_PLAYER, "black": BLACK_PLAYER, "w": WHITE_PLAYER, "white": WHITE_PLAYER}.get(text.lower())
    if colour is None:
        raise UsageError("invalid color")
    return colour


def parse_int(text: str, least: int, most: int) -> int:
    """Return a whole number in [least, most]."""
    if not re.fullmatch("[0-9]{1,10}", text, re.ASCII) or not least <= int(text) <= most:
        raise UsageError(f"expected a whole number from {least} to {most}")
    return int(text)


def parse_seconds(text: str) -> float:
    """Return a time; some controllers send fractions, and what is left may have gone below nothing."""
    if not re.fullmatch(r"-?[0-9]{1,10}(\.[0-9]*)?", text, re.ASCII) or float(text) > MOST_SECONDS:
        raise UsageError(f"expected seconds, at most {MOST_SECONDS}")
    return max(float(text), 0.0)


def exactly(arguments: Arguments, count: int) -> Arguments:
    """Return the arguments where there are this many."""
    if len(arguments) != count:
        raise UsageError("syntax error")
    return arguments


def vertex(session: Session, action: int) -> str:
    """Return an action as text."""
    return vertex_name(action, session.rows, session.columns)


def vertices(session: Session, actions: Iterable[int]) -> str:
    """Return actions as text, in a line."""
    return " ".join(vertex(session, action) for action in actions)


def parse_point(session: Session, text: str) -> int:
    """Return the point that a vertex names."""
    point = parse_vertex(text, session.rows, session.columns)
    if point == session.pass_action:
        raise UsageError("pass is no point")
    return point


def parse_vertices(session: Session, text: str) -> frozenset[int]:
    """Return the actions that vertices with commas between name."""
    return frozenset(parse_vertex(name, session.rows, session.columns) for name in text.split(","))


def colour_to_play(session: Session, arguments: Arguments) -> int:
    """Return the colour that a command names, or whose turn it is where it names none."""
    if len(arguments) > 1:
        raise UsageError("syntax error")
    return parse_colour(arguments[0]) if arguments else int(session.state.to_move)
