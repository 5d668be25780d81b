"""Many games between players: one game, the schedule of a round robin, and its games in parallel processes.

A game depends on the tournament's seed and on its own place in the schedule only: the number of processes, the order in
which games finish and a stop in between change nothing. Players that think by the clock are the exception.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from agents.analysis import IllegalMoveError, PlayerError
from agents.player import Player, make_player, parse_spec
from agents.umpire import Umpire, Verdict, make_umpire
from games.child_processes import child_settings, end_with
from games.machine import available_processors
from games.notation import play_turn, turn_name
from games.openings import Opening
from games.refusal import RefusedError
from games.rules import RESIGN, Game, State, States, apply, game_of, is_over, to_play

MAX_TURNS = 1000  # a game under rules that need not end it is drawn here
STOP_SECONDS = 2.0  # how long a worker process may take to close its players before it is killed
FORFEITS = ("illegal move", "crash", "timeout")  # the reasons why a game is lost off the board
RESIGNATION = "resignation"  # the reason why a player's own word ends a game

PlayerFactory = Callable[[Game, int], Player]  # (game, seed) -> player


class MatchError(RefusedError):
    """Games that cannot be played as asked; the message is one line."""


@dataclass(frozen=True)
class Contestant:
    """A name in the table, and how to build its player in the process that plays."""

    name: str
    make: PlayerFactory  # can be pickled where games run in several processes (no lambda)
    keep: bool = False  # made once a process and told of each new game; others are made anew for it, with its seed
    is_outside: bool = False  # an engine: where it cannot be started any more, it loses the game


@dataclass(frozen=True)
class ScheduledGame:
    """One game of a round robin before it is played."""

    round: int  # 0, 1, ... within its pairing; rounds 2k and 2k + 1 share an opening with colours swapped
    pairing: int  # which two contestants: those of an earlier pairing stay the same when contestants are added
    players: tuple[int, int]  # indices of the contestants, the first mover's first
    opening: Opening
    seeds: tuple[int, int]  # of each player in this game


@dataclass(frozen=True)
class GameRecord:
    """One game as it was played."""

    round: int
    pairing: int
    players: tuple[str, str]  # names, the first mover's first
    opening: str
    turns: tuple[str, ...]  # from the starting position, the opening's turns included, in the game's notation
    result: float  # for player 0: 1.0 won, 0.0 drawn, -1.0 lost
    reason: str  # "no moves", "repetition", "quiet limit", "resignation", "illegal move", "crash", "timeout", ...
    fault: str = ""  # of a game lost by forfeit: what the loser did
    score: str = ""  # in Go: "B+3.5"
    note: str = ""  # how the score was agreed
    comments: tuple[str, ...] = ()  # what its player thought at each turn; empty where nobody said anything


# --- one game -------------------------------------------------------------------------------------------------------


def play_game(
    start: States,
    players: tuple[Player, Player],
    scheduled: ScheduledGame,
    names: tuple[str, str],
    umpire: Umpire,
) -> GameRecord:
    """Play one game from a starting position [1] to its end; who crashes, times out or moves illegally loses it."""
    states = start.copy()
    game = game_of(states)
    turns = play_opening(states[0], scheduled.opening)
    comments = [""] * len(turns)
    verdict, fault = Verdict(0.0, "ply limit"), ""
    umpire.begin()
    turn_start, turn, comment = states[0].copy(), list[int](), ""
    while True:
        if is_over(states[0]):
            final = umpire.verdict(states[0], players)
            if final is not None:
                verdict = final
                break
        if len(turns) >= MAX_TURNS and not has_move_limit(states[0]):
            break
        mover = to_play(states[0])
        try:
            analysis = umpire.conducted(states[0], players[mover].act(states)[0])
            if analysis.action == RESIGN:
                verdict = Verdict((-1.0, 1.0)[mover], RESIGNATION)
                break
            if analysis.action not in game.legal_actions(states[0]):
                played = " ".join(turns[-4:]) or "the start"
                raise IllegalMoveError(f"action {analysis.action} after {played} is not legal")
        except (PlayerError, OSError) as error:
            verdict, fault = Verdict((-1.0, 1.0)[mover], forfeit_reason(error)), str(error)
            break
        comment = comment or umpire.comment(analysis)
        apply(states[0], analysis.action)
        turn.append(analysis.action)
        if to_play(states[0]) != mover or is_over(states[0]):
            turns.append(turn_name(turn_start, tuple(turn)))
            comments.append(comment)
            turn_start, turn, comment = states[0].copy(), [], ""
    return GameRecord(
        round=scheduled.round,
        pairing=scheduled.pairing,
        players=names,
        opening=scheduled.opening.name,
        turns=tuple(turns),
        result=verdict.result,
        reason=verdict.reason,
        fault=fault,
        score=verdict.score,
        note=verdict.note,
        comments=tuple(comments) if any(comments) else (),
    )


def forfeit(scheduled: ScheduledGame, names: tuple[str, str], loser: int, fault: str) -> GameRecord:
    """Return the record of a game that an engine loses because it cannot be started again."""
    return GameRecord(
        round=scheduled.round,
        pairing=scheduled.pairing,
        players=names,
        opening=scheduled.opening.name,
        turns=(),
        result=-1.0 if loser == scheduled.players[0] else 1.0,
        reason="crash",
        fault=fault,
    )


def has_move_limit(state: State) -> bool:
    """Say whether the rules themselves end a game after this many moves, as those of Go do, and count it then."""
    return "move_limit" in (state.dtype.names or ()) and bool(state.move_limit > 0)


def forfeit_reason(error: Exception) -> str:
    """Name the reason why a game is lost off the board."""
    if isinstance(error, IllegalMoveError):
        return "illegal move"
    return "timeout" if isinstance(error, TimeoutError) else "crash"


def play_opening(state: State, opening: Opening) -> list[str]:
    """Play an opening's turns and return their names; precondition: they are legal and do not end the game."""
    names = []
    for turn in opening.turns:
        names.append(turn_name(state, turn))
        play_turn(state, turn)
    return names


