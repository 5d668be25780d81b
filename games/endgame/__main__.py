"""Make the endgame tables of checkers, or read them where they are stored, and print what they hold."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from games.compiled import announce_compilation
from games.endgame.index import MAX_PIECES, MIN_PIECES, EndgameError
from games.endgame.solver import memory_needed
from games.endgame.tables import Tables, load_or_build, tables_path


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m games.endgame", description=__doc__)
    parser.add_argument(
        "--pieces",
        type=int,
        default=4,
        choices=range(MIN_PIECES, MAX_PIECES + 1),
        help="the most pieces on the board (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    options = parser.parse_args(arguments)
    announce_compilation()
    started, started_cpu = time.perf_counter(), time.process_time()
    try:
        tables, made = _load_or_build(options.pieces)
    except EndgameError as error:
        print(f"python -m games.endgame: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was stored", file=sys.stderr, flush=True)
        os._exit(130)  # at once: an orderly exit would wait for the kernels, minutes with 6 pieces
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    path = str(tables_path(options.pieces))
    if options.json:
        report = {
            "pieces": options.pieces,
            "counts": {pieces: counts._asdict() for pieces, counts in tables.counts().items()},
            "bytes": tables.entries.size,
            "made": made,
            "file": path,
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu_seconds, 3),
        }
        print(json.dumps(report))
    else:
        _print_counts(tables)
        print(f"{'made' if made else 'read'} in {seconds:.1f} s ({cpu_seconds:.1f} s of CPU): {path}")
    return 0


def _load_or_build(pieces: int) -> tuple[Tables, bool]:
    """Return the tables and whether they had to be made; say then first what they take, and show how far they are."""
    columns = (TextColumn("endgame tables"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        tasks: list[TaskID] = []

        def on_progress(done: int, total: int) -> None:
            if not tasks:
                progress.console.print(
                    f"{pieces} pieces: {total:,} entries, "
                    f"{memory_needed(pieces) / 1e6:,.0f} MB of memory to make them, {total / 1e6:,.0f} MB on disk",
                    soft_wrap=True,
                )
                tasks.append(progress.add_task("", total=total))
            progress.update(tasks[0], completed=done)

        return load_or_build(pieces, on_progress), bool(tasks)


def _print_counts(tables: Tables) -> None:
    table = Table("pieces", "won", "lost", "drawn", "longest, turns", title="checkers, Black to move")
    for column in table.columns:
        column.justify = "right"
    for pieces, counts in tables.counts().items():
        numbers = (counts.wins, counts.losses, counts.draws, counts.longest)
        table.add_row(str(pieces), *(f"{number:,}" for number in numbers))
    Console().print(table)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends silently where nobody reads on, as after `| head`
    sys.exit(main())
