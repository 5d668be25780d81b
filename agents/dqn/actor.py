"""Acting: a copy of the network plays E games in step and writes down what a learner needs.

E environments, A actions.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.dqn.config import DqnConfig
from agents.dqn.learner import copy_weights
from agents.dqn.replay import FRAME, Arrays, Rollout, state_dtype, to_device, to_states
from games.atari_vector import AtariEnvs, GameResult
from nets.cuda_graphs import Recorded
from nets.layers import noise_from
from nets.models import QNetwork
from nets.training import as_array

Schedule = Callable[[int], float]  # agent steps taken -> share of random actions


class Played(NamedTuple):
    """What one call of `Actor.play` did."""

    rollout: Rollout
    results: list[GameResult]  # games that ended, in their order


class Actor:
    """Plays with weights of its own, which `load` brings up to date; see the module."""

    def __init__(self, config: DqnConfig, envs: AtariEnvs, network: QNetwork, device: torch.device) -> None:
        self.config = config
        self.envs = envs
        self.device = device
        self.network = copy.deepcopy(network)
        self.network.keep_rounded()
        self.network.train(config.noisy)
        self._noise = torch.Generator().manual_seed(config.seed)
        noise_from(self.network, self._noise)
        self._rng = np.random.default_rng((config.seed, 1))
        # Noise is drawn once for all games, a learner leaves no processor to spare, and a GPU takes all games at once.
        is_alone = config.noisy or config.overlap or device.type != "cpu"
        num_parts = 1 if is_alone else min(config.shards, config.num_envs)
        self._parts = np.array_split(np.arange(config.num_envs), num_parts)
        self._threads = ThreadPoolExecutor(num_parts, "acting")
        self._recorded: Recorded[Tensor] | None = None
        self._frames: NDArray[np.uint8] | None = None  # the stacks that come next, [E, 4, 84, 84]
        self._first = np.ones(config.num_envs, np.bool_)
        self.steps = 0  # taken so far, over all environments

    def load(self, network: QNetwork) -> None:
        """Play on with these weights."""
        copy_weights(network, self.network)

    def play(self, num_steps: int, epsilon: Schedule) -> Played:
        """Take `num_steps` steps in every environment; precondition: all are random in the warm-up."""
        if self._frames is None:
            self._frames = self.envs.reset(self.config.seed)
        rollout = self._blank(num_steps)
        results: list[GameResult] = []
        for time in range(num_steps):
            q = self._q_values(self._frames)
            actions = self._choose(q, epsilon(self.steps))
            self.envs.send(actions)
            rollout.frames[time] = self._frames[:, -1]  # while the emulators run
            rollout.first[time], rollout.actions[time] = self._first, actions
            rollout.values[time] = q.max(1)
            step = self.envs.recv()
            rollout.rewards[time], rollout.terminal[time] = step.rewards, step.terminated
            rollout.truncated[time] = step.truncated
            self._frames, self._first = step.frames, step.ended
            self.steps += self.config.num_envs
            results += step.results
        if self.config.learns_on_policy:
            rollout.values[num_steps] = self._q_values(self._frames).max(1)
        return Played(rollout, results)

    def _blank(self, num_steps: int) -> Rollout:
        """Return a rollout to be filled."""
        shape = (num_steps, self.config.num_envs)
        return Rollout(
            frames=np.empty((*shape, *FRAME), np.uint8),
            first=np.empty(shape, np.bool_),
            actions=np.empty(shape, np.uint8),
            rewards=np.empty(shape, np.float32),
            terminal=np.empty(shape, np.bool_),
            truncated=np.empty(shape, np.bool_),
            values=np.zeros((num_steps + 1, self.config.num_envs), np.float32),
        )

    def _q_values(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return Q-values [E, A]; zeros in the warm-up, when nobody asks."""
        if self.steps < self.config.warmup:
            return np.zeros((len(frames), self.envs.num_actions), np.float32)
        if self.device.type == "cuda" and not self.config.noisy:  # noise is drawn on the processor
            return self._replayed(frames)
        if len(self._parts) == 1:
            return q_values(self.network, frames, self.device)
        asked = self._threads.map(lambda part: q_values(self.network, frames[part], self.device), self._parts)
        return np.concatenate(list(asked))

    @torch.no_grad()
    def _replayed(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return Q-values [E, A], computed on a GPU by a graph that the first step recorded."""
        states = to_device(to_states(frames, state_dtype(self.device, self.network.trunk_dtype)), self.device)
        if self._recorded is None:
            self._recorded = Recorded(self.network.q_values, states)
        return self._recorded(states).cpu().numpy()

    def _choose(self, q: NDArray[np.float32], epsilon: float) -> NDArray[np.int64]:
        """Return the best action of each environment or, with probability epsilon, any (epsilon-greedy)."""
        explores = self._rng.random(len(q)) < epsilon
        anything = self._rng.integers(q.shape[1], size=len(q))
        return np.where(explores, anything, q.argmax(1))

    def get_state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and JSON with which `set_state` goes on bit for bit; precondition: `play` has run."""
        assert self._frames is not None
        arrays = {f"envs.{name}": array for name, array in self.envs.get_state().items()}
        arrays |= {f"network.{name}": as_array(tensor) for name, tensor in self.network.state_dict().items()}
        arrays |= {"stacks": self._frames, "first": self._first, "noise": self._noise.get_state().numpy()}
        return arrays, {"steps": self.steps, "rng": json.dumps(self._rng.bit_generator.state)}

    def set_state(self, arrays: Arrays, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        parts: dict[str, Arrays] = {"envs": {}, "network": {}}
        for name, array in arrays.items():
            part, dot, rest = name.partition(".")
            if dot:
                parts[part][rest] = array
        self.envs.set_state(parts["envs"])
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in parts["network"].items()})
        self._frames, self._first = arrays["stacks"], arrays["first"]
        self._noise.set_state(torch.from_numpy(arrays["noise"]))
        self._rng.bit_generator.state = json.loads(state["rng"])
        self.steps = state["steps"]


@torch.no_grad()
def q_values(network: QNetwork, frames: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    """Return the Q-values [E, A] of stacks uint8 [E, 4, 84, 84]."""
    states = to_device(to_states(frames, state_dtype(device, network.trunk_dtype)), device)
    values: Tensor = network.q_values(states)
    return values.cpu().numpy()
