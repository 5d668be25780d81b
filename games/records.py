"""Recorded games of any board game, all of them in flat arrays, and their positions by number.

A position is (game, ply): it is made by replaying the game's first `ply` actions in a kernel
(`games/record_batches.py`), so 39 million positions of Go take 2 bytes each. `games.archives` reads files into
`Records`; a learner then writes

    records = load_records([Path("data/go")], "go").records
    held_out = records.held_out(0.02)
    training = Positions(records, np.flatnonzero(~held_out & (records.handicap == 0)))
    reader = PositionReader(training, "maddison12", dtype=np.uint8)
    shuffle = Shuffle(len(training), seed=1)
    batch = reader.read(shuffle.numbers(step * 256, 256), symmetries=...)

Shapes: N games, M actions of all games together, S different starting positions.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from games.compiled import njit
from games.random_bits import mix
from games.record_formats import GameRecord, RecordFormat, format_of
from games.refusal import RefusedError
from games.rules import Game, States, game_of

SAME_GAME_PLIES = 60  # two records that agree so far, in any rotation or reflection, count as copies of one game

Array = np.ndarray[Any, Any]


class RecordsError(RefusedError):
    """A choice of games or positions that the records do not have; the message is one line."""


@dataclass(frozen=True)
class Records:
    """All games that were read, as flat arrays; not to be changed."""

    game: str  # name of the record format: "go" for every board size, "checkers"
    moves: Array  # int16 [M]: the actions of game 0, of game 1, ...; Go's depend on the game's board size
    offsets: Array  # int64 [N + 1]: game i's actions are moves[offsets[i]:offsets[i + 1]]
    start: Array  # int32 [N]: row of `starts`
    starts: tuple[str, ...]  # [S] starting positions as text, in the format's own words
    result: Array  # int8 [N]: player 0 won 1, drawn 0, lost -1; record_formats.UNKNOWN
    ranks: Array  # int8 [N, 2] of both players: dan 1-9, professional 11-19, kyu -1 ... -30, 0 unknown
    handicap: Array  # int16 [N]: stones set up before the first move
    hashes: Array  # uint64 [N] of the first SAME_GAME_PLIES actions, as hash_games makes them
    archive: Array  # int32 [N]: row of `archives`
    archives: tuple[str, ...]  # file names
    names: Array  # uint8: UTF-8 names of all games, one after another
    name_ends: Array  # int64 [N + 1]: game i is named names[name_ends[i]:name_ends[i + 1]]

    def __len__(self) -> int:
        return int(self.result.size)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in bytes."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    def name(self, index: int) -> str:
        """Return where a game was read, as faults name it."""
        member = self.names[self.name_ends[index] : self.name_ends[index + 1]].tobytes().decode()
        return f"{self.archives[self.archive[index]]}: {member}"

    def actions(self, index: int) -> Array:
        """Return a game's actions, int16[plies]."""
        return self.moves[self.offsets[index] : self.offsets[index + 1]]

    def digests(self) -> Array:
        """Return a hash of each game as a whole, uint64[N]: its start, all its actions, its result and its ranks."""
        texts = [hashlib.sha256(text.encode()).digest()[:8] for text in self.starts]
        starts = np.frombuffer(b"".join(texts), "<u8").astype(np.uint64)
        described = np.stack([self.result, *self.ranks.T]).astype(np.uint8)
        digests = starts[self.start]
        digest_games(self.moves, self.offsets, described, digests)
        return digests

    def start_states(self) -> States:
        """Return the starting positions, [S] records."""
        return format_of(self.game).start_states(self.starts)

    @property
    def collections(self) -> tuple[str, ...]:
        """Name the kinds of archives: what their names have before the first dash or dot (kgs, pro, tom)."""
        return tuple(sorted({_collection(name) for name in self.archives}))

    def in_collection(self, collection: str) -> Array:
        """Say which games come from archives of one kind, bool[N]."""
        rows = np.array([_collection(name) == collection for name in self.archives], np.bool_)
        return rows[self.archive] if rows.size else np.zeros(0, np.bool_)

    def of_board(self, rows: int, columns: int) -> Array:
        """Say which games are on boards of a size, bool[N]."""
        sizes = [format_of(self.game).board_of(start) == (rows, columns) for start in self.starts]
        return np.array(sizes, np.bool_)[self.start] if sizes else np.zeros(0, np.bool_)

    def usual_board(self) -> tuple[int, int] | None:
        """Return the rows and columns that most games are played on; None where there are no games."""
        counts: Counter[tuple[int, int]] = Counter()
        for start, count in zip(self.starts, np.bincount(self.start, minlength=len(self.starts)), strict=True):
            counts[format_of(self.game).board_of(start)] += int(count)
        return max(counts, key=counts.__getitem__) if len(self) else None

    def held_out(self, fraction: float) -> Array:
        """Say which games a validation set of about this fraction of all games has, bool[N].

        Decided by each game's hash alone, so that copies of a game never fall on both sides, and adding archives moves
        no game. Copies are told by `hash_games`, which says what it does not catch.
        """
        if not 0 <= fraction <= 1:
            raise RecordsError(f"a validation set of {fraction} of all games; allowed is 0 to 1")
        bits = 32
        return (self.hashes >> np.uint64(64 - bits)) < np.uint64(round(fraction * (1 << bits)))


