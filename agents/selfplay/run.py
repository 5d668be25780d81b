"""A run of self-play: iterations of playing and learning with live progress, matches on the way and at the end."""

from __future__ import annotations

import dataclasses
import math
import shlex
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console

from agents.analysis import PlayerError
from agents.imitation.learner import Learner, adapted, rate_factor
from agents.learner_command import notice_on, resume_command, run_arguments, run_directory
from agents.model_files import INITIAL_FILE, MODEL_FILE, initial_file
from agents.network_evaluator import encoder_of, evaluator_of, load_policy, network_spec, save_for_game
from agents.ratings import interval_name, match_elo
from agents.run import Run, StopSignal, write_report
from agents.selfplay.command import Options
from agents.selfplay.config import PRESETS
from agents.selfplay.games import GamesInStep, Match
from agents.selfplay.window import Window
from agents.steps_bar import StepsBar
from games.catalogue import find_game
from games.compiled import NDArray
from games.go import size_text
from games.machine import available_processors
from games.rules import Game
from nets.models import PolicyValueNet
from nets.precision import choose_device
from nets.training import compute_alike

REPORT_GAMES = 200
FIRST_FILE = "first.safetensors"  # the network that the run began with, in its directory


def train_from(options: Options, console: Console) -> None:
    """Play and learn to the last iteration, saving after each, then match the network against the first one."""
    deadline = time.monotonic() + (60 * options.stop_after or math.inf)
    config, directory = options.config, run_directory(options, f"selfplay-{options.preset}")
    game = find_game(options.game)
    device = choose_device(options.device)
    threads = options.threads or available_processors()
    compute_alike(threads, device)
    notice = notice_on(console)
    init = None if options.init is None else initial_file(options.init, directory, options.resume)
    initial = None if init is None else load_policy(init, "--init", game)
    torch.manual_seed(config.seed)
    model = initial.model if initial else new_network(config.network, game)
    shape = (model.spec.input_shape[0], *game.planes_shape[1:])
    model = adapted(model, shape, with_value=True, with_points=config.points and game.family == "go")
    saved = {
        "learner": "selfplay",
        "game": game.name,
        **dataclasses.asdict(config),
        "network": None if initial else config.network,
        "init": initial.sha256 if initial else None,
        "kept_apart": initial.kept_apart if initial else None,
    }
    with (
        Run.create(
            directory,
            saved,
            arguments=run_arguments("selfplay", options, PRESETS[options.preset]),
            resume=options.resume,
            extendable={"iterations"},
            tensorboard=options.tensorboard,
            notice=notice,
        ) as run,
        StopSignal("stopping after this action, or with this iteration; a second Ctrl-C stops at once") as stop,
    ):
        if initial is not None:
            run.keep(INITIAL_FILE, initial.file)
        learner = Learner(config, model, device)
        session = Session(run, options, game, learner, initial.features if initial else "observe", saved, threads)
        with StepsBar(console, "iteration", config.iterations, session.done) as bar:
            is_done = session.train(stop, deadline, bar)
        if not is_done:
            notice(f"stopped; go on with: {resume_command('selfplay', options, directory)}")
            return
    with console.status(f"playing {REPORT_GAMES} games against the network that it began with"):
        session.report(console)
    name = shlex.quote(f"mcts:model={directory}")
    size = f" --size {size_text(*game.planes_shape[1:])}" if game.family == "go" else ""
    notice(f"play it:     python play.py {game.family}{size} --white {name}")
    notice(f"train on:    {resume_command('selfplay', options, directory, iterations=2 * config.iterations)}")


def new_network(name: str, game: Game) -> PolicyValueNet:
    """Return a network with random weights; PlayerError where the architecture is not for such a game."""
    spec = network_spec("--network", name, game, game.planes_shape[0])
    if spec.value is None:
        raise PlayerError(f"--network {name}: it does not judge positions")
    return spec.build()


