"""Atari: steps a second of the emulator, updates a second of the learner, and both together in whole trainings.

A step is one choice of the agent, four frames. All times are by the clock, since what counts is how well emulator,
acting and learning share the processors. Every measurement starts warm and runs for the seconds asked for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from rich.table import Table

from agents.dqn.actor import num_groups
from agents.dqn.command import processes
from agents.dqn.config import PRESETS, DqnConfig
from agents.dqn.learner import Learner
from agents.dqn.loop import Training
from agents.dqn.networks import q_network_spec
from agents.dqn.replay import Samples, state_dtype, to_states
from benchmarks import frames_peers
from benchmarks.peers import PeerMissingError
from benchmarks.timing import BenchError, Document, installed_version
from games.atari_vector import AtariEnvs
from games.machine import available_processors, keep_freed_memory
from nets.precision import choose_device

NUM_ENVS = 32
REPLAY_STEPS = 20_000  # of a memory while it is measured; its size changes no speed
WARMUP_STEPS = 1_000
EPSILON = 0.1  # share of random actions, ours and the peers', who ask no network for those
ENDLESS = 10**12  # steps of a training that ends when it has been measured


def measure(game: str, presets: tuple[str, ...], seconds: float, device_name: str) -> Document:
    """Return speeds of the emulator, of the learner and of whole trainings, with the peers'."""
    for name in presets:
        if name not in PRESETS:
            raise BenchError(f"no preset {name!r}; there are: {', '.join(PRESETS)}")
    if not 0 < seconds < math.inf:
        raise BenchError(f"--seconds {seconds:g}: a finite number above 0")
    try:
        device = choose_device(device_name)
    except ValueError as error:
        raise BenchError(str(error)) from None
    torch.set_num_threads(1)
    keep_freed_memory()
    cores = available_processors()
    return {
        "game": game,
        "seconds": seconds,
        "processors": cores,
        "device": device.type,
        "emulator": [emulator(game, cores, seconds), *peers(frames_peers.EMULATORS, game, NUM_ENVS, cores, seconds)],
        "learner": [learner(name, seconds, device) for name in presets],
        "training": [
            *(training(game, name, seconds, device) for name in presets),
            *peers(frames_peers.TRAININGS, game, cores, EPSILON, seconds),
        ],
    }


def emulator(game: str, cores: int, seconds: float) -> Document:
    """Return the steps a second of games with random actions, spread over all processors."""
    envs = AtariEnvs(game, NUM_ENVS, num_processes=min(cores, NUM_ENVS))
    rng = np.random.default_rng(0)

    def step() -> int:
        envs.step(rng.integers(envs.num_actions, size=NUM_ENVS))
        return NUM_ENVS

    try:
        envs.reset(0)
        return {"name": "playfield", "envs": NUM_ENVS, "steps_per_second": rate(step, seconds)}
    finally:
        envs.close()


def learner(preset: str, seconds: float, device: torch.device) -> Document:
    """Return the updates a second that a preset's learner makes of samples that lie ready."""
    config = PRESETS[preset]
    learner = Learner(q_network_spec(config, 6), config, device)
    rng = np.random.default_rng(0)
    size = config.batch_size
    frames = rng.integers(0, 256, (2, size, 4, 84, 84), np.uint8)
    dtype = state_dtype(device, learner.network.trunk_dtype)
    ones = np.ones(size, np.float32)
    samples = Samples(
        slots=np.arange(size),
        states=to_states(frames[0], dtype),
        actions=rng.integers(0, 6, size),
        returns=ones,
        discounts=ones,
        next_states=None if config.learns_on_policy else to_states(frames[1], dtype),
        weights=ones,
    )

    def update() -> int:
        learner.learn(samples, config.learning_rate)
        return 1

    speed = rate(update, seconds)
    return {
        "preset": preset,
        "batch_size": size,
        "updates_per_second": speed,
        "samples_per_second": speed * size,
        "steps_per_second_at_most": speed * steps_an_update(config),
    }


def steps_an_update(config: DqnConfig) -> float:
    """Return how many agent steps a training takes for each update."""
    if config.learns_on_policy:
        return config.batch_size / config.epochs
    return config.steps_a_rollout / config.updates


def training(game: str, preset: str, seconds: float, device: torch.device) -> Document:
    """Return the agent steps a second of a whole training, once it learns."""
    config = replace(PRESETS[preset], game=game, steps=ENDLESS, epsilon=EPSILON, epsilon_steps=0)
    if not config.learns_on_policy:
        config = replace(config, replay=REPLAY_STEPS, warmup=WARMUP_STEPS)
    with parts(config, device) as whole:
        rounds = whole.rounds()
        for done in rounds:
            if done.learnt:
                break
        steps = done.steps

        def play() -> int:
            nonlocal steps
            before, steps = steps, next(rounds).steps
            return steps - before

        return {"name": f"playfield {preset}", "network": config.network, "steps_per_second": rate(play, seconds)}


@contextmanager
def parts(config: DqnConfig, device: torch.device) -> Iterator[Training]:
    """Yield a training as `train.py dqn` makes it."""
    envs = AtariEnvs(config.game, config.num_envs, config.protocol, processes(0, config), num_groups(config))
    try:
        yield Training(config, envs, device)
    finally:
        envs.close()


def rate(work: Callable[[], int], seconds: float) -> float:
    """Return the units a second that repeated calls of `work` do; the first call does not count."""
    work()
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        done += work()
    return round(done / elapsed, 1)


def peers(measurements: dict[str, Callable[..., Document]], *arguments: Any) -> list[Document]:
    """Return what peers reach, or why one is left out."""
    found = []
    for name, measurement in measurements.items():
        try:
            document = {"version": installed_version(name), **measurement(*arguments, rate)}
        except PeerMissingError as reason:
            document = {"note": str(reason)}
        found.append({"name": name, **document})
    return found


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    emulators = Table("emulator", "games", "steps/s", title=f"{document['game']}, random actions")
    for row in document["emulator"]:
        emulators.add_row(title_of(row), str(row.get("envs", "")), speed_of(row))
    learners = Table("learner", "minibatch", "updates/s", "samples/s", "enough for steps/s", title="learning alone")
    for row in document["learner"]:
        numbers = (row["updates_per_second"], row["samples_per_second"], row["steps_per_second_at_most"])
        learners.add_row(row["preset"], str(row["batch_size"]), *(f"{number:,.0f}" for number in numbers))
    trainings = Table("training", "network", "steps/s", title=f"{document['game']}, whole training")
    for row in document["training"]:
        trainings.add_row(title_of(row), row.get("network", ""), speed_of(row))
    return [emulators, learners, trainings]


def title_of(row: Document) -> str:
    """Return a program's name and version."""
    return f"{row['name']} {row['version']}" if row.get("version") else str(row["name"])


def speed_of(row: Document) -> str:
    """Return a row's speed, or why there is none."""
    return str(row["note"]) if "note" in row else f"{row['steps_per_second']:,.0f}"
