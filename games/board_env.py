"""One Gymnasium environment for every board game: playfield/Checkers-v0, playfield/ConnectFour-v0, playfield/Go-v0.

Gymnasium 1 loads no plugins: `import games` before `gymnasium.make("playfield/Checkers-v0")`, or let make do it:
`gymnasium.make("games:playfield/Checkers-v0")`.

A step is one action. Observations are the mover's view, float32 [C, H, W]; `info["action_mask"]`, int8 [A], says what
the mover may play, and `info["to_play"]` who that is. In checkers a player moves again while a multi-jump goes on.

Without an opponent (self-play) whoever is to move acts, and the reward is for the player who has just acted. With an
opponent the learner plays `side`, the opponent answers within the step, and the reward is the learner's; `info["side"]`
says who the learner is, and `info["resigned"]` is there where the opponent gave the game up. Rewards: 1 won, 0 drawn or
not over, -1 lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, SupportsIndex, runtime_checkable

import gymnasium
import numpy as np

from games.catalogue import find_game
from games.legal_masks import mask_to_bools
from games.random_bits import random_action, random_below
from games.render import ansi_board, board_cells, has_picture, rgb_board
from games.rules import (
    RESIGN,
    Game,
    GameError,
    State,
    States,
    apply,
    is_cut,
    legal_mask,
    observe,
    returns,
    to_play,
)

Array = np.ndarray[Any, Any]
Side = Literal[0, 1, "random"]
Illegal = Literal["lose", "raise"]

PLANE_LIMIT = 1.0  # no plane of any game is larger


@runtime_checkable
class Opponent(Protocol):
    """What an opponent object can do: agents' players do."""

    def act(self, states: States) -> Sequence[Any]:
        """Return for each position something with an `action`."""

    def new_game(self) -> None:
        """Hear that another game begins."""


# --- what single and vector environments share ----------------------------------------------------------------------


def check_settings(game: Game, side: Side, max_plies: int, illegal: Illegal, render_mode: str | None) -> None:
    """Raise GameError, naming what is allowed, where an environment cannot be made so."""
    if side not in (0, 1, "random"):
        raise GameError(f"side {side!r}: allowed are 0 (moves first), 1 and 'random'")
    if max_plies < 0:
        raise GameError(f"max_plies {max_plies}: a number of turns, or 0 for no limit")
    if illegal not in ("lose", "raise"):
        raise GameError(f"illegal {illegal!r}: allowed are 'lose' and 'raise'")
    modes = ("ansi", "rgb_array") if has_picture(game) else ("ansi",)
    if render_mode is not None and render_mode not in modes:
        raise GameError(f"render_mode {render_mode!r}: allowed for {game.name} are {' and '.join(modes)}")


def observation_space(game: Game) -> gymnasium.spaces.Box:
    """Return the space of `observe`'s planes, float32 [C, H, W]."""
    return gymnasium.spaces.Box(-PLANE_LIMIT, PLANE_LIMIT, game.planes_shape, np.float32)


def illegal_message(action: int, legal_actions: Sequence[int]) -> str:
    """Say in one line that an action is not legal and what is."""
    return f"action {action} is not legal here; legal: {', '.join(map(str, legal_actions))}"


# --- the environment ------------------------------------------------------------------------------------------------


