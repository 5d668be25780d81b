"""A run of imitation: the records read, the network made or taken up, trained with live progress, and measured.

Knows the terminal and the disk; `agents/imitation/learner.py` knows the learning.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console

from agents.imitation.accuracy import Predict, choose, has_moves, measure, predict_all, summary, table
from agents.imitation.command import Options, data_paths, run_name
from agents.imitation.config import PRESETS, ImitateConfig, ImitateError
from agents.imitation.data import SampleStream, Split, split_records
from agents.imitation.learner import Learner, adapted, mover_logits, train
from agents.learner_command import notice_on, resume_command, run_arguments, run_directory
from agents.model_files import INITIAL_FILE, MODEL_FILE, initial_file
from agents.network_evaluator import Policy, encoder_of, load_policy, network_spec, save_for_game
from agents.run import Run, StopSignal, write_report
from agents.steps_bar import live_bar
from games.archives import fault_line, load_records
from games.catalogue import find_game
from games.compiled import NDArray
from games.go import size_text
from games.machine import available_processors
from games.record_batches import Batch, PositionReader
from games.records import Positions, Records
from games.rules import Game
from nets.growth import grown
from nets.inference import make_inference
from nets.models import PolicyValueNet, load_model, num_parameters
from nets.precision import choose_device
from nets.regularisers import EarlyStopping
from nets.training import compute_alike

REPORT_POSITIONS = 10_000
SHOWN_PERIOD = 0.5  # seconds between updates of the live line
VALIDATION_SEED = 0  # of the choice of positions, so that runs can be compared
REPORT_SEED = 1  # of others: the network was chosen by those


class Source(NamedTuple):
    """What a network is of."""

    game: Game
    features: str  # name of the planes
    initial: Policy | None  # what --init names


@dataclass(frozen=True)
class Material:
    """What a network is trained on and measured with."""

    game: Game
    split: Split
    features: str  # name of the planes
    training: PositionReader
    validation: PositionReader
    initial: Policy | None  # what --init names


def train_from(options: Options, console: Console) -> None:
    """Train until the budget is used up or a signal stops it, saving as it goes; then measure the network."""
    deadline = time.monotonic() + (60 * options.stop_after or math.inf)
    config, directory = options.config, run_directory(options, run_name(options))
    device = choose_device(options.device)
    threads = options.threads or available_processors()
    compute_alike(threads, device)
    notice = notice_on(console)
    source = source_of(options, directory)
    model = first_model(options, source)  # before the records, whose reading takes a minute
    material = prepare(options, source, console)
    learner = Learner(config, model, device)
    notice(description(material, learner, threads))
    if (apart := kept_apart(config, material.initial)) < config.held_out:
        notice(
            f"--init has kept {apart:g} of its games apart, not {config.held_out:g}: it may know games held out here"
        )
    saved_config = {
        "learner": "imitate",
        "game": material.game.name,
        **dataclasses.asdict(config),
        "network": config.network if material.initial is None else config.grow,
        "features": material.features,
        "init": None if material.initial is None else material.initial.sha256,
        "kept_apart": kept_apart(config, material.initial),
        "records": fingerprint(material.split),
    }
    with (
        Run.create(
            directory,
            saved_config,
            arguments=run_arguments("imitate", options, PRESETS[options.preset]),
            resume=options.resume,
            extendable={"positions", "minutes"},
            tensorboard=options.tensorboard,
            notice=notice,
        ) as run,
        StopSignal("stopping after this step; a second Ctrl-C stops at once") as stop,
    ):
        if material.initial is not None:
            run.keep(INITIAL_FILE, material.initial.file)
        session = Session(run, config, learner, material, saved_config, console)
        # On a processor one thread makes batches many times faster than the network takes them.
        readers = 1 if device.type == "cpu" else max(1, threads - 1)
        if not session.train(stop, deadline, readers):
            notice(f"stopped; go on with: {resume_command('imitate', options, directory)}")
            return
    report(directory, material, console)
    player = shlex.quote(f"policy:model={directory / MODEL_FILE}")
    records = shlex.join(map(str, data_paths(options)))
    size = f" --size {size_text(*material.game.planes_shape[1:])}" if material.game.family == "go" else ""
    notice(f"play it:     python play.py {material.game.family}{size} --white {player}")
    notice(f"measure it:  python benchmarks/bench.py accuracy {shlex.quote(str(directory))} {records}")


# --- what to train, and on what ---------------------------------------------------------------------------------------


def source_of(options: Options, directory: Path) -> Source:
    """Return what the network is of; RefusedErrors say what there is not."""
    game = find_game(options.game)
    init = None if options.init is None else initial_file(options.init, directory, options.resume)
    initial = None if init is None else load_policy(init, "--init", game)
    return Source(game, options.config.features if initial is None else initial.features, initial)


def prepare(options: Options, source: Source, console: Console) -> Material:
    """Read the records and part them; RefusedErrors say what is wrong with them."""
    game, features, initial = source
    split = split_records(read_records(options, game, console), game, options.config.held_out)
    training, validation = (reader_of(positions, features) for positions in (split.training, split.validation))
    return Material(game, split, features, training, validation, initial)


def kept_apart(config: ImitateConfig, initial: Policy | None) -> float:
    """Return the share of games that neither this run nor those before it learn from.

    A larger share contains each smaller one.
    """
    before = None if initial is None else initial.kept_apart
    return config.held_out if before is None else min(config.held_out, before)


def read_records(options: Options, game: Game, console: Console) -> Records:
    """Read all games; how many are damaged is told, and the first of them named."""
    with console.status("reading the records") as status:
        loaded = load_records(
            data_paths(options),
            game.family,
            workers=0,
            on_progress=lambda name, done, total: status.update(f"reading the records: {done / total:.0%}  {name}"),
        )
    if loaded.faults:
        notice_on(console)(fault_line(loaded.faults, game.family))
    return loaded.records


def reader_of(positions: Positions, features: str) -> PositionReader:
    """Return a reader of positions as a set of planes, in bytes where all of them are zeros and ones."""
    return PositionReader(positions, features, np.float32 if features == "observe" else np.uint8)


def first_model(options: Options, source: Source) -> PolicyValueNet:
    """Return the network that training begins with; RefusedErrors where the options name none that fits."""
    config, game, initial = options.config, source.game, source.initial
    torch.manual_seed(config.seed)
    num_planes = encoder_of(game, source.features)[1]
    if initial is not None:
        with_value = config.value_weight > 0
        model = adapted(initial.model, (num_planes, *game.planes_shape[1:]), with_value)
        return grown(model, network_spec("--grow", config.grow, game, num_planes).trunk) if config.grow else model
    spec = network_spec("--network", config.network, game, num_planes)
    weight = config.value_weight
    if spec.value is None and weight and weight != PRESETS[options.preset].value_weight:
        raise ImitateError(f"--value-weight {weight:g}: {config.network} has no value head")
    return (spec if weight else dataclasses.replace(spec, value=None)).build()


def fingerprint(split: Split) -> dict[str, Any]:
    """Return what tells the records of one run from another's, whatever their files are called."""
    games = split.training.games
    digest = hashlib.sha256(split.training.records.digests()[games].tobytes()).hexdigest()
    return {"games": len(games), "positions": len(split.training), "sha256": digest[:16]}


