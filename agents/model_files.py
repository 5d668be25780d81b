"""Where networks lie: how their files are called in a run's directory or a model's folder, and which are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.analysis import PlayerError

if TYPE_CHECKING:
    from games.rules import Game

MODEL_FILE = "model.safetensors"  # the newest weights
BEST_FILE = "best.safetensors"  # of a run that scores its network on the way: the weights that scored best
INITIAL_FILE = "initial.safetensors"  # of a run that began with another's network: its own copy of that
SHIPPED_MODELS = Path(__file__).resolve().parent.parent / "models"


def find_model(path: str | Path) -> Path | None:
    """Return the model file at a path, or the best one in the folder there.

    Relative paths also start at the shipped models.
    """
    for base in (Path(), SHIPPED_MODELS.parent, SHIPPED_MODELS):
        candidate = base / path
        for file in (candidate, candidate / BEST_FILE, candidate / MODEL_FILE):
            if file.is_file():
                return file
    return None


def initial_file(init: Path, directory: Path, resume: bool) -> Path:
    """Return where the network lies that a run begins with: on --resume its own copy, whatever became of the other."""
    own = directory / INITIAL_FILE
    return own if resume and own.is_file() else init


def is_run(path: str | Path) -> bool:
    """Say whether a learner's run lies in the folder at a path."""
    return (Path(path) / "checkpoints").is_dir()


def no_model(path: str | Path) -> str:
    """Return in words what is at a path where `find_model` finds nothing."""
    return "a run that has saved no model yet" if is_run(path) else "no model file or folder"


def check_made_for(game: Game, file: Path, header: Mapping[str, Any]) -> None:
    """Raise PlayerError where a model file's header tells of another game, or of other rules."""
    if header.get("game") not in (game.name, game.family):  # a network of Go may play on several sizes
        raise PlayerError(f"{file} was made for {header.get('game')}, not for {game.name}")
    if header.get("rules_version") != game.version:
        raise PlayerError(
            f"{file} was made for version {header.get('rules_version')} of the rules of {game.name}, "
            f"which are at version {game.version}"
        )
