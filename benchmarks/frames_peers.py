"""Other programs that emulate Atari games and learn from them, where they are installed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers import installed
from benchmarks.timing import Document

Rate = Callable[[Callable[[], int], float], float]  # work that returns its units, seconds -> units a second


def ale_py(game: str, num_envs: int, cores: int, seconds: float, rate: Rate) -> Document:
    """Return the speed of ale-py's vector environment, which makes the same frames."""
    vector = installed("ale_py.vector_env", "ale-py").AtariVectorEnv
    envs = vector(game, num_envs, num_threads=cores, max_num_frames_per_episode=18_000)
    envs.reset(seed=0)
    return {"envs": num_envs, "steps_per_second": rate(random_steps(envs, num_envs), seconds)}


def envpool(game: str, num_envs: int, cores: int, seconds: float, rate: Rate) -> Document:
    """Return the speed of envpool's emulators."""
    name = "".join(part.capitalize() for part in game.split("_"))
    envs = installed("envpool", "envpool").make(
        f"{name}-v5", env_type="gymnasium", num_envs=num_envs, num_threads=cores, max_episode_steps=4_500
    )
    envs.reset()
    return {"envs": num_envs, "steps_per_second": rate(random_steps(envs, num_envs), seconds)}


def random_steps(envs: Any, num_envs: int) -> Callable[[], int]:
    """Return what takes a random step in every game."""
    rng = np.random.default_rng(0)
    num_actions = envs.action_space.n if hasattr(envs.action_space, "n") else envs.single_action_space.n

    def step() -> int:
        envs.step(rng.integers(num_actions, size=num_envs))
        return num_envs

    return step


def stable_baselines3(game: str, cores: int, epsilon: float, seconds: float, rate: Rate) -> Document:
    """Return the speed of Stable-Baselines3's DQN with the published network, minibatch and update frequency.

    A share `epsilon` of its actions is random. Its games are ours, since its own need OpenCV; its torch uses all
    processors, as it would by itself.
    """
    installed("stable_baselines3", "stable-baselines3")
    import gymnasium
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    class Clock(BaseCallback):
        """Stops the training after the seconds, counted from the first updates on."""

        def __init__(self) -> None:
            super().__init__()
            self.started, self.steps, self.elapsed = 0.0, 0, 0.0

        def _on_step(self) -> bool:
            if self.num_timesteps < 1_100:
                return True
            if not self.started:
                self.started = time.perf_counter()
            self.steps += 1
            self.elapsed = time.perf_counter() - self.started
            return self.elapsed < seconds

    clock = Clock()
    model = DQN(
        "CnnPolicy",
        gymnasium.make("playfield/Atari-v0", game=game),
        buffer_size=20_000,
        learning_starts=1_000,
        batch_size=32,
        train_freq=4,
        target_update_interval=10_000,
        exploration_initial_eps=epsilon,
        exploration_final_eps=epsilon,
        device="cpu",
    )
    torch.set_num_threads(cores)
    try:
        model.learn(10_000_000, callback=clock)
    finally:
        torch.set_num_threads(1)
    return {"network": "nature-dqn", "steps_per_second": round((clock.steps - 1) / clock.elapsed, 1)}


EMULATORS: dict[str, Callable[..., Document]] = {"ale-py": ale_py, "envpool": envpool}
TRAININGS: dict[str, Callable[..., Document]] = {"stable-baselines3": stable_baselines3}