def description(material: Material, learner: Learner, threads: int) -> str:
    """Return what is about to happen, in one line."""
    split = material.split
    place = f"on {threads} thread{'s' * (threads > 1)}" if learner.device.type == "cpu" else "on a GPU"
    precision = str(learner.precision).removeprefix("torch.")
    return (
        f"{len(split.training.games):,} games with {len(split.training):,} positions to learn from, "
        f"{len(split.validation.games):,} games apart; a network of {num_parameters(learner.model):,} weights, "
        f"planes {material.features}, {place} in {precision}"
    )


# --- a process's part of a run ----------------------------------------------------------------------------------------


class Session:
    """One process's part of a run, from the last checkpoint on."""

    def __init__(
        self,
        run: Run,
        config: ImitateConfig,
        learner: Learner,
        material: Material,
        saved_config: dict[str, Any],
        console: Console,
    ) -> None:
        self.run = run
        self.learner = learner
        self.config = config
        self.material = material
        self.saved_config = saved_config
        self.console = console
        self.stopping = EarlyStopping(self.config.patience or 1)
        self.checks = choose(material.validation, self.config.validation_positions, VALIDATION_SEED)
        if not has_moves(material.validation, self.checks):
            raise ImitateError(f"--validation-positions {len(self.checks)}: each of them is a pass; take more")
        self.validated = ""  # what the last validation found, to be shown
        checkpoint = run.latest()
        if checkpoint is not None:
            learner.set_arrays(dict(checkpoint.arrays))
            self.stopping.set_state(checkpoint.state["stopping"])
            self.validated = checkpoint.state["validated"]
        self.begun, self.begun_cpu = time.perf_counter(), time.process_time()
        self.begun_positions = learner.positions

    def train(self, stop: StopSignal, deadline: float, num_threads: int) -> bool:
        """Train; return False where a signal or the clock stopped it, with everything saved.

        `deadline` is a time of `time.monotonic`.
        """
        config, learner = self.config, self.learner
        pin = learner.device.type == "cuda"
        stream = SampleStream(self.material.training, config.batch_size, config.seed, config.augment, pin)
        with live_bar(self.console) as bar:
            task = bar.add_task("", total=1.0, shown="")
            shown = 0.0
            for spent in train(config, learner, stream, num_threads):
                seconds = time.perf_counter() - self.begun
                if seconds - shown > SHOWN_PERIOD:
                    shown = seconds
                    bar.update(task, completed=spent, shown=f"{self._trained()}  {self.validated}")
                is_due = learner.positions % config.period < config.batch_size or spent >= 1
                stopped = stop.requested or time.monotonic() >= deadline
                if is_due:
                    self._validate(spent)
                if is_due or stopped:
                    self._save()
                if config.patience and self.stopping.should_stop:
                    self.console.print(f"no better validation {config.patience} times in a row: that is enough")
                    return True
                if stopped and spent < 1:
                    return False
        return True

    def _speed(self) -> float:
        """Return positions a second, validations included."""
        return (self.learner.positions - self.begun_positions) / (time.perf_counter() - self.begun)

    def _trained(self) -> str:
        means = self.learner.means()
        found = f"loss {means['loss']:.3f} top-1 {means['top1']:.1%}"
        return f"{self.learner.positions:,} positions  {self._speed():,.0f}/s  {found}"

    def _validate(self, spent: float) -> None:
        """Measure the network on games kept apart, log it, and keep it where it is the best so far."""
        learner = self.learner
        learner.check_finite()
        found = summary(predict_all(predictor(learner), self.material.validation, self.checks))
        names = ("loss", "top1", "top5", "value_error", "value_sign")
        validation = {f"validation_{name}": found[name] for name in names if found[name] is not None}
        self.run.log(learner.positions, **learner.means(), **validation)
        cpu_seconds = time.process_time() - self.begun_cpu
        self.run.log_timing(
            learner.positions, seconds=learner.seconds, cpu_seconds=cpu_seconds, positions_per_second=self._speed()
        )
        self.validated = f"apart: loss {found['loss']:.3f} top-1 {found['top1']:.1%} top-5 {found['top5']:.1%}"
        if not self.console.is_terminal:
            line = f"{spent:4.0%}  {self._trained()}  {self.validated}"
            self.console.print(line, highlight=False, soft_wrap=True)
        learner.forget_sums()
        if self.stopping.update(found["loss"]):
            self._keep({**self.saved_config, "trained_positions": learner.positions, **validation})

    def _keep(self, training: dict[str, Any]) -> None:
        """Write the network as the run's model file."""
        with self.run.writing(MODEL_FILE) as path:
            save_for_game(path, self.learner.kept, self.material.game, self.material.features, training)

    def _save(self) -> None:
        state = {"stopping": self.stopping.get_state(), "validated": self.validated}
        self.run.save_checkpoint(self.learner.positions, self.learner.get_arrays(), state)


def predictor(learner: Learner) -> Predict:
    """Return the learner's network as the tallies ask it."""
    model = learner.kept.eval()

    @torch.inference_mode()
    def predict(batch: Batch) -> tuple[NDArray, NDArray | None]:
        planes, movers = (torch.from_numpy(array).to(learner.device) for array in (batch.planes, batch.movers))
        output = learner.outputs(model, planes)
        values = None if output.value is None else output.value.float().cpu().numpy()
        return mover_logits(output, movers).cpu().numpy(), values

    return predict


def report(directory: Path, material: Material, console: Console) -> None:
    """Measure the kept network on more of the games kept apart; print and save the table."""
    model, _ = load_model(directory / MODEL_FILE)
    assert isinstance(model, PolicyValueNet)
    with console.status(f"measuring the network on {REPORT_POSITIONS:,} positions of games kept apart"):
        # Torch's own: what is faster would first compile kernels for this architecture.
        network = make_inference(model, "torch", torch.get_num_threads())
        document = measure(network, material.validation, REPORT_POSITIONS, REPORT_SEED)
    Console().print(table(document, f"{directory / MODEL_FILE}: moves of {material.game.name} games kept apart"))
    write_report(directory, document)
