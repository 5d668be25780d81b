"""The shipped players: each loads, and its header says that the command on its card is what made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agents.evaluators import load_evaluator
from agents.evolution.config import PRESETS
from agents.player import make_player
from games.catalogue import find_game
from nets.model_file import read_header

MODELS = Path(__file__).resolve().parent.parent / "models"


@pytest.mark.parametrize(("name", "preset"), [("checkers-anaconda", "modern"), ("checkers-anaconda-paper", "paper")])
def test_a_shipped_player_was_made_by_the_preset_on_its_card(name: str, preset: str) -> None:
    file = MODELS / name / "model.safetensors"
    assert 1.0 <= load_evaluator(file).king_weight <= 3.0
    assert read_header(file)["training"] == {"learner": "evolve", **dataclasses.asdict(PRESETS[preset])}
    assert f"python train.py evolve --preset {preset} --seed 0" in (MODELS / name / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "game", "learner", "budget"),
    [
        ("go-19x19", "go", "imitate", "minutes"),
        ("go-9x9", "go-9x9", "imitate", "positions"),
        ("go-9x9-imitation", "go-9x9", "imitate", "minutes"),
        ("go-9x9-selfplay", "go-9x9", "selfplay", "iterations"),
    ],
)
def test_a_shipped_go_network_plays_legal_moves_alone_and_in_a_search(
    name: str, game: str, learner: str, budget: str
) -> None:
    board_game = find_game(game)
    states = board_game.new(1)
    for spec in (f"policy:model={MODELS / name}", f"mcts:model={MODELS / name},visits=16"):
        player = make_player(spec, board_game)
        analysis = player.act(states)[0]
        assert analysis.action in board_game.legal_actions(states[0])
        assert analysis.action != board_game.num_actions - 1
        player.close()
    header = read_header(MODELS / name / "model.safetensors")
    assert header["training"]["learner"] == learner
    assert f"--{budget} {header['training'][budget]:g}" in (MODELS / name / "README.md").read_text()


def test_every_shipped_model_has_a_card() -> None:
    folders = [folder for folder in MODELS.iterdir() if folder.is_dir()]
    assert folders
    assert all((folder / "README.md").is_file() and (folder / "model.safetensors").is_file() for folder in folders)
