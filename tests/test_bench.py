"""The benchmarks: what they count is exact, what they print is whole, what they refuse is told in a line. No times."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.alphabeta import Searcher, SearchLimits
from agents.evaluators import material, save_evaluator
from agents.evolution.config import PRESETS
from benchmarks import alphabeta, bench, evaluate, peers, perft, timing
from benchmarks.inference import HALF_PRECISION
from benchmarks.positions import PLIES, after_lines, random_lines
from benchmarks.subjects import SUBJECTS
from games import go
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.go import GO
from games.rules import apply, game_of
from nets.anaconda_layout import NUM_WEIGHTS
from nets.precision import has_matrix_units

ROOT = Path(__file__).resolve().parent.parent
MACHINE = {"cpu", "cores", "load", "python", "numba", "numpy", "torch"}
KINGS = "B:W18,24,27,28,K10,K15:B12,16,20,K22,K25,K29"


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Return what a subcommand prints with --json, its machine checked and left out."""
    assert bench.main([*map(str, arguments), "--repeats", "1", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(found.pop("machine")) == MACHINE
    assert found.pop("repeats") == 1
    return found


def assert_speed(row: dict[str, Any], name: str) -> None:
    """The best of a rate is the larger one, of a time the smaller one, and both are there."""
    best, median = row[name], row[f"{name}_median"]
    assert best >= median > 0 if name.endswith("_per_second") else 0 < best <= median


# --- each subject -----------------------------------------------------------------------------------------------------


def test_perft_counts_from_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "perft", "checkers", "--depth", 5)
    assert (found["game"], found["rules"], found["fen"]) == ("checkers", "endless", None)
    assert found["counts"] == [7, 49, 302, 1469, 7361]
    assert_speed(found, "nodes_per_second")
    assert [peer["name"] for peer in found["peers"]] == ["open_spiel", "pydraughts"]
    assert all("note" in peer or peer["agrees"] for peer in found["peers"])


def test_perft_counts_from_another_position_and_of_another_game(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "perft", "checkers", "--depth", 4, "--fen", KINGS, "--rules", "wcdf")
    assert (found["counts"], found["rules"]) == ([5, 38, 178, 1378], "wcdf")
    assert found["fen"] == "B:WK10,K15,18,24,27,28:B12,16,20,K22,K25,K29"
    assert found["peers"][0]["note"] in {"sets up no position", "not installed: pip install open_spiel"}
    found = document(capsys, "perft", "connect_four", "--depth", 4)
    assert (found["counts"], found["rules"]) == ([7, 49, 343, 2401], "standard")


def test_perft_counts_go_of_any_size_by_ko_rule(capsys: pytest.CaptureFixture[str]) -> None:
    for rules, last in (("simple", 1168), ("positional", 1088), ("situational", 1112)):
        found = document(capsys, "perft", "go", "--size", 2, "--rules", rules, "--depth", 7)
        assert (found["game"], found["rules"]) == ("go-2x2", rules)
        assert found["counts"] == [5, 21, 68, 156, 316, 604, last]
        assert [peer["name"] for peer in found["peers"] if "note" in peer] == ["open_spiel", "pydraughts"]
    found = document(capsys, "perft", "go", "--size", 3, "--rules", "simple-ko", "--depth", 4)
    assert (found["rules"], found["counts"]) == ("simple-ko", [10, 91, 738, 5281])
    assert all("note" in peer or peer["agrees"] for peer in found["peers"])
    found = document(capsys, "perft", "go-1x3", "--depth", 2)
    assert (found["game"], found["rules"], found["counts"]) == ("go-1x3", "chinese", [4, 11])


def test_playouts_of_go(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "playouts", "go", "--size", "5x6", "--seed", 3)
    assert (found["game"], found["rules"], found["seed"]) == ("go-5x6", "chinese", 3)
    assert_speed(found, "playouts_per_second")
    assert 20 < found["moves_per_playout"] < 70
    assert 0 < found["black_wins"] < 1
    (peer,) = found["peers"]
    if "note" not in peer:
        assert_speed(peer, "playouts_per_second")
        assert 10 < peer["moves_per_playout"] <= 60
    for rules in ("positional", "situational", "simple", "simple-ko"):
        found = document(capsys, "playouts", "go-2x3", "--rules", rules)
        assert (found["rules"], found["peers"][0].keys()) == (rules, {"name", "note"})


def test_alphabeta_searches_each_position_from_scratch(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "alphabeta", "checkers", "--depths", 2, 3, "--positions", 4, "--seed", 5)
    assert (found["game"], found["positions"], found["plies"], found["model"]) == ("checkers", 4, 14, None)
    rows = {(row["evaluator"], row["depth"]): row for row in found["results"]}
    assert list(rows) == [("material", 2), ("material", 3), ("anaconda", 2), ("anaconda", 3)]
    for row in rows.values():
        assert_speed(row, "nodes_per_second")
        assert_speed(row, "ms_per_move")
    states = after_lines(CHECKERS, random_lines(CHECKERS, 4, 5))
    fresh = [Searcher(CHECKERS, material()).search(state, SearchLimits(3)).nodes for state in states]
    assert rows["material", 3]["nodes"] == sum(fresh)
    assert rows["anaconda", 3]["nodes"] > rows["anaconda", 2]["nodes"] > 4


def test_alphabeta_searches_with_a_model_file_and_other_games(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    save_evaluator(file, np.zeros(NUM_WEIGHTS, np.float32), 1.5, {}, CHECKERS.version)  # material, as it happens
    found = document(capsys, "alphabeta", "checkers", "--depths", 3, "--positions", 3, "--model", tmp_path)
    assert found["model"] == str(tmp_path)
    counting, network = found["results"]
    assert counting["nodes"] == network["nodes"]
    found = document(capsys, "alphabeta", "connect_four", "--depths", 2, "--positions", 3)
    assert [row["evaluator"] for row in found["results"]] == ["lines"]


@pytest.mark.parametrize("game", [["go", "--size", 5], ["checkers"]])
def test_search_tells_the_share_of_the_network(capsys: pytest.CaptureFixture[str], game: list[object]) -> None:
    settings = ("--network", "resnet-1x4", "--trees", 3, "--leaves", 2, "--visits", 32)
    found = document(capsys, "search", *game, *settings)
    assert found["game"] == ("go-5x5" if "--size" in game else "checkers")
    rows = {(row["evaluator"], row["trees"], row["leaves"]): row for row in found["results"]}
    assert list(rows) == [("dummy", 3, 1), ("dummy", 1, 2), ("network", 3, 1), ("network", 1, 2)]
    assert [row["simulations"] for row in rows.values()] == [96, 32, 6, 32]
    for row in rows.values():
        assert_speed(row, "simulations_per_second")
        if row["evaluator"] == "network":
            assert 0 < row["network_share"] < 1 and row["of_own_batch"] > 0 and row["of_full_batch"] > 0
    assert [row["batch"] for row in found["inference"]] == [3, 2]
    for row in found["inference"]:
        assert_speed(row, "positions_per_second")
    peer = found["peers"][0]
    assert peer["name"] == "open_spiel" and ("note" in peer or peer["simulations"] == 32)


def test_evaluate_gives_the_same_values_by_every_program(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "evaluate")
    programs = [(row["program"], row["batch"]) for row in found["results"]]
    assert programs == [("numba", 1), ("torch", 1), ("torch", 256), ("numpy", 1), ("numpy", 256)]
    for row in found["results"]:
        assert row["largest_difference"] < 1e-5
        assert_speed(row, "evaluations_per_second")


def test_inference_gives_the_same_logits_by_every_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--network", "resnet-2x8", "--sizes", 5, "--batches", 1, 3)
    found = document(capsys, "inference", *arguments)
    runtimes = {"module", "torch", "onnxruntime", "openvino", "winograd", "bfloat16", "cuda"}
    assert {row["runtime"] for row in found["results"]} | found["absent"].keys() == runtimes
    assert {"module", "torch", "winograd"} <= {row["runtime"] for row in found["results"]}
    assert found["peak_gigaflops"].keys() == {"float32"} | ({"bfloat16"} if has_matrix_units() else set())
    assert min(found["peak_gigaflops"].values()) > 0
    for row in found["results"]:
        assert (row["size"], row["batch"]) in {(5, 1), (5, 3)}
        assert row["largest_difference"] < (0.1 if row["runtime"] in (*HALF_PRECISION, "cuda") else 1e-4)
        assert row["share_of_peak"] is None or row["share_of_peak"] > 0
        assert_speed(row, "positions_per_second")


def test_training_takes_whole_steps(capsys: pytest.CaptureFixture[str]) -> None:
    for network, size in (("resnet-2x8", 5), ("maddison12", 5)):
        found = document(capsys, "training", "--network", network, "--size", size, "--batches", 2, 4)
        assert [row["batch"] for row in found["results"]] == [2, 4]
        for row in found["results"]:
            assert_speed(row, "positions_per_second")


def test_evolve_plays_one_generation(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "paper", replace(PRESETS["paper"], parents=2, games_as_first=1, depth=1))
    found = document(capsys, "evolve", "--seed", 3)
    assert (found["preset"], found["method"], found["seed"], found["games"]) == ("paper", "population", 3, 4)
    assert_speed(found, "cpu_seconds_per_generation")
    assert_speed(found, "games_per_second")


def test_endgame_counts_are_the_published_ones(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "endgame", "--pieces", 3)
    assert found["counts"]["2"] == {"wins": 716, "losses": 402, "draws": 2370, "longest": 13}
    assert found["counts"]["3"] == {"wins": 100_250, "losses": 87_305, "draws": 8_477, "longest": 62}
    assert found["positions"] == 3_488 + 196_032
    assert_speed(found, "cpu_seconds")


def test_tables_tell_the_same_as_the_documents(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (("perft", "checkers", "--depth", "6"), ("36,768", "playfield", "open_spiel", "pydraughts")),
        (("alphabeta", "checkers", "--depths", "2", "--positions", "2"), ("material", "anaconda", "random weights")),
        (("evaluate",), ("numba", "torch", "numpy", "256")),
        (("inference", "--network", "resnet-1x8", "--sizes", "5", "--batches", "2"), ("winograd", "5x5", "%", "peak")),
        (("training", "--network", "resnet-1x8", "--size", "5", "--batches", "2"), ("5x5", "muon", "positions/s")),
        (("endgame", "--pieces", "2"), ("716", "402", "2,370")),
    ):
        assert bench.main([*arguments, "--repeats", "1"]) == 0
        printed = capsys.readouterr().out
        assert all(word in printed for word in (*words, timing.cpu_model(), "cores"))


# --- what it is measured on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", [CHECKERS, CONNECT_FOUR], ids=lambda game: game.name)
def test_positions_are_the_same_for_a_seed_and_differ_from_each_other(game: Any) -> None:
    states = after_lines(game, random_lines(game, 20, 1))
    assert states.tobytes() == after_lines(game, random_lines(game, 20, 1)).tobytes()
    assert states.tobytes() != after_lines(game, random_lines(game, 20, 2)).tobytes()
    assert len({state.tobytes() for state in states}) == 20
    ply = "ply" if game is CHECKERS else "discs"
    assert game_of(states) is game
    assert (states[ply] == PLIES[game.name]).all()


def test_codes_are_the_movers_view() -> None:
    states = after_lines(CHECKERS, random_lines(CHECKERS, 2, 0))
    states["black"], states["white"], states["kings"] = 1 << 4, 1 << 30 | 1 << 9, 1 << 9
    states["to_play"] = [0, 1]
    black, white = evaluate.mover_codes(states)
    assert {square: black[square] for square in np.flatnonzero(black)} == {4: 1.0, 9: -2.0, 30: -1.0}
    assert {square: white[square] for square in np.flatnonzero(white)} == {27: -1.0, 22: 2.0, 1: 1.0}


def test_repetitions_last_long_enough_and_speeds_come_from_them() -> None:
    times = iter([0.0, 0.15, 0.3, 10.0, 10.5])
    calls: list[int] = []
    assert timing.cpu_seconds(lambda: calls.append(1), 2, least=0.2, clock=lambda: next(times)) == [0.15, 0.5]
    assert len(calls) == 3
    assert timing.rate_fields("nodes", 30, [0.5, 0.1, 0.2]) == {"nodes_per_second": 300, "nodes_per_second_median": 150}
    assert timing.time_fields("ms", [0.5, 0.1, 0.2], 1000) == {"ms": 100.0, "ms_median": 200.0}


# --- peers ------------------------------------------------------------------------------------------------------------


def test_open_spiel_is_led_to_our_positions() -> None:
    pytest.importorskip("pyspiel", reason="open_spiel is not installed")
    chance = np.random.default_rng(4)
    kings = 0
    for _ in range(10):
        state, turns = CHECKERS.new(1, "open_spiel")[0], []
        while len(turns) < 100 and (actions := CHECKERS.legal_actions(state)):
            turns.append((int(chance.choice(actions)),))
            apply(state, turns[-1][0])
        theirs = peers.open_spiel_checkers(turns)
        assert str(theirs) == peers.open_spiel_board(state)
        assert theirs.current_player() in (state.to_play, -4)  # -4: the game is over
        kings += str(theirs).count("8") - 1 + str(theirs).count("*")
    assert kings > 10


@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_open_spiel_has_no_go_on_these_boards(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "installed", lambda module, package: None)
    with pytest.raises(peers.PeerMissingError, match="plays on square boards of 2x2 and more only"):
        peers.open_spiel_go(go.game(*size).new(1)[0])


def test_a_peer_that_miscounts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.COUNTERS, "open_spiel", lambda state, is_start: lambda depth: 8)
    found = perft.measure(CHECKERS, 1, None, None, 1)
    wrong = found["peers"][0]
    assert (wrong["agrees"], wrong["count"]) == (False, 8)


def test_peers_that_are_missing_are_skipped_with_a_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "installed_version", lambda package: None)
    found = document(capsys, "perft", "checkers", "--depth", 2)
    assert found["counts"] == [7, 49]
    assert [peer["note"] for peer in found["peers"]] == [
        "not installed: pip install open_spiel",
        "not installed: pip install pydraughts",
    ]
    found = alphabeta.measure(CHECKERS, [2], 2, None, 0, 1)
    assert found["peers"] == [{"name": "open_spiel", "note": "not installed: pip install open_spiel"}]
    assert bench.main(["alphabeta", "checkers", "--depths", "2", "--positions", "2", "--repeats", "1"]) == 0
    assert "not installed" in capsys.readouterr().out


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("perft chess", "no game 'chess'; there are: checkers, connect_four"),
        ("perft checkers --depth 0", "--depth 0 is not from 1 to 40"),
        ("perft checkers --rules blitz", "no rule set 'blitz'; there are: wcdf"),
        ("perft checkers --fen B:W21", "is not of the form"),
        ("perft connect_four --fen B:W21:B1", "--fen describes a checkers position"),
        ("perft checkers --repeats 0", "--repeats 0 is less than 1"),
        ("perft checkers --size 8", "--size 8: only go has sizes, and this is checkers"),
        ("perft go --size 20", "a Go board of 20x20: allowed are 1x1 to 19x19"),
        ("perft go --rules house", "go-19x19 has no rule set 'house'; there are: chinese, tromp-taylor"),
        ("playouts checkers", "random games are measured of go, and this is checkers"),
        ("playouts go --rules house", "go-19x19 has no rule set 'house'"),
        ("alphabeta go", "go-19x19 is not searched by alpha-beta; allowed: checkers, connect_four"),
        ("alphabeta checkers --depths 4 65", "--depths 65 is not from 1 to 64"),
        ("alphabeta checkers --positions 0", "--positions 0 is less than 1"),
        ("alphabeta checkers --seed -1", "--seed -1 is less than 0"),
        ("alphabeta checkers --model nowhere", "--model nowhere: no model file or folder"),
        ("alphabeta checkers --model pyproject.toml", "pyproject.toml"),
        ("alphabeta connect_four --model nowhere", "--model is a network for checkers"),
        ("inference --network resnet", "no network preset 'resnet'"),
        ("inference --network anaconda", "network anaconda has no policy"),
        ("inference --sizes 0", "a board of 0 lines: allowed are 1 to 25"),
        ("inference --batches 4 0", "--batches 0 is less than 1"),
        ("training --batches 0", "--batches 0 is less than 1"),
        ("training --size 26", "a board of 26 lines: allowed are 1 to 25"),
        ("training --network nature-dqn", "nature-dqn"),
        ("search go --network resnet", "--network: no network preset 'resnet'"),
        ("search go --network nature-dqn", "has no policy and no value"),
        ("search go --network models/atari-pong", "was made for pong, not for go-19x19"),
        ("search checkers --leaves 0", "--leaves 0 is less than 1"),
        ("search checkers --visits 3", "--visits 3 is less than 16"),
        ("search checkers --size 9", "only go has sizes"),
        ("evolve --preset fast", "no preset 'fast'; there are: paper, modern, quick"),
        ("endgame --pieces 9", "2 to 6 pieces, not 9"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = (line for line in captured.err.splitlines() if not line.startswith("compiling kernels"))
    assert line.startswith("bench.py: ")
    assert message in line


def run_script(*arguments: str) -> tuple[str, set[str]]:
    """Run bench.py from another folder; return what it printed and the modules that it imported."""
    command = [sys.executable, "-X", "importtime", str(ROOT / "benchmarks" / "bench.py"), *arguments]
    result = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    imported = (line for line in result.stderr.splitlines() if line.startswith("import time:"))
    return result.stdout, {line.rpartition("|")[2].strip() for line in imported}


def test_help_waits_for_no_library() -> None:
    for arguments in (("--help",), *((subject, "--help") for subject in SUBJECTS)):
        printed, imported = run_script(*arguments)
        assert "usage: bench.py" in printed
        assert not imported & {"torch", "numba", "numpy", "pyspiel"}


@pytest.mark.parametrize("subject", ["perft", "playouts"])
def test_help_names_every_rule_set_of_go(subject: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main([subject, "--help"])
    words = set(capsys.readouterr().out.replace(",", " ").split())
    assert words >= {*GO.rule_sets, *perft.KO_RULES}
    assert set(perft.KO_RULES.values()) <= GO.rule_sets.keys()


def test_the_script_prints_one_document_and_needs_no_torch() -> None:
    printed, imported = run_script("perft", "checkers", "--depth", "3", "--repeats", "1", "--json")
    assert json.loads(printed)["counts"] == [7, 49, 302]
    assert printed.count("\n") == 1
    assert "torch" not in imported


def test_records_are_read_and_encoded(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "good.sgf").write_text("(;GM[1]SZ[9]KM[7];B[ee];W[cc];B[gg];W[gc])")
    (tmp_path / "torn.sgf").write_text("(;GM[1]SZ[9];B[ee];W[ee])")
    found = document(capsys, "records", tmp_path, "--game", "go-9x9", "--repeats", 1)
    assert found["games_read"] == 1
    assert [fault["name"] for fault in found["faults"]] == [f"{tmp_path.name}: torn.sgf"]
    assert [row["features"] for row in found["results"]][:1] == ["observe"] and len(found["results"]) > 4
    for row in found["results"]:
        assert_speed(row, "positions_per_second")


@pytest.mark.parametrize("subject", ["accuracy", "records"])
def test_damage_is_told_where_it_leaves_nothing_to_measure(
    subject: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "torn.sgf").write_text("(;GM[1]SZ[9];B[ee];W[ee])")
    model = [str(ROOT / "models/go-9x9")] if subject == "accuracy" else []
    assert bench.main([subject, *model, str(tmp_path), "--game", "go-9x9"]) == 2
    faults, refusal = capsys.readouterr().err.splitlines()
    assert faults.startswith("1 game not read (") and "torn.sgf: move 2, W[ee], is not legal" in faults
    assert refusal.startswith("bench.py: no positions to ")
