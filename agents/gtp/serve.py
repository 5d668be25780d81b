"""The engine on standard input and output."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from agents.gtp.engine import GtpEngine
from agents.gtp.protocol import input_lines
from agents.gtp.session import Resignation, Session
from agents.player import Player, make_player
from games.compiled import announce_compilation
from games.rules import Game

CHUNK = 1 << 16  # bytes that are read at once at the most


def serve(spec_for: Callable[[Game], str], game: Game, rules: str | None, resign: float, seed: int) -> None:
    """Be a GTP engine until `quit` or the end of the input, with the player that a spec names for each size of board.

    PlayerError where the spec for this game names none.
    """

    def make(on: Game) -> Player:
        return make_player(spec_for(on), on, seed=seed)

    announce_compilation()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # an answer may repeat whatever came in
    session = Session(make, game, rules or next(iter(game.rule_sets)), Resignation(winrate=resign))
    try:
        engine = GtpEngine(session, sys.stdout)
        descriptor = sys.stdin.fileno()
        engine.run(input_lines(lambda: os.read(descriptor, CHUNK), engine.interrupt))
    except KeyboardInterrupt:
        pass
    finally:
        session.close()
