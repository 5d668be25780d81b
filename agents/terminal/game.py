"""One game in a terminal: draws the board, asks people for their moves and bots for theirs, and says how it ended."""

from __future__ import annotations

import contextlib
import difflib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agents.analysis import Analysis, IllegalMoveError, PlayerError
from agents.match import RESIGNATION
from agents.player import OutsidePlayer, Player, SearchingPlayer, make_player
from agents.terminal.board_view import beside, view_of
from agents.terminal.styles import Heat, Played, style_of
from agents.umpire import Verdict, make_umpire
from games.compiled import is_compiling
from games.notation import NotationError, Turn, legal_turns, parse_turn, play_turn, turn_name
from games.rules import RESIGN, Game, State, States, apply, is_over, to_play

with contextlib.suppress(ImportError):  # line editing and history at the prompt, where the platform has them
    import readline  # noqa: F401

HUMAN = "human"
QUIET_SECONDS = 1.0  # of thinking before the terminal shows that it goes on
SHOWN_ROWS = 7  # of turns in the panel
LISTED_MOVES = 12  # that eval tells of
LISTED_PRIORS = 5  # that hint tells of beside a heat map
BOT_MUST_MOVE = "Enter asks it again; or: undo, save FILE, resign, quit."  # where it could not


@dataclass(frozen=True)
class Setting:
    """What a game in the terminal is played with, beside the players."""

    adviser: str  # spec of who gives hints
    seed: int = 0
    delay: float = 0.0  # seconds that a bot's turn stays on the screen when no person plays
    ascii_only: bool = False
    rules: str | None = None  # the rule set's name


