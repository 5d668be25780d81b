"""The Hub protocol: its text, our engine driven by us and by pydraughts, and our driver with engines good and bad."""

from __future__ import annotations

import io
import queue
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.analysis import Analysis, IllegalMoveError, PlayerError, PlayerTimeoutError
from agents.hub import client as hub_client
from agents.hub.engine import HubEngine, Level, information
from agents.hub.protocol import (
    FRAMES,
    HubError,
    format_line,
    move_name,
    move_names,
    parse_line,
    parse_move,
    parse_position,
    position_name,
)
from agents.player import Player, make_player
from games.checkers import CHECKERS
from games.notation import legal_turns, play_turn
from games.pdn import fen_name, parse_fen
from games.rules import State, States, apply, is_over

ROOT = Path(__file__).resolve().parent.parent
ENGINE = [sys.executable, str(ROOT / "play.py"), "checkers", "--hub", "--bot"]


def random_positions(num_games: int, seed: int) -> Iterator[State]:
    """Yield the positions of random games, those at the end of a game left out."""
    generator = random.Random(seed)
    for _ in range(num_games):
        state = CHECKERS.new(1)[0]
        while not is_over(state):
            yield state
            play_turn(state, generator.choice(legal_turns(state)))


# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "command", "pairs"),
    [
        ("hub", "hub", {}),
        ("  go   think \n", "go", {"think": ""}),
        ('pos pos=Wbe moves="11-15 22-18"', "pos", {"pos": "Wbe", "moves": "11-15 22-18"}),
        ("level time = 3.5 inc=1", "level", {"time": "3.5", "inc": "1"}),
        ('done move=""', "done", {"move": ""}),
    ],
)
def test_parse_line(line: str, command: str, pairs: dict[str, str]) -> None:
    assert parse_line(line) == (command, pairs)


@pytest.mark.parametrize("line", ['pos moves="11-15', "level =3", "level depth=", "level depth=3 depth=4", 'id a"b"'])
def test_parse_line_refuses(line: str) -> None:
    with pytest.raises(HubError):
        parse_line(line)


def test_format_line_can_be_read_back() -> None:
    line = format_line("info", {"depth": 3, "pv": "11-15 22-18", "message": 'say "no"\nplease', "empty": ""})
    assert "\n" not in line
    assert parse_line(line) == (
        "info",
        {"depth": "3", "pv": "11-15 22-18", "message": "say  no  please", "empty": ""},
    )


def test_positions_of_both_frames() -> None:
    start = CHECKERS.new(1)[0]
    assert position_name(start, "plain") == "B" + "b" * 12 + "e" * 8 + "w" * 12
    assert position_name(start, "rotated") == "W" + "b" * 12 + "e" * 8 + "w" * 12
    one = parse_fen("W:W21,K30:B1,K7")[0]
    assert position_name(one, "plain") == "Wbeeeee" + "Beeeeeee" + "eeeeeewe" + "eeeeeeeW" + "ee"
    assert position_name(one, "rotated") == "Bee" + "Beeeeeee" + "ebeeeeee" + "eeeeeeeW" + "eeeeew"


@pytest.mark.parametrize("frame", FRAMES)
def test_positions_read_back(frame: str) -> None:
    for state in random_positions(5, seed=1):
        again = parse_position(position_name(state, frame), frame)[0]
        assert fen_name(again) == fen_name(state)


def test_the_starting_array_is_read_in_either_frame() -> None:
    for frame in FRAMES:
        for side in "BW":
            states = parse_position(side + "b" * 12 + "e" * 8 + "w" * 12, frame)
            assert fen_name(states[0]) == fen_name(CHECKERS.new(1)[0])


@pytest.mark.parametrize("text", ["", "W", "X" + "e" * 32, "W" + "e" * 31, "W" + "e" * 31 + "x", "B" + "e" * 31 + "b"])
def test_positions_that_are_none(text: str) -> None:
    with pytest.raises(HubError, match="position"):
        parse_position(text, "plain")


def test_every_move_reads_back_to_the_same_position() -> None:
    for state in random_positions(20, seed=2):
        for turn in legal_turns(state):
            name = move_name(state, turn)
            ends = []
            for played in (turn, parse_move(state, name)):
                after = state.copy()
                play_turn(after, played)
                ends.append(fen_name(after))
            assert ends[0] == ends[1]


