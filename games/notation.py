"""Turns as text and text as turns, for every game: the only code that knows how moves are written.

A turn is the tuple of actions that one player makes in a row: one action in most games, all jumps of a multi-jump in
checkers. Each game writes turns in its own way (`NOTATIONS`); a game without an entry writes its action numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from games import go
from games.checkers import JUMP, NUM_SQUARES, STEP
from games.go_board import EMPTY, SIMPLE_KO
from games.refusal import RefusedError
from games.rules import State, apply, game_of, is_over, is_quiet, to_play

Turn = tuple[int, ...]  # the actions of one whole turn

SHOWN = 40  # characters of a bad input that an error repeats


class NotationError(RefusedError):
    """A text that names no legal turn, or more than one; the message is one line and says what is allowed."""


@dataclass(frozen=True)
class Notation:
    """How one game writes its turns."""

    example: str  # for errors: "11-15 or 22x15x8"
    turn_name: Callable[[State, Turn], str]  # precondition: the turn is legal
    meanings: Callable[[str, list[Turn], State], list[Turn] | None]  # legal turns a text may mean; None: unreadable
    why_illegal: Callable[[State, str], str] | None = None  # of a readable text; None: a list of what is legal says it


# --- turns of any game ----------------------------------------------------------------------------------------------


def legal_turns(state: State) -> list[Turn]:
    """Return every legal turn, or what is left of one that has begun; empty when the game is over."""
    actions = game_of(state).legal_actions(state)
    if is_quiet(state):  # then every action is a whole turn
        return [(action,) for action in actions]
    mover = to_play(state)
    turns: list[Turn] = []
    for action in actions:
        after = state.copy()
        apply(after, action)
        if to_play(after) == mover and not is_over(after):
            turns += [(action, *rest) for rest in legal_turns(after)]
        else:
            turns.append((action,))
    return turns


def play_turn(state: State, turn: Turn) -> None:
    """Play a whole turn; precondition: it is legal."""
    for action in turn:
        apply(state, action)


def turn_name(state: State, turn: Turn) -> str:
    """Return a turn as the game's players write it ("11-15", "22x15x8", column "4"); precondition: it is legal."""
    return _notation_of(state).turn_name(state, turn)


def parse_turn(state: State, text: str) -> Turn:
    """Return the legal turn that a text names; NotationError, with what is allowed, where it names no one turn."""
    notation = _notation_of(state)
    turns = legal_turns(state)
    shown = repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")
    if not turns:
        raise NotationError(f"cannot play {shown}: the game is over")
    meanings = notation.meanings(text, turns, state)
    if meanings is None:
        raise NotationError(f"cannot read {shown} as a move; write it like {notation.example}")
    if not meanings:
        why = f"legal: {_names(state, turns)}" if notation.why_illegal is None else notation.why_illegal(state, text)
        raise NotationError(f"{shown} is not legal here; {why}")
    if len({_outcome(state, turn) for turn in meanings}) > 1:
        raise NotationError(f"{shown} may mean several moves; write one of: {_names(state, meanings)}")
    return meanings[0]


def _names(state: State, turns: list[Turn]) -> str:
    return ", ".join(turn_name(state, turn) for turn in turns)


def _outcome(state: State, turn: Turn) -> bytes:
    """Return the position after a turn: two routes that take the same pieces to the same square are one move."""
    after = state.copy()
    play_turn(after, turn)
    return bytes(after.tobytes())


# --- numbers, for games whose actions are numbers to their players --------------------------------------------------


def _numbered(example: str, first: int) -> Notation:
    """Return the notation that writes action a as the number a + first, and several actions with commas between."""

    def name(state: State, turn: Turn) -> str:
        return ",".join(str(action + first) for action in turn)

    def meanings(text: str, turns: list[Turn], state: State) -> list[Turn] | None:
        numbers = [number.strip() for number in text.split(",")]
        if not all(re.fullmatch("[0-9]{1,9}", number) for number in numbers):
            return None
        wanted = tuple(int(number) - first for number in numbers)
        return [turn for turn in turns if turn == wanted]

    return Notation(example, name, meanings)


# --- checkers: the squares a piece stops on, 1-32 -------------------------------------------------------------------

ROUTE = re.compile(r"\s*[0-9]{1,2}(?:\s*[-xX:]\s*[0-9]{1,2})+\s*")
STEP_TARGETS: list[int] = STEP.tolist()
JUMP_TARGETS: list[int] = JUMP.tolist()


def read_route(text: str) -> tuple[int, ...] | None:
    """Return the squares, counted from 0, that a checkers move names, with any separator; None if unreadable."""
    if not ROUTE.fullmatch(text):
        return None
    squares = tuple(int(number) - 1 for number in re.findall("[0-9]+", text))
    return squares if all(0 <= square < NUM_SQUARES for square in squares) else None


