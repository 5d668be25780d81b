"""`train.py dqn`: options, the run's directory, live progress, evaluations, and the closing score."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from agents import learner_command
from agents.dqn.config import PRESETS, DqnConfig, DqnConfigError, check
from agents.learner_command import MOST_SEED, check_ranges, notice_on, resume_command, run_directory
from agents.model_files import BEST_FILE, INITIAL_FILE, MODEL_FILE, find_model, initial_file

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from agents.dqn.evaluation import Tell
    from agents.dqn.journal import Journal
    from agents.dqn.loop import Training
    from agents.run import Run, StopSignal
    from games.atari_vector import AtariEnvs, GameResult
    from nets.models import QNetwork

FURTHER_EPISODES = 30  # of the closing score, and of the games that confirm a target score
REPORT_SEED = MOST_SEED + 1  # of the closing score: the seeds neither of training nor of the evaluations on the way
EVALUATION_SEED = MOST_SEED + 2
CONFIRMATION_SEED = MOST_SEED + 3
NEAR, FAR = 0.1, 0.3  # below a target score, as a share of it: where the step size settles, and where it no longer does
GAME_BYTES = 850_000  # that an emulator and its frames take
PROGRAM_BYTES = 1_000_000_000  # that the program takes beside games and steps: torch, the network, processes
CHECKPOINT_SHARE = 0.1  # of a replay memory, that its compressed frames take while they are saved
TOLD_FROM = 1e9  # bytes of memory that are worth a line
EXTENDABLE = {"steps", "target_score"}  # fields that a resumed run may change


@dataclass(frozen=True)
class Options:
    """Train an Atari agent from pixels by Q-learning.

    Presets: fast (parallel games, no replay: the soonest to a good score at Pong on two cores), fast-short (the same
    with shorter rollouts: the sooner at Breakout), quick (three to four minutes), pqn (the method that they are made
    from, with its published settings: Gallici et al. 2024), dqn-2015 (Mnih et al. 2015), dqn-2013 (that method with the
    smaller network and no target network) and rainbow (Hessel et al. 2018); for a GPU impala (pqn with the larger
    network of Espeholt et al. 2018) and btr (much of Clark et al. 2024). All layers but the head are in bfloat16 where
    the processor or the GPU has it; in dqn-2015, dqn-2013, rainbow and btr the games are played by weights one update
    older: --no-overlap --precision float32 is as published. (What else differs, above all after a lost life, is told in
    agents/dqn/config.py.) A preset sets the options below; an option given on the command line overrides it. Steps are
    the agent's, 4 frames each.

    examples:
      train.py dqn --game pong --preset fast
      train.py dqn --game breakout --preset fast-short --steps 3000000
      train.py dqn --game breakout --preset rainbow --no-noisy --out runs/breakout
      train.py dqn --game pong --init models/atari-pong --epsilon-steps 0 --learning-rate 1e-4
          goes on with the shipped network
      train.py dqn --out runs/breakout --resume
          goes on where that run stopped, however it stopped
    """

    preset: Literal["fast", "fast-short", "quick", "pqn", "dqn-2015", "dqn-2013", "rainbow", "impala", "btr"] = "fast"
    """where the options below come from"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """the run's directory (default: runs/dqn-GAME-PRESET, numbered where that is taken)"""
    resume: bool = False
    """go on with the run in --out, whose options need not be said again (default: the newest of its name); --steps may
    be larger, and --target-score another. What changes with the share of steps done, as the step size does, goes by the
    new number: it may rise again"""
    stop_after: float = 0.0
    """minutes after which this call saves and stops, for --resume to go on, once games that are being scored are over;
    0 for never"""
    processes: int = 0
    """processes that run the games, 0 for one a processor, but for the learner's with --overlap; the result does not
    depend on it"""
    init: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """model file or its folder to begin from, of which the run keeps a copy: a network of this architecture for this
    game (default: random weights); an action that it does not know is valued as its NOOP at first. --network nature-dqn
    may begin from one of small: it then has each of its units twice, which changes no value. --epsilon-steps 0 lets it
    play by its own lights from the first step on"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the network learns; auto takes a GPU where there is one"""
    tensorboard: bool = False
    """also write TensorBoard events (needs the extra [tensorboard])"""
    config: Annotated[DqnConfig, tyro.conf.OmitArgPrefixes] = PRESETS["fast"]