class TerminalGame:
    """A game between two specs on one console, from a starting position; a person sits where the spec is "human"."""

    def __init__(self, game: Game, specs: tuple[str, str], start: States, console: Console, setting: Setting) -> None:
        """start: [1]. PlayerError where a spec names no player."""
        self._game, self._specs, self._console, self._setting = game, specs, console, setting
        self._style = style_of(game, setting.rules)
        self._sides = self._style.sides
        self._umpire = make_umpire(game, setting.rules)
        self._verdict: Verdict | None = None  # of the position now, once it is over
        self._positions = [start[0].copy()]  # the start, and after each turn
        self._turns: list[Turn] = []
        self._names: list[str] = []  # of the turns
        self._comments: dict[int, str] = {}  # what a bot thought of its turn, by the number of turns then
        self._has_left = False
        self._flipped = self._style.turns_around and specs[0] == HUMAN and specs[1] != HUMAN
        self._said = ""  # what a bot thought of its last turn
        self._latest: Analysis | None = None  # of a search under way
        self._adviser: Player | None = None
        self._players: list[Player | None] = []
        for index, spec in enumerate(specs):
            self._players.append(None if spec == HUMAN else self._make(spec, setting.seed + index))
        self._commands: dict[str, tuple[Callable[[str], None], str]] = {
            "moves": (self._list_moves, "list the legal moves"),
            **{name: (self._asker(ask), does) for name, (ask, does) in self._style.questions.items()},
            "hint": (self._hint, "what the adviser would play"),
            "eval": (self._evaluate, "what the adviser thinks of the position"),
            "undo": (self._undo, "take back your last turn (and the reply to it)"),
            "flip": (self._flip, "turn the board around"),
            "save": (self._save, f"save FILE: write the game as {self._style.record_name or 'a record'}"),
            "resign": (self._resign, "give the game up"),
            "help": (self._help, "this list"),
            "quit": (self._quit, "leave"),
        }

    def play(self) -> None:
        """Play until the game is over and nobody has more to say.

        Raises PlayerError where a bot fails that nobody plays against, or an engine that cannot play such a game.
        """
        try:
            for player in self._players:
                for notice in player.agree(self._state) if isinstance(player, OutsidePlayer) else ():
                    self._say(notice)
            self._draw()
            if HUMAN in self._specs:
                self._say(f"Type a move, such as {self._style.example(self._state)}, or help.")
            while not self._has_left:
                over = self._outcome() is not None
                if over and HUMAN not in self._specs:
                    break
                player = self._players[to_play(self._state)]
                if over or player is None:
                    self._ask()
                    continue
                try:
                    self._let(player)
                except PlayerError as error:
                    if HUMAN not in self._specs:
                        raise
                    self._say(f"{error}. {BOT_MUST_MOVE}")
                    self._ask()
        except (KeyboardInterrupt, EOFError):
            self._console.print()
        finally:
            self._say_farewell()
            for player in (*self._players, self._adviser):
                if player is not None:
                    player.close()
            self._umpire.close()

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
            analysis = self._umpire.conducted(states[0], self._think(player, states, side))
            if analysis.action == RESIGN:
                self._give_up(to_play(start))
                return
            if analysis.action not in self._game.legal_actions(states[0]):
                raise IllegalMoveError(f"player {player.name!r} made an illegal move (action {analysis.action})")
            first = first or analysis
            turn = (*turn, analysis.action)
            apply(states[0], analysis.action)
        self._push(turn)
        assert first is not None
        self._said = f"{side}: {self._summary(first)}" if first.value is not None else ""
        comment = self._umpire.comment(first)
        if comment:
            self._comments[len(self._turns)] = comment
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
                        if is_compiling():
                            status.update(f"{who} is thinking: kernels are being compiled, which are kept")
                        elif self._latest is not None:
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
        elif text and self._players[to_play(self._state)] is not None:
            self._say(f"{self._sides[to_play(self._state)]} is a bot, and to move. {BOT_MUST_MOVE}")
        elif text:
            try:
                turn = parse_turn(self._state, text)
            except NotationError as error:
                near = difflib.get_close_matches(command.lower(), self._commands, n=1)
                self._say(f"{error} ({f'did you mean {near[0]}?' if near else 'help lists the commands'})")
            else:
                self._push(turn)
                self._draw()

    def _outcome(self) -> Verdict | None:
        """Return how the game ended, None while it goes on."""
        if self._verdict is None and is_over(self._state):
            self._verdict = self._umpire.verdict(self._state, self._players)
            if self._verdict is None:
                self._say("The players do not agree on the dead stones: play on; what stands in the end lives.")
        return self._verdict

    def _told(self, verdict: Verdict) -> str:
        """Return a verdict in words."""
        if verdict.reason == RESIGNATION:
            return f"{self._sides[0 if verdict.result < 0 else 1]} has resigned"
        return self._style.reason(self._state, verdict)

    def _give_up(self, side: int) -> None:
        self._verdict = Verdict(-1.0 if side == 0 else 1.0, RESIGNATION)
        self._draw()

    # --- commands ---------------------------------------------------------------------------------------------------

    def _help(self, argument: str) -> None:
        rows = [*self._style.help_rows, *((name, does) for name, (_, does) in self._commands.items())]
        for name, does in [*rows, ("Enter", "draw the board again")]:
            self._say(f"  {name:8} {does}")
        if self._style.help_note:
            self._say(self._style.help_note)

    def _list_moves(self, argument: str) -> None:
        names = [turn_name(self._state, turn) for turn in legal_turns(self._state)]
        self._say(f"legal moves: {', '.join(names) or 'none, the game is over'}")

    def _hint(self, argument: str) -> None:
        analysis = self._advise()
        if analysis is None:
            return
        heat = {move.action: move.prior for move in analysis.moves if move.prior > 0}
        if self._style.shows_heat and heat:
            self._draw(heat)
            best = sorted(heat, key=lambda action: -heat[action])[:LISTED_PRIORS]
            named = (f"{self._line_names(Analysis(action))[0]} {100 * heat[action]:.0f} %" for action in best)
            self._say(f"at first sight: {', '.join(named)}")
        self._say(f"{self._line_names(analysis)[0]} ({self._summary(analysis)})")

    def _evaluate(self, argument: str) -> None:
        analysis = self._advise()
        if analysis is None:
            return
        self._say(f"{self._setting.adviser}: {self._summary(analysis)}")
        self._say(f"it looked at {analysis.nodes:,} positions in {analysis.seconds:.2f} s")
        self._say(f"it expects {' '.join(self._line_names(analysis)[:12])}")
        for move in sorted(analysis.moves, key=lambda move: (-move.visits, -move.prior))[:LISTED_MOVES]:
            name = self._line_names(Analysis(move.action))[0]
            visits = f", {move.visits} visits" if move.visits else ""
            self._say(f"  {name:8} {self._expectation(move.value)}{visits}, prior {move.prior:.2f}")

    def _advise(self) -> Analysis | None:
        """Return what the adviser thinks of the position; None, having said so, when the game is over."""
        if self._outcome() is not None:
            self._say("the game is over")
            return None
        states = self._game.new(1)
        states[0] = self._state
        try:
            if self._adviser is None:
                self._adviser = self._make(self._setting.adviser, self._setting.seed)
            return self._umpire.conducted(self._state, self._think(self._adviser, states, "the adviser"))
        except PlayerError as error:
            self._say(f"the adviser cannot tell: {error}")
            return None

    def _undo(self, argument: str) -> None:
        kept = len(self._turns)
        if self._verdict is None or self._verdict.reason != RESIGNATION:
            kept -= 1
        while kept > 0 and self._specs[to_play(self._positions[kept])] != HUMAN:
            kept -= 1
        if kept < 0 or self._specs[to_play(self._positions[kept])] != HUMAN:
            self._say("there is no turn of yours to take back")
            return
        self._verdict = None
        self._umpire.begin()
        del self._turns[kept:], self._names[kept:], self._positions[kept + 1 :]
        self._comments = {number: text for number, text in self._comments.items() if number <= kept}
        self._said = ""
        self._draw()

    def _flip(self, argument: str) -> None:
        self._flipped = not self._flipped
        self._draw()

    def _save(self, argument: str) -> None:
        if not self._style.record_name:
            self._say(f"a game of {self._game.name} cannot be saved: there is no standard record of it")
            return
        if not argument:
            self._say(f"save where? As in: save game.{self._style.record_name.lower()}")
            return
        try:
            content = self._style.record(self._played())
            path = Path(argument).expanduser()
            with path.open("xb") as file:
                try:
                    file.write(content)
                    file.flush()
                except OSError:
                    path.unlink()  # half a record is none
                    raise
        except FileExistsError:
            self._say(f"{argument} is there already; choose another name")
        except OSError as error:
            self._say(f"{argument} cannot be written: {error.strerror}")
        except RuntimeError:  # of expanduser
            self._say(f"{argument} cannot be written: there is no such home folder")
        except ValueError as error:
            self._say(f"the game cannot be saved: {error}")
        else:
            count = len(self._turns)
            self._say(f"saved {count} turn{'s' * (count != 1)} in {argument}")

    def _played(self) -> Played:
        verdict = self._outcome()
        told = "" if verdict is None else self._told(verdict)
        return Played(self._specs, self._positions, self._turns, self._comments, verdict, told)

    def _asker(self, ask: Callable[[State], str]) -> Callable[[str], None]:
        """Return the command that says what a style knows of the position."""
        return lambda argument: self._say(ask(self._state))

    def _resign(self, argument: str) -> None:
        mover = to_play(self._state)
        if self._outcome() is None:
            self._give_up(mover if self._players[mover] is None else 1 - mover)  # a bot resigns by itself
        else:
            self._say("the game is over")

    def _quit(self, argument: str) -> None:
        self._has_left = True

    # --- what is shown ----------------------------------------------------------------------------------------------

    def _say(self, message: str, wrap: bool = True) -> None:
        self._console.print(Text(message), soft_wrap=not wrap)

    def _say_farewell(self) -> None:
        """Say how to go on with a game that is not over."""
        if self._turns and self._outcome() is None:
            command = self._style.farewell(self._played())
            if command:
                self._say(f"to go on from here: {command}", wrap=False)

    def _draw(self, heat: Heat | None = None) -> None:
        view = view_of(self._console, self._setting.ascii_only, self._flipped)
        before = self._positions[-2] if len(self._positions) > 1 else None
        if self._console.is_terminal:
            self._console.clear()
        outcome = self._outcome()  # before the board, for it may say something
        board = self._style.board(self._state, before, view, heat)
        self._console.print(beside(board, self._panel(), self._console.width))
        if outcome is not None:
            self._say(f"{self._winner(outcome.result)}: {self._told(outcome)}")

    def _panel(self) -> list[Text]:
        """Return what stands beside the board: who plays, the last turns, who is to move or has won."""
        lines = [Text(f"{side}: {spec}") for side, spec in zip(self._sides, self._specs, strict=True)]
        first_mover = to_play(self._positions[0])
        names = [*([""] if first_mover else []), *self._names]
        rows = [names[at : at + 2] for at in range(0, len(names), 2)]
        lines += [Text(note, style="dim") for note in self._style.notes(self._state)]
        lines.append(Text())
        for number, row in list(enumerate(rows, 1))[-SHOWN_ROWS:]:
            lines.append(Text(f"{number:3}. {row[0]:12} {row[1] if len(row) > 1 else ''}", style="dim"))
        lines += [Text()] * (SHOWN_ROWS + 4 + len(self._style.notes(self._state)) - len(lines))
        if self._said:
            lines.append(Text(self._said, style="dim"))
        outcome = self._outcome()
        if outcome is None:
            lines.append(Text(f"{self._sides[to_play(self._state)]} to move", style="bold"))
        else:
            lines.append(Text(self._winner(outcome.result), style="bold"))
        return lines

    def _winner(self, result: float) -> str:
        return "Drawn" if result == 0 else f"{self._sides[0 if result > 0 else 1]} wins"

    def _summary(self, analysis: Analysis) -> str:
        depth = f", depth {analysis.depth}" if analysis.depth else ""
        return self._expectation(analysis.value) + depth

    def _expectation(self, value: float | None) -> str:
        return "no opinion" if value is None else self._style.expectation(value)

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
