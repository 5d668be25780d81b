"""`train.py evolve`: its options, and the command that goes on with a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents import learner_command
from agents.evolution.config import PRESETS, EvolveConfig


@dataclass(frozen=True)
class Options:
    """Evolve a checkers evaluator by letting networks play each other; nothing else is taught.

    Presets: quick (two minutes on two cores), modern (the strongest by the clock), paper (Chellapilla & Fogel's method,
    840 generations). A preset sets the options below; an option given on the command line overrides it.

    examples:
      train.py evolve --preset quick
      train.py evolve --preset paper --seed 1 --out runs/paper-1
      train.py evolve --preset paper --seed 1 --out runs/paper-1 --resume
          goes on where that run stopped, however it stopped
    """

    preset: Literal["quick", "modern", "paper"] = "quick"
    """where the options below come from"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """the run's directory (default: runs/evolve-PRESET, numbered where that is taken)"""
    resume: bool = False
    """go on with the run in --out, whose options need not be said again (default: the newest runs/evolve-PRESET);
    --generations may be larger"""
    workers: int = 0
    """games played at a time, 0 for one a processor; the result does not depend on it"""
    tensorboard: bool = False
    """also write TensorBoard events (needs the extra [tensorboard])"""
    config: Annotated[EvolveConfig, tyro.conf.OmitArgPrefixes] = PRESETS["quick"]


def main(arguments: list[str]) -> int:
    """Train as the command line says; return the exit status."""
    options = parse(arguments)

    def start() -> None:
        from rich.console import Console

        from agents.evolution import run  # with numba: --help and a misspelt option need not wait for it

        run.train(options, Console(stderr=True))

    return learner_command.run("train.py evolve", start)


def parse(arguments: list[str]) -> Options:
    """Read the options, defaults taken from the preset that is asked for."""
    return learner_command.parse(Options, arguments, PRESETS, "train.py evolve")
