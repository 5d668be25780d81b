"""Matches and round robins: cross table, Elo with intervals, every game on record."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional, arg

from agents.command_line import end, parsed

if TYPE_CHECKING:
    from rich.console import Console

    from agents.game_log import GameLog
    from agents.match import Contestant, GameRecord, ScheduledGame
    from agents.standings import Match, MatchTest, Score, Standing, Standings
    from games.rules import Game

STOPPED = 130  # exit status after Ctrl-C, as shells have it
MOST_ELO = 2000
HELP = """Let players meet, each against each, and rate them.

Every opening is played twice, with colours swapped. Games run in parallel; how many at a time changes no result.
A player that crashes, moves illegally or falls silent loses that game. Players are written as everywhere:

  random    material:depth=4    alphabeta:model=FILE,depth=8    alphabeta:model=FILE,seconds=1    hub:COMMAND
  policy:model=FILE    mcts:model=FILE,visits=400    rollouts:visits=1000    gtp:COMMAND    gtp:seconds=2 COMMAND

examples:
  tournament.py checkers random material:depth=2
      20 games from three-move openings, and the table
  tournament.py checkers models/checkers-anaconda material:depth=8 random --games 100 --out runs/first
      a round robin of three; every game is saved in runs/first as it ends, and Ctrl-C stops it
  tournament.py checkers models/checkers-anaconda material:depth=8 random --games 200 --out runs/first --resume
      goes on where it stopped, now up to 200 games for each two players
  tournament.py checkers alphabeta:model=runs/new alphabeta:model=runs/old --games 2000 --sprt 0 20
      stops as soon as the games tell whether the new one is 20 Elo points stronger rather than as strong
  tournament.py connect_four lines:depth=8 lines:depth=6 --openings random:4 --json
      the same for another game, as one JSON document
  tournament.py go --size 9 rollouts:visits=1000 "gtp:gnugo --mode gtp --chinese-rules --positional-superko" --games 50
      Go against an external engine; once both have passed, agreement on the dead stones settles who won
  tournament.py go --size 9 rollouts random --referee "gtp:gnugo --mode gtp --chinese-rules"
      GNU Go says which stones are dead
  tournament.py atari --help
      scores of Atari players beside the published ones
"""


class TournamentError(ValueError):
    """A tournament that cannot be played as asked; the message is one line."""


@dataclass(frozen=True)
class Options:
    """The command line."""

    game: Annotated[str, arg(metavar="GAME", help_behavior_hint=""), Positional]
    """checkers, connect_four, go or, with options of its own, atari"""
    players: Annotated[tuple[str, ...], arg(metavar="PLAYER PLAYER ...", help_behavior_hint=""), Positional]
    """two or more"""
    games: Annotated[int, arg(metavar="N")] = 20
    """games for each two players"""
    openings: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """three-move (checkers; the default there), corners (go; the default there from 7x7 on), random:K (K turns; the
    default else: 2 in go, 4 in connect_four) or none (the default where no line leaves the game open)"""
    rules: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """rule set: wcdf (the default), anaconda, open_spiel, endless for checkers; for go chinese (the default),
    tromp-taylor (no stone is dead), situational, new-zealand, simple-ko"""
    size: Annotated[str | None, arg(metavar="N", help_behavior_hint="")] = None
    """go: lines of the board, or rows and columns, as in 9x13 (default: 19)"""
    komi: Annotated[float | None, arg(metavar="K", help_behavior_hint="")] = None
    """go: points that White gets for moving second (default: 7.5)"""
    sprt: Annotated[tuple[float, float] | None, arg(metavar="ELO ELO", help_behavior_hint="")] = None
    """two players: stop as soon as the games tell by which of these Elo differences the first is the stronger (Wald's
    sequential test; either kind of error 5 %), after --games at the latest"""
    referee: Annotated[str | None, arg(metavar="gtp:COMMAND", help_behavior_hint="")] = None
    """go: the engine that says which stones are dead (default: the players, and random games from the end)"""
    seed: Annotated[int, arg(metavar="N")] = 0
    """of the openings and of players that choose at random"""
    workers: Annotated[int, arg(metavar="N")] = 0
    """processes that play, 0 for one a processor"""
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """where games are saved (default: nowhere)"""
    resume: Annotated[bool, arg(help_behavior_hint="")] = False
    """go on with the tournament in --out; --games may be raised and players added at the end"""
    json: Annotated[bool, arg(help_behavior_hint="")] = False
    """print one JSON document instead of the table"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["atari"]:  # one plays it alone: scores, not matches
        from agents.atari import tournament as atari_tournament

        return atari_tournament.main(arguments[1:])
    reading = (tyro.conf.FlagCreatePairsOff,)
    options = parsed(
        "tournament.py",
        lambda: tyro.cli(Options, prog="tournament.py", description=HELP, args=arguments, config=reading),
    )
    try:
        return run_or_complain(options)
    except KeyboardInterrupt:  # before the first game or after the last: in between `play` sees to it
        print("tournament.py: stopped", file=sys.stderr)
        return STOPPED


