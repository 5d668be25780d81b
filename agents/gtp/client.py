"""An outside engine that speaks GTP, as a player: `gtp:COMMAND`.

The engine is told the game as it went: from one position to the next the player finds the moves that were made or taken
back, and where it finds no way it starts the engine's board anew, with the stones as they stand. Size, komi and rules
are agreed before a game as far as the engine can be told of them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from agents.analysis import Analysis, IllegalMoveError, PlayerError
from agents.engine_process import EngineProcess, shorten, told_when_silent
from agents.gtp.protocol import GtpError, parse_vertex
from games import go
from games.go_board import LAST_MOVES, POSITIONAL, SIMPLE_KO, SITUATIONAL
from games.notation import vertex_name
from games.rules import RESIGN, Game, State, States, apply, is_over

READY_SECONDS = 300.0  # for its first answer: an engine may load a network or compile
ANSWER_SECONDS = 60.0  # for the answer to what needs no thought
SILENCE_SECONDS = 600.0  # for a move without a limit in seconds, and for the status of stones
GRACE_SECONDS = 10.0  # beyond a limit in seconds
LONGEST_ANSWER = 5000  # lines
CLEANUP = "kgs-genmove_cleanup"
LETTERS = ("b", "w")  # of the players
KO_RULES = {SIMPLE_KO: "SIMPLE", POSITIONAL: "POSITIONAL", SITUATIONAL: "SITUATIONAL"}  # as kata-set-rules has them
AGREED = ("rows", "columns", "komi2", "ko_rule", "suicide")  # fields of a record that a game's engines must agree on

Result = TypeVar("Result")


class GtpPlayer:
    """Asks a GTP engine for moves, and after a game for the stones that are dead."""

    def __init__(self, name: str, game: Game, options: Mapping[str, int | float | str]) -> None:
        """Start the engine; PlayerError where it does not answer, or does not play on this board."""
        self.name = name
        self.title = ""  # what the engine calls itself
        self.is_cleaning_up = False  # the game goes on until all dead stones are taken
        self._notices: list[str] = []  # what could not be agreed with the engine, a line each
        self._game = game
        self._command = str(options["command"])
        self._seconds = self._told_seconds = float(options.get("seconds", 0.0))
        self._engine: EngineProcess | None = None
        self._commands: frozenset[str] = frozenset()  # that it knows
        self._number = 0  # id of the last command
        self._positions: list[State] = []  # what it has played through, the last one on its board; empty: unknown
        self._start()

    # --- the player -------------------------------------------------------------------------------------------------

    def act(self, states: States) -> list[Analysis]:
        """Ask the engine for each position in turn; PlayerError where it crashes, falls silent or breaks the rules."""
        return [self._guarded(self._genmove, state) for state in states]

    def knows(self, command: str) -> bool:
        """Say whether the engine has a command."""
        return command in self._commands

    def new_game(self) -> None:
        """Forget the game, and start the engine again if it has died."""
        self._positions = []
        self.is_cleaning_up = False
        if self._engine is None or not self._engine.is_alive:
            self._start()

    def close(self) -> None:
        """End the engine, by force where it does not leave."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close("quit")

    def agree(self, state: State) -> list[str]:
        """Set the engine up for a game that starts here, and return what it cannot be told, a line each."""
        self._notices = []
        self._positions = []
        self._guarded(self._bring, state)
        return self._notices

    def dead_stones(self, state: State) -> frozenset[int] | None:
        """Return the stones, as actions, that the engine takes for dead; None where it has no opinion."""
        return self._guarded(self._dead_stones, state)

    # --- commands ---------------------------------------------------------------------------------------------------

    def _guarded(self, do: Callable[[State], Result], state: State) -> Result:
        """Do something with a living engine; one that fails is ended, and the next game starts it afresh."""
        if self._engine is None:
            self._start()
        try:
            return do(state)
        except PlayerError:
            self.close()
            raise

    def _genmove(self, state: State) -> Analysis:
        started = time.monotonic()
        self._bring(state)
        colour = LETTERS[int(state.to_move)]
        if self._seconds and "time_left" in self._commands:
            self._tell(f"time_left {colour} {self._told_seconds:g} 1")
        command = CLEANUP if self.is_cleaning_up and CLEANUP in self._commands else "genmove"
        limit = self._seconds + GRACE_SECONDS if self._seconds else SILENCE_SECONDS
        answer = self._tell(f"{command} {colour}", limit)
        seconds = time.monotonic() - started
        if answer.lower() == "resign":
            return Analysis(RESIGN, seconds=seconds)
        try:
            action = self._action(answer, state)
        except ValueError:
            raise IllegalMoveError(f"player {self.name!r}: the engine answered {shorten(answer)}, no vertex") from None
        if not go.is_legal(state, action):
            raise IllegalMoveError(f"player {self.name!r}: {shorten(answer)} is not legal at move {int(state.ply) + 1}")
        after = state.copy()
        apply(after, action)
        self._positions.append(after)
        return Analysis(action, seconds=seconds)

    def _dead_stones(self, state: State) -> frozenset[int] | None:
        if "final_status_list" not in self._commands:
            return None
        self._bring(state)
        try:
            answer = self._ask("final_status_list dead", SILENCE_SECONDS)
            return frozenset(point for text in answer.split() if go.stone_at(state, point := self._action(text, state)))
        except GtpError:
            return None

    # --- the engine's board -----------------------------------------------------------------------------------------

    def _bring(self, state: State) -> None:
        """Let the engine's board be this position."""
        way = find_way(self._positions, state) if self._positions and have_agreed(self._positions[0], state) else None
        if way is None or (way.num_undone and "undo" not in self._commands):
            self._set_up(state)
            return
        for _ in range(way.num_undone):
            self._tell("undo")
            self._positions.pop()
        self._play(way.actions)

    def _play(self, actions: Sequence[int]) -> None:
        """Make moves on the engine's board, from where it is."""
        for action in actions:
            before = self._positions[-1]
            self._tell(f"play {LETTERS[int(before.to_move)]} {self._vertex(action, before)}")
            after = before.copy()
            if is_over(after):
                after.passes = 0
            apply(after, action)
            self._positions.append(after)

    def _set_up(self, state: State) -> None:
        """Start the engine's game afresh: from the beginning where the record has all moves, else with its stones."""
        self._positions = []
        self._agree_on_rules(state)
        start = state.copy()
        go.init(start)
        way = find_way([start], state)
        if way is not None:
            self._positions = [start]
            self._play(way.actions)
            return
        stones: dict[int, list[str]] = {0: [], 1: []}
        for point in range(int(state.rows) * int(state.columns)):
            colour = int(go.stone_at(state, point))
            if colour:
                stones[colour - 1].append(self._vertex(point, state))
        is_handicap = state.ply == 0 and state.to_move == 1 and not stones[1] and len(stones[0]) > 1
        if is_handicap and "set_free_handicap" in self._commands:
            self._tell(f"set_free_handicap {' '.join(stones[0])}")
        else:
            for player, names in stones.items():
                for name in names:
                    self._tell(f"play {LETTERS[player]} {name}")
        if state.passes:
            self._tell(f"play {LETTERS[1 - int(state.to_move)]} pass")
        self._positions = [state.copy()]

    def _agree_on_rules(self, state: State) -> None:
        """Clear the engine's board and tell it size, komi, rules and time; PlayerError where it refuses."""
        rows, columns = int(state.rows), int(state.columns)
        if rows == columns:
            self._tell(f"boardsize {rows}")
        elif "rectangular_boardsize" in self._commands:
            self._tell(f"rectangular_boardsize {columns} {rows}")
        else:
            raise self._error(f"plays on no board of {rows}x{columns} (it lacks rectangular_boardsize)")
        self._tell("clear_board")
        komi = int(state.komi2) / 2
        self._tell(f"komi {komi:g}")
        if "get_komi" in self._commands:
            answer = self._tell("get_komi")
            if parse_number(answer) != komi:
                raise self._error(f"was told komi {komi:g} and has {shorten(answer)}")
        if "kata-set-rules" in self._commands:
            rules = {"ko": KO_RULES[int(state.ko_rule)], "scoring": "AREA", "suicide": bool(state.suicide)}
            rules |= {"tax": "NONE", "whiteHandicapBonus": "0", "hasButton": False}
            self._tell(f"kata-set-rules {json.dumps(rules, separators=(',', ':'))}")
        elif "kgs-rules" in self._commands:
            self._tell("kgs-rules chinese")
            if state.suicide or state.ko_rule != POSITIONAL:
                self._note_rules(state)
        else:
            self._note_rules(state)
        if self._seconds:
            self._set_time()

    def _set_time(self) -> None:
        """Tell the engine its seconds a move: whole ones, as GTP has them, where it takes no others."""
        whole = max(1, int(self._seconds))
        try:
            self._ask(f"time_settings 0 {self._seconds:g} 1", ANSWER_SECONDS)
            self._told_seconds = self._seconds
        except GtpError:
            self._tell(f"time_settings 0 {whole} 1")
            self._told_seconds = whole
            self._notices.append(f"{self.name} takes whole seconds only: it was told {whole} a move")

    def _note_rules(self, state: State) -> None:
        """Note what the command line of an engine that cannot be told the rules should say, and does not."""
        if self.title.lower() == "gnu go":
            wanted = ["--chinese-rules"]
            wanted += ["--allow-suicide"] if state.suicide else []
            wanted += ["--positional-superko"] if state.ko_rule == POSITIONAL else []
            wanted += ["--situational-superko"] if state.ko_rule == SITUATIONAL else []
            missing = [option for option in wanted if option not in self._command.split()]
            if missing:
                self._notices.append(f"{self.name} plays by other rules: start it with {' '.join(missing)}")
        else:
            self._notices.append(f"{self.name} cannot be told the rules: its command line should name them")

    # --- the process ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Start the engine and ask what it knows."""
        self._positions = []
        self._engine = EngineProcess(self.name, self._command)
        try:
            with told_when_silent(self.name, "GTP"):
                self.title = self._tell("name", READY_SECONDS)
            self._commands = frozenset(self._tell("list_commands").split())
        except PlayerError:
            self.close()
            raise

    def _tell(self, command: str, seconds: float = ANSWER_SECONDS) -> str:
        """Send what the engine must not refuse, and return its answer."""
        try:
            return self._ask(command, seconds)
        except GtpError as error:
            raise self._error(f"refuses {command!r}: {shorten(str(error))}") from None

    def _ask(self, command: str, seconds: float) -> str:
        """Send a command and return the text of its response; GtpError where that is a failure.

        Whatever is no response is passed over, as are responses to earlier commands.
        """
        assert self._engine is not None
        self._number += 1
        self._engine.send(f"{self._number} {command}")
        deadline = time.monotonic() + seconds
        while True:
            match = re.fullmatch(r"([=?])(\d*)\s*(.*)", self._engine.hear(deadline))
            if match is None:
                continue
            lines = [match[3]]
            while line := self._engine.hear(deadline):
                lines.append(line)
                if len(lines) > LONGEST_ANSWER:
                    raise self._error(f"answers {command!r} without an end")
            if match[2] in ("", str(self._number)):
                text = "\n".join(lines).strip()
                if match[1] == "?":
                    raise GtpError(text)
                return text

    def _error(self, problem: str) -> PlayerError:
        assert self._engine is not None
        return self._engine.error(problem)

    def _vertex(self, action: int, state: State) -> str:
        return vertex_name(action, int(state.rows), int(state.columns))

    def _action(self, text: str, state: State) -> int:
        return parse_vertex(text, int(state.rows), int(state.columns))


