"""A run of evolution: the run's directory, live progress, and the closing match against simple players."""

from __future__ import annotations

import dataclasses
import math
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, TextColumn
from rich.table import Table

from agents.alphabeta import MAX_DEPTH
from agents.evaluators import Evaluator, anaconda, material, save_evaluator
from agents.evolution.arena import Arena
from agents.evolution.command import Options
from agents.evolution.config import PRESETS, EvolveConfig
from agents.evolution.evolve import (
    KING_MAX,
    KING_MIN,
    Arrays,
    best_network,
    control_starts,
    evolve,
    finalists,
    first_state,
)
from agents.learner_command import (
    check_ranges,
    notice_on,
    option_name,
    resume_command,
    run_arguments,
    run_directory,
)
from agents.model_files import MODEL_FILE
from agents.run import Run, StopSignal, write_report
from agents.steps_bar import live_bar
from games.checkers import CHECKERS, DRAW_LIMITS
from games.compiled import NDArray
from games.openings import MAX_PLIES
from games.refusal import RefusedError

ONLY_FOR = {  # options that one method has a use for
    "population": ("games_as_first", "win_points", "loss_points"),
    "memetic": (
        *("openings", "opening_plies", "learning_rate", "outcome_share", "memory"),
        *("batch_size", "steps", "horizon", "selection_period"),
    ),
}
LEAST: dict[str, float] = {  # of the options that cannot be 0, or can be less
    "loss_points": -math.inf,
    "king_value": KING_MIN,
    "generations": 1,
    "depth": 1,
    "parents": 2,
    "games_as_first": 1,
    "openings": 1,
    "memory": 1,
    "batch_size": 1,
    "steps": 1,
    "horizon": 1,
    "selection_period": 1,
    "control_period": 1,
    "control_depth": 1,
    "control_openings": 1,
    "checkpoint_period": 1,
}
MOST: dict[str, float] = {
    "depth": MAX_DEPTH,
    "extension": MAX_DEPTH,
    "control_depth": MAX_DEPTH,
    "opening_plies": MAX_PLIES,
    "king_value": KING_MAX,
    "outcome_share": 1.0,
}
EARLY_SNAPSHOTS = (0, 10, 100)  # generations whose network is kept, and then every 100th; 840 is the published end


def train(options: Options, console: Console) -> None:
    """Evolve to the last generation, saving as it goes, then rate the result."""
    config, directory = options.config, run_directory(options, f"evolve-{options.preset}")
    check(options)
    arena = Arena(CHECKERS, options.workers, config.extension)
    notice = notice_on(console)
    try:
        with (
            Run.create(
                directory,
                {"learner": "evolve", **dataclasses.asdict(config)},
                arguments=run_arguments("evolve", options, PRESETS[options.preset]),
                resume=options.resume,
                extendable={"generations"},
                tensorboard=options.tensorboard,
                notice=notice,
            ) as run,
            StopSignal("stopping after this generation; a second Ctrl-C stops at once") as stop,
        ):
            finished = run_generations(run, config, arena, stop, console)
        if not finished:
            notice(f"stopped; go on with: {resume_command('evolve', options, directory)}")
            return
        report(directory, config, arena, console)
        player = shlex.quote(f"alphabeta:model={directory / MODEL_FILE},depth=6")
        notice(f"play it:     python play.py checkers --white {player}")
        notice(f"train on:    {resume_command('evolve', options, directory, generations=config.generations * 2)}")
    finally:
        arena.close()


def check(options: Options) -> None:
    """Raise RefusedError for a value that no run can have."""
    rules = options.config.rules
    ending = [name for name, fields in CHECKERS.rule_sets.items() if any(fields[limit] for limit in DRAW_LIMITS)]
    if rules not in ending:  # games between kings would go on for ever
        raise RefusedError(f"--rules {rules}: there are {', '.join(ending)}")
    check_ranges({**dataclasses.asdict(options.config), "workers": options.workers}, LEAST, MOST)
    for method, names in ONLY_FOR.items():
        for name in names if options.config.method != method else ():
            value = getattr(options.config, name)
            if value != getattr(PRESETS[options.preset], name):
                raise RefusedError(f"--{option_name(name)} {value}: only with --method {method}")


