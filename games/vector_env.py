"""Thousands of games of one kind, stepped by one kernel call: the vector form of games.board_env.

It is B environments of games.board_env in step, game i the same as seed + i gives there; only, the opponent must be
"random" or None. A game that ends starts anew within the step (Gymnasium's same-step autoreset): the observation
returned is the new game's first, the old game's last is in `infos["final_obs"]`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from games.board_env import (
    Array,
    Illegal,
    Side,
    check_settings,
    illegal_message,
    observation_space,
)
from games.catalogue import find_game
from games.compiled import njit
from games.legal_masks import is_empty, is_in, mask_to_bools
from games.random_bits import random_action, random_below
from games.render import ansi_board, rgb_board
from games.rules import Game, GameError, States, apply, is_cut, legal_mask, observe, returns, to_play

RANDOM_SIDE = 2


class Settings(NamedTuple):
    """What stays the same over all steps."""

    start: States  # [1] the starting position
    side: int  # whom the learner plays: 0, 1 or RANDOM_SIDE
    has_opponent: bool
    max_plies: int  # 0: no limit


class Batch(NamedTuple):
    """The games."""

    states: States  # [B]
    masks: Array  # uint64 [B, W], the legal actions
    streams: Array  # uint64 [B], of random numbers
    sides: Array  # int64 [B], whom the learner plays
    plies: Array  # int64 [B], turns over since the start


class View(NamedTuple):
    """What the learner is told of a position."""

    observations: Array  # float32 [B, C, H, W]
    masks: Array  # uint64 [B, W], the legal actions
    to_play: Array  # int64 [B]
    side: Array  # int64 [B]


# --- kernels --------------------------------------------------------------------------------------------------------


@njit
def are_legal(batch, actions, is_legal):
    """Write for every game, bool [B], whether its action is legal; precondition: each is an action of the game."""
    for i in range(actions.size):
        is_legal[i] = is_in(batch.masks[i], actions[i])


@njit
def play(batch, i, action):
    """Play a legal action in game i."""
    state, mask = batch.states[i], batch.masks[i]
    mover = to_play(state)
    apply(state, action)
    legal_mask(state, mask)
    if is_empty(mask) or to_play(state) != mover:
        batch.plies[i] += 1


@njit
def answer(settings, batch, i):
    """Let the opponent, if there is one, play until the learner is to move or the game is over."""
    if not settings.has_opponent:
        return
    while not is_empty(batch.masks[i]) and to_play(batch.states[i]) != batch.sides[i]:
        play(batch, i, random_action(batch.masks[i], batch.streams, i))


@njit
def start_game(settings, batch, i):
    """Begin game i anew; precondition: no opponent's first turn ends the game."""
    batch.states[i] = settings.start[0]
    batch.sides[i] = random_below(batch.streams, i, 2) if settings.side == RANDOM_SIDE else settings.side
    batch.plies[i] = 0
    legal_mask(batch.states[i], batch.masks[i])
    answer(settings, batch, i)


@njit
def write_view(batch, i, view):
    """Write what the learner is told of game i."""
    observe(batch.states[i], view.observations[i])
    view.masks[i] = batch.masks[i]
    view.to_play[i] = to_play(batch.states[i])
    view.side[i] = batch.sides[i]


@njit
def start_games(settings, batch, view):
    """Begin every game anew."""
    for i in range(batch.states.size):
        start_game(settings, batch, i)
        write_view(batch, i, view)


@njit
def step_games(settings, batch, actions, is_legal, view, final_view, rewards, terminated, truncated):
    """Play one action in every game and start those anew that ended; final_view is written where a game ended.

    actions int64 [B]; is_legal bool [B]; rewards float32 [B]; terminated and truncated bool [B].
    """
    for i in range(batch.states.size):
        state, mask = batch.states[i], batch.masks[i]
        rewards[i] = np.float32(0.0)
        truncated[i] = False
        if is_legal[i]:
            viewpoint = batch.sides[i] if settings.has_opponent else to_play(state)
            play(batch, i, actions[i])
            answer(settings, batch, i)
            is_done = is_empty(mask)
            terminated[i] = is_done and not is_cut(state)
            if terminated[i]:
                outcome = returns(state)
                rewards[i] = outcome if viewpoint == 0 else np.float32(0.0) - outcome
            else:
                truncated[i] = is_done or 0 < settings.max_plies <= batch.plies[i]
        else:
            rewards[i] = np.float32(-1.0)
            terminated[i] = True
            mask[:] = np.uint64(0)
        if terminated[i] or truncated[i]:
            write_view(batch, i, final_view)
            start_game(settings, batch, i)
        write_view(batch, i, view)


# --- the environment ------------------------------------------------------------------------------------------------


