"""The tournament script: its document, its folder under kills and resumes, and what it refuses."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

import agents.game_log
import agents.match
import games.durable
import tournament
from agents.game_log import GameLog
from agents.match import GameRecord
from agents.ratings import match_elo, paired_match_elo
from agents.standings import MatchTest, Score, rank, show
from games.checkers import CHECKERS
from games.pdn import RESULTS, read_games

ROOT = Path(__file__).resolve().parent.parent
FILES = ("tournament.json", "results.jsonl", "games.pdn")
PLAYERS = ("random", "random", "material:depth=1")
AGREED = ("checkers", *PLAYERS, "--games", "6", "--openings", "random:2", "--seed", "7")


def play(*arguments: object, workers: int = 1) -> int:
    return tournament.main([*map(str, arguments), "--workers", str(workers)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the tournament AGREED, played by one process without a stop."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert play(*AGREED, "--out", folder) == 0
    return contents(folder)


# --- what it prints ---------------------------------------------------------------------------------------------------


def test_the_document_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert play(*AGREED, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    players = result["players"]
    assert (result["games"], result["scheduled"], len(players)) == (18, 18, 3)
    assert players[0]["player"] == "material:depth=1"
    assert sum(player["points"] for player in players) == 18
    assert abs(sum(player["elo"] for player in players)) < 0.5
    assert all(player["low"] < player["elo"] < player["high"] for player in players)
    for player, row in zip(players, result["cross_table"], strict=True):
        assert sum(points for points in row if points is not None) == player["points"]
        assert player["won"] + player["drawn"] + player["lost"] == player["games"] == 12
    assert [match["games"] for match in result["matches"]] == [6, 6, 6]
    assert sum(result["endings"].values()) == 18


def test_another_game_without_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert play("connect_four", "random", "lines:depth=2", "--games", 4) == 0
    captured = capsys.readouterr()
    assert "lines:depth=2" in captured.out
    assert "Elo" in captured.out
    assert "four in line" in captured.out


def test_a_sequential_test_ends_the_match_once_it_is_decided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("checkers", "material:depth=2", "random", "--games", 400, "--sprt", 0, 200, "--out", tmp_path / "out")
    assert play(*command, "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["sprt"]["accepted"] == 200 and result["sprt"]["llr"] >= math.log(0.95 / 0.05)
    assert result["games"] == 2 * result["sprt"]["pairs"] < 100
    assert "is +200 rather than +0 Elo points stronger than random" in captured.err
    assert play(*command, "--json", "--resume") == 0, "and it stays decided"
    assert json.loads(capsys.readouterr().out)["games"] == result["games"]


def test_too_few_openings_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert play("connect_four", "random", "random", "--games", 4, "--openings", "none") == 0
    assert "1 openings, each with both colours, make 2 games" in capsys.readouterr().err


def test_help_needs_no_kernels() -> None:
    code = "import sys, tournament\ntry: tournament.main(['--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "tournament.py checkers random material:depth=2" in done.stdout
    assert not {"torch", "numba", "numpy"} & set(done.stderr.split())


def record(round: int, players: tuple[str, str], result: float, reason: str = "no moves") -> GameRecord:
    return GameRecord(round, 0, players, "start", (), result, reason)


def test_standings_count_pairs_and_forfeits() -> None:
    first_mover_wins = [record(round, ("a", "b") if round % 2 == 0 else ("b", "a"), 1.0) for round in range(4)]
    records = [*first_mover_wins, record(4, ("a", "b"), -1.0, "crash"), record(5, ("b", "a"), 1.0)]
    standings = rank(["a", "b"], records)
    assert [(player.name, player.score, player.forfeits) for player in standings.players] == [
        ("b", Score(4, 0, 2), 0),
        ("a", Score(2, 0, 4), 1),
    ]
    match = standings.matches[0]
    assert (match.players, match.score) == (("b", "a"), Score(4, 0, 2))
    assert (match.elo, match.low, match.high) == paired_match_elo([0, 0, 2, 0, 1])
    assert standings.first_mover == Score(5, 0, 1)
    odd = rank(["a", "b"], records[:5]).matches[0]
    assert (odd.elo, odd.low, odd.high) == match_elo(odd.score.won, odd.score.drawn, odd.score.lost)


def test_a_sequential_test_counts_pairs_in_the_order_of_the_schedule() -> None:
    a_wins = [
        record(round, ("a", "b") if round % 2 == 0 else ("b", "a"), 1.0 if round % 2 == 0 else -1.0)
        for round in range(40)
    ]
    test = MatchTest(("a", "b"), (0.0, 100.0))
    assert [test.note(a_wins[:count]) is None for count in (0, 1, 2)] == [True] * 3
    found = test.note(a_wins)
    assert found == MatchTest(("a", "b"), (0.0, 100.0)).note(a_wins[::-1]), "in whatever order games end"
    assert found is not None and found.accepted == 1 and found.pairs < 20
    opposite = MatchTest(("b", "a"), (0.0, 100.0)).note(a_wins)
    assert opposite is not None and opposite.accepted == 0 and opposite.llr < 0
    assert MatchTest(("a", "b"), (0.0, 100.0)).note(a_wins[:3] + a_wins[4:]) is None, "round 3 is still being played"


def test_names_are_no_markup() -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(show(rank(["hub:./engine [red]", "b"], [record(0, ("b", "hub:./engine [red]"), 0.0)])))
    assert "hub:./engine [red]" in console.export_text()


# --- the folder -------------------------------------------------------------------------------------------------------


def test_the_pdn_holds_every_game(finished: dict[str, bytes]) -> None:
    assert set(finished) == set(FILES)
    lines = [json.loads(line) for line in finished["results.jsonl"].splitlines()]
    games = list(read_games(finished["games.pdn"].decode()))
    assert [(line["round"], line["pairing"]) for line in lines] == [(r, p) for r in range(6) for p in range(3)]
    assert len(games) == len(lines)
    for game, line in zip(games, lines, strict=True):
        assert [game.tags["Black"], game.tags["White"]] == line["players"]
        assert RESULTS[game.result] == line["result"]
        assert len(game.turns) == len(line["turns"].split())
        assert game.comments[len(game.turns)] == line["reason"]


def test_processes_change_nothing(finished: dict[str, bytes], tmp_path: Path) -> None:
    assert play(*AGREED, "--out", tmp_path / "out", workers=2) == 0
    assert contents(tmp_path / "out") == finished


def stop_after(monkeypatch: pytest.MonkeyPatch, games: int) -> None:
    """Let Ctrl-C come when this many games have finished."""
    play_games = agents.match.play_games

    def interrupted(*arguments: object) -> Iterator[GameRecord]:
        for number, played in enumerate(play_games(*arguments)):  # type: ignore[arg-type]
            if number == games:
                raise KeyboardInterrupt
            yield played

    monkeypatch.setattr(agents.match, "play_games", interrupted)


def test_stopped_torn_and_resumed(
    finished: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        assert play(*AGREED, "--out", out) == tournament.STOPPED
    assert "5 of 18 games are saved" in capsys.readouterr().err
    assert (out / "results.jsonl").read_bytes().count(b"\n") == 5
    with (out / "results.jsonl").open("ab") as lines, (out / "games.pdn").open("ab") as games:
        lines.write(b'{"round": 1, "pair')
        games.write(b'[Event "half')
    assert play(*AGREED, "--out", out, "--resume") == 0
    assert "torn" in capsys.readouterr().err
    assert contents(out) == finished
    assert play(*AGREED, "--out", out, "--resume") == 0
    assert contents(out) == finished


def test_it_grows_by_games_and_players(finished: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    rest = ("--openings", "random:2", "--seed", 7, "--out", out)
    assert play("checkers", *PLAYERS[:2], "--games", 4, *rest) == 0
    assert play("checkers", *PLAYERS, "--games", 6, *rest, "--resume") == 0
    assert contents(out) == finished


def start(out: Path) -> subprocess.Popen[bytes]:
    """Start the tournament AGREED with two processes, in a process group of its own as a terminal has it."""
    command = [sys.executable, "tournament.py", *AGREED, "--workers", "2", "--out", str(out), "--resume"]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within a minute")


def members(group: int) -> bool:
    """Say whether a process group has a member."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_killed_and_resumed(finished: dict[str, bytes], tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    lines = out / "results.jsonl"
    process = start(out)
    wait_until(lambda: lines.exists() and lines.read_bytes().count(b"\n") >= 3)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # Ctrl-C reaches the workers too
    else:
        process.send_signal(number)
    _, told = process.communicate(timeout=60)
    wait_until(lambda: not members(process.pid))  # no worker outlives its parent
    if process.returncode != 0:  # it may have come to its end before the signal
        assert process.returncode == (tournament.STOPPED if number == signal.SIGINT else -signal.SIGKILL)
        assert b"Traceback" not in told
    assert play(*AGREED, "--out", out, "--resume") == 0
    assert contents(out) == finished