def run_or_complain(options: Options) -> int:
    """Run, and tell in one line what makes it impossible."""
    from games.refusal import RefusedError  # here and not above: --help need not wait for numpy

    try:
        return run(options)
    except (TournamentError, RefusedError) as error:
        print(f"tournament.py: {error}", file=sys.stderr)
        return 2


def run(options: Options) -> int:
    """Play what is missing of the tournament, print its table or its JSON, and return the exit status."""
    from rich.console import Console

    from agents.standings import rank, show
    from games.compiled import announce_compilation

    check_options(options)
    announce_compilation()
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    started = time.monotonic()
    tournament = prepare(options, console)
    with contextlib.closing(tournament):
        is_complete = play(tournament, options.workers, console)
    standings = rank([player.name for player in tournament.players], tournament.records)
    if options.json:
        print(json.dumps(document(tournament, standings, time.monotonic() - started)))
    elif tournament.records:
        Console().print(show(standings))
    if tournament.test is not None and is_complete:
        console.print(verdict(tournament.test))
    if options.out is not None:
        console.print(f"{len(tournament.records)} of {len(tournament.games)} games are saved in {options.out}")
    if not is_complete:
        console.print("stopped" + ("; the same command with --resume goes on" if options.out is not None else ""))
    return 0 if is_complete else STOPPED


def check_options(options: Options) -> None:
    """Refuse numbers and combinations that make no tournament."""
    if len(options.players) < 2:
        raise TournamentError("one player named, and a tournament needs two or more")
    for name, value, least in (("games", options.games, 1), ("seed", options.seed, 0), ("workers", options.workers, 0)):
        if value < least:
            raise TournamentError(f"--{name} {value} is less than {least}")
    if options.sprt is not None:
        if len(options.players) != 2:
            raise TournamentError(f"--sprt is a test of two players, and {len(options.players)} are named")
        if not -MOST_ELO <= options.sprt[0] < options.sprt[1] <= MOST_ELO:
            raise TournamentError(f"--sprt: two differences in rising order, {-MOST_ELO} to {MOST_ELO}")
    if options.resume and options.out is None:
        raise TournamentError("--resume goes on with the tournament in --out DIR: which?")


@dataclass
class Tournament:
    """What was agreed, and the games so far."""

    game: Game
    rules: str
    openings: str  # the choice on the command line
    seed: int
    players: list[Contestant]
    games: list[ScheduledGame]  # all of them
    records: list[GameRecord]  # those that are finished
    log: GameLog | None  # None: nothing is saved
    referee: str | None = None
    test: MatchTest | None = None  # of two players, which ends the match

    @property
    def is_decided(self) -> bool:
        """Whether the games so far have ended the test."""
        return self.test is not None and self.test.note(self.records) is not None

    def close(self) -> None:
        """Close the files."""
        if self.log is not None:
            self.log.close()


def prepare(options: Options, console: Console) -> Tournament:
    """Check everything that the command line names, and open the folder."""
    from agents.game_log import GameLog
    from agents.match import contestants, schedule
    from agents.player import OutsidePlayer, make_player
    from agents.standings import MatchTest
    from agents.umpire import make_umpire
    from games.openings import default_openings, parse_openings

    game = chosen_game(options)
    rules = options.rules or next(iter(game.rule_sets))
    start = game.new(1, rules)  # an unknown rule set is refused here
    players = contestants(options.players)
    for spec in dict.fromkeys(options.players):
        with contextlib.closing(make_player(spec, game)) as player:
            for notice in player.agree(start[0]) if isinstance(player, OutsidePlayer) else ():
                console.print(notice)
    make_umpire(game, rules, options.referee).close()
    choice = options.openings or default_openings(game, rules)
    num_openings = (options.games + 1) // 2
    openings = parse_openings(choice, game, num_openings, options.seed, rules)
    if len(openings) < num_openings:
        console.print(
            f"{len(openings)} openings, each with both colours, make {2 * len(openings)} games: in {options.games} "
            "they come again, and players that choose nothing at random repeat themselves"
        )
    log = None
    if options.out is not None:
        names = [player.name for player in players]
        config = {"game": game.name, "rules": rules, "openings": choice, "seed": options.seed}
        if game.family == "go":
            config |= {"komi": float(start[0].komi2) / 2, "referee": options.referee}
        config |= {"players": names, "games": options.games}
        log = GameLog(options.out, game, config, options.resume, notice=console.print)
    games = schedule(len(players), options.games, openings, options.seed)
    records = log.records if log is not None else []
    test = None if options.sprt is None else MatchTest((players[0].name, players[1].name), options.sprt)
    return Tournament(game, rules, choice, options.seed, players, games, records, log, options.referee, test)


