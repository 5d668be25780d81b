"""The GTP engine: text, every command, the end of the game, and noise that ends nothing."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agents.analysis import Analysis, PlayerError, Progress
from agents.gtp.protocol import parse_command
from agents.gtp.serve import serve
from games import go
from games.rules import Game, State
from tests.gtp_controller import INFO, Controller, Thinker

ROOT = Path(__file__).resolve().parent.parent


# --- commands -------------------------------------------------------------------------------------------------------


REQUIRED = """
    protocol_version name version known_command list_commands quit boardsize clear_board komi play genmove undo
    time_settings time_left fixed_handicap place_free_handicap set_free_handicap final_score final_status_list loadsgf
    reg_genmove showboard kgs-genmove_cleanup lz-analyze kata-analyze kata-genmove_analyze list_stones all_legal
    is_legal gogui-analyze_commands
"""


def test_what_the_standard_requires_is_there(controller: Controller) -> None:
    listed = controller.ask("list_commands").removeprefix("= ").split()
    assert len(listed) == len(set(listed)) and set(REQUIRED.split()) <= set(listed)
    assert controller.ask("1 protocol_version") == "=1 2"
    assert controller.ask("2147483647 name") == "=2147483647 Playfield"
    for name in REQUIRED.split():
        assert controller.ask(f"known_command {name}") == "= true"
    assert controller.ask("known_command nonsense") == "= false"


NO_SUCH_RULES = (
    "? unknown rules; there are chinese, chinese-ogs, chinese-kgs, tromp-taylor, aga, bga, french, new-zealand, "
    "situational, simple-ko, all count area"
)
SCRIPTS = {
    "sizes": [
        ("boardsize 25", "? unacceptable size"),
        ("boardsize 0", "? unacceptable size"),
        ("boardsize 17", "? unacceptable size"),  # the player's, not ours
        ("boardsize 13", "="),
        ("query_boardsize", "= 13"),
        ("rectangular_boardsize 7 5", "="),
        ("query_boardsize", "= 7 5"),
        ("play b G5", "="),
        ("play b A6", "? invalid coordinate; expected play COLOR VERTEX"),
        ("boardsize", "? syntax error; expected boardsize SIZE"),
        ("boardsize nine", "? expected a whole number from 0 to 1000000000; expected boardsize SIZE"),
    ],
    "moves": [
        ("play b D4", "="),
        ("play B e5", "="),  # the same colour twice
        ("play white pass", "="),
        ("play w D4", "? illegal move"),
        ("play w I5", "? invalid coordinate; expected play COLOR VERTEX"),
        ("play w K5", "? invalid coordinate; expected play COLOR VERTEX"),
        ("play green E4", "? invalid color; expected play COLOR VERTEX"),
        ("play w", "? syntax error; expected play COLOR VERTEX"),
        ("list_stones black", "= E5 D4"),
        ("move_history", "= white pass\nblack E5\nblack D4"),
        ("last_move", "= white pass"),
        ("undo", "="),
        ("gg-undo 3", "? cannot undo"),
        ("gg-undo 2", "="),
        ("undo", "? cannot undo"),
        ("list_stones b", "="),
        ("genmove b", "= E5"),
        ("genmove b", "= F5"),
        ("reg_genmove w", "= G5"),
        ("color G5", "= empty"),
        ("color F5", "= black"),
        ("countlib F5", "= 6"),
        ("countlib A1", "? no stone there"),
    ],
    "ko and suicide": [
        ("set_position b D5 b C4 b D3 b E4 w E5 w F4 w E3", "="),
        ("play w D4", "="),  # takes E4
        ("captures w", "= 1"),
        ("captures b", "= 0"),
        ("is_legal b E4", "= 0"),
        ("play b E4", "? illegal move"),
        ("is_legal b pass", "= 1"),
        ("play b pass", "="),
        ("play w pass", "="),
        ("is_legal b E4", "= 0"),  # the board before White's capture would be back
        ("kata-set-rules chinese", "="),  # KataGo's has simple ko
        ("is_legal b E4", "= 1"),
        ("kgs-rules new_zealand", "="),
        ("time_settings 2147483647 0 0", "="),
        ("kgs-rules chinese", "="),
        ("is_legal b E4", "= 0"),
        ("kata-set-rules simple-ko", "="),
        ("play b E4", "="),
        ("captures black", "= 1"),
        ("set_position b A2 b B1", "="),
        ("is_legal w A1", "= 0"),
        ("is_legal b A1", "= 1"),
    ],
    "a colour that plays twice after a ko": [
        ("set_position b B3 b C4 b C2 w C3 w D4 w D2 w E3", "="),
        ("play b D3", "="),  # takes C3
        ("is_legal w C3", "= 0"),
        ("play b C3", "="),
    ],
    "rules in mid-game": [
        ("kata-set-rules situational", "="),
        ("set_position b B3 b C4 b C2 w C3 w D4 w D2 w E3", "="),
        ("play b A9", "="),
        ("play b D3", "="),  # takes C3
        ("play w pass", "="),
        ("play b pass", "="),
        ("is_legal w C3", "= 1"),  # the board that Black left would be back, but White would leave it
        ("kata-set-rules chinese-ogs", "="),
        ("is_legal w C3", "= 0"),
        ("kata-set-rules situational", "="),
        ("play w C3", "="),
        ("kata-set-rules chinese-ogs", "? move 5 of this game is not legal under the rules chinese"),
        ("list_stones w", "= D4 C3 E3 D2"),
        ("is_legal b D3", "= 0"),
        ("undo", "="),
        ("kata-set-rules chinese-ogs", "="),
    ],
    "rules": [
        ("komi 6.5", "="),
        ("get_komi", "= 6.5"),
        ("komi -0", "="),
        ("get_komi", "= 0"),
        ("komi 0.3", "? komi 0.3 is not a multiple of 0.5 from -1000 to 1000"),
        ("komi nan", "? syntax error; expected komi KOMI"),
        ("komi 1e3", "? syntax error; expected komi KOMI"),
        ("kata-set-rules tromp-taylor", "="),
        ("kata-set-rules japanese", NO_SUCH_RULES),
        ('kata-set-rules {"ko":"SITUATIONAL", "scoring":"AREA"}', "="),
        ('kata-set-rules {"ko":"SIMPLE","scoring":"TERRITORY"}', NO_SUCH_RULES),
        ('kata-set-rules {"ko":"SITUATIONAL","scoring":"AREA","hasButton":true}', NO_SUCH_RULES),
        ('kata-set-rules {"ko":"SITUATIONAL","scoring":"AREA","whiteHandicapBonus":"2N"}', NO_SUCH_RULES),
        ("kata-set-rules chinese-ogs", "="),
        ("kata-set-rule ko SIMPLE", "="),
        ("kata-set-rule whiteHandicapBonus N-1", "="),
        ("kata-set-rule scoring TERRITORY", "? 'TERRITORY' is no scoring with these rules: kata-set-rules sets all"),
        (
            "kata-get-rules",
            '= {"hasButton": false, "ko": "SIMPLE", "scoring": "AREA", "suicide": false, "tax": "NONE", '
            '"whiteHandicapBonus": "N-1"}',
        ),
        (
            "kata-set-rule colour red",
            "? unknown rule; there are hasButton, ko, scoring, suicide, tax, whiteHandicapBonus",
        ),
        ("kata-set-rule ko", "? syntax error; expected kata-set-rule RULE VALUE"),
        ("kgs-rules Chinese", "="),
        ("kgs-rules chinese-ogs", "? unknown rules; there are chinese, aga, new_zealand, all count area"),
    ],
    "handicap": [
        ("fixed_handicap 10", "? invalid number of stones"),
        ("fixed_handicap 1", "? invalid number of stones"),
        ("fixed_handicap 3", "= C3 G7 C7"),
        ("get_handicap", "= 3"),
        ("fixed_handicap 3", "? board not empty"),
        ("clear_board", "="),
        ("get_handicap", "= 0"),
        ("set_free_handicap D4 D4", "? bad vertex list"),
        ("set_free_handicap D4", "? bad vertex list"),
        ("set_free_handicap D4 pass", "? bad vertex list"),
        ("set_free_handicap D4 F6 H8", "="),
        ("get_handicap", "= 3"),
        ("undo", "? cannot undo"),
        ("boardsize 7", "="),
        ("place_free_handicap 9", "= C3 E5 C5 E3 D4 D5 C4 E4 D3"),
        ("boardsize 5", "="),
        ("place_free_handicap 2", "= C3 B4"),
        ("boardsize 9 13", "="),
        ("query_boardsize", "= 9 13"),
        ("place_free_handicap 3", "= C11 G3 G8"),
    ],
    "no commands": [
        ("nonsense", "? unknown command"),
        ("5 PLAY b D4", "?5 unknown command"),
        ("6", "?6 unknown command"),
        ("known_command", "? one name is asked for at a time; expected known_command NAME"),
        ("loadsgf /no/such/file", "? cannot load file: there is no such file"),
        ("loadsgf", "? syntax error; expected loadsgf FILE [MOVE_NUMBER]"),
        ("final_status", "? syntax error; expected final_status VERTEX"),
        ("time_left b x 1", "? expected seconds, at most 2147483647; expected time_left COLOR SECONDS STONES"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_commands(controller: Controller, name: str) -> None:
    for line, expected in SCRIPTS[name]:
        assert controller.ask(line) == expected, line


def test_all_legal(controller: Controller) -> None:
    assert len(controller.ask("all_legal b").split()) == 1 + 81
    controller.tell("rectangular_boardsize 2 1", "play b A1")
    assert controller.ask("all_legal w") == "= B1"
    assert controller.ask("all_legal b") == "="


def test_each_size_of_board_may_have_a_player_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []

    def make(spec: str, game: Game, seed: int) -> Thinker:
        made.append(spec)
        return Thinker([0])

    read, write = os.pipe()
    os.write(write, b"boardsize 9\ngenmove b\nquit\n")
    monkeypatch.setattr("agents.gtp.serve.make_player", make)
    with os.fdopen(read) as piped, os.fdopen(write, "w"):
        monkeypatch.setattr("sys.stdin", piped)
        serve(lambda game: f"for {game.name}", go.game(19), None, 0.05, 0)
    assert made == ["for go-19x19", "for go-9x9"]
    assert capsys.readouterr().out == "=\n\n= A9\n\n=\n\n"


def test_showboard(controller: Controller) -> None:
    controller.tell("boardsize 5", "play b C3", "play w D3")
    first, *lines = controller.ask("showboard").split("\n")
    assert first.strip() == "="
    assert lines[0].startswith("   A B C D E ") and "last move D3" in lines[0]
    assert lines[3].startswith(" 3 . . X(O). 3 ") and lines[3].endswith(" komi 7.5")


def test_a_record_that_cannot_be_written_whole_leaves_the_old_one(
    controller: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "game.sgf"
    controller.tell("komi 1000", f"printsgf {file}")
    old = file.read_bytes()
    monkeypatch.setattr("os.write", no_space)
    assert controller.ask(f"printsgf {file}") == "? cannot write file"
    assert file.read_bytes() == old and list(tmp_path.iterdir()) == [file]
    controller.tell("komi 0", f"loadsgf {file}")
    assert controller.ask("get_komi") == "= 1000"


def no_space(descriptor: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_records_are_loaded_and_written(controller: Controller, tmp_path: Path) -> None:
    controller.tell("komi 5.5", "set_free_handicap C3 G7", "play w E5", "play b C7", "play w pass")
    text = controller.ask("printsgf").removeprefix("= ")
    file = tmp_path / "game.sgf"
    file.write_text(text)
    controller.tell("boardsize 13", "komi 0", f"loadsgf {file}")
    assert controller.ask("printsgf").removeprefix("= ") == text
    assert controller.ask("get_komi") == "= 5.5"
    controller.tell("undo", f"loadsgf {file} 2")
    assert controller.ask("move_history") == "= white E5"
    assert controller.ask(f"printsgf {tmp_path / 'its game.sgf'}") == "="
    assert (tmp_path / "its game.sgf").read_text().strip() == controller.ask("printsgf -").removeprefix("= ")
    assert controller.ask(f"printsgf {tmp_path / 'no' / 'x.sgf'}") == "? cannot write file"
    assert controller.ask(f"printsgf {file.with_suffix('.txt')}") == "? cannot write file: its name must end in .sgf"
    assert not file.with_suffix(".txt").exists()
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ""):
        assert controller.ask(f"loadsgf {tmp_path / name}") == "? cannot load file: no regular file"
    (tmp_path / "huge").write_bytes(b" " * 5_000_000)
    assert controller.ask(f"loadsgf {tmp_path / 'huge'}").startswith("? cannot load file: 5,000,000 bytes; an SGF file")
    named = tmp_path / "a game 2"
    named.write_text(text)
    for arguments, count in ((f"{named}", 3), (f"{named} 3", 2)):
        controller.tell(f"loadsgf {arguments}")
        assert controller.ask("move_history").count("\n") == count - 1
    named.write_text("(;GM[1]SZ[9];B[cc];B[gg];W[ee])")
    controller.tell(f"loadsgf {named} 2")
    assert "Black (X) to play" in controller.ask("showboard"), "the record's own move comes next"
    controller.tell(f"loadsgf {file} 2")
    file.write_text("(;GM[1]SZ[9];B[aa];W[aa])")
    refusal = "? cannot load file: move 2 of this game is not legal under the rules chinese"
    assert controller.ask(f"loadsgf {file}") == refusal
    file.write_text("(;GM[1]SZ[17];B[aa])")
    assert controller.ask(f"loadsgf {file}") == "? cannot load file: unacceptable size"
    assert controller.ask("move_history") == "= white E5", "the game is as before"


def test_the_clock_reaches_the_player(controller: Controller, thinker: Thinker) -> None:
    controller.ask("genmove b")
    controller.tell("time_settings 0 5 1")
    controller.ask("genmove w")
    controller.tell("kgs-time_settings absolute 120", "time_left b 0 0")
    controller.ask("genmove b")
    controller.tell("kgs-time_settings none")
    controller.ask("reg_genmove w")
    assert thinker.seconds[2:] == [None, pytest.approx(4.9), 0.01, None]


def test_a_player_that_halves_its_visits_keeps_to_a_clock() -> None:
    controller = Controller("rollouts:visits=16,gumbel=1", size=5)
    controller.tell("time_settings 1 0 0")
    assert controller.ask("genmove b").startswith("= ")
    controller.send("lz-analyze w 1")
    assert controller.hear_line() == "="
    assert INFO.match(controller.hear_line())
    controller.send("name")
    while controller.hear() != "= Playfield":
        pass
    assert controller.ends()


# --- the end of the game --------------------------------------------------------------------------------------------

# Black's wall in column E, White's in F; a black stone is dead among White's, a white one among Black's.
FINISHED = ["play b B7", "play w B5", "play b H3"]
for _row in range(1, 10):
    FINISHED += [f"play b E{_row}", f"play w F{_row}"]
for _row in (2, 8):
    FINISHED += [f"play b C{_row}", f"play w H{_row}"]


def test_the_score_and_the_dead_stones(controller: Controller) -> None:
    controller.tell(*FINISHED)
    assert controller.ask("final_score") == "= B+1.5"  # 5 columns to 4 are 9 points, less 7.5
    assert controller.ask("final_status_list dead").split() == ["=", "B5", "H3"]
    alive = controller.ask("final_status_list alive").removeprefix("= ").splitlines()
    assert "E9 E8 E7 E6 E5 E4 E3 E2 E1" in alive and "B5" not in alive
    assert controller.ask("final_status_list seki") == "="
    territory = controller.ask("final_status_list white_territory").split()
    assert "H3" in territory and "G5" in territory and len(territory) == 1 + 36 - 11
    assert controller.ask("final_status B5") == "= dead"
    assert controller.ask("final_status A1") == "= black_territory"
    controller.tell("kata-set-rules tromp-taylor")
    assert controller.ask("final_score") != "= B+1.5", "there dead stones stay on the board"
    assert controller.ask("final_status_list dead") == "="


def test_rules_that_pay_white_for_a_handicap(controller: Controller) -> None:
    controller.tell("komi 0.5", "set_free_handicap A1 J1 A9", "play w E5", "kgs-rules chinese")
    bonus = [("tromp-taylor", 0), ("aga", 2), ("chinese", 3)]
    margins = []
    for rules, _ in bonus:
        controller.tell(f"kata-set-rules {rules}")
        winner, margin = controller.ask("final_score").removeprefix("= ").split("+")
        margins.append(float(margin) if winner == "B" else -float(margin))
    assert controller.ask("get_komi") == "= 0.5"
    assert json.loads(controller.ask("kata-get-rules").removeprefix("= "))["whiteHandicapBonus"] == "N"
    assert margins[1] - margins[2] == 1


def test_a_handicap_is_the_stones_that_are_there(controller: Controller, tmp_path: Path) -> None:
    file = tmp_path / "game.sgf"
    controller.tell("kata-set-rules chinese-ogs")
    for tags, stones in (("HA[3]", 0), ("AB[gc][cg][cc]", 3), ("AB[gc][cg]AW[cc]", 0)):
        file.write_text(f"(;GM[1]SZ[9]KM[0.5]{tags};W[ee])")
        controller.tell(f"loadsgf {file}")
        assert controller.ask("get_handicap") == f"= {stones}"
    controller.tell("clear_board", "set_position b C3 b G7")
    assert controller.ask("get_handicap") == "= 2"


def test_it_does_not_resign_where_a_pass_wins(controller: Controller, thinker: Thinker) -> None:
    controller.tell(*FINISHED)
    thinker.wanted, thinker.value = [0], -1.0
    for _ in range(3):
        controller.tell("play w pass")
        assert controller.ask("genmove b") == "= pass"
        controller.tell("undo", "undo")


def test_it_passes_when_the_opponent_has_passed_and_it_wins(controller: Controller, thinker: Thinker) -> None:
    controller.tell(*FINISHED, "play w pass")
    thinker.wanted = [0]
    assert controller.ask("reg_genmove b") == "= pass"
    controller.tell("komi 9.5")
    assert controller.ask("reg_genmove b") == "= A9", "it would lose"
    controller.tell("komi 7.5", "undo")
    assert controller.ask("reg_genmove b") == "= A9", "nobody has passed"


def test_it_takes_dead_stones_off_when_it_is_asked_to(controller: Controller, thinker: Thinker) -> None:
    controller.tell(*FINISHED, "play w pass")
    thinker.wanted = [81]
    assert controller.ask("reg_genmove b") == "= pass"
    moves = {controller.ask("kgs-genmove_cleanup b").split()[1] for _ in range(4)}
    assert moves == {"A5", "B4", "B6", "C5"}
    assert "B5" not in controller.ask("list_stones w")
    assert controller.ask("kgs-genmove_cleanup b") == "= pass"


def test_it_never_fills_its_own_eyes(controller: Controller, thinker: Thinker) -> None:
    controller.tell("boardsize 5", "set_position b B1 b B2 b A3 b B4 b A5 b B5 b A2 b B3")
    thinker.wanted = [20, 5]  # A1 and A4: the eyes
    assert controller.ask("genmove b") == "= pass"
    thinker.wanted = [20, 12]
    assert controller.ask("genmove b") == "= C3"
    thinker.wanted = [20]
    assert controller.ask("genmove w") == "= pass", "suicide"


def black_stones(count: int) -> list[str]:
    """Return commands that place so many of Black's stones, White passing once."""
    commands = [f"play b {'ABCDEFGHJ'[number % 9]}{9 - 2 * (number // 9)}" for number in range(count)]
    return [commands[0], "play w pass", *commands[1:]]


