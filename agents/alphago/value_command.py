"""`train.py value`: the options of the third stage of AlphaGo's pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents import learner_command
from agents.alphago.config import VALUE_PRESETS, ValueConfig

LEAST = {  # of the options that cannot be 0
    **dict.fromkeys(("games", "games_at_once", "epochs", "batch_size", "checkpoint_period"), 1),
    "held_out": learner_command.POSITIVE,
}
MOST = {"held_out": 0.9}


@dataclass(frozen=True)
class ValueOptions:
    """Train a network that judges Go positions on one position each of many games of a policy (AlphaGo's third stage).

    examples:
      train.py value --imitating models/go-9x9-imitation --improved runs/reinforce-quick --preset quick
      train.py value --out runs/value --resume
    """

    imitating: Path
    """the policy that opens the games: a model file or its folder"""
    improved: Path
    """the policy that plays them to their ends"""
    game: str = "go-9x9"
    """Go on a board of any size"""
    preset: Literal["quick", "laptop"] = "quick"
    """where the options below come from: quick (minutes), laptop (an hour)"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """the run's directory (default: runs/value-PRESET, numbered where that is taken)"""
    resume: bool = False
    """go on with the run in --out, whose options need not be said again (default: the newest runs/value-PRESET)"""
    threads: int = 0
    """threads that the network computes with, 0 for one a processor; other numbers round differently"""
    tensorboard: bool = False
    """also write TensorBoard events (needs the extra [tensorboard])"""
    config: Annotated[ValueConfig, tyro.conf.OmitArgPrefixes] = VALUE_PRESETS["quick"]


def main(arguments: list[str]) -> int:
    """Train as the command line says; return the exit status."""
    options = learner_command.parse(ValueOptions, arguments, VALUE_PRESETS, "train.py value")

    def train() -> None:
        from rich.console import Console

        from agents.alphago.value_run import train_from  # here and not above: --help need not wait for torch

        learner_command.check_ranges({**vars(options), **vars(options.config)}, LEAST, MOST)
        train_from(options, Console(stderr=True))

    return learner_command.run("train.py value", train)
