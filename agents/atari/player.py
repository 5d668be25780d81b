"""Players of Atari games: a trained Q-network from its file, or chance.

N games, S frames a stack, A actions. A model file says in its header which game it plays and, in its training
configuration, under which protocol it learnt.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.model_files import find_model, is_run, no_model
from games.atari import (
    FULL_ACTION_SET,
    VERSION,
    AtariError,
    Protocol,
    action_names,
    find_game,
    find_protocol,
    for_evaluation,
)

if TYPE_CHECKING:
    from nets.models import QNetwork

RANDOM = "random"  # the player that draws every action

# The share of actions that are random while a game is scored: Mnih et al. 2015, Methods, "Evaluation procedure";
# Machado et al. 2018, whose agents are scored as they learn.
EPSILONS = {"nature": 0.05, "machado2018": 0.01}

Frames = NDArray[np.uint8]
Values = NDArray[np.float32]


class OtherModelError(AtariError):
    """A model file that holds no network for Atari games."""


@dataclass(frozen=True)
class AtariModel:
    """A model file's place and what its header says."""

    path: Path
    game: str
    protocol: str  # it learnt under
    full_action_set: bool

    def has_actions_of(self, protocol: Protocol) -> bool:
        """Say whether a protocol gives the actions that it learnt with: some games have all 18 at the least."""
        known, given = (_action_names(self.game, full) for full in (self.full_action_set, protocol.full_action_set))
        return known == given


@dataclass(frozen=True)
class AtariPlayer:
    """Who plays one game; without a model, chance."""

    name: str
    game: str
    protocol: Protocol  # games are scored by it, with the actions that the player knows
    model: QNetwork | None

    @property
    def action_names(self) -> tuple[str, ...]:
        """What the actions 0, 1, ... are called."""
        return _action_names(self.game, self.protocol.full_action_set)

    def q_values(self, stacks: Frames) -> Values:
        """Return the Q-value of every action, [N, A], for stacks [N, S, 84, 84]; zeros where chance plays."""
        if self.model is None:
            return np.zeros((len(stacks), len(self.action_names)), np.float32)
        import torch

        with torch.inference_mode():
            values: Values = self.model.q_values(torch.from_numpy(stacks)).numpy()
        return values

    def choose(self, values: Values, epsilon: float, generators: Sequence[np.random.Generator]) -> list[int]:
        """Return the best action of each row, or with probability `epsilon` any; chance takes any."""
        drawn = [(generator.random(), generator.integers(values.shape[1])) for generator in generators]
        share = epsilon if self.model is not None else 1.0
        return [
            int(any_action) if draw < share else int(best)
            for best, (draw, any_action) in zip(values.argmax(1), drawn, strict=True)
        ]


@functools.cache
def _action_names(game: str, full_action_set: bool) -> tuple[str, ...]:
    return action_names(game, replace(find_protocol("nature"), full_action_set=full_action_set))


def read_model(path: Path) -> AtariModel:
    """Return what a model file says of itself; AtariError, or ModelFileError where it is damaged.

    OtherModelError where it is a network for something else.
    """
    from nets.model_file import read_header

    header = read_header(path)
    architecture, training = header.get("architecture"), header.get("training")
    is_atari = isinstance(architecture, dict) and architecture.get("kind") == "q_network"
    if not is_atari or not isinstance(training, dict):
        raise OtherModelError(f"{path} holds no network for Atari games; its header says {header.get('game')}")
    if header.get("rules_version") != VERSION:
        raise AtariError(f"{path} was made for version {header.get('rules_version')} of the frames, this is {VERSION}")
    game = find_game(str(header.get("game")))
    protocol = find_protocol(str(training.get("protocol"))).name
    assert isinstance(architecture, dict)
    head = architecture.get("head")
    num_actions = head.get("num_actions") if isinstance(head, dict) else None
    minimal = len(_action_names(game, False))
    if num_actions not in (minimal, len(FULL_ACTION_SET)):
        raise AtariError(f"{path} chooses among {num_actions} actions, but {game} has {minimal}, or 18 in full")
    return AtariModel(path, game, protocol, full_action_set=num_actions == len(FULL_ACTION_SET))


def find_models(spec: str, notice: Callable[[str], None]) -> list[AtariModel]:
    """Return the models that a word on the command line names: a file, its folder, or a folder of folders.

    `notice` is told in a line each which models for other games a folder holds, and which runs without one. AtariError
    where no others are left, ModelFileError where one is damaged.
    """
    file = find_model(spec)
    if file is not None:
        return [read_model(file)]
    if is_run(spec):
        raise AtariError(f"player {spec!r}: {no_model(spec)}")
    folders = {folder: find_model(folder.absolute()) for folder in sorted(Path(spec).glob("*/"))}
    files = [*sorted(Path(spec).glob("*.safetensors")), *(found for found in folders.values() if found is not None)]
    for folder, found in folders.items():
        if found is None and is_run(folder):
            notice(f"{folder}: left out, {no_model(folder)}")
    if not files:
        raise AtariError(f"player {spec!r}: neither {RANDOM} nor a model file, its folder or a folder of such folders")
    models, others = [], []
    for path in files:
        try:
            models.append(read_model(path))
        except OtherModelError:
            others.append(path if path.parent == Path(spec) else path.parent)
    if not models:
        raise AtariError(f"player {spec!r}: of its {len(others)} models none plays an Atari game")
    if others:
        notice(f"{spec}: left out, since they play no Atari game: {', '.join(path.name for path in others)}")
    return models


def make_player(name: str, game: str, model: AtariModel | None, protocol: Protocol) -> AtariPlayer:
    """Return who plays a game under a protocol as it is scored; a model keeps the actions that it learnt with.

    With a model torch computes in one thread from here on: a second has next to nothing to do for a single stack, and
    waits a hundred times as long where another process has its processor.
    """
    scored = for_evaluation(protocol)
    if model is None:
        return AtariPlayer(name, game, scored, None)
    if model.game != game:
        raise AtariError(f"{model.path} plays {model.game}, not {game}")
    import torch

    from nets.models import QNetwork, load_model

    torch.set_num_threads(1)
    network, _ = load_model(model.path)
    assert isinstance(network, QNetwork), "its header says so"
    needed = (protocol.num_stack, 84, 84)
    if network.spec.input_shape != needed:
        raise AtariError(f"{model.path} sees frames {network.spec.input_shape}, the protocol gives {needed}")
    return AtariPlayer(name, game, replace(scored, full_action_set=model.full_action_set), network)


def check_epsilon(epsilon: float) -> float:
    """Return a probability; AtariError where it is none."""
    if math.isnan(epsilon) or not 0 <= epsilon <= 1:
        raise AtariError(f"epsilon {epsilon:g} is not from 0 to 1")
    return epsilon
