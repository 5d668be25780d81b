"""The games by name, as the command line and the environments ask for them."""

from __future__ import annotations

import difflib

from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.go import GO, find_size
from games.rules import Game, GameError

GAMES = {game.family: game for game in (CHECKERS, CONNECT_FOUR, GO)}


def find_game(name: str) -> Game:
    """Return a game by its name, Go also by its size ("go-9x9"); GameError with what there is where it is unknown."""
    sized = find_size(name)
    if sized is not None:
        return sized
    if name not in GAMES:
        near = difflib.get_close_matches(name, GAMES, n=1, cutoff=0.7)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise GameError(f"no game {name!r}{meant}; there are: {', '.join(GAMES)}, go-9x9 and other sizes")
    return GAMES[name]
