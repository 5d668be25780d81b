"""play.py and the game in the terminal: what a person types, and what it says."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

import play
from agents.analysis import Analysis, IllegalMoveError, MoveAnalysis
from agents.terminal import game as terminal
from agents.terminal.board_view import View, board_lines, view_of
from agents.terminal.game import Setting, TerminalGame
from games.catalogue import find_game
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.notation import parse_turn, play_turn
from games.pdn import parse_fen, read_games
from games.rules import Game, States

ROOT = Path(__file__).resolve().parent.parent
ADVISER = {"checkers": "material:depth=2,endgame=0", "connect_four": "lines:depth=2"}

Play = Callable[..., str]


@pytest.fixture
def play_game(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Return a function that plays a game from what a person types, and gives what the terminal showed."""

    def run(typed: Sequence[str], specs: tuple[str, str], start: States | None = None, game: Game = CHECKERS) -> str:
        output = io.StringIO()
        lines = iter(typed)

        def answer(prompt: str) -> str:
            output.write(prompt)
            line = next(lines, None)
            if line is None:
                raise EOFError
            output.write(line + "\n")
            return line

        monkeypatch.setattr("builtins.input", answer)
        console = Console(file=output, width=300, height=40, highlight=False)
        start = game.new(1) if start is None else start
        TerminalGame(game, specs, start, console, Setting(ADVISER[game.name])).play()
        assert next(lines, None) is None, "it ended before all was typed"
        return output.getvalue()

    return run


# --- the board ------------------------------------------------------------------------------------------------------


def test_board_in_letters() -> None:
    before = parse_fen("B:W21,K30:B1,K7")[0]
    after = before.copy()
    play_turn(after, parse_turn(after, "7-11"))
    letters = View(colour=False, unicode=False, tall=False)
    shown = [line.plain.rstrip() for line in board_lines(after, before, letters)]
    assert shown == [
        "     1b      2       3       4",
        " 5       6       7       8",
        "     9      10      11B*    12",
        "13      14      15      16",
        "    17      18      19      20",
        "21w     22      23      24",
        "    25      26      27      28",
        "29      30W     31      32",
    ]
    flipped = View(colour=False, unicode=False, tall=False, flipped=True)
    turned = [line.plain.rstrip() for line in board_lines(after, before, flipped)]
    assert turned[0] == "    32      31      30W     29" and turned[-1] == " 4       3       2       1b"


@pytest.mark.parametrize("game", [CHECKERS, CONNECT_FOUR], ids=lambda game: game.name)
@pytest.mark.parametrize("tall", [True, False])
def test_lines_of_a_board_are_equally_wide(game: Game, tall: bool) -> None:
    lines = board_lines(game.new(1)[0], None, View(colour=True, unicode=True, tall=tall))
    assert len({line.cell_len for line in lines}) == 1


def test_pieces_differ_without_colours() -> None:
    state = parse_fen("B:W21,K30:B1,K7")[0]
    text = "\n".join(line.plain for line in board_lines(state, None, View(colour=False, unicode=True, tall=False)))
    assert all(letter in text for letter in ("1b", "7B", "21w", "30W"))


def test_connect_four_stands_upright_when_flipped() -> None:
    state = CONNECT_FOUR.new(1)[0]
    for column in "123":
        play_turn(state, parse_turn(state, column))
    shown = board_lines(state, None, View(colour=False, unicode=False, tall=False, flipped=True))
    assert shown[5].plain.split() == ["R", "Y", "R", ".", ".", ".", "."]
    assert shown[6].plain.split() == list("1234567")


def test_the_view_fits_the_terminal() -> None:
    def view(**settings: object) -> View:
        console = Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"), **settings)  # type: ignore[arg-type]
        return view_of(console, ascii_only=False, flipped=False)

    assert view(force_terminal=True, color_system="truecolor", width=80, height=24).tall
    assert not view(force_terminal=True, color_system="truecolor", width=60, height=24).tall
    assert not view(force_terminal=True, color_system="truecolor", width=80, height=20).tall
    assert not view(force_terminal=True, color_system="truecolor", no_color=True, width=80, height=24).colour
    assert not view(width=80, height=24).colour


