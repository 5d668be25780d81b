"""Our side of the Hub protocol, version 2, as the engine: a bot that outside programs drive over stdin and stdout.

The loop reads lines and answers at once; a search runs in a thread of its own, so that `stop`, `ping` and `ponder-hit`
are heard while it thinks. A line that makes no sense gets an `error` line and changes nothing.
"""

from __future__ import annotations

import math
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TextIO

from agents.alphabeta import MAX_DEPTH, SearchLimits
from agents.analysis import Analysis
from agents.engine_process import shorten
from agents.hub.protocol import (
    FRAMES,
    VARIANT,
    HubError,
    format_line,
    move_names,
    parse_line,
    parse_move,
    parse_position,
)
from agents.player import AlphaBetaPlayer, Player, SearchingPlayer
from games.checkers import CHECKERS, NO_JUMPER, start_history
from games.notation import Turn, legal_turns, play_turn
from games.refusal import RefusedError
from games.rules import State, States, apply, is_over, to_play

LEAST_SECONDS = 0.01  # for a move, whatever the clock says
MOVES_LEFT = 30  # that the rest of the time is shared out over where a level does not say
ANSWER_SECONDS = 0.02  # of a fixed time a move that are kept for answering
DECIDED_SCORE = 100.0  # hundredths are taken off for every turn to a win

Pairs = Mapping[str, str]


@dataclass(frozen=True)
class Level:
    """What a `level` line says of how long to think; 0 where it says nothing."""

    depth: int = 0  # whole turns
    nodes: int = 0
    move_time: float = 0.0  # seconds
    moves: int = 0  # to the next time control
    time: float | None = None  # seconds left, before the increment is added
    inc: float = 0.0  # seconds a move

    def seconds(self) -> float:
        """Return how long the next move may take; 0 without a limit."""
        if self.time is not None:
            left = self.time + self.inc
            share = left / (self.moves or MOVES_LEFT) + 0.8 * self.inc
            return max(LEAST_SECONDS, min(share, 0.8 * left))
        return max(LEAST_SECONDS, self.move_time - ANSWER_SECONDS) if self.move_time else 0.0

    def limits(self) -> SearchLimits:
        """Return the same for the search."""
        return SearchLimits(depth=min(self.depth, MAX_DEPTH) or MAX_DEPTH, nodes=self.nodes, seconds=self.seconds())

    def is_endless(self) -> bool:
        """Say whether only `stop` ends a search."""
        return not (self.depth or self.nodes or self.move_time or self.time is not None)


@dataclass
class Task:
    """A search under way."""

    state: State
    limits: SearchLimits | None  # None: the bot's own
    until_told: bool  # the limits count only after `ponder-hit`, and `done` waits for that or for `stop`
    endless: bool = False  # the search under way has no limit, not even the bot's own
    stopped: bool = False
    finished: bool = False
    latest: Analysis | None = None
    released: threading.Event = field(default_factory=threading.Event)  # `done` may be sent

    def is_enough(self) -> bool:
        """Say whether a search without limits of its own should end; time is kept elsewhere."""
        if self.stopped:
            return True
        if self.until_told or self.latest is None:
            return False
        if self.limits is None:
            return self.endless
        return self.latest.depth >= self.limits.depth or 0 < self.limits.nodes <= self.latest.nodes


