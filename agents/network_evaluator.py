"""A model file made ready to judge positions of one game: encoding, network, and what the network leaves open.

To learn on with a policy, its network itself is wanted: `load_policy`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.analysis import PlayerError
from agents.mcts.search import LeafEvaluator
from agents.model_files import check_made_for, find_model, no_model
from games.compiled import NDArray
from games.rules import Game, GameError, States, observe_batch, to_play
from games.symmetries import action_maps, num_symmetries, turn
from nets.inference import InferenceModel, make_inference
from nets.model_file import Header
from nets.models import PolicyValueNet, PolicyValueSpec, load_model, save_model
from nets.presets import preset
from nets.spec import SpecError

Encoder = Callable[[States, NDArray], None]  # writes the planes float32[n, C, H, W] of records [n]


class NetworkEvaluator:
    """Judges positions of one game: states [n] to logits float32[n, A] and the movers' values float32[n]."""

    def __init__(
        self,
        inference: InferenceModel | Symmetrised,
        game: Game,
        features: str = "observe",
        model: PolicyValueNet | None = None,
    ) -> None:
        """Raises PlayerError or GameError where the network is not one for this game's board, planes or actions.

        `model` is the network with all of its heads, for `owners`.
        """
        self.game = game
        self.has_value = inference.spec.value is not None
        self._inference = inference
        self._model = model if model is not None and model.ownership is not None else None
        encode, num_planes = encoder_of(game, features)
        self._encode = encode
        self._planes = np.zeros((0, num_planes, *game.planes_shape[1:]), np.float32)
        if inference.spec.policy is None:
            raise PlayerError("the network has no policy head")
        check_board(inference, game, num_planes)
        num_outputs = self._judge(game.new(1))[0].shape[1]
        self._has_pass = num_outputs == game.num_actions
        if not self._has_pass and not (game.family == "go" and num_outputs == game.num_actions - 1):
            raise PlayerError(f"the network has {num_outputs} actions, {game.name} {game.num_actions}")

    def __call__(self, states: States) -> tuple[NDArray, NDArray]:
        """Judge positions of the game."""
        logits, values = self._judge(states)
        if self.game.family == "go":
            from agents.go_sense import weigh_passes_and_eyes

            if not self._has_pass:
                logits = np.concatenate([logits, np.zeros((len(logits), 1), np.float32)], 1)
            weigh_passes_and_eyes(states, logits, self._has_pass)
        return logits, values

    def owners(self, states: States) -> NDArray | None:
        """Return whose each point of Go positions [n] becomes, float32 [n, points], 1 Black's to -1 White's.

        None where the network does not say.
        """
        if self._model is None:
            return None
        device = next(self._model.parameters()).device
        with torch.inference_mode():
            owners = self._model(torch.from_numpy(self._planes_of(states)).to(device)).ownership
        of_mover: NDArray = owners.flatten(1).float().cpu().numpy()
        return of_mover * (1 - 2 * movers_of(states)).astype(np.float32)[:, None]

    def refresh(self, model: PolicyValueNet) -> None:
        """Take over the weights of a model of the same architecture."""
        self._inference.refresh(model)

    def _judge(self, states: States) -> tuple[NDArray, NDArray]:
        movers = movers_of(states) if self._inference.needs_to_play else None
        return self._inference(self._planes_of(states), movers)

    def _planes_of(self, states: States) -> NDArray:
        count = len(states)
        if len(self._planes) < count:
            self._planes = np.zeros((count, *self._planes.shape[1:]), np.float32)
        self._encode(states, self._planes[:count])
        return self._planes[:count]


class Symmetrised:
    """A network of Go asked under every symmetry of the board, 8 times as much work on a square one.

    Answers are the means of logits and values: the "explicit symmetry ensemble" of Silver et al. 2016, Methods.
    """

    def __init__(self, inference: InferenceModel) -> None:
        self.spec = inference.spec
        self.any_size = inference.any_size
        self.needs_to_play = inference.needs_to_play
        self._inference = inference

    def __call__(self, planes: NDArray, to_play: NDArray | None = None) -> tuple[NDArray, NDArray]:
        """Map planes as the network does; see `InferenceModel`."""
        batch, _, *board = planes.shape
        count = num_symmetries(*board)
        turned = np.concatenate([turn(planes, symmetry) for symmetry in range(count)])
        logits, values = self._inference(turned, None if to_play is None else np.tile(to_play, count))
        images = action_maps(*board)[:, : logits.shape[1]]
        back = [part[:, image] for part, image in zip(logits.reshape(count, batch, -1), images, strict=True)]
        return np.mean(back, axis=0), values.reshape(count, batch).mean(0)

    def refresh(self, model: PolicyValueNet) -> None:
        """Take over the weights of a model of the same architecture."""
        self._inference.refresh(model)


def movers_of(states: States) -> NDArray:
    """Return who moves in positions [n], int64 [n]."""
    return np.array([to_play(state) for state in states], np.int64)


def encoder_of(game: Game, features: str) -> tuple[Encoder, int]:
    """Return what writes a set of planes, and how many they are; GameError where there is no such set."""
    if features == "observe" or game.family != "go":
        return observe_batch, game.planes_shape[0]
    from games.go_features import feature_set

    planes_of = feature_set(features)
    return planes_of.encode, planes_of.num_planes


