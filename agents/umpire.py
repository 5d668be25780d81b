"""Who says how a game went: its rules alone, or in Go also what is agreed on dead stones when both have passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agents.analysis import Analysis, PlayerError
from agents.player import Player
from games.rules import Game, State, game_of, returns

DECIDED = {"checkers": "no moves", "connect_four": "four in line"}  # what a game without a draw ended by
FULL_BOARD = {"connect_four": "board full"}  # what a draw that no counter explains ended by


@dataclass(frozen=True)
class Verdict:
    """How a game ended."""

    result: float  # for player 0: 1.0 won, 0.0 drawn, -1.0 lost
    reason: str  # "no moves", "repetition", "score", ...
    score: str = ""  # in Go: "B+3.5"
    note: str = ""  # how that was agreed


class Umpire(Protocol):
    """The judge of one game after the other."""

    def begin(self) -> None:
        """Forget a game that was not finished: another one begins."""

    def conducted(self, state: State, analysis: Analysis) -> Analysis:
        """Return what a player's analysis of a position comes to in this game."""

    def comment(self, analysis: Analysis) -> str:
        """Return what is worth noting beside a move, "" for nothing."""

    def verdict(self, state: State, players: Sequence[Player | None]) -> Verdict | None:
        """Say how a game that is over ended; None, and the position open again, where it is to be played on.

        The players, None for a person, may be asked.
        """

    def close(self) -> None:
        """Let go of whom it asks."""


class RulesUmpire:
    """Knows the rules and nothing else."""

    def begin(self) -> None:
        """Hold nothing of a game."""

    def conducted(self, state: State, analysis: Analysis) -> Analysis:
        """Take every player at its word."""
        return analysis

    def comment(self, analysis: Analysis) -> str:
        """Note nothing."""
        return ""

    def verdict(self, state: State, players: Sequence[Player | None]) -> Verdict:
        """Return what the rules say."""
        return Verdict(returns(state), ending(state))

    def close(self) -> None:
        """Hold nothing."""


def make_umpire(game: Game, rules: str | None, referee: str | None = None) -> Umpire:
    """Return the umpire of a game under a rule set (None: the first); `referee` is the spec of a program it asks.

    PlayerError where the referee cannot be had.
    """
    if game.family == "go":
        from agents.go_umpire import GoUmpire

        return GoUmpire(game, rules or next(iter(game.rule_sets)), referee)
    if referee is not None:
        raise PlayerError(f"{game.name} needs no referee: its rules say who has won")
    return RulesUmpire()


def ending(state: State) -> str:
    """Name what ended a finished game by its rules."""
    family = game_of(state).family
    if returns(state) != 0.0:
        return DECIDED.get(family, "won")
    fields = state.dtype.names or ()
    if "repeat_limit" in fields and 0 < state.repeat_limit <= state.repeats + 1:
        return "repetition"
    if "quiet_limit" in fields and 0 < state.quiet_limit <= state.quiet_plies:
        return "quiet limit"
    if "ply_limit" in fields and 0 < state.ply_limit <= state.ply:
        return "ply limit"
    return FULL_BOARD.get(family, "drawn")
