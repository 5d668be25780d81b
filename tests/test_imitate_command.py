"""`train.py imitate`: runs that no kill can change, networks that go on elsewhere, and what the command refuses."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from agents.imitation import command as imitate_command
from agents.imitation.config import PRESETS
from agents.learner_command import option_words
from agents.run import Run
from nets.model_file import read_header
from nets.models import load_model
from nets.presets import preset
from tests import killed_runs
from tests.recorded_games import write_games

ROOT = Path(__file__).resolve().parent.parent

TINY_ON = [
    *["--game", "go-5x5", "--positions", "192", "--minutes", "0", "--batch-size", "16"],
    *["--period", "64", "--validation-positions", "40", "--held-out", "0.2", "--average", "0.9", "--threads", "1"],
]
TINY = [*TINY_ON, "--network", "resnet-1x8"]


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ["PLAYFIELD_RECORDS"] = str(tmp_path_factory.mktemp("cache"))
    return write_games(tmp_path_factory.mktemp("games"), 40)


def in_child(arguments: list[str], moment: tuple[str, int, str] | None = None) -> int | None:
    """Return the exit status of a forked child that trains, killed at a call of one of Run's methods."""
    return killed_runs.in_child(imitate_command.main, arguments, None if moment is None else (Run, *moment))


def outcome(directory: Path) -> dict[str, bytes]:
    names = ("config.json", "metrics.jsonl", "model.safetensors", "report.json")
    return {name: (directory / name).read_bytes() for name in names}


def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path: Path, games: Path) -> None:
    arguments = [*TINY, "--data", str(games)]
    assert in_child([*arguments, "--out", str(tmp_path / "whole")]) == 0
    killed = [*arguments, "--out", str(tmp_path / "killed"), "--resume"]
    for moment in (("log", 1, "after"), ("save_checkpoint", 1, "after"), ("save_checkpoint", 1, "before")):
        assert in_child(killed, moment) == -signal.SIGKILL
    assert in_child(killed) == 0
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
    lines = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [64, 128, 192]