def _collection(archive: str) -> str:
    return archive.split("-")[0].split(".")[0]


class Positions:
    """The positions of chosen games, all on boards of one size, numbered from 0."""

    def __init__(self, records: Records, games: Array | None = None) -> None:
        """Number the positions before every action of some games (int [n], default: all games)."""
        self.records = records
        self.games = np.arange(len(records)) if games is None else np.asarray(games, np.int64)
        lengths = records.offsets[self.games + 1] - records.offsets[self.games]
        self.ends = np.cumsum(lengths)  # int64 [n]: game i of `games` has the numbers below ends[i]
        boards = {format_of(records.game).board_of(records.starts[row]) for row in set(records.start[self.games])}
        if len(boards) > 1:
            shown = ", ".join(f"{rows}x{columns}" for rows, columns in sorted(boards))
            raise RecordsError(f"the games are on boards of several sizes ({shown}); choose one with of_board")

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.ends.size else 0

    @property
    def board_game(self) -> Game:
        """Return the game that is played, at its board size; RecordsError where there are no positions."""
        if not len(self):
            raise RecordsError("there are no positions to read")
        start = self.records.starts[self.records.start[self.games[0]]]
        return game_of(format_of(self.records.game).start_states((start,)))

    def locate(self, numbers: Array) -> tuple[Array, Array]:
        """Return the games (rows of the records) and plies of some positions, both int64[n]."""
        numbers = np.asarray(numbers, np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise RecordsError(f"position {numbers.min()} or {numbers.max()} asked of {len(self)}")
        chosen = np.searchsorted(self.ends, numbers, side="right")
        games = self.games[chosen]
        before_end = self.ends[chosen] - numbers  # actions from here to the end of the game
        return games, self.records.offsets[games + 1] - self.records.offsets[games] - before_end


# --- packing --------------------------------------------------------------------------------------------------------


def pack(game: str, archive: str, found: Sequence[GameRecord]) -> Records:
    """Pack the games of one archive."""
    record_format = format_of(game)
    starts = {text: row for row, text in enumerate(dict.fromkeys(record.start for record in found))}
    names = [record.name.encode(errors="replace") for record in found]
    moves = np.concatenate([np.zeros(0, np.int16), *(record.actions for record in found)], dtype=np.int16)
    offsets = _ends(len(record.actions) for record in found)
    start = np.array([starts[record.start] for record in found], np.int32)
    return Records(
        game=record_format.name,
        moves=moves,
        offsets=offsets,
        start=start,
        starts=tuple(starts),
        result=np.array([record.result for record in found], np.int8),
        ranks=np.array([record.ranks for record in found], np.int8).reshape(-1, 2),
        handicap=np.array([record.handicap for record in found], np.int16),
        hashes=_hashes(record_format, tuple(starts), start, moves, offsets),
        archive=np.zeros(len(found), np.int32),
        archives=(archive,),
        names=np.frombuffer(b"".join(names), np.uint8),
        name_ends=_ends(map(len, names)),
    )


def join(game: str, parts: Sequence[Records]) -> Records:
    """Put the records of several archives one after another."""
    start, starts = _renumbered([(part.start, part.starts) for part in parts])
    archive, archives = _renumbered([(part.archive, part.archives) for part in parts])

    def together(name: str, empty: Array) -> Array:
        return np.concatenate([empty, *(getattr(part, name) for part in parts)], dtype=empty.dtype)

    def ends(name: str) -> Array:
        return np.cumsum(np.concatenate([[0], *(np.diff(getattr(part, name)) for part in parts)]), dtype=np.int64)

    return Records(
        game=format_of(game).name,
        moves=together("moves", np.zeros(0, np.int16)),
        offsets=ends("offsets"),
        start=start,
        starts=starts,
        result=together("result", np.zeros(0, np.int8)),
        ranks=together("ranks", np.zeros((0, 2), np.int8)),
        handicap=together("handicap", np.zeros(0, np.int16)),
        hashes=together("hashes", np.zeros(0, np.uint64)),
        archive=archive,
        archives=archives,
        names=together("names", np.zeros(0, np.uint8)),
        name_ends=ends("name_ends"),
    )


def _renumbered(parts: Sequence[tuple[Array, tuple[str, ...]]]) -> tuple[Array, tuple[str, ...]]:
    """Put arrays of rows of lists of texts one after another, as rows of one list that has each text once."""
    texts = {text: row for row, text in enumerate(dict.fromkeys(text for _, listed in parts for text in listed))}
    rows = [np.array([texts[text] for text in listed], np.int32)[of_games] for of_games, listed in parts]
    return np.concatenate([np.zeros(0, np.int32), *rows], dtype=np.int32), tuple(texts)


def _ends(lengths: Iterable[int]) -> Array:
    return np.cumsum(np.array([0, *lengths], np.int64))


def _hashes(record_format: RecordFormat, starts: Sequence[str], start: Array, moves: Array, offsets: Array) -> Array:
    """Hash every game's first actions, board size by board size, since each has symmetries of its own."""
    hashes = np.zeros(start.size, np.uint64)
    boards = [record_format.board_of(text) for text in starts]
    for board in set(boards):
        rows = np.array([other == board for other in boards], np.bool_)
        games = np.flatnonzero(rows[start])
        hash_games(moves, offsets, games, record_format.action_maps(*board), record_format.pass_action(*board), hashes)
    return hashes


@njit
def hash_games(moves, offsets, games, action_maps, pass_action, hashes):
    """Write the hash of each of some games: the least over the symmetries (int16[K, A]) of a 64-bit hash of the first
    SAME_GAME_PLIES actions, without the passes that end a game, which many records leave out.

    Two records of one game have different hashes where one of them breaks off earlier among these actions, has other
    moves among them (a misplaced stone, two moves exchanged), or has handicap stones as moves that the other sets up.
    Two games that begin alike have the same.
    """
    for i in range(games.size):
        game = games[i]
        first, last = offsets[game], offsets[game + 1]
        while last > first and moves[last - 1] == pass_action:
            last -= 1
        last = min(last, first + SAME_GAME_PLIES)
        least = np.uint64(0xFFFFFFFFFFFFFFFF)
        for symmetry in range(action_maps.shape[0]):
            key = np.uint64(0xCBF29CE484222325)
            for index in range(first, last):
                key = taken_in(key, action_maps[symmetry, moves[index]])
            key = mix(key)
            least = min(least, key)
        hashes[game] = mix(least)  # the least of several is small: mix, so that its high bits are even again


@njit
def digest_games(moves, offsets, described, digests):
    """Take the numbers that describe each game, uint8[K, N], and all its actions into its digest, uint64[N]."""
    for game in range(digests.size):
        key = digests[game]
        for row in range(described.shape[0]):
            key = taken_in(key, described[row, game])
        for index in range(offsets[game], offsets[game + 1]):
            key = taken_in(key, moves[index])
        digests[game] = mix(key)


@njit
def taken_in(key, number):
    """Return a hash that has taken in one more number (FNV-1a, 64 bits)."""
    return (key ^ np.uint64(number)) * np.uint64(0x100000001B3)
