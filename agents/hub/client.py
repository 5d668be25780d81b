"""Our side of the Hub protocol, version 2, as the driver: a player that is an outside engine in a process of its own.

The engine is told the game as it went since this player first saw it, so that it knows of repetitions: from one
position to the next the player finds the turn that the opponent must have made.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from agents.analysis import Analysis, IllegalMoveError, PlayerError, Progress
from agents.engine_process import EngineProcess, shorten, told_when_silent
from agents.hub.protocol import FRAMES, VARIANT, HubError, format_line, move_name, parse_line, parse_move, position_name
from games.checkers import NO_JUMPER
from games.notation import Turn, legal_turns, play_turn
from games.rules import State, States, apply, hash_key, to_play

DEFAULT_SECONDS = 1.0  # a move, where a spec sets no limit
GREETING_SECONDS = 30.0  # for the answer to `hub`
READY_SECONDS = 300.0  # for the answer to `init`: an engine may load tables or compile
SILENCE_SECONDS = 300.0  # without any line while it thinks with a limit on depth or nodes
GRACE_SECONDS = 10.0  # beyond a limit in seconds
DECIDED = 50.0  # scores beyond this are wins, in men

Key = tuple[int, int, int]


@dataclass(frozen=True)
class Line:
    """The turns of a game as far as this player knows it."""

    start: str  # the position before them
    moves: tuple[str, ...]
    end: State  # the position after them


class HubPlayer:
    """Asks a Hub engine for whole turns, and answers them action by action."""

    def __init__(
        self, name: str, options: Mapping[str, int | float | str], on_progress: Progress | None = None
    ) -> None:
        self.name = name
        self._command = str(options["command"])
        self._frame = str(options.get("frame", FRAMES[0]))
        self._level: dict[str, int | float | str] = {key: options[key] for key in ("depth", "nodes") if key in options}
        self._seconds = float(options.get("seconds", 0.0 if self._level else DEFAULT_SECONDS))
        if self._seconds:
            self._level["move-time"] = self._seconds
        self._on_progress = on_progress
        self._lines: dict[Key, Line] = {}  # by the position after our own last turn
        self._rest: dict[Key, tuple[int, ...]] = {}  # what is left of a multi-jump, by the position within it
        self._engine: EngineProcess | None = None
        self._start()

    # --- the player -------------------------------------------------------------------------------------------------

    def act(self, states: States) -> list[Analysis]:
        """Ask the engine for each position in turn; PlayerError where it crashes, falls silent or breaks the rules."""
        return [self._act(state) for state in states]

    def new_game(self) -> None:
        """Tell the engine that another game begins, and start it again if it has died."""
        self._lines.clear()
        self._rest.clear()
        if self._engine is None or not self._engine.is_alive:
            self._start()
        self._send("new-game")

    def close(self) -> None:
        """End the engine, by force where it does not leave."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close("stop\nquit")

    def _act(self, state: State) -> Analysis:
        rest = self._rest.pop(_key(state), ())
        if not rest:
            if state.jumper != NO_JUMPER:
                raise PlayerError(f"player {self.name!r}: the Hub protocol has no positions within a multi-jump")
            if self._engine is None:
                self._start()
            try:
                return self._ask(state)
            except PlayerError:
                self.close()  # whatever state it is in, the next game starts it afresh
                raise
        self._remember_rest(state, rest)
        return Analysis(rest[0], principal_variation=rest)

    def _remember_rest(self, state: State, turn: Turn) -> None:
        if len(turn) > 1:
            after = state.copy()
            apply(after, turn[0])
            self._rest[_key(after)] = turn[1:]

    def _ask(self, state: State) -> Analysis:
        started = time.monotonic()
        line = self._line_to(state)
        pairs = {"pos": line.start}
        if line.moves:
            pairs["moves"] = " ".join(line.moves)
        self._send("pos", pairs)
        self._send("level", self._level)
        self._send("go think")
        known, move = self._await_move(state, started)
        try:
            turn = parse_move(state, move)
        except HubError as error:
            raise IllegalMoveError(f"player {self.name!r}: {error}") from None
        after = state.copy()
        play_turn(after, turn)
        self._lines[_key(after)] = Line(line.start, (*line.moves, move_name(state, turn)), after)
        self._remember_rest(state, turn)
        expected = known.principal_variation
        return Analysis(
            action=turn[0],
            value=known.value,
            principal_variation=expected if expected[: len(turn)] == turn else turn,
            depth=known.depth,
            nodes=known.nodes,
            seconds=time.monotonic() - started,
        )

    def _await_move(self, state: State, started: float) -> tuple[Analysis, str]:
        """Return what the engine said last of the position, and its move."""
        known = Analysis(-1)
        while True:
            last_call = started + self._seconds + GRACE_SECONDS if self._seconds else time.monotonic() + SILENCE_SECONDS
            command, pairs = self._hear(last_call)
            if command == "info":
                known = self._read_info(state, pairs, time.monotonic() - started)
                if self._on_progress is not None and known.action >= 0:
                    self._on_progress(known)
            elif command == "done":
                return known, pairs.get("move", "")
            elif command == "error":
                raise self._error(f"answered: {shorten(pairs.get('message', ''), 200)}")

    def _line_to(self, state: State) -> Line:
        """Return how the game came to a position: known turns and the opponent's last, or the position alone."""
        key = _key(state)
        for line in self._lines.values():
            for turn in legal_turns(line.end) if line.end.ply + 1 == state.ply else []:
                after = line.end.copy()
                play_turn(after, turn)
                if _key(after) == key:
                    return Line(line.start, (*line.moves, move_name(line.end, turn)), after)
        return Line(position_name(state, self._frame), (), state)

    def _read_info(self, state: State, pairs: Mapping[str, str], seconds: float) -> Analysis:
        """Return what an info line says; whatever makes no sense is left out, since nothing depends on it."""
        line: list[int] = []
        after = state.copy()
        with contextlib.suppress(HubError):
            for text in pairs.get("pv", "").split():
                turn = parse_move(after, text)
                play_turn(after, turn)
                line += turn
        return Analysis(
            action=line[0] if line else -1,
            value=_read_score(pairs.get("score", ""), to_play(state)),
            principal_variation=tuple(line),
            depth=_read_count(pairs.get("depth", "")),
            nodes=_read_count(pairs.get("nodes", "")),
            seconds=seconds,
        )

    # --- the process ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Start the engine and shake hands."""
        self._engine = EngineProcess(self.name, self._command)
        try:
            with told_when_silent(self.name, "the Hub protocol"):
                self._shake_hands()
        except PlayerError:
            self.close()
            raise

    def _shake_hands(self) -> None:
        params: dict[str, str] = {}  # name -> the values it may take, with spaces between
        self._send("hub")
        deadline = time.monotonic() + GREETING_SECONDS
        while (heard := self._hear(deadline))[0] != "wait":
            if heard[0] == "param":
                params[heard[1].get("name", "")] = heard[1].get("values", "")
        if VARIANT not in params.get("variant", "").split():
            raise self._error(f"does not offer variant={VARIANT}")
        self._send("set-param", {"name": "variant", "value": VARIANT})
        if self._frame in params.get("frame", "").split():
            self._send("set-param", {"name": "frame", "value": self._frame})
        self._send("init")
        deadline = time.monotonic() + READY_SECONDS
        while self._hear(deadline)[0] != "ready":
            pass

    def _send(self, command: str, pairs: Mapping[str, object] | None = None) -> None:
        assert self._engine is not None
        self._engine.send(format_line(command, pairs))

    def _hear(self, deadline: float) -> tuple[str, dict[str, str]]:
        """Return the next line that can be read; PlayerError where none comes until the deadline (monotonic)."""
        assert self._engine is not None
        while True:
            line = self._engine.hear(deadline)
            with contextlib.suppress(HubError):  # engines also print what is no part of the protocol
                return parse_line(line)

    def _error(self, problem: str) -> PlayerError:
        assert self._engine is not None
        return self._engine.error(problem)


def _key(state: State) -> Key:
    return hash_key(state), int(state.ply), int(state.quiet_plies)


def _read_count(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else 0


def _read_score(text: str, mover: int) -> float | None:
    """Return the value for player 0 of a score in men for the mover, None where there is none."""
    if not re.fullmatch(r"[-+]?\d{1,9}(\.\d*)?", text, re.ASCII):
        return None
    score = float(text)
    value = math.copysign(1.0, score) if abs(score) > DECIDED else math.tanh(score)
    return value if mover == 0 else -value
