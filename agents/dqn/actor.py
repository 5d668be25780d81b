"""Acting: a copy of the network plays E games in step and writes down what a learner needs.

E environments, A actions.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
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
from nets.training import as_array, as_tensors, parts_of

Schedule = Callable[[int], float]  # agent steps taken -> share of random actions


class Played(NamedTuple):
    """What one call of `Actor.play` did."""

    rollout: Rollout
    results: list[GameResult]  # games that ended, in their order


class Lots(NamedTuple):
    """What is drawn for one step."""

    explores: NDArray[np.bool_]  # [E]: the action is random, not the best
    anything: NDArray[np.int64]  # [E]: that random action


def num_groups(config: DqnConfig) -> int:
    """Return in how many groups the games are acted, so that emulators run while the network thinks.

    One where noise is drawn once for all games, and where a learner leaves no processor idle.
    """
    return 1 if config.noisy or config.overlap else min(2, config.num_envs)


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
        self._recorded: dict[int, Recorded[Tensor]] = {}  # by the games of a group
        self._frames: NDArray[np.uint8] | None = None  # the stacks that come next, [E, 4, 84, 84]
        self._first = np.ones(config.num_envs, np.bool_)
        self.steps = 0  # taken so far, over all environments

    def load(self, network: QNetwork) -> None:
        """Play on with these weights."""
        copy_weights(network, self.network)

    def play(self, num_steps: int, epsilon: Schedule) -> Played:
        """Take `num_steps` steps in every environment; precondition: all are random in the warm-up.

        While one group's emulators run, the network thinks about the next group's frames.
        """
        if self._frames is None:
            self._frames = self.envs.reset(self.config.seed)
        rollout = self._blank(num_steps)
        results: list[GameResult] = []
        for time in range(num_steps):
            lots = self._draw(epsilon(self.steps))
            for group, places in enumerate(self.envs.groups):
                if time:
                    results += self._receive(rollout, time - 1, group)
                q = self._q_values(self._frames[places])
                actions = np.where(lots.explores[places], lots.anything[places], q.argmax(1))
                self.envs.send(actions, group)
                rollout.frames[time, places] = self._frames[places, -1]  # while the emulators run
                rollout.first[time, places], rollout.actions[time, places] = self._first[places], actions
                rollout.values[time, places] = q.max(1)
            self.steps += self.config.num_envs
        for group, places in enumerate(self.envs.groups):
            results += self._receive(rollout, num_steps - 1, group)
            if self.config.learns_on_policy:
                rollout.values[num_steps, places] = self._q_values(self._frames[places]).max(1)
        return Played(rollout, results)

    def _receive(self, rollout: Rollout, time: int, group: int) -> tuple[GameResult, ...]:
        """Write down what a group's step at a time led to, and return its games that ended."""
        assert self._frames is not None
        step, places = self.envs.recv(group), self.envs.groups[group]
        rollout.rewards[time, places], rollout.terminal[time, places] = step.rewards, step.terminated
        rollout.truncated[time, places] = step.truncated
        self._frames[places], self._first[places] = step.frames, step.ended
        return step.results

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
        return q_values(self.network, frames, self.device)

    @torch.no_grad()
    def _replayed(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return Q-values [E, A], computed on a GPU by a graph that a first step recorded."""
        states = to_device(to_states(frames, state_dtype(self.device, self.network.trunk_dtype)), self.device)
        if len(states) not in self._recorded:
            self._recorded[len(states)] = Recorded(self.network.q_values, states)
        return self._recorded[len(states)](states).cpu().numpy()

    def _draw(self, epsilon: float) -> Lots:
        """Draw what decides whether environments explore, with probability epsilon (epsilon-greedy), and how."""
        num_envs = self.config.num_envs
        return Lots(self._rng.random(num_envs) < epsilon, self._rng.integers(self.envs.num_actions, size=num_envs))

    def get_state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and JSON with which `set_state` goes on bit for bit; precondition: `play` has run."""
        assert self._frames is not None
        arrays = {f"envs.{name}": array for name, array in self.envs.get_state().items()}
        arrays |= {f"network.{name}": as_array(tensor) for name, tensor in self.network.state_dict().items()}
        arrays |= {"stacks": self._frames, "first": self._first, "noise": self._noise.get_state().numpy()}
        return arrays, {"steps": self.steps, "rng": json.dumps(self._rng.bit_generator.state)}

    def set_state(self, arrays: Arrays, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        parts = parts_of(arrays)
        self.envs.set_state(parts["envs"])
        self.network.load_state_dict(as_tensors(parts["network"]))
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
