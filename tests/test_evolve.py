"""Co-evolution: the published formulas and settings, learning, and runs that no kill can change."""

from __future__ import annotations

import json
import multiprocessing
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
import numpy as np
import pytest

from agents import evolve_command
from agents.anaconda_learning import gradient
from agents.arena import Arena, GameTrace
from agents.evaluators import SCORE_UNIT, load_evaluator
from agents.evolve import (
    PRESETS,
    TAU,
    EvolveConfig,
    best_network,
    control_starts,
    draw_pairings,
    evolve,
    first_population,
    first_state,
    learn,
    offspring_of,
    points,
    random_starts,
    remember,
    replace_worst,
)
from agents.run import Run
from games.checkers import CHECKERS, NO_JUMPER, RULE_SETS
from games.compiled import NDArray
from games.rules import States, hash_key, is_over
from nets.anaconda_layout import NUM_WEIGHTS, OUTPUT_BIAS

ROOT = Path(__file__).resolve().parent.parent

needs_jit = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="whole games: numba is switched off")
fork = multiprocessing.get_context("fork")

POPULATION = EvolveConfig(depth=1, extension=0, parents=3, games_as_first=2, generations=4, control_depth=1)
MEMETIC = replace(
    PRESETS["modern"],
    depth=1,
    parents=2,
    openings=2,
    memory=300,
    batch_size=16,
    steps=4,
    selection_period=2,
    generations=4,
    control_depth=1,
)


class FakeArena:
    """Decides every game by which of the two evaluators is stronger."""

    def __init__(self, strength: Callable[[Any], float]) -> None:
        self.strength = strength
        self.games = 0

    def play(
        self, first: NDArray, second: NDArray, pairings: NDArray, starts: States, depths: tuple[int, int]
    ) -> Iterator[float]:
        assert (starts == CHECKERS.new(1, "anaconda")).all()
        assert depths == (4, 4)
        for i, j, _ in pairings:
            self.games += 1
            yield float(np.sign(self.strength(first[i]) - self.strength(second[j])))


def evolved(config: EvolveConfig, arena: Any) -> dict[str, NDArray]:
    *_, (state, _) = evolve(config, first_state(config), 0, arena)
    return state


def as_bytes(state: dict[str, NDArray]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state.items()}


# --- the published method ---------------------------------------------------------------------------------------------


def test_the_paper_preset_is_the_published_method() -> None:
    published = {
        "method": "population",
        "generations": 840,
        "parents": 15,
        "games_as_first": 5,
        "win_points": 1.0,
        "loss_points": -2.0,
        "weight_range": 0.2,
        "sigma": 0.05,
        "king_value": 2.0,
        "depth": 4,
        "extension": 2,
        "rules": "anaconda",
    }
    assert {name: getattr(PRESETS["paper"], name) for name in published} == published
    assert RULE_SETS["anaconda"] == {"man_moves_count": 1, "quiet_limit": 0, "ply_limit": 200, "repeat_limit": 0}
    assert round(TAU, 4) == 0.0839


def test_the_first_population_is_uniform() -> None:
    first = first_population(PRESETS["paper"])
    assert first["weights"].shape == first["sigmas"].shape == (15, 5046)
    assert np.abs(first["weights"]).max() <= 0.2
    histogram = np.histogram(first["weights"], bins=8, range=(-0.2, 0.2))[0] / first["weights"].size
    assert np.abs(histogram - 1 / 8).max() < 0.005  # four deviations of 15 * 5046 draws
    assert (first["sigmas"] == np.float32(0.05)).all()
    assert (first["king_values"] == 2.0).all()
    again = first_population(replace(PRESETS["paper"], seed=1))
    assert not np.isin(again["weights"], first["weights"]).all()


def test_offspring_follow_the_published_formulas() -> None:
    """sigma' = sigma exp(tau N(0, 1)) and w' = w + sigma' N(0, 1), on half a million weights."""
    rng = np.random.default_rng(0)
    parents = {
        "weights": rng.normal(size=(100, NUM_WEIGHTS)).astype(np.float32),
        "sigmas": rng.uniform(0.01, 0.1, (100, NUM_WEIGHTS)).astype(np.float32),
        "king_values": np.full(100, 2.0, np.float32),
    }
    before = as_bytes(parents)
    offspring = offspring_of(parents, rng)
    assert as_bytes(parents) == before
    size_steps = np.log(offspring["sigmas"].astype(np.float64) / parents["sigmas"]) / 0.0839
    weight_steps = (offspring["weights"].astype(np.float64) - parents["weights"]) / offspring["sigmas"]
    for steps in (size_steps, weight_steps):
        assert abs(steps.mean()) < 0.006  # four deviations of the mean
        assert abs(steps.std() - 1.0) < 0.004
        within_one = (np.abs(steps) < 1.0).mean()
        assert abs(within_one - 0.6827) < 0.003, "normal"
    correlation = np.corrcoef([size_steps.ravel(), weight_steps.ravel(), np.roll(weight_steps.ravel(), 1)])
    assert np.abs(correlation - np.eye(3)).max() < 0.006, "every number is drawn for itself"
    assert {name: array.dtype for name, array in offspring.items()} == dict.fromkeys(parents, np.float32)