def route_of(turn: Turn, is_capture: bool) -> tuple[int, ...]:
    """Return the squares, counted from 0, that a checkers piece stops on: where it starts, then every landing."""
    targets = JUMP_TARGETS if is_capture else STEP_TARGETS
    return (turn[0] % NUM_SQUARES, *(targets[action] for action in turn))


def route_name(route: tuple[int, ...], is_capture: bool) -> str:
    """Return a checkers move as records write it: 11-15, or the whole route of a capture, 22x15x8."""
    return ("x" if is_capture else "-").join(str(square + 1) for square in route)


def _checkers_name(state: State, turn: Turn) -> str:
    is_capture = not is_quiet(state)
    return route_name(route_of(turn, is_capture), is_capture)


def _checkers_meanings(text: str, turns: list[Turn], state: State) -> list[Turn] | None:
    """Prefer the turn with exactly these stops; otherwise take every turn that passes them in order, ends included."""
    wanted = read_route(text)
    if wanted is None:
        return None
    is_capture = not is_quiet(state)
    routes = {turn: route_of(turn, is_capture) for turn in turns}
    exact = [turn for turn, route in routes.items() if route == wanted]
    return exact or [turn for turn, route in routes.items() if _is_shortened(wanted, route)]


def _is_shortened(short: tuple[int, ...], route: tuple[int, ...]) -> bool:
    """Say whether a text may stand for a route: the same first and last square, its middle ones on the way in order."""
    if (short[0], short[-1]) != (route[0], route[-1]):
        return False
    stops_left = iter(route[1:-1])
    return all(square in stops_left for square in short[1:-1])


# --- Go: vertices as in GTP, columns lettered without I, rows counted from the bottom --------------------------------

COLUMN_LETTERS = "ABCDEFGHJKLMNOPQRST"
VERTEX = re.compile(r"\s*([A-HJ-T])([0-9]{1,2})\s*", re.IGNORECASE | re.ASCII)


def vertex_name(action: int, rows: int, columns: int) -> str:
    """Return an action of Go as players write it: D4, or pass."""
    if action == rows * columns:
        return "pass"
    row, column = divmod(action, columns)
    return f"{COLUMN_LETTERS[column]}{rows - row}"


def read_vertex(text: str, rows: int, columns: int) -> int | None:
    """Return the action that a vertex names, in any case; None where it is none of the board."""
    if text.strip().lower() == "pass":
        return rows * columns
    match = VERTEX.fullmatch(text)
    column, row = (COLUMN_LETTERS.index(match[1].upper()), rows - int(match[2])) if match else (-1, -1)
    return row * columns + column if 0 <= row < rows and 0 <= column < columns else None


def why_illegal_in_go(state: State, action: int) -> str:
    """Say which rule forbids an action; precondition: it is not legal."""
    if is_over(state):
        return "the game is over"
    if go.stone_at(state, action) != EMPTY:
        return "there is a stone"
    if int(state.ko_point) == go.point_of(state, action):
        return "it would retake the ko at once"
    without_superko = state.copy()
    without_superko.ko_rule = SIMPLE_KO
    if go.is_legal(without_superko, action):
        return "it would repeat an earlier position"
    return "it would be suicide"


def _go_name(state: State, turn: Turn) -> str:
    return vertex_name(turn[0], int(state.rows), int(state.columns))


def _go_meanings(text: str, turns: list[Turn], state: State) -> list[Turn] | None:
    action = read_vertex(text, int(state.rows), int(state.columns))
    if action is None:
        return [] if VERTEX.fullmatch(text) else None
    return [turn for turn in turns if turn == (action,)]


def _why_illegal_in_go(state: State, text: str) -> str:
    rows, columns = int(state.rows), int(state.columns)
    action = read_vertex(text, rows, columns)
    if action is None:
        return f"the board is A1 to {vertex_name(columns - 1, rows, columns)}"
    return why_illegal_in_go(state, action)


# --- the table ------------------------------------------------------------------------------------------------------

ACTION_NUMBERS = _numbered("0", first=0)
NOTATIONS: dict[str, Notation] = {
    "checkers": Notation("11-15 or 22x15x8, squares 1 to 32", _checkers_name, _checkers_meanings),
    "connect_four": _numbered("4, the column counted from 1", first=1),
    "go": Notation(
        "D4 (columns A-T without I, rows from the bottom) or pass", _go_name, _go_meanings, _why_illegal_in_go
    ),
}


def _notation_of(state: State) -> Notation:
    return NOTATIONS.get(game_of(state).family, ACTION_NUMBERS)
