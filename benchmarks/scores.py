"""Scores of Atari trainings over time: of runs of `train.py dqn`, and of Stable-Baselines3's DQN trained beside them.

A score is the mean of the last 100 games of training, exploration included, or that of an evaluation, which only our
runs have: each is told apart. Seconds are by the clock, those of evaluations among them.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from itertools import accumulate
from pathlib import Path

from rich import box
from rich.table import Column, Table

from agents.atari.scores import SCORES_2015
from agents.dqn.journal import GAMES
from benchmarks.frames import title_of
from benchmarks.peers import PeerMissingError, installed
from benchmarks.timing import BenchError, Document, installed_version
from games.machine import available_processors

SHARES = (0.1, 0.5, 1.0)  # of the way from random play to the human player: scores whose times are told
PEER = "stable-baselines3"
POINT_SECONDS = 10.0  # between two points of the peer's curve

Points = list[dict[str, float]]  # step, seconds, score


def measure(runs: list[Path], peer_seconds: float) -> Document:
    """Return the curves of runs of one game; with `peer_seconds` above 0 the peer then trains for so long, too."""
    if not runs:
        raise BenchError("name at least one directory of a run of train.py dqn")
    if not 0 <= peer_seconds < math.inf:
        raise BenchError(f"--peer-seconds {peer_seconds:g}: a finite number, at least 0")
    curves = [curve(run) for run in runs]
    games = {str(made["game"]) for made in curves}
    if len(games) > 1:
        raise BenchError(f"the runs are of different games: {', '.join(sorted(games))}")
    game = games.pop()
    if peer_seconds:
        curves.append({"name": PEER, "game": game, **peer(game, peer_seconds)})
    levels = levels_of(game)
    for made in curves:
        made["reached"] = {level: reached(made.get("points", []), level) for level in levels}
        made["reached_in_evaluations"] = {level: reached(made.get("evaluations", []), level) for level in levels}
    return {"game": game, "levels": levels, "curves": curves}


def curve(run: Path) -> Document:
    """Return one run's curve; BenchError where the directory holds no run of Q-learning."""
    try:
        config = json.loads((run / "config.json").read_text())
        metrics, timing = (
            {line["step"]: line for line in map(json.loads, (run / name).read_text().splitlines())}
            for name in ("metrics.jsonl", "timing.jsonl")
        )
    except FileNotFoundError as error:
        raise BenchError(
            f"{run}: no {Path(error.filename).name}; name the directory of a run of train.py dqn"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{run}: it cannot be read as a run of train.py dqn: {error}") from None
    if config.get("learner") != "dqn":
        raise BenchError(f"{run}: a run of train.py {config.get('learner')}; name runs of train.py dqn")
    taken = accumulate(line["seconds"] + line.get("evaluation_seconds", 0.0) for line in timing.values())
    seconds = dict(zip(timing, taken, strict=True))
    points, evaluations = (
        [
            {"step": step, "seconds": seconds[step], "score": line[name]}
            for step, line in metrics.items()
            if name in line and step in seconds
        ]
        for name in ("score", "evaluation")
    )
    found = {"game": config["game"], "seed": config["seed"], "points": points, "evaluations": evaluations}
    return {"name": run.resolve().name, **found}


def levels_of(game: str) -> list[float]:
    """Return the scores whose times are told: shares of the way from random play to a human, and DQN's of 2015."""
    published = SCORES_2015.get(game)
    if published is None:
        return []
    ways = [published.random + share * (published.human - published.random) for share in SHARES]
    return [round(score, 1) for score in (*ways, published.dqn)]


def reached(points: Points, level: float) -> float | None:
    """Return the seconds after which a score was reached, None where it was not."""
    return next((round(point["seconds"], 1) for point in points if point["score"] >= level), None)


def peer(game: str, seconds: float) -> Document:
    """Train Stable-Baselines3's DQN and return its curve, or a note where it is not installed.

    The settings are those of its own collection of trained agents (RL Zoo, Atari), but learning begins after 10,000
    steps and exploration ends after 100,000: in the time of a laptop it would not have begun to learn otherwise. Its
    games are ours, since its own need OpenCV.
    """
    try:
        installed("stable_baselines3", PEER)
    except PeerMissingError as reason:
        return {"note": str(reason)}
    import gymnasium
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    points: Points = []
    scores: deque[float] = deque(maxlen=GAMES)

    class Recorder(BaseCallback):
        """Notes the mean score of whole games every few seconds, and stops the training in time."""

        def __init__(self) -> None:
            super().__init__()
            self.started = self.noted = time.perf_counter()

        def _on_step(self) -> bool:
            [info], [done] = self.locals["infos"], self.locals["dones"]
            if done and (not info["lives"] or info["TimeLimit.truncated"]):  # else a life was lost, and no game
                scores.append(float(info["score"]))
            now = time.perf_counter()
            if scores and now - self.noted >= POINT_SECONDS:
                self.noted = now
                score = sum(scores) / len(scores)
                points.append({"step": self.num_timesteps, "seconds": now - self.started, "score": score})
            return now - self.started < seconds

    model = DQN(
        "CnnPolicy",
        gymnasium.make("playfield/Atari-v0", game=game),
        buffer_size=100_000,
        learning_rate=1e-4,
        batch_size=32,
        learning_starts=10_000,
        target_update_interval=1_000,
        train_freq=4,
        gradient_steps=1,
        exploration_fraction=0.01,
        exploration_final_eps=0.01,
        seed=0,
        device="cpu",
    )
    torch.set_num_threads(available_processors())
    try:
        model.learn(10_000_000, callback=Recorder())
    finally:
        torch.set_num_threads(1)
    return {"version": installed_version(PEER), "seed": 0, "points": points}


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal: when each training reached the scores, and its best."""
    numbers = [*(f"{level:g}" for level in document["levels"]), "best", "steps", "minutes"]
    columns = [Column("training"), *(Column(name, justify="right", no_wrap=True) for name in numbers)]
    title = f"{document['game']}: minutes to a mean score of the last 100 games"
    table = Table(*columns, title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for made in document["curves"]:
        if "note" in made:
            table.caption = f"{made['name']}: {made['note']}"  # a column would be too narrow for it
            continue
        points: Points = made["points"]
        last = points[-1] if points else {"step": 0, "seconds": 0.0}
        spent = (f"{last['step']:,}", f"{last['seconds'] / 60:.1f}")
        table.add_row(title_of(made), *_times_and_best(points, made["reached"]), *spent)
        if evaluations := made.get("evaluations"):
            table.add_row("  in evaluations", *_times_and_best(evaluations, made["reached_in_evaluations"]))
    return [table]


def _times_and_best(points: Points, reached: dict[float, float | None]) -> list[str]:
    """Return the minutes after which the scores were reached, and the best score."""
    times = ["-" if seconds is None else f"{seconds / 60:.1f}" for seconds in reached.values()]
    return [*times, f"{max(point['score'] for point in points):.1f}" if points else "-"]


def draw(document: Document, file: Path) -> None:
    """Draw the curves over the clock's minutes as a picture (extra [plots])."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axis = figure.subplots()
    for made in document["curves"]:
        points: Points = made.get("points", [])
        minutes = [point["seconds"] / 60 for point in points]
        [line] = axis.plot(minutes, [point["score"] for point in points], label=title_of(made), linewidth=1.4)
        evaluated: Points = made.get("evaluations", [])
        times = [point["seconds"] / 60 for point in evaluated]
        axis.scatter(times, [point["score"] for point in evaluated], color=line.get_color(), s=14)
    published = SCORES_2015.get(document["game"])
    if published is not None:
        axis.axhline(published.human, color="grey", linewidth=0.8, linestyle="--")
        axis.annotate("human (2015)", (0, published.human), color="grey", va="bottom")
    axis.set(
        title=document["game"], xlabel="minutes of training", ylabel="mean of the last 100 games, dots: evaluations"
    )
    axis.legend()
    figure.savefig(file, dpi=110)
