"""Spec strings and the players they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents import model_files
from agents.analysis import PlayerError
from agents.evaluators import save_evaluator
from agents.model_files import find_model
from agents.player import PlayerSpec, make_player, parse_spec
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.pdn import parse_fen
from games.rules import Game, apply, is_over
from nets.model_file import model_header, write_model_file


@pytest.mark.parametrize(
    ("text", "kind", "options"),
    [
        ("human", "human", {}),
        (" random ", "random", {}),
        ("material", "material", {}),
        ("material:depth=4", "material", {"depth": 4}),
        ("material:seconds=.5,table=12", "material", {"seconds": 0.5, "table": 12}),
        ("alphabeta:model=a/b.safetensors,nodes=1000", "alphabeta", {"model": "a/b.safetensors", "nodes": 1000}),
        ("models/checkers-anaconda", "model", {"model": "models/checkers-anaconda"}),
        ("hub:./engine --hub 'two words'", "hub", {"command": "./engine --hub 'two words'"}),
        ("hub:depth=3 frame=plain e --x=1", "hub", {"depth": 3, "frame": "plain", "command": "e --x=1"}),
    ],
)
def test_parse_spec(text: str, kind: str, options: dict[str, int | float | str]) -> None:
    assert parse_spec(text) == PlayerSpec(kind, options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alphabet:depth=4", "did you mean alphabeta?"),
        ("", "there are: human, random, material:depth=4"),
        ("random:seed=3", "random takes none"),
        (
            "material:dept=4",
            "no option 'dept=4' (did you mean depth?); material takes depth=, nodes=, seconds=, table=, extension=, "
            "endgame=",
        ),
        ("material:depth", "no option 'depth'"),
        ("material:", "no option ''"),
        ("material:model=x", "no option 'model=x'"),
        ("material:depth=0", "depth=0 is not a whole number from 1 to 64"),
        ("material:depth=4.5", "depth=4.5 is not a whole number"),
        ("material:depth=-1", "depth=-1 is not a whole number"),
        ("material:depth=\N{SUPERSCRIPT TWO}", "is not a whole number"),
        ("material:seconds=nan", "seconds=nan is not a number"),
        ("material:seconds=0", "seconds=0 is not a number from 0.001"),
        ("material:depth=4,depth=5", "depth= is given twice"),
        ("alphabeta:model=,depth=2", "model= is empty"),
        ("hub:", "the engine's command line is missing"),
        ("hub:depth=3", "the engine's command line is missing"),
        ("hub:speed=3 engine", "no option 'speed=3'"),
        ("hub:frame=x engine", "frame=x is not rotated or plain"),
    ],
)
def test_parse_spec_refuses(text: str, expected: str) -> None:
    with pytest.raises(PlayerError) as caught:
        parse_spec(text)
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("human", "only play.py"),
        ("randm", "no player and no model file or folder (did you mean random?)"),
        ("alphabeta:depth=3", "which model?"),
        ("alphabeta:model=no/such/file", "no model file"),
    ],
)
def test_make_player_refuses(spec: str, expected: str) -> None:
    with pytest.raises(PlayerError) as caught:
        make_player(spec, CHECKERS)
    assert expected in str(caught.value)


def test_a_run_without_a_model_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(PlayerError, match=r"a run that has saved no model yet$"):
        make_player(str(tmp_path), CHECKERS)


def test_make_player_knows_who_plays_what() -> None:
    with pytest.raises(PlayerError, match="material plays checkers, not connect_four"):
        make_player("material:depth=2", CONNECT_FOUR)
    with pytest.raises(PlayerError, match="lines plays connect_four, not checkers"):
        make_player("lines", CHECKERS)


def test_find_model_looks_beside_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "home" / "models"
    (shipped / "best").mkdir(parents=True)
    (shipped / "best" / "model.safetensors").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(model_files, "SHIPPED_MODELS", shipped)
    for path in ("best", "models/best", "models/best/model.safetensors", str(shipped / "best")):
        found = find_model(path)
        assert found is not None and found.samefile(shipped / "best" / "model.safetensors")
    (shipped / "best" / "best.safetensors").touch()
    chosen = find_model("best")
    assert chosen is not None and chosen.name == "best.safetensors", "of a run the network that scored best"
    assert find_model("worst") is None
    Path("best").touch()
    assert find_model("best") == Path("best"), "the working directory comes first"


@pytest.mark.parametrize("game", [CHECKERS, CONNECT_FOUR], ids=lambda game: game.name)
def test_random_player_is_seeded_and_legal(game: Game) -> None:
    def playout(seed: int) -> list[int]:
        player = make_player("random", game, seed)
        states = game.new(1)
        actions = []
        while not is_over(states[0]):
            action = player.act(states)[0].action
            assert action in game.legal_actions(states[0])
            apply(states[0], action)
            actions.append(action)
        return actions

    assert playout(1) == playout(1)
    assert playout(1) != playout(2)


def test_random_player_draws_evenly() -> None:
    player = make_player("random", CHECKERS, 5)
    actions = [analysis.action for analysis in player.act(CHECKERS.new(700))]
    counts = np.bincount(actions, minlength=CHECKERS.num_actions)
    legal = CHECKERS.legal_actions(CHECKERS.new(1)[0])
    assert counts[legal].min() > 60 and counts.sum() == counts[legal].sum()


# --- alpha-beta players ---------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A run's folder with an evaluator of random weights."""
    weights = np.random.default_rng(7).normal(0, 0.1, 5046)
    save_evaluator(tmp_path / "model.safetensors", weights, 1.5, training={}, rules_version=CHECKERS.version)
    return tmp_path