def test_captures_may_come_in_any_order_and_be_left_out_where_from_and_to_suffice() -> None:
    two_routes = parse_fen("B:W7,15,16,23,24:B2")[0]
    assert move_names(two_routes, parse_move(two_routes, "2x27x23x7x15")) == ["2x27x7x15x23"]
    with pytest.raises(HubError, match="legal moves: 2x27x7x15x23, 2x27x7x16x24"):
        parse_move(two_routes, "2x27")
    one_route = parse_fen("B:W7,15:B2")[0]
    assert parse_move(one_route, "2x18") == legal_turns(one_route)[0]
    for text in ("", "2-18", "2x", "x", "2x18x", "2x18x7x15x15", "-", "2x18-7", "99x1"):
        with pytest.raises(HubError):
            parse_move(one_route, text)


def test_pydraughts_agrees_on_positions_and_moves() -> None:
    draughts = pytest.importorskip("draughts", reason="pydraughts is not installed")
    for number, state in enumerate(random_positions(30, seed=3)):
        if number % 40 == 0:
            board = draughts.Board("english", fen=fen_name(state))
            assert board._game.initial_hub_fen == position_name(state, "rotated")
            theirs = {move.hub_move for move in board.legal_moves()}
            assert theirs == {move_name(state, turn) for turn in legal_turns(state)}


# --- the engine, in this process ------------------------------------------------------------------------------------


class Driver:
    """Feeds an engine that runs in a thread, and waits for what it answers."""

    def __init__(self, spec: str) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._player = make_player(spec, CHECKERS)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        driver = self

        class Output(io.StringIO):
            def write(self, text: str) -> int:
                if text.strip():
                    driver._answers.put(text.strip())
                return len(text)

        HubEngine(self._player, Output()).run(iter(self._lines.get, None))

    def send(self, *lines: str) -> None:
        for line in lines:
            self._lines.put(line)

    def wait_for(self, command: str) -> tuple[dict[str, str], list[str]]:
        """Return the pairs of the next line of a command, and the commands that came before it."""
        before: list[str] = []
        while True:
            found, pairs = parse_line(self._answers.get(timeout=120))
            if found == command:
                return pairs, before
            before.append(found)

    def ends(self) -> bool:
        self._lines.put(None)
        self._thread.join(60)
        return not self._thread.is_alive()


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver("material:depth=4,endgame=0,table=16")
    yield driver
    assert driver.ends()


def test_greeting(driver: Driver) -> None:
    driver.send("hub")
    pairs, before = driver.wait_for("wait")
    assert not pairs and before == ["id", "param", "param"]
    driver.send("set-param name=variant value=english", "init")
    assert driver.wait_for("ready")[1] == []
    driver.send("set-param name=variant value=frisian")
    assert "variant cannot be 'frisian', only english" in driver.wait_for("error")[0]["message"]


@pytest.mark.parametrize(
    ("level", "depth"), [("level depth=3", 3), ("level move-time=60 depth=2", 2), ("ping", 4), ("level nodes=1", 1)]
)
def test_levels(driver: Driver, level: str, depth: int) -> None:
    driver.send("pos start", level, "go think")
    deepest = 0
    while True:
        command, pairs = parse_line(driver._answers.get(timeout=120))
        if command == "info":
            deepest = int(pairs["depth"])
            parse_move(CHECKERS.new(1)[0], pairs["pv"].split()[0])
        if command == "done":
            break
    assert deepest == depth
    parse_move(CHECKERS.new(1)[0], pairs["move"])
    assert depth < 2 or "ponder" in pairs


def test_moves_are_played_and_a_multi_jump_is_one_move(driver: Driver) -> None:
    driver.send('pos pos=Bbbbbbbbbbbbbeeeeeeeewwwwwwwwwwww moves="11-15 22-18"', "go think")
    assert driver.wait_for("done")[0]["move"] == "15x22x18"
    driver.send(
        "set-param name=frame value=plain", f"pos pos={position_name(parse_fen('B:W7,15,23,32:B2')[0], 'plain')}"
    )
    driver.send("go analyze")
    assert driver.wait_for("done")[0]["move"] == "2x27x7x15x23"


