"""Outside GTP engines as players: what they are told, what they may answer, and every way in which they fail."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.analysis import IllegalMoveError, PlayerError, PlayerTimeoutError
from agents.gtp import client
from agents.gtp.client import GtpPlayer, Way, find_way, parse_number
from agents.player import make_player
from games import go
from games.notation import read_vertex, vertex_name
from games.rules import RESIGN, Game, State, States, apply, is_over

FAKE = Path(__file__).parent / "fake_gtp.py"
GNUGO = shutil.which("gnugo") or shutil.which("gnugo", path="/usr/games")
NINE = go.game(9)

Engine = Callable[..., GtpPlayer]


def fake_spec(moves: str, *options: str) -> str:
    return "gtp:" + shlex.join([sys.executable, str(FAKE), moves, *options])


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Return a function that starts a fake engine; all are closed in the end."""
    started: list[GtpPlayer] = []

    def start(moves: str, *options: str, game: Game = NINE) -> GtpPlayer:
        player = make_player(fake_spec(moves, *options), game)
        assert isinstance(player, GtpPlayer)
        started.append(player)
        return player

    yield start
    for player in started:
        player.close()


def after(*moves: str, game: Game = NINE) -> States:
    states = game.new(1)
    for name in moves:
        action = read_vertex(name, int(states[0].rows), int(states[0].columns))
        assert action is not None
        apply(states[0], action)
    return states


def told(log: Path) -> list[str]:
    """Return the commands in a log since the last clear_board, and forget them."""
    lines = log.read_text().splitlines()
    log.write_text("")
    return lines


# --- what it is told --------------------------------------------------------------------------------------------------


def test_it_is_told_the_game_as_it_went(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    player = engine("E5,F5,G5,H5", f"log={log}")
    states = after("D4")
    assert player.act(states)[0].action == read_vertex("E5", 9, 9)
    assert told(log) == [
        "name", "list_commands", "boardsize 9", "clear_board", "komi 7.5", "get_komi", "play b D4", "genmove w",
    ]  # fmt: skip
    for name in ("E5", "pass"):
        apply(states[0], read_vertex(name, 9, 9))
    player.act(states)
    assert told(log) == ["play b pass", "genmove w"]
    player.act(after("D4", "C3"))
    assert told(log) == ["undo", "undo", "undo", "play w C3", "genmove b"], "taken back, and another way"
    player.new_game()
    player.act(after("A1"))
    assert told(log)[-2:] == ["play b A1", "genmove w"]


def test_a_position_without_its_moves_is_set_up(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    player = engine("E5", f"log={log}", "lacks=undo")
    states = NINE.new(1)
    go.setup(states[0], [0, 1], [80], 1)
    player.act(states)
    assert told(log)[-4:] == ["play b A9", "play b B9", "play w J1", "genmove w"]
    long = after(*[f"{column}{row}" for row in (2, 4) for column in "ACEGJ"])
    player.act(long)
    assert len([line for line in told(log) if line.startswith("play")]) == 10
    player.act(after("A1", "B1"))
    assert told(log)[-3:] == ["play b A1", "play w B1", "genmove b"], "it cannot undo, so all is played again"


def test_komi_rules_and_time_are_agreed(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    player = make_player(fake_spec("E5", f"log={log}").replace("gtp:", "gtp:seconds=2.5 "), go.game(5, komi=-3))
    try:
        player.act(go.game(5, komi=-3).new(1, "tromp-taylor"))
    finally:
        player.close()
    assert told(log)[2:-1] == [  # all but quit
        "boardsize 5", "clear_board", "komi -3", "get_komi", "time_settings 0 2.5 1", "time_left b 2.5 1", "genmove b",
    ]  # fmt: skip
    named = engine("E5", "name=GNU Go")
    assert named.agree(NINE.new(1)[0])[0].endswith("start it with --chinese-rules --positional-superko")
    assert engine("E5").agree(NINE.new(1)[0])[0].endswith("cannot be told the rules: its command line should name them")


def test_engines_without_fractions_are_told_whole_seconds(tmp_path: Path) -> None:
    log = tmp_path / "log"
    spec = fake_spec("E5", f"log={log}", "fractions=no").replace("gtp:", "gtp:seconds=0.5 ")
    player = make_player(spec, NINE)
    assert isinstance(player, GtpPlayer)
    try:
        assert any("takes whole seconds only: it was told 1 a move" in line for line in player.agree(NINE.new(1)[0]))
        player.act(NINE.new(1))
    finally:
        player.close()
    assert {"time_settings 0 1 1", "time_left b 1 1"} <= set(told(log))


def test_our_own_engine_is_told_the_rules() -> None:
    play = Path(__file__).resolve().parent.parent / "play.py"
    spec = "gtp:" + shlex.join([sys.executable, str(play), "go", "--gtp", "--bot", "random"])
    player = make_player(spec, go.game(5, 7))
    assert isinstance(player, GtpPlayer)
    try:
        states = go.game(5, 7, komi=0.5).new(1, "situational")
        assert player.agree(states[0]) == []
        while not is_over(states[0]) and states[0].ply < 20:
            action = player.act(states)[0].action
            assert go.is_legal(states[0], action)
            apply(states[0], action)
    finally:
        player.close()


# --- what it answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("E5", "E5"), ("e5", "E5"), ("PASS", "pass"), ("pass", "pass"), ("garbage", "C3"), ("stderr", "C3")],
)
@pytest.mark.parametrize("option", ["ids=yes", "ids=no"])
def test_answers(engine: Engine, answer: str, expected: str, option: str) -> None:
    assert engine(answer, option).act(NINE.new(1))[0].action == read_vertex(expected, 9, 9)


def test_an_engine_that_says_nothing_is_told_of(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agents.engine_process.SILENCE_TOLD_SECONDS", 0.05)
    monkeypatch.setattr(client, "READY_SECONDS", 0.5)
    with pytest.raises(PlayerTimeoutError, match="silent for too long"):
        make_player("gtp:cat", NINE)
    assert "player 'gtp:cat': its engine has not answered yet; does it speak GTP" in capsys.readouterr().err
    monkeypatch.setattr("agents.engine_process.SILENCE_TOLD_SECONDS", 30.0)
    engine("D4")
    assert capsys.readouterr().err == ""


def test_it_may_resign(engine: Engine) -> None:
    assert engine("resign").act(NINE.new(1))[0].action == RESIGN


@pytest.mark.parametrize(
    ("moves", "options", "error", "expected"),
    [
        ("D4", (), IllegalMoveError, "'D4' is not legal at move 2"),
        ("Z9", (), IllegalMoveError, "the engine answered 'Z9', no vertex"),
        ("crash", (), PlayerError, "the engine has ended (it said: 'out of memory')"),
        ("hang", (), PlayerTimeoutError, "silent for too long"),
        ("flood", (), PlayerTimeoutError, "silent for too long"),
        ("E5", ("refuses=play",), PlayerError, "refuses 'play b D4': 'I will not'"),
        ("E5", ("refuses=genmove",), PlayerError, "refuses 'genmove w': 'I will not'"),
        ("E5", ("refuses=boardsize",), PlayerError, "refuses 'boardsize 9'"),
        ("E5", ("komi=6.5",), PlayerError, "was told komi 7.5 and has '6.5'"),
    ],
)
def test_failures(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    moves: str,
    options: tuple[str, ...],
    error: type[Exception],
    expected: str,
) -> None:
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.5 if error is PlayerTimeoutError else 30.0)
    monkeypatch.setattr("agents.engine_process.FLOOD_SECONDS", 0.5)
    player = engine(moves, *options)
    for _ in range(2):  # a new game starts a fallen engine again
        player.new_game()
        with pytest.raises(error) as caught:
            player.act(after("D4"))
        assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_rectangles_need_a_command(engine: Engine) -> None:
    with pytest.raises(PlayerError, match=r"plays on no board of 5x7"):
        engine("A1", game=go.game(5, 7)).act(go.game(5, 7).new(1))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("gtp:no-such-engine-anywhere", "cannot be started"),
        (f"gtp:'{sys.executable}' -c 'import sys; sys.exit(\"no licence\")'", "has ended (it said: 'no licence')"),
        ("gtp:", "the engine's command line is missing, as in gtp:./engine --gtp"),
        ("gtp:nodes=3 engine", "no option 'nodes=3'; gtp takes seconds="),
        ("hub:engine", "hub plays checkers, not go"),
    ],
)
def test_specs_that_name_no_engine(spec: str, expected: str) -> None:
    with pytest.raises(PlayerError) as caught:
        make_player(spec, NINE)
    assert expected in str(caught.value)