class HubEngine:
    """Answers the lines of a driver with one bot, until `quit` or the end of the input."""

    def __init__(self, player: Player, output: TextIO) -> None:
        self._player = player
        self._output = output
        self._output_lock = threading.Lock()
        self._frame = FRAMES[0]
        self._states: States = CHECKERS.new(1)
        self._level: Level | None = None  # None until a level is set: the bot's own limits
        self._task: Task | None = None
        self._thread = threading.Thread()
        self._commands: dict[str, Callable[[Pairs], None]] = {
            "hub": self._greet,
            "init": self._init,
            "set-param": self._set_param,
            "new-game": self._new_game,
            "pos": self._set_position,
            "level": self._set_level,
            "go": self._go,
        }
        self._commands_any_time: dict[str, Callable[[Pairs], None]] = {
            "ping": lambda pairs: self._send("pong"),
            "stop": lambda pairs: self._stop(),
            "ponder-hit": lambda pairs: self._ponder_hit(),
        }

    def run(self, lines: Iterable[str]) -> None:
        """Answer lines until `quit`; at the end of the input a search with a limit is still finished."""
        try:
            for line in lines:
                if line.split()[:1] == ["quit"]:
                    break
                self._answer(line)
            else:
                if self._task is not None and not self._task.until_told:
                    self._thread.join()
        finally:
            self._stop()
            if self._task is not None:
                self._thread.join()

    def _answer(self, line: str) -> None:
        if not line.strip():
            return
        try:
            command, pairs = parse_line(line)
            if command in self._commands_any_time:
                self._commands_any_time[command](pairs)
            elif command not in self._commands:
                known = ", ".join((*self._commands, *self._commands_any_time, "quit"))
                raise HubError(f"no command {shorten(command)}; there are: {known}")
            elif self._task is not None and not self._task.finished:
                raise HubError(f"{command}: a search is under way; send stop and wait for done")
            else:
                self._commands[command](pairs)
        except HubError as error:
            self._send("error", {"message": error})

    def _send(self, command: str, pairs: Mapping[str, object] | None = None) -> None:
        with self._output_lock:
            try:
                print(format_line(command, pairs), file=self._output, flush=True)
            except (OSError, ValueError):  # the driver is gone: think no longer
                self._stop()

    # --- commands ---------------------------------------------------------------------------------------------------

    def _greet(self, pairs: Pairs) -> None:
        self._send("id", {"name": "Playfield", "author": "The Playfield authors"})
        self._send("param", {"name": "variant", "value": VARIANT, "type": "enum", "values": VARIANT})
        self._send("param", {"name": "frame", "value": self._frame, "type": "enum", "values": " ".join(FRAMES)})
        self._send("wait")

    def _init(self, pairs: Pairs) -> None:
        if isinstance(self._player, AlphaBetaPlayer):  # so that the first move does not wait for the compiler
            self._player.searcher.search(CHECKERS.new(1)[0], SearchLimits(depth=1))
            self._player.new_game()
        elif isinstance(self._player, SearchingPlayer):
            self._player.search(CHECKERS.new(1)[0], LEAST_SECONDS)
            self._player.new_game()
        self._send("ready")

    def _set_param(self, pairs: Pairs) -> None:
        name, value = pairs.get("name", ""), pairs.get("value", "")
        allowed = {"variant": (VARIANT,), "frame": FRAMES}.get(name)
        if allowed is None:
            raise HubError(f"set-param: no parameter {shorten(name)}; there are: variant, frame")
        if value not in allowed:
            raise HubError(f"set-param: {name} cannot be {shorten(value)}, only {' or '.join(allowed)}")
        if name == "frame":
            self._frame = value

    def _new_game(self, pairs: Pairs) -> None:
        self._player.new_game()

    def _set_position(self, pairs: Pairs) -> None:
        _refuse_others("pos", pairs, ("start", "pos", "moves"))
        if "pos" not in pairs and "start" not in pairs:
            raise HubError('pos: expected pos=POSITION, as in pos pos=Bbbbb... moves="11-15 22-18"')
        states = parse_position(pairs["pos"], self._frame) if "pos" in pairs else CHECKERS.new(1)
        for number, text in enumerate(pairs.get("moves", "").split(), 1):
            try:
                play_turn(states[0], parse_move(states[0], text))
            except HubError as error:
                raise HubError(f"pos: move {number}: {error} (board in the {self._frame} frame)") from None
            if is_over(states[0]):
                start_history(states[0])  # a draw by our counters: the driver plays on, so we count afresh
        self._states = states

    def _set_level(self, pairs: Pairs) -> None:
        _refuse_others("level", pairs, ("depth", "nodes", "move-time", "moves", "time", "inc", "infinite", "ponder"))
        self._level = Level(
            depth=int(_number(pairs, "depth", whole=True)),
            nodes=int(_number(pairs, "nodes", whole=True)),
            move_time=_number(pairs, "move-time"),
            moves=int(_number(pairs, "moves", whole=True)),
            time=_number(pairs, "time") if "time" in pairs else None,
            inc=_number(pairs, "inc"),
        )

    def _go(self, pairs: Pairs) -> None:
        _refuse_others("go", pairs, ("think", "ponder", "analyze"))
        state = self._states[0].copy()
        turns = legal_turns(state)
        if not turns:
            self._send("error", {"message": "go: the game is over, there is no legal move"})
            self._send("done")
            return
        level, player = self._level, self._player
        own = player.limits if isinstance(player, AlphaBetaPlayer) else None
        limits = own if level is None else level.limits()
        task = Task(state, limits, until_told="ponder" in pairs or (level is not None and level.is_endless()))
        if not task.until_told:
            task.released.set()
        self._task = task
        is_forced = len(turns) == 1 and not task.until_told and "analyze" not in pairs
        self._thread = threading.Thread(target=self._work, args=(task, turns[0] if is_forced else None), daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        if self._task is not None and not self._task.finished:
            self._halt(self._task)
            self._task.released.set()

    def _ponder_hit(self) -> None:
        task = self._task
        if task is None or task.finished or not task.until_told:
            raise HubError("ponder-hit: no ponder search is under way")
        task.until_told = False
        if task.limits is None:
            self._end_search()  # `_analyse` goes on with the bot's own limits
        elif task.limits.seconds:
            timer = threading.Timer(task.limits.seconds, self._halt, (task,))
            timer.daemon = True
            timer.start()
        if task.is_enough():
            self._halt(task)
        task.released.set()

    # --- the search thread ------------------------------------------------------------------------------------------

    def _halt(self, task: Task) -> None:
        """Let a search end with what it has found."""
        if not task.finished:
            task.stopped = True
            self._end_search()

    def _end_search(self) -> None:
        if isinstance(self._player, SearchingPlayer):
            self._player.stop()

    def _work(self, task: Task, forced: Turn | None) -> None:
        """Search, then answer `done`; a bot that fails is reported and the driver still gets its `done`."""
        answer: dict[str, object] = {}
        try:
            names = move_names(task.state, forced if forced is not None else self._line(task))
            answer = dict(zip(("move", "ponder"), names, strict=False))
        except RefusedError as error:
            self._send("error", {"message": f"go: {error}"})
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._send("error", {"message": f"go: internal error: {error!r}"})
        task.released.wait()
        task.finished = True
        self._send("done", answer)

    def _line(self, task: Task) -> tuple[int, ...]:
        """Return the actions that the bot expects, the first turn whole."""
        analysis = self._analyse(task)
        line = analysis.principal_variation or (analysis.action,)
        states = self._batch(task.state)
        played = 0
        while played == 0 or states[0].jumper != NO_JUMPER:
            if played == len(line):  # it stops short within a multi-jump
                line = (*line, self._finish_jump(states))
            apply(states[0], line[played])
            played += 1
        return line

    def _finish_jump(self, states: States) -> int:
        player = self._player
        if isinstance(player, AlphaBetaPlayer):
            return player.searcher.search(states[0], SearchLimits(depth=1)).action
        return player.act(states)[0].action

    def _analyse(self, task: Task) -> Analysis:
        player = self._player
        if not isinstance(player, SearchingPlayer):
            return player.act(self._batch(task.state))[0]

        def report(analysis: Analysis) -> None:
            task.latest = analysis
            self._send("info", information(task.state, analysis))
            if task.is_enough():
                player.stop()

        if isinstance(player, AlphaBetaPlayer):
            limits = None if task.until_told else task.limits
            return player.searcher.search(task.state, limits or SearchLimits(), on_iteration=report)
        task.endless = task.until_told
        seconds = math.inf if task.endless else (task.limits.seconds or None if task.limits else None)
        analysis = player.search(task.state, seconds, report)
        if task.endless and task.limits is None and not (task.until_told or task.stopped):  # `ponder-hit`
            task.endless = False
            analysis = player.search(task.state, None, report)
        return analysis

    @staticmethod
    def _batch(state: State) -> States:
        states = CHECKERS.new(1)
        states[0] = state
        return states


# --- text -----------------------------------------------------------------------------------------------------------


def information(state: State, analysis: Analysis) -> dict[str, object]:
    """Return the pairs of an `info` line; the score is in men, from the mover's side."""
    pairs: dict[str, object] = {"depth": analysis.depth}
    names = move_names(state, analysis.principal_variation)
    if analysis.value is not None:
        value = analysis.value if to_play(state) == 0 else -analysis.value
        if abs(value) < 1.0:
            pairs["score"] = f"{math.atanh(value):.2f}"
        else:
            pairs["score"] = f"{math.copysign(DECIDED_SCORE - len(names) / 100, value):.2f}"
    pairs |= {"nodes": analysis.nodes, "time": f"{analysis.seconds:.3f}"}
    if analysis.seconds > 0:
        pairs["nps"] = f"{analysis.nodes / analysis.seconds / 1e6:.3f}"  # in millions, as Scan says it
    return {**pairs, "pv": " ".join(names)}


def _refuse_others(command: str, pairs: Pairs, allowed: tuple[str, ...]) -> None:
    unknown = [name for name in pairs if name not in allowed]
    if unknown:
        raise HubError(f"{command}: no argument {shorten(unknown[0])}; there are: {', '.join(allowed)}")


def _number(pairs: Pairs, name: str, whole: bool = False) -> float:
    """Return a number of a level line, 0 where it is not given; HubError where it is none."""
    text = pairs.get(name, "0")
    sign = "-?" if name == "time" else ""  # a driver may have taken the increment off already
    if not re.fullmatch(r"\d{1,15}" if whole else sign + r"\d{1,12}(\.\d*)?", text, re.ASCII):
        raise HubError(
            f"level: {name} cannot be {shorten(text)}, only a {'whole ' if whole else ''}number, not negative"
        )
    return float(text)
