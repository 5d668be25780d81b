"""What players say: of a position beside their move, and of what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from games.refusal import RefusedError


@dataclass(frozen=True)
class MoveAnalysis:
    """What a player thinks of one legal action."""

    action: int
    visits: int  # simulations or nodes spent below it
    prior: float  # probability before the search, 0.0 where there is none
    value: float | None  # expected return for player 0, -1.0 to 1.0; None where nobody judged it
    principal_variation: tuple[int, ...] = ()  # expected actions, this one first


@dataclass(frozen=True)
class Analysis:
    """A player's action in one position and its reasons."""

    action: int  # or RESIGN
    value: float | None = None  # expected return for player 0, -1.0 to 1.0; None where the player has no opinion
    principal_variation: tuple[int, ...] = ()  # expected actions, the chosen one first
    depth: int = 0  # whole turns searched
    nodes: int = 0  # positions visited
    seconds: float = 0.0
    moves: tuple[MoveAnalysis, ...] = ()


Progress = Callable[[Analysis], None]  # is called with what a search has found so far


class PlayerError(RefusedError):
    """A player that does not exist, cannot be made or broke the rules; the message is one line."""


class PlayerTimeoutError(PlayerError, TimeoutError):
    """A player that did not answer in time."""


class IllegalMoveError(PlayerError):
    """A player that answered with a move that is not legal."""