# --- from one position to another -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """How to come from a game's last position to another one."""

    num_undone: int
    actions: tuple[int, ...]  # played then


def have_agreed(one: State, other: State) -> bool:
    """Say whether two positions belong to games on equal terms."""
    return all(one[name] == other[name] for name in AGREED)


def find_way(positions: Sequence[State], target: State) -> Way | None:
    """Return how a game that has gone through these positions comes to another; None where no way is known."""
    for num_undone, start in enumerate(reversed(positions)):
        distance = int(target.ply) - int(start.ply)
        if not 0 <= distance <= LAST_MOVES:
            continue
        actions = tuple(int(action) for action in target.last_moves[:distance][::-1])
        reached = start.copy()
        for action in actions:
            if is_over(reached):
                reached.passes = 0  # played on after a dispute
            if not go.is_legal(reached, action):
                break
            apply(reached, action)
        else:
            if all(np.array_equal(reached[name], target[name]) for name in ("board", "to_move", "captured")):
                return Way(num_undone, actions)
    return None


# --- answers --------------------------------------------------------------------------------------------------------


def parse_number(text: str) -> float | None:
    """Return a number that an engine says, None where it says none."""
    return float(text) if re.fullmatch(r"[-+]?\d{1,6}(\.\d{0,6})?", text, re.ASCII) else None
