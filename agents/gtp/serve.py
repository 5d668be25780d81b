"""The engine on standard input and output."""

from __future__ import annotations

import functools
import os
import sys

from agents.gtp.engine import GtpEngine
from agents.gtp.protocol import input_lines
from agents.gtp.session import Resignation, Session
from agents.player import make_player
from games.rules import Game

CHUNK = 1 << 16  # bytes that are read at once at the most


def serve(spec: str, game: Game, rules: str | None, resign: float, seed: int) -> None:
    """Be a GTP engine with this player until `quit` or the end of the input; PlayerError where the spec names none."""
    make = functools.partial(make_player, spec, seed=seed)
    session = Session(make, game, rules or next(iter(game.rule_sets)), Resignation(winrate=resign))
    try:
        engine = GtpEngine(session, sys.stdout)
        descriptor = sys.stdin.fileno()
        engine.run(input_lines(lambda: os.read(descriptor, CHUNK), engine.interrupt))
    except KeyboardInterrupt:
        pass
    finally:
        session.close()