class BoardVectorEnv(gymnasium.vector.VectorEnv[Array, Array, Array]):
    """B board games in step: actions int64 [B] to observations float32 [B, C, H, W].

    The parameters are BoardEnv's; rewards are float32 [B] as BoardEnv defines them. `infos` holds action_mask
    int8 [B, A], to_play int64 [B] and, with an opponent, side int64 [B]; where games ended also final_obs, an object
    array [B] of observations, and final_info, a dict of the same entries (and illegal: what was legal where an illegal
    action ended the game). With each entry comes a bool [B], an underscore before its name: the games it holds for.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        game: Game | str,
        num_envs: int = 1,
        opponent: Literal["random"] | None = None,
        side: Side = 0,
        rules: str | None = None,
        max_plies: int = 0,
        illegal: Illegal = "lose",
        render_mode: str | None = None,
    ) -> None:
        self.game = game if isinstance(game, Game) else find_game(game)
        check_settings(self.game, side, max_plies, illegal, render_mode)
        if opponent not in (None, "random"):
            raise GameError(f"opponent {opponent!r}: a vector of games allows None (self-play) and 'random'")
        if num_envs < 1:
            raise GameError(f"num_envs {num_envs}: at least 1")
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_observation_space = observation_space(self.game)
        self.single_action_space = gymnasium.spaces.Discrete(self.game.num_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._illegal = illegal
        start = self.game.new(1, rules)
        self._settings = Settings(start, RANDOM_SIDE if side == "random" else side, opponent is not None, max_plies)
        self._batch = Batch(
            states=np.repeat(start, num_envs),
            masks=np.zeros((num_envs, self.game.mask_words), np.uint64),
            streams=np.zeros(num_envs, np.uint64),
            sides=np.zeros(num_envs, np.int64),
            plies=np.zeros(num_envs, np.int64),
        )
        self._has_begun = False

    @property
    def states(self) -> States:
        """The positions [B], a copy."""
        return self._batch.states.copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin every game anew; game i draws from seed + i."""
        super().reset(seed=seed)
        if options:
            raise GameError(f"reset options {', '.join(options)}: a vector of games takes none")
        if seed is not None:
            self._batch.streams[:] = np.uint64(seed % 2**64) + np.arange(self.num_envs, dtype=np.uint64)
        elif not self._has_begun:
            self._batch.streams[:] = self.np_random.integers(2**64, size=self.num_envs, dtype=np.uint64)
        self._has_begun = True
        view = self._new_view()
        start_games(self._settings, self._batch, view)
        return view.observations, self._infos(view, np.ones(self.num_envs, bool))

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Play one action in every game, with the opponent's answers, and start those anew that ended."""
        actions = self._checked(actions)
        is_legal = np.empty(self.num_envs, bool)
        are_legal(self._batch, actions, is_legal)
        illegal = np.flatnonzero(~is_legal).tolist()
        messages = [self._illegal_message(i, int(actions[i])) for i in illegal]
        if messages and self._illegal == "raise":
            raise GameError(f"game {illegal[0]}: {messages[0]}")
        view, final_view = self._new_view(), self._new_view()
        rewards = np.empty(self.num_envs, np.float32)
        terminated, truncated = np.empty(self.num_envs, bool), np.empty(self.num_envs, bool)
        step_games(self._settings, self._batch, actions, is_legal, view, final_view, rewards, terminated, truncated)
        infos = self._infos(view, np.ones(self.num_envs, bool))
        is_done = terminated | truncated
        if is_done.any():
            final_observations = np.full(self.num_envs, None, object)
            for i in np.flatnonzero(is_done):
                final_observations[i] = final_view.observations[i].copy()
            final_info = self._infos(final_view, is_done)
            if messages:
                final_info["illegal"] = np.full(self.num_envs, None, object)
                final_info["illegal"][illegal] = messages
                final_info["_illegal"] = ~is_legal
            infos |= {"final_obs": final_observations, "_final_obs": is_done.copy()}
            infos |= {"final_info": final_info, "_final_info": is_done}
        return view.observations, rewards, terminated, truncated, infos

    def render(self) -> tuple[Any, ...] | None:
        """Return every game's board, as text or as a picture uint8 [height, width, 3]."""
        if self.render_mode is None:
            gymnasium.logger.warn(
                f"render() shows nothing without a render_mode; there are: {self.metadata['render_modes']}"
            )
            return None
        draw_board = ansi_board if self.render_mode == "ansi" else rgb_board
        return tuple(draw_board(state) for state in self._batch.states)

    def _checked(self, actions: Array) -> Array:
        """Return the actions as int64 [B]; GameError where they are none."""
        if not self._has_begun:
            raise GameError("no game is on: call reset() first")
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or not np.issubdtype(actions.dtype, np.integer):
            raise GameError(f"actions {actions.dtype} {list(actions.shape)}: must be integers [{self.num_envs}]")
        unknown = np.flatnonzero((actions < 0) | (actions >= self.game.num_actions))
        if unknown.size:
            i = unknown[0]
            raise GameError(
                f"game {i}: {actions[i]} is no action of {self.game.name}; allowed: 0 to {self.game.num_actions - 1}"
            )
        return actions.astype(np.int64)

    def _illegal_message(self, i: int, action: int) -> str:
        legal = np.flatnonzero(mask_to_bools(self._batch.masks[i], self.game.num_actions))
        return illegal_message(action, legal.tolist())

    def _new_view(self) -> View:
        """Return room for a view; new each time, since callers keep what they are given."""
        return View(
            observations=np.empty((self.num_envs, *self.game.planes_shape), np.float32),
            masks=np.zeros((self.num_envs, self.game.mask_words), np.uint64),
            to_play=np.zeros(self.num_envs, np.int64),
            side=np.zeros(self.num_envs, np.int64),
        )

    def _infos(self, view: View, holds: Array) -> dict[str, Any]:
        """Return a view's entries in Gymnasium's form; holds: bool [B], for which games they are there."""
        action_mask = mask_to_bools(view.masks, self.game.num_actions).view(np.int8)
        infos = {"action_mask": action_mask, "to_play": view.to_play}
        if self._settings.has_opponent:
            infos["side"] = view.side
        return infos | {f"_{name}": holds.copy() for name in infos}
