"""A run of value learning: rounds of games, then steps of regression, with checkpoints and the error at the end."""

from __future__ import annotations

import dataclasses
import functools
import math
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from agents.alphago.config import VALUE_PRESETS, ValueConfig
from agents.alphago.value_command import ValueOptions
from agents.alphago.value_learning import play_value_games, squared_error, value_network
from agents.analysis import PlayerError
from agents.learner_command import notice_on, resume_command, run_arguments, run_directory
from agents.model_files import MODEL_FILE
from agents.network_evaluator import Policy, evaluator_of, load_policy, save_for_game
from agents.run import Run, StopSignal, write_report
from agents.steps_bar import StepsBar
from agents.tree_players import MIXTURE
from games.catalogue import find_game
from games.compiled import NDArray
from games.go import size_text
from games.machine import available_processors
from games.record_batches import Batch, PositionReader
from games.record_formats import GameRecord
from games.records import Positions, pack
from games.rules import Game
from games.sgf import SgfGame, SgfStart, write_game
from nets.training import compute_alike, load_training_arrays, prepare_training, training_arrays

STEPS_PERIOD = 100  # learning steps between lines of metrics


def train_from(options: ValueOptions, console: Console) -> None:
    """Play the games, learn from them, and measure the network on those kept apart."""
    config, directory = options.config, run_directory(options, f"value-{options.preset}")
    game = find_game(options.game)
    if game.family != "go":
        raise PlayerError(f"--game {options.game}: value networks are for Go: go-9x9, go, ...")
    imitating = load_policy(options.imitating, "--imitating", game)
    improved = load_policy(options.improved, "--improved", game)
    threads = options.threads or available_processors()
    compute_alike(threads, torch.device("cpu"))
    notice = notice_on(console)
    saved = {
        "learner": "value",
        "game": game.name,
        **dataclasses.asdict(config),
        "imitating": imitating.sha256,
        "improved": improved.sha256,
    }
    with (
        Run.create(
            directory,
            saved,
            arguments=run_arguments("value", options, VALUE_PRESETS[options.preset]),
            resume=options.resume,
            tensorboard=options.tensorboard,
            notice=notice,
        ) as run,
        StopSignal("stopping after this step; a second Ctrl-C stops at once") as stop,
    ):
        learner = ValueLearner(run, config, game, (imitating, improved), saved, threads)
        if not (learner.play(stop, console) and learner.learn(stop, console)):
            notice(f"stopped; go on with: {resume_command('value', options, directory)}")
            return
    notice(f"the value network's mean squared error on games kept apart: {learner.report(directory)}")
    player = shlex.quote(f"mcts:model={options.imitating},value={directory},lambda={MIXTURE},visits=400")
    notice(f"play it:     python play.py go --size {size_text(*game.planes_shape[1:])} --white {player}")


