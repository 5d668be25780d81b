"""A run of reinforcement: iterations of play and learning with live progress, checkpoints, and a match at the end."""

from __future__ import annotations

import dataclasses
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from agents.alphago.config import REINFORCE_PRESETS, ReinforceConfig
from agents.alphago.policy_games import by_seat, play_games
from agents.alphago.reinforce import learn, opponent_of, play_iteration
from agents.alphago.reinforce_command import ReinforceOptions
from agents.imitation.learner import adapted
from agents.learner_command import notice_on, resume_command, run_arguments, run_directory
from agents.model_files import INITIAL_FILE, MODEL_FILE, initial_file
from agents.network_evaluator import Policy, encoder_of, evaluator_of, load_policy, save_for_game
from agents.ratings import interval_name, match_elo
from agents.run import Run, StopSignal, write_report
from agents.steps_bar import StepsBar
from games.catalogue import find_game
from games.compiled import NDArray
from games.machine import available_processors
from games.rules import Game, States
from nets.training import compute_alike, prepare_training

REPORT_GAMES = 400
POOL = "pool"  # folder of the earlier policies, in the run's directory


def train_from(options: ReinforceOptions, console: Console) -> None:
    """Improve the policy to the last iteration, saving as it goes, then match it against the one it began as."""
    config, directory = options.config, run_directory(options, f"reinforce-{options.preset}")
    game = find_game(options.game)
    first = load_policy(initial_file(options.init, directory, options.resume), "--init", game)
    threads = options.threads or available_processors()
    compute_alike(threads, torch.device("cpu"))
    notice = notice_on(console)
    saved = {"learner": "reinforce", "game": game.name, **dataclasses.asdict(config), "init": first.sha256}
    saved["kept_apart"] = first.kept_apart
    with (
        Run.create(
            directory,
            saved,
            arguments=run_arguments("reinforce", options, REINFORCE_PRESETS[options.preset]),
            resume=options.resume,
            extendable={"iterations"},
            tensorboard=options.tensorboard,
            notice=notice,
        ) as run,
        StopSignal("stopping after this iteration; a second Ctrl-C stops at once") as stop,
    ):
        run.keep(INITIAL_FILE, first.file)
        learner = Reinforcement(run, config, game, first, saved, threads)
        if not learner.train(stop, console):
            notice(f"stopped; go on with: {resume_command('reinforce', options, directory)}")
            return
    report(directory, learner, console)
    if game.family == "go":
        files = f"--imitating {shlex.quote(str(options.init))} --improved {shlex.quote(str(directory))}"
        notice(f"next:        python train.py value --game {options.game} {files}")
    notice(f"train on:    {resume_command('reinforce', options, directory, iterations=2 * config.iterations)}")


class Reinforcement:
    """One process's part of a run."""

    def __init__(
        self, run: Run, config: ReinforceConfig, game: Game, first: Policy, saved: dict[str, Any], threads: int
    ) -> None:
        self.run, self.config, self.game, self.first, self.saved = run, config, game, first, saved
        shape = first.model.spec.input_shape
        self.model = adapted(first.model, (shape[0], shape[1], shape[2])).eval()  # no value head: none would learn here
        self.precision = prepare_training(self.model, config.precision, torch.device("cpu"))
        self.playing, self.opponent = (evaluator_of(self.model, first.features, game, threads) for _ in range(2))
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=config.learning_rate)
        encode, self.num_planes = encoder_of(game, first.features)
        self._encode = encode
        checkpoint = run.latest()
        self.done = 0
        if checkpoint is not None:
            self.done = checkpoint.step
            self.model.load_state_dict({name: torch.from_numpy(array) for name, array in checkpoint.arrays.items()})

    def train(self, stop: StopSignal, console: Console) -> bool:
        """Go on to the last iteration; return False where a signal asked to stop, with everything saved."""
        config = self.config
        with StepsBar(console, "iteration", config.iterations, self.done) as bar:
            for iteration in range(self.done, config.iterations):
                begun = time.perf_counter()
                if iteration % config.pool_period == 0:
                    self.save(pool_file(iteration))
                self.playing.refresh(self.model)
                self.oppose(opponent_of(config, iteration))
                seen = play_iteration(config, iteration, self.game, self.encode, self.playing, self.opponent)
                gradient = learn(self.model, self.optimiser, config, seen, self.precision)
                done = iteration + 1
                self.run.log(done, score=seen.score, actions=seen.num_actions, gradient=gradient)
                speed = config.games / (time.perf_counter() - begun)
                self.run.log_timing(done, games_per_second=speed)
                bar.show(done, f"{seen.score:.0%} of the points  {seen.num_actions:.0f} actions  {speed:.1f} games/s")
                if stop.requested or done % config.checkpoint_period == 0 or done == config.iterations:
                    weights = self.model.state_dict()
                    arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in weights.items()}
                    self.save(MODEL_FILE)
                    self.run.save_checkpoint(done, arrays, {})
                if stop.requested and done < config.iterations:
                    return False
        return True

    def encode(self, states: States) -> NDArray:
        """Return the planes of positions, float32 [n, C, H, W]."""
        planes = np.zeros((len(states), self.num_planes, *self.game.planes_shape[1:]), np.float32)
        self._encode(states, planes)
        return planes

    def oppose(self, iteration: int) -> None:
        """Make a policy of the pool the opponent."""
        self.opponent.refresh(load_policy(self.run.directory / pool_file(iteration), POOL).model)

    def save(self, name: str) -> None:
        """Write the policy as a model file of the run."""
        with self.run.writing(name) as path:
            path.parent.mkdir(exist_ok=True)
            save_for_game(path, self.model, self.game, self.first.features, self.saved)


def pool_file(iteration: int) -> str:
    """Return where in a run the policy as it was before an iteration is kept."""
    return f"{POOL}/iteration-{iteration}.safetensors"


def report(directory: Path, learner: Reinforcement, console: Console) -> None:
    """Match the improved policy against the first, every action drawn from both; print and save the score."""
    game, seats = learner.game, np.arange(REPORT_GAMES) % 2 == 1
    learner.playing.refresh(learner.model)
    learner.oppose(0)
    policies = (learner.playing, learner.opponent)
    with console.status(f"playing {REPORT_GAMES} games against the policy that it began as"):
        generator = np.random.default_rng([learner.config.seed, 0, 2])
        results = play_games(game, game.new(REPORT_GAMES), policies, by_seat(seats), generator)
    points = np.where(seats, -results, results)
    won, drawn, lost = (int((points == outcome).sum()) for outcome in (1, 0, -1))
    elo, low, high = match_elo(won, drawn, lost)
    write_report(directory, {"won": won, "drawn": drawn, "lost": lost, "elo": elo})
    console.print(
        f"against the policy that it began as, over {REPORT_GAMES} games: {won} won, {drawn} drawn, {lost} lost, "
        f"{elo:+.0f} Elo (95 % interval: {interval_name(low, high)})",
        highlight=False,
        soft_wrap=True,
    )
