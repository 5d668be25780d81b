"""The network of another run, for a training to begin from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from agents.atari.player import read_model
from agents.dqn.config import DqnConfig, DqnConfigError
from agents.dqn.networks import q_network_spec
from agents.learner_command import words_of
from agents.model_files import find_model, no_model
from games.atari import action_names, find_protocol
from nets.models import QNetwork, load_model

ARCHITECTURE = ("network", "norm", "dueling", "noisy", "distribution", "num_atoms", "v_min", "v_max")


class Initial(NamedTuple):
    """A network, and the first digits of its file's hash."""

    network: QNetwork
    sha256: str


def load_initial(path: Path, config: DqnConfig) -> Initial:
    """Return the network of a model file or folder.

    DqnConfigError where it is for another game or other actions, or of another architecture than the configuration's;
    AtariError or ModelFileError where it is none for Atari games, or damaged.
    """
    file = find_model(path)
    if file is None:
        raise DqnConfigError(f"--init {path}: {no_model(path)}")
    model = read_model(file)
    if model.game != config.game:
        raise DqnConfigError(f"--init {path}: it plays {model.game}, and this is --game {config.game}")
    protocol = find_protocol(config.protocol)
    if model.full_action_set != protocol.full_action_set:
        raise DqnConfigError(
            f"--init {path}: it learnt with the actions of --protocol {model.protocol}, and this is {config.protocol}"
        )
    network, header = load_model(file)
    assert isinstance(network, QNetwork), "its header says so"
    if network.spec != q_network_spec(config, len(action_names(config.game, protocol))):
        trained, wanted = header["training"], vars(config)
        theirs = {name: trained[name] for name in ARCHITECTURE if trained.get(name, wanted[name]) != wanted[name]}
        options = " ".join(word for name, value in theirs.items() for word in words_of(name, value))
        raise DqnConfigError(f"--init {path}: it is another network than this run's: {options or 'of other layers'}")
    return Initial(network, hashlib.sha256(file.read_bytes()).hexdigest()[:16])


def origin(initial: Initial | None) -> dict[str, str]:
    """Return what a run and its model files say of the network that they began from."""
    return {} if initial is None else {"init": initial.sha256}