def chosen_game(options: Options) -> Game:
    """Return the game that is asked for; GameError lists those there are."""
    from games import go
    from games.catalogue import find_game

    game = find_game(options.game)
    if game.family == "go":
        _, rows, columns = game.planes_shape
        if options.size is not None:
            rows, columns = go.parse_size(options.size)
        return go.game(rows, columns, go.DEFAULT_KOMI if options.komi is None else options.komi)
    for name in ("size", "komi"):
        if getattr(options, name) is not None:
            raise TournamentError(f"--{name} belongs to go, not to {game.name}")
    return game


def play(tournament: Tournament, workers: int, console: Console) -> bool:
    """Play the games that are missing, showing how far they are, to the last or to a decision; False after Ctrl-C."""
    from agents.match import play_games

    done = {(record.round, record.pairing) for record in tournament.records}
    missing = [game for game in tournament.games if (game.round, game.pairing) not in done]
    if done:
        console.print(f"going on: {len(done)} of {len(tournament.games)} games are played")
    told: set[str] = set()
    games = play_games(tournament.game, tournament.players, missing, tournament.rules, workers, tournament.referee)
    try:
        with contextlib.closing(games), progress(tournament, console) as advance:
            for record in () if tournament.is_decided else games:
                if tournament.log is None:
                    tournament.records.append(record)
                else:
                    tournament.log.append(record)
                loser = record.players[0 if record.result < 0 else 1]
                if record.fault and loser not in told:
                    told.add(loser)
                    console.print(f"{loser} forfeits a game ({record.reason}): {record.fault}")
                advance()
                if tournament.is_decided:
                    break
    except KeyboardInterrupt:
        return False
    if tournament.log is not None:
        tournament.log.finish()
    return True


@contextlib.contextmanager
def progress(tournament: Tournament, console: Console) -> Iterator[Callable[[], None]]:
    """Show a bar, the time left and the leader; the block calls what it gets after each game."""
    from agents.steps_bar import games_bar

    points = dict.fromkeys((player.name for player in tournament.players), 0.0)
    counted = 0
    with games_bar(console) as bar:
        task = bar.add_task("", total=len(tournament.games), completed=len(tournament.records))

        def advance() -> None:
            nonlocal counted
            for record in tournament.records[counted:]:
                points[record.players[0]] += (1 + record.result) / 2
                points[record.players[1]] += (1 - record.result) / 2
            counted = len(tournament.records)
            leader = max(points, key=lambda name: points[name])
            bar.update(task, completed=counted, description=f"first, with {points[leader]:g}: {leader}")

        yield advance


def document(tournament: Tournament, standings: Standings, seconds: float) -> dict[str, object]:
    """Return the result as plain JSON; an end of an interval that is not known is null."""
    from agents.standings import points_matrix

    return {
        "game": tournament.game.name,
        "rules": tournament.rules,
        "openings": tournament.openings,
        "seed": tournament.seed,
        "games": len(tournament.records),
        "scheduled": len(tournament.games),
        "players": [
            {
                "player": player.name,
                **score_fields(player.score),
                "forfeits": player.forfeits,
                **rating_fields(player),
            }
            for player in standings.players
        ],
        "cross_table": points_matrix(standings),
        "matches": [
            {
                "players": match.players,
                **score_fields(match.score),
                **rating_fields(match),
                "superiority": match.superiority,
            }
            for match in standings.matches
        ],
        "sprt": None if tournament.test is None else sprt_fields(tournament.test),
        "endings": standings.endings,
        "first_mover": score_fields(standings.first_mover),
        "seconds": round(seconds, 3),
    }


def verdict(test: MatchTest) -> str:
    """Say how the sequential test ended."""
    names, decision = test.players, test.decision
    if decision is None:
        low, high = test.elos
        return f"the test did not end: {names[0]} may be {low:g} or {high:g} Elo points stronger than {names[1]}"
    chosen, other = decision.elos[decision.accepted], decision.elos[1 - decision.accepted]
    return (
        f"the test ended after {decision.pairs} pairs of games: {names[0]} is {chosen:+g} rather than {other:+g} Elo "
        f"points stronger than {names[1]} (log likelihood ratio {decision.llr:+.2f})"
    )


def score_fields(score: Score) -> dict[str, float]:
    """Return a score for the document."""
    return {"points": score.points, "games": score.games, "won": score.won, "drawn": score.drawn, "lost": score.lost}


def sprt_fields(test: MatchTest) -> dict[str, object]:
    """Return a sequential test for the document."""
    decision = test.decision
    accepted = None if decision is None else decision.elos[decision.accepted]
    told = {} if decision is None else {"pairs": decision.pairs, "llr": round(decision.llr, 3)}
    return {"elos": test.elos, "accepted": accepted, **told}


def rating_fields(rated: Standing | Match) -> dict[str, float | None]:
    """Return an Elo rating or difference with its interval for the document."""
    values = {"elo": rated.elo, "low": rated.low, "high": rated.high}
    return {name: round(value, 1) if math.isfinite(value) else None for name, value in values.items()}


if __name__ == "__main__":
    end(main)
