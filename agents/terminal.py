"""One game in a terminal: draws the board, asks people for their moves and bots for theirs, and says how it ended."""

from __future__ import annotations

import contextlib
import datetime
import math
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agents.analysis import Analysis, IllegalMoveError
from agents.board_view import FACES, beside, board_lines, view_of
from agents.player import Player, SearchingPlayer, make_player
from agents.umpire import ending
from games.notation import NotationError, Turn, legal_turns, parse_turn, play_turn, turn_name
from games.pdn import PdnError, PdnGame, fen_name, write_game
from games.rules import Game, State, States, apply, is_over, returns, to_play

with contextlib.suppress(ImportError):  # line editing and history at the prompt, where the platform has them
    import readline  # noqa: F401

HUMAN = "human"
QUIET_SECONDS = 1.0  # of thinking before the terminal shows that it goes on
SHOWN_ROWS = 7  # of turns in the panel
PDN_RESULTS = {1.0: "1-0", -1.0: "0-1", 0.0: "1/2-1/2"}

# What ended a game (agents/match.py) in words; {loser} is a side's name, the others are fields of the record.
REASONS = {
    "no moves": "{loser} has no legal move",
    "four in line": "four in a line",
    "repetition": "the same position came up {repeat_limit} times",
    "quiet limit": "{quiet_limit} plies without a capture or a man's move",
    "ply limit": "{ply_limit} plies played",
    "board full": "the board is full",
}


@dataclass(frozen=True)
class Setting:
    """What a game in the terminal is played with, beside the players."""

    adviser: str  # spec of who gives hints
    seed: int = 0
    delay: float = 0.0  # seconds that a bot's turn stays on the screen when no person plays
    ascii_only: bool = False