def run_generations(run: Run, config: EvolveConfig, arena: Arena, stop: StopSignal, console: Console) -> bool:
    """Train from the last checkpoint on; return False where a signal asked to stop, with everything saved."""
    checkpoint = run.latest()
    done, state = (checkpoint.step, dict(checkpoint.arrays)) if checkpoint else (0, first_state(config))
    if done == 0:
        save_network(run, "generation-0.safetensors", state, config)
    starts = control_starts(config.control_openings)
    with live_bar(console, TextColumn("generation"), MofNCompleteColumn()) as bar:
        task = bar.add_task("", total=config.generations, completed=done, shown="")
        control, begun, begun_cpu = "", time.perf_counter(), time.process_time()
        for state, progress in evolve(config, state, done, arena):  # noqa: B020
            generation = progress.generation
            seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
            values = dataclasses.asdict(progress)
            del values["generation"]
            if generation % config.control_period == 0:
                values["control"] = control_score(state, arena, starts, config)
                control = f"vs material {values['control']:.0%}"
            run.log(generation, **values)
            speed = progress.games / seconds
            run.log_timing(generation, seconds=seconds, cpu_seconds=cpu_seconds, games_per_second=speed)
            shown = f"best {progress.best:+.2f}  mean {progress.mean:+.2f}  {speed:.0f} games/s  {control}"
            bar.update(task, completed=generation, shown=shown)
            if not console.is_terminal and "control" in values:
                console.print(f"generation {generation}/{config.generations}  {shown}", highlight=False)
            if is_snapshot(generation):
                save_network(run, f"generation-{generation}.safetensors", state, config)
            if stop.requested or generation % config.checkpoint_period == 0 or generation == config.generations:
                run.save_checkpoint(generation, state, {})
                save_network(run, MODEL_FILE, state, config)
            if stop.requested and generation < config.generations:
                return False
            begun, begun_cpu = time.perf_counter(), time.process_time()
    if config.method == "population":
        console.print("the last parents play a round robin: the best of them is the network that is kept")
        state = finalists(config, state, arena)
    save_network(run, MODEL_FILE, state, config)
    return True


def is_snapshot(generation: int) -> bool:
    """Say whether this generation's network is kept for the curve."""
    return generation in EARLY_SNAPSHOTS or generation % 100 == 0


def network(state: Arrays) -> Evaluator:
    """Return the evaluator that a state keeps."""
    weights, king_value = best_network(state)
    return anaconda(weights[None], np.array([king_value], np.float32))[0]


def control_score(state: Arrays, arena: Arena, starts: NDArray, config: EvolveConfig) -> float:
    """Return the share of points, 0 to 1, that the kept network takes from the piece count at equal depth."""
    won, drawn, lost, _ = arena.match(network(state), material(), starts, (config.control_depth, config.control_depth))
    return (won + drawn / 2) / (won + drawn + lost)


def save_network(run: Run, name: str, state: Arrays, config: EvolveConfig) -> None:
    """Write the kept network as a model file of the run that names the configuration it came from."""
    weights, king_value = best_network(state)
    training = {"learner": "evolve", **dataclasses.asdict(config)}
    with run.writing(name) as path:
        save_evaluator(path, weights, king_value, training, CHECKERS.version)


def report(directory: Path, config: EvolveConfig, arena: Arena, console: Console) -> None:
    """Play the finished network against simple players over the three-move deck; print and save the table."""
    from agents.evaluators import load_evaluator
    from agents.ratings import interval_name, paired_match_elo

    evaluator = load_evaluator(directory / MODEL_FILE)
    starts = control_starts(100)
    rows: list[dict[str, Any]] = []
    table = Table(title=f"the evolved network over 100 three-move openings, both colours, depth {config.control_depth}")
    for heading in ("opponent", "won", "drawn", "lost", "Elo difference", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "opponent" else "right")
    for name, depth in (("random", 0), ("material", config.control_depth)):
        won, drawn, lost, pairs = arena.match(evaluator, material(), starts, (config.control_depth, depth))
        elo, low, high = paired_match_elo(pairs)
        bounds = {"elo": elo, "low": low, "high": high}
        finite = {key: bound if math.isfinite(bound) else None for key, bound in bounds.items()}
        rows.append({"opponent": name, "won": won, "drawn": drawn, "lost": lost, **finite})
        table.add_row(name, str(won), str(drawn), str(lost), f"{elo:+.0f}", interval_name(low, high))
    Console().print(table)
    write_report(directory, rows)