def test_stop_answers_with_the_best_so_far(driver: Driver) -> None:
    driver.send("pos start", "level infinite", "go think")
    while int(driver.wait_for("info")[0]["depth"]) < 3:
        pass
    driver.send("ping", "pos start", "hub", "stop")
    assert "done" not in driver.wait_for("pong")[1]
    assert "a search is under way" in driver.wait_for("error")[0]["message"]
    assert "a search is under way" in driver.wait_for("error")[0]["message"]
    parse_move(CHECKERS.new(1)[0], driver.wait_for("done")[0]["move"])
    driver.send("stop", "ping")
    assert driver.wait_for("pong")[1] == [], "a late stop is not answered"


def test_a_tree_search_tells_and_stops_as_well() -> None:
    driver = Driver("rollouts:visits=50,rollouts=1")
    driver.send("init", "pos start", "level infinite", "go analyze")
    assert float(driver.wait_for("info")[0]["nodes"]) > 0
    driver.send("stop")
    parse_move(CHECKERS.new(1)[0], driver.wait_for("done")[0]["move"])
    driver.send("level move-time=0.2", "go think")
    parse_move(CHECKERS.new(1)[0], driver.wait_for("done")[0]["move"])
    assert driver.ends()


def test_after_a_ponder_hit_a_tree_search_keeps_the_bots_own_limits() -> None:
    driver = Driver("rollouts:visits=50,rollouts=1")
    driver.send("init", "pos start", "go ponder")
    while float(driver.wait_for("info")[0]["nodes"]) < 200:
        pass
    driver.send("ponder-hit")
    parse_move(CHECKERS.new(1)[0], driver.wait_for("done")[0]["move"])
    assert driver.ends()


def test_stop_before_the_search_has_begun(driver: Driver) -> None:
    driver.send("pos start", "level infinite", "go analyze", "stop")
    parse_move(CHECKERS.new(1)[0], driver.wait_for("done")[0]["move"])


def test_ponder_waits_even_when_everything_is_known(driver: Driver) -> None:
    only_move = position_name(parse_fen("B:W32:B1,K28")[0], "rotated")
    driver.send(f"pos pos={only_move}", "level depth=2", "go ponder")
    driver.wait_for("info")
    driver.send("ping")
    assert "done" not in driver.wait_for("pong")[1]
    driver.send("ponder-hit")
    assert "move" in driver.wait_for("done")[0]
    driver.send("ponder-hit")
    assert "no ponder search" in driver.wait_for("error")[0]["message"]


def test_a_draw_by_our_rules_is_played_on_when_the_driver_does(driver: Driver) -> None:
    shuffle = " ".join(["32-28 1-5 28-32 5-1"] * 6)
    pos = position_name(parse_fen("B:WK1,21:BK32,12")[0], "rotated")
    driver.send(f'pos pos={pos} moves="{shuffle}"', "level depth=2", "go think")
    pairs, before = driver.wait_for("done")
    assert "move" in pairs and "error" not in before


def test_a_finished_game_gets_an_error_and_a_done(driver: Driver) -> None:
    driver.send(f"pos pos={position_name(parse_fen('W:W:B1')[0], 'rotated')}", "go think")
    assert driver.wait_for("done") == ({}, ["error"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nonsense", "no command 'nonsense'; there are: hub, init"),
        ("pos", "expected pos=POSITION"),
        ("pos pos=xyz", "expected W or B and 32 letters"),
        ('pos start moves="11-15 11-15"', "move 2: move '11-15' is not legal; legal moves: "),
        ('pos start moves="11-15', "expected name=value"),
        ("level depth=-3", "depth cannot be '-3'"),
        ("level depth=three", "depth cannot be 'three'"),
        ("level time=1e9", "time cannot be '1e9'"),
        ("level speed=3", "no argument 'speed'"),
        ("go nowhere", "no argument 'nowhere'"),
        ("set-param name=hash value=4", "no parameter 'hash'"),
        ("\0\ufffd", "no command"),
    ],
)
def test_errors_are_one_line_and_change_nothing(driver: Driver, line: str, expected: str) -> None:
    driver.send(line)
    message = driver.wait_for("error")[0]["message"]
    assert expected in message
    driver.send("go think")
    parse_move(CHECKERS.new(1)[0], driver.wait_for("done")[0]["move"])