# --- a person plays -------------------------------------------------------------------------------------------------


def test_moves_and_wrong_input(play_game: Play) -> None:
    shown = play_game(["foo", "12-13", "moves", "11-15", "22-18", "15x22x", "15x22", "quit"], ("human", "human"))
    assert "cannot read 'foo' as a move" in shown
    assert "'12-13' is not legal here; legal: " in shown and "help lists the commands" in shown
    legal = next(line for line in shown.splitlines() if line.startswith("legal moves: "))
    assert sorted(legal.removeprefix("legal moves: ").split(", ")) == sorted(
        ["9-13", "9-14", "10-14", "10-15", "11-15", "11-16", "12-16"]
    )
    assert "1. 11-15        22-18" in shown and "2. 15x22" in shown
    assert shown.rstrip().endswith("--black human --white human")


def test_the_bot_answers_and_hints_are_given(play_game: Play) -> None:
    shown = play_game(["hint", "11-15", "eval", "help"], ("human", "material:depth=2,endgame=0"))
    assert "even, depth 2)" in shown
    assert "material:depth=2,endgame=0: " in shown and "it expects " in shown
    for command in ("hint", "undo", "flip", "save", "resign", "moves", "eval", "quit"):
        assert f"\n  {command} " in shown
    assert "White: even, depth 2" in shown


