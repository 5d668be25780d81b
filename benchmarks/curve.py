"""The strength of evolution runs: networks kept on the way, against random moves, the piece count and each other."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from agents.alphabeta import MAX_DEPTH
from agents.checkpoints import saved_steps
from agents.evaluators import Evaluator, load_evaluator, material
from agents.evolution.arena import Arena
from agents.evolution.evolve import control_starts
from agents.ratings import interval_name, paired_match_elo
from benchmarks.timing import BenchError, Document
from games.checkers import CHECKERS
from games.rules import States

MILESTONES = (0, 10, 100)  # generations that also play each other, and the last


def measure(runs: list[Path], depths: list[int], openings: int) -> Document:
    """Return for each run the points of its curve and the scores of its milestones against each other.

    Every match is played over evenly spread openings of the three-move deck, each with both colours.
    """
    if not runs:
        raise BenchError("name at least one directory of a run of train.py evolve")
    for depth in depths:
        if not 1 <= depth <= MAX_DEPTH:
            raise BenchError(f"--depths {depth} is not from 1 to {MAX_DEPTH}")
    starts = control_starts(openings)
    arena = Arena(CHECKERS)
    try:
        return {"openings": openings, "runs": [curve(run, depths, starts, arena) for run in runs]}
    finally:
        arena.close()


def curve(run: Path, depths: list[int], starts: States, arena: Arena) -> dict[str, Any]:
    """Return one run's curve: a point a kept generation."""
    kept = kept_networks(run)
    seconds = seconds_until(run)
    points = []
    for generation, network in kept.items():
        point: dict[str, Any] = {"generation": generation, "cpu_seconds": seconds.get(generation, 0.0)}
        point["random"] = score(arena, network, material(), starts, (depths[0], 0))
        for depth in depths:
            point[f"material depth {depth}"] = score(arena, network, material(), starts, (depth, depth))
        points.append(point)
    milestones = [generation for generation in kept if generation in MILESTONES or generation == max(kept)]
    against = [
        {"first": a, "second": b, **score(arena, kept[a], kept[b], starts, (depths[0], depths[0]))}
        for i, a in enumerate(milestones)
        for b in milestones[:i]
    ]
    return {"run": run.resolve().name, "points": points, "milestones": against}


def kept_networks(run: Path) -> dict[int, Evaluator]:
    """Return the networks a run kept, by generation."""
    found = {int(re.sub(r"\D", "", path.stem)): path for path in run.glob("generation-*.safetensors")}
    if not found:
        raise BenchError(f"{run}: no generation-N.safetensors; name the directory of a run of train.py evolve")
    last = saved_steps(run / "checkpoints")[:1]  # that model.safetensors is of, where a kill left later metrics
    kept = {generation: load_evaluator(found[generation]) for generation in sorted(found)}
    return kept | {step: load_evaluator(run / "model.safetensors") for step in last}


def seconds_until(run: Path) -> dict[int, float]:
    """Return the CPU seconds of training up to each generation."""
    lines = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
    totals = np.cumsum([line["cpu_seconds"] for line in lines])
    return {line["step"]: float(total) for line, total in zip(lines, totals, strict=True)}


def score(
    arena: Arena, network: Evaluator, opponent: Evaluator, starts: States, depths: tuple[int, int]
) -> dict[str, Any]:
    """Return won, drawn, lost and the Elo difference with its 95 % interval, None where it has no bound."""
    won, drawn, lost, pairs = arena.match(network, opponent, starts, depths)
    elo = [round(value, 1) if np.isfinite(value) else None for value in paired_match_elo(pairs)]
    return {"won": won, "drawn": drawn, "lost": lost, "elo": elo[0], "low": elo[1], "high": elo[2]}


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal: a table a run, and one of its milestones."""
    made = []
    for run in document["runs"]:
        opponents = [name for name in run["points"][0] if name not in ("generation", "cpu_seconds")]
        table = Table("generation", "CPU s", *opponents, title=f"{run['run']}: won-drawn-lost, Elo (95 % interval)")
        for point in run["points"]:
            cells = [shown(point[name]) for name in opponents]
            table.add_row(str(point["generation"]), f"{point['cpu_seconds']:.0f}", *cells)
        made.append(table)
        among = Table("generation", "against", "result", title=f"{run['run']}: milestones")
        for match in run["milestones"]:
            among.add_row(str(match["first"]), str(match["second"]), shown(match))
        made.append(among)
    return made


def shown(match: dict[str, Any]) -> str:
    """Return a match in one cell."""
    result = f"{match['won']}-{match['drawn']}-{match['lost']}"
    if match["elo"] is None:
        return result
    low = -math.inf if match["low"] is None else match["low"]
    high = math.inf if match["high"] is None else match["high"]
    return f"{result}, {match['elo']:+.0f} ({interval_name(low, high)})"


def draw(document: Document, file: Path) -> None:
    """Draw the curves against the piece count over CPU time, with their intervals, as a picture (extra [plots])."""
    from matplotlib.figure import Figure

    opponents = [name for name in document["runs"][0]["points"][0] if name.startswith("material")]
    figure = Figure(figsize=(5.0 * len(opponents), 3.8), layout="constrained")
    axes = figure.subplots(1, len(opponents), squeeze=False, sharey=True)[0]
    for axis, opponent in zip(axes, opponents, strict=True):
        for run in document["runs"]:
            drawn = [point for point in run["points"] if None not in point[opponent].values()]
            seconds = [max(point["cpu_seconds"], 1.0) for point in drawn]
            elo, low, high = ([point[opponent][key] for point in drawn] for key in ("elo", "low", "high"))
            axis.plot(seconds, elo, marker="o", markersize=3, label=run["run"])
            axis.fill_between(seconds, low, high, alpha=0.2)
        axis.axhline(0.0, color="grey", linewidth=0.8)
        axis.set(title=f"against {opponent}", xlabel="CPU seconds of training", xscale="log")
    axes[0].set_ylabel("Elo difference, 95 % interval")
    axes[0].legend()
    figure.savefig(file, dpi=110)
