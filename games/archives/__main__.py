"""Tell what recorded games hold, and name every file and game that could not be read."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from games.archives import ArchiveError, Loaded, load_records
from games.compiled import announce_compilation
from games.record_formats import FORMATS, UNKNOWN
from games.records import Records

SHOWN = 20  # faults, unless all are asked for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m games.archives", description=__doc__)
    parser.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="a folder, .sgf, .pdn, .tar.xz, .zip ...")
    parser.add_argument(
        "--game", choices=FORMATS, help="whose records to read (default: checkers if a PATH is .pdn, else go)"
    )
    parser.add_argument("--workers", metavar="N", type=int, default=0, help="processes that read (default: one a core)")
    parser.add_argument("--fresh", action="store_true", help="read everything anew, and keep nothing")
    parser.add_argument("--faults", action="store_true", help=f"name every fault, not only the first {SHOWN}")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the tables")
    options = parser.parse_args(arguments)
    if options.workers < 0:
        parser.error(f"--workers {options.workers}: allowed are 0 (one a core) and more")
    announce_compilation()
    game = options.game or ("checkers" if any(path.suffix.lower() == ".pdn" for path in options.paths) else "go")

    def on_progress(name: str, done: int, total: int) -> None:
        print(f"{100 * done // max(total, 1):3d} %  {name}", file=sys.stderr, flush=True)

    started = time.perf_counter()
    try:
        loaded = load_records(
            options.paths, game, workers=options.workers, keep=not options.fresh, on_progress=on_progress
        )
    except ArchiveError as error:
        print(f"python -m games.archives: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    report = _report(loaded, time.perf_counter() - started)
    if options.json:
        print(json.dumps(report | {"faults": [fault._asdict() for fault in loaded.faults]}))
    else:
        _print(report, loaded, len(loaded.faults) if options.faults else SHOWN)
    return 0


def _report(loaded: Loaded, seconds: float) -> dict[str, Any]:
    records = loaded.records
    return {
        "games": len(records),
        "moves": int(records.moves.size),
        "num_faults": len(loaded.faults),
        "other_files": loaded.num_others,
        "sources": loaded.num_sources,
        "from_cache": loaded.num_cached,
        "seconds": round(seconds, 3),
        "games_per_second": round(len(records) / seconds),
        "bytes": records.nbytes,
        "archives": {name: _counts(records, records.archive == row) for row, name in enumerate(records.archives)},
    }


def _counts(records: Records, chosen: np.ndarray[Any, Any]) -> dict[str, int]:
    lengths = np.diff(records.offsets)
    results = records.result[chosen]
    return {
        "games": int(chosen.sum()),
        "moves": int(lengths[chosen].sum()),
        "even": int((records.handicap[chosen] == 0).sum()),
        "black_won": int((results == 1).sum()),
        "white_won": int((results == -1).sum()),
        "drawn": int((results == 0).sum()),
        "unknown": int((results == UNKNOWN).sum()),
    }


def _print(report: dict[str, Any], loaded: Loaded, most: int) -> None:
    columns = ("games", "moves", "even", "black_won", "white_won", "drawn", "unknown")
    width = max([len(name) for name in report["archives"]] + [7])
    print(f"{'archive':{width}}" + "".join(f"{name.replace('_', ' '):>12}" for name in columns))
    for name, counts in report["archives"].items():
        print(f"{name:{width}}" + "".join(f"{counts[column]:12,}" for column in columns))
    totals = [sum(counts[column] for counts in report["archives"].values()) for column in columns]
    print(f"{'all':{width}}" + "".join(f"{total:12,}" for total in totals))
    for fault in loaded.faults[:most]:
        print(f"  {fault.name}: {fault.reason}")
    if len(loaded.faults) > most:
        print(f"  and {len(loaded.faults) - most:,} more: --faults names them")
    per_game = report["bytes"] / max(report["games"], 1)
    others = f"{report['other_files']:,} other file{'s' * (report['other_files'] != 1)}"
    print(
        f"{report['games']:,} games, {report['moves']:,} moves; {report['num_faults']:,} could not be read; "
        f"{others}; {report['bytes'] / 1e6:.1f} MB in memory, {per_game:.0f} bytes a game"
    )
    print(
        f"{report['seconds']:.1f} s, {report['games_per_second']:,} games a second; "
        f"{report['from_cache']} of {report['sources']} sources from the cache"
    )


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends silently where nobody reads on, as after `| head`
    sys.exit(main())
