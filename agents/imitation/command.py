"""`train.py imitate`: options, the records, the run's directory, live progress, and the accuracy at the end."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents import learner_command
from agents.imitation.config import PRESETS, ImitateConfig, ImitateError

DATA = Path("data")  # where records lie unless told: data/go, data/checkers
LEAST = {  # of the options that cannot be 0
    **dict.fromkeys(("batch_size", "validation_positions", "period"), 1),
    "held_out": learner_command.POSITIVE,
}
MOST = {"warmup": 1.0, "average": 0.999999, "held_out": 0.9}
DEFAULT_PRESET = {"checkers": "checkers"}  # of the games that quick is not for


@dataclass(frozen=True)
class Options:
    """Train a network to predict the moves, and the winner, of recorded games.

    Presets: quick (four minutes to a Go network to play against), small (an hour on a processor), resnet-6x96 (for a
    GPU, or days), checkers; and the published networks clark-storkey, maddison12, alphago13. A preset sets the options
    below; an option given on the command line overrides it.

    examples:
      train.py imitate --data data/go
      train.py imitate --data data/go/kgs-*.tar.xz --preset small --minutes 90 --out runs/go
      train.py imitate --data data/go --preset small --minutes 90 --out runs/go --resume
          goes on where that run stopped, however it stopped
      train.py imitate --data data/go --preset resnet-6x96 --stop-after 10 --out runs/large
          for ten minutes, on a GPU that is lent for so long; the next ten: the same with --resume
      train.py imitate --game go-9x9 --data data/go --init models/go-19x19 --minutes 10
          goes on with a network of another board size
      train.py imitate --data data/go --init models/go-19x19 --grow resnet-8x128 --optimiser muon --minutes 120
          goes on with a larger network that begins by saying what the smaller one said
      train.py imitate --game checkers --data archive.pdn
    """

    game: str = "go"
    """the game: go (19x19), go-9x9, go-13x13, ..., checkers"""
    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="PATH ...", help_behavior_hint="")] = ()
    """records: SGF or PDN files, archives (.tar.xz, .zip, ...), folders of such (default: data/GAME)"""
    preset: Literal["quick", "small", "resnet-6x96", "clark-storkey", "maddison12", "alphago13", "checkers"] = "quick"
    """where the options below come from"""
    init: Annotated[Path | None, tyro.conf.arg(metavar="MODEL", help_behavior_hint="")] = None
    """a model file or its folder to go on from: architecture, planes and weights come from there; where it has no value
    head it gets one, unless --value-weight is 0"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """the run's directory (default: runs/imitate-PRESET, numbered where that is taken)"""
    resume: bool = False
    """go on with the run in --out, whose options need not be said again (default: the newest runs/imitate-PRESET);
    --positions and --minutes may be larger"""
    stop_after: float = 0.0
    """minutes after which this call saves and stops, for --resume to go on; 0 for never"""
    threads: int = 0
    """threads that the network computes with, 0 for one a processor; other numbers round differently"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the network computes; auto: on a GPU if there is one"""
    tensorboard: bool = False
    """also write TensorBoard events (needs the extra [tensorboard])"""
    config: Annotated[ImitateConfig, tyro.conf.OmitArgPrefixes] = PRESETS["quick"]


def main(arguments: list[str]) -> int:
    """Train as the command line says; return the exit status."""
    options = parse(arguments)

    def start() -> None:
        from rich.console import Console

        check(options)
        check_data(options)
        from agents.imitation import run as imitate_run  # with torch: --help and a misspelt option need not wait for it

        imitate_run.train_from(options, Console(stderr=True))

    return learner_command.run("train.py imitate", start)


def parse(arguments: list[str]) -> Options:
    """Read the options, defaults taken from the preset that is asked for, or from the game's own."""
    game = learner_command.value_given("--game", arguments)
    usual = ["--preset", DEFAULT_PRESET[game]] if game in DEFAULT_PRESET else []
    return learner_command.parse(Options, arguments, PRESETS, "train.py imitate", usual)


def check(options: Options) -> None:
    """Raise ImitateError, in one line, for a value that no run can have."""
    config = options.config
    values = {**dataclasses.asdict(config), "stop_after": options.stop_after, "threads": options.threads}
    learner_command.check_ranges(values, LEAST, MOST, ImitateError)
    if not config.positions and not config.minutes:
        raise ImitateError("--positions 0 --minutes 0: one of them must say how long to train")
    preset = PRESETS[options.preset]
    for name in ("network", "features") if options.init is not None else ():
        if getattr(config, name) != getattr(preset, name):
            raise ImitateError(f"--{name} {getattr(config, name)}: --init brings its own; --grow makes it larger")
    if config.grow and options.init is None:
        raise ImitateError(f"--grow {config.grow}: which network? --init names it")


def data_paths(options: Options) -> tuple[Path, ...]:
    """Return where the records lie."""
    return options.data or (DATA / options.game.partition("-")[0],)


def run_name(options: Options) -> str:
    """Return the name of a run that is given no directory."""
    return f"imitate-{options.preset}"


def check_data(options: Options) -> None:
    """Raise ImitateError where no records are named, by the options or by the run that goes on, and none lie here."""
    usual = data_paths(options)[0]
    if options.data or usual.exists():
        return
    from agents.run import read_arguments  # here and not above: --help need not wait for it

    directory = learner_command.run_directory(options, run_name(options))
    if options.resume and not read_arguments(directory):
        raise ImitateError(f"--resume: there is no run in {directory} to go on with")
    raise ImitateError(f"--data is missing: where are the records? (there is no folder {usual} either)")