def main(arguments: list[str]) -> int:
    """Train as the command line says; return the exit status."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two OpenMP threads beside the games' take longer than one
    options = parse(arguments)

    def start() -> None:
        from rich.console import Console  # here and not above: --help need not wait for it, nor for torch

        train(checked(options), Console(stderr=True))

    return learner_command.run("train.py dqn", start)


def parse(arguments: list[str]) -> Options:
    """Read the options, defaults taken from the preset that is asked for."""
    return learner_command.parse(Options, arguments, PRESETS, "train.py dqn", run_name=run_name_of)


def run_name_of(preset: str, arguments: Sequence[str]) -> str:
    """Return the name of the run that arguments without a directory speak of."""
    from games.atari import AtariError, find_game  # here and not above: --help need not wait for the emulator

    game = learner_command.value_given("--game", arguments) or PRESETS["fast"].game
    with contextlib.suppress(AtariError):  # `train` says what is wrong with it
        game = find_game(game)
    return run_name(game, preset)


def run_name(game: str, preset: str) -> str:
    """Return the name of a run that is given no directory."""
    return f"dqn-{game}-{preset}"


def checked(options: Options) -> Options:
    """Return the options with the game's name as the emulator has it; RefusedErrors say what no run can have."""
    from games.atari import find_game

    check(options.config, PRESETS[options.preset])
    check_ranges(vars(options), {}, error=DqnConfigError)
    config = dataclasses.replace(options.config, game=find_game(options.config.game))
    return dataclasses.replace(options, config=config)


def train(options: Options, console: Console) -> None:
    """Train to the last step, saving and evaluating as it goes, then score the best network."""
    import torch

    from agents.dqn.actor import num_groups
    from agents.dqn.initial import load_initial, origin
    from agents.dqn.learner import DivergedError
    from agents.dqn.loop import Training
    from agents.run import Run, StopSignal
    from games.atari_vector import AtariEnvs, GamesLostError
    from games.machine import keep_freed_memory
    from nets.precision import choose_device

    begun, config = time.monotonic(), options.config
    directory = run_directory(options, run_name(config.game, options.preset))
    notice = notice_on(console)
    tell_memory(config, notice)
    torch.set_num_threads(1)
    keep_freed_memory()
    device = choose_device(options.device)
    init = None if options.init is None else initial_file(options.init, directory, options.resume)
    initial = None if init is None else load_initial(init, config)
    with Run.create(
        directory,
        {"learner": "dqn", **dataclasses.asdict(config)} | origin(initial),
        arguments=learner_command.run_arguments("dqn", options, PRESETS[options.preset]),
        resume=options.resume,
        extendable=EXTENDABLE,
        tensorboard=options.tensorboard,
        notice=notice,
    ) as run:
        if initial is not None:
            run.keep(INITIAL_FILE, initial.file)
        num_processes = processes(options.processes, config)
        envs = AtariEnvs(config.game, config.num_envs, config.protocol, num_processes, num_groups(config))
        games = evaluation_games(config, config.evaluation_episodes) if config.evaluation_period else None
        try:
            training = Training(config, envs, device, initial)
            message = "stopping after this round and the games that score it; a second Ctrl-C stops at once"
            with StopSignal(message) as stop:
                deadline = begun + (60 * options.stop_after or math.inf)
                ending = run_rounds(run, training, games, stop, deadline, console)
            if ending is None or time.monotonic() >= deadline:
                notice(f"stopped; go on with: {resume_command('dqn', options, directory)}")
                return
            notice(f"trained: {ending}; {FURTHER_EPISODES} games score it")
        except DivergedError as error:
            other = shlex.join(["--init", str(directory), "--epsilon-steps", "0", "--learning-rate", "RATE"])
            raise DivergedError(
                f"{error}, as it would again with --resume; a smaller step size may help, from the start or by {other}"
            ) from None
        except GamesLostError as error:
            raise GamesLostError(f"{error}; --resume goes on from what was saved last") from None
        finally:
            envs.close()
            if games is not None:
                games.close()
        report(directory, config, device, console)
        watch = ["python", "play.py", "atari", "--game", config.game, "--bot", str(directory)]
        notice(f"watch it:    {shlex.join(watch)}")
        notice(f"compare it:  {shlex.join(['python', 'tournament.py', 'atari', str(directory)])}")
        if config.regularisers.patience is None:  # which is part of what is learnt, and would end it again
            further = {"steps": config.steps * 2} | ({"target_score": None} if config.target_score is not None else {})
            notice(f"train on:    {resume_command('dqn', options, directory, **further)}")