class TerminalGame:
    """A game between two specs on one console, from a starting position; a person sits where the spec is "human"."""

    def __init__(self, game: Game, specs: tuple[str, str], start: States, console: Console, setting: Setting) -> None:
        """start: [1]. PlayerError where a spec names no player."""
        self._game, self._specs, self._console, self._setting = game, specs, console, setting
        self._sides = FACES[game.name].sides
        self._positions = [start[0].copy()]  # the start, and after each turn
        self._turns: list[Turn] = []
        self._names: list[str] = []  # of the turns
        self._resigned: int | None = None  # who has
        self._has_left = False
        self._flipped = specs[0] == HUMAN and specs[1] != HUMAN
        self._said = ""  # what a bot thought of its last turn
        self._latest: Analysis | None = None  # of a search under way
        self._adviser: Player | None = None
        self._players: list[Player | None] = []
        for index, spec in enumerate(specs):
            self._players.append(None if spec == HUMAN else self._make(spec, setting.seed + index))
        self._commands: dict[str, tuple[Callable[[str], None], str]] = {
            "moves": (self._list_moves, "list the legal moves"),
            "hint": (self._hint, "what the adviser would play"),
            "eval": (self._evaluate, "what the adviser thinks of the position"),
            "undo": (self._undo, "take back your last turn (and the reply to it)"),
            "flip": (self._flip, "turn the board around"),
            "save": (self._save, "save FILE: write the game as PDN"),
            "resign": (self._resign, "give the game up"),
            "help": (self._help, "this list"),
            "quit": (self._quit, "leave"),
        }

    def play(self) -> None:
        """Play until the game is over and nobody has more to say; PlayerError where a bot fails."""
        try:
            self._draw()
            if HUMAN in self._specs:
                self._say(f"Type a move, such as {self._example()}, or help.")
            while not self._has_left:
                over = self._outcome() is not None
                if over and HUMAN not in self._specs:
                    break
                player = self._players[to_play(self._state)]
                if over or player is None:
                    self._ask()
                else:
                    self._let(player)
        except (KeyboardInterrupt, EOFError):
            self._console.print()
        finally:
            self._say_farewell()
            for player in (*self._players, self._adviser):
                if player is not None:
                    player.close()

    @property
    def _state(self) -> State:
        return self._positions[-1]

    def _make(self, spec: str, seed: int) -> Player:
        return make_player(spec, self._game, seed, self._hear)

    def _hear(self, analysis: Analysis) -> None:
        self._latest = analysis

    # --- turns ------------------------------------------------------------------------------------------------------

    def _push(self, turn: Turn) -> None:
        self._names.append(turn_name(self._state, turn))
        after = self._state.copy()
        play_turn(after, turn)
        self._positions.append(after)
        self._turns.append(turn)

    def _let(self, player: Player) -> None:
        """Let a bot play a turn."""
        start = self._state
        side = self._sides[to_play(start)]
        states = self._game.new(1)
        states[0] = start
        turn: Turn = ()
        first: Analysis | None = None
        while not turn or (to_play(states[0]) == to_play(start) and not is_over(states[0])):
            analysis = self._think(player, states, side)
            if analysis.action not in self._game.legal_actions(states[0]):
                raise IllegalMoveError(f"player {player.name!r} made an illegal move (action {analysis.action})")
            first = first or analysis
            turn = (*turn, analysis.action)
            apply(states[0], analysis.action)
        self._push(turn)
        assert first is not None
        self._said = f"{side}: {self._summary(first)}" if first.value is not None else ""
        self._draw()
        if HUMAN not in self._specs:
            time.sleep(self._setting.delay)

    def _think(self, player: Player, states: States, who: str) -> Analysis:
        """Ask a bot in a thread of its own, so that Ctrl-C is heard; show a spinner where it takes long."""
        answers: list[Analysis | BaseException] = []

        def work() -> None:
            try:
                answers.append(player.act(states)[0])
            except BaseException as error:
                answers.append(error)

        self._latest = None
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            thread.join(QUIET_SECONDS)
            if thread.is_alive():
                spinner = "line" if self._setting.ascii_only else "dots"
                with self._console.status(f"{who} is thinking", spinner=spinner) as status:
                    while thread.is_alive():
                        thread.join(0.1)
                        if self._latest is not None:
                            status.update(f"{who} is thinking: {self._summary(self._latest)}")
        except KeyboardInterrupt:
            if isinstance(player, SearchingPlayer):
                player.stop()
            raise
        answer = answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _ask(self) -> None:
        """Ask the person to move for a command or a turn, and do it."""
        over = self._outcome() is not None
        prompt = "game over (undo, save FILE, quit)> " if over else f"{self._sides[to_play(self._state)]} to move> "
        text = input(prompt).strip()
        command, _, argument = text.partition(" ")
        if self._console.is_terminal or not text:
            self._draw()  # so that the board stays in sight, with the answer below it
        if command.lower() in self._commands:
            self._commands[command.lower()][0](argument.strip())
        elif over and text:
            self._say("the game is over; undo takes the last turn back")
        elif text:
            try:
                turn = parse_turn(self._state, text)
            except NotationError as error:
                self._say(f"{error} (help lists the commands)")
            else:
                self._push(turn)
                self._draw()

    def _outcome(self) -> tuple[float, str] | None:
        """Return the result for player 0 and its reason, None while the game goes on."""
        if self._resigned is not None:
            return (-1.0 if self._resigned == 0 else 1.0), f"{self._sides[self._resigned]} has resigned"
        if not is_over(self._state):
            return None
        result = float(returns(self._state))
        fields = {name: self._state[name] for name in self._state.dtype.names or () if name.endswith("_limit")}
        fields["loser"] = self._sides[0 if result < 0 else 1]
        code = ending(self._state)
        return result, REASONS.get(code, code).format(**fields)

    # --- commands ---------------------------------------------------------------------------------------------------

    def _example(self) -> str:
        turns = legal_turns(self._state)
        return turn_name(self._state, turns[0]) if turns else "11-15"

    def _help(self, argument: str) -> None:
        is_checkers = self._game.name == "checkers"
        rows = [("11-15", "make a move; a capture names its stops: 22x15x8")] if is_checkers else []
        rows += [] if is_checkers else [("4", "drop a disc into column 4")]
        rows += [(name, does) for name, (_, does) in self._commands.items()]
        for name, does in [*rows, ("Enter", "draw the board again")]:
            self._say(f"  {name:8} {does}")
        if is_checkers:
            self._say("Captures are forced. As letters: b, w men, B, W kings, * what moved last.")

    def _list_moves(self, argument: str) -> None:
        names = [turn_name(self._state, turn) for turn in legal_turns(self._state)]
        self._say(f"legal moves: {', '.join(names) or 'none, the game is over'}")

    def _hint(self, argument: str) -> None:
        analysis = self._advise()
        if analysis is not None:
            self._say(f"{self._line_names(analysis)[0]} ({self._summary(analysis)})")

    def _evaluate(self, argument: str) -> None:
        analysis = self._advise()
        if analysis is None:
            return
        self._say(f"{self._setting.adviser}: {self._summary(analysis)}")
        self._say(f"it looked at {analysis.nodes:,} positions in {analysis.seconds:.2f} s")
        self._say(f"it expects {' '.join(self._line_names(analysis)[:12])}")
        for move in sorted(analysis.moves, key=lambda move: -move.visits):
            name = self._line_names(Analysis(move.action))[0]
            self._say(f"  {name:8} {self._verdict(move.value)}, {move.visits} visits, prior {move.prior:.2f}")

    def _advise(self) -> Analysis | None:
        """Return what the adviser thinks of the position; None, having said so, when the game is over."""
        if self._outcome() is not None:
            self._say("the game is over")
            return None
        if self._adviser is None:
            self._adviser = self._make(self._setting.adviser, self._setting.seed)
        states = self._game.new(1)
        states[0] = self._state
        return self._think(self._adviser, states, "the adviser")

    def _undo(self, argument: str) -> None:
        kept = len(self._turns)
        if self._resigned is None:
            kept -= 1
            while kept > 0 and self._specs[to_play(self._positions[kept])] != HUMAN:
                kept -= 1
        if kept < 0 or self._specs[to_play(self._positions[kept])] != HUMAN:
            self._say("there is no turn of yours to take back")
            return
        self._resigned = None
        del self._turns[kept:], self._names[kept:], self._positions[kept + 1 :]
        self._said = ""
        self._draw()

    def _flip(self, argument: str) -> None:
        self._flipped = not self._flipped
        self._draw()

    def _save(self, argument: str) -> None:
        if self._game.name != "checkers":
            self._say(f"only checkers games can be saved: there is no standard record of {self._game.name}")
            return
        if not argument:
            self._say("save where? As in: save game.pdn")
            return
        outcome = self._outcome()
        game = PdnGame(
            turns=tuple(self._turns),
            result="*" if outcome is None else PDN_RESULTS[outcome[0]],
            tags={
                "Event": "A game in the terminal",
                "Date": f"{datetime.date.today():%Y.%m.%d}",
                "Black": self._specs[0],
                "White": self._specs[1],
            },
            start=fen_name(self._positions[0]),
            comments={} if outcome is None else {len(self._turns): outcome[1]},
        )
        try:
            with Path(argument).open("x", encoding="utf-8") as file:
                file.write(write_game(game))
        except FileExistsError:
            self._say(f"{argument} is there already; choose another name")
        except OSError as error:
            self._say(f"{argument} cannot be written: {error.strerror}")
        except PdnError as error:
            self._say(f"the game cannot be saved: {error}")
        else:
            self._say(f"saved {len(self._turns)} turns in {argument}")

    def _resign(self, argument: str) -> None:
        if self._outcome() is None:
            self._resigned = to_play(self._state)
            self._draw()
        else:
            self._say("the game is over")

    def _quit(self, argument: str) -> None:
        self._has_left = True

    # --- what is shown ----------------------------------------------------------------------------------------------

    def _say(self, message: str, wrap: bool = True) -> None:
        self._console.print(Text(message), soft_wrap=not wrap)

    def _say_farewell(self) -> None:
        """Say how to go on with a game that is not over."""
        if self._turns and self._outcome() is None and self._game.name == "checkers":
            players = f"--black {shlex.quote(self._specs[0])} --white {shlex.quote(self._specs[1])}"
            fen = shlex.quote(fen_name(self._state))
            self._say(f"to go on from here: play.py checkers --fen {fen} {players}", wrap=False)

    def _draw(self) -> None:
        view = view_of(self._console, self._setting.ascii_only, self._flipped)
        before = self._positions[-2] if len(self._positions) > 1 else None
        if self._console.is_terminal:
            self._console.clear()
        board = board_lines(self._state, before, view)
        self._console.print(beside(board, self._panel(), self._console.width))
        outcome = self._outcome()
        if outcome is not None:
            self._say(f"{self._winner(outcome[0])}: {outcome[1]}")

    def _panel(self) -> list[Text]:
        """Return what stands beside the board: who plays, the last turns, who is to move or has won."""
        lines = [Text(f"{side}: {spec}") for side, spec in zip(self._sides, self._specs, strict=True)]
        first_mover = to_play(self._positions[0])
        names = [*([""] if first_mover else []), *self._names]
        rows = [names[at : at + 2] for at in range(0, len(names), 2)]
        lines.append(Text())
        for number, row in list(enumerate(rows, 1))[-SHOWN_ROWS:]:
            lines.append(Text(f"{number:3}. {row[0]:12} {row[1] if len(row) > 1 else ''}", style="dim"))
        lines += [Text()] * (SHOWN_ROWS + 4 - len(lines))
        if self._said:
            lines.append(Text(self._said, style="dim"))
        outcome = self._outcome()
        if outcome is None:
            lines.append(Text(f"{self._sides[to_play(self._state)]} to move", style="bold"))
        else:
            lines.append(Text(self._winner(outcome[0]), style="bold"))
        return lines

    def _winner(self, result: float) -> str:
        return "Drawn" if result == 0 else f"{self._sides[0 if result > 0 else 1]} wins"

    def _summary(self, analysis: Analysis) -> str:
        depth = f", depth {analysis.depth}" if analysis.depth else ""
        return self._verdict(analysis.value) + depth

    def _verdict(self, value: float | None) -> str:
        """Return an expected return for player 0 in words; alpha-beta's is the tanh of a lead in men."""
        if value is None:
            return "no opinion"
        side = self._sides[0 if value > 0 else 1]
        if abs(value) >= 1:
            return f"{side} wins"
        lead = f"{abs(math.atanh(value)):.2f}"
        return "even" if lead == "0.00" else f"{side} +{lead}"

    def _line_names(self, analysis: Analysis) -> list[str]:
        """Return the turns that an analysis of the current position expects; an unfinished one as far as it goes."""
        state, turn_start = self._state.copy(), self._state
        names: list[str] = []
        turn: Turn = ()
        for action in analysis.principal_variation or (analysis.action,):
            turn = (*turn, action)
            mover = to_play(state)
            apply(state, action)
            if to_play(state) != mover or is_over(state):
                names.append(turn_name(turn_start, turn))
                turn_start, turn = state.copy(), ()
        return names + ([turn_name(turn_start, turn)] if turn else [])