class Session:
    """One process's part of a run."""

    def __init__(
        self,
        run: Run,
        options: Options,
        game: Game,
        learner: Learner,
        features: str,
        saved: dict[str, Any],
        threads: int,
    ) -> None:
        self.run, self.options, self.config, self.game = run, options, options.config, game
        self.learner, self.features, self.saved = learner, features, saved
        self.window = Window(game, *encoder_of(game, features), self.config.window)
        self.found = ""  # by the last iteration, to be shown
        self.done = 0
        checkpoint = run.latest()
        if checkpoint is None:
            self.save(FIRST_FILE)
        else:
            self.done = checkpoint.step
            arrays = dict(checkpoint.arrays)
            prefix = "window."
            window = {name.removeprefix(prefix): arrays.pop(name) for name in [*arrays] if name.startswith(prefix)}
            self.window.set_arrays(window)
            self.learner.set_arrays(arrays)
        self.evaluator = evaluator_of(learner.kept.eval(), features, game, threads)
        self.first = evaluator_of(load_policy(run.directory / FIRST_FILE, "run").model, features, game, threads)

    def train(self, stop: StopSignal, deadline: float, bar: StepsBar) -> bool:
        """Go on to the last iteration; return False where a signal or the clock stopped it; whole ones are saved.

        `deadline` is a time of `time.monotonic`.
        """
        while self.done < self.config.iterations:
            if stop.requested or time.monotonic() >= deadline or not self._iterate(stop, bar):
                return False
        return True

    def _iterate(self, stop: StopSignal, bar: StepsBar) -> bool:
        """Play games, learn from the window, match where it is time, and save; False where a signal broke games off."""
        config, learner, iteration = self.config, self.learner, self.done
        start = time.perf_counter()
        self.evaluator.refresh(learner.kept.eval())
        seeds = seeds_of(config.seed, iteration, 0, min(config.games, config.games_at_once))
        games = GamesInStep(config, seeds, self.game, self.evaluator)
        while not games.are_over:
            if stop.requested:
                return False
            games.step()
            speed = games.num_over / (time.perf_counter() - start)
            bar.tell(f"{games.num_over}/{config.games} games, {speed:.1f} a second  {self.found}")
        seconds = time.perf_counter() - start
        played = games.played()
        self.window.append(played)
        steps = max(1, round(config.reuse * len(played.actions) / config.batch_size))
        learner.forget_sums()
        for step, samples in enumerate(self.window.batches((config.seed, iteration, 1), config.batch_size, steps)):
            spent = (iteration + step / steps) / config.iterations
            learner.step(samples, rate_factor(config, spent))
            bar.tell(f"learning step {step + 1}/{steps}  {self.found}")
        learner.check_finite()
        means, self.done = learner.means(), iteration + 1
        metrics: dict[str, float] = {
            "games": self.done * config.games,
            "window": len(self.window),
            "loss": means["loss"],
            "value_error": means["value_error"],
            "agreement": means["top1"],
            "actions": len(played.actions) / config.games,
            "first_wins": float((played.results > 0).mean()),
            **{name: means[name] for name in ("owner_error", "lead_error") if name in means},
        }
        self.found = f"loss {means['loss']:.3f}  value error {means['value_error']:.3f}"
        if config.match_period and self.done % config.match_period == 0 and self.done < config.iterations:
            self.evaluator.refresh(learner.kept.eval())
            results = self._match(config.match_games, self.done, bar.tell)
            metrics["score"] = float(results.mean() + 1) / 2
            self.found += f"  score {metrics['score']:.0%}"
        self.run.log(self.done, **metrics)
        self.run.log_timing(self.done, games_per_second=config.games / seconds, seconds=time.perf_counter() - start)
        self.save(MODEL_FILE)
        self.run.save_checkpoint(self.done, self._arrays(), {})
        bar.show(self.done, f"{self.found}  {metrics['actions']:.0f} actions")
        return True

    def _match(self, games: int, number: int, tell: Callable[[str], None] = lambda words: None) -> NDArray:
        """Return the results of games against the network that the run began with."""
        seeds = seeds_of(self.config.seed, number, 2, games)
        games_of_both = Match(self.config, seeds, self.game, (self.evaluator, self.first))
        while not games_of_both.are_over:
            games_of_both.step()
            tell(f"match: {games_of_both.num_over}/{games} games  {self.found}")
        return games_of_both.results()

    def report(self, console: Console) -> None:
        """Match the network against the first one; print and save the score."""
        self.evaluator.refresh(self.learner.kept.eval())
        points = self._match(REPORT_GAMES, 0)
        won, drawn, lost = (int((points == outcome).sum()) for outcome in (1, 0, -1))
        elo, low, high = match_elo(won, drawn, lost)
        write_report(self.run.directory, {"won": won, "drawn": drawn, "lost": lost, "elo": elo})
        notice_on(console)(
            f"against the network that it began with, {self.config.visits} simulations each, {REPORT_GAMES} games: "
            f"{won} won, {drawn} drawn, {lost} lost, {elo:+.0f} Elo (95 % interval: {interval_name(low, high)})"
        )

    def _arrays(self) -> dict[str, NDArray]:
        window = {f"window.{name}": array for name, array in self.window.get_arrays().items()}
        return {**self.learner.get_arrays(), **window}

    def save(self, name: str) -> None:
        """Write the network as a model file of the run."""
        with self.run.writing(name) as path:
            save_for_game(path, self.learner.kept, self.game, self.features, self.saved)


def seeds_of(seed: int, iteration: int, use: int, count: int) -> list[int]:
    """Return the seeds of an iteration's trees."""
    return [int(state) for state in np.random.SeedSequence([seed, iteration, use]).generate_state(count)]
