"""Go in the terminal: what a person types, what the board shows, how the game is counted and saved."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from agents.analysis import Analysis, MoveAnalysis, PlayerError
from agents.terminal import game as terminal
from agents.terminal.board_view import View
from agents.terminal.game import Setting, TerminalGame
from agents.terminal.go_game import GoStyle
from games import go
from games.notation import read_vertex
from games.rules import RESIGN, Game, States, apply
from games.sgf import read_game
from tests.go_diagrams import position

ROOT = Path(__file__).resolve().parent.parent
LETTERS = View(colour=False, unicode=False, tall=False)
COLOURS = View(colour=True, unicode=True, tall=False)

Play = Callable[..., str]


class Thinker:
    """Plays and advises the same move with the same certainty."""

    def __init__(self, move: str, value: float) -> None:
        self.name = "thinker"
        self._move, self._value = move, value

    def act(self, states: States) -> list[Analysis]:
        rows = int(states[0].rows)
        action = RESIGN if self._move == "resign" else read_vertex(self._move, rows, rows)
        assert action is not None
        moves = (MoveAnalysis(action, 30, 0.6, self._value), MoveAnalysis(0, 10, 0.3, self._value))
        return [Analysis(action, self._value, (action,), depth=2, nodes=40, moves=moves)]

    def new_game(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def play_go(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Return a function that plays what a person types and gives what the terminal showed; "thinker" is a bot."""

    def run(
        typed: Sequence[str],
        specs: tuple[str, str] = ("human", "human"),
        start: States | None = None,
        game: Game | None = None,
        thinks: Thinker | None = None,
        rules: str | None = None,
    ) -> str:
        output, lines = io.StringIO(), iter(typed)

        def answer(prompt: str) -> str:
            line = next(lines, None)
            if line is None:
                raise EOFError
            output.write(f"{prompt}{line}\n")
            return line

        monkeypatch.setattr("builtins.input", answer)
        monkeypatch.setattr(terminal, "make_player", lambda *arguments: thinks or Thinker("E5", 0.5))
        game = game or go.game(9, komi=6.5)
        console = Console(file=output, width=120, height=40, highlight=False)
        start = game.new(1, rules) if start is None else start
        TerminalGame(game, specs, start, console, Setting("thinker", rules=rules)).play()
        return output.getvalue()

    return run


# --- the board --------------------------------------------------------------------------------------------------------


def test_board_in_letters() -> None:
    states = go.game(5, 4).new(1)
    for name in ("B4", "C2"):
        action = read_vertex(name, 5, 4)
        assert action is not None
        apply(states[0], action)
    shown = [line.plain.rstrip() for line in GoStyle("chinese").board(states[0], None, LETTERS)]
    assert shown == [
        "   A B C D", " 5 . . . . 5", " 4 . X . . 4", " 3 . . . . 3", " 2 . . O). 2", " 1 . . . . 1", "   A B C D",
    ]  # fmt: skip


def test_a_board_turned_around() -> None:
    states = go.game(3, 4).new(1)
    for action in (0, 2, 11):  # A3, C3, D1
        apply(states[0], action)
    for view, corner in ((LETTERS, "X"), (COLOURS, "●")):
        shown = [line.plain for line in GoStyle("chinese").board(states[0], None, replace(view, flipped=True))]
        assert shown[0].split() == shown[-1].split() == ["D", "C", "B", "A"]
        assert [line[:3] for line in shown[1:4]] == [" 1 ", " 2 ", " 3 "]
        assert shown[3][9] == corner, "A3 is below, on the right"


@pytest.mark.parametrize("size", [1, 2, 7, 9, 13, 19])
@pytest.mark.parametrize("view", [LETTERS, COLOURS, View(colour=True, unicode=False, tall=True)])
def test_lines_are_equally_wide_and_fit_80_columns(size: int, view: View) -> None:
    state = go.game(size).new(1)[0]
    apply(state, 0) if size > 1 else None
    lines = GoStyle("chinese").board(state, None, view)
    assert len(lines) == size + 2 <= 21
    assert len({line.cell_len for line in lines}) == 1 and lines[0].cell_len <= 46


