"""Endgame tables in memory and on disk: made once, stored in the user's cache, checked whenever they are read.

A file is a header of 64 bytes and the entries as they are. It is mapped, not read: processes share its pages.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from games.checkers import CHECKERS
from games.compiled import cache_home, njit
from games.durable import replace_file
from games.endgame.index import (
    LONGEST,
    MIN_PIECES,
    UNKNOWN,
    EndgameError,
    Entries,
    num_entries,
    outcome,
    probe,
    turns_left,
)
from games.endgame.solver import OnProgress, solve
from games.rules import State

HEADER = struct.Struct("<12s3IQ32s")  # magic, format, version of the rules, pieces, entries, their SHA-256
MAGIC = b"PF endgames\n"
FORMAT = 1  # counts changes of the index and of what a byte means


class Counts(NamedTuple):
    """What the positions of this many pieces are worth, Black to move."""

    wins: int
    losses: int
    draws: int
    longest: int  # turns of the longest win or loss


@dataclass(frozen=True)
class Tables:
    """The results of all positions of up to `max_pieces` pieces."""

    max_pieces: int
    entries: Entries = field(repr=False)  # for `probe`

    def value(self, state: State) -> tuple[int, int] | None:
        """Return the outcome for the side to move (1, 0, -1) and the turns to the end (draw: 0); None if unknown."""
        result = probe(self.entries, state)
        return None if result == UNKNOWN else (int(outcome(result)), int(turns_left(result)))

    def counts(self) -> dict[int, Counts]:
        """Return by number of pieces how many positions are won, lost and drawn."""
        counts = {}
        start = 0
        for pieces in range(MIN_PIECES, self.max_pieces + 1):
            stop = num_entries(pieces)
            histogram = count_results(self.entries[start:stop])
            decisive = histogram[1 : LONGEST + 1]
            longest = int(np.flatnonzero(decisive).max())
            counts[pieces] = Counts(int(decisive[1::2].sum()), int(decisive[0::2].sum()), int(histogram[0]), longest)
            start = stop
        return counts


@njit
def count_results(entries):
    """Return how often each byte occurs, int64[256]."""
    histogram = np.zeros(256, np.int64)
    for entry in entries:
        histogram[entry] += 1
    return histogram


def tables_path(max_pieces: int, folder: Path | None = None) -> Path:
    """Return where tables are stored: in $PLAYFIELD_TABLES, else in the folder `endgame` of the cache."""
    if folder is None:
        chosen = os.environ.get("PLAYFIELD_TABLES")
        folder = Path(chosen) if chosen else cache_home() / "endgame"
    return folder / f"{CHECKERS.name}-{max_pieces}.tables"


def load_or_build(max_pieces: int = 4, on_progress: OnProgress | None = None, folder: Path | None = None) -> Tables:
    """Return stored tables, or make and store them; a damaged file is replaced, with a line on stderr that says so.

    EndgameError where so many pieces cannot be had.
    """
    path = tables_path(max_pieces, folder)
    if path.exists():
        try:
            return load(path, max_pieces)
        except EndgameError as error:
            print(f"{error}; making it anew", file=sys.stderr)
    tables = Tables(max_pieces, solve(max_pieces, on_progress))
    try:
        save(tables, path)
    except OSError as error:
        print(f"{path}: cannot store the endgame tables ({error.strerror})", file=sys.stderr)
    return tables


def save(tables: Tables, path: Path) -> None:
    """Write tables to a file, which appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(tables.entries.data).digest()
    header = HEADER.pack(MAGIC, FORMAT, CHECKERS.version, tables.max_pieces, tables.entries.size, digest)
    replace_file(path, header, tables.entries.data)


def load(path: Path, max_pieces: int) -> Tables:
    """Return the tables of a file; EndgameError unless it is whole and holds what is asked for."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(HEADER.size)
    except OSError as error:
        raise EndgameError(f"{path}: cannot read the endgame tables ({error.strerror})") from None
    if len(header) < HEADER.size or not header.startswith(MAGIC):
        raise EndgameError(f"{path}: not a file of endgame tables")
    _, written_format, rules, pieces, num_written, digest = HEADER.unpack(header)
    if (written_format, rules) != (FORMAT, CHECKERS.version):
        raise EndgameError(
            f"{path}: endgame tables of format {written_format} and rules {rules}, "
            f"this version reads format {FORMAT} and rules {CHECKERS.version}"
        )
    if pieces != max_pieces or num_written != num_entries(max_pieces):
        raise EndgameError(f"{path}: holds {num_written} positions of up to {pieces} pieces, not of {max_pieces}")
    if size != HEADER.size + num_written:
        raise EndgameError(f"{path}: {size} bytes, a whole file of endgame tables has {HEADER.size + num_written}")
    # Copy on write, though nobody writes: kernels are compiled for writable arrays, such as NO_TABLES.
    entries = np.asarray(np.memmap(path, np.uint8, mode="c", offset=HEADER.size))
    if hashlib.sha256(entries.data).digest() != digest:
        raise EndgameError(f"{path}: damaged, the endgame tables do not match their checksum")
    return Tables(max_pieces, entries)
