"""Random games as files of records, for tests of what learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from games.catalogue import find_game
from games.rules import apply, is_over, returns
from games.sgf import SgfGame, SgfStart, write_game


def random_game(size: int, rng: np.random.Generator, komi: float = 6.5, plies: int = 40) -> SgfGame:
    """Return a game of random moves that are not passes, as long as there are some; Black's area decides it."""
    game = find_game(f"go-{size}x{size}")
    states = game.new(1, "simple-ko")
    actions: list[int] = []
    while len(actions) < plies and not is_over(states[0]):
        legal = game.legal_actions(states[0])
        actions.append(int(rng.choice(legal[:-1] or legal)))
        apply(states[0], actions[-1])
    result = {1: "B+R", -1: "W+R", 0: "0"}[int(returns(states[0]))]
    players = tuple(ply % 2 for ply in range(len(actions)))
    return SgfGame(SgfStart(size, size, komi), tuple(actions), players, tags={"RE": result})


def write_games(folder: Path, count: int, size: int = 5, seed: int = 0, names: str = "kgs-{}.sgf") -> Path:
    """Write random games, a file each, and return their folder."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / names.format(number)).write_bytes(write_game(random_game(size, rng)))
    return folder
