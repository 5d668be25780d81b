"""`train.py evolve`: runs that no kill can change, and what the command refuses."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import pytest

from agents.evaluators import load_evaluator
from agents.evolution import command as evolve_command
from agents.evolution import run as evolution_run
from agents.evolution.config import PRESETS
from agents.learner_command import resume_command, run_arguments, run_directory
from agents.run import Run
from tests import killed_runs
from tests.killed_runs import Moment

ROOT = Path(__file__).resolve().parent.parent

needs_jit = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="whole games: numba is switched off")

TINY = [
    *["--preset", "paper", "--generations", "6", "--depth", "1", "--extension", "0", "--parents", "2"],
    *["--games-as-first", "1", "--control-openings", "2", "--control-depth", "1", "--control-period", "1"],
    *["--checkpoint-period", "2", "--workers", "2"],
]
TINY_MEMETIC = [
    *["--preset", "quick", "--generations", "6", "--depth", "1", "--parents", "2", "--openings", "1"],
    *["--memory", "300", "--batch-size", "16", "--steps", "3", "--selection-period", "2", "--horizon", "6"],
    *["--control-openings", "2", "--control-depth", "1", "--control-period", "3", "--checkpoint-period", "2"],
]


def no_report(*arguments: Any) -> None:
    """Stand in for the closing match, which changes nothing."""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes time and changes nothing: the closing match, and waiting for the disk."""
    monkeypatch.setattr(evolution_run, "report", no_report)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def outcome(directory: Path, *, extended: bool = False) -> dict[str, bytes]:
    """Return the files of a run that nothing that befell it may change.

    The first networks of an extended run are left out: they name the number of generations first asked for.
    """
    names = ["config.json", "metrics.jsonl", "model.safetensors"]
    if not extended:
        names += [path.name for path in directory.glob("generation-*.safetensors")]
    return {name: (directory / name).read_bytes() for name in names}


def steps_of(directory: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines()]


def notices(captured: pytest.CaptureFixture[str]) -> str:
    return captured.readouterr().err


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, bytes]]:
    """Return what gives the outcome of a run that was never killed."""
    found: dict[tuple[str, ...], dict[str, bytes]] = {}

    def outcome_of(*arguments: str) -> dict[str, bytes]:
        if arguments not in found:
            directory = tmp_path_factory.mktemp("undisturbed") / "run"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(evolution_run, "report", no_report)
                assert evolve_command.main([*arguments, "--out", str(directory)]) == 0
            found[arguments] = outcome(directory)
        return found[arguments]

    return outcome_of


# Where a run is killed: at which call of what, before or after it.
MOMENTS = {
    "before the first line": (Run, "log", 1, "before"),
    "with nothing saved": (Run, "log", 1, "after"),
    "before the first checkpoint": (Run, "save_checkpoint", 1, "before"),
    "between checkpoint and model": (Run, "save_checkpoint", 1, "after"),
    "during a control match": (evolution_run, "control_score", 3, "after"),
    "between two checkpoints": (Run, "log_timing", 3, "after"),
    "before the last checkpoint": (Run, "save_checkpoint", 3, "before"),
    "before the last model": (Run, "save_checkpoint", 3, "after"),
    "before the report": (evolution_run, "report", 1, "before"),
}


def in_child(arguments: list[str], moment: Moment | None = None) -> int | None:
    """Return the exit status of a forked child that trains."""
    return killed_runs.in_child(evolve_command.main, arguments, moment)


@needs_jit
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_as_if_it_had_not_been(
    tmp_path: Path, moment: str, undisturbed: Callable[..., dict[str, bytes]]
) -> None:
    expected = undisturbed(*TINY)
    arguments = [*TINY, "--out", str(tmp_path / "run"), "--resume"]
    assert in_child(arguments, MOMENTS[moment]) == -signal.SIGKILL
    assert in_child(arguments) == 0
    assert outcome(tmp_path / "run") == expected
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4, 5, 6]


