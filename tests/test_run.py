"""The run directory: exact resume after a kill or a fault at any disk operation, one writer, damage noticed."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from agents import checkpoints
from agents.run import CHECKPOINTS_KEPT, Run, RunError, StopSignal
from games.durable import replace_file

STEPS = 7
PERIOD = 2  # steps between checkpoints; the last step is saved too

fork = multiprocessing.get_context("fork")


def silent(line: str) -> None:
    """Take a notice and say nothing."""


def learn(directory: Path, steps: int = STEPS, notice: Callable[[str], None] = silent, pause: float = 0.0) -> None:
    """Walk at random, as a learner does: resume, step, log, save."""
    config = {"seed": 5, "steps": steps}
    with Run.create(directory, config, resume=True, extendable=["steps"], notice=notice) as run:
        generator = np.random.default_rng(5)
        step, walk = 0, np.zeros((2, 8))
        checkpoint = run.latest()
        if checkpoint is not None:
            step, walk = checkpoint.step, checkpoint.arrays["walk"]
            generator.bit_generator.state = checkpoint.state["generator"]
        while step < steps:
            step += 1
            walk += generator.normal(size=walk.shape)
            run.log(step, mean=walk.mean(), furthest=np.abs(walk).max())
            run.log_timing(step, seconds=time.perf_counter())
            if step % PERIOD == 0 or step == steps:
                run.save_checkpoint(step, {"walk": walk}, {"generator": generator.bit_generator.state})
            time.sleep(pause)


def outcome(directory: Path) -> dict[str, bytes]:
    """Return every byte that must not depend on what befell the run."""
    names = [f"checkpoints/step-{STEPS}/{name}" for name in ("arrays.safetensors", "state.json", "manifest.json")]
    return {name: (directory / name).read_bytes() for name in ["config.json", "metrics.jsonl", *names]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The outcome of a run that was never killed."""
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    learn(directory)
    return outcome(directory)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk: a killed process loses nothing that the system has."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Disk:
    """Stands before the system's file functions and strikes at the operation of a given number."""

    OPERATIONS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "ftruncate", "pwrite")

    def __init__(self, patch: pytest.MonkeyPatch, strike_at: int, strike: Callable[[], None]) -> None:
        self.strike_at = strike_at
        self.strike = strike
        self.log: list[tuple[str, Any]] = []
        self.system = {name: getattr(os, name) for name in self.OPERATIONS}
        for name in self.OPERATIONS:
            patch.setattr(os, name, self._stand_in(name))

    def _stand_in(self, name: str) -> Callable[..., Any]:
        def operate(*arguments: Any, **options: Any) -> Any:
            self.log.append((name, arguments))
            if len(self.log) - 1 == self.strike_at:
                if name == "write":  # torn: half of it gets through
                    self.system["write"](arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                self.strike()
            result = self.system[name](*arguments, **options)
            if name == "open":
                self.log[-1] = (name, (*arguments, result))
            return result

        return operate


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fill_up() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def learn_and_die(directory: Path, strike_at: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, strike_at, die)
        learn(directory)


def in_child(target: Callable[..., None], *arguments: Any) -> int:
    """Return the exit code of a forked process."""
    process = fork.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def count_operations(directory: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, -1, die)
        learn(directory)
    return len(disk.log)


def test_kill_at_every_disk_operation_loses_nothing(tmp_path: Path, hasty: None, undisturbed: dict[str, bytes]) -> None:
    operations = count_operations(tmp_path / "counted")
    assert operations > 60
    for strike_at in range(operations):
        directory = tmp_path / f"killed-{strike_at}"
        assert in_child(learn_and_die, directory, strike_at) == -signal.SIGKILL
        learn(directory)
        assert outcome(directory) == undisturbed, f"killed at operation {strike_at}"
        assert not list(directory.rglob(".tmp-*"))


def test_kills_of_the_resumed_run_lose_nothing_either(
    tmp_path: Path, hasty: None, undisturbed: dict[str, bytes]
) -> None:
    generator = np.random.default_rng(3)
    directory = tmp_path / "run"
    kills = 0
    while in_child(learn_and_die, directory, int(generator.integers(8, 60))) == -signal.SIGKILL:
        kills += 1
        assert kills < 100
    assert kills >= 3
    assert outcome(directory) == undisturbed


def test_kill_at_any_moment_loses_nothing(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    generator = np.random.default_rng(4)
    directory = tmp_path / "run"
    for _ in range(12):
        process = fork.Process(target=learn, args=(directory, STEPS, silent, 0.01))
        process.start()
        time.sleep(generator.uniform(0.0, 0.08))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    learn(directory)
    assert outcome(directory) == undisturbed


def test_full_disk_at_every_operation_is_one_line_and_loses_nothing(
    tmp_path: Path, hasty: None, undisturbed: dict[str, bytes]
) -> None:
    operations = count_operations(tmp_path / "counted")
    refusals = 0
    for strike_at in range(operations):
        directory = tmp_path / f"full-{strike_at}"
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, strike_at, fill_up)
            try:
                learn(directory)
            except RunError as error:
                refusals += 1
                assert "No space left on device" in str(error) and "\n" not in str(error)
        learn(directory)
        assert outcome(directory) == undisturbed, f"disk full at operation {strike_at}"
    assert refusals == operations  # none is passed over in silence


def test_failed_save_and_line_can_be_repeated(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        run.log(1, score=1)
        run.save_checkpoint(1, {"a": np.arange(3)}, {})
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, 0, fill_up)
            with pytest.raises(RunError, match=r"step 2 is not logged.*checkpoint step-1 is whole, and --resume"):
                run.log(2, score=2)
        run.log(2, score=2)
        for strike_at in range(30):
            with pytest.MonkeyPatch.context() as patch:
                Disk(patch, strike_at, fill_up)
                try:
                    run.save_checkpoint(2, {"a": np.arange(4)}, {})
                except RunError as error:
                    assert "checkpoint step-2 is not saved: No space left on device" in str(error)
                else:
                    break
        assert strike_at > 8
        checkpoint = run.latest()
    assert checkpoint is not None and checkpoint.step == 2
    assert (tmp_path / "run/metrics.jsonl").read_text() == '{"step": 1, "score": 1}\n{"step": 2, "score": 2}\n'


def test_everything_is_flushed_before_the_checkpoint_gets_its_name(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}) as run, pytest.MonkeyPatch.context() as patch:
        run.log(1, score=1)
        disk = Disk(patch, -1, die)
        run.save_checkpoint(1, {"a": np.arange(3)}, {})
    names = [(name, Path(arguments[0]).name if name == "rename" else "") for name, arguments in disk.log]
    renaming = len(names) - 1 - names[::-1].index(("rename", ".tmp-step-1"))
    opened: dict[int, str] = {}
    order = []
    for index, (name, arguments) in enumerate(disk.log):
        if name == "open":
            opened[arguments[-1]] = Path(arguments[0]).name
        elif name in ("write", "fsync") and index < renaming:
            order.append((name, opened.get(arguments[0], "metrics or timing")))
    flushed = [file for name, file in order if name == "fsync"]
    assert flushed[:2] == ["metrics or timing"] * 2
    assert flushed[2:] == ["arrays.safetensors", "state.json", "manifest.json", ".tmp-step-1"]
    for file in flushed[2:5]:
        assert max(i for i, event in enumerate(order) if event == ("write", file)) < order.index(("fsync", file))
    afterwards = [name for name, _ in disk.log[renaming:]]
    assert afterwards[:3] == ["rename", "open", "fsync"] and opened[disk.log[renaming + 2][1][0]] == "checkpoints"


