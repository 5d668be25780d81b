"""Opening lines that matches start from: the three-move ballots of English draughts, corners in Go, random lines."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from games.checkers import CHECKERS
from games.notation import Turn, legal_turns, parse_turn, play_turn, turn_name
from games.refusal import RefusedError
from games.rules import Game, hash_key, is_over

MAX_PLIES = 100  # of a random opening
START = "start"  # name of the opening without moves
MISSES_ALLOWED = 300  # random lines in a row that bring nothing new before no more are sought

# The 174 ballots of the American Checker Federation in its order, by their first two moves: all starts of three moves
# but transpositions and those that lose a piece at once. A star bars a ballot from play, as lost for one side: 18 of
# them, so that 156 are the deck. (pydraughts lists 157: it bars ballot 13 twice and forgets ballot 26.)
THREE_MOVE_BALLOTS = """
9-13 21-17: 5-9 6-9 10-14*
9-13 22-17: 13x22
9-13 22-18: 6-9 10-14 10-15 11-15 11-16 12-16
9-13 23-18: 5-9 6-9 10-14* 10-15 11-15 11-16 12-16
9-13 23-19: 5-9 6-9 10-14 10-15 11-16
9-13 24-19: 5-9 6-9 10-14 10-15* 11-15 11-16
9-13 24-20: 5-9 6-9 10-14 10-15 11-15 11-16 12-16*
9-14 22-17: 5-9 6-9 11-15 11-16
9-14 22-18: 5-9 10-15 11-15 11-16 12-16* 14-17*
9-14 23-18: 14x23
9-14 23-19: 5-9 10-15* 11-16 14-18
9-14 24-19: 5-9 10-15* 11-15 11-16
9-14 24-20: 5-9 10-15 11-15 11-16
10-14 22-17: 7-10 9-13 11-15 11-16 14-18
10-14 22-18: 6-10 7-10 11-15 11-16 12-16
10-14 23-18: 14x23
10-14 23-19: 6-10 7-10 11-15 11-16 14-18
10-14 24-19: 6-10 7-10 11-15* 11-16 14-18
10-14 24-20: 6-10 7-10 11-15 11-16 14-18
10-15 21-17: 6-10 7-10 9-13 9-14* 11-16 15-18
10-15 22-17: 6-10 7-10 9-13 9-14* 11-16 15-19
10-15 22-18: 15x22
10-15 23-18: 6-10 7-10 9-14 11-16 12-16
10-15 23-19: 6-10 7-10 11-16
10-15 24-19: 15x24
10-15 24-20: 6-10 7-10 11-16* 15-19
11-15 21-17: 8-11 9-13 9-14 10-14* 15-19
11-15 22-17: 8-11 9-13 15-18 15-19
11-15 22-18: 15x22
11-15 23-18: 8-11 9-14 10-14 12-16 15-19
11-15 23-19: 8-11 9-13 9-14
11-15 24-19: 15x24
11-15 24-20: 8-11 12-16 15-18
11-16 21-17: 7-11 8-11 9-13 9-14 10-14* 16-20
11-16 22-17: 7-11 8-11 9-13 16-20
11-16 22-18: 7-11 8-11 10-15* 16-19 16-20
11-16 23-18: 7-11 8-11 9-14 10-14 16-20
11-16 23-19: 16x23
11-16 24-19: 7-11 8-11 10-15* 16-20
11-16 24-20: 7-11 16-19
12-16 21-17: 9-13 9-14 16-19 16-20
12-16 22-17: 16-19 16-20
12-16 22-18: 16-19 16-20
12-16 23-18: 9-14* 16-19 16-20
12-16 23-19: 16x23*
12-16 24-19: 16-20
12-16 24-20: 8-12 10-15
"""


THREE_MOVE = "three-move"
CORNERS = "corners"
CORNER_POINTS = ((3, 3), (2, 3), (3, 2), (2, 2))  # lines from the edges, counted from 0: 4-4, 3-4, 4-3, 3-3
LEAST_CORNER_SIZE = 7  # of a board that has room for them


class OpeningError(RefusedError):
    """A choice of openings that does not exist; the message is one line."""


@dataclass(frozen=True)
class Opening:
    """A line from the starting position."""

    name: str  # its moves: "9-13 22-18 11-15"
    turns: tuple[Turn, ...]
    is_barred: bool = False  # kept out of the deck, as lost for one side


def three_move_openings() -> list[Opening]:
    """Return the 174 three-move ballots in the federation's order; the deck in use is those that are not barred."""
    openings = []
    for row in THREE_MOVE_BALLOTS.split("\n")[1:-1]:
        beginning, ends = row.split(":")
        for end in ends.split():
            names = [*beginning.split(), end.rstrip("*")]
            state = CHECKERS.new(1)[0]
            turns = []
            for name in names:
                turns.append(parse_turn(state, name))
                play_turn(state, turns[-1])
            openings.append(Opening(" ".join(names), tuple(turns), is_barred=end.endswith("*")))
    return openings