def test_a_bare_folder_is_a_player(model: Path) -> None:
    start = CHECKERS.new(1)
    bare = make_player(str(model), CHECKERS).act(start)[0]
    named = make_player(f"alphabeta:model={model / 'model.safetensors'},depth=8", CHECKERS).act(start)[0]
    assert bare.depth == 8 and bare.value is not None
    assert (bare.action, bare.value, bare.principal_variation) == (named.action, named.value, named.principal_variation)
    assert bare.principal_variation[0] == bare.action


def test_limits_are_kept() -> None:
    start = CHECKERS.new(1)
    assert make_player("material:depth=3,endgame=0", CHECKERS).act(start)[0].depth == 3
    few = make_player("material:nodes=2000,endgame=0", CHECKERS).act(start)[0]
    assert few.nodes < 10_000 and few.depth > 1


def test_a_game_does_not_depend_on_the_game_before() -> None:
    player = make_player("material:depth=5,endgame=0,table=12", CHECKERS)

    def game() -> list[tuple[int, float | None, int]]:
        player.new_game()
        states = CHECKERS.new(1)
        seen = []
        for _ in range(12):
            analysis = player.act(states)[0]
            seen.append((analysis.action, analysis.value, analysis.nodes))
            apply(states[0], analysis.action)
        return seen

    assert game() == game()


def test_endgame_tables_are_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYFIELD_TABLES", str(tmp_path))
    states = parse_fen("B:WK1,K2:BK15,K18,K22")
    with_tables = make_player("material:depth=1,endgame=3", CHECKERS)
    assert "endgame tables for 3 pieces" in capsys.readouterr().err
    ahead = parse_fen("B:WK5:BK15,K18")
    assert with_tables.act(ahead)[0].value == 1.0, "two kings against one are won"
    assert abs(make_player("material:depth=1,endgame=0", CHECKERS).act(ahead)[0].value or 0.0) < 1.0
    assert with_tables.act(states)[0].value is not None
    with pytest.raises(PlayerError, match=r"games\.endgame --pieces 6"):
        make_player("material:endgame=6", CHECKERS)


@pytest.mark.parametrize(
    ("game", "version", "damage", "expected"),
    [
        ("connect_four", 1, False, "was made for connect_four, not for checkers"),
        ("checkers", CHECKERS.version + 1, False, "of the rules of checkers, which are at version"),
        ("checkers", CHECKERS.version, True, "do not match its hash"),
    ],
)
def test_unfit_models_are_refused(tmp_path: Path, game: str, version: int, damage: bool, expected: str) -> None:
    file = tmp_path / "model.safetensors"
    tensors = {"weights": np.zeros(5046, np.float32), "king_value": np.array(2.0, np.float32)}
    architecture = {"kind": "board_evaluator", "preset": "anaconda"}
    write_model_file(file, tensors, model_header(architecture, game=game, rules_version=version, training={}))
    if damage:
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    with pytest.raises(PlayerError) as caught:
        make_player(str(file), CHECKERS)
    assert expected in str(caught.value) and "\n" not in str(caught.value)