def test_the_network_says_what_its_players_need(tmp_path: Path, games: Path) -> None:
    assert in_child([*TINY, "--data", str(games), "--out", str(tmp_path / "run")]) == 0
    model, header = load_model(tmp_path / "run" / "model.safetensors")
    assert (header["game"], header["features"], header["board"]) == ("go", "observe", [5, 5])
    assert header["training"]["trained_positions"] in (64, 128, 192)
    assert (
        header["training"]["records"]["games"]
        == len(list(games.iterdir())) - json.loads((tmp_path / "run" / "report.json").read_text())["games"]
    )

    larger = write_games(tmp_path / "larger", 20, size=7)
    arguments = [*TINY_ON, "--game", "go-7x7", "--positions", "64", "--data", str(larger), "--held-out", "0.3"]
    arguments += ["--init", str(tmp_path / "run"), "--learning-rate", "0", "--average", "0"]
    assert in_child([*arguments, "--out", str(tmp_path / "tuned")]) == 0
    tuned, header = load_model(tmp_path / "tuned" / "model.safetensors")
    assert (header["board"], tuned.trunk.input_shape) == ([7, 7], (16, 7, 7))
    for name, parameter in model.named_parameters():
        assert parameter.equal(dict(tuned.named_parameters())[name]), name  # a learning rate of 0

    arguments += ["--grow", "resnet-2x12", "--positions", "64"]
    assert in_child([*arguments, "--out", str(tmp_path / "grown")]) == 0
    shutil.rmtree(tmp_path / "run")  # a run has its own copy
    assert in_child([*arguments, "--out", str(tmp_path / "grown"), "--resume"]) == 0
    grown, _ = load_model(tmp_path / "grown" / "model.safetensors")
    assert grown.spec.trunk == preset("resnet-2x12", (16, 7, 7)).trunk
    planes = torch.rand(4, 16, 7, 7)
    torch.testing.assert_close(grown.eval()(planes).value, tuned.eval()(planes).value, atol=0.02, rtol=0)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, games: Path) -> None:
    directory = tmp_path / "a run"
    arguments = [*TINY, "--data", str(games), "--positions", "1000000", "--out", str(directory)]
    process = subprocess.Popen(
        [sys.executable, "train.py", "imitate", *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    try:
        while not (directory / "model.safetensors").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    words = shlex.split(errors.rpartition("go on with:")[2])
    assert words[:3] == ["python", "train.py", "imitate"]
    options = imitate_command.parse(words[3:])
    assert (options.resume, options.out, options.data) == (True, directory, (games,))
    assert options.config == imitate_command.parse(arguments).config


def test_training_stops_early_where_validation_gets_no_better(tmp_path: Path, games: Path) -> None:
    arguments = [*TINY, "--data", str(games), "--learning-rate", "0", "--average", "0", "--patience", "1"]
    assert in_child([*arguments, "--weight-decay", "0", "--positions", "6400", "--out", str(tmp_path / "run")]) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) < 20
    losses = [json.loads(line)["validation_loss"] for line in lines]
    assert losses[-1] >= min(losses[:-1])


def test_a_limit_of_this_call_saves_and_ends(tmp_path: Path, games: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [*TINY, "--data", str(games), "--stop-after", "0.000001", "--out", str(tmp_path / "run")]
    assert imitate_command.main(arguments) == 0
    assert "go on with: python train.py imitate" in capfd.readouterr().err.replace("\n", " ")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-16"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "{games}/nowhere"], "nowhere"),
        (["--data", "{games}", "--game", "go-9x9"], "0 of 40 games are of go-9x9"),
        (["--data", "{games}", "--game", "chess"], "chess"),
        (["--data", "{games}", "--network", "resnet-1x8x"], "no network preset"),
        (["--data", "{games}", "--network", "nature-dqn"], "chooses no moves"),
        (["--data", "{games}", "--features", "nonsense"], "nonsense"),
        (["--data", "{games}", "--init", "{games}/none"], "no model file"),
        (["--data", "{games}", "--init", str(ROOT / "models/checkers-anaconda")], "made for checkers"),
        (["--data", "{games}", "--init", "go-9x9", "--network", "resnet-6x96"], "--init brings its own"),
        (["--data", "{games}", "--init", "go-9x9", "--features", "alphago13"], "--init brings its own"),
        (["--data", "{games}", "--network", "alphago13", "--value-weight", "1"], "alphago13 has no value head"),
        (["--data", "{games}", "--grow", "resnet-2x12"], "--init names it"),
        (["--data", "{games}", "--init", str(ROOT / "models/go-9x9"), "--grow", "resnet-2x12"], "cannot grow to"),
        (["--data", "{games}", "--positions", "0"], "how long"),
        (["--data", "{games}", "--batch-size", "0"], "--batch-size 0: at least 1"),
        (["--data", "{games}", "--threads", "100000"], "--threads 100000: 0 to"),
        (["--data", "{games}", "--seed", "4294967296"], "--seed 4294967296: 0 to 4294967295"),
        (["--data", "{games}", "--held-out", "0"], "--held-out 0.0: above 0"),
        (["--data", "{games}", "--warmup", "1.5"], "--warmup 1.5: 0 to 1"),
    ],
    ids=lambda value: " ".join(value[2:]) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_in_one_line(
    tmp_path: Path, games: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    arguments = [word.format(games=games) for word in arguments]
    tiny = TINY_ON if "--init" in arguments else TINY
    assert imitate_command.main([*tiny, *arguments, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.strip().splitlines()[-1].startswith("train.py imitate: ")
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_other_records_do_not_go_on_with_a_run(tmp_path: Path, games: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*TINY, "--positions", "16", "--out", str(tmp_path / "run")]
    assert in_child([*arguments, "--data", str(games)]) == 0
    others = write_games(tmp_path / "others", 40, seed=5)
    assert imitate_command.main([*arguments, "--data", str(others), "--resume"]) == 2
    assert "records.sha256 was" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([], "--data is missing"), (["--resume"], "--resume: there is no run in misspelt to go on with")],
)
def test_without_records_a_run_that_is_not_there_is_told_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert imitate_command.main(["--out", "misspelt", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"train.py imitate: {words}")


def test_resume_finds_the_newest_run_of_any_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, (name, words) in enumerate(
        {
            "imitate-alphago13": ["imitate", "--preset", "alphago13"],
            "imitate-small": ["imitate", "--preset", "small", "--seed", "3"],
            "imitate-checkers": ["imitate", "--preset", "checkers", "--game", "checkers"],
            "imitate-other": ["dqn"],
        }.items()
    ):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "arguments.json").write_text(json.dumps(words))
        os.utime(run, (number, -number if name == "imitate-checkers" else number))
    options = imitate_command.parse(["--resume"])
    assert (options.preset, options.config.seed, options.out) == ("small", 3, Path("runs/imitate-small"))
    assert imitate_command.parse(["--resume", "--preset", "clark-storkey"]).out is None


def test_a_game_has_its_own_preset_unless_one_is_asked_for() -> None:
    assert imitate_command.parse([]).config == PRESETS["quick"]
    assert imitate_command.parse(["--game", "checkers"]).config == PRESETS["checkers"]
    assert imitate_command.parse(["--game=checkers", "--seed", "3"]).config.seed == 3
    assert imitate_command.parse(["--game=checkers"]).preset == "checkers"
    assert imitate_command.parse(["--game", "checkers", "--preset", "quick"]).config == PRESETS["quick"]


def test_a_network_for_checkers_is_trained_on_pdn(tmp_path: Path) -> None:
    openings = itertools.product(
        ("9-13", "9-14", "10-14", "10-15", "11-15", "11-16", "12-16"),
        ("21-17", "22-17", "22-18", "23-18", "23-19", "24-19", "24-20"),
    )
    text = "".join(f'[Event "{first}"]\n1. {first} {second} *\n\n' for first, second in openings)
    (tmp_path / "a.pdn").write_text(text)
    arguments = ["--game", "checkers", "--data", str(tmp_path / "a.pdn"), "--network", "resnet-1x8", "--threads", "1"]
    arguments += ["--positions", "32", "--minutes", "0", "--batch-size", "16", "--held-out", "0.5"]
    assert option_words(imitate_command.parse(arguments).config, PRESETS["checkers"])
    assert in_child([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert read_header(tmp_path / "run" / "model.safetensors")["game"] == "checkers"
