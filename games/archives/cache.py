"""Games that were read once, kept in the user's cache folder: reading them again takes a hundredth of the time.

An entry is named by a hash of what was read and of the sources that read it, so it is never out of date; every array
is checked as it is read back (CRC-32, by the zip file they lie in), and a damaged entry is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from games.archives.members import Source
from games.compiled import PACKAGE_ROOT, cache_home
from games.durable import TEMPORARY, flush, replacing
from games.record_formats import Fault
from games.records import Records

ENTRY_AGE = 60 * 86_400.0  # seconds that an entry lies unused before it is removed
OURS = re.compile(rf"({re.escape(TEMPORARY)}\d+-)?\w+-[0-9a-f]{{32}}\.npz")  # other files may lie in the same folder
READERS = (  # sources of this package that decide what a file's games are
    *("archives/*.py", "records.py", "record_formats.py", "symmetries.py", "random_bits.py", "notation.py", "rules.py"),
    *("sgf.py", "go.py", "go_board.py", "pdn.py", "checkers.py", "checkers_lines.py", "legal_masks.py"),
)
ARRAYS = ("moves", "offsets", "start", "result", "ranks", "handicap", "hashes", "archive", "names", "name_ends")


def cache_folder() -> Path:
    """Return where entries are kept: in $PLAYFIELD_RECORDS, else in the folder `records` of the cache."""
    chosen = os.environ.get("PLAYFIELD_RECORDS")
    return Path(chosen) if chosen else cache_home() / "records"


@cache
def _readers_digest() -> bytes:
    """Return a hash of the sources that decide what a file's games are."""
    digest = hashlib.sha256(metadata.version("sgfmill").encode())
    for path in sorted(path for pattern in READERS for path in (PACKAGE_ROOT / "games").glob(pattern)):
        digest.update(f"\0{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.digest()


def entry_path(source: Source, game: str) -> Path:
    """Return where a source's games are or will be kept; OSError where a file of it cannot be read."""
    digest = hashlib.sha256(_readers_digest())
    for name in (source.name, *source.files):
        digest.update(f"\0{name}".encode(errors="replace"))
    for name in source.files:
        with (source.folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return cache_folder() / f"{game}-{digest.hexdigest()[:32]}.npz"


class Part(NamedTuple):
    """What one source holds."""

    records: Records
    faults: list[Fault]
    num_others: int  # files in an archive that are neither records nor archives


def load(path: Path, game: str) -> Part | None:
    """Return what an entry holds; None where there is none, or, with a line on stderr, where it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as entry:
            arrays = {name: entry[name] for name in ARRAYS}
            text = json.loads(entry["text"].tobytes())
        os.utime(path)  # used now
        records = Records(game=game, starts=tuple(text["starts"]), archives=tuple(text["archives"]), **arrays)
        return Part(records, [Fault(*fault) for fault in text["faults"]], text["num_others"])
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        print(f"{path} is damaged ({' '.join(str(error).split())}); reading the games anew", file=sys.stderr)
        return None


def store(path: Path, part: Part) -> None:
    """Keep a source's games; where the disk does not let us, that is said on stderr."""
    records, faults, num_others = part
    text = {"starts": records.starts, "archives": records.archives, "faults": faults, "num_others": num_others}
    arrays = {name: getattr(records, name) for name in ARRAYS}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_unused(path.parent)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, text=np.frombuffer(json.dumps(text).encode(), np.uint8), **arrays)
            file.flush()
            flush(file.fileno())
    except OSError as error:
        print(f"{path.parent}: cannot keep the games that were read ({error.strerror})", file=sys.stderr)


def _remove_unused(folder: Path) -> None:
    for entry in folder.iterdir():
        try:
            if OURS.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > ENTRY_AGE:
                entry.unlink()
        except FileNotFoundError:  # another process has just removed it
            continue
