"""`train.py selfplay`: the options of learning from self-play alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents import learner_command
from agents.selfplay.config import PRESETS, SelfPlayConfig
from games.refusal import RefusedError

LEAST: dict[str, float] = {  # of the options that cannot be 0
    **dict.fromkeys(("batch_size", "iterations", "games", "games_at_once", "visits", "window", "match_games"), 1),
    **dict.fromkeys(("learning_rate", "value_weight", "noise_alpha", "reuse"), learner_command.POSITIVE),
}
MOST = {"noise": 1.0, "warmup": 1.0, "average": 0.999999}


@dataclass(frozen=True)
class Options:
    """Learn a game by playing against itself: tree search makes a network's moves better, and it learns those.

    Nobody's games are needed; of Go it is known that a player does not fill its own eyes, and outcomes that a tree
    proves are taken as such. Presets: laptop (a Gumbel root, Danihelka et al. 2022, of few simulations), quick
    (minutes; a small network) and alphazero (Silver et al. 2018; a cluster). From random weights, or going on with a
    network that knows something.

    examples:
      train.py selfplay --game connect_four --preset quick
      train.py selfplay --game go-9x9 --init models/go-9x9 --out runs/zero
      train.py selfplay --game go-9x9 --init models/go-9x9 --out runs/zero --resume
          goes on where that run stopped, however it stopped
    """

    game: str = "go-9x9"
    """the game: go-9x9, go (19x19), connect_four, checkers, ..."""
    init: Path | None = None
    """a model file or its folder to go on from: architecture, planes and weights come from there; where it has no value
    head it gets one (default: random weights)"""
    preset: Literal["laptop", "quick", "alphazero"] = "laptop"
    """where the options below come from"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """the run's directory (default: runs/selfplay-PRESET, numbered where that is taken)"""
    resume: bool = False
    """go on with the run in --out, whose options need not be said again (default: the newest runs/selfplay-PRESET);
    --iterations may be larger"""
    stop_after: float = 0.0
    """minutes after which this call stops at the end of an iteration, for --resume to go on; 0 for never"""
    threads: int = 0
    """threads that the network computes with, 0 for one a processor; other numbers round differently"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the network learns; auto: on a GPU if there is one; games are played on a GPU in any case"""
    tensorboard: bool = False
    """also write TensorBoard events (needs the extra [tensorboard])"""
    config: Annotated[SelfPlayConfig, tyro.conf.OmitArgPrefixes] = PRESETS["laptop"]


def main(arguments: list[str]) -> int:
    """Train as the command line says; return the exit status."""
    options = learner_command.parse(Options, arguments, PRESETS, "train.py selfplay")

    def train() -> None:
        from rich.console import Console

        from agents.selfplay.run import train_from  # here and not above: --help need not wait for torch

        check(options)
        train_from(options, Console(stderr=True))

    return learner_command.run("train.py selfplay", train)


def check(options: Options) -> None:
    """Raise RefusedError for options that no run can have, and for those that would have no effect."""
    config = options.config
    learner_command.check_ranges({**vars(options), **vars(config)}, LEAST, MOST)
    if config.considered > config.visits:
        raise RefusedError(f"--considered {config.considered}: at most --visits {config.visits}")
    if config.match_games % 2:
        raise RefusedError(f"--match-games {config.match_games}: an even number, half of them with each colour")
    preset = PRESETS[options.preset]
    for is_used, why, names in (
        (not config.considered, "only with --considered 0", ("noise", "noise_alpha", "drawn")),
        (config.noise > 0, "only with --noise", ("noise_alpha",)),
        (config.match_period > 0, "only with --match-period", ("match_games",)),
        (options.init is None, "--init brings its own", ("network",)),
    ):
        for name in names if not is_used else ():
            if getattr(config, name) != getattr(preset, name):
                words = " ".join(learner_command.words_of(name, getattr(config, name)))
                raise RefusedError(f"{words}: {why}")