def test_a_full_disk_loses_nothing(
    finished: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    write_all = games.durable.write_all

    def refuse(descriptor: int, data: bytes) -> None:
        if (out / "results.jsonl").stat().st_size > 2000:
            write_all(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_all(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(agents.game_log, "write_all", refuse)
        assert play(*AGREED, "--out", out) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "No space left on device" in message
    assert "--resume goes on" in message
    assert play(*AGREED, "--out", out, "--resume") == 0
    assert contents(out) == finished


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("chess", "random", "random"), "no game 'chess'; there are: checkers, connect_four"),
        (("checkers", "random"), "needs two or more"),
        (("checkers", "random", "randm"), "did you mean random"),
        (("checkers", "random", "human"), "only play.py"),
        (("checkers", "random", "random", "--games", "0"), "--games 0 is less than 1"),
        (("checkers", "random", "random", "--seed", "-1"), "--seed -1 is less than 0"),
        (("checkers", "random", "random", "random", "--sprt", "0", "20"), "--sprt is a test of two players, and 3 are"),
        (("checkers", "random", "random", "--sprt", "20", "0"), "--sprt: two differences in rising order"),
        (("checkers", "random", "random", "--sprt", "0", "nan"), "--sprt: two differences in rising order"),
        (("checkers", "random", "random", "--rules", "mine"), "no rule set 'mine'; there are: wcdf"),
        (("connect_four", "random", "random", "--openings", "three-move"), "no openings 'three-move'"),
    ],
)
def test_refuses_before_it_writes(
    arguments: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tournament.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (tmp_path / "out").exists()


def test_resume_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert play("checkers", "random", "random", "--resume") == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (AGREED, "add --resume"),
        ((*AGREED, "--resume", "--seed", "8"), "its seed was 7 and is now 8"),
        ((*AGREED, "--resume", "--games", "4"), "holds 6 games for each two players"),
        (("checkers", "random", "lines", *AGREED[4:], "--resume"), "lines plays connect_four"),
        (
            ("checkers", "random", "material", *AGREED[4:], "--resume"),
            "its players are random random #2",
        ),
    ],
)
def test_refuses_a_folder_under_other_terms(
    arguments: tuple[str, ...],
    expected: str,
    finished: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, data in finished.items():
        (tmp_path / name).write_bytes(data)
    assert play(*arguments, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert contents(tmp_path) == finished


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [*lines[:2], lines[2][:40], *lines[3:]],
        lambda lines: [*lines, lines[0]],
        lambda lines: [lines[0].replace(b'"material:depth=1"', b'"somebody"').replace(b'"random"', b'"x"'), *lines[1:]],
        lambda lines: [lines[0].replace(b'"turns": "', b'"turns": "1-2 '), *lines[1:]],
        lambda lines: [b"[]", *lines],
        lambda lines: [lines[0].replace(b'"pairing": 0', b'"pairing": "0"'), *lines[1:]],
    ],
)
def test_a_damaged_line_is_told(
    damage: Callable[[list[bytes]], list[bytes]],
    finished: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "tournament.json").write_bytes(finished["tournament.json"])
    lines = b"\n".join(damage(finished["results.jsonl"].splitlines())) + b"\n"
    (tmp_path / "results.jsonl").write_bytes(lines)
    assert play(*AGREED, "--out", tmp_path, "--resume") == 2
    error = capsys.readouterr().err
    assert "results.jsonl, line" in error
    assert error.count("\n") == 1
    assert (tmp_path / "results.jsonl").read_bytes() == lines


