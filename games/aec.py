"""Every board game as a PettingZoo environment (extra `pettingzoo`): two agents, player_0 and player_1, who take turns.

env = games.aec.env("checkers")
env.reset(seed=0)
for agent in env.agent_iter():
    observation, reward, terminated, truncated, info = env.last()
    env.step(None if terminated or truncated else env.action_space(agent).sample(info["action_mask"]))
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from pettingzoo import AECEnv
from pettingzoo.utils.wrappers import AssertOutOfBoundsWrapper, OrderEnforcingWrapper, TerminateIllegalWrapper

from games.board_env import Array, BoardEnv
from games.catalogue import find_game
from games.go import DEFAULT_KOMI
from games.go_env import game_of_size
from games.rules import Game, GameError

AGENTS = ("player_0", "player_1")


def env(
    game: Game | str, *, size: int | tuple[int, int] | None = None, komi: float | None = None, **settings: Any
) -> AECEnv[str, Array, np.int64]:
    """Return a game with PettingZoo's usual guards: an illegal action loses. Other settings are BoardAECEnv's.

    Go has a size, (rows, columns) or that of a square, and a komi; GameError where another game is given one.
    """
    if size is not None or komi is not None:
        found = find_game(game) if isinstance(game, str) else game
        if found.family != "go":
            raise GameError(f"size {size}, komi {komi}: they belong to go, not to {found.name}")
        rows, columns = found.planes_shape[1:]
        game = game_of_size((rows, columns) if size is None else size, DEFAULT_KOMI if komi is None else komi)
    guarded: AECEnv[str, Array, np.int64] = TerminateIllegalWrapper(BoardAECEnv(game, **settings), illegal_reward=-1)
    return OrderEnforcingWrapper(AssertOutOfBoundsWrapper(guarded))


class BoardAECEnv(AECEnv[str, Array, np.int64]):
    """A board game of two agents; an agent acts several times in a row while a multi-jump goes on.

    Observations and the settings are BoardEnv's. Whoever asks, an observation shows the board as the agent to move sees
    it. `infos[agent]["action_mask"]`, int8 [A], is all 0 for the agent not to move. GameError on an illegal action.
    """

    def __init__(
        self, game: Game | str, rules: str | None = None, max_plies: int = 0, render_mode: str | None = None
    ) -> None:
        super().__init__()
        self._game = BoardEnv(game, rules=rules, max_plies=max_plies, illegal="raise", render_mode=render_mode)
        self.render_mode = render_mode
        self.metadata = {**BoardEnv.metadata, "name": f"{self._game.game.name}_v0", "is_parallelizable": False}
        self.possible_agents = list(AGENTS)
        self.agents: list[str] = []
        self.observation_spaces = dict.fromkeys(AGENTS, self._game.observation_space)
        self.action_spaces = {agent: gymnasium.spaces.Discrete(self._game.game.num_actions) for agent in AGENTS}

    def observation_space(self, agent: str) -> gymnasium.spaces.Space[Array]:
        """Return float32 planes [C, H, W]."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Space[np.int64]:
        """Return the A actions."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin a game; of the options only BoardEnv's `state` is looked at, as PettingZoo's own tests pass others."""
        start = {key: value for key, value in (options or {}).items() if key == "state"}
        self._observation, info = self._game.reset(seed=seed, options=start)
        self.agents = list(AGENTS)
        self.rewards = dict.fromkeys(AGENTS, 0.0)
        self._cumulative_rewards = dict.fromkeys(AGENTS, 0.0)
        self.terminations = dict.fromkeys(AGENTS, False)
        self.truncations = dict.fromkeys(AGENTS, False)
        self._turn_to(info)

    def step(self, action: np.int64 | int | None) -> None:
        """Play one action of the selected agent; None once the game is over."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        if action is None:
            raise GameError(f"{agent} must act: None is for agents whose game is over")
        self._observation, reward, terminated, truncated, info = self._game.step(action)
        other = AGENTS[1 - AGENTS.index(agent)]
        self.rewards = {agent: reward, other: 0.0 - reward}
        self.terminations = dict.fromkeys(AGENTS, terminated)
        self.truncations = dict.fromkeys(AGENTS, truncated)
        self._cumulative_rewards[agent] = 0.0
        self._accumulate_rewards()
        self._turn_to(info)

    def observe(self, agent: str) -> Array:
        """Return the board as the agent to move sees it, float32 [C, H, W], a copy."""
        return self._observation.copy()

    def render(self) -> str | Array | None:
        """Return the board as text or as a picture."""
        return self._game.render()

    def close(self) -> None:
        """Release nothing: there is only memory."""

    def _turn_to(self, info: dict[str, Any]) -> None:
        """Select the agent to move and tell the agents what they may play."""
        self.agent_selection = AGENTS[info["to_play"]]
        nothing = np.zeros_like(info["action_mask"])
        self.infos = {
            agent: {"action_mask": info["action_mask"] if agent == self.agent_selection else nothing}
            for agent in AGENTS
        }
