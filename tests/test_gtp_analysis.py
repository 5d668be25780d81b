"""The GTP engine's analysis: reports that input ends, moves under analysis, and GoGui's maps."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from agents.analysis import Analysis, MoveAnalysis, Progress
from agents.gtp.analysis import UNTRIED_MOVES, Reporter, Request
from agents.gtp.gogui import heat
from games import go
from games.compiled import NDArray
from games.rules import State, States
from tests.gtp_controller import INFO, Controller, Thinker


@pytest.mark.parametrize("arguments", ["b 2", "2 B", "interval 2", "2", "black interval 2 minmoves 1 maxmoves 9"])
@pytest.mark.parametrize("command", ["lz-analyze", "kata-analyze"])
def test_analysis_goes_on_until_something_comes_in(controller: Controller, command: str, arguments: str) -> None:
    controller.send(f"8 {command} {arguments}")
    assert controller.hear_line() == "=8", "at once"
    for _ in range(3):
        line = controller.hear_line()
        infos = re.findall(r"info .*?(?= info |$)", line)
        matches = [INFO.fullmatch(info) for info in infos]
        assert [match[1] for match in matches if match] == ["E5", "F5", "G5"], line
        assert [match[7] for match in matches if match] == ["0", "1", "2"]
        assert matches[0] is not None and matches[0][3] == ("5000" if command == "lz-analyze" else "0.500000")
        assert infos[0].endswith("pv E5 J1")
    controller.send("9 name")
    while controller.hear_line():
        pass  # an empty line ends the analysis
    assert controller.hear() == "=9 Playfield"


def test_an_empty_line_ends_analysis_too(controller: Controller) -> None:
    controller.send("kata-analyze 1 ownership true rootInfo true")
    assert controller.hear_line() == "="
    first = controller.hear_line()
    owners = first.partition("ownership ")[2].split()
    assert len(owners) == 81 and all(-1 <= float(owner) <= 1 for owner in owners)
    assert re.search(r" rootInfo visits 60 winrate 0.500000 scoreLead -?[\d.]+ ownership ", first)
    controller.send("")
    controller.hear()
    assert controller.ask("known_command stop") == "= true"


def test_analysis_takes_the_movers_view(controller: Controller, thinker: Thinker) -> None:
    thinker.value = 0.5
    controller.tell("komi 0", "play b E4", "play b E6")
    leads = {}
    for colour, rate in (("b", "0.75"), ("w", "0.25")):
        controller.send(f"kata-analyze {colour} 1")
        controller.hear_line()
        line = controller.hear_line()
        assert f"winrate {rate}" in line
        leads[colour] = float(line.split("scoreLead ")[1].split()[0])
        controller.send("stop")
        while controller.hear() != "=":
            pass
    assert leads["b"] > 0 > leads["w"]


def test_analysis_leaves_out_what_it_is_told_to(controller: Controller) -> None:
    for restriction, expected in (
        ("avoid b E5,pass 1", ["F5", "G5"]),
        ("allow b G5 1", ["G5"]),
        ("avoid w E5 1", ["E5", "F5", "G5"]),
        ("maxmoves 1", ["E5"]),
    ):
        controller.send(f"lz-analyze b 1 {restriction}")
        controller.hear_line()
        assert re.findall(r"move (\S+)", controller.hear_line()) == expected
        controller.send("stop")
        while controller.hear() != "=":
            pass


@pytest.mark.parametrize(
    ("restriction", "expected"),
    [
        ("avoid b E5 1", "F5"),
        ("allow b G5,F5 1", "F5"),
        ("allow b A1 1", "A1"),  # which the player did not think of
        ("allow b pass 1", "pass"),
        ("avoid w E5 1", "E5"),
        ("allow b E5 1 avoid b E5 1", "pass"),
    ],
)
def test_moves_under_analysis_keep_to_what_is_permitted(
    controller: Controller, restriction: str, expected: str
) -> None:
    assert controller.ask(f"kata-genmove_analyze b {restriction}").endswith(f"\nplay {expected}")


def test_a_search_of_some_moves_is_warmed_up() -> None:
    shares: list[float] = []  # of the legal moves that may be searched

    class Selective(Thinker):
        def search_among(
            self,
            state: State,
            permits: Callable[[int], bool],
            seconds: float | None = None,
            on_progress: Progress | None = None,
        ) -> Analysis:
            legal = go.game(9).legal_actions(state)
            shares.append(len(list(filter(permits, legal))) / len(legal))
            return self.search(state, seconds, on_progress)

    assert Controller(Selective([40])).ends()
    assert len(shares) == 1 and 0 < shares[0] < 1


def test_a_move_that_never_lost_is_not_certain(controller: Controller) -> None:
    lines: list[str] = []
    moves = tuple(MoveAnalysis(action, visits, 0.1, value) for action, visits, value in ((0, 100, 1.0), (1, 1, -1.0)))
    Reporter(controller.session, Request(0, 1.0, True), lines.append).report(Analysis(0, 1.0, moves=moves))
    bounds = [float(bound) for bound in re.findall(r"lcb ([\d.]+)", lines[0])]
    assert bounds == pytest.approx([100 / (100 + 1.959964**2), 0.0], abs=1e-6)


def test_a_long_list_is_cut_and_few_moves_have_leads_of_their_own(controller: Controller) -> None:
    def reported(visits: int, tried: int, **wishes: int) -> list[str]:
        lines: list[str] = []
        moves = tuple(MoveAnalysis(action, visits if action < tried else 0, 0.01, 0.0) for action in range(81))
        reporter = Reporter(controller.session, Request(0, 1.0, True, **wishes), lines.append)
        reporter.report(Analysis(0, 0.0, moves=moves))
        return re.findall(r"scoreLead (\S+)", lines[0])

    leads = reported(0, 0)
    assert len(leads) == UNTRIED_MOVES and len(set(leads)) == 1, "a player that foresees nothing"
    assert len(reported(0, 0, least_moves=40)) == 40
    assert len(reported(0, 0, most_moves=5)) == 5
    assert len(reported(3, 30)) == 30


def test_moves_that_come_up_later_have_the_one_lead_that_there_is(controller: Controller) -> None:
    lines: list[str] = []
    reporter = Reporter(controller.session, Request(0, 1.0, True), lines.append)
    for actions in ([40, 41], [40, 50, 51], [60]):
        reporter.report(Analysis(40, 0.0, moves=tuple(MoveAnalysis(action, 3, 0.1, 0.0) for action in actions)))
    assert len({lead for line in lines for lead in re.findall(r"scoreLead (\S+)", line)}) == 1


def test_the_move_that_is_chosen_comes_first(controller: Controller) -> None:
    lines: list[str] = []
    moves = (MoveAnalysis(40, 9, 0.5, 0.0), MoveAnalysis(41, 3, 0.4, 1.0), MoveAnalysis(42, 1, 0.1, 0.0))
    Reporter(controller.session, Request(0, 1.0, True), lines.append).report(Analysis(41, 0.0, moves=moves))
    assert re.findall(r"move (\S+)", lines[0]) == ["F5", "E5", "G5"]


def test_a_player_that_foresees_the_points_tells_the_lead() -> None:
    class Foresighted(Thinker):
        def owners(self, states: States) -> NDArray:
            return np.full((len(states), 81), 0.5, np.float32)

    controller = Controller(Foresighted([40]))
    controller.tell("komi 6.5")
    for colour, sign in (("b", 1), ("w", -1)):
        controller.send(f"kata-analyze {colour} 1 ownership true rootInfo true")
        controller.hear_line()
        line = controller.hear_line()
        assert {float(lead) for lead in re.findall(r"scoreLead (\S+)", line)} == {sign * 34.0}
        assert {*line.partition("ownership ")[2].split()} == {f"{sign * 0.5:.3f}"}
        controller.send("stop")
        while controller.hear() != "=":
            pass
    assert controller.ask("playfield-ownership").split("\n")[0] == "= " + " ".join(["0.50"] * 9)


@pytest.mark.parametrize("line", ["kata-analyze nonsense", "lz-analyze b 10 minmoves", "kata-analyze avoid b Z9 1"])
def test_analysis_refuses(controller: Controller, line: str) -> None:
    assert re.fullmatch(r"\? .*; expected (lz|kata)-analyze \[COLOR\].*", controller.ask(line))


@pytest.mark.parametrize("command", ["lz-genmove_analyze", "kata-genmove_analyze"])
def test_moves_under_analysis(controller: Controller, command: str) -> None:
    answer = controller.ask(f"4 {command} b 1")
    assert answer.startswith("=4\ninfo move E5 visits 30 ") and answer.count("\n") == 2
    assert answer.endswith("\nplay E5")
    assert controller.ask("list_stones b") == "= E5"


def test_a_player_that_does_not_search_is_analysed_once() -> None:
    controller = Controller("random")
    controller.send("lz-analyze 1")
    assert controller.hear_line() == "="
    assert INFO.fullmatch(controller.hear_line())
    controller.send("name")
    assert (controller.hear(), controller.hear()) == ("", "= Playfield")
    assert controller.ends()


def test_a_map_goes_from_its_least_to_its_most(controller: Controller) -> None:
    lines = heat(controller.session, {0: 0.4, 1: 0.45, 2: 0.5}, "winrate").split("\n")
    assert lines[:3] == ["COLOR #ff4000 C9", "COLOR #fc9864 B9", "COLOR #faf0c8 A9"]
    no_values = Controller("random").ask("playfield-values")
    assert no_values == "? this player tells no winrate of single moves"


def test_maps_for_gogui(controller: Controller) -> None:
    listed = controller.ask("gogui-analyze_commands").removeprefix("= ").split("\n")
    commands = [line.split("/")[2] for line in listed if line]
    known = controller.ask("list_commands").split()
    assert all(command.split()[0] in known for command in commands)
    for name, expected in (("playfield-policy", "E5 50 F5 33 G5 17"), ("playfield-visits", "E5 50 F5 33 G5 17")):
        heat = controller.ask(name)
        assert f"LABEL {expected}\n" in heat and "COLOR #ff4000 E5\n" in heat
    assert "LABEL E5 50" in controller.ask("playfield-values")
    rows = controller.ask("playfield-ownership").removeprefix("= ").split("\n")
    assert [len(row.split()) for row in rows if row] == [9] * 9
    assert controller.ask("playfield-legal").count("x") == 81
