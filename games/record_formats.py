"""What the readers of recorded games hand over, and what each game's records need to be packed and replayed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from games import checkers, go, pdn, sgf
from games.compiled import njit
from games.notation import why_illegal_in_go
from games.rules import GameError, States
from games.symmetries import action_maps

UNKNOWN = 2  # in place of a result
NO_PASS = -1  # in place of an action

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
    is_archive: bool = False  # it is an archive that is damaged, and how many games that costs is not known


@dataclass(frozen=True)
class RecordFormat:
    """How one game is recorded."""

    name: str
    suffixes: tuple[str, ...]  # of the files that hold games, lower case
    max_bytes: int  # of a file
    read: Callable[[str, bytes], Iterator[GameRecord | Fault]]  # the games of one file: name, content
    start_states: Callable[[Sequence[str]], States]  # starting positions as text -> records
    board_of: Callable[[str], tuple[int, int]]  # a starting position -> rows, columns
    action_maps: Callable[[int, int], Array]  # rows, columns -> int16 [K, A]: each symmetry's image of each action
    turn_start: Callable[[str, int], str]  # a starting position and a symmetry -> its image
    pass_action: Callable[[int, int], int]  # rows, columns -> the pass; NO_PASS in games that know none


# --- Go: SGF --------------------------------------------------------------------------------------------------------


def _read_sgf(name: str, content: bytes) -> Iterator[GameRecord | Fault]:
    games = sgf.read_games(content)
    for number in itertools.count(1):
        place = name if number == 1 else f"{name}#{number}"
        try:
            game = next(games)
            yield Fault(place, str(game)) if isinstance(game, sgf.SgfError) else _go_record(place, game)
        except StopIteration:
            return
        except ValueError as error:
            yield Fault(place, str(error))


def _go_record(name: str, game: sgf.SgfGame) -> GameRecord:
    """Return a game for the store; GameError where its moves are not in turn or not legal."""
    start, actions = game.start, np.array(game.actions, np.int16)
    turns = np.array(game.players, np.int16) != (start.to_play + np.arange(actions.size)) % 2
    if turns.any():
        ply = int(turns.argmax())
        raise GameError(f"move {ply + 1}: {('Black', 'White')[game.players[ply]]} plays twice in a row")
    states = _go_start(start).copy()
    illegal = play_record(states[0], actions)
    if illegal >= 0:
        action = int(actions[illegal])
        move = f"{sgf.COLOURS[game.players[illegal]]}[{sgf.point_name(action, start.rows, start.columns)}]"
        raise GameError(f"move {illegal + 1}, {move}, is not legal: {why_illegal_in_go(states[0], action)}")
    result = sgf.result_of(game.tags.get("RE", ""))
    return GameRecord(
        name=name,
        start=_start_text(start),
        actions=actions,
        result=UNKNOWN if result is None else result,
        ranks=(sgf.rank_of(game.tags.get("BR", "")), sgf.rank_of(game.tags.get("WR", ""))),
        handicap=len(start.black) + len(start.white),
    )


@lru_cache(maxsize=256)
def _go_start(start: sgf.SgfStart) -> States:
    """Return the position that a record starts from, [1] records, not to be changed.

    Its rules know simple ko and no move limit: players on record went on where others call it over.
    """
    states = go.game(start.rows, start.columns, start.komi or 0.0).new(1, "simple-ko")
    states["move_limit"] = 0
    if start.black or start.white:
        go.setup(states[0], start.black, start.white, start.to_play)
    states["to_move"] = start.to_play
    return states


@njit
def play_record(state, actions):
    """Play a recorded game; return the first ply whose action is not legal, -1 where all are."""
    for ply in range(actions.size):
        if not go.is_legal(state, np.int64(actions[ply])):
            return ply
        go.apply(state, np.int64(actions[ply]))
    return -1


@lru_cache(maxsize=4096)
def _start_text(start: sgf.SgfStart) -> str:
    """Return a starting position as the properties of SGF that describe it: SZ[19]KM[6.5]AB[dd][pp]PL[W]."""
    return sgf.write_game(sgf.SgfGame(start), has_version=False).decode()  # the digests of games are of this text


@lru_cache(maxsize=4096)
def _parse_start(text: str) -> sgf.SgfStart:
    return sgf.read_game(text.encode()).start


def _go_starts(starts: Sequence[str]) -> States:
    return np.concatenate([_go_start(_parse_start(text)) for text in starts])


def _go_board(text: str) -> tuple[int, int]:
    start = _parse_start(text)
    return start.rows, start.columns


def _turn_go_start(text: str, symmetry: int) -> str:
    start = _parse_start(text)
    image = action_maps(start.rows, start.columns)[symmetry]
    black, white = (tuple(sorted(image[list(points)].tolist())) for points in (start.black, start.white))
    return _start_text(replace(start, black=black, white=white))


# --- checkers: PDN --------------------------------------------------------------------------------------------------


def _read_pdn(name: str, content: bytes) -> Iterator[GameRecord | Fault]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    bad: list[pdn.PdnError] = []
    for number, game in enumerate(pdn.read_games(text, bad), start=1):
        yield from (Fault(name, str(error)) for error in bad)
        bad.clear()
        result = pdn.RESULTS[game.result]
        yield GameRecord(
            name=name if number == 1 else f"{name}#{number}",
            start=game.start,
            actions=np.array([action for turn in game.turns for action in turn], np.int16),
            result=UNKNOWN if result is None else int(result),
            ranks=(0, 0),
            handicap=0 if game.start == pdn.START_FEN else len(re.findall("[0-9]+", game.start)),
        )
    yield from (Fault(name, str(error)) for error in bad)


def _checkers_starts(starts: Sequence[str]) -> States:
    return np.concatenate([pdn.parse_fen(start, pdn.RECORD_RULES) for start in starts])


@lru_cache
def _identity(num_actions: int) -> Array:
    maps = np.arange(num_actions, dtype=np.int16)[np.newaxis]
    maps.setflags(write=False)
    return maps


# --- the table ------------------------------------------------------------------------------------------------------

FORMATS = {
    "go": RecordFormat(
        name="go",
        suffixes=(".sgf",),
        max_bytes=sgf.MAX_BYTES,
        read=_read_sgf,
        start_states=_go_starts,
        board_of=_go_board,
        action_maps=action_maps,
        turn_start=_turn_go_start,
        pass_action=lambda rows, columns: rows * columns,
    ),
    # The one symmetry of checkers swaps the colours, so games never start alike after it: it makes no new positions.
    "checkers": RecordFormat(
        name="checkers",
        suffixes=(".pdn", ".txt"),
        max_bytes=64 << 20,
        read=_read_pdn,
        start_states=_checkers_starts,
        board_of=lambda start: (8, 8),
        action_maps=lambda rows, columns: _identity(checkers.NUM_ACTIONS),
        turn_start=lambda start, symmetry: start,
        pass_action=lambda rows, columns: NO_PASS,
    ),
}


def format_of(game: str) -> RecordFormat:
    """Return how a game is recorded, by the game's name ("go-9x9" as "go"); GameError where no records are read."""
    name = game.split("-")[0]
    if name not in FORMATS:
        raise GameError(f"no records of {game!r} can be read; there are formats for: {', '.join(FORMATS)}")
    return FORMATS[name]
