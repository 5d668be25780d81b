"""`train.py reinforce`: the options of the second stage of AlphaGo's pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents import learner_command
from agents.alphago.config import REINFORCE_PRESETS, ReinforceConfig

LEAST: dict[str, float] = {  # of the options that cannot be 0
    **dict.fromkeys(("iterations", "games", "pool_period", "batch_size", "checkpoint_period"), 1),
    "max_gradient_norm": learner_command.POSITIVE,
}


@dataclass(frozen=True)
class ReinforceOptions:
    """Improve a policy network by the games it plays against its earlier selves (AlphaGo's second stage).

    The first stage is `train.py imitate`, the third `train.py value`; players put them together:
    mcts:model=POLICY,value=VALUE,lambda=0.25.

    examples:
      train.py reinforce --init models/go-9x9-imitation --preset quick
      train.py reinforce --init runs/imitate-quick --game go-9x9 --preset laptop --out runs/improved
      train.py reinforce --init runs/imitate-quick --game go-9x9 --preset laptop --out runs/improved --resume
    """

    init: Path
    """the policy to begin with: a model file or its folder"""
    game: str = "go-9x9"
    """the game: go-9x9, go (19x19), checkers, ..."""
    preset: Literal["quick", "laptop", "paper"] = "quick"
    """where the options below come from: quick (minutes), laptop (an hour), paper (Silver et al. 2016; a cluster)"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """the run's directory (default: runs/reinforce-PRESET, numbered where that is taken)"""
    resume: bool = False
    """go on with the run in --out, whose options need not be said again (default: the newest runs/reinforce-PRESET);
    --iterations may be larger"""
    threads: int = 0
    """threads that the network computes with, 0 for one a processor; other numbers round differently"""
    tensorboard: bool = False
    """also write TensorBoard events (needs the extra [tensorboard])"""
    config: Annotated[ReinforceConfig, tyro.conf.OmitArgPrefixes] = REINFORCE_PRESETS["quick"]


def main(arguments: list[str]) -> int:
    """Train as the command line says; return the exit status."""
    options = learner_command.parse(ReinforceOptions, arguments, REINFORCE_PRESETS, "train.py reinforce")

    def train() -> None:
        from rich.console import Console

        from agents.alphago.reinforce_run import train_from  # here and not above: --help need not wait for torch

        learner_command.check_ranges({**vars(options), **vars(options.config)}, LEAST)
        train_from(options, Console(stderr=True))

    return learner_command.run("train.py reinforce", train)