def test_short_writes_are_completed(
    tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:100]))
    learn(tmp_path / "run")
    assert outcome(tmp_path / "run") == undisturbed


def test_replaced_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen = []
    for strike_at in range(8):
        path.write_bytes(b"old")
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(OSError):
            Disk(patch, strike_at, fill_up)
            replace_file(path, b"new and longer")
        seen.append(path.read_bytes())
    assert set(seen) == {b"old", b"new and longer"} and seen[:4] == [b"old"] * 4


def test_run_extended_later_equals_the_longer_run(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    learn(tmp_path / "run", steps=5)
    learn(tmp_path / "run", steps=STEPS)
    assert outcome(tmp_path / "run") == undisturbed


def test_timing_has_one_line_a_step_after_a_kill(tmp_path: Path) -> None:
    for strike_at in (40, 50):
        assert in_child(learn_and_die, tmp_path / "run", strike_at) == -signal.SIGKILL
    learn(tmp_path / "run")
    lines = (tmp_path / "run/timing.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, STEPS + 1))


def test_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "flags": np.array([True, False, True]),
        "bytes": np.arange(7, dtype=np.uint8),
        "half": np.array([[1.5], [-2.0]], np.float16),
        "swapped": np.arange(5, dtype=">i4"),
        "strided": np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-1],
        "scalar": np.array(2.5),
        "nothing": np.zeros((0, 3), np.uint64),
    }
    state = {"generator": np.random.PCG64(1).state, "names": ["a", "ü"], "best": None}
    with Run.create(tmp_path / "run", {}) as run:
        assert run.latest() is None
        run.save_checkpoint(0, arrays, state)
        checkpoint = run.latest()
    assert checkpoint is not None and checkpoint.step == 0 and checkpoint.state == state
    assert checkpoint.arrays.keys() == arrays.keys()
    for name, array in checkpoint.arrays.items():
        assert array.dtype == arrays[name].dtype.newbyteorder("=") and array.shape == arrays[name].shape
        assert np.array_equal(array, arrays[name]) and array.flags.writeable
    assert load_file(tmp_path / "run/checkpoints/step-0/arrays.safetensors").keys() == arrays.keys()