def test_values_of_single_moves_are_shown(play_game: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    class Adviser:
        name = "adviser"

        def act(self, states: States) -> list[Analysis]:
            actions = CHECKERS.legal_actions(states[0])[:2]
            moves = tuple(MoveAnalysis(action, 10 * i, 0.25, -0.5) for i, action in enumerate(actions, 1))
            return [Analysis(actions[1], 0.5, moves=moves)]

        def close(self) -> None:
            pass

    monkeypatch.setattr(terminal, "make_player", lambda *arguments: Adviser())
    shown = play_game(["eval"], ("human", "human"))
    assert "White +0.55, 20 visits, prior 0.25\n" in shown
    assert shown.index("20 visits") < shown.index("10 visits")


def test_undo_takes_back_ones_own_turn(play_game: Play) -> None:
    against_bot = play_game(["undo", "11-15", "undo", "moves"], ("human", "random"))
    assert "there is no turn of yours to take back" in against_bot
    assert "1. 11-15" not in against_bot[against_bot.rindex("undo") :]
    assert against_bot.rstrip().endswith("Black to move>"), "nothing was played: nothing to go on from"
    between_people = play_game(["11-15", "22-18", "undo"], ("human", "human"))
    assert between_people[between_people.rindex("undo") :].count("White to move") > 0
    as_white = play_game(["undo", "resign", "undo", "quit"], ("random", "human"))
    assert "there is no turn of yours to take back" in as_white
    assert "Black wins: White has resigned" in as_white
    assert "White to move> quit" in as_white


def test_save_writes_a_game_that_reads_back(play_game: Play, tmp_path: Path) -> None:
    file = tmp_path / "game.pdn"
    start = parse_fen("W:W21,22:B1,2")
    shown = play_game(
        ["save", f"save {file}", "22-18", "resign", f"save {file}", f"save {tmp_path / 'no' / 'x'}", "quit"],
        ("human", "human"),
        start,
    )
    assert "save where?" in shown and "saved 0 turns in" in shown
    assert "is there already" in shown and "cannot be written: No such file or directory" in shown
    (game,) = read_games(file.read_text())
    assert game.result == "*" and not game.turns and game.start == "W:W21,22:B1,2"
    shown = play_game(["22-18", "resign", f"save {tmp_path / 'b.pdn'}", "quit"], ("human", "human"), start)
    (game,) = read_games((tmp_path / "b.pdn").read_text())
    assert game.result == "0-1" and len(game.turns) == 1 and "Black has resigned" in game.comments[1]
    assert game.tags["Black"] == "human"


def test_a_finished_game_takes_no_moves(play_game: Play) -> None:
    shown = play_game(
        ["15x22", "21-17", "hint", "eval", "resign", "moves", "quit"], ("human", "human"), parse_fen("B:W18:B15")
    )
    assert "Black wins: White has no legal move" in shown
    assert "the game is over; undo takes the last turn back" in shown
    assert "legal moves: none, the game is over" in shown
    assert "to go on from here" not in shown


@pytest.mark.parametrize(
    ("rules", "start", "moves", "expected"),
    [
        ("wcdf", "B:WK1:BK32", ["32-28", "1-5", "28-32", "5-1"] * 2, "Drawn: the same position came up 3 times"),
        ("open_spiel", "B:WK1:BK32", ["32-28", "1-5", "28-32", "5-1"] * 10, "Drawn: 40 plies without a capture"),
        ("anaconda", "B:WK1:BK32", ["32-28", "1-5", "28-32", "5-1"] * 50, "Drawn: 200 plies played"),
    ],
)
def test_draws_are_told_with_their_reason(
    play_game: Play, rules: str, start: str, moves: list[str], expected: str
) -> None:
    shown = play_game([*moves, "quit"], ("human", "human"), parse_fen(start, rules))
    assert expected in shown
    assert shown.count("Drawn: ") == 1


def test_connect_four(play_game: Play) -> None:
    typed = ["1", "2", "1", "2", "8", "1", "2", "1", "save x", "quit"]
    shown = play_game(typed, ("human", "human"), game=CONNECT_FOUR)
    assert "'8' is not legal here; legal: 1, 2, 3, 4, 5, 6, 7" in shown
    assert "Red wins: four in a line" in shown
    assert "cannot be saved: there is no standard record of it" in shown


def test_a_full_connect_four_board_is_a_draw(play_game: Play) -> None:
    columns = "441365675334466335442232661515577771217122"
    shown = play_game([*columns, "quit"], ("human", "human"), game=CONNECT_FOUR)
    assert "Drawn: the board is full" in shown


def test_two_bots_play_to_the_end(play_game: Play) -> None:
    shown = play_game([], ("random", "material:depth=2,endgame=0"))
    assert "White wins: Black has no legal move" in shown or "Drawn: " in shown
    assert "to move>" not in shown


def test_a_bot_that_cheats_is_told(play_game: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cheat:
        name = "cheat"

        def act(self, states: States) -> list[Analysis]:
            return [Analysis(127)]

        def close(self) -> None:
            pass

    monkeypatch.setattr(terminal, "make_player", lambda *arguments: Cheat())
    with pytest.raises(IllegalMoveError, match="player 'cheat' made an illegal move"):
        play_game([], ("cheat", "cheat"))


def test_long_thinking_is_shown_and_a_failure_is_told(play_game: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()
    monkeypatch.setattr(terminal, "QUIET_SECONDS", 0.0)

    class Thinker:
        name = "thinker"

        def act(self, states: States) -> list[Analysis]:
            assert may_end.wait(60)
            raise IllegalMoveError("out of ideas")

        def close(self) -> None:
            may_end.set()

    monkeypatch.setattr(terminal, "make_player", lambda *arguments: Thinker())
    statuses = []

    def status(console: Console, message: str, **options: object) -> object:
        statuses.append(message)
        may_end.set()
        return real_status(console, message, **options)  # type: ignore[arg-type]

    real_status = Console.status
    monkeypatch.setattr(Console, "status", status)
    assert "out of ideas. Enter asks it again" in play_game([], ("thinker", "human"))
    assert statuses == ["Black is thinking"]


# --- the command line -----------------------------------------------------------------------------------------------


def test_seats() -> None:
    assert play.seat((None, None), "best") == ("human", "best")
    assert play.seat((None, "human"), "best") == ("best", "human")
    assert play.seat((None, "random"), "best") == ("human", "random")
    assert play.seat(("random", None), "best") == ("random", "human")
    assert play.seat(("human", "human"), "best") == ("human", "human")


def test_the_best_bot_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.model_files.SHIPPED_MODELS", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    assert play.best_bot(CHECKERS) == "material:depth=8"
    (tmp_path / "models" / "checkers-anaconda").mkdir(parents=True)
    (tmp_path / "models" / "checkers-anaconda" / "model.safetensors").touch()
    assert play.best_bot(CHECKERS) == "models/checkers-anaconda"
    for found, expected in (
        ("go-9x9-imitation", "rollouts"),
        ("go-9x9-value", "mcts:model=models/go-9x9-imitation,value=models/go-9x9-value,lambda=0.25"),
        ("go-9x9", "mcts:model=models/go-9x9"),
        ("go-9x9-selfplay", "mcts:model=models/go-9x9-selfplay"),
    ):
        assert play.best_bot(find_game("go-13x13")) == "rollouts"
        (tmp_path / "models" / found).mkdir()
        (tmp_path / "models" / found / "model.safetensors").touch()
        assert play.best_bot(find_game("go-9x9")) == expected
    assert play.adviser(("human", "material:depth=3"), "best") == "material:depth=3"
    assert play.adviser(("human", "random"), "best") == "best"


def run_play(arguments: list[str], typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "play.py"), *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=250, check=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("checkers --black foo", "player 'foo': no player and no model file or folder"),
        ("checkers --fen xx", "FEN 'xx' is not of the form"),
        ("checkers --rules x", "checkers has no rule set 'x'; there are: wcdf"),
        ("checkers --bot random", "--bot needs --hub"),
        ("checkers --hub --white random", "--white has no meaning with --hub"),
        ("connect_four --red material", "material plays checkers, not connect_four"),
        ("checkers --white random --seed -1", "--seed -1: a finite number, at least 0"),
        ("connect_four --red random --yellow random --delay -1", "--delay -1.0: a finite number, at least 0"),
        ("connect_four --red random --yellow random --delay inf", "--delay inf: a finite number, at least 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    arguments: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["play.py", *arguments.split()])
    assert play.main() == 2
    shown = capsys.readouterr()
    assert expected in shown.err and shown.err.count("\n") == 1 and not shown.out


def test_a_game_through_a_pipe() -> None:
    result = run_play(["checkers", "--white", "random", "--ascii"], "11-15\nresign\nquit\n")
    assert result.returncode == 0
    assert "White wins: Black has resigned" in result.stdout and "\x1b" not in result.stdout


def test_the_end_of_the_input_is_no_accident() -> None:
    result = run_play(["checkers", "--white", "human", "--black", "human"], "11-15\n")
    assert result.returncode == 0
    assert "to go on from here: play.py checkers --fen W:W21,22,23" in result.stdout


def test_a_script_drives_the_hub_engine_through_a_pipe() -> None:
    script = 'hub\ninit\npos start moves="11-15 22-18"\nlevel depth=2\ngo think\n'
    result = run_play(["checkers", "--hub", "--bot", "material:endgame=0"], script)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("id name=Playfield") and "wait" in lines and "ready" in lines
    assert lines[-1].startswith("done move=15x22x18")


def test_help_teaches_and_loads_neither_torch_nor_numba() -> None:
    code = "import sys, play; sys.argv = ['play.py', '--help']\ntry: play.main()\nexcept SystemExit: pass\n"
    code += "print({'torch', 'numba', 'numpy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.rstrip().endswith("set()")
    assert "$ play.py checkers --white human" in result.stdout and "hub:COMMAND" in result.stdout
