"""One Atari game as a Gymnasium environment, seen and scored as a published protocol says."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from games.atari import (
    FRAMES_PER_SECOND,
    AtariError,
    AtariGame,
    action_names,
    find_protocol,
    for_evaluation,
    new_stack,
)


class AtariEnv(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """Stacks of 84x84 frames, uint8 [S, 84, 84], the newest last; one action a step of `frame_skip` frames.

    With `training`, a lost life terminates where the protocol says so, and the next `reset` goes on with the same game;
    without it, rewards are points and only the end of the game terminates. `info` has score, lives, steps and frames of
    the game so far.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND // 4}  # noqa: RUF012

    def __init__(
        self, game: str = "pong", protocol: str = "nature", training: bool = True, render_mode: str | None = None
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise AtariError(f"no render mode {render_mode!r}; there are: {', '.join(self.metadata['render_modes'])}")
        for option, name in (("game", game), ("protocol", protocol)):
            if not isinstance(name, str):
                raise AtariError(f"{option} {name!r}: a name, in quotes")
        chosen = find_protocol(protocol)
        self.protocol = chosen if training else for_evaluation(chosen)
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": FRAMES_PER_SECOND // chosen.frame_skip}
        self._game = AtariGame(game, self.protocol)
        self.action_names = action_names(self._game.game, self.protocol)
        self.action_space = spaces.Discrete(len(self.action_names))
        self.observation_space = spaces.Box(0, 255, new_stack(self.protocol).shape, np.uint8)
        self._is_playing = False  # between `reset` and the end that the next one answers
        self._goes_on = False  # that end was a lost life

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin a game, or go on with one that only lost a life; with a seed turn the console on anew."""
        super().reset(seed=seed)
        if seed is not None or not self._game.is_on:
            self._game.power_on(int(self.np_random.integers(2**31)))
        elif not self._goes_on:
            self._game.new_game()
        self._is_playing, self._goes_on = True, False
        return self._game.stack.copy(), self._info()

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Hold an action for one step."""
        if not self.action_space.contains(action):
            raise AtariError(f"actions of {self._game.game} go from 0 to {len(self.action_names) - 1}, not {action!r}")
        if not self._is_playing:
            raise AtariError("reset comes before a step")
        outcome = self._game.step(int(action))
        reward = float(np.clip(outcome.score, -1, 1)) if self.protocol.clip_rewards else float(outcome.score)
        terminated = outcome.game_over or (outcome.life_lost and self.protocol.terminal_on_life_loss)
        self._is_playing = not (terminated or outcome.truncated)
        self._goes_on = terminated and not outcome.game_over and not outcome.truncated
        return self._game.stack.copy(), reward, terminated, outcome.truncated, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture on the screen, RGB, uint8 [height, width, 3]; ResetNeeded where there is none yet."""
        if not self._game.is_on:
            raise ResetNeeded("reset comes before render")
        return self._game.screen() if self.render_mode == "rgb_array" else None

    def _info(self) -> dict[str, Any]:
        game = self._game
        return {"score": game.score, "lives": game.lives, "steps": game.steps, "frames": game.frames}