def test_old_checkpoints_are_removed(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        for step in range(1, 12):
            run.save_checkpoint(step, {}, {})
    kept = {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert kept == {f"step-{step}" for step in range(12 - CHECKPOINTS_KEPT, 12)}


# Damage


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("name", ["arrays.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", [flip_byte, cut_short, Path.unlink])
def test_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, undisturbed: dict[str, bytes], name: str, damage: Callable[[Path], None]
) -> None:
    directory = tmp_path / "run"
    learn(directory)
    damage(directory / f"checkpoints/step-{STEPS}" / name)
    notices: list[str] = []
    learn(directory, notice=notices.append)
    assert len(notices) == 1 and "\n" not in notices[0]
    assert f"step-{STEPS}/{name}" in notices[0] and "going on from step-6" in notices[0]
    assert outcome(directory) == undisturbed
    assert (directory / f"checkpoints/damaged-step-{STEPS}").is_dir()


def test_every_flipped_bit_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        run.save_checkpoint(1, {"a": np.arange(3)}, {})
        path = tmp_path / "run/checkpoints/step-1/manifest.json"
        data = path.read_bytes()
        for position in range(len(data)):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :])
            with pytest.raises(RunError):
                run.latest()


def test_run_whose_checkpoints_are_all_damaged_does_not_start_afresh(tmp_path: Path) -> None:
    learn(tmp_path / "run")
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    for path in (tmp_path / "run/checkpoints").glob("*/state.json"):
        flip_byte(path)
    with pytest.raises(RunError, match=r"no checkpoint is whole: step-7/state\.json does not match its hash; step-6"):
        learn(tmp_path / "run")
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before


