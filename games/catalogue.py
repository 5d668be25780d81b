"""The games by name, as the command line and the environments ask for them."""

from __future__ import annotations

import difflib

from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.rules import Game, GameError

GAMES = {game.name: game for game in (CHECKERS, CONNECT_FOUR)}


def find_game(name: str) -> Game:
    """Return a game by its name; GameError with what there is, nearest first, where it is unknown."""
    if name not in GAMES:
        near = difflib.get_close_matches(name, GAMES, n=1, cutoff=0.7)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise GameError(f"no game {name!r}{meant}; there are: {', '.join(GAMES)}")
    return GAMES[name]