def test_garbage_never_ends_the_engine(driver: Driver) -> None:
    generator = random.Random(4)
    words = [
        "hub",
        "pos",
        "level",
        "stop",
        "ping",
        "=",
        '"',
        "pos=W",
        "moves=",
        "depth=1",
        "\0",
        "é",
        "x" * 5000,
        " ",
        "go",
    ]
    for _ in range(300):
        driver.send("".join(generator.choice(words) + generator.choice(["", " "]) for _ in range(4)))
    driver.send("stop", "set-param name=z", "init")
    driver.wait_for("ready")


def test_the_clock_is_shared_out() -> None:
    assert Level(time=60.0).seconds() == 2.0
    assert Level(time=60.0, moves=6).seconds() == 10.0
    assert Level(time=-1.0, inc=1.0).seconds() == 0.01, "pydraughts takes the increment off before it sends the time"
    assert 0 < Level(time=0.5, inc=2.0).seconds() < 2.5
    assert Level(time=1.0, moves=1).seconds() < 1.0
    assert Level(depth=3).seconds() == 0.0 and not Level(depth=3).is_endless()
    assert Level().is_endless()


def test_scores_are_the_movers() -> None:
    white = parse_fen("W:W21:B1")[0]
    assert information(white, Analysis(0, value=-0.5))["score"] == "0.55"
    assert information(white, Analysis(0, value=1.0))["score"] == "-100.00"


# --- a whole game, driven by pydraughts -----------------------------------------------------------------------------


def test_pydraughts_drives_our_engine_through_games(monkeypatch: pytest.MonkeyPatch) -> None:
    draughts = pytest.importorskip("draughts", reason="pydraughts is not installed")
    from draughts.engine import HubEngine as TheirDriver
    from draughts.engine import Limit

    monkeypatch.chdir(ROOT)
    spec = "material:depth=4,endgame=0"
    engine = TheirDriver(["/usr/bin/env", *ENGINE, spec])  # it would resolve the link that makes a virtual environment
    try:
        assert engine.variants == {"english"}
        engine.configure({"variant": "english"})
        engine.init()
        engine.ping()
        generator = random.Random(5)
        late = "W:W18,21,25,28,29,30,31,32:B1,2,3,4,5,6,8,12"
        for fen, limit in (("startpos", Limit(depth=3)), (late, Limit(nodes=500))):
            engine.send("new-game")
            board = draughts.Board("english", fen=fen)
            while not board.is_over():
                board.push(engine.play(board, limit, False).move)
                if not board.is_over():  # the other side plays at random: a short game, and off the engine's lines
                    reply = generator.choice(board.legal_moves())
                    board.push(draughts.Move(board, hub_move=reply.hub_move))
            assert board.winner() == (draughts.BLACK if fen == "startpos" else draughts.WHITE)
    finally:
        engine.quit()
        assert engine.p.wait(30) == 0
        engine.p.communicate()


# --- our driver -----------------------------------------------------------------------------------------------------


def play_out(first: Player, second: Player, plies: int) -> int:
    """Play a game between two players and return its number of plies."""
    states: States = CHECKERS.new(1)
    players = (first, second)
    while not is_over(states[0]) and states[0].ply < plies:
        action = players[states[0].to_play].act(states)[0].action
        assert action in CHECKERS.legal_actions(states[0])
        apply(states[0], action)
    return int(states[0].ply)


def test_our_driver_plays_our_engine() -> None:
    heard: list[Analysis] = []
    command = " ".join(f"'{word}'" for word in [*ENGINE, "material:endgame=0"])
    player = make_player(f"hub:depth=4 {command}", CHECKERS, on_progress=heard.append)
    local = make_player("material:depth=4,endgame=0", CHECKERS)
    try:
        assert play_out(player, make_player("random", CHECKERS, 1), 60) > 10
        player.new_game()
        states = CHECKERS.new(1)
        for turn in ("11-15", "22-18"):
            play_turn(states[0], parse_move(states[0], turn))
        ours, theirs = local.act(states)[0], player.act(states)[0]
        assert theirs.action == ours.action and theirs.principal_variation[0] == theirs.action
        play_turn(states[0], parse_move(states[0], "15x22"))
        assert player.act(states)[0].value == pytest.approx(local.act(states)[0].value, abs=0.01)
        assert heard and heard[-1].depth == 4
    finally:
        player.close()


