"""The folder of a tournament: what was agreed, a line for each finished game, and the games for other programs.

tournament.json    game, rules, openings, seed, players and games for each two of them
results.jsonl      a JSON object for each game as it finishes; the one source of truth. In playing order at the end
games.pdn          the same games of checkers, or
sgf/0001-1.sgf     of Go: a file for each round and pairing

A kill at any moment loses the games under way and no other. The finished folder is the same, byte for byte, however
often the tournament was stopped and whatever the number of processes; but for players that think by the clock, and
for a sequential test (--sprt), which ends with the games under way that happen to be over.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.game_files import game_files
from agents.match import GameRecord
from games.durable import TEMPORARY, json_line, remove_temporaries, replace_file, write_all
from games.pdn import RESULT_NAMES
from games.refusal import RefusedError
from games.rules import Game

CONFIG, LINES = "tournament.json", "results.jsonl"
EXTENDABLE = ("games", "players")  # what may grow when a tournament goes on


class GameLogError(RefusedError):
    """A folder that cannot be used, read or written; the message is one line."""


class GameLog:
    """The one writer of a tournament's folder; `records` are the games that are saved."""

    def __init__(
        self,
        folder: Path,
        game: Game,
        config: Mapping[str, Any],
        resume: bool = False,
        notice: Callable[[str], None] = print,
    ) -> None:
        """Start in a new or empty folder or, with `resume`, go on with the tournament there.

        `config` holds "players" (names) and "games" (for each two); these may have grown, the rest must be the saved
        one's. `notice` is told in one line what goes on other than asked. Raises GameLogError.
        """
        self.folder = folder
        self.records: list[GameRecord] = []
        self._game, self._config = game, dict(config)
        try:
            _check_place(folder, resume)
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder)
            try:
                _check_place(folder, resume)  # again: before the lock another process could write
                self._open(resume, notice)
            except BaseException:
                os.close(self._lock)
                raise
        except OSError as error:
            raise GameLogError(f"{folder}: {error.strerror or error}") from error

    def _open(self, resume: bool, notice: Callable[[str], None]) -> None:
        """Read what is there, drop a torn line, write the games' files anew and open what is appended to."""
        remove_temporaries(self.folder)
        if (self.folder / CONFIG).exists():
            self._check_config()
            self._read_lines(notice)
        elif resume:
            notice(f"{self.folder}: nothing was saved yet, so the tournament starts afresh")
        replace_file(self.folder / CONFIG, json.dumps(self._config, indent=2).encode() + b"\n")
        self._files = game_files(self.folder, self._game, self._config["rules"])
        try:
            self._files.write_all(self.records)
        except ValueError as error:
            raise GameLogError(f"{self.folder / LINES}, {error}") from error
        self._lines = os.open(self.folder / LINES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _check_config(self) -> None:
        """Refuse to go on under other terms."""
        try:
            saved = json.loads((self.folder / CONFIG).read_bytes())
            is_whole = isinstance(saved["games"], int) and isinstance(saved["players"], list)
        except (ValueError, KeyError, TypeError, RecursionError):
            is_whole = False
        if not is_whole:
            raise GameLogError(f"{self.folder / CONFIG} is damaged or no tournament's")
        for name in [name for name in {**saved, **self._config} if name not in EXTENDABLE]:
            old, new = saved.get(name), self._config.get(name)
            if old != new:
                raise GameLogError(
                    f"{self.folder} holds another tournament: its {name} was {old} and is now {new}; "
                    "resume it as it was started, or choose another --out"
                )
        players: list[str] = self._config["players"]
        if players[: len(saved["players"])] != saved["players"]:
            raise GameLogError(
                f"{self.folder} holds another tournament: its players are {' '.join(saved['players'])}; "
                "name them first, in this order, then any new ones"
            )
        if self._config["games"] < saved["games"]:
            raise GameLogError(
                f"{self.folder} holds {saved['games']} games for each two players: ask for as many or more"
            )

    def _read_lines(self, notice: Callable[[str], None]) -> None:
        path = self.folder / LINES
        data = path.read_bytes() if path.exists() else b""
        whole, _, torn = data.rpartition(b"\n")
        if torn:
            notice(f"{path}: the last line was torn and is dropped; its game is played again")
            replace_file(path, whole + b"\n" if whole else b"")
        found: dict[tuple[int, int], int] = {}
        for number, line in enumerate(whole.splitlines(), 1):
            record = _parse_record(line)
            if record is None or not set(record.players) <= set(self._config["players"]):
                raise GameLogError(f"{path}, line {number}: no record of a game of this tournament (damaged or edited)")
            place = record.round, record.pairing
            if place in found:
                raise GameLogError(f"{path}, line {number}: the game of line {found[place]} again")
            found[place] = number
            self.records.append(record)

    def append(self, record: GameRecord) -> None:
        """Save a finished game; GameLogError where the disk refuses."""
        try:
            write_all(self._lines, _line_of(record))
            self._files.append(record)
        except OSError as error:
            raise GameLogError(
                f"{self.folder}: {error.strerror or error}; {len(self.records)} games are saved, and --resume goes on"
            ) from error
        self.records.append(record)

    def finish(self) -> None:
        """Bring the games into playing order."""
        self.records.sort(key=lambda record: (record.round, record.pairing))
        try:
            replace_file(self.folder / LINES, b"".join(_line_of(record) for record in self.records))
            self._files.write_all(self.records)
        except OSError as error:
            raise GameLogError(
                f"{self.folder}: {error.strerror or error}; the games are saved, in another order"
            ) from error

    def close(self) -> None:
        """Let another process write here; nothing may be appended afterwards."""
        os.close(self._lines)
        self._files.close()
        os.close(self._lock)


def _check_place(folder: Path, resume: bool) -> None:
    """Refuse a folder that holds another tournament, or something that is none."""
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()}
    if CONFIG in names:
        if not resume:
            raise GameLogError(
                f"{folder} holds a tournament already: add --resume to go on with it, or choose another --out"
            )
    elif any(not name.startswith(TEMPORARY) for name in names):
        raise GameLogError(f"{folder} is not empty and holds no tournament (no {CONFIG}): choose another --out")


def _lock(folder: Path) -> int:
    """Return a descriptor whose closing, at the latest by the system, lets the next writer in."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise GameLogError(f"{folder} is being written by another process, and a tournament has one writer") from None
    return descriptor


def _line_of(record: GameRecord) -> bytes:
    fields = {name: value for name, value in dataclasses.asdict(record).items() if value != () or name == "turns"}
    fields["turns"] = " ".join(record.turns)
    return json_line(fields)


def _parse_record(line: bytes) -> GameRecord | None:
    """Return the game that a line records, or None where it records none."""
    try:
        fields = json.loads(line)
        players: Sequence[Any] = fields["players"]
        comments: Sequence[Any] = fields.get("comments", ())
        turns = tuple(fields["turns"].split())
        record = GameRecord(**{**fields, "players": tuple(players), "turns": turns, "comments": tuple(comments)})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    texts = (*record.players, record.opening, record.reason, record.fault, record.score, record.note, *record.comments)
    numbers = (record.round, record.pairing)
    is_sound = (
        len(record.players) == 2
        and all(isinstance(text, str) for text in texts)
        and all(type(number) is int and number >= 0 for number in numbers)
        and record.result in RESULT_NAMES
        and type(record.result) is float
    )
    return record if is_sound else None