@pytest.mark.parametrize(
    ("king_value", "expected"),
    [(2.0, [1.9, 2.0, 2.1]), (1.0, [1.0, 1.1]), (3.0, [2.9, 3.0]), (2.95, [2.85, 2.95, 3.0])],
)
def test_king_values_step_within_their_bounds(king_value: float, expected: list[float]) -> None:
    parents = {
        "weights": np.zeros((600, 4), np.float32),
        "sigmas": np.full((600, 4), 0.05, np.float32),
        "king_values": np.full(600, king_value, np.float32),
    }
    values, counts = np.unique(offspring_of(parents, np.random.default_rng(1))["king_values"], return_counts=True)
    assert values.tolist() == pytest.approx(expected)
    shares = counts / 600
    kept_at_bound = expected[0] == king_value or expected[-1] == king_value
    assert sorted(shares) == pytest.approx([1 / 3, 2 / 3] if kept_at_bound else [1 / 3] * 3, abs=0.08)


def test_every_network_opens_its_games_against_others() -> None:
    rng = np.random.default_rng(0)
    met = np.zeros((30, 30), int)
    for _ in range(200):
        pairings = draw_pairings(30, 5, rng)
        assert pairings.shape == (150, 3)
        assert (np.bincount(pairings[:, 0], minlength=30) == 5).all()
        assert (pairings[:, 0] != pairings[:, 1]).all()
        assert (pairings[:, 2] == 0).all()
        np.add.at(met, (pairings[:, 0], pairings[:, 1]), 1)
    others = met[~np.eye(30, dtype=bool)]  # 1,000 games as first player over 29 others: 34.5 expected
    assert others.min() > 34.5 - 5 * 5.8
    assert others.max() < 34.5 + 5 * 5.8


def test_points_are_one_nothing_and_minus_two() -> None:
    pairings = np.array([(0, 1, 0), (1, 2, 0), (2, 0, 0), (0, 2, 0)])
    outcomes = np.array([1.0, 0.0, -1.0, -1.0])
    # 0 beats 1; 1 and 2 draw; 0 beats 2 as second player; 2 beats 0 as second player.
    assert points(outcomes, pairings, 4, PRESETS["paper"]).tolist() == [1 + 1 - 2, -2 + 0, 0 - 2 + 1, 0]


def test_a_generation_of_the_paper_plays_150_games_and_keeps_the_best_15() -> None:
    arena = FakeArena(lambda network: network["output_bias"])
    config = replace(PRESETS["paper"], generations=1)
    first = first_population(config)
    (state, progress), *rest = evolve(config, first, 0, arena)  # type: ignore[arg-type]
    assert not rest
    assert progress.games == arena.games == 150
    assert progress.generation == 1
    assert progress.draws == 0.0
    assert state["weights"].shape == (15, NUM_WEIGHTS)
    assert progress.mean == pytest.approx((1 - 2) * 150 / 30)
    assert 5 <= progress.best <= 30

    everyone = {name: np.concatenate([first[name], array]) for name, array in _offspring(config, first).items()}
    kept = {bytes(weights) for weights in state["weights"]}
    strengths = everyone["weights"][:, OUTPUT_BIAS][:, 0]
    assert kept <= {bytes(weights) for weights in everyone["weights"]}
    assert state["weights"][:, OUTPUT_BIAS].mean() > np.sort(strengths)[15:].mean() - 0.05
    assert bytes(everyone["weights"][strengths.argmin()]) not in kept


def _offspring(config: EvolveConfig, first: dict[str, NDArray]) -> dict[str, NDArray]:
    """Return what generation 1 draws first."""
    return offspring_of(first, np.random.default_rng((config.seed, 1)))


