"""What the readers of recorded games hand over, and what each game's records need to be packed and replayed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from games.checkers import NUM_ACTIONS
from games.pdn import RESULTS, START_FEN, PdnError, parse_fen, read_games
from games.rules import GameError, States

UNKNOWN = 2  # in place of a result

Array = np.ndarray[Any, Any]


class GameRecord(NamedTuple):
    """One game as it was read, checked by the rules."""

    name: str  # of the file; with #2 ... behind it for the second and later games of one file
    start: str  # starting position, in the format's own words
    actions: Array  # int16 [plies]
    result: int  # player 0 won 1, drawn 0, lost -1; UNKNOWN
    ranks: tuple[int, int]  # of both players: dan 1-9, professional 11-19, kyu -1 ... -30, 0 unknown
    handicap: int  # stones set up before the first move


class Fault(NamedTuple):
    """A game that could not be read or replayed, or a file that could not be read."""

    name: str  # as GameRecord's
    reason: str  # one line


@dataclass(frozen=True)
class RecordFormat:
    """How one game is recorded."""

    suffixes: tuple[str, ...]  # of the files that hold games, lower case
    read: Callable[[str, bytes], Iterator[GameRecord | Fault]]  # the games of one file: name, content
    start_states: Callable[[Sequence[str]], States]  # starting positions as text -> records
    board_of: Callable[[str], tuple[int, int]]  # a starting position -> rows, columns
    action_maps: Callable[[int, int], Array]  # rows, columns -> int16 [K, A]: each symmetry's image of each action
    turn_start: Callable[[str, int], str]  # a starting position and a symmetry -> its image


# --- checkers: PDN --------------------------------------------------------------------------------------------------


def _read_pdn(name: str, content: bytes) -> Iterator[GameRecord | Fault]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    bad: list[PdnError] = []
    for number, game in enumerate(read_games(text, bad), start=1):
        yield from (Fault(name, str(error)) for error in bad)
        bad.clear()
        result = RESULTS[game.result]
        yield GameRecord(
            name=name if number == 1 else f"{name}#{number}",
            start=game.start,
            actions=np.array([action for turn in game.turns for action in turn], np.int16),
            result=UNKNOWN if result is None else int(result),
            ranks=(0, 0),
            handicap=0 if game.start == START_FEN else len(re.findall("[0-9]+", game.start)),
        )
    yield from (Fault(name, str(error)) for error in bad)


def _checkers_starts(starts: Sequence[str]) -> States:
    return np.concatenate([parse_fen(start, "endless") for start in starts])


@lru_cache
def _identity(num_actions: int) -> Array:
    maps = np.arange(num_actions, dtype=np.int16)[np.newaxis]
    maps.setflags(write=False)
    return maps


# --- the table ------------------------------------------------------------------------------------------------------

FORMATS = {
    # The one symmetry of checkers swaps the colours, so games never start alike after it: it makes no new positions.
    "checkers": RecordFormat(
        suffixes=(".pdn", ".txt"),
        read=_read_pdn,
        start_states=_checkers_starts,
        board_of=lambda start: (8, 8),
        action_maps=lambda rows, columns: _identity(NUM_ACTIONS),
        turn_start=lambda start, symmetry: start,
    ),
}


def format_of(game: str) -> RecordFormat:
    """Return how a game is recorded, by the game's name ("go-9x9" as "go"); GameError where no records are read."""
    name = game.split("-")[0]
    if name not in FORMATS:
        raise GameError(f"no records of {game!r} can be read; there are formats for: {', '.join(FORMATS)}")
    return FORMATS[name]
