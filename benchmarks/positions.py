"""The positions that benchmarks search and evaluate: the same for the same seed, on every machine."""

from __future__ import annotations

from benchmarks.timing import BenchError
from games.notation import play_turn
from games.openings import Opening, random_openings
from games.rules import Game, States

PLIES = {"checkers": 14, "connect_four": 8, "go": 20}  # random turns that lead to each position


def random_lines(game: Game, count: int, seed: int) -> list[Opening]:
    """Return so many random lines of PLIES turns that lead to different positions; BenchError where there are fewer."""
    lines = random_openings(game, PLIES[game.family], count, seed)
    if len(lines) < count:
        raise BenchError(f"only {len(lines)} positions of {PLIES[game.family]} plies were found, {count} are asked for")
    return lines


def after_lines(game: Game, lines: list[Opening]) -> States:
    """Return the positions [B] at the ends of lines."""
    states = game.new(len(lines))
    for state, line in zip(states, lines, strict=True):
        for turn in line.turns:
            play_turn(state, turn)
    return states