@needs_jit
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("tiny", [TINY, TINY_MEMETIC], ids=["population", "memetic"])
def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(
    tmp_path: Path, tiny: list[str], undisturbed: Callable[..., dict[str, bytes]]
) -> None:
    expected = undisturbed(*tiny)
    arguments = [*tiny, "--out", str(tmp_path / "run"), "--resume"]
    for name, number, when in (
        ("log", 2, "after"),
        ("save_checkpoint", 1, "after"),
        ("log", 1, "after"),
        ("save_checkpoint", 1, "before"),
        ("save_checkpoint", 1, "after"),
        ("log_timing", 2, "before"),
    ):
        assert in_child(arguments, (Run, name, number, when)) == -signal.SIGKILL
    assert in_child(arguments) == 0
    assert outcome(tmp_path / "run") == expected


@pytest.fixture
def trainer() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return what starts `train.py evolve`, and end what a test leaves running."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "train.py", "evolve", *arguments]
        started.append(
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for_lines(directory: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a run has logged this many generations."""
    path = directory / "metrics.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


ENDLESS = [*TINY, "--generations", "1000000", "--parents", "5", "--games-as-first", "4"]


@needs_jit
def test_a_run_killed_from_outside_goes_on_exactly(
    tmp_path: Path,
    trainer: Callable[..., subprocess.Popen[str]],
    undisturbed: Callable[..., dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = tmp_path / "run"
    for lines in (0, 4):
        process = trainer(*ENDLESS, "--out", str(directory), "--resume")
        wait_for_lines(directory, lines, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    last = max(steps_of(directory)) + 2
    monkeypatch.setattr(evolution_run, "report", no_report)
    assert evolve_command.main([*ENDLESS, "--generations", str(last), "--out", str(directory), "--resume"]) == 0
    expected = undisturbed(*ENDLESS, "--generations", str(last))
    assert outcome(directory, extended=True).items() <= expected.items()
    assert steps_of(directory) == list(range(1, last + 1))


@needs_jit
def test_ctrl_c_saves_and_ends_and_resumes(
    tmp_path: Path, trainer: Callable[..., subprocess.Popen[str]], undisturbed: Callable[..., dict[str, bytes]]
) -> None:
    directory = tmp_path / "a run"
    process = trainer(*ENDLESS, "--checkpoint-period", "100000", "--out", str(directory))
    wait_for_lines(directory, 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "stopping after this generation" in errors
    assert "Traceback" not in errors
    last = max(steps_of(directory))
    assert load_evaluator(directory / "model.safetensors") is not None
    assert [path.name for path in (directory / "checkpoints").iterdir()] == [f"step-{last}"]

    command = shlex.split(errors.rpartition("go on with:")[2])
    assert command[:3] == ["python", "train.py", "evolve"]
    assert "--resume" in command
    process = trainer(*command[3:], "--generations", str(last + 2))
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    expected = undisturbed(*ENDLESS, "--checkpoint-period", "100000", "--generations", str(last + 2))
    assert outcome(directory, extended=True).items() <= expected.items()
    assert [row["opponent"] for row in json.loads((directory / "report.json").read_text())] == ["random", "material"]


@needs_jit
@pytest.mark.usefixtures("quick")
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], undisturbed: Callable[..., dict[str, bytes]]
) -> None:
    directory = tmp_path / "run"
    arguments = [*TINY, "--out", str(directory)]
    assert evolve_command.main([*arguments, "--generations", "4"]) == 0
    arrays = directory / "checkpoints" / "step-4" / "arrays.safetensors"
    data = bytearray(arrays.read_bytes())
    data[len(data) // 2] ^= 1
    arrays.write_bytes(data)
    capsys.readouterr()
    assert evolve_command.main([*arguments, "--resume"]) == 0
    told = notices(capsys)
    assert "step-4/arrays.safetensors does not match its hash" in told
    assert "going on from step-2" in told
    assert outcome(directory, extended=True).items() <= undisturbed(*TINY).items()


@needs_jit
@pytest.mark.usefixtures("quick")
def test_resume_starts_afresh_where_nothing_is_saved_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], undisturbed: Callable[..., dict[str, bytes]]
) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    assert evolve_command.main([*TINY, "--out", str(directory), "--resume"]) == 0
    assert "there is no such run yet, so it starts afresh" in notices(capsys)
    assert outcome(directory) == undisturbed(*TINY)
    assert evolve_command.main([*TINY, "--out", str(directory), "--resume"]) == 0, "a finished run may be rated again"
    assert outcome(directory) == undisturbed(*TINY)


def refused(arguments: list[str], captured: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a command ends with, at exit status 2."""
    captured.readouterr()
    assert evolve_command.main(arguments) == 2
    output = captured.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err


@needs_jit
@pytest.mark.usefixtures("quick")
def test_a_run_has_one_writer_and_one_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "run"
    arguments = [*TINY, "--out", str(directory)]
    assert evolve_command.main(arguments) == 0
    files = outcome(directory)
    assert "add --resume" in refused(arguments, capsys)
    assert "seed was 0 and is now 1" in refused([*arguments, "--seed", "1", "--resume"], capsys)
    with Run.create(directory, json.loads((directory / "config.json").read_text()), resume=True):
        assert f"written by process {os.getpid()}" in refused([*arguments, "--resume"], capsys)
    assert outcome(directory) == files


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--depth", "0"], "--depth 0: 1 to 64"),
        (["--rules", "chess"], "--rules chess: there are wcdf, anaconda"),
        (["--rules", "endless"], "--rules endless: there are wcdf, anaconda, open_spiel"),
        (["--generations", "0"], "--generations 0: at least 1"),
        (["--steps", "0"], "--steps 0: at least 1"),
        (["--control-openings", "-1"], "--control-openings -1: at least 1"),
        (["--sigma", "nan"], "--sigma nan"),
        (["--seed", "-1"], "--seed -1"),
        (["--workers", "-1"], "--workers -1"),
        (["--depth", "65"], "--depth 65: 1 to 64"),
        (["--opening-plies", "1000"], "--opening-plies 1000: 0 to 100"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run"
    line = refused([*TINY, *options, "--out", str(directory)], capsys)
    assert message in line
    assert line.startswith("train.py evolve: ")
    assert not directory.exists()


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (["--preset", "papper"], ["papper", "quick", "modern", "paper"]),
        (["--dept", "3"], ["--dept"]),
        (["--depth", "three"], ["three"]),
    ],
)
def test_an_unknown_option_ends_with_status_2(
    options: list[str], messages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        evolve_command.parse(options)
    assert caught.value.code == 2
    told = notices(capsys)
    assert all(message in told for message in messages)


def test_options_beside_a_preset_win_wherever_they_stand() -> None:
    for arguments in (["--seed", "3", "--preset", "paper"], ["--preset=paper", "--seed=3"]):
        options = evolve_command.parse(arguments)
        assert options.preset == "paper"
        assert options.config == replace(PRESETS["paper"], seed=3)
    assert evolve_command.parse([]).config == PRESETS["quick"]


def test_the_command_that_is_printed_goes_on_with_the_run(tmp_path: Path) -> None:
    given = evolve_command.parse(["--preset", "modern", "--loss-points", "-3", "--depth", "3", "--generations", "70"])
    directory = tmp_path / "my runs" / "first"
    directory.mkdir(parents=True)
    (directory / "arguments.json").write_text(json.dumps(run_arguments("evolve", given, PRESETS["modern"])))
    for changes in ({}, {"generations": 140}, {"generations": PRESETS["modern"].generations}):
        words = shlex.split(resume_command("evolve", given, directory, **changes))
        assert words[:3] == ["python", "train.py", "evolve"]
        again = evolve_command.parse(words[3:])
        assert again.out == directory
        assert again.resume
        assert again.config == replace(given.config, **changes)


def test_a_run_has_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def directory_of(*arguments: str) -> str:
        return str(run_directory(options := evolve_command.parse([*arguments]), f"evolve-{options.preset}"))

    assert directory_of("--resume") == "runs/evolve-quick"
    for name in ("runs/evolve-quick", "runs/evolve-quick-2", "runs/evolve-quick-3"):
        assert directory_of() == name
        Path(name).mkdir(parents=True)
        assert directory_of("--resume") == name
    assert directory_of("--preset", "paper") == "runs/evolve-paper"
    assert directory_of("--out", "elsewhere") == "elsewhere"
