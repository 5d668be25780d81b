"""Commands that make the engine move, keep its clock, and count the game when it is over."""

from __future__ import annotations

import time

from agents.gtp.arguments import (
    Arguments,
    colour_to_play,
    exactly,
    parse_colour,
    parse_int,
    parse_point,
    parse_seconds,
    vertex,
    vertices,
)
from agents.gtp.clock import TimeLeft, TimeSettings, japanese
from agents.gtp.protocol import Task, UsageError
from agents.gtp.session import Session
from games.go_status import score_name
from games.rules import RESIGN

MOST_STONES = 10**6
STATUS_LISTS = ("alive", "dead", "seki", "black_territory", "white_territory", "dame")


# --- moves ----------------------------------------------------------------------------------------------------------


def genmove(session: Session, arguments: Arguments) -> str:
    return move_name(session, session.move(colour_to_play(session, arguments)).action)


def genmove_cleanup(session: Session, arguments: Arguments) -> str:
    """As genmove, but pass only where no dead stone of the enemy is left on the board."""
    return move_name(session, session.move(colour_to_play(session, arguments), cleanup=True).action)


def move_name(session: Session, action: int) -> str:
    """Return what the engine answers to genmove."""
    return "resign" if action == RESIGN else vertex(session, action)


def reg_genmove(session: Session, arguments: Arguments) -> str:
    """Say what the engine would play, without giving up."""
    return move_name(session, session.choose(colour_to_play(session, arguments)).action)


def clear_cache(session: Session, arguments: Arguments) -> str:
    """Forget what was thought of so far, so that the same position is thought of in the same way again."""
    session.player.new_game()
    return ""


# --- the clock ------------------------------------------------------------------------------------------------------


def time_settings(session: Session, arguments: Arguments) -> str:
    main, period, stones = exactly(arguments, 3)
    session.clock.set(TimeSettings(parse_seconds(main), parse_seconds(period), parse_int(stones, 0, MOST_STONES)))
    return ""


def kgs_time_settings(session: Session, arguments: Arguments) -> str:
    """Take a time control as the KGS server names it."""
    kind, *numbers = arguments or ("",)
    counts = {"none": 0, "absolute": 1, "byoyomi": 3, "canadian": 3}
    if counts.get(kind) != len(numbers):
        raise UsageError("syntax error")
    seconds = [parse_seconds(number) for number in numbers[:2]]
    stones = parse_int(numbers[2], 0, MOST_STONES) if len(numbers) == 3 else 0
    if kind == "none":
        session.clock.set(None)
    elif kind == "byoyomi":
        session.clock.set(japanese(seconds[0], seconds[1], stones))
    else:
        session.clock.set(TimeSettings(seconds[0], seconds[1] if stones else 0.0, stones))
    return ""


def time_left(session: Session, arguments: Arguments) -> str:
    colour, seconds, stones = exactly(arguments, 3)
    session.clock.tell(parse_colour(colour), TimeLeft(parse_seconds(seconds), parse_int(stones, 0, MOST_STONES)))
    return ""


# --- the end of the game --------------------------------------------------------------------------------------------


def final_score(session: Session, arguments: Arguments) -> str:
    exactly(arguments, 0)
    return score_name(session.status().score)


def final_status_list(session: Session, arguments: Arguments) -> str:
    """List the chains of a status, one a line, or the points of a kind of territory."""
    (kind,) = exactly(arguments, 1)
    if kind not in STATUS_LISTS:
        raise UsageError("invalid status")
    status = session.status()
    if kind in ("black_territory", "white_territory", "dame"):
        owner = {"black_territory": 1, "white_territory": -1, "dame": 0}[kind]
        return vertices(session, status.territory(owner))
    return "\n".join(vertices(session, chain.points) for chain in status.chains(kind))


def final_status(session: Session, arguments: Arguments) -> str:
    """Return the status of a stone, or whose territory an empty point is."""
    point = parse_point(session, exactly(arguments, 1)[0])
    return session.status().name_of(point)


HANDLERS = {
    "genmove": Task(genmove, "COLOR"),
    "reg_genmove": Task(reg_genmove, "COLOR"),
    "kgs-genmove_cleanup": Task(genmove_cleanup, "COLOR"),
    "time_settings": Task(time_settings, "MAIN_SECONDS BYO_YOMI_SECONDS BYO_YOMI_STONES"),
    "kgs-time_settings": Task(
        kgs_time_settings, "none, absolute MAIN, byoyomi MAIN PERIOD PERIODS or canadian MAIN PERIOD STONES"
    ),
    "time_left": Task(time_left, "COLOR SECONDS STONES"),
    "final_score": Task(final_score),
    "final_status_list": Task(final_status_list, " | ".join(STATUS_LISTS)),
    "final_status": Task(final_status, "VERTEX"),
    "kgs-game_over": Task(lambda session, arguments: ""),
    "kgs-chat": Task(lambda session, arguments: "I only play."),
    "clear_cache": Task(clear_cache),
    "cputime": Task(lambda session, arguments: f"{time.process_time():.2f}"),
}
