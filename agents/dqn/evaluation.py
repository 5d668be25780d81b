"""Scores of a Q-network: whole games from seeds of their own, apart from training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from agents.dqn.actor import q_values
from games.atari_vector import STAY, AtariEnvs, GameResult
from nets.models import QNetwork

Tell = Callable[[int, int], None]  # is given how many games are over, and of how many


def evaluate(
    network: QNetwork, envs: AtariEnvs, seed: int, epsilon: float, device: torch.device, tell: Tell
) -> tuple[GameResult, ...]:
    """Play one whole game in each environment and return the results by place.

    The first game of each counts, however long the others take, so that short games are not preferred. `epsilon` is the
    share of random actions. Everything follows from the seed and the weights.
    """
    rng = np.random.default_rng((seed, 3))
    frames = envs.reset(seed)
    was_training = network.training
    network.eval()
    results: dict[int, GameResult] = {}
    while len(results) < envs.num_envs:
        playing = np.array([place not in results for place in range(envs.num_envs)])
        actions = np.full(envs.num_envs, STAY)
        actions[playing] = q_values(network, frames[playing], device).argmax(1)
        explores = rng.random(envs.num_envs) < epsilon
        anything = rng.integers(envs.num_actions, size=envs.num_envs)
        step = envs.step(np.where(playing & explores, anything, actions))
        frames = step.frames
        for result in step.results:
            results.setdefault(result.place, result)
        if step.results:
            tell(len(results), envs.num_envs)
    network.train(was_training)
    return tuple(results[place] for place in range(envs.num_envs))