def processes(asked: int, config: DqnConfig) -> int:
    """Return how many processes run the games: if nothing is asked, one a processor that does not learn meanwhile."""
    from games.machine import available_processors

    return min(config.num_envs, asked or max(1, available_processors() - config.overlap))


def evaluation_games(config: DqnConfig, number: int) -> AtariEnvs:
    """Return games for an evaluation, spread over all processors: nobody learns meanwhile."""
    from games.atari_vector import AtariEnvs
    from games.machine import available_processors

    return AtariEnvs(config.game, number, config.protocol, min(number, available_processors()))


def tell_memory(config: DqnConfig, notice: Callable[[str], None]) -> None:
    """Say how much memory steps and games need, where it is much; DqnConfigError where the machine has not got it."""
    from agents.dqn.replay import STACK, memory_bytes
    from games.machine import free_memory

    free, games = free_memory(), PROGRAM_BYTES + config.num_envs * GAME_BYTES
    rollouts = memory_bytes(2 * config.rollout + STACK, config.num_envs)  # one, and what is learnt from
    if free is not None and games + rollouts > free:
        raise DqnConfigError(
            f"--num-envs {config.num_envs} --rollout {config.rollout}: the program, games and steps "
            f"take {(games + rollouts) / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free here"
        )
    if config.learns_on_policy:
        return
    needed = memory_bytes(config.replay, 1)
    gigabytes, beside = f"{needed / 1e9:.1f} GB", games + rollouts
    if free is not None and beside + (1 + CHECKPOINT_SHARE) * needed > free:
        grain = math.lcm(1000, config.num_envs)
        most = int(0.9 * (free - beside) / ((1 + CHECKPOINT_SHARE) * memory_bytes(1, 1))) // grain * grain
        raise DqnConfigError(
            f"--replay {config.replay}: the steps take {gigabytes} of memory, checkpoints and all else "
            f"{(beside + CHECKPOINT_SHARE * needed) / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free here"
            + (f"; --replay {most} would fit" if most > 0 else "")
        )
    if needed > TOLD_FROM:
        notice(f"the replay memory will take {gigabytes}, {config.replay} steps")


def run_rounds(
    run: Run, training: Training, games: AtariEnvs | None, stop: StopSignal, deadline: float, console: Console
) -> str | None:
    """Train from the last checkpoint on; return why it is at its end, None where a signal or the clock stopped it.

    Everything is saved. `deadline` is a time of `time.monotonic`.
    """
    from agents.dqn.journal import Journal, is_due
    from agents.dqn.progress import Display

    config, journal = training.config, Journal()
    checkpoint = run.latest()
    if checkpoint is not None:
        notice_on(console)(f"going on after {checkpoint.step:,} steps; the games are played again up to there")
        training.set_state(checkpoint.arrays, checkpoint.state)
        journal.set_state(checkpoint.state["journal"])
        ending = ending_of(config, checkpoint.step, journal)
        if ending is not None:
            return ending
    steps = training.actor.steps
    with Display(console, config, steps) as display:
        for done in training.rounds():
            journal.add(done)
            last = done.steps >= config.steps
            display.show(done, journal)
            is_evaluated = games is not None and (last or is_due(config.evaluation_period, steps, done.steps))
            metrics = {}
            if is_evaluated or last or is_due(config.log_period, steps, done.steps):
                metrics = journal.line()
                if games is not None and is_evaluated:
                    with display.evaluating() as tell:
                        metrics |= evaluation(run, training, games, journal, tell)
                run.log(done.steps, **metrics)
            ending = ending_of(config, done.steps, journal)
            stopped = stop.requested or time.monotonic() >= deadline
            is_saved = stopped or bool(ending) or is_due(config.checkpoint_period, steps, done.steps)
            if metrics or is_saved:
                timing = display.timing(done.steps)
                run.log_timing(done.steps, **timing)
                if metrics:
                    display.print(done.steps, metrics, timing["steps_per_second"])
            if is_saved:
                save_network(run, MODEL_FILE, training)
                arrays, state = training.get_state()
                run.save_checkpoint(done.steps, arrays, {**state, "journal": journal.get_state()})
            if stopped:
                return None  # one that is at its end reports when it is resumed
            if ending:
                return ending
            steps = done.steps
    return ending_of(config, steps, journal)