class ValueLearner:
    """One process's part of a run: step r is the r-th round of games, and after the last a learning step."""

    def __init__(
        self,
        run: Run,
        config: ValueConfig,
        game: Game,
        policies: tuple[Policy, Policy],
        saved: dict[str, Any],
        threads: int,
    ) -> None:
        self.run, self.config, self.game, self.saved = run, config, game, saved
        self.features = policies[1].features
        self.evaluators = [evaluator_of(policy.model, policy.features, game, threads) for policy in policies]
        torch.manual_seed(config.seed)
        self.model = value_network(policies[1].model)
        self.precision = prepare_training(self.model, config.precision, torch.device("cpu"))
        decay = config.weight_decay
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=config.learning_rate, weight_decay=decay)
        self.rounds = math.ceil(config.games / config.games_at_once)
        self.actions: list[NDArray] = []  # int16 [plies] of each game
        self.plies: list[int] = []
        self.results: list[int] = []
        self.total, self.count = 0.0, 0  # of the learning steps since the last line of metrics: losses, steps
        checkpoint = run.latest()
        self.done = checkpoint.step if checkpoint else 0
        if checkpoint is not None:
            self._set_arrays(dict(checkpoint.arrays))
            self.total, self.count = checkpoint.state.get("total", 0.0), checkpoint.state.get("count", 0)

    # --- playing ------------------------------------------------------------------------------------------------------

    def play(self, stop: StopSignal, console: Console) -> bool:
        """Play the rounds that are left; return False where a signal asked to stop, with everything saved."""
        if self.done >= self.rounds:
            return True
        with StepsBar(console, "round of games", self.rounds, self.done) as bar:
            for index in range(self.done, self.rounds):
                begun = time.perf_counter()
                games = play_value_games(self.config, index, self.game, *self.evaluators)
                self.actions += games.actions
                self.plies += games.plies.tolist()
                self.results += games.results.tolist()
                self.done = index + 1
                black = float(np.mean(games.results > 0)) if games.results.size else 0.0
                self.run.log(self.done, games=len(self.plies), black_wins=black)
                speed = self.config.games_at_once / (time.perf_counter() - begun)
                bar.show(self.done, f"{len(self.plies):,} games  {speed:.0f} games/s  Black wins {black:.0%}")
                if stop.requested or self.done % self.config.checkpoint_period == 0 or self.done == self.rounds:
                    self._checkpoint()
                if stop.requested:
                    return False
        return True

    # --- learning -----------------------------------------------------------------------------------------------------

    def learn(self, stop: StopSignal, console: Console) -> bool:
        """Take the learning steps that are left; return False where a signal asked to stop, with everything saved."""
        config, found = self.config, len(self.plies)
        if found < 2:
            raise PlayerError(f"--games {config.games}: {found} reached their positions, and 2 are the least")
        reader, training, _ = self._positions
        steps = max(1, config.epochs * len(training) // config.batch_size)
        period = STEPS_PERIOD * config.checkpoint_period
        with StepsBar(console, "learning step", steps, self.done - self.rounds) as bar:
            for step in range(self.done - self.rounds, steps):
                numbers, symmetries = self._draw(training, step, reader.num_symmetries)
                batch = reader.read(numbers, symmetries)
                for group in self.optimiser.param_groups:
                    group["lr"] = config.learning_rate * (0.5 + 0.5 * math.cos(math.pi * step / steps))
                self.model.train()
                loss = self._errors(batch).mean()
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
                self.total, self.count = self.total + loss.item(), self.count + 1
                self.done = self.rounds + step + 1
                last = step + 1 == steps
                if (step + 1) % STEPS_PERIOD == 0 or last:
                    mean, error = self.total / self.count, self.error()
                    self.run.log(self.done, squared_error=mean, squared_error_apart=error)
                    bar.show(step + 1, f"squared error {mean:.3f}  on games kept apart {error:.3f}")
                    self.total, self.count = 0.0, 0
                if stop.requested or (step + 1) % period == 0 or last:
                    self.save(MODEL_FILE)
                    self._checkpoint()
                if stop.requested and not last:
                    return False
        return True

    def error(self) -> float:
        """Return the mean squared error on the games kept apart."""
        reader, _, apart = self._positions
        self.model.eval()
        errors = []
        with torch.inference_mode():
            for first in range(0, len(apart), 256):
                batch = reader.read(apart[first : first + 256])
                errors.append(self._errors(batch).numpy())
        return float(np.concatenate(errors).mean())

    def _errors(self, batch: Batch) -> Tensor:
        """Return the squared error of each position, [n]."""
        planes, outcomes = torch.from_numpy(batch.planes), torch.from_numpy(batch.outcomes)
        return squared_error(self.model, planes, outcomes, self.precision)

    def _draw(self, numbers: NDArray, step: int, num_symmetries: int) -> tuple[NDArray, NDArray]:
        """Return a batch's position numbers, each epoch in an order of its own, and a symmetry for each."""
        first, generator = step * self.config.batch_size, np.random.default_rng([self.config.seed, 3, step])
        wanted = np.arange(first, first + self.config.batch_size)
        epochs = wanted // len(numbers)
        orders = {
            epoch: np.random.default_rng([self.config.seed, 4, epoch]).permutation(numbers)
            for epoch in np.unique(epochs).tolist()
        }
        drawn = [orders[epoch][place] for epoch, place in zip(epochs.tolist(), wanted % len(numbers), strict=True)]
        return np.array(drawn, np.int64), generator.integers(0, num_symmetries, len(drawn))

    @functools.cached_property
    def _positions(self) -> tuple[PositionReader, NDArray, NDArray]:
        """The reader of the games played, and the numbers of the positions to learn from and of those apart.

        Precondition: all games are played.
        """
        komi = float(self.game.new(1)[0].komi2) / 2
        _, rows, columns = self.game.planes_shape
        start = write_game(SgfGame(SgfStart(rows, columns, komi))).decode()
        found = [
            GameRecord(f"game {i}", start, actions, result, (0, 0), 0)
            for i, (actions, result) in enumerate(zip(self.actions, self.results, strict=True))
        ]
        positions = Positions(pack("go", "value", found))
        numbers = positions.ends - [len(actions) for actions in self.actions] + self.plies
        shares = np.floor(np.arange(-1, len(found)) * self.config.held_out)  # grow by 1 where a game is kept apart
        is_apart = np.diff(shares) > 0
        return PositionReader(positions, self.features), numbers[~is_apart], numbers[is_apart]

    # --- keeping ------------------------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        self.run.save_checkpoint(self.done, self._arrays(), {"total": self.total, "count": self.count})

    def _arrays(self) -> dict[str, NDArray]:
        """Return everything that `_set_arrays` needs to go on."""
        arrays = {
            "actions": np.concatenate([np.zeros(0, np.int16), *self.actions]),
            "lengths": np.array([len(actions) for actions in self.actions], np.int64),
            "plies": np.array(self.plies, np.int64),
            "results": np.array(self.results, np.int8),
        }
        return {**arrays, **training_arrays({"model": self.model}, self.optimiser)}

    def _set_arrays(self, arrays: dict[str, NDArray]) -> None:
        self.actions = np.split(arrays["actions"], np.cumsum(arrays["lengths"])[:-1]) if arrays["lengths"].size else []
        self.plies, self.results = arrays["plies"].tolist(), arrays["results"].tolist()
        load_training_arrays({"model": self.model}, self.optimiser, arrays)

    def save(self, name: str) -> None:
        """Write the network as a model file of the run."""
        with self.run.writing(name) as path:
            save_for_game(path, self.model, self.game, self.features, self.saved)

    def report(self, directory: Path) -> str:
        """Measure the network on the games kept apart; save and return the figures."""
        error = self.error()
        reader, _, apart = self._positions
        outcomes = reader.read(apart).outcomes
        constant = float(((outcomes - outcomes.mean()) ** 2).mean())
        document = {"games": len(self.plies), "apart": len(apart), "squared_error": error, "of_a_constant": constant}
        write_report(directory, document)
        return f"{error:.3f} over {len(apart)} games; always saying the mean outcome: {constant:.3f}"
