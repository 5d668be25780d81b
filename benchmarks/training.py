"""How fast networks learn Go moves: positions a second of whole steps, with the optimiser and the running average."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from rich.table import Table

from agents.imitation.config import PRESETS
from agents.imitation.data import Samples
from agents.imitation.learner import Learner
from benchmarks.inference import random_network
from benchmarks.timing import BenchError, Document, cpu_seconds, rate_fields
from games.machine import available_processors
from nets.precision import choose_device

STEPS = 4  # timed together: a GPU is given the next ones while it computes
DENSITY = 0.2  # of the ones in the planes


def measure(
    network: str,
    size: int,
    batches: Sequence[int],
    learnt: Mapping[str, Any],
    device_name: str,
    seed: int,
    repeats: int,
) -> Document:
    """Return the speeds of one network at several batch sizes, by the clock, on all processors or on a GPU.

    `learnt` are options of `train.py imitate` that say how.
    """
    try:
        device = choose_device(device_name)
    except ValueError as error:
        raise BenchError(str(error)) from None
    for batch in batches:
        if batch < 1:
            raise BenchError(f"--batches {batch} is less than 1")
    torch.set_num_threads(available_processors())
    rows: list[Document] = []
    for batch in batches:
        config = replace(PRESETS["small"], batch_size=batch, average=0.999, learning_rate=1e-4, **learnt)
        learner = Learner(config, random_network(network, size, seed), device)
        samples = random_samples(learner.model.spec.input_shape, batch, seed, pin=device.type == "cuda")
        work = Steps(learner, samples)
        work()  # chooses kernels, and on a GPU records them
        seconds = cpu_seconds(work, repeats, clock=time.perf_counter)
        if not math.isfinite(learner.means()["loss"]):
            raise BenchError(f"--batches {batch}: the loss is not a number, so this is no training")
        rows.append({"batch": batch, **rate_fields("positions", STEPS * batch, seconds)})
    precision = str(learner.precision).removeprefix("torch.")
    return {
        "network": network,
        "size": size,
        "optimiser": learnt["optimiser"],
        "device": device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "seed": seed,
        "repeats": repeats,
        "results": rows,
    }


class Steps:
    """A few steps of a learner on one batch, to the end of what a GPU was given."""

    def __init__(self, learner: Learner, samples: Samples) -> None:
        self.learner = learner
        self.samples = samples

    def __call__(self) -> None:
        for _ in range(STEPS):
            self.learner.step(self.samples, 1.0)
        self.learner.means()  # waits for them


def random_samples(shape: tuple[int, int, int], batch: int, seed: int, pin: bool) -> Samples:
    """Return a batch of random planes [C, H, W] and moves."""
    generator = torch.Generator().manual_seed(seed)
    points = shape[1] * shape[2]
    samples = Samples(
        planes=(torch.rand(batch, *shape, generator=generator) < DENSITY).float(),
        actions=torch.randint(points, (batch,), generator=generator),
        legal=torch.ones(batch, points + 1, dtype=torch.bool),
        movers=torch.zeros(batch, dtype=torch.int64),
        outcomes=torch.ones(batch),
        outcome_weights=torch.ones(batch),
    )
    return samples.mapped(torch.Tensor.pin_memory) if pin else samples


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    place = "on a GPU" if document["device"] == "cuda" else f"on {document['threads']} threads"
    title = f"{document['network']} learning {document['size']}x{document['size']} by {document['optimiser']}, {place}"
    table = Table("batch", "positions/s", "median", title=f"{title}, {document['precision']}")
    for row in document["results"]:
        speeds = (row["positions_per_second"], row["positions_per_second_median"])
        table.add_row(str(row["batch"]), *(f"{speed:,}" for speed in speeds))
    return [table]