def test_stones_and_the_last_move_differ_in_colours() -> None:
    state = position("X . . \n . O . \n . . .")
    apply(state, 8)
    shown = [line.plain for line in GoStyle("chinese").board(state, None, COLOURS)]
    assert shown[1].startswith(" 3 ●─┬─┐") and shown[3].startswith(" 1 └─┴─◉")
    assert shown[2].startswith(" 2 ├─●─┤")


def test_a_heat_map_numbers_the_likeliest_moves() -> None:
    state = position("X . . \n . O . \n . . .")
    for view in (LETTERS, COLOURS):
        shown = [line.plain for line in GoStyle("chinese").board(state, None, view, {1: 0.2, 8: 0.7, 9: 0.1})]
        assert shown[1][5] == "2" and shown[3][7] == "1"


# --- what is typed ----------------------------------------------------------------------------------------------------


def test_moves_captures_and_wrong_input(play_go: Play) -> None:
    shown = play_go(["help", "A1", "b1", "K9", "A1", "E5", "A2", "I5", "A1"])
    assert "put a stone there; or: pass" in shown and "count the board as it stands" in shown
    assert "captures: Black 0, White 1" in shown, "White's A2 takes A1"
    assert "'K9' is not legal here; the board is A1 to J9" in shown and "cannot read 'I5'" in shown
    assert "'A1' is not legal here; there is a stone" in shown
    assert "'A1' is not legal here; it would be suicide" in shown
    assert "komi 6.5" in shown


def test_two_passes_end_the_game_and_undo_opens_it_again(play_go: Play) -> None:
    start = position("X X O O . \n . X O . O \n X X O O O \n . X X O O \n X . X O .", komi=0.5)
    states = go.game(5).new(1)
    states[0] = start
    shown = play_go(["score", "pass", "pass", "undo", "pass"], start=states, game=go.game(5))
    assert "as it stands: W+1.5" in shown
    assert shown.count("White wins: W+1.5 (dead stones by random games)") == 2
    assert "game over (undo, save FILE, quit)> undo" in shown


def test_a_score_is_counted_by_the_rules_of_the_game(play_go: Play) -> None:
    lost_stone = ["A1", "E5", "B1", "E4", "B2", "A2", "score", "pass", "pass", "score"]
    alive = play_go(lost_stone, game=go.game(5, komi=0.5), rules="tromp-taylor")
    assert alive.count("as it stands: ") == 2 and "taken for dead" not in alive and "all stones alive" in alive
    counted = play_go(lost_stone, game=go.game(5, komi=0.5))
    assert ", 3 stones taken for dead" in counted
    one_stone = ["A1", "E5", "B1", "pass", "B2", "pass", "score"]
    assert ", 1 stone taken for dead" in play_go(one_stone, game=go.game(5, komi=0.5))


def test_hints_come_with_a_heat_map(play_go: Play) -> None:
    shown = play_go(["hint", "eval"])
    assert "at first sight: E5 60 %, A9 30 %" in shown
    assert "E5 (Black 75 %, depth 2)" in shown
    assert " 5 . . . . 1 . . . . 5" in shown and " 9 2 . . . ." in shown
    assert "Black 75 %, 30 visits, prior 0.60" in shown


def test_hints_fill_no_eye(play_go: Play) -> None:
    states = go.game(5).new(1)
    states[0] = position(". . . . . \n . . . . . \n . . . . . \n X X . . . \n . X . . .")
    assert "A5 (Black 75 %" in play_go(["hint"], start=states, game=go.game(5), thinks=Thinker("A1", 0.5))


def test_a_bot_passes_in_time_and_says_what_it_thinks(play_go: Play) -> None:
    walls = position(" . . X O . \n . . X O . \n . . X O . \n . . X O . \n . . X O . ", komi=0.5, to_move=1)
    states = go.game(5).new(1)
    states[0] = walls
    shown = play_go(["pass"], ("thinker", "human"), states, go.game(5), Thinker("A1", 0.9))
    assert "Black: Black 95 %" in shown
    assert "Black wins: B+4.5 (dead stones by random games)" in shown


def test_a_bot_may_resign(play_go: Play) -> None:
    assert "White has resigned" in play_go(["E5"], ("human", "thinker"), thinks=Thinker("resign", 1.0))
    assert "no turn of yours" not in play_go(["E5", "undo"], ("human", "thinker"), thinks=Thinker("resign", 1.0))