def test_dead_stones(engine: Engine) -> None:
    states = after("D4", "E5", "pass", "pass")
    assert engine("E5", "dead=D4,E5").dead_stones(states[0]) == {read_vertex("D4", 9, 9), read_vertex("E5", 9, 9)}
    assert engine("E5", "dead=D4,A1").dead_stones(states[0]) == {read_vertex("D4", 9, 9)}, "there is no stone at A1"
    assert engine("E5").dead_stones(states[0]) == frozenset()
    for options in (("lacks=final_status_list",), ("refuses=final_status_list",), ("dead=nonsense",)):
        assert engine("E5", *options).dead_stones(states[0]) is None


# --- the way from one position to another -----------------------------------------------------------------------------


def line(*moves: str) -> list[State]:
    return [after(*moves[:count])[0] for count in range(len(moves) + 1)]


def test_find_way() -> None:
    game = line("D4", "E5", "F6")
    actions = tuple(read_vertex(name, 9, 9) for name in ("D4", "E5", "F6", "G7"))
    assert find_way(game, game[-1]) == Way(0, ())
    assert find_way(game, game[1]) == Way(2, ())
    assert find_way(game, after("D4", "E5", "F6", "G7")[0]) == Way(0, actions[3:])
    assert find_way(game, after("E5", "D4")[0]) == Way(3, (actions[1], actions[0]))
    assert find_way(game[3:], after("E5", "D4")[0]) is None
    passed = line("D4", "pass", "pass")
    opened = passed[-1].copy()
    opened.passes = 0
    assert find_way(passed, opened) == Way(0, ()), "a game that is played on after two passes"


@pytest.mark.parametrize(("text", "number"), [("7.5", 7.5), ("-3", -3.0), ("7,5", None), ("", None), ("nan", None)])
def test_parse_number(text: str, number: float | None) -> None:
    assert parse_number(text) == number


# --- a real one -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(GNUGO is None, reason="gnugo is not installed")
def test_gnugo_plays_and_names_dead_stones() -> None:
    command = f"{GNUGO} --mode gtp --level 1 --chinese-rules --positional-superko"
    player = make_player(f"gtp:{command}", NINE)
    assert isinstance(player, GtpPlayer) and player.title == "GNU Go"
    try:
        states = NINE.new(1)
        assert player.agree(states[0]) == []
        while not is_over(states[0]):
            apply(states[0], player.act(states)[0].action)
        assert 20 < states[0].ply < 243
        dead = player.dead_stones(states[0])
        assert dead is not None
        assert {vertex_name(point, 9, 9) for point in dead} <= {vertex_name(point, 9, 9) for point in range(81)}
    finally:
        player.close()