def random_openings(game: Game, plies: int, count: int, seed: int, rules: str | None = None) -> list[Opening]:
    """Return up to `count` random lines of this many turns that lead to different positions and do not end the game.

    Each turn is drawn evenly from the legal ones. There are fewer lines where nothing new turned up in many draws.
    """
    chance = random.Random(seed)

    def draw() -> list[Turn]:
        state = game.new(1, rules)[0]
        turns: list[Turn] = []
        while len(turns) < plies and not is_over(state):
            legal = legal_turns(state)
            turns.append(legal[int(chance.random() * len(legal))])
            play_turn(state, turns[-1])
        return turns

    return _different_lines(game, draw, count, rules)


def _different_lines(game: Game, draw: Callable[[], list[Turn]], count: int, rules: str | None) -> list[Opening]:
    """Draw lines until there are enough that lead to different positions and leave the game open, or none is new."""
    openings: dict[int, Opening] = {}  # by hash of the position reached
    misses = 0
    while len(openings) < count and misses < MISSES_ALLOWED:
        state = game.new(1, rules)[0]
        turns, names = draw(), list[str]()
        for turn in turns:
            if turn not in legal_turns(state):  # corners of a board of 7 lines have a point in common
                break
            names.append(turn_name(state, turn))
            play_turn(state, turn)
        if len(names) < len(turns) or is_over(state) or hash_key(state) in openings:
            misses += 1
        else:
            misses = 0
            openings[hash_key(state)] = Opening(" ".join(names) or START, tuple(turns))
    return list(openings.values())


def corner_openings(game: Game, count: int, seed: int) -> list[Opening]:
    """Return up to `count` lines of Go in which the players take corners in turn: all four, on small boards two.

    They are those that games begin with, and no two lead to the same position.
    """
    _, rows, columns = game.planes_shape
    if min(rows, columns) < LEAST_CORNER_SIZE:
        raise OpeningError(f"a board of {rows}x{columns} has no room for corner openings: use random:2 or none")
    chance = random.Random(seed)
    stones = 4 if min(rows, columns) >= 13 else 2

    def draw() -> list[Turn]:
        corners = chance.sample([(False, False), (False, True), (True, False), (True, True)], stones)
        turns: list[Turn] = []
        for below, right in corners:
            row, column = CORNER_POINTS[int(chance.random() * len(CORNER_POINTS))]
            turns.append(((rows - 1 - row if below else row) * columns + (columns - 1 - column if right else column),))
        return turns

    return _different_lines(game, draw, count, rules=None)


def default_openings(game: Game, rules: str | None = None) -> str:
    """Return the choice that a tournament begins with, for `parse_openings`: one that there are lines of."""
    if game.family == "go" and min(game.planes_shape[1:]) >= LEAST_CORNER_SIZE:
        return CORNERS
    if game is CHECKERS:
        return THREE_MOVE
    plies = 2 if game.family == "go" else 4
    return f"random:{plies}" if random_openings(game, plies, count=1, seed=0, rules=rules) else "none"


def parse_openings(text: str, game: Game, count: int, seed: int, rules: str | None = None) -> list[Opening]:
    """Return at most `count` openings for a choice on the command line; OpeningError where there is no such choice.

    "none" is the starting position alone, "random:K" random lines of K turns, "three-move" the deck of checkers in
    random order, "corners" lines of Go that take corners.
    """
    if text == "none":
        return [Opening(START, ())]
    match = re.fullmatch("random:([0-9]{1,4})", text)
    if match and 1 <= int(match[1]) <= MAX_PLIES:
        openings = random_openings(game, int(match[1]), count, seed, rules)
        if not openings:
            problem = f"no line of {match[1]} turns of {game.name} leaves the game open"
            raise OpeningError(f"--openings {text}: {problem}: use a smaller number, or none")
        return openings
    if text == THREE_MOVE and game is CHECKERS:
        deck = [opening for opening in three_move_openings() if not opening.is_barred]
        random.Random(seed).shuffle(deck)
        return deck[:count]
    if text == CORNERS and game.family == "go":
        return corner_openings(game, count, seed)
    usual = default_openings(game, rules)
    deck_choice = f"{usual}, " if usual in (THREE_MOVE, CORNERS) else ""
    raise OpeningError(
        f"no openings {text!r} for {game.name}; there are: none, {deck_choice}random:K (K turns, 1-{MAX_PLIES})"
    )
