"""The command line of the benchmarks: each subcommand measures one subject and prints a table or JSON."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # a script finds only its own folder: measure this checkout, not a copy installed elsewhere
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tyro

from agents.command_line import end, parsed
from benchmarks.subjects import SUBJECTS, Subject

# The least values of options, wherever they occur.
LEAST = {"seed": 0, **dict.fromkeys(("repeats", "positions", "openings", "trees", "leaves"), 1)}
LISTS = ("depths", "sizes", "batches")  # options that are lists of numbers
# Read when numpy and torch load, and so set before games, which imports numpy: their products would run on all cores.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
HELP = """Measure how fast the kernels, searches and learners are, beside other programs where they are installed.

Speeds are by CPU time, compilation left out, with the best and the median of some repetitions. What else runs on the
machine still counts, through caches and clock rates: the line about the machine tells its load.

examples:
  bench.py accuracy models/go-19x19 data/go --positions 50000
      how often the network predicts the expert's move, in games kept apart from its training
  bench.py perft checkers --depth 9
      counts of turns, which are exact, and turns a second
  bench.py perft checkers --fen B:W18,24,27,28,K10,K15:B12,16,20,K22,K25,K29 --depth 7 --json
      from another position, as one JSON document
  bench.py perft go --size 2 --rules positional --depth 8 --json
      of Go, by ko rule
  bench.py playouts go --size 9
      random games a second
  bench.py alphabeta checkers --model models/checkers-anaconda
      nodes a second and milliseconds a move
  bench.py search go --size 9 --json
      simulations a second of the tree search, with a network and without
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options: Subject = parsed(
        "bench.py",
        lambda: tyro.extras.subcommand_cli_from_dict(
            {**SUBJECTS},  # a dict of classes is none of functions to mypy; its copy is
            prog="bench.py",
            description=HELP,
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
        ),
    )
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before numpy and torch load, whose products run on all cores
    from games.refusal import RefusedError

    try:
        return run(options)
    except (RefusedError, OSError) as error:  # the second: a picture that cannot be written
        print(f"bench.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(options: Subject) -> int:
    """Measure a subject, print what was found, and return the exit status."""
    from rich.console import Console

    from benchmarks.timing import BenchError, machine, machine_line
    from games.compiled import announce_compilation

    for name, least in LEAST.items():
        if getattr(options, name, least) < least:
            raise BenchError(f"--{name} {getattr(options, name)} is less than {least}")
    for name in LISTS:
        if not getattr(options, name, True):
            raise BenchError(f"--{name}: at least one number")
    if (png := getattr(options, "png", None)) is not None:
        check_picture(png)
    announce_compilation()
    described = machine()  # before the load is ours
    report = options.run()
    if options.json:
        print(json.dumps({**report.document, "machine": described}))
    else:
        console = Console(highlight=False, markup=False)
        for table in report.tables:
            for column in table.columns[1:]:
                column.justify = "right"
            console.print(table)
        console.print(machine_line(described), soft_wrap=True)
    return 0


def check_picture(file: Path) -> None:
    """Raise BenchError, before anything is measured, where a picture cannot be drawn or written."""
    from benchmarks.timing import BenchError

    if importlib.util.find_spec("matplotlib") is None:
        raise BenchError("--png needs matplotlib: pip install -e '.[plots]'")
    if file.suffix != ".png":
        raise BenchError(f"--png {file}: its name must end in .png")
    if file.is_dir():
        raise BenchError(f"--png {file}: it is a folder")
    if not file.absolute().parent.is_dir():
        raise BenchError(f"--png {file}: there is no folder {file.parent}")


if __name__ == "__main__":
    end(main)