class Failing(Thinker):
    """Fails at its first move."""

    failed = False

    def act(self, states: States) -> list[Analysis]:
        if not self.failed:
            self.failed = True
            raise PlayerError("the engine has ended")
        return super().act(states)


def test_a_game_outlives_a_bot_that_fails(play_go: Play, tmp_path: Path) -> None:
    file = tmp_path / "game.sgf"
    shown = play_go(["A1", f"save {file}", "moves", ""], ("human", "thinker"), thinks=Failing("E5", 0.5))
    assert "the engine has ended. Enter asks it again; or: undo, save FILE, resign, quit." in shown
    assert read_game(file.read_bytes()).actions == (72,) and "White: Black" in shown
    with pytest.raises(PlayerError):
        play_go([], ("thinker", "thinker"), thinks=Failing("E5", 0.5))


def test_where_a_bot_fails_a_person_plays_no_move_of_its_and_resigns_for_oneself(play_go: Play) -> None:
    shown = play_go(["A1", "B1"], ("human", "thinker"), thinks=Failing("E5", 0.5))
    assert "White is a bot, and to move. Enter asks it again; or: undo, save FILE, resign, quit." in shown
    assert "White: Black 75 %" in shown and "Black to move" in shown, "the bot has played after that"
    shown = play_go(["A1", "resign"], ("human", "thinker"), thinks=Failing("E5", 0.5))
    assert "White wins: Black has resigned" in shown


def test_save_knows_the_home_folder(play_go: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    play_go(["E5", "save ~/game.sgf"])
    assert read_game((tmp_path / "game.sgf").read_bytes()).actions == (40,)


def test_save_writes_sgf_that_reads_back(play_go: Play, tmp_path: Path) -> None:
    states = go.game(9, komi=0.5).new(1)
    go.setup(states[0], go.handicap_points(9, 2), (), 1)
    file = tmp_path / "game.sgf"
    shown = play_go([f"save {file}", f"save {file}", "save", "resign", f"save {tmp_path / 'end.sgf'}"],
                    ("human", "thinker"), states, go.game(9, komi=0.5), Thinker("E5", 0.5))  # fmt: skip
    assert f"saved 1 turn in {file}" in shown and "is there already" in shown and "As in: save game.sgf" in shown
    game = read_game(file.read_bytes())
    assert (game.handicap, game.start.komi, game.players) == (2, 0.5, (1,))
    assert game.tags["RU"] == "chinese"
    assert game.actions == (40,) and game.tags["PW"] == "thinker"
    assert game.comments[1] == "Black wins 75.0 %, 40 visits"
    ended = read_game((tmp_path / "end.sgf").read_bytes())
    assert ended.tags["RE"] == "W+R" and "Black has resigned" in "".join(ended.comments.values())


# --- the command ------------------------------------------------------------------------------------------------------


def command(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "play.py", "go", *arguments],
        cwd=ROOT, input=typed, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def test_a_game_through_a_pipe() -> None:
    done = command("--size", "5x6", "--handicap", "0", "--white", "random", "--komi", "2.5", typed="C3\nscore\nquit\n")
    assert done.returncode == 0, done.stderr
    assert "komi 2.5" in done.stdout and "as it stands: " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--size", "20"), "a Go board of 20x20"),
        (("--size", "nine"), "board size 'nine'"),
        (("--size", "9x7", "--handicap", "2"), "only on a square board"),
        (("--size", "9", "--handicap", "10"), "a fixed handicap of 10 stones on 9x9"),
        (("--komi", "0.3"), "komi 0.3"),
        (("--bot", "random"), "--bot needs --gtp"),
        (("--resign", "0.1"), "--resign needs --gtp"),
        (("--gtp", "--delay", "1"), "--delay has no meaning with --gtp"),
        (("--gtp", "--black", "random"), "--black has no meaning with --gtp"),
        (("--gtp", "--resign", "2"), "--resign 2 is no chance to win"),
        (("--white", "hub:engine", "--size", "9"), "hub plays checkers, not go"),
        (("--rules", "japanese"), "no rule set 'japanese'"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: tuple[str, ...], expected: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and expected in done.stderr
