"""What a player says of a position beside its move."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MoveAnalysis:
    """What a player thinks of one legal action."""

    action: int
    visits: int  # simulations or nodes spent below it
    prior: float  # probability before the search, 0.0 where there is none
    value: float  # expected return for player 0, -1.0 to 1.0


@dataclass(frozen=True)
class Analysis:
    """A player's action in one position and its reasons."""

    action: int
    value: float | None = None  # expected return for player 0, -1.0 to 1.0; None where the player has no opinion
    principal_variation: tuple[int, ...] = ()  # expected actions, the chosen one first
    depth: int = 0  # whole turns searched
    nodes: int = 0  # positions visited
    seconds: float = 0.0
    moves: tuple[MoveAnalysis, ...] = ()
