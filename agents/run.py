"""The run directory: a learner's config, metrics and checkpoints, such that a kill at any moment loses nothing saved.

config.json            the learner's configuration
arguments.json         the learner's name and the options of the command line, for --resume to need none of them
metrics.jsonl          a JSON object a line, "step" first: byte for byte that of a run never killed
timing.jsonl           the same form, for what no two runs share: seconds, games a second
tensorboard/           events, where asked for
report.json            what a finished run was measured by
initial.safetensors    a copy of the network of another run that it began from, if it did
checkpoints/step-N/    see agents/checkpoints.py
run.lock               held by the one process that writes here; the system releases it at its death
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from numpy.typing import NDArray

from agents import checkpoints
from agents.checkpoints import Checkpoint, CheckpointError
from games.durable import (
    TEMPORARY,
    PlainError,
    flush,
    json_line,
    plain,
    remove_folder,
    remove_temporaries,
    replace_file,
    sync_directory,
    write_all,
)
from games.refusal import RefusedError

CHECKPOINTS_KEPT = 3

_CONFIG = "config.json"
_ARGUMENTS = "arguments.json"
_LOCK = "run.lock"
_NOTHING = -1  # the step of a run that has saved nothing


class RunError(RefusedError):
    """A run that cannot start, go on or save: one line that names the run, what is wrong and what stays."""


class Run:
    """The one writer of a run directory; made by `Run.create`, and a context manager."""

    def __init__(
        self, directory: Path, lock: int, saved_step: int, metrics: LineFile, timing: LineFile, events: Events | None
    ) -> None:
        self.directory = directory
        self._lock: int | None = lock  # a file descriptor; None: closed
        self._saved_step = saved_step
        self._metrics = metrics
        self._timing = timing
        self._events = events
        _open_runs.add(self)

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        arguments: Sequence[str] = (),
        resume: bool = False,
        extendable: Collection[str] = (),
        tensorboard: bool = False,
        notice: Callable[[str], None] = print,
    ) -> Run:
        """Start a run in a directory that is new or empty, or go on with the one that is there.

        With `resume`, metrics and timing are cut back to the newest whole checkpoint, which `latest` then gives.
        The config must be the saved one except in the (dotted) fields that `extendable` names. `arguments` are kept for
        `read_arguments`. `notice` is told, in one line each, what goes on other than asked: a fresh start, a damaged
        checkpoint. Raises RunError.
        """
        directory = Path(directory)
        with _explained(f"run {directory}"):
            wanted = plain(config, "config")
            _check_place(directory, resume)
            new_events = _events_writer() if tensorboard else None
            directory.mkdir(parents=True, exist_ok=True)
            lock = _acquire_lock(directory)
            try:
                _check_place(directory, resume)  # again: before the lock another process could write
                run = _open(directory, lock, wanted, resume, extendable, new_events, notice)
                if read_arguments(directory) != list(arguments):
                    replace_file(directory / _ARGUMENTS, json.dumps(list(arguments)).encode() + b"\n")
                return run
            except BaseException:
                os.close(lock)
                raise

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint, verified, or None where nothing is saved."""
        if self._saved_step == _NOTHING:
            return None
        with _explained(f"run {self.directory}"):
            return checkpoints.read_checkpoint(self._checkpoints, self._saved_step)

    def log(self, step: int, **metrics: Any) -> None:
        """Append one line of metrics (JSON values, numpy scalars): only what the seed decides, no time, no speed.

        Precondition: `step` is later than the last checkpoint's, so a step is logged before it is saved. Raises
        RunError for a value that is not finite, and for a disk that refuses.
        """
        self._append(self._metrics, step, metrics)

    def log_timing(self, step: int, **timing: Any) -> None:
        """Append one line of measurements that another run of the same config would not repeat."""
        self._append(self._timing, step, timing)

    def save_checkpoint(self, step: int, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        """Save what the learner needs to go on after `step`, and remove checkpoints beyond the newest three.

        Arrays are of bool, integers or floats; `state` is JSON. Precondition: `step` is later than the last
        checkpoint's. Raises RunError for NaN or infinity, and for a disk that refuses; the checkpoints before it are
        untouched then, and the call may be repeated.
        """
        self._check_step(step)
        with _explained(f"run {self.directory}: checkpoint step-{step} is not saved", self._what_stays()):
            self._metrics.sync()
            self._timing.sync()
            checkpoints.write_checkpoint(self._checkpoints, step, arrays, state, self._metrics.sha256())
        self._saved_step = step
        with _explained(f"run {self.directory}: an old checkpoint cannot be removed", self._what_stays()):
            for old in checkpoints.saved_steps(self._checkpoints)[CHECKPOINTS_KEPT:]:
                remove_folder(self._checkpoints / f"step-{old}")

    def close(self) -> None:
        """Flush the metrics to the disk and let another process write this run."""
        if self._lock is not None:
            try:
                with _explained(f"run {self.directory}: the metrics cannot be flushed", self._what_stays()):
                    self._metrics.sync()
                    self._timing.sync()
            finally:
                self._close_files()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _checkpoints(self) -> Path:
        return self.directory / "checkpoints"

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give the path of a file of the run that the block writes; what the disk refuses becomes a RunError."""
        with _explained(f"run {self.directory}: {name} is not written", self._what_stays()):
            yield self.directory / name

    def keep(self, name: str, file: Path) -> None:
        """Keep a copy of a file under a name in the run's directory, unless there is one from before."""
        with self.writing(name) as path:
            if not path.exists():
                replace_file(path, file.read_bytes())

    def _append(self, file: LineFile, step: int, values: Mapping[str, Any]) -> None:
        self._check_step(step)
        with _explained(f"run {self.directory}: step {step} is not logged", self._what_stays()):
            line = {"step": step, **plain(values, "metric")}
            file.append(json_line(line))
            if self._events is not None:
                self._events.write(line)

    def _check_step(self, step: int) -> None:
        assert self._lock is not None, "the run is closed"
        assert step > self._saved_step, f"step {step} is not later than checkpoint step-{self._saved_step}"

    def _what_stays(self) -> str:
        if self._saved_step == _NOTHING:
            return "; nothing was saved before"
        return f"; checkpoint step-{self._saved_step} is whole, and --resume goes on from it"

    def _close_files(self) -> None:
        """Close every file; the lock goes with the last copy of its descriptor."""
        if self._lock is not None:
            self._metrics.close()
            self._timing.close()
            if self._events is not None:
                self._events.close()
            os.close(self._lock)
            self._lock = None


_open_runs: weakref.WeakSet[Run] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Close a forked child's copies of the files, lest a worker that outlives its parent keep the lock."""
    for run in list(_open_runs):
        run._close_files()


os.register_at_fork(after_in_child=_leave_to_parent)


class LineFile:
    """An append-only file of JSON lines; opening it drops a torn line and the lines of later steps."""

    def __init__(self, path: Path, last_step: int) -> None:
        found = path.read_bytes() if path.exists() else None
        kept = _lines_up_to(found or b"", last_step)
        if kept != found:
            replace_file(path, kept)
        self._hash = hashlib.sha256(kept)
        self._size = len(kept)
        self._torn = False  # bytes after _size belong to a line that could not be finished
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)

    def append(self, line: bytes) -> None:
        """Write one line, ended by its newline, to the system."""
        if self._torn:
            os.ftruncate(self._descriptor, self._size)
        self._torn = True
        write_all(self._descriptor, line)
        self._torn = False
        self._hash.update(line)
        self._size += len(line)

    def sha256(self) -> str:
        """Return the hash of all lines."""
        return self._hash.hexdigest()

    def sync(self) -> None:
        """Write through to the disk."""
        flush(self._descriptor)

    def close(self) -> None:
        """Close the file; nothing may be appended afterwards."""
        os.close(self._descriptor)