def ending_of(config: DqnConfig, steps: int, journal: Journal) -> str | None:
    """Return why a training is at its end after this many steps, None where it goes on."""
    score, patience, target = journal.best_score, config.regularisers.patience, config.target_score
    confirmed = journal.confirmed_score
    if confirmed is not None and target is not None and confirmed >= target:
        return f"{FURTHER_EPISODES} further games came to {confirmed:.3g}, and --target-score is {target:g}"
    if score is not None and patience is not None and journal.evaluations_since_best >= patience:
        return f"{patience} evaluations brought no better score than {score:g}"
    return f"all {config.steps:,} steps are done" if steps >= config.steps else None


def evaluation(run: Run, training: Training, games: AtariEnvs, journal: Journal, tell: Tell) -> dict[str, float]:
    """Score the network, keep it where it is the best so far, and return the metrics."""
    from agents.dqn.evaluation import evaluate

    config, learner = training.config, training.learner
    results = evaluate(learner.kept, games, EVALUATION_SEED, config.evaluation_epsilon, learner.device, tell)
    metrics, is_best = journal.note_evaluation(results)
    score, target, confirmed = metrics["evaluation"], config.target_score, journal.confirmed_score
    if target is not None:
        distance = (target - score) / max(abs(target), 1.0)
        if distance <= NEAR:
            training.settle(target)
        elif distance > FAR:
            training.settle(None)
    if confirmed is not None:
        is_best = False  # what further games spoke for gives way to what they speak for more
    if (target is not None and score >= target) or (confirmed is not None and score > confirmed):
        further = further_games(learner.kept, config, CONFIRMATION_SEED, learner.device, tell)
        confirmation, is_best = journal.note_confirmation(further)
        metrics |= confirmation
    if is_best:
        save_network(run, BEST_FILE, training)
    return metrics


def further_games(
    network: QNetwork, config: DqnConfig, seed: int, device: torch.device, tell: Tell
) -> tuple[GameResult, ...]:
    """Return the results of games from seeds of their own: of many evaluations the best is so by luck, too."""
    from agents.dqn.evaluation import evaluate

    games = evaluation_games(config, FURTHER_EPISODES)
    try:
        return evaluate(network, games, seed, config.evaluation_epsilon, device, tell)
    finally:
        games.close()


def save_network(run: Run, name: str, training: Training) -> None:
    """Write the network as a model file that names the configuration it came from."""
    from agents.dqn.initial import origin
    from games.atari import VERSION
    from nets.models import save_model

    config, steps, network = training.config, training.actor.steps, training.learner.kept
    record = {
        "learner": "dqn",
        **dataclasses.asdict(config),
        **origin(training.initial),
        "actions": list(training.envs.action_names),
        "trained_steps": steps,
        "trained_frames": steps * training.envs.protocol.frame_skip,
    }
    with run.writing(name) as path:
        save_model(path, network, training.spec, game=config.game, rules_version=VERSION, training=record)


def report(directory: Path, config: DqnConfig, device: torch.device, console: Console) -> None:
    """Score the best network over games that it was not chosen by; print and save the table."""
    from agents.dqn.journal import standard_error
    from agents.run import write_report
    from agents.steps_bar import StepsBar
    from nets.models import QNetwork, load_model

    path = find_model(directory.absolute())
    assert path is not None, "the run is done"
    network, _ = load_model(path, device)
    assert isinstance(network, QNetwork)
    with StepsBar(console, "games", FURTHER_EPISODES) as bar:
        shown = f"of {path.name}"
        results = further_games(network, config, REPORT_SEED, device, lambda done, _: bar.show(done, shown))
    scores = [result.score for result in results]
    mean, error = sum(scores) / len(scores), standard_error(results)
    played = {"protocol": config.protocol, "epsilon": config.evaluation_epsilon, "seed": REPORT_SEED}
    document = {"model": path.name, **played, "mean": mean, "standard_error": error}
    write_report(directory, {**document, "scores": scores})
    console.print(
        f"{path.name} over {len(scores)} games of {config.game} ({config.protocol}, epsilon "
        f"{config.evaluation_epsilon:g}): mean score {mean:.1f}, 95 % interval {mean - 1.96 * error:.1f} to "
        f"{mean + 1.96 * error:.1f}, from {min(scores)} to {max(scores)}",
        highlight=False,
        soft_wrap=True,
    )