FAKE = """
import sys
for line in sys.stdin:
    command = line.split()[0]
    if command == 'hub':
        print('junk before the greeting "', flush=True)
        print('id name=Fake')
        print('param name=variant value={variant} type=enum values="{variant}"')
        print('wait', flush=True)
    if command == 'init':
        print('ready', flush=True)
    if command == 'pos':
        print('note: ' + line.strip(), file=sys.stderr, flush=True)
    if command == 'go':
        print('info depth=x score=nan nodes=-1 pv="1-99"', flush=True)
        {answer}
    if command == 'quit':
        break
"""


def fake_engine(folder: Path, answer: str, variant: str = "normal english") -> str:
    """Write an engine that answers `go` in its own way, and return the spec that starts it."""
    (folder / "engine.py").write_text(FAKE.format(answer=answer, variant=variant))
    return f"hub:'{sys.executable}' '{folder / 'engine.py'}'"


@pytest.mark.parametrize(
    ("answer", "error", "expected"),
    [
        ("print('done move=11-15', flush=True)", None, ""),
        ("print('done move=11-20', flush=True)", IllegalMoveError, "move '11-20' is not legal; legal moves: "),
        ("print('done', flush=True)", IllegalMoveError, "move '' is not legal"),
        ("sys.exit(3)", PlayerError, "the engine has ended (it said: 'note: pos pos=W"),
        ("1 / 0", PlayerError, "(it said: 'ZeroDivisionError: division by zero')"),
        ("print('error message=\"no idea\"', flush=True)", PlayerError, "the engine answered: 'no idea'"),
        ("pass", PlayerTimeoutError, "has been silent for too long"),
    ],
)
def test_engines_good_and_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, error: type[Exception] | None, expected: str
) -> None:
    monkeypatch.setattr(hub_client, "GRACE_SECONDS", -0.5)
    player = make_player(fake_engine(tmp_path, answer), CHECKERS)
    try:
        for _ in range(2):  # a new game starts a fallen engine again
            player.new_game()
            if error is None:
                assert player.act(CHECKERS.new(1))[0].action in CHECKERS.legal_actions(CHECKERS.new(1)[0])
                continue
            with pytest.raises(error) as caught:
                player.act(CHECKERS.new(1))
            assert expected in str(caught.value) and "\n" not in str(caught.value)
    finally:
        player.close()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("hub:no-such-engine-anywhere", "cannot be started"),
        (f"hub:'{sys.executable}' -c 'import sys; sys.exit(\"no licence\")'", "has ended (it said: 'no licence')"),
        (f"hub:'{sys.executable}", "cannot be started: No closing quotation"),
    ],
)
def test_engines_that_do_not_start(spec: str, expected: str) -> None:
    with pytest.raises(PlayerError) as caught:
        make_player(spec, CHECKERS)
    assert expected in str(caught.value)


def test_an_engine_of_another_variant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlayerError, match="does not offer variant=english"):
        make_player(fake_engine(tmp_path, "pass", variant="normal"), CHECKERS)


def test_the_engine_is_told_the_whole_game(tmp_path: Path) -> None:
    """The driver finds the opponent's turns by itself, also where two games alternate."""
    answer = "print('done move=' + {1: '11-15', 3: '8-11'}[len(said)], flush=True)"
    spec = fake_engine(tmp_path, answer)
    engine = tmp_path / "engine.py"
    engine.write_text(
        engine.read_text().replace(
            "    if command == 'pos':", "    if command == 'pos':\n        said = line.split()[1:]"
        )
    )
    player = make_player(spec, CHECKERS)
    try:
        games = CHECKERS.new(2)
        for text, reply in (("11-15", "23-19"), ("8-11", "22-17")):
            for analysis, state in zip(player.act(games), games, strict=True):
                assert move_names(state, (analysis.action,)) == [text]
                apply(state, analysis.action)
                play_turn(state, parse_move(state, reply))
    finally:
        player.close()


def test_closing_ends_the_process_even_if_it_does_not_listen(tmp_path: Path) -> None:
    player = make_player(fake_engine(tmp_path, "exec('while True: pass')"), CHECKERS)
    process = player._engine._process  # type: ignore[attr-defined]
    process.stdin.write(b"go think\n")
    process.stdin.flush()
    player.close()
    assert isinstance(process, subprocess.Popen) and process.returncode is not None