# --- the schedule ---------------------------------------------------------------------------------------------------


def contestants(specs: Sequence[str]) -> list[Contestant]:
    """Return contestants named by their spec strings; a spec that comes again gets a number."""
    names: list[str] = []
    for spec in specs:
        names.append(spec if spec not in specs[: len(names)] else f"{spec} #{specs[: len(names) + 1].count(spec)}")
    parsed = [parse_spec(spec) for spec in specs]
    return [
        Contestant(name, functools.partial(make_player, spec), keep=not one.is_random, is_outside=one.kind.is_outside)
        for name, spec, one in zip(names, specs, parsed, strict=True)
    ]


def schedule(num_players: int, games: int, openings: Sequence[Opening], seed: int) -> list[ScheduledGame]:
    """Return `games` games for each two players, round after round; openings start again where there are too few."""
    pairings = [(first, second) for second in range(num_players) for first in range(second)]
    return [
        ScheduledGame(
            round=round,
            pairing=pairing,
            players=players if round % 2 == 0 else players[::-1],
            opening=openings[round // 2 % len(openings)],
            seeds=player_seeds(seed, pairing, round),
        )
        for round in range(games)
        for pairing, players in enumerate(pairings)
    ]


def player_seeds(seed: int, pairing: int, round: int) -> tuple[int, int]:
    """Return the two players' seeds of one game."""
    first, second = np.random.SeedSequence([seed, pairing, round]).generate_state(2).tolist()
    return first, second


# --- games in parallel ----------------------------------------------------------------------------------------------


def play_games(
    game: Game,
    players: Sequence[Contestant],
    games: Sequence[ScheduledGame],
    rules: str | None = None,
    workers: int = 0,
    referee: str | None = None,
) -> Generator[GameRecord, None, None]:
    """Play scheduled games in `workers` processes (0: one a processor) and yield each as it finishes.

    One worker plays in this process, in order. PlayerError where a player or the referee (see agents/umpire.py) cannot
    be made, MatchError where a worker process dies. Closing the generator stops the games under way.
    """
    terms = Terms(game.new(1, rules), rules, referee)
    workers = min(workers or available_processors(), len(games))
    if workers > 1:
        return _play_in_processes(game, players, games, terms, workers)
    return _play_here(players, games, terms)


def _play_here(
    players: Sequence[Contestant], games: Sequence[ScheduledGame], terms: Terms
) -> Generator[GameRecord, None, None]:
    cast = _Cast(players, terms)
    try:
        for scheduled in games:
            yield cast.play(scheduled)
    finally:
        cast.close()


@dataclass(frozen=True)
class Terms:
    """What all games of a match have in common."""

    start: States  # [1], with the rules in its fields
    rules: str | None  # the rule set's name
    referee: str | None = None  # spec


class _Cast:
    """The players of one process, and their umpire."""

    def __init__(self, players: Sequence[Contestant], terms: Terms) -> None:
        self._contestants, self._terms = players, terms
        self._game = game_of(terms.start)
        self._umpire: Umpire | None = None
        self._kept: dict[int, Player] = {}
        self._closing = threading.Lock()

    def play(self, scheduled: ScheduledGame) -> GameRecord:
        """Play one game; a player that forfeits it is not kept."""
        if self._umpire is None:
            self._umpire = make_umpire(self._game, self._terms.rules, self._terms.referee)
        first, second = scheduled.players
        names = (self._contestants[first].name, self._contestants[second].name)
        with contextlib.ExitStack() as leaving:
            seats = []
            for index, seed in zip(scheduled.players, scheduled.seeds, strict=True):
                try:
                    seats.append(self._enter(index, seed, leaving))
                except PlayerError as error:
                    if not self._contestants[index].is_outside:
                        raise
                    return forfeit(scheduled, names, index, str(error))
            record = play_game(self._terms.start, (seats[0], seats[1]), scheduled, names, self._umpire)
        if record.fault:
            self._dismiss(first if record.result < 0 else second)
        return record

    def _enter(self, index: int, seed: int, leaving: contextlib.ExitStack) -> Player:
        """Return a player ready for a new game."""
        contestant = self._contestants[index]
        player = self._kept.get(index)
        if player is not None:
            try:
                player.new_game()
                return player
            except (PlayerError, OSError):  # it died after its last game: start it again
                self._dismiss(index)
        player = contestant.make(self._game, seed)
        if contestant.keep:
            self._kept[index] = player
        else:
            leaving.callback(player.close)
        return player

    def _dismiss(self, index: int) -> None:
        player = self._kept.pop(index, None)
        if player is not None:
            player.close()

    def close(self) -> None:
        """Close the umpire and the players that were kept; a second call waits for the first."""
        with self._closing:
            if self._umpire is not None:
                self._umpire.close()
            for index in list(self._kept):
                self._dismiss(index)


@dataclass
class _Worker:
    """A process that plays one game at a time."""

    process: Any  # multiprocessing.Process of the spawn context
    connection: Connection
    playing: ScheduledGame | None = None


def _play_in_processes(
    game: Game, players: Sequence[Contestant], games: Sequence[ScheduledGame], terms: Terms, workers: int
) -> Generator[GameRecord, None, None]:
    crew: list[_Worker] = []
    waiting = iter(games)
    lifeline, held = multiprocessing.Pipe(duplex=False)
    try:
        with child_settings():
            crew.extend(_start_worker(lifeline, game, players, terms) for _ in range(workers))
        for worker in crew:
            _hand_over(worker, next(waiting, None))
        while busy := {worker.connection: worker for worker in crew if worker.playing}:
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                record = _receive(worker)
                _hand_over(worker, next(waiting, None))
                yield record
    finally:
        held.close()
        lifeline.close()
        _stop(crew)


def _start_worker(lifeline: Connection, game: Game, players: Sequence[Contestant], terms: Terms) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads of torch and numba half alive
    ours, theirs = context.Pipe()
    arguments = (theirs, lifeline, game.functions["init"].__module__, tuple(players), terms)
    process = context.Process(target=_work, args=arguments, daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _hand_over(worker: _Worker, scheduled: ScheduledGame | None) -> None:
    """Give a worker its next game; None leaves it idle."""
    worker.playing = scheduled
    if scheduled is not None:
        with contextlib.suppress(OSError):  # a dead worker is told of where its answer is awaited
            worker.connection.send(scheduled)


def _receive(worker: _Worker) -> GameRecord:
    """Return a worker's finished game, or raise what happened in its stead."""
    try:
        answer = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join(STOP_SECONDS)
        raise MatchError(f"a worker process died (exit status {worker.process.exitcode})") from None
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, GameRecord), answer
    return answer


def _stop(crew: Sequence[_Worker]) -> None:
    """End the worker processes, by force where closing their players takes too long."""
    for worker in crew:
        worker.connection.close()
    for worker in crew:
        worker.process.join(STOP_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _work(
    connection: Connection,
    lifeline: Connection,
    game_module: str,
    players: Sequence[Contestant],
    terms: Terms,
) -> None:
    """Play the games that come through the connection until it closes."""
    importlib.import_module(game_module)  # registers the game
    cast = _Cast(players, terms)
    end_with(lifeline, cast.close)
    with contextlib.suppress(EOFError, OSError):  # the parent has closed the connection, or is gone
        while True:
            scheduled = connection.recv()
            try:
                answer: GameRecord | Exception = cast.play(scheduled)
            except (PlayerError, MatchError) as error:
                answer = error
            except Exception:  # a fault of ours: the parent shows where
                answer = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
            connection.send(answer)
    cast.close()
    os._exit(0)  # the orderly way out takes a second to unload kernels
