"""`train.py dqn`: runs that no kill can change, and what the command refuses."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from agents.dqn import command as dqn_command
from agents.dqn.config import PRESETS, DqnConfig, DqnConfigError
from agents.dqn.evaluation import Tell
from agents.dqn.initial import load_initial, with_actions
from agents.dqn.loop import Training
from agents.dqn.networks import q_network_spec
from agents.dqn.progress import Display, evaluations_left
from agents.evolution import command as evolve_command
from agents.learner_command import resume_command, run_arguments
from agents.model_files import MODEL_FILE
from agents.run import Run
from games.atari import FULL_ACTION_SET, VERSION
from games.atari_vector import AtariEnvs, GameResult
from nets import presets
from nets.model_file import read_header
from nets.models import load_model, save_model

ROOT = Path(__file__).resolve().parent.parent

TINY = [
    *["--preset", "fast", "--game", "pong", "--num-envs", "2", "--rollout", "8", "--batch-size", "8", "--steps", "160"],
    *["--epochs", "1", "--log-period", "32", "--checkpoint-period", "64", "--evaluation-period", "96"],
    *["--evaluation-episodes", "1"],
]
FILES = ["config.json", "metrics.jsonl", "model.safetensors", "best.safetensors"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes time and changes nothing: whole games, processes of games, and waiting for the disk."""

    def score(*arguments: Any) -> tuple[Any, ...]:
        steps = int(arguments[0].head.spec.num_actions)  # a number that depends on nothing
        return (GameResult(place=0, score=steps, steps=steps, frames=4 * steps, truncated=False),)

    monkeypatch.setattr("agents.dqn.evaluation.evaluate", score)
    monkeypatch.setattr(dqn_command, "processes", lambda asked, num_envs: 0)
    monkeypatch.setattr(dqn_command, "evaluation_games", lambda config, number: AtariEnvs(config.game, number))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def outcome(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in FILES}


class Killed(BaseException):
    """Stands for the end of the process: nothing in the project catches it."""


# Where a run ends: at which call of what, before or after it.
MOMENTS = [
    ("log", 1, "before"),
    ("save_checkpoint", 1, "after"),
    ("log_timing", 4, "after"),
    ("save_checkpoint", 3, "before"),
]


@pytest.mark.usefixtures("quick")
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settling = ["--target-score", "6.5", "--settle-steps", "40"]  # every evaluation gives 6
    arguments = [*TINY, "--random-shift", "2", "--shards", "2", *settling, "--out"]
    assert dqn_command.main([*arguments, str(tmp_path / "whole")]) == 0
    expected = outcome(tmp_path / "whole")
    for number, (name, call, when) in enumerate(MOMENTS):
        directory = str(tmp_path / f"run-{number}")
        with monkeypatch.context() as patch:
            patch.setattr(Run, name, dying(getattr(Run, name), call, when))
            with pytest.raises(Killed):
                dqn_command.main([*arguments, directory])
        assert dqn_command.main([*arguments, directory, "--resume"]) == 0
        assert outcome(Path(directory)) == expected