@dataclass(frozen=True)
class Policy:
    """A network that chooses moves, as a file holds it."""

    file: Path
    model: PolicyValueNet
    header: Header

    @property
    def features(self) -> str:
        """The name of the planes that it sees."""
        return features_of(self.header)

    @property
    def kept_apart(self) -> float | None:
        """The share of recorded games that no training up to these weights has seen; None where none is told."""
        training = self.header.get("training", {})
        share = training.get("kept_apart", training.get("held_out"))
        return float(share) if isinstance(share, int | float) else None

    @property
    def sha256(self) -> str:
        """The first digits of the file's hash."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()[:16]


def load_policy(path: str | Path, option: str, game: Game | None = None) -> Policy:
    """Return the policy of a model file or folder, for a game or for any.

    Raises PlayerError, whose line begins with the option that named the path, where there is none, or where it was made
    for another game, other rules, other planes or a board that it is bound to.
    """
    file = find_model(path)
    if file is None:
        raise PlayerError(f"{option} {path}: {no_model(path)}")
    model, header = load_model(file)
    try:
        if game is not None:
            check_made_for(game, file, header)
        if not isinstance(model, PolicyValueNet) or model.policy is None:
            raise PlayerError(f"{file} holds no network that chooses moves")
        if game is not None:
            check_board(model, game, encoder_of(game, features_of(header))[1])
    except (PlayerError, GameError) as error:
        raise PlayerError(f"{option} {path}: {error}") from None
    return Policy(file, model, header)


def features_of(header: Header) -> str:
    """Return the name of the planes that a model file's network sees."""
    return str(header.get("features", "observe"))


def network_spec(option: str, name: str, game: Game, num_planes: int) -> PolicyValueSpec:
    """Return an architecture, a preset of nets/presets.py, made for a game; PlayerError where it is for no board game.

    Go's networks have an action a point, on boards of any size where the architecture allows.
    """
    num_actions = None if game.family == "go" else game.num_actions
    try:
        spec = preset(name, (num_planes, *game.planes_shape[1:]), num_actions)
    except SpecError as error:
        raise PlayerError(f"{option} {name}: {error}") from None
    if not isinstance(spec, PolicyValueSpec):
        raise PlayerError(f"{option} {name}: it chooses no moves of a board game")
    return spec


def evaluator_of(model: PolicyValueNet, features: str, game: Game, threads: int) -> NetworkEvaluator:
    """Return what judges a game's positions with a network whose weights change: `refresh` takes new ones."""
    return NetworkEvaluator(make_inference(model, threads=threads), game, features)


def load_network_evaluator(file: Path, game: Game, symmetrised: bool = False) -> NetworkEvaluator:
    """Return the evaluator of a model file; PlayerError where it holds another kind of network or fits another game."""
    model, header = load_model(file)
    if not isinstance(model, PolicyValueNet):
        raise PlayerError(f"{file} holds no policy-value network but a {kind_of(header)}")
    try:
        inference = make_inference(model)
        judge = Symmetrised(inference) if symmetrised else inference
        return NetworkEvaluator(judge, game, features_of(header), model)
    except (PlayerError, GameError) as error:
        raise PlayerError(f"{file}: {error}") from None


def save_for_game(path: Path, model: PolicyValueNet, game: Game, features: str, training: Mapping[str, Any]) -> None:
    """Write a model file that `load_network_evaluator` reads; `training` says how the weights came to be."""
    extras = {"features": features, "board": list(game.planes_shape[1:])}
    save_model(path, model, model.spec, game=game.family, rules_version=game.version, training=training, extras=extras)


def with_values_of(policy: NetworkEvaluator, file: Path) -> LeafEvaluator:
    """Return the evaluator that takes moves from one network and values from another's file (Silver et al. 2016).

    Raises PlayerError where the file's network has no value head or does not fit the game.
    """
    model, header = load_model(file)
    if not isinstance(model, PolicyValueNet) or model.spec.value is None:
        raise PlayerError(f"{file}: it holds no value network")
    game = policy.game
    encode, num_planes = encoder_of(game, features_of(header))
    inference = make_inference(model)
    check_board(inference, game, num_planes)

    def evaluate_leaves(states: States) -> tuple[NDArray, NDArray]:
        planes = np.zeros((len(states), num_planes, *game.planes_shape[1:]), np.float32)
        encode(states, planes)
        return policy(states)[0], inference(planes, movers_of(states) if inference.needs_to_play else None)[1]

    return evaluate_leaves


def check_board(network: InferenceModel | Symmetrised | PolicyValueNet, game: Game, num_planes: int) -> None:
    """Raise PlayerError where a network does not take the planes of a game's board."""
    planes, *board = network.spec.input_shape
    if planes != num_planes:
        raise PlayerError(f"the network takes {planes} planes, and its features have {num_planes}")
    if board != [*game.planes_shape[1:]] and not network.any_size:
        size = "x".join(map(str, board))
        raise PlayerError(f"the network plays on {size} only, and this is {game.name}")


def kind_of(header: Mapping[str, Any]) -> str:
    """Return what kind of network a model file's header tells of."""
    architecture = header.get("architecture")
    return str(architecture.get("kind")) if isinstance(architecture, dict) else str(architecture)