def test_checkpoint_of_a_later_format_is_refused_and_kept(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FORMAT_VERSION", 2)
        learn(tmp_path / "run")
    with pytest.raises(RunError, match="step-7 has format version 2, and only 1 is known here"):
        learn(tmp_path / "run")
    assert (tmp_path / "run/checkpoints/step-7").is_dir()


def test_damaged_metrics_are_told_and_their_readable_lines_kept(tmp_path: Path) -> None:
    learn(tmp_path / "run")
    path = tmp_path / "run/metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b'{"step": [' + b"\xff" * 9 + b"\n", *lines[4:]]))
    notices: list[str] = []
    learn(tmp_path / "run", notice=notices.append)
    assert len(notices) == 1 and "metrics.jsonl was damaged or edited since checkpoint step-7" in notices[0]
    assert path.read_bytes().splitlines(keepends=True) == lines[:3] + lines[4:]


# What may not be written


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_checkpoint_with_nan_is_refused_and_the_last_stays(tmp_path: Path, value: float) -> None:
    bad = np.zeros((3, 4), np.float32)
    bad[1, 2] = value
    with Run.create(tmp_path / "run", {}) as run:
        run.save_checkpoint(1, {"good": np.zeros(2)}, {})
        with pytest.raises(
            RunError, match=r"step-2 is not saved: array 'bad' holds \S+ at \[1, 2\]; .*step-1 is whole"
        ):
            run.save_checkpoint(2, {"bad": bad}, {})
        with pytest.raises(RunError, match=r"state\.best\[0\] is"):
            run.save_checkpoint(2, {}, {"best": (value,)})
        with pytest.raises(RunError, match=r"step 2 is not logged: metric\.loss is"):
            run.log(2, loss=value)
        checkpoint = run.latest()
    assert checkpoint is not None and checkpoint.step == 1
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-1"]
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("arrays", "state", "problem"),
    [
        ({"a": np.array(["text"])}, {}, "array 'a' of type <U4 cannot be stored"),
        ({"a": np.array([None])}, {}, "array 'a' of type object cannot be stored"),
        ({}, {"a": {1: 2}}, "state.a has the key 1, and keys must be text"),
        ({}, {"a": np.zeros(2)}, "state.a is of type ndarray, which JSON cannot hold"),
    ],
)
def test_what_cannot_be_stored_is_named(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], state: dict[str, Any], problem: str
) -> None:
    with Run.create(tmp_path / "run", {}) as run, pytest.raises(RunError, match=problem):
        run.save_checkpoint(1, arrays, state)