@pytest.mark.parametrize(
    ("before", "moves", "expected"),
    [
        ((), 24, "resign"),
        (("set_free_handicap A1 J1",), 24, "D4"),
        (("play b A1", "play b J1"), 24, "D4"),  # a handicap, too
        ((), 4, "D4"),
    ],
)
def test_resignation(before: tuple[str, ...], moves: int, expected: str) -> None:
    thinker = Thinker([action for action in range(81) if action % 2], value=0.9)  # White's chance is 5 %
    controller = Controller(thinker)
    controller.tell(*before, *black_stones(moves))
    answers = [controller.ask("genmove w").split()[1] for _ in range(3)]
    assert "resign" not in answers[:2]
    assert (answers[2] == "resign") == (expected == "resign")
    assert controller.ends()


def test_one_engine_for_both_sides_resigns_too() -> None:
    controller = Controller(Thinker(list(range(60, 81)), value=0.9))  # White's chance is 5 %
    controller.tell(*black_stones(24))
    answers = [controller.ask(f"genmove {colour}") for colour in "wbwbw"]
    assert answers[4] == "= resign" and "= resign" not in answers[:4]
    assert controller.ends()


def test_a_player_that_fails_is_told_and_ends_nothing(controller: Controller, thinker: Thinker) -> None:
    def fail(state: State, seconds: float | None = None, on_progress: Progress | None = None) -> Analysis:
        raise PlayerError("out of ideas")

    thinker.search = fail  # type: ignore[method-assign]
    assert controller.ask("genmove b") == "? out of ideas"
    thinker.search = None  # type: ignore[method-assign,assignment]
    assert controller.ask("3 genmove b").startswith("?3 internal error: TypeError")
    assert controller.ask("name") == "= Playfield"