def dying(real: Callable[..., Any], call: int, when: str) -> Callable[..., Any]:
    """Return a function that ends the process at one of its calls."""
    calls = 0

    def striking(*positional: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and when == "before":
            raise Killed
        result = real(*positional, **named)
        if calls == call:
            raise Killed
        return result

    return striking


def wait_for_lines(directory: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a run has logged this many lines."""
    path = directory / "metrics.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_a_run_killed_from_outside_and_stopped_by_ctrl_c_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = [
        *TINY,
        "--steps",
        "1000000",
        "--evaluation-period",
        "0",
        "--evaluation-episodes",
        "10",
        "--log-period",
        "16",
    ]
    endless += ["--final-learning-rate", "1"]  # or the step size would depend on --steps
    directory = tmp_path / "a run"
    command = [sys.executable, "train.py", "dqn", *endless, "--out", str(directory)]
    for number, name in ((6, signal.SIGKILL), (12, signal.SIGINT)):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for_lines(directory, number, process)
        process.send_signal(name)
        _, errors = process.communicate()
        assert process.returncode == (-name if name == signal.SIGKILL else 0), errors
        command = [*command, "--resume"]
    assert "stopping after this round" in errors
    assert "Traceback" not in errors
    words = shlex.split(errors.rpartition("go on with:")[2])
    assert words[:3] == ["python", "train.py", "dqn"]
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])["step"]
    assert [json.loads(line)["step"] for line in lines] == list(range(16, last + 1, 16))

    whole = tmp_path / "whole"
    monkeypatch.setattr(dqn_command, "report", lambda *arguments: None)
    assert dqn_command.main([*endless, "--steps", str(last), "--out", str(whole)]) == 0
    assert (whole / "metrics.jsonl").read_bytes() == (directory / "metrics.jsonl").read_bytes()
    ours, theirs = (load_model(folder / "model.safetensors")[0].state_dict() for folder in (directory, whole))
    assert all((ours[name] == theirs[name]).all() for name in ours)


@pytest.mark.usefixtures("quick")
def test_a_model_tells_where_it_comes_from(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    assert dqn_command.main([*TINY, "--steps", "32", "--tensorboard", "--out", str(directory)]) == 0
    header = read_header(directory / "best.safetensors")
    training = header["training"]
    assert header["game"] == "pong"
    assert training["protocol"] == "nature"
    assert training["actions"] == ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]
    assert training["trained_steps"] == 32 and training["trained_frames"] == 128
    assert list((directory / "tensorboard").iterdir())
    report = json.loads((directory / "report.json").read_text())
    assert report["model"] == "best.safetensors" and report["mean"] == 6


@pytest.mark.usefixtures("quick")
def test_a_run_begins_from_the_network_of_another(tmp_path: Path) -> None:
    first, second, whole = (tmp_path / name for name in ("first", "second", "whole"))
    assert dqn_command.main([*TINY, "--steps", "32", "--out", str(first)]) == 0
    config = replace(PRESETS["fast"], game="pong", num_envs=2, seed=8)
    initial = load_initial(first, config)
    with contextlib.closing(AtariEnvs("pong", 2)) as envs:
        learner = Training(config, envs, torch.device("cpu"), initial).learner
    for name, tensor in load_model(first / "best.safetensors")[0].state_dict().items():
        assert torch.equal(learner.network.state_dict()[name], tensor), name
        assert torch.equal(learner.kept.state_dict()[name], tensor), name
    arguments = [*TINY, "--seed", "8", "--init", str(first), "--epsilon-steps", "0"]
    assert dqn_command.main([*arguments, "--out", str(whole)]) == 0
    assert dqn_command.main([*arguments, "--out", str(second), "--stop-after", "0.000001"]) == 0
    shutil.rmtree(first)  # a run has its own copy
    assert dqn_command.main(["--out", str(second), "--resume"]) == 0
    assert outcome(second) == outcome(whole)
    assert read_header(second / "model.safetensors")["training"]["init"] == initial.sha256


def test_a_run_begins_from_a_narrower_network() -> None:
    config = replace(PRESETS["fast"], game="pong")
    frames = torch.randint(256, (3, 4, 84, 84), dtype=torch.uint8)
    small, wide, again = (
        load_initial(ROOT / "models" / "atari-pong", replace(config, network=name)).network
        for name in ("small", "nature-dqn", "nature-dqn")
    )
    assert wide.spec == q_network_spec(replace(config, network="nature-dqn"), 6)
    torch.testing.assert_close(wide.q_values(frames), small.q_values(frames))
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in wide.state_dict().items())


@pytest.mark.parametrize("head", [{}, {"dueling": True, "noisy": True, "distribution": "quantile", "num_atoms": 5}])
def test_a_network_learns_more_actions_and_fewer(head: dict[str, Any], tmp_path: Path) -> None:
    config = replace(PRESETS["fast"], game="pong", **head)
    network = q_network_spec(config, 6).build().eval()
    frames = torch.randint(256, (3, 4, 84, 84), dtype=torch.uint8)
    values = network.q_values(frames)
    training = {"protocol": "nature"}
    save_model(tmp_path / "m", network, network.spec, game="pong", rules_version=VERSION, training=training)
    full = load_initial(tmp_path / "m", replace(config, protocol="machado2018")).network
    names = {"NOOP": 0, "FIRE": 1, "RIGHT": 2, "LEFT": 3, "RIGHTFIRE": 4, "LEFTFIRE": 5}
    rows = [names.get(name, 0) for name in FULL_ACTION_SET]
    shift = full.q_values(frames)[:, :1] - values[:, :1]  # dueling: the mean advantage is another over 18 actions
    torch.testing.assert_close(full.q_values(frames) - shift, values[:, rows], atol=1e-5, rtol=0)
    again = with_actions(full, [FULL_ACTION_SET.index(name) for name in names])
    torch.testing.assert_close(again.q_values(frames), values, atol=1e-5, rtol=0)


def test_a_game_without_a_noop_learns_more_actions(tmp_path: Path) -> None:
    config = replace(PRESETS["fast"], game="backgammon")
    network = q_network_spec(config, 3).build().eval()
    training = {"protocol": "nature"}
    save_model(tmp_path / "m", network, network.spec, game="backgammon", rules_version=VERSION, training=training)
    full = load_initial(tmp_path / "m", replace(config, protocol="machado2018")).network
    frames = torch.randint(256, (3, 4, 84, 84), dtype=torch.uint8)
    values = network.q_values(frames)  # of FIRE, RIGHT, LEFT
    rows = [{"RIGHT": 1, "LEFT": 2}.get(name, 0) for name in FULL_ACTION_SET]
    torch.testing.assert_close(full.q_values(frames), values[:, rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("init", "options", "message"),
    [
        ("atari-pong", ["--game", "breakout"], "it plays pong, and this is --game breakout"),
        ("atari-pong", ["--protocol", "machado2018", "--norm", "none"], "another network than this run's"),
        ("atari-pong", ["--network", "impala-small"], "another network than this run's: --network small"),
        ("atari-pong", ["--preset", "fast", "--dueling"], "another network than this run's: --no-dueling"),
        ("go-9x9", [], "holds no network for Atari games; its header says go"),
        ("nothing", [], "nothing: no model file or folder"),
    ],
)
def test_a_network_that_a_run_cannot_begin_from_is_refused(
    init: str, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--init", str(ROOT / "models" / init), *options, "--out", str(tmp_path / "run")]
    assert dqn_command.main(arguments) == 2
    captured = capsys.readouterr().err
    assert message in captured and captured.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("quick")
def test_patience_ends_a_run_that_gets_no_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "run"
    arguments = [*TINY, "--steps", "320", "--evaluation-period", "32", "--patience", "2", "--out", str(directory)]
    assert dqn_command.main(arguments) == 0
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "evaluation" in line] == [32, 64, 96] and lines[-1]["step"] == 96
    files = outcome(directory)
    assert "2 evaluations brought no better score than 6" in capsys.readouterr().err
    assert dqn_command.main([*arguments, "--resume"]) == 0
    assert outcome(directory) == files, "and it is still at its end"


@pytest.mark.usefixtures("quick")
def test_a_run_that_the_clock_stops_goes_on_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*TINY, "--out"]
    assert dqn_command.main([*arguments, str(tmp_path / "whole")]) == 0
    directory = str(tmp_path / "run")
    assert dqn_command.main([*arguments, directory, "--stop-after", "0.000001"]) == 0
    assert "stopped; go on with: python train.py dqn" in capsys.readouterr().err
    assert not (tmp_path / "run" / "report.json").exists()
    assert dqn_command.main([*arguments, directory, "--resume"]) == 0
    assert outcome(Path(directory)) == outcome(tmp_path / "whole")


@pytest.mark.usefixtures("quick")
def test_a_run_goes_on_although_its_options_are_not_said_again(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    arguments = [*TINY, "--seed", "3", "--l2", "0.1"]
    assert dqn_command.main([*arguments, "--out", str(whole)]) == 0
    assert dqn_command.main([*arguments, "--out", str(parts), "--stop-after", "0.000001"]) == 0
    assert not (parts / "report.json").exists()
    resumed = ["--out", str(parts), "--resume"]
    assert dqn_command.main(resumed) == 0
    assert outcome(parts) == outcome(whole)
    assert evolve_command.parse(resumed).config == evolve_command.parse([]).config, "whose run that is not"
    (parts / "arguments.json").write_text("[1, 2")
    assert dqn_command.parse(resumed).config == PRESETS["fast"], "what is damaged says nothing"


@pytest.mark.usefixtures("quick")
def test_a_run_closes_with_what_to_do_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "run"
    assert dqn_command.main([*TINY, "--steps", "32", "--out", str(directory)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert f"watch it:    python play.py atari --game pong --bot {directory}" in lines
    assert f"compare it:  python tournament.py atari {directory}" in lines
    assert f"train on:    python train.py dqn --out {directory} --resume --steps 64" in lines


@pytest.mark.usefixtures("quick")
def test_a_run_ends_when_the_score_asked_for_is_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "run"
    assert dqn_command.main([*TINY, "--target-score", "6", "--out", str(directory)]) == 0
    steps = [json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == 96
    assert dqn_command.main([*TINY, "--target-score", "6", "--out", str(directory), "--resume"]) == 0
    assert json.loads((directory / "metrics.jsonl").read_text().splitlines()[-1])["confirmation"] == 6
    capsys.readouterr()
    further = [*TINY, "--target-score", "7", "--out", str(directory), "--resume"]
    assert dqn_command.main(further) == 0
    said = capsys.readouterr().err
    assert f"run {directory}: target_score was 6.0 and is now 7.0" in said
    steps = [json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == 160
    words = shlex.split(said.rpartition("train on:")[2])
    assert words[:3] == ["python", "train.py", "dqn"] and words[-2:] == ["--target-score", "None"]
    assert dqn_command.main(words[3:]) == 0
    steps = [json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == 320, "the command that is printed trains on"


@pytest.mark.usefixtures("quick")
def test_the_newest_run_goes_on_as_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert dqn_command.main([*TINY, "--target-score", "7", "--stop-after", "0.000001"]) == 0
    assert dqn_command.main(["--resume", "--stop-after", "0.000001"]) == 0
    config = json.loads(Path("runs/dqn-pong-fast/config.json").read_text())
    assert (config["steps"], config["target_score"]) == (160, 7.0)
    assert dqn_command.parse(["--game", "Pong", "--resume"]).config.steps == 160
    for others in (["--game", "breakout"], ["--preset", "rainbow"], ["--game", "no such game"]):
        assert dqn_command.parse([*others, "--resume"]).config.steps != 160


@pytest.mark.parametrize(
    ("begun_with", "said", "message"),
    [
        ([], ["--preset", "quick"], "with --preset rainbow"),
        ([], ["--init", "another"], "without --init"),
        (["--init", "one"], ["--init", "another"], "with --init one"),
    ],
)
def test_a_run_goes_on_with_no_other_preset_or_beginning(
    begun_with: list[str], said: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--preset", "rainbow", *begun_with]
    (tmp_path / "arguments.json").write_text(json.dumps(["dqn", *words]))
    resumed = ["--resume", "--out", str(tmp_path)]
    assert dqn_command.parse([*resumed, *words]).config == PRESETS["rainbow"]
    with pytest.raises(SystemExit) as caught:
        dqn_command.parse([*resumed, *said])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"train.py dqn: run {tmp_path} was started {message}\n"


def let_scores_be(monkeypatch: pytest.MonkeyPatch, evaluations: list[int], confirmations: Sequence[int] = ()) -> None:
    """Let evaluations and the games that confirm them have these scores, and later ones and all other games 0."""
    scores = {dqn_command.EVALUATION_SEED: iter(evaluations), dqn_command.CONFIRMATION_SEED: iter(confirmations)}

    def score(network: Any, envs: AtariEnvs, seed: int, *rest: Any) -> tuple[GameResult, ...]:
        points = next(scores.get(seed, iter(())), 0)
        return (GameResult(place=0, score=points, steps=1, frames=4, truncated=False),)

    monkeypatch.setattr("agents.dqn.evaluation.evaluate", score)


def test_games_that_are_scored_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def score(network: Any, envs: Any, seed: int, epsilon: float, device: Any, tell: Tell) -> tuple[GameResult, ...]:
        tell(12, 30)
        return (GameResult(place=0, score=3, steps=1, frames=4, truncated=False),)

    monkeypatch.setattr("agents.dqn.evaluation.evaluate", score)
    monkeypatch.setattr(dqn_command, "evaluation_games", lambda config, number: AtariEnvs(config.game, 1))
    output = io.StringIO()
    console = Console(file=output, width=120, height=10, force_terminal=True, color_system=None)
    with Display(console, PRESETS["fast"], 0) as display, display.evaluating() as tell:
        tell(2, 10)
    assert "2/10 games that score it" in output.getvalue()
    spec = presets.preset("dqn-2013", num_actions=6)
    save_model(tmp_path / MODEL_FILE, spec.build(), spec, game="pong", rules_version=VERSION, training={})
    dqn_command.report(tmp_path, PRESETS["fast"], torch.device("cpu"), console)
    assert "games 12/30" in output.getvalue()


def test_time_left_is_that_of_steps_and_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("agents.dqn.progress.time.perf_counter", lambda: now)
    output = io.StringIO()
    config = replace(PRESETS["fast"], steps=1_250_000, evaluation_period=100_000)
    with Display(Console(file=output, width=80), config, 999_750) as display:
        now += 1  # 250 steps
        with display.evaluating():
            now += 120
        speed = display.timing(1_000_000)["steps_per_second"]
        display.print(1_000_000, {"evaluation": 3.0}, speed)
    # 1000 seconds of training, and evaluations after 1.1, 1.2 and 1.25 million steps
    assert output.getvalue() == "1,000,000 steps, 2.0 minutes, 23 left at 250 steps/s: evaluation 3\n"
    assert [evaluations_left(96, steps, 160) for steps in (0, 95, 96, 159, 160)] == [2, 2, 1, 1, 0]
    assert evaluations_left(80, 80, 160) == 1 and evaluations_left(0, 80, 160) == 0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("evaluations", "confirmations", "best", "last"),
    [
        ([3, 9, 8, 7], [5, 6, 7], 128, 128),
        ([8, 7, 9, 6], [4, 6, 5], 64, 160),
        ([9, 6, 6, 5], [4, 5, 3], 64, 160),
    ],
    ids=["the last ends the run", "none does, and the second is kept", "a better one below the target is kept"],
)
def test_a_lucky_evaluation_does_not_end_a_run(
    evaluations: list[int],
    confirmations: list[int],
    best: int,
    last: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_scores_be(monkeypatch, evaluations, confirmations)
    directory = tmp_path / "run"
    arguments = [*TINY, "--evaluation-period", "32", "--target-score", "7", "--out", str(directory)]
    assert dqn_command.main(arguments) == 0
    metrics, timing = (
        [json.loads(line) for line in (directory / f"{name}.jsonl").read_text().splitlines()]
        for name in ("metrics", "timing")
    )
    assert [line["confirmation"] for line in metrics if "confirmation" in line] == confirmations
    assert metrics[-1]["step"] == last
    assert read_header(directory / "best.safetensors")["training"]["trained_steps"] == best
    assert all(line["evaluation_seconds"] > 0 for line in timing)


@pytest.mark.usefixtures("quick")
def test_the_step_size_settles_where_a_score_is_near_until_one_is_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[float | None] = []
    let_scores_be(monkeypatch, [3, 17, 18, 15, 14, 13, 18])
    monkeypatch.setattr(Training, "settle", lambda self, target: settled.append(target))
    arguments = [*TINY, "--steps", "224", "--evaluation-period", "32", "--target-score", "19", "--out"]
    assert dqn_command.main([*arguments, str(tmp_path / "run")]) == 0
    assert settled == [None, 19.0, None, 19.0], "at 3, 18, 13 and 18"


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(arguments: list[str], captured: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a command ends with, at exit status 2."""
    captured.readouterr()
    assert dqn_command.main(arguments) == 2
    output = captured.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "--steps 0: at least 1"),
        (["--discount", "1.5"], "--discount 1.5: 0 to 1"),
        (["--lambda", "-0.1"], "--lambda -0.1: 0 to 1"),
        (["--learning-rate", "nan"], "--learning-rate nan"),
        (["--batch-size", "5000"], "--batch-size 5000: at most 4064 without replay"),
        (["--double"], "--double: only with --replay STEPS"),
        (["--n-step", "3"], "--n-step 3: only with --replay STEPS"),
        (["--preset", "rainbow", "--replay", "100", "--num-envs", "32"], "--replay 100: at least 352 steps"),
        (["--preset", "rainbow", "--warmup", "10"], "--warmup 10: at least 32 steps"),
        (["--preset", "rainbow", "--replay", "10000000000"], "steps take 70640.0 GB of memory, checkpoints"),
        (["--preset", "rainbow", "--v-min", "10"], "--v-min 10: below --v-max 10"),
        (["--updates", "2"], "--updates 2: only with --replay STEPS"),
        (["--v-max", "5"], "--v-max 5.0: only with --distribution categorical"),
        (["--preset", "rainbow", "--lambda", "0.5"], "--lambda 0.5: only with --replay 0"),
        (["--preset", "dqn-2015", "--priority-exponent", "1"], "--priority-exponent 1.0: only with --prioritised"),
        (["--preset", "quick", "--target-score", "5"], "--target-score 5.0: only with --evaluation-period STEPS"),
        (["--preset", "quick", "--patience", "2"], "--patience 2: only with --evaluation-period STEPS"),
        (["--preset", "dqn-2013", "--double"], "--double: only with --target-period UPDATES"),
        (["--preset", "rainbow", "--loss", "squared"], "--loss squared: only with --distribution none"),
        (["--preset", "pqn", "--learning-rate-hold", "0.5"], "--learning-rate-hold 0.5: only with --final-learning"),
        (
            ["--evaluation-period", "0", "--evaluation-episodes", "7"],
            "--evaluation-episodes 7: only with --evaluation-per",
        ),
        (["--preset", "dqn-2015", "--replay", "0"], "--warmup 50000: only with --replay STEPS"),
        (["--learning-rate", "0"], "--learning-rate 0.0: at least"),
        (["--target-score", "nan"], "--target-score nan: a finite number"),
        (["--noisy", "--epsilon", "0.5"], "--epsilon 0.5: only with --no-noisy"),
        (["--preset", "rainbow", "--epsilon-steps", "7"], "--epsilon-steps 7: only with --no-noisy"),
        (["--preset", "dqn-2015", "--steps", "40000"], "--steps 40000: more than --warmup 50000"),
        (["--seed", "18446744073709551616"], "--seed 18446744073709551616: 0 to 4294967295"),
        (["--num-envs", "1024", "--rollout", "1000000"], "--num-envs 1024 --rollout 1000000: the program, games and"),
        (["--stop-after", "-1"], "--stop-after -1.0: at least 0"),
        (["--shards", "200"], "--shards 200: at most --batch-size 128"),
        (["--optimiser-epsilon", "0"], "--optimiser-epsilon 0.0: at least"),
        (["--processes", "-1"], "--processes -1: at least 0"),
        (["--game", "pongg"], "no Atari game 'pongg'"),
        (["--random-shift", "50"], "--random-shift 50: at most 41"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run"
    line = refused([*options, "--out", str(directory)], capsys)
    assert message in line
    assert line.startswith("train.py dqn: ")
    assert not directory.exists()


def test_a_replay_memory_leaves_room_for_what_else_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    rainbow = PRESETS["rainbow"]  # whose million steps take 7.1 GB
    monkeypatch.setattr("games.machine.free_memory", lambda: 8_900_000_000)
    notices: list[str] = []
    dqn_command.tell_memory(rainbow, notices.append)
    assert notices == ["the replay memory will take 7.1 GB, 1000000 steps"]
    monkeypatch.setattr("games.machine.free_memory", lambda: 8_500_000_000)
    with pytest.raises(DqnConfigError, match=r"all else 1\.7 GB, and 8\.5 GB are free here; --replay 868000 would fit"):
        dqn_command.tell_memory(rainbow, notices.append)
    dqn_command.tell_memory(replace(rainbow, replay=868_000), notices.append)
    monkeypatch.setattr("games.machine.free_memory", lambda: 500_000_000)
    with pytest.raises(DqnConfigError, match=r"0\.5 GB are free here$"):
        dqn_command.tell_memory(rainbow, notices.append)


@pytest.mark.usefixtures("quick")
def test_a_run_has_one_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*TINY, "--steps", "32", "--out", str(tmp_path / "run")]
    assert dqn_command.main(arguments) == 0
    assert "add --resume" in refused(arguments, capsys)
    assert "seed was 0 and is now 1" in refused([*arguments, "--seed", "1", "--resume"], capsys)


def test_an_unknown_option_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        dqn_command.parse(["--presett", "fast"])
    assert caught.value.code == 2
    assert "--presett" in capsys.readouterr().err


def test_options_beside_a_preset_win_wherever_they_stand() -> None:
    for arguments in (
        ["--seed", "3", "--preset", "rainbow", "--no-noisy"],
        ["--no-noisy", "--preset=rainbow", "--seed=3"],
    ):
        options = dqn_command.parse(arguments)
        assert options.preset == "rainbow"
        assert options.config == replace(PRESETS["rainbow"], seed=3, noisy=False)
    assert dqn_command.parse([]).config == PRESETS["fast"]


def test_the_command_that_is_printed_goes_on_with_the_run(tmp_path: Path) -> None:
    given = dqn_command.parse(
        ["--preset", "rainbow", "--no-noisy", "--v-min", "-3", "--l2", "0.1", "--lambda", "0.5", "--game", "breakout"]
    )
    given = replace(given, device="cpu", tensorboard=True)
    directory = tmp_path / "my runs" / "first"
    directory.mkdir(parents=True)
    saved = run_arguments("dqn", given, PRESETS["rainbow"])
    (directory / "arguments.json").write_text(json.dumps(saved))
    for changes in ({}, {"steps": 140}, {"lambda_": PRESETS["rainbow"].lambda_, "steps": PRESETS["rainbow"].steps}):
        words = shlex.split(resume_command("dqn", given, directory, **changes))
        again = dqn_command.parse(words[3:])
        assert again == replace(given, out=directory, resume=True, config=again.config)
        assert again.config == replace(given.config, **changes)


@pytest.mark.parametrize(
    "switch", [["--no-prioritised"], ["--distribution", "none"], ["--target-period", "0", "--no-double"]]
)
def test_a_part_of_a_preset_switches_off_alone(switch: list[str]) -> None:
    from agents.dqn.config import check

    for preset in ("rainbow", "btr"):
        check(dqn_command.parse(["--preset", preset, *switch]).config, PRESETS[preset])


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_run(preset: str) -> None:
    from agents.dqn.config import check

    check(PRESETS[preset])
    assert isinstance(PRESETS[preset], DqnConfig)
