"""Scores of Atari players: whole games, each from a seed of its own, in parallel processes.

A game depends on the evaluation's seed, on its number and on the player alone: how many processes play, and in which
order they finish, changes nothing. (How many games there are does, by the rounding of the last few.)
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from agents.atari.player import AtariModel, AtariPlayer, make_player
from games.atari import AtariGame, Protocol
from games.atari_vector import GameResult
from games.child_processes import child_settings, end_with

GAMES_TOGETHER = 5  # whose stacks go through the network at once; always the same, since sums round by their grouping


@dataclass(frozen=True)
class Task:
    """Some of the games of one player, by their numbers."""

    model: AtariModel | None  # None: chance
    game: str
    protocol: Protocol
    epsilon: float
    seed: int
    numbers: range


def split(task: Task) -> list[Task]:
    """Return a task in the parts that are played apart."""
    starts = range(task.numbers.start, task.numbers.stop, GAMES_TOGETHER)
    parts = [range(start, min(start + GAMES_TOGETHER, task.numbers.stop)) for start in starts]
    return [Task(task.model, task.game, task.protocol, task.epsilon, task.seed, part) for part in parts]


def play(player: AtariPlayer, epsilon: float, seed: int, numbers: range) -> list[GameResult]:
    """Play games to their ends, side by side; a result's place is the game's number."""
    games = {number: AtariGame(player.game, player.protocol) for number in numbers}
    generators = {number: np.random.default_rng((seed, number)) for number in numbers}
    for number, game in games.items():
        game.power_on(int(generators[number].integers(2**31)))
    results = []
    while games:
        values = player.q_values(np.stack([game.stack for game in games.values()]))
        actions = player.choose(values, epsilon, [generators[number] for number in games])
        for (number, game), action in zip(list(games.items()), actions, strict=True):
            outcome = game.step(action)
            if outcome.game_over or outcome.truncated:
                results.append(GameResult(number, game.score, game.steps, game.frames, outcome.truncated))
                del games[number]
    return sorted(results)


def play_tasks(tasks: Sequence[Task], num_processes: int) -> Generator[tuple[int, list[GameResult]], None, None]:
    """Play tasks, each one part, and yield the index and results of each as it is finished."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads of torch half alive
    theirs, ours = context.Pipe(duplex=False)  # a lifeline: workers end when our end of it is closed
    executor, left = ProcessPoolExecutor(num_processes, context, end_with, (theirs,)), iter(enumerate(tasks))
    playing: dict[Future[list[GameResult]], int] = {}
    try:
        while True:
            with child_settings():
                for index, task in itertools.islice(left, num_processes - len(playing)):
                    playing[executor.submit(_play_task, task)] = index
            if not playing:
                return
            for future in wait(playing, return_when=FIRST_COMPLETED).done:
                yield playing.pop(future), future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        ours.close()


def _play_task(task: Task) -> list[GameResult]:
    player = _player(task.model, task.game, task.protocol)
    return play(player, task.epsilon, task.seed, task.numbers)


@functools.lru_cache(1)
def _player(model: AtariModel | None, game: str, protocol: Protocol) -> AtariPlayer:
    return make_player("", game, model, protocol)
