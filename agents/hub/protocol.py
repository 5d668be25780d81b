"""What both sides of the Hub protocol, version 2, share: lines, English draughts positions and moves as text.

A line is a command and pairs `name=value`, a value with spaces in double quotes. A position is the letter of the side
to move and one letter a square: w, b men, W, B kings, e empty. A move is `11-15`, or `22x15x18`: from, to, then the
squares of the captured pieces in ascending order.

English draughts comes in two frames, because the protocol was written for games that White begins. In the `rotated`
frame a position is written with the board turned by 180 degrees and the colours swapped, so that the first mover is W
and starts at the high squares (pydraughts does this); in the `plain` frame, as in PDN: Black is B and begins on 1-12.
Moves have PDN's square numbers in both. The starting array looks the same in both but for the side to move, and no game
meets it with the other side to move: it is read as the start of a game whichever letter it carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agents.engine_process import shorten
from games.checkers import BLACK, CHECKERS, JUMP, NO_JUMPER, NUM_SQUARES, STEP, WHITE, start_history
from games.notation import Turn, legal_turns
from games.refusal import RefusedError
from games.rules import State, States, apply

VARIANT = "english"
FRAMES = ("rotated", "plain")  # the first is the default
START_ARRAY = "b" * 12 + "e" * 8 + "w" * 12

_PAIR = re.compile(r'\s*([^\s="]+)(?:\s*=\s*("[^"]*"|[^\s="]+))?(?=\s|$)')
_SWAP_COLOURS = str.maketrans("wbWB", "bwBW")


class HubError(RefusedError):
    """A line, a position or a move that the protocol does not allow; the message is one line."""


# --- lines ----------------------------------------------------------------------------------------------------------


def parse_line(line: str) -> tuple[str, dict[str, str]]:
    """Return the command of a line and its pairs, in order; a name alone has the value ""."""
    command, _, rest = line.strip().partition(" ")
    pairs: dict[str, str] = {}
    rest = rest.rstrip()
    end = 0
    while end < len(rest):
        match = _PAIR.match(rest, end)
        if match is None:
            raise HubError(f"expected name=value at {shorten(rest[end:].strip())}")
        name, value = match[1], match[2] or ""
        if name in pairs:
            raise HubError(f"{shorten(name)} is given twice")
        pairs[name] = value.strip('"')
        end = match.end()
    return command, pairs


def format_line(command: str, pairs: Mapping[str, object] | None = None) -> str:
    """Return the line of a command and its pairs; what a value may not hold (quotes, line ends) becomes a space."""
    words = [command]
    for name, value in (pairs or {}).items():
        text = re.sub(r'["\s\0]', " ", str(value))
        words.append(f"{name}={text}" if text and " " not in text and "=" not in text else f'{name}="{text}"')
    return " ".join(words)


# --- positions ------------------------------------------------------------------------------------------------------


def parse_position(text: str, frame: str, rules: str | None = None) -> States:
    """Return the position that a text stands for, as records [1]; HubError where it stands for none."""
    side, squares = text[:1], text[1:]
    if side not in ("W", "B") or len(squares) != NUM_SQUARES or set(squares) - set("wbWBe"):
        raise HubError(f"position {shorten(text)}: expected W or B and {NUM_SQUARES} letters of w b W B e")
    states = CHECKERS.new(1, rules)
    if squares == START_ARRAY:
        return states
    if frame == "rotated":
        squares = squares[::-1].translate(_SWAP_COLOURS)
        side = side.translate(_SWAP_COLOURS)
    if "b" in squares[-4:] or "w" in squares[:4]:
        raise HubError(f"position {shorten(text)}: a man stands on its king row")
    state = states[0]
    for colour, letters in (("black", "bB"), ("white", "wW"), ("kings", "BW")):
        state[colour] = sum(1 << square for square, letter in enumerate(squares) if letter in letters)
    state.to_play = BLACK if side == "B" else WHITE
    start_history(state)
    return states


def position_name(state: State, frame: str) -> str:
    """Return the text of a position; precondition: no multi-jump is under way."""
    letters = []
    for square in range(NUM_SQUARES):
        is_black, is_white, is_king = (int(state[field]) >> square & 1 for field in ("black", "white", "kings"))
        letter = "b" if is_black else "w" if is_white else "e"
        letters.append(letter.upper() if is_king else letter)
    squares, side = "".join(letters), "B" if state.to_play == BLACK else "W"
    if frame == "rotated":
        squares, side = squares[::-1].translate(_SWAP_COLOURS), side.translate(_SWAP_COLOURS)
    return side + squares


# --- moves ----------------------------------------------------------------------------------------------------------


def move_name(state: State, turn: Turn) -> str:
    """Return the text of a whole turn from a position."""
    origin, passed = turn[0] % NUM_SQUARES, sorted(int(STEP[action]) for action in turn)
    enemy = int(state.white if state.to_play == BLACK else state.black)
    if not enemy >> passed[0] & 1:
        return f"{origin + 1}-{passed[0] + 1}"
    return "x".join(str(square + 1) for square in (origin, int(JUMP[turn[-1]]), *passed))


def move_names(state: State, actions: Sequence[int]) -> list[str]:
    """Return the texts of the whole turns that actions make from a position; one that is not finished is left out."""
    position, start = state.copy(), state.copy()
    names: list[str] = []
    turn: list[int] = []
    for action in actions:
        turn.append(action)
        apply(position, action)
        if position.jumper == NO_JUMPER:
            names.append(move_name(start, tuple(turn)))
            start, turn = position.copy(), []
    return names


def parse_move(state: State, text: str) -> Turn:
    """Return the turn that a text stands for; HubError where it is no legal move of the position.

    Captured squares may come in any order and may be left out where from and to say enough.
    """
    turns = legal_turns(state)
    by_key: dict[tuple[str, ...], list[Turn]] = {}
    for turn in turns:
        by_key.setdefault(_move_key(move_name(state, turn)), []).append(turn)
    key = _move_key(text)
    found = [key] if key in by_key else [full for full in by_key if len(key) == 3 and full[:3] == key]
    if len(found) != 1 or not re.fullmatch(r"\d+(-\d+|(x\d+)+)", text, re.ASCII):
        names = ", ".join(sorted({move_name(state, turn) for turn in turns})) or "none, the game is over"
        raise HubError(f"move {shorten(text)} is not legal; legal moves: {names}")
    return by_key[found[0]][0]  # routes with one origin, one end and the same captures lead to one position


def _move_key(text: str) -> tuple[str, ...]:
    """Return the separator, from, to and the captured squares in a fixed order."""
    separator = "x" if "x" in text else "-"
    squares = text.split(separator)
    return (separator, *squares[:2], *sorted(squares[2:]))
