"""Recorded games from archives, folders and files: read once, in parallel, and kept in a cache.

`python -m games.archives PATH ...` tells what records hold, and every file that could not be read.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from games.archives.cache import Part, entry_path, load, store
from games.archives.members import ArchiveError, Other, Source, find_sources, read_members
from games.child_processes import child_settings, end_with
from games.machine import available_processors
from games.record_formats import Fault, GameRecord, format_of
from games.records import Records, join, pack

__all__ = ["ArchiveError", "Loaded", "fault_line", "load_records"]

GAMES_A_PART = 10_000  # packed together, so that few games are ever held unpacked
LEAST_BYTES = 2 << 20  # of files for which a second process is worth its start

OnProgress = Callable[[str, int, int], None]  # archive just read, bytes of archives done, bytes of all


@dataclass(frozen=True)
class Loaded:
    """What was found at some paths."""

    records: Records
    faults: list[Fault]  # games and files that could not be read or replayed, by archive and name
    num_others: int  # files beside and in archives that are neither records nor archives
    num_cached: int  # sources (archives, folders) whose games came out of the cache
    num_sources: int


def load_records(
    paths: Sequence[Path], game: str, *, workers: int = 1, keep: bool = True, on_progress: OnProgress | None = None
) -> Loaded:
    """Read all games at or under some paths; ArchiveError where a path does not exist or holds no records.

    The order of the games depends on the files' names alone. With several workers (0: one a core) archives are read in
    processes of their own: the program's main module must be importable. What was read is kept in the cache folder,
    and taken from there the next time, unless `keep` is False.
    """
    record_format = format_of(game)
    found = find_sources(paths, record_format.suffixes)
    sources = found.sources
    entries = [_entry(source, record_format.name) if keep else None for source in sources]
    parts = [None if entry is None else load(entry, record_format.name) for entry in entries]
    missing = [index for index, part in enumerate(parts) if part is None]
    num_cached = len(sources) - len(missing)
    total = sum(source.size for source in sources)
    done = total - sum(sources[index].size for index in missing)
    missing.sort(key=lambda index: -sources[index].size)  # the largest first, so that no core waits for one at the end
    tasks = [(sources[index], game, entries[index]) for index in missing]
    for index, part in zip(missing, _read_all(tasks, workers), strict=True):
        parts[index] = part
        done += sources[index].size
        if on_progress is not None:
            on_progress(sources[index].name, done, total)
    whole = [part for part in parts if part is not None]
    return Loaded(
        records=join(game, [part.records for part in whole]),
        faults=[fault for part in whole for fault in part.faults],
        num_others=found.num_others + sum(part.num_others for part in whole),
        num_cached=num_cached,
        num_sources=len(sources),
    )


def fault_line(faults: Sequence[Fault], game: str) -> str:
    """Return in one line how many games and archives are damaged, the first of them named; there is one at least."""
    num_archives = sum(fault.is_archive for fault in faults)
    counts = ((len(faults) - num_archives, "game", "not read"), (num_archives, "archive", "damaged"))
    told = ", ".join(f"{count:,} {noun}{'s' * (count != 1)} {fate}" for count, noun, fate in counts if count)
    command = f"python -m games.archives --game {game} PATH ..."
    return f"{told} ({command} lists them); the first: {faults[0].name}: {faults[0].reason}"


def _entry(source: Source, game: str) -> Path | None:
    """Return a source's place in the cache, None where it cannot be read: reading it then says so."""
    try:
        return entry_path(source, game)
    except OSError:
        return None


Task = tuple[Source, str, Path | None]  # what to read, as records of which game, where to keep it


def _read_all(tasks: list[Task], workers: int) -> Iterator[Part]:
    """Yield what sources hold, in their order."""
    workers = min(workers or available_processors(), len(tasks))
    if workers <= 1 or sum(source.size for source, _, _ in tasks) < LEAST_BYTES:
        yield from map(_read_source, tasks)
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads of torch and numba half alive
    theirs, ours = context.Pipe(duplex=False)  # a lifeline: workers end when our end of it is closed
    executor = ProcessPoolExecutor(workers, context, end_with, (theirs,))
    try:
        with child_settings():
            reading = [executor.submit(_read_source, task) for task in tasks]
        for future in reading:
            yield future.result()
    except BrokenProcessPool:
        raise ArchiveError("a process that read records died, perhaps for want of memory") from None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        ours.close()


def _read_source(task: Task) -> Part:
    """Read the games of one archive or folder, and keep them in the cache."""
    source, game, entry = task
    record_format = format_of(game)
    parts: list[Records] = []
    waiting: list[GameRecord] = []
    faults: list[Fault] = []
    num_others = 0
    for member in read_members(source, record_format.suffixes, record_format.max_bytes):
        if isinstance(member, Other):
            num_others += 1
            continue
        found = [member] if isinstance(member, Fault) else record_format.read(member.name, member.content)
        for record in found:
            if isinstance(record, Fault):
                name = f"{source.name}: {record.name}" if record.name else source.name
                faults.append(record._replace(name=name))
            else:
                waiting.append(record)
        if len(waiting) >= GAMES_A_PART:
            parts.append(pack(game, source.name, waiting))
            waiting = []
    part = Part(join(game, [*parts, pack(game, source.name, waiting)]), faults, num_others)
    if entry is not None:
        store(entry, part)
    return part