def test_parents_survive_where_all_games_are_drawn() -> None:
    config = replace(PRESETS["paper"], generations=1)
    (state, progress), *_ = evolve(config, first_population(config), 0, FakeArena(lambda network: 0.0))  # type: ignore[arg-type]
    assert as_bytes(state) == as_bytes(first_population(config))
    assert (progress.draws, progress.best, progress.mean) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("field", ["output_bias", "king_weight"])
def test_a_population_moves_to_where_games_are_won(field: str) -> None:
    arena = FakeArena(lambda network: network[field])
    state = evolved(replace(PRESETS["paper"], generations=15), arena)
    weights, king_value = best_network(state)
    if field == "output_bias":
        assert state["weights"][:, OUTPUT_BIAS].min() > 0.3, "all began within 0.2"
        assert weights[OUTPUT_BIAS] > 0.3
    else:
        assert state["king_values"].min() > 2.5
        assert king_value == np.float32(state["king_values"][0])


# --- memetic ----------------------------------------------------------------------------------------------------------


def trace(states: States, outcome: float, scores: list[int]) -> GameTrace:
    return GameTrace(outcome, states, np.array(scores, np.int64))


def test_positions_are_remembered_in_a_ring_for_their_mover() -> None:
    config = replace(MEMETIC, memory=5)
    state = first_state(config)
    positions = CHECKERS.new(3)
    positions["to_play"] = [0, 1, 0]
    remember(state, trace(positions, -1.0, [SCORE_UNIT, -SCORE_UNIT, 0]))
    assert state["outcomes"].tolist() == [-1.0, 1.0, -1.0, 0.0, 0.0]
    np.testing.assert_allclose(state["searched"], np.tanh([1.0, -1.0, 0.0, 0.0, 0.0]), rtol=1e-6)
    assert state["codes"][0].tolist() == [1] * 12 + [0] * 8 + [-1] * 12
    assert state["codes"][1].tolist() == [1] * 12 + [0] * 8 + [-1] * 12, "the mover's own men stand at the top"
    assert state["remembered"].tolist() == [3]
    remember(state, trace(positions, 1.0, [0, 0, 0]))
    assert state["outcomes"].tolist() == [1.0, 1.0, -1.0, 1.0, -1.0]
    assert state["remembered"].tolist() == [6]


@pytest.mark.parametrize(("share", "learnt", "other"), [(1.0, "outcomes", "searched"), (0.0, "searched", "outcomes")])
def test_a_network_learns_eight_positions(share: float, learnt: str, other: str) -> None:
    config = replace(MEMETIC, memory=8, batch_size=8, steps=150, parents=2)
    state = first_state(config)
    pieces = np.array([1, 1, 1, 2, -1, -1, -1, -2] + [0] * 24)  # even, so that the sum of the inputs decides nothing
    state["codes"][:] = np.random.default_rng(1).permuted(np.tile(pieces, (8, 1)), axis=1)
    state["outcomes"][:] = [1, -1, 1, -1, 1, -1, 1, -1]
    state["searched"][:] = -state["outcomes"]
    state["remembered"][:] = 8
    state["shares"][:], state["rates"][:] = share, 0.01
    untouched = as_bytes({name: array[:1] for name, array in state.items() if name != "remembered"})
    errors = [learn(config, state, 1, 1.0, seed) for seed in range(4)]
    assert errors[-1] < errors[0] / 4
    assert untouched == as_bytes({name: array[:1] for name, array in state.items() if name != "remembered"})
    assert state["steps"].tolist() == [0, 600]
    assert gradient(state["vectors"][1], state["codes"], state[learnt])[1] < 0.02
    assert gradient(state["vectors"][1], state["codes"], state[other])[1] > 3.0


def test_the_worst_is_replaced_by_a_mutated_copy_of_the_best() -> None:
    config = replace(MEMETIC, parents=4, sigma=0.01)
    state = first_state(config)
    state["scores"][:] = [0.1, 0.9, -0.8, 0.0]
    state["averages"] += 1.0
    before = {name: array.copy() for name, array in state.items()}
    replace_worst(config, state, np.random.default_rng(0))
    for name, array in state.items():
        if len(array) == 4:
            assert (array[[0, 1, 3]] == before[name][[0, 1, 3]]).all(), name
    for name in ("averages", "moments", "steps", "scores"):
        assert (state[name][2] == before[name][1]).all()
    step = (state["vectors"][2] - before["vectors"][1])[:-1]
    assert abs(step.std() - 0.01) < 0.0005
    assert state["rates"][2] != before["rates"][1]
    assert 0.0 <= state["shares"][2] <= 1.0


