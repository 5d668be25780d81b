"""The network of another run, for a training to begin from."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from agents.atari.player import read_model
from agents.dqn.config import DqnConfig, DqnConfigError
from agents.dqn.networks import q_network_spec
from agents.learner_command import words_of
from agents.model_files import find_model, no_model
from games.atari import action_names, find_protocol
from nets.models import QNetwork, load_model
from nets.spec import SpecError
from nets.widening import widened

ARCHITECTURE = ("network", "norm", "dueling", "noisy", "distribution", "num_atoms", "v_min", "v_max")


class Initial(NamedTuple):
    """A network, its file, and the first digits of the file's hash."""

    network: QNetwork
    file: Path
    sha256: str


def load_initial(path: Path, config: DqnConfig) -> Initial:
    """Return the network of a model file or folder, with the configuration's actions and as wide as it says.

    DqnConfigError where it is for another game, or of an architecture that cannot become the configuration's;
    AtariError or ModelFileError where it is none for Atari games, or damaged.
    """
    file = find_model(path)
    if file is None:
        raise DqnConfigError(f"--init {path}: {no_model(path)}")
    model = read_model(file)
    if model.game != config.game:
        raise DqnConfigError(f"--init {path}: it plays {model.game}, and this is --game {config.game}")
    network, header = load_model(file)
    assert isinstance(network, QNetwork), "its header says so"
    protocol = find_protocol(config.protocol)
    known, wanted = (
        action_names(config.game, replace(protocol, full_action_set=full))
        for full in (model.full_action_set, protocol.full_action_set)
    )
    if known != wanted:
        least = "NOOP" if "NOOP" in known else known[0]  # a few games, such as Backgammon, always do something
        network = with_actions(network, [known.index(name if name in known else least) for name in wanted])
    spec = q_network_spec(config, len(wanted))
    if network.spec.trunk != spec.trunk:
        with contextlib.suppress(SpecError):  # what cannot become wider is refused below
            network = widened(network, spec.trunk, torch.Generator().manual_seed(config.seed))
    if network.spec != spec:
        trained, asked = header["training"], vars(config)
        theirs = {name: trained[name] for name in ARCHITECTURE if trained.get(name, asked[name]) != asked[name]}
        options = " ".join(word for name, value in theirs.items() for word in words_of(name, value))
        raise DqnConfigError(f"--init {path}: it is another network than this run's: {options or 'of other layers'}")
    return Initial(network, file, hashlib.sha256(file.read_bytes()).hexdigest()[:16])


def with_actions(network: QNetwork, rows: Sequence[int]) -> QNetwork:
    """Return a network whose action i has the values that action rows[i] of the given one has."""
    head = network.spec.head
    new = replace(network.spec, head=replace(head, num_actions=len(rows))).build()
    weights = network.state_dict()
    for name, tensor in new.state_dict().items():
        if tensor.shape != weights[name].shape:  # the last layer's: outputs of action 0, of action 1, ...
            weights[name] = weights[name].unflatten(0, (head.num_actions, -1))[list(rows)].flatten(0, 1)
    new.load_state_dict(weights)
    return new.eval()


def origin(initial: Initial | None) -> dict[str, str]:
    """Return what a run and its model files say of the network that they began from."""
    return {} if initial is None else {"init": initial.sha256}
