"""`tournament.py atari`: the scores of Atari players, beside each other and beside the published ones."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional, arg

from agents.command_line import parsed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from agents.atari.evaluation import Task
    from agents.atari.player import AtariModel
    from agents.atari.statistics import Estimate
    from games.atari import Protocol
    from games.atari_vector import GameResult

STOPPED = 130  # exit status after Ctrl-C, as shells have it
NAME_WIDTH = 27  # characters
ALL = "all"  # among --games: those with published scores
HELP = """Score Atari players: mean of whole games with its interval, beside the published scores.

A player is "random", a model file, its folder, or a folder of such folders: one for each game or, where several play
one game, several trainings of one method. Every player meets the same seeds. Without a player, the table of the 49
published games is printed.

examples:
  tournament.py atari models/atari-pong random
      30 games of Pong each, under the protocol that the model learnt with
  tournament.py atari runs/fast runs/paper --games pong breakout --protocol machado2018 --json
      two methods over two games: interquartile mean with its interval, as one JSON document
"""


@dataclass(frozen=True)
class Options:
    """The command line."""

    players: Annotated[tuple[str, ...], arg(metavar="MODEL", help_behavior_hint=""), Positional] = ()
    """random, model files or folders"""
    games: Annotated[tuple[str, ...], arg(metavar="GAME GAME ...", help_behavior_hint="")] = ()
    """games by name, or all: the 49 with published scores (default: those of the models)"""
    protocol: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """nature or machado2018 (default: that of the models' training)"""
    episodes: Annotated[int, arg(metavar="N")] = 30
    """games that each model plays of each game"""
    epsilon: Annotated[float | None, arg(metavar="SHARE", help_behavior_hint="")] = None
    """share of actions that are random (default: 0.05 for nature, 0.01 for machado2018, as published)"""
    seed: Annotated[int, arg(metavar="N")] = 0
    """of the games and of random actions"""
    workers: Annotated[int, arg(metavar="N")] = 0
    """processes that play, 0 for one a processor"""
    json: Annotated[bool, arg(help_behavior_hint="")] = False
    """print one JSON document instead of the tables"""


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    reading = (tyro.conf.FlagCreatePairsOff,)
    options = parsed(
        "tournament.py atari",
        lambda: tyro.cli(Options, prog="tournament.py atari", description=HELP, args=arguments, config=reading),
    )
    from games.refusal import RefusedError

    try:
        return run(options)
    except RefusedError as error:
        print(f"tournament.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tournament.py: stopped", file=sys.stderr)
        return STOPPED


@dataclass(frozen=True)
class Plan:
    """What is played: every part with the player, the game and the model (of several trainings) that it belongs to."""

    players: list[str]
    games: list[str]
    protocol: Protocol
    epsilon: float
    seed: int
    episodes: int
    models: dict[tuple[int, str], list[AtariModel | None]]  # by player's index and game; the runs
    parts: list[tuple[tuple[int, str, int], Task]]  # player's index, game, run


Results = dict[tuple[int, str, int], list["GameResult"]]  # by player's index, game and run


def run(options: Options) -> int:
    """Play what the options ask for, and print it."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not options.players:
        if options != Options():
            from games.atari import AtariError

            raise AtariError("name at least one player: random, a model file or a folder")
        console.print(published_table())
        return 0
    plan = prepare(options)
    started = time.monotonic()
    results, status = play(plan, options.workers, Console(stderr=True, highlight=False, markup=False))
    num_played = sum(map(len, results.values()))
    num_games = sum(len(task.numbers) for _, task in plan.parts)
    if num_played < num_games:
        print(f"tournament.py: stopped after {num_played} of {num_games} games", file=sys.stderr)
    if not num_played:
        return status
    document = summary(plan, results, time.monotonic() - started)
    if options.json:
        print(json.dumps(document))
    else:
        console.print(conditions(plan), soft_wrap=True)
        console.print(score_table(document))
        if "aggregates" in document:
            console.print(aggregate_table(document))
            console.print(document["intervals"], soft_wrap=True)
    return status


def prepare(options: Options) -> Plan:
    """Check everything that the command line names; AtariError says what is wrong."""
    from agents.atari.evaluation import Task, split
    from agents.atari.player import EPSILONS, RANDOM, check_epsilon, find_models
    from games.atari import AtariError, find_protocol

    numbers = (("episodes", options.episodes, 1), ("seed", options.seed, 0), ("workers", options.workers, 0))
    for name, value, least in numbers:
        if value < least:
            raise AtariError(f"--{name} {value} is less than {least}")

    def notice(line: str) -> None:
        print(f"tournament.py: {line}", file=sys.stderr)

    found = [None if spec == RANDOM else find_models(spec, notice) for spec in options.players]
    trained = [model for models in found if models for model in models]
    games = chosen_games(options.games, trained)
    protocols = sorted({model.protocol for model in trained}) or ["nature"]
    if options.protocol is None and len(protocols) > 1:
        raise AtariError(f"the models learnt under {' and '.join(protocols)}: --protocol says which one scores them")
    protocol = find_protocol(options.protocol or protocols[0])
    epsilon = EPSILONS[protocol.name] if options.epsilon is None else check_epsilon(options.epsilon)

    models: dict[tuple[int, str], list[AtariModel | None]] = {}
    for index, (spec, own) in enumerate(zip(options.players, found, strict=True)):
        for game in games:
            runs: list[AtariModel | None] = [None]
            if own is not None:
                runs = [*one_method(spec, [model for model in own if model.game == game], protocol, notice)]
            if runs:
                models[index, game] = runs
        if not any((index, game) in models for game in games):
            raise AtariError(f"player {spec!r} plays {', '.join(sorted({m.game for m in own or ()}))}, none of --games")
    parts: list[tuple[tuple[int, str, int], Task]] = []
    for (index, game), runs in models.items():
        for number, model in enumerate(runs):
            task = Task(model, game, protocol, epsilon, options.seed, range(options.episodes))
            parts.extend(((index, game, number), part) for part in split(task))
    names = player_names(options.players)
    return Plan(names, games, protocol, epsilon, options.seed, options.episodes, models, parts)


def one_method(
    spec: str, models: Sequence[AtariModel], protocol: Protocol, notice: Callable[[str], None]
) -> Sequence[AtariModel]:
    """Return the models of one game that learnt under the protocol; all of them where none did.

    Trainings under different protocols are not several of one method: `notice` is told which are left out.
    """
    fitting = [model for model in models if model.protocol == protocol.name] or models
    others = [model.path.parent.name for model in models if model not in fitting]
    if others:
        notice(f"{spec}: left out, since they learnt under another protocol: {', '.join(others)}")
    return fitting


def chosen_games(named: Sequence[str], trained: Sequence[AtariModel]) -> list[str]:
    """Return the games to play, by their ROMs' names."""
    from agents.atari.scores import SCORES_2015
    from games.atari import AtariError, find_game

    games = [game for name in named for game in (SCORES_2015 if name == ALL else [find_game(name)])]
    games = games or sorted({model.game for model in trained})
    if not games:
        raise AtariError("--games says which: random plays them all")
    return list(dict.fromkeys(games))


def player_names(specs: Sequence[str]) -> list[str]:
    """Return a name for each player: its spec, with a number where that comes again."""
    counts = [specs[: index + 1].count(spec) for index, spec in enumerate(specs)]
    return [spec if count == 1 else f"{spec} #{count}" for spec, count in zip(specs, counts, strict=True)]


def play(plan: Plan, workers: int, console: Console) -> tuple[Results, int]:
    """Play every part, showing how far it is; return what is finished, and the exit status.

    That is 130 after Ctrl-C, and 2 where a process that played has died.
    """
    from agents.atari.evaluation import play_tasks
    from agents.steps_bar import games_bar
    from games.atari_frames import compile_kernels
    from games.compiled import announce_compilation
    from games.machine import available_processors

    announce_compilation()
    compile_kernels()
    keys, tasks = zip(*plan.parts, strict=True)
    results: Results = {}
    status = STOPPED
    finished = play_tasks(tasks, min(workers or available_processors(), len(tasks)))
    stopping = contextlib.suppress(KeyboardInterrupt)
    try:
        with stopping, contextlib.closing(finished), games_bar(console, transient=True) as bar:
            progress = bar.add_task("", total=sum(len(task.numbers) for task in tasks))
            for index, games in finished:
                player, game, _ = keys[index]
                results.setdefault(keys[index], []).extend(games)
                mean = math.fsum(result.score for result in games) / len(games)
                bar.update(progress, advance=len(games), description=f"{plan.players[player]}, {game}: {mean:,.1f}")
            status = 0
    except BrokenProcessPool:
        status = 2
        console.print("tournament.py: a process that played died, perhaps for want of memory (--workers 1 needs less)")
    return {key: sorted(results[key]) for key in dict.fromkeys(keys) if key in results}, status


def summary(plan: Plan, results: Results, seconds: float) -> dict[str, Any]:
    """Return everything that was measured as plain JSON."""
    from dataclasses import asdict

    from agents.atari.scores import SCORES_2015

    rows = [
        {"player": plan.players[index], **game_row(plan, results, index, game)}
        for game in plan.games
        for index in range(len(plan.players))
        if any((index, game, number) in results for number in range(len(plan.models.get((index, game), ()))))
    ]
    published = {game: asdict(SCORES_2015[game]) for game in plan.games if game in SCORES_2015}
    document = {
        "protocol": plan.protocol.name,
        "epsilon": plan.epsilon,
        "seed": plan.seed,
        "episodes": plan.episodes,
        "scores": rows,
        "published_2015": published,
        "seconds": round(seconds, 1),
    }
    is_whole = all(len(results.get(key, ())) == plan.episodes for key, _ in plan.parts)
    if len(published) > 1 and is_whole:
        document |= aggregates(plan, results)
    return document


def game_row(plan: Plan, results: Results, index: int, game: str) -> dict[str, Any]:
    """Return one player's scores in one game."""
    import numpy as np

    from agents.atari.scores import SCORES_2015
    from agents.atari.statistics import mean_score

    runs = [results.get((index, game, number), []) for number in range(len(plan.models[index, game]))]
    scores = np.array([result.score for games in runs for result in games], float)
    frames = sum(result.frames for games in runs for result in games)
    published = SCORES_2015.get(game)
    estimate = mean_score([np.array([result.score for result in games], float) for games in runs if games], plan.seed)
    return {
        "game": game,
        "models": [None if model is None else str(model.path) for model in plan.models[index, game]],
        "mean": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "std": float(scores.std(ddof=1)) if len(scores) > 1 else None,
        "best": float(scores.max()),
        "human_normalised": published.human_normalised(estimate.value) if published else None,
        "frames": frames,
        "cut_off": sum(result.truncated for games in runs for result in games),
        "episode_scores": [[result.score for result in games] for games in runs],
    }


def aggregates(plan: Plan, results: Results) -> dict[str, Any]:
    """Return what the players reach over all games that have published scores; None for one that lacks a game."""
    import numpy as np

    from agents.atari.scores import SCORES_2015
    from agents.atari.statistics import aggregate

    games = [game for game in plan.games if game in SCORES_2015]
    table: dict[str, Any] = {}
    unit = set()
    for index, name in enumerate(plan.players):
        counts = {len(plan.models.get((index, game), ())) for game in games}
        if len(counts) != 1 or counts == {0}:
            table[name] = None
            continue
        (num_runs,) = counts
        unit.add("trainings" if num_runs > 1 else "games played, of one training")
        scores = np.array(
            [
                [
                    [SCORES_2015[game].human_normalised(result.score) for result in results[index, game, number]]
                    for game in games
                ]
                for number in range(num_runs)
            ]
        )
        estimates: dict[str, Estimate] = aggregate(scores, plan.seed)
        table[name] = {key: estimate._asdict() for key, estimate in estimates.items()}
    resampled = f" over {' or '.join(sorted(unit))}" if unit else ""
    intervals = f"95 % intervals by stratified bootstrap{resampled}; 1 is the human of 2015"
    return {"aggregates": table, "aggregate_games": games, "intervals": intervals}


def conditions(plan: Plan) -> str:
    """Say how the games were played."""
    protocol = plan.protocol
    sticky = f"sticky actions {protocol.sticky_probability:g}" if protocol.sticky_probability else "no sticky actions"
    noops = f"up to {protocol.max_noops} no-ops" if protocol.max_noops else "no no-ops"
    networks = [model for runs in plan.models.values() for model in runs if model is not None]
    is_foreign = not all(model.has_actions_of(protocol) for model in networks)
    games = "1 game" if plan.episodes == 1 else f"{plan.episodes} games"
    return (
        f"protocol {protocol.name}: {sticky}, {noops}, {protocol.frame_skip} frames a step, "
        f"{protocol.max_episode_frames:,} frames a game at most; epsilon {plan.epsilon:g}, {games} each, "
        f"seed {plan.seed}{'; networks keep the actions that they learnt with' if is_foreign else ''}"
    )


def score_table(document: dict[str, Any]) -> Table:
    """Return each game's players and the published scores, the best first."""
    from agents.atari.scores import SCORES_2015

    table = new_table(("player", "mean", "95 % interval", "of the human"))
    for game in dict.fromkeys(row["game"] for row in document["scores"]):
        rows = [
            (
                row["mean"],
                short(row["player"]),
                interval(row),
                row["human_normalised"],
            )
            for row in document["scores"]
            if row["game"] == game
        ]
        published = document["published_2015"].get(game)
        if published:
            normalised = SCORES_2015[game].human_normalised
            for who in ("random", "human", "dqn"):
                note = f"std {published['dqn_std']:,g}" if who == "dqn" else ""
                name = f"2015: {who.upper() if who == 'dqn' else who}"
                rows.append((published[who], name, note, normalised(published[who])))
        table.add_row(game, style="bold")
        for mean, name, note, share in sorted(rows, key=lambda row: -row[0]):
            cells = ("  " + name, points(mean), note, "" if share is None else f"{share:.1%}")
            table.add_row(*cells, style="dim" if name.startswith("2015: ") else "")
        table.add_section()
    return table


def aggregate_table(document: dict[str, Any]) -> Table:
    """Return what the players reach over all games."""
    titles = {"iqm": "interquartile mean", "median": "median", "mean": "mean", "optimality_gap": "optimality gap"}
    table = new_table(("player", "over all games", "95 % interval"))
    for name, estimates in document["aggregates"].items():
        table.add_row(short(name), "" if estimates else "games or trainings are missing", style="bold")
        for key, title in titles.items() if estimates else ():
            value, low, high = (estimates[key][end] for end in ("value", "low", "high"))
            table.add_row("  " + title, f"{value:.3f}", "" if low is None else f"{low:.3f} to {high:.3f}")
        table.add_section()
    return table


def interval(row: dict[str, Any]) -> str:
    """Return a row's interval as text, "" where there is none: one game tells no spread."""
    if row["std"] is None:
        return ""
    trainings = f", {len(row['models'])} trainings" if len(row["models"]) > 1 else ""
    return f"{points(row['low'])} to {points(row['high'])}{trainings}"


def points(score: float) -> str:
    """Return a score with the digits that tell something."""
    return f"{score:,.1f}" if abs(score) < 1000 else f"{score:,.0f}"


def short(name: str) -> str:
    """Return a name that leaves room for numbers: of a long path the end."""
    name = name.removesuffix("/model.safetensors")
    return name if len(name) <= NAME_WIDTH else "..." + name[3 - NAME_WIDTH :]


def published_table() -> Table:
    """Return the published scores of all 49 games."""
    from agents.atari.scores import SCORES_2015

    table = new_table(("game", "random", "human", "DQN 2015", "of the human"))
    for game, row in SCORES_2015.items():
        share = f"{row.human_normalised(row.dqn):.1%}"
        table.add_row(game, f"{row.random:,g}", f"{row.human:,g}", f"{row.dqn:,g} ±{row.dqn_std:,g}", share)
    return table


def new_table(titles: Sequence[str]) -> Table:
    """Return an empty table whose columns of words stand left and of numbers right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for title in titles:
        table.add_column(title, justify="left" if title in ("game", "player") else "right", no_wrap=True)
    return table