class BoardEnv(gymnasium.Env[Array, np.int64]):
    """A board game against an opponent, or against oneself.

    opponent: None for self-play; "random"; a function from a position (a copy) to an action, or -1 to resign; or a
        player with `act` and `new_game`, which its maker closes (in Go agents.go_conduct.Conducted passes for it in
        time). GameError when it plays an illegal action.
    side: whom the learner plays against an opponent: 0 moves first; "random" draws at each reset.
    rules: a rule set of the game, by default its first.
    max_plies: truncated after the first step at whose end this many turns are over, both players' counted; 0 never. A
        move limit of the rules themselves (Go's) truncates, too.
    illegal: "lose" ends the game with reward -1, the position unchanged and `info["illegal"]` saying what was legal;
        "raise" raises GameError instead. What is no action at all (a number out of range, not a number) always raises.

    `reset(options={"state": record})` starts from any position, under the rules that its record carries.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012

    def __init__(
        self,
        game: Game | str,
        opponent: Literal["random"] | Callable[[State], SupportsIndex] | Opponent | None = None,
        side: Side = 0,
        rules: str | None = None,
        max_plies: int = 0,
        illegal: Illegal = "lose",
        render_mode: str | None = None,
    ) -> None:
        self.game = game if isinstance(game, Game) else find_game(game)
        check_settings(self.game, side, max_plies, illegal, render_mode)
        if not (opponent is None or opponent == "random" or callable(opponent) or isinstance(opponent, Opponent)):
            raise GameError(
                f"opponent {opponent!r}: allowed are None (self-play), 'random', a function from a position to an "
                "action, or a player with act(states) and new_game()"
            )
        self.render_mode = render_mode
        self.observation_space = observation_space(self.game)
        self.action_space = gymnasium.spaces.Discrete(self.game.num_actions)
        self._opponent = opponent
        self._chosen_side = side
        self._max_plies = max_plies
        self._illegal = illegal
        self._start = self.game.new(1, rules)
        self._states = self._start.copy()  # [1]
        self._before = self._start.copy()  # [1] the position before the last action
        self._mask = np.zeros(self.game.mask_words, np.uint64)
        self._legal = np.zeros(self.game.num_actions, np.int8)  # the same as numbers 0 and 1
        self._stream: Array | None = None  # uint64 [1]
        self._side = 0
        self._to_play = 0
        self._plies = 0
        self._has_resigned = False  # the opponent
        self._is_done = True

    @property
    def state(self) -> State:
        """The position, a copy."""
        return self._states[0].copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin a game; the opponent moves first where the position and `side` ask for it.

        GameError on a bad start, and where the opponent's first turn ends the game.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._stream = np.array([seed % 2**64], np.uint64)
        elif self._stream is None:
            self._stream = self.np_random.integers(2**64, size=1, dtype=np.uint64)
        self._states[:] = self._start_from(options or {})
        self._before[:] = self._states
        if self._chosen_side == "random":
            self._side = random_below(self._stream, 0, 2)
        else:
            self._side = self._chosen_side
        self._plies = 0
        self._has_resigned = False
        self._look()
        if self._is_done:
            raise GameError("the game is over in the position to start from")
        if isinstance(self._opponent, Opponent):
            self._opponent.new_game()
        self._answer()
        if self._is_done:
            raise GameError("the opponent's first turn ended the game: start from another position")
        return self._observation(), self._info()

    def step(self, action: SupportsIndex) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Play one action, and the opponent's answer where there is an opponent."""
        if self._is_done:
            raise GameError("no game is on: call reset() first")
        if not self.action_space.contains(action):
            raise GameError(f"{action!r} is no action of {self.game.name}; allowed: 0 to {self.game.num_actions - 1}")
        action = int(action)
        if not self._legal[action]:
            return self._step_illegal(action)
        viewpoint = self._to_play if self._opponent is None else self._side
        self._play(action)
        self._answer()
        terminated = self._is_done and not is_cut(self._states[0])
        reward = 0.0
        if self._has_resigned:
            reward = 1.0
        elif terminated:
            outcome = returns(self._states[0])
            reward = outcome if viewpoint == 0 else 0.0 - outcome
        truncated = not terminated and (self._is_done or 0 < self._max_plies <= self._plies)
        self._is_done = terminated or truncated
        return self._observation(), reward, terminated, truncated, self._info()

    def render(self) -> str | Array | None:
        """Return the board as text or as a picture uint8 [height, width, 3] with the last move lit up."""
        if self.render_mode == "ansi":
            return ansi_board(self._states[0])
        if self.render_mode == "rgb_array":
            changed = board_cells(self._states[0]) != board_cells(self._before[0])
            return rgb_board(self._states[0], highlight=changed)
        gymnasium.logger.warn(
            f"render() shows nothing without a render_mode; there are: {self.metadata['render_modes']}"
        )
        return None

    def _start_from(self, options: dict[str, Any]) -> States:
        """Return the position [1] that reset's options ask for."""
        if set(options) - {"state"}:
            raise GameError(f"reset options {', '.join(options)}: allowed is state, a record of {self.game.name}")
        start = np.atleast_1d(options.get("state", self._start))
        if start.dtype != self.game.dtype or start.size != 1:
            raise GameError(f"reset option state: not one record of {self.game.name}")
        return start

    def _step_illegal(self, action: int) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        message = illegal_message(action, np.flatnonzero(self._legal).tolist())
        if self._illegal == "raise":
            raise GameError(message)
        self._is_done = True
        self._legal[:] = 0
        return self._observation(), -1.0, True, False, {**self._info(), "illegal": message}

    def _play(self, action: int) -> None:
        """Play a legal action of whoever is to move."""
        self._before[:] = self._states
        mover = self._to_play
        apply(self._states[0], action)
        self._look()
        self._plies += self._is_done or self._to_play != mover

    def _answer(self) -> None:
        """Let the opponent, if there is one, play until the learner is to move or the game is over."""
        while self._opponent is not None and not self._is_done and self._to_play != self._side:
            action = self._opponent_action()
            if action == RESIGN:
                self._has_resigned = self._is_done = True
                self._legal[:] = 0
                return
            if not 0 <= action < self.game.num_actions or not self._legal[action]:
                self._is_done = True
                legal = np.flatnonzero(self._legal).tolist()
                raise GameError(f"the opponent's {illegal_message(action, legal)}")
            self._play(action)

    def _opponent_action(self) -> int:
        if isinstance(self._opponent, Opponent):
            return int(self._opponent.act(self._states.copy())[0].action)
        if callable(self._opponent):
            return int(self._opponent(self.state))
        return int(random_action(self._mask, self._stream, 0))

    def _look(self) -> None:
        """Bring mask, legal, to_play and is_done up to date with the position."""
        legal_mask(self._states[0], self._mask)
        self._to_play = to_play(self._states[0])
        self._legal = mask_to_bools(self._mask, self.game.num_actions).astype(np.int8)
        self._is_done = not self._legal.any()

    def _observation(self) -> Array:
        planes = np.empty(self.game.planes_shape, np.float32)
        observe(self._states[0], planes)
        return planes

    def _info(self) -> dict[str, Any]:
        info = {"action_mask": self._legal.copy(), "to_play": self._to_play}
        if self._opponent is not None:
            info["side"] = self._side
        if self._has_resigned:
            info["resigned"] = True
        return info