def test_random_starts_lie_up_to_so_many_turns_from_the_start() -> None:
    config = replace(MEMETIC, openings=200, opening_plies=6)
    starts = random_starts(config, np.random.default_rng(2))
    assert set(starts["ply"].tolist()) == set(range(7))
    assert (starts["jumper"] == NO_JUMPER).all()
    assert not any(is_over(start) for start in starts)
    assert (starts["quiet_limit"] == 80).all()
    assert len({hash_key(start) for start in starts}) > 120


# --- what a result depends on -----------------------------------------------------------------------------------------


@needs_jit
@pytest.mark.parametrize("config", [POPULATION, MEMETIC], ids=lambda config: config.method)
def test_the_result_depends_on_the_seed_and_not_on_the_workers(config: EvolveConfig) -> None:
    found = []
    for workers, seed in ((1, 0), (3, 0), (1, 1)):
        arena = Arena(CHECKERS, workers, config.extension)
        found.append(as_bytes(evolved(replace(config, seed=seed), arena)))
        arena.close()
    assert found[0] == found[1]
    assert found[0] != found[2]


@needs_jit
@pytest.mark.parametrize("config", [POPULATION, MEMETIC], ids=lambda config: config.method)
def test_a_generation_depends_on_the_state_before_it_alone(config: EvolveConfig) -> None:
    arena = Arena(CHECKERS, 1, config.extension)
    whole = [*evolve(config, first_state(config), 0, arena)]
    state, progress = whole[1]
    rest = [*evolve(config, {name: array.copy() for name, array in state.items()}, progress.generation, arena)]
    arena.close()
    assert [progress for _, progress in rest] == [progress for _, progress in whole[2:]]
    assert as_bytes(rest[-1][0]) == as_bytes(whole[-1][0])


def test_control_starts_are_spread_over_the_deck() -> None:
    starts = control_starts(40)
    assert len({hash_key(start) for start in starts}) == 40
    assert (starts["ply"] == 3).all()
    assert len({hash_key(start) for start in control_starts(156)}) == 156
    assert (control_starts(5, "anaconda")["ply_limit"] == 200).all()


# --- train.py evolve --------------------------------------------------------------------------------------------------

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
    monkeypatch.setattr(evolve_command, "report", no_report)
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
                patch.setattr(evolve_command, "report", no_report)
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
    "during a control match": (evolve_command, "control_score", 3, "after"),
    "between two checkpoints": (Run, "log_timing", 3, "after"),
    "before the last checkpoint": (Run, "save_checkpoint", 3, "before"),
    "before the last model": (Run, "save_checkpoint", 3, "after"),
    "before the report": (evolve_command, "report", 1, "before"),
}


def run_and_die(arguments: list[str], moment: tuple[Any, str, int, str] | None) -> None:
    """Train in a forked child, which kills itself at a moment."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if moment is not None:
        owner, name, number, when = moment
        real, calls = getattr(owner, name), 0

        def striking(*positional: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*positional, **named)
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, striking)
    sys.exit(evolve_command.main(arguments))


def in_child(arguments: list[str], moment: tuple[Any, str, int, str] | None = None) -> int | None:
    """Return the exit status of a forked child that trains."""
    child = fork.Process(target=run_and_die, args=(arguments, moment))
    child.start()
    child.join()
    return child.exitcode


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
    """Wait until a run has logged so many generations."""
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
    monkeypatch.setattr(evolve_command, "report", no_report)
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
    assert "nothing was saved yet, so it starts afresh" in notices(capsys)
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
    for generations in (None, 140):
        words = shlex.split(evolve_command.resume_command(given, directory, generations))
        assert words[:3] == ["python", "train.py", "evolve"]
        again = evolve_command.parse(words[3:])
        assert again.out == directory
        assert again.resume
        assert again.config == replace(given.config, generations=generations or 70)


def test_a_run_has_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def directory_of(*arguments: str) -> str:
        return str(evolve_command.run_directory(evolve_command.parse([*arguments])))

    assert directory_of("--resume") == "runs/evolve-quick"
    for name in ("runs/evolve-quick", "runs/evolve-quick-2", "runs/evolve-quick-3"):
        assert directory_of() == name
        Path(name).mkdir(parents=True)
        assert directory_of("--resume") == name
    assert directory_of("--preset", "paper") == "runs/evolve-paper"
    assert directory_of("--out", "elsewhere") == "elsewhere"
