"""A tournament's games as other programs read them: PDN for checkers, SGF for Go."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from agents.match import RESIGNATION, GameRecord
from games.durable import replace_file, write_all
from games.notation import read_vertex
from games.pdn import RESULT_NAMES, read_games
from games.pdn import write_game as write_pdn
from games.refusal import RefusedError
from games.rules import Game
from games.sgf import SgfError, SgfGame, SgfStart
from games.sgf import write_game as write_sgf

EVENT = "playfield tournament"
PDN, SGF = "games.pdn", "sgf"
Made = TypeVar("Made")
SGF_ENDINGS = {RESIGNATION: "R", "timeout": "T", "illegal move": "F", "crash": "F"}


class GameFiles(Protocol):
    """Where finished games go; OSError where the disk refuses, ValueError where a record's turns make no game."""

    def write_all(self, records: Sequence[GameRecord]) -> None:
        """Let there be these games, in this order, and no others."""

    def append(self, record: GameRecord) -> None:
        """Add a game."""

    def close(self) -> None:
        """Let go of the files."""


def game_files(folder: Path, game: Game, rules: str) -> GameFiles:
    """Return the files of a game that has a standard record, in a tournament's folder."""
    if game.family == "checkers":
        return PdnFile(folder / PDN, rules)
    return SgfFolder(folder / SGF, game, rules) if game.family == "go" else NoFiles()


class NoFiles:
    """For games without a standard record."""

    def write_all(self, records: Sequence[GameRecord]) -> None:
        """Write nothing."""

    def append(self, record: GameRecord) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Hold nothing."""


class PdnFile:
    """All games in one file."""

    def __init__(self, path: Path, rules: str) -> None:
        self._path, self._rules = path, rules
        self._descriptor: int | None = None

    def write_all(self, records: Sequence[GameRecord]) -> None:
        """Replace the file."""
        self.close()
        replace_file(self._path, "".join(_each(records, lambda record: pdn_of(record, self._rules))).encode())
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)

    def append(self, record: GameRecord) -> None:
        """Add a game at the end."""
        assert self._descriptor is not None, "write_all comes first"
        write_all(self._descriptor, pdn_of(record, self._rules).encode())

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class SgfFolder:
    """A file for each game, since many programs read the first of a file only."""

    def __init__(self, folder: Path, game: Game, rules: str) -> None:
        self._folder, self._game, self._rules = folder, game, rules

    def write_all(self, records: Sequence[GameRecord]) -> None:
        """Write what is missing or differs."""
        self._folder.mkdir(exist_ok=True)
        for _ in _each(records, self.append):
            pass

    def append(self, record: GameRecord) -> None:
        """Write a game's file."""
        path = self._folder / f"{record.round + 1:04}-{record.pairing + 1}.sgf"
        content = sgf_of(record, self._game, self._rules)
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == content:
                return
        replace_file(path, content)

    def close(self) -> None:
        """Hold nothing."""


def pdn_of(record: GameRecord, rules: str) -> str:
    """Return a game of checkers as PDN; PdnError where its turns are not legal."""
    result = RESULT_NAMES[record.result]
    played = next(read_games(" ".join((*record.turns, result))))
    tags = {
        "Event": EVENT,
        "Round": _round_name(record),
        "Black": record.players[0],
        "White": record.players[1],
        "Opening": record.opening,
        "Rules": rules,
    }
    said = {len(record.turns): record.fault or record.reason}
    return write_pdn(dataclasses.replace(played, result=result, tags=tags, comments=said))


def sgf_of(record: GameRecord, game: Game, rules: str) -> bytes:
    """Return a game of Go as SGF, with what its players thought; SgfError where a turn is no vertex."""
    _, rows, columns = game.planes_shape
    actions = []
    for name in record.turns:
        action = read_vertex(name, rows, columns)
        if action is None:
            raise SgfError(f"{name!r} is no move on a board of {rows}x{columns}")
        actions.append(action)
    comments = {number: text for number, text in enumerate(record.comments, 1) if text}
    last = len(actions)
    comments[last] = "\n".join(_lines(comments.get(last, ""), record.fault or record.note or record.reason))
    tags = {
        "EV": EVENT,
        "RO": _round_name(record),
        "PB": record.players[0],
        "PW": record.players[1],
        "RU": rules,
        "RE": sgf_result(record),
    }
    start = SgfStart(rows, columns, game.rule_sets[rules]["komi2"] / 2)
    players = tuple(number % 2 for number in range(last))
    return write_sgf(SgfGame(start, tuple(actions), players, tags=tags, comments=comments))


def sgf_result(record: GameRecord) -> str:
    """Return a result as RE has it: B+3.5, W+R, 0."""
    if record.score:
        return record.score
    return "0" if record.result == 0 else f"{'B' if record.result > 0 else 'W'}+{SGF_ENDINGS.get(record.reason, '')}"


def _each(records: Sequence[GameRecord], make: Callable[[GameRecord], Made]) -> Iterator[Made]:
    """Make something of each game; ValueError says which of them it is that makes no game."""
    for number, record in enumerate(records, 1):
        try:
            yield make(record)
        except ValueError as error:
            raise RefusedError(f"line {number}: {error}") from error


def _round_name(record: GameRecord) -> str:
    return f"{record.round + 1}.{record.pairing + 1}"


def _lines(*texts: str) -> Iterable[str]:
    return (text for text in texts if text)