class Events:
    """TensorBoard's copy of the lines, written without torch or TensorFlow."""

    def __init__(self, directory: Path, first_step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        directory.mkdir(exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        path = directory / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        self._file = path.open("xb", buffering=0)
        self._records = RecordWriter(self._file)
        self._event = Event
        self._write(file_version="brain.Event:2")
        # Drops from the display what a killed process wrote of the steps that now come again.
        self._write(step=first_step, session_log=SessionLog(status=SessionLog.START))

    def write(self, line: Mapping[str, Any]) -> None:
        """Write the numbers of a line of metrics or timing."""
        numbers = {name: value for name, value in line.items() if isinstance(value, int | float) and name != "step"}
        summary = {"value": [{"tag": name, "simple_value": value} for name, value in numbers.items()]}
        self._write(step=line["step"], summary=summary)

    def close(self) -> None:
        """Close the file; nothing may be written afterwards."""
        self._file.close()

    def _write(self, **fields: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())


class StopSignal:
    """Inside the block Ctrl-C and SIGTERM only set `requested`, for a loop to poll and save; a second one interrupts.

    `message` goes to stderr at the first signal. Workers forked inside the block die of SIGTERM as ever and leave
    Ctrl-C to their parent. Precondition: entered in the main thread.
    """

    def __init__(self, message: str) -> None:
        self.requested = False
        self._message = message

    def __enter__(self) -> StopSignal:
        self._process = os.getpid()
        self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        with contextlib.suppress(OSError):
            os.write(2, f"\n{self._message}\n".encode())  # print is not reentrant, and may be what was interrupted


def _open(
    directory: Path,
    lock: int,
    config: dict[str, Any],
    resume: bool,
    extendable: Collection[str],
    new_events: Callable[[Path, int], Events] | None,
    notice: Callable[[str], None],
) -> Run:
    """Bring the directory to the state of its newest whole checkpoint; a kill in here leaves it to be done again."""
    folder = directory / "checkpoints"
    saved_config = _read_config(directory)
    if saved_config is not None:
        _check_config(saved_config, config, extendable)
    manifest, damage = checkpoints.newest_whole(folder)
    saved_step: int = manifest["step"] if manifest else _NOTHING
    if saved_config is not None:
        _check_budget(saved_config, config, extendable, saved_step)
    if resume and manifest is None:
        found = "there is no such run yet" if saved_config is None else "nothing was saved yet"
        beside = _others_beside(directory) if saved_config is None else ""
        notice(f"run {directory}: {found}{beside}, so it starts afresh")
    for name, old, new in _changes(saved_config, config) if saved_config is not None else ():
        notice(f"run {directory}: {name} was {old} and is now {new}")
    remove_temporaries(directory)
    remove_temporaries(folder)
    if saved_config != config:
        replace_file(directory / _CONFIG, json.dumps(config, indent=2).encode() + b"\n")
    folder.mkdir(exist_ok=True)
    sync_directory(directory.parent)
    for step, problem in damage.items():
        kept_as = checkpoints.set_aside(folder, step)
        notice(
            f"run {directory}: a damaged checkpoint ({problem}) is kept as {kept_as}; going on from step-{saved_step}"
        )
    metrics = LineFile(directory / "metrics.jsonl", saved_step)
    timing = LineFile(directory / "timing.jsonl", saved_step)
    if manifest and manifest["metrics_sha256"] != metrics.sha256():
        notice(
            f"run {directory}: metrics.jsonl was damaged or edited since checkpoint step-{saved_step}; "
            "its readable lines up to there are kept"
        )
    events = new_events(directory / "tensorboard", saved_step + 1) if new_events else None
    return Run(directory, lock, saved_step, metrics, timing, events)


def _others_beside(directory: Path) -> str:
    """Return in parentheses the names of a few runs that lie beside a directory, the newest first, or nothing."""
    found = sorted(directory.parent.glob(f"*/{_CONFIG}"), key=lambda path: -path.stat().st_mtime)
    names = [path.parent.name for path in found[:3]]
    return f" (the newest there: {', '.join(names)})" if names else ""


def read_arguments(directory: Path) -> list[str]:
    """Return the learner and the options that a run was started with, nothing where they are not known."""
    try:
        words = json.loads((directory / _ARGUMENTS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else []


def write_report(directory: Path, document: Any) -> None:
    """Write report.json, what a run's end found out, into its directory: the whole of it or nothing."""
    replace_file(directory / "report.json", json.dumps(document, indent=1).encode() + b"\n")


def _check_place(directory: Path, resume: bool) -> None:
    """Refuse a directory that holds another run, or something that is no run."""
    if not directory.exists():
        return
    names = {path.name for path in directory.iterdir()}
    if _CONFIG in names:
        if not resume:
            raise RunError("it exists already: add --resume to go on with it, or choose another --out")
    elif any(name != _LOCK and not name.startswith(TEMPORARY) for name in names):
        raise RunError(f"the directory is not empty and holds no run (no {_CONFIG}): choose another --out")


def _acquire_lock(directory: Path) -> int:
    """Return the descriptor whose closing, at the latest by the system, lets the next writer in."""
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        process = f"process {owner}" if owner.isdigit() else "another process"
        raise RunError(f"it is being written by {process}, and a run has one writer") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _events_writer() -> Callable[[Path, int], Events]:
    """Return what opens TensorBoard's file, once it is known to be installed."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise RunError("TensorBoard is not installed: pip install -e '.[tensorboard]'") from None
    return Events


def _read_config(directory: Path) -> dict[str, Any] | None:
    path = directory / _CONFIG
    if not path.exists():
        return None
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise RunError(f"{_CONFIG} is not a JSON object (damaged or edited)")
    return config


def _check_config(saved: dict[str, Any], wanted: dict[str, Any], extendable: Collection[str]) -> None:
    """Refuse to go on under another config."""
    learner = saved.get("learner")
    if learner != wanted.get("learner") and isinstance(learner, str):
        raise RunError(f"it is a run of another learner: train.py {learner} goes on with it; or choose another --out")
    changes = [(name, old, new) for name, old, new in _changes(saved, wanted) if name not in extendable]
    if changes:
        listing = ", ".join(f"{name} was {old} and is now {new}" for name, old, new in changes)
        raise RunError(f"it has another config: {listing}; resume it as it was started, or choose another --out")


def _check_budget(saved: dict[str, Any], wanted: dict[str, Any], extendable: Collection[str], done: int) -> None:
    """Refuse a new budget, counted in steps, that is used up already; 0 is none at all, and a float counts minutes."""
    for name in extendable:
        new = wanted.get(name)
        if type(new) is int and type(saved.get(name)) is int and new != saved.get(name) and 0 < new < done:
            raise RunError(f"--{name} {new}: {done} are done already; it was {saved.get(name)}")


def _changes(saved: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (dotted name, saved value, wanted value) of every field that differs, the values as JSON."""
    for key in [*saved, *(key for key in wanted if key not in saved)]:
        old, new = saved.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{prefix}{key}.")
        elif key not in saved or key not in wanted or old != new:
            was, now = (json.dumps(side[key]) if key in side else "absent" for side in (saved, wanted))
            yield f"{prefix}{key}", was, now


def _lines_up_to(data: bytes, step: int) -> bytes:
    """Return the whole, readable lines whose step is not later than `step`."""
    kept = []
    for line in data.split(b"\n")[:-1]:  # what follows the last newline is torn, or empty
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            if json.loads(line)["step"] <= step:
                kept.append(line + b"\n")
    return b"".join(kept)


@contextlib.contextmanager
def _explained(context: str, what_stays: str = "") -> Iterator[None]:
    """Turn what the disk and the contents refuse into one clear line."""
    try:
        yield
    except (RunError, CheckpointError, PlainError) as error:
        raise RunError(f"{context}: {error}{what_stays}") from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise RunError(f"{context}: {error.strerror or error}{where}{what_stays}") from error