def test_refuses_other_folders_and_writers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert play(*AGREED, "--out", tmp_path, "--resume") == 2
    assert "not empty and holds no tournament" in capsys.readouterr().err
    config = {"game": "checkers", "rules": "wcdf", "openings": "random:2", "seed": 7, "players": [], "games": 6}
    log = GameLog(tmp_path / "out", CHECKERS, config)
    try:
        assert play(*AGREED, "--out", tmp_path / "out", "--resume") == 2
        assert "one writer" in capsys.readouterr().err
    finally:
        log.close()


# --- outside engines --------------------------------------------------------------------------------------------------

ENGINE = """
import sys
GREETING = "param name=variant value=english type=enum values=english\\nwait"
ANSWERS = {"hub": GREETING, "init": "ready"}
asked = 0
for line in sys.stdin:
    command = line.split()[0]
    if command in ANSWERS:
        print(ANSWERS[command], flush=True)
    elif command == "go":
        asked += 1
        if FAULT == "crash":
            sys.exit(3)
        print("done move=1-32", flush=True)
    elif command == "quit":
        break
"""


@pytest.mark.parametrize("fault", ["crash", "illegal move"])
def test_an_engines_faults_are_told_and_lose(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "engine.py"
    script.write_text(f"FAULT = {fault!r}\n{ENGINE}")
    engine = f"hub:{shlex.join([sys.executable, str(script)])}"
    assert play("checkers", engine, "random", "--games", 4, "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["endings"] == {fault: 4}
    assert [(player["player"], player["points"], player["forfeits"]) for player in result["players"]] == [
        ("random", 4, 0),
        (engine, 0, 4),
    ]
    assert captured.err.count("forfeits a game") == 1
