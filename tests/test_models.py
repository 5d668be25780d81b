"""The shipped players: each loads, and its header says that the command on its card is what made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agents.evaluators import load_evaluator
from agents.evolve import PRESETS
from nets.model_file import read_header

MODELS = Path(__file__).resolve().parent.parent / "models"


@pytest.mark.parametrize(("name", "preset"), [("checkers-anaconda", "modern"), ("checkers-anaconda-paper", "paper")])
def test_a_shipped_player_was_made_by_the_preset_on_its_card(name: str, preset: str) -> None:
    file = MODELS / name / "model.safetensors"
    assert 1.0 <= load_evaluator(file).king_weight <= 3.0
    assert read_header(file)["training"] == {"learner": "evolve", **dataclasses.asdict(PRESETS[preset])}
    assert f"python train.py evolve --preset {preset} --seed 0" in (MODELS / name / "README.md").read_text()


def test_every_shipped_model_has_a_card() -> None:
    folders = [folder for folder in MODELS.iterdir() if folder.is_dir()]
    assert folders
    assert all((folder / "README.md").is_file() and (folder / "model.safetensors").is_file() for folder in folders)