# --- noise ----------------------------------------------------------------------------------------------------------


def test_each_command_line_has_one_response(controller: Controller) -> None:
    generator = random.Random(3)
    known = controller.ask("list_commands").removeprefix("= ").split()
    known.remove("quit")
    words = [
        *known,
        "b",
        "w",
        "D4",
        "pass",
        "1",
        "-5",
        "99999999999",
        "0.5",
        "é",
        "\x00",
        "x" * 3000,
        "#",
        "{",
        '"',
        "\t",
    ]
    for number in range(500):
        line = " ".join(generator.choice(words) for _ in range(generator.randrange(1, 5)))
        controller.send(f"{number} {line}", "")  # the empty line ends an analysis
        assert re.match(rf"[=?]{number}\b", controller.hear()), line
    controller.send("last_one")
    assert controller.hear() == "? unknown command"


def test_random_bytes_do_not_end_the_process() -> None:
    generator = random.Random(7)
    noise = bytes(generator.randrange(256) for _ in range(30_000)).replace(b"quit", b"exit")
    lines = [line for line in noise.split(b"\n") if parse_command(line.decode(errors="replace"))]
    engine = subprocess.run(
        [sys.executable, str(ROOT / "play.py"), "go", "--gtp", "--bot", "random", "--size", "9"],
        input=noise + b"\n77 name\n", capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert engine.returncode == 0
    responses = engine.stdout.decode().split("\n\n")
    assert responses[-2:] == ["=77 Playfield", ""]
    assert len(responses) - 2 == len(lines)
    assert all(re.match(r"[=?]", text) for text in responses[:-1])


def test_an_answer_that_a_locale_cannot_write_ends_nothing() -> None:
    engine = subprocess.run(
        [sys.executable, str(ROOT / "play.py"), "go", "--gtp", "--bot", "random", "--size", "5"],
        input="kata-analyze \N{SNOWMAN} x\n7 name\n".encode(), capture_output=True, timeout=120, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert engine.stdout.decode().endswith("=7 Playfield\n\n")


def test_maps_of_a_board_that_only_a_pass_is_left_on(controller: Controller) -> None:
    controller.tell("boardsize 1")
    assert controller.ask("playfield-policy").startswith("= TEXT")


def test_json_rules_are_told(controller: Controller) -> None:
    controller.tell("kata-set-rules tromp-taylor")
    rules = json.loads(controller.ask("kata-get-rules").removeprefix("= "))
    assert rules["ko"] == "POSITIONAL" and rules["suicide"] is True and rules["scoring"] == "AREA"