def test_steps_go_forward(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        run.save_checkpoint(3, {}, {})
        with pytest.raises(AssertionError, match="step 3 is not later than checkpoint step-3"):
            run.log(3, score=1)
        with pytest.raises(AssertionError, match="step 3"):
            run.save_checkpoint(3, {}, {})


# Starting


def test_existing_run_asks_for_resume(tmp_path: Path) -> None:
    learn(tmp_path / "run")
    before = outcome(tmp_path / "run")
    with pytest.raises(RunError, match="exists already: add --resume to go on with it, or choose another --out"):
        Run.create(tmp_path / "run", {})
    assert outcome(tmp_path / "run") == before


def test_another_config_is_refused_by_field(tmp_path: Path) -> None:
    config = {"seed": 1, "net": {"width": 32, "depth": 2}, "generations": 10, "sizes": (3, 4)}
    Run.create(tmp_path / "run", config).close()
    other = {**config, "seed": 2, "net": {"width": 64, "depth": 2}, "new": True}
    with pytest.raises(RunError, match=r"seed was 1 and is now 2, net\.width was 32 and is now 64, new was absent and"):
        Run.create(tmp_path / "run", other, resume=True)
    longer = {**config, "generations": 20}
    Run.create(tmp_path / "run", longer, resume=True, extendable=["generations"], notice=silent).close()
    assert json.loads((tmp_path / "run/config.json").read_text()) == {**longer, "sizes": [3, 4]}


FOUND = ["there is no such run", "nothing was saved"]


def test_resume_with_nothing_saved_starts_afresh_and_says_so(tmp_path: Path) -> None:
    notices: list[str] = []
    with Run.create(tmp_path / "run", {}, resume=True, notice=notices.append) as run:
        run.log(1, score=1)
    with Run.create(tmp_path / "run", {}, resume=True, notice=notices.append) as run:
        assert run.latest() is None
    starts = [f"run {tmp_path / 'run'}: {found} yet, so it starts afresh" for found in FOUND]
    assert notices == starts
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == b""


def test_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(RunError, match=r"is not empty and holds no run \(no config.json\): choose another --out"):
            Run.create(tmp_path, {}, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(RunError, match="Not a directory"):
            Run.create(place, {})


def test_folder_of_another_user_is_refused_in_one_line(tmp_path: Path) -> None:
    def try_it() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)
        with pytest.raises(RunError, match=r"^run .*: Permission denied"):
            Run.create(tmp_path / "locked/run", {})

    (tmp_path / "locked").mkdir(mode=0o500)
    assert in_child(try_it) == 0


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00"])
def test_damaged_config_is_refused(tmp_path: Path, text: str) -> None:
    Run.create(tmp_path / "run", {}).close()
    (tmp_path / "run/config.json").write_text(text)
    with pytest.raises(RunError, match=r"config.json is not a JSON object"):
        Run.create(tmp_path / "run", {}, resume=True)


# One writer


def hold(directory: Path, ready: Any, with_worker: bool) -> None:
    """Open the run, fork a worker that outlives this process where asked, and wait to be killed."""
    run = Run.create(directory, {}, resume=True, notice=silent)
    run.log(1, score=1)
    worker = os.fork() if with_worker else 0
    if with_worker and worker == 0:
        time.sleep(60)
        os._exit(0)
    ready.send(worker)
    time.sleep(60)


@pytest.fixture
def writer(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Any, int]]:
    """A process that writes tmp_path/run and its worker's id (0: it has none)."""
    ours, theirs = fork.Pipe()
    process = fork.Process(target=hold, args=(tmp_path / "run", theirs, request.param))
    process.start()
    worker = ours.recv()
    yield process, worker
    process.kill()
    process.join()
    if worker:
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("writer", [False, True], ids=["alone", "with a worker that outlives it"], indirect=True)
def test_second_writer_is_refused_until_the_first_is_dead(tmp_path: Path, writer: tuple[Any, int]) -> None:
    process, worker = writer
    with pytest.raises(RunError, match=f"it is being written by process {process.pid}, and a run has one writer"):
        Run.create(tmp_path / "run", {}, resume=True)
    assert (tmp_path / "run/metrics.jsonl").read_text() == '{"step": 1, "score": 1}\n'
    process.kill()
    process.join()
    if worker:
        os.kill(worker, 0)  # alive
    Run.create(tmp_path / "run", {}, resume=True, notice=silent).close()


def test_second_run_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}), pytest.raises(RunError, match=f"written by process {os.getpid()}"):
        Run.create(tmp_path / "run", {}, resume=True)
    Run.create(tmp_path / "run", {}, resume=True, notice=silent).close()


# Stop signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_and_the_second_interrupts(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with StopSignal("stopping after this step") as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert "stopping after this step" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_worker_forked_inside_the_block_dies_of_sigterm_only() -> None:
    def signal_itself(number: int) -> None:
        os.kill(os.getpid(), number)
        os._exit(7)

    with StopSignal("") as stop:
        assert in_child(signal_itself, signal.SIGTERM) == -signal.SIGTERM
        assert in_child(signal_itself, signal.SIGINT) == 7
        assert not stop.requested


# TensorBoard


def test_tensorboard_shows_a_resumed_run_without_repeats(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, last in ((1, 4), (3, 5)):  # the first process dies after step 4; step 2 was the last one saved
        with Run.create(tmp_path / "run", {}, resume=first > 1, tensorboard=True) as run:
            for step in range(first, last + 1):
                run.log(step, score=np.float32(10 * first + step), name="text")
                if step == 2:
                    run.save_checkpoint(2, {}, {})
    events = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    scores = [(event.step, event.value) for event in events.Scalars("score")]
    assert scores == [(1, 11), (2, 12), (3, 33), (4, 34), (5, 35)]
    assert events.Tags()["scalars"] == ["score"]


def test_missing_tensorboard_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(RunError, match=r"TensorBoard is not installed: pip install -e '\.\[tensorboard\]'"):
        Run.create(tmp_path / "run", {}, tensorboard=True)
    assert not (tmp_path / "run").exists()
