"""What one game has of its own in a terminal: its board, its words, its records."""

from __future__ import annotations

import datetime
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.text import Text

from agents.terminal.board_view import FACES, View, board_lines
from agents.umpire import Verdict
from games.checkers import CHECKERS
from games.notation import Turn, legal_turns, turn_name
from games.pdn import RESULT_NAMES, PdnGame, fen_name, write_game
from games.refusal import RefusedError
from games.rules import Game, State

# What ended a game (agents/umpire.py) in words; {loser} is a side's name, the others are fields of the record.
REASONS = {
    "no moves": "{loser} has no legal move",
    "four in line": "four in a line",
    "repetition": "the same position came up {repeat_limit} times",
    "quiet limit": "{quiet_limit} plies without a capture or a man's move",
    "ply limit": "{ply_limit} plies played",
    "board full": "the board is full",
}

Questions = Mapping[str, tuple[Callable[[State], str], str]]  # commands: what they say of a position, what they do
Heat = Mapping[int, float]  # share of each action, where a board is to show them


@dataclass(frozen=True)
class Played:
    """A game as far as it was played."""

    specs: tuple[str, str]
    positions: Sequence[State]  # the start, and after each turn
    turns: Sequence[Turn]
    comments: Mapping[int, str]  # what a player thought, by the number of turns played then
    verdict: Verdict | None  # None while the game goes on
    told: str  # the verdict in words


class Style(Protocol):
    """How a game looks and reads."""

    sides: tuple[str, str]
    turns_around: bool  # the board may be seen from the other side
    help_rows: Sequence[tuple[str, str]]  # what else may be typed, and what it does
    help_note: str
    questions: Questions
    record_name: str  # "PDN"; "" where there is no standard record
    shows_heat: bool  # the board can show shares of the moves

    def board(self, state: State, before: State | None, view: View, heat: Heat | None = None) -> list[Text]:
        """Return the board as lines of equal width."""

    def notes(self, state: State) -> list[str]:
        """Return what stands beside the board under the players' names."""

    def example(self, state: State) -> str:
        """Return a move that may be typed."""

    def expectation(self, value: float) -> str:
        """Return an expected return for player 0 in words."""

    def reason(self, state: State, verdict: Verdict) -> str:
        """Return why a game that is over ended so, in words."""

    def record(self, played: Played) -> bytes:
        """Return a game as a file; ValueError where it cannot be one."""

    def farewell(self, played: Played) -> str:
        """Return how to go on with a game that is not over, "" where there is no way."""


def style_of(game: Game, rules: str | None) -> Style:
    """Return the style of a game under a rule set, None for its first."""
    if game.family == "go":
        from agents.terminal.go_game import GoStyle

        return GoStyle(rules or next(iter(game.rule_sets)))
    return CheckersStyle(rules) if game.family == "checkers" else DiscStyle(game)


class DiscStyle:
    """Of games that drop discs, and of all that squares and pieces have in common."""

    turns_around = False
    help_rows: Sequence[tuple[str, str]] = (("4", "drop a disc into column 4"),)
    help_note = ""
    record_name = ""
    shows_heat = False

    def __init__(self, game: Game) -> None:
        self.questions: Questions = {}
        self.sides = FACES[game.name].sides

    def board(self, state: State, before: State | None, view: View, heat: Heat | None = None) -> list[Text]:
        """Draw squares and pieces."""
        return board_lines(state, before, view)

    def notes(self, state: State) -> list[str]:
        """Note nothing."""
        return []

    def example(self, state: State) -> str:
        """Name the first legal turn."""
        turns = legal_turns(state)
        return turn_name(state, turns[0]) if turns else self.help_rows[0][0]

    def expectation(self, value: float) -> str:
        """Take the value for the tanh of a lead, as alpha-beta has it."""
        side = self.sides[0 if value > 0 else 1]
        if abs(value) >= 1:
            return f"{side} wins"
        lead = f"{abs(math.atanh(value)):.2f}"
        return "even" if lead == "0.00" else f"{side} +{lead}"

    def reason(self, state: State, verdict: Verdict) -> str:
        """Fill in the rules' words."""
        fields = {name: state[name] for name in state.dtype.names or () if name.endswith("_limit")}
        fields["loser"] = self.sides[0 if verdict.result < 0 else 1]
        return REASONS.get(verdict.reason, verdict.reason).format(**fields)

    def record(self, played: Played) -> bytes:
        """Refuse: there is no standard record."""
        raise RefusedError("there is no standard record of this game")

    def farewell(self, played: Played) -> str:
        """Say nothing."""
        return ""


class CheckersStyle(DiscStyle):
    """Of checkers, which has a notation and a record of its own."""

    turns_around = True
    help_rows = (("11-15", "make a move; a capture names its stops: 22x15x8"),)
    help_note = "Captures are forced. As letters: b, w men, B, W kings, * what moved last."
    record_name = "PDN"

    def __init__(self, rules: str | None = None) -> None:
        super().__init__(CHECKERS)
        self._rules = rules

    def record(self, played: Played) -> bytes:
        """Write PDN."""
        tags = {
            "Event": "A game in the terminal",
            "Date": f"{datetime.date.today():%Y.%m.%d}",
            "Black": played.specs[0],
            "White": played.specs[1],
        }
        game = PdnGame(
            turns=tuple(played.turns),
            result="*" if played.verdict is None else RESULT_NAMES[played.verdict.result],
            tags=tags,
            start=fen_name(played.positions[0]),
            comments={} if played.verdict is None else {len(played.turns): played.told},
        )
        return write_game(game).encode()

    def farewell(self, played: Played) -> str:
        """Name the command that goes on from the position."""
        players = f"--black {shlex.quote(played.specs[0])} --white {shlex.quote(played.specs[1])}"
        rules = f" --rules {shlex.quote(self._rules)}" if self._rules is not None else ""
        return f"play.py checkers --fen {shlex.quote(fen_name(played.positions[-1]))} {players}{rules}"
