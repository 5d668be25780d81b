"""What players' choices cost: the value a deeper search sees in its own move, less what it sees in theirs.

Far fewer positions tell two settings of one search apart than games would: all players judge the same ones.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agents.analysis import Analysis
from agents.player import Player, make_player
from benchmarks.timing import BenchError, Document
from games.compiled import NDArray
from games.rules import RESIGN, Game, States, apply, is_over, to_play

TURN = 2  # actions before each position that the players look at its game: a tree search keeps its tree
REFERENCE_BATCH = 100  # positions that the reference searches in step
TRUSTED_VISITS = 20  # a move that the reference tried less often is worth no more than its worst one


def measure(
    game: Game, specs: Sequence[str], reference: str, walk: str, count: int, seed: int, console: Console
) -> Document:
    """Return the mean regret of each player over positions of games that `walk` plays against itself."""
    with contextlib.ExitStack() as stack:

        def opened(spec: str) -> Player:
            return stack.enter_context(contextlib.closing(make_player(spec, game, seed)))

        players, judge, walker = [opened(spec) for spec in specs], opened(reference), opened(walk)
        if game.family == "go":
            from agents.go_conduct import Conducted

            walker = Conducted(walker)
        before, positions = walked_positions(game, walker, count, seed)
        worths = np.concatenate(
            [
                move_worths(positions[first : first + REFERENCE_BATCH], judge, game.num_actions)
                for first in track(range(0, len(positions), REFERENCE_BATCH), "the reference", console=console)
            ]
        )
        choices = np.array(
            [
                [choose(player, before[i : i + 1], positions[i : i + 1]) for i in range(len(positions))]
                for player in track(players, "players", console=console)
            ]
        )
    return {
        "game": game.name,
        "reference": reference,
        "walk": walk,
        "positions": len(positions),
        "seed": seed,
        "players": summaries(specs, worths, choices),
    }


def walked_positions(game: Game, walker: Player, count: int, seed: int) -> tuple[States, States]:
    """Return positions drawn from games that a player plays with itself, one a game, and those TURN actions before."""
    generator = np.random.default_rng(seed)
    states = game.new(count)
    played: list[list[int]] = [[] for _ in range(count)]
    resigned: set[int] = set()
    while running := [i for i in range(count) if i not in resigned and not is_over(states[i])]:
        for i, analysis in zip(running, walker.act(states[running]), strict=True):
            if analysis.action == RESIGN:
                resigned.add(i)
            else:
                apply(states[i], analysis.action)
                played[i].append(analysis.action)
    shortest = min(map(len, played))
    if shortest <= TURN:
        raise BenchError(f"a game was over after {shortest} actions: let another player play them")
    before, positions = game.new(count), game.new(count)
    for i, actions in enumerate(played):
        ply = int(generator.integers(TURN, len(actions)))
        for action in actions[: ply - TURN]:
            apply(before[i], action)
        positions[i] = before[i]
        for action in actions[ply - TURN : ply]:
            apply(positions[i], action)
    return before, positions


def move_worths(positions: States, judge: Player, num_actions: int) -> NDArray:
    """Return what a reference thinks of each action, as its mover sees it, float64[n, A]; -inf where it is not legal.

    A move seldom tried is worth no more than the worst that was tried often.
    """
    worths = np.full((len(positions), num_actions), -np.inf)
    for row, state, analysis in zip(worths, positions, judge.act(positions), strict=True):
        judged = values_of(analysis, 1 - 2 * to_play(state))
        if not judged:
            raise BenchError("the reference gives no values of moves: mcts and rollouts do, with enough visits")
        row[[move.action for move in analysis.moves]] = min(judged.values())
        row[list(judged)] = list(judged.values())
    return worths


def values_of(analysis: Analysis, sign: int) -> dict[int, float]:
    """Return the values, for the mover, of the actions that were tried often enough."""
    return {
        move.action: sign * move.value
        for move in analysis.moves
        if move.value is not None and (move.visits >= TRUSTED_VISITS or move.action == analysis.action)
    }


def choose(player: Player, before: States, position: States) -> int:
    """Return a player's action after it has seen the position that its last turn began with."""
    player.new_game()
    player.act(before)
    action = player.act(position)[0].action
    if action == RESIGN:
        raise BenchError("a player resigned: what its moves cost cannot be told; let it play on")
    return action


def summaries(specs: Sequence[str], worths: NDArray, choices: NDArray) -> list[Document]:
    """Return each player's mean regret, and how much it is above the first one's, with 95 % errors.

    worths float64[n, A]; choices int[P, n].
    """
    best, rows = worths.max(axis=1), np.arange(len(worths))
    regrets = np.array([best - worths[rows, chosen] for chosen in choices])
    return [
        {
            "player": spec,
            "no_regret": round(float((regret == 0).mean()), 4),
            "regret": round(float(regret.mean()), 5),
            "regret_margin": margin(regret),
            "more_than_first": round(float((regret - regrets[0]).mean()), 5),
            "more_margin": margin(regret - regrets[0]),
        }
        for spec, regret in zip(specs, regrets, strict=True)
    ]


def margin(values: NDArray) -> float:
    """Return half the width of the 95 % interval of a mean."""
    return round(1.96 * float(values.std()) / math.sqrt(len(values)), 5)


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    table = Table(
        "player", "no regret", "regret", "± 95 %", "above the first", "± 95 %",
        title=f"{document['game']}: {document['positions']} positions, judged by {document['reference']}",
        caption="regret: of a return from -1 to 1",
    )  # fmt: skip
    table.columns[0].overflow = "fold"  # specs often differ at their end only
    for entry in document["players"]:
        table.add_row(
            entry["player"],
            f"{entry['no_regret']:.1%}",
            *(f"{entry[name]:.4f}" for name in ("regret", "regret_margin", "more_than_first", "more_margin")),
        )
    return [table]
