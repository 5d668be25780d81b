"""What many games say of their players: scores, ratings, matches two by two, and the tables that show them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from agents.match import FORFEITS, GameRecord
from agents.ratings import interval_name, los, match_elo, paired_match_elo, ratings, sprt

MATCHES_SHOWN = 6  # more of them are left to the JSON; the cross table has their scores


class Score(NamedTuple):
    """Results seen by one side."""

    won: int
    drawn: int
    lost: int

    @property
    def games(self) -> int:
        """How many games were played."""
        return sum(self)

    @property
    def points(self) -> float:
        """1 a win, 1/2 a draw."""
        return self.won + self.drawn / 2


@dataclass(frozen=True)
class Standing:
    """One player against all others."""

    name: str
    score: Score
    forfeits: int  # of the games lost: by an illegal move, a crash, a timeout
    elo: float  # the mean of all players is 0
    low: float  # 95 % interval; infinite without a game
    high: float


@dataclass(frozen=True)
class Match:
    """Two players against each other, seen by the first."""

    players: tuple[str, str]
    score: Score
    elo: float  # how much stronger the first is
    low: float  # 95 % interval; infinite on one side where a player has every point
    high: float
    superiority: float  # likelihood that the first is the stronger


class Decision(NamedTuple):
    """How a sequential test of two players ended."""

    elos: tuple[float, float]  # the strengths of the first, relative to the second, that were told apart
    accepted: int  # which of them
    pairs: int  # of games that it took
    llr: float  # log likelihood ratio of the second to the first


@dataclass(frozen=True)
class Standings:
    """The result of a tournament."""

    players: tuple[Standing, ...]  # the strongest first
    matches: tuple[Match, ...]  # each two players once, the stronger first, in the order of the players
    endings: dict[str, int]  # how many games ended by each reason, the commonest first
    first_mover: Score  # of player 0, whoever it was


def rank(names: Sequence[str], records: Sequence[GameRecord]) -> Standings:
    """Rate the players of a tournament by maximum likelihood (agents/ratings.py)."""
    wins, draws = count_results(names, records)
    rated = ratings(wins, draws)
    forfeits = Counter(record.players[0 if record.result < 0 else 1] for record in records if record.reason in FORFEITS)
    order = sorted(range(len(names)), key=lambda i: -rated.elo[i])
    standings = [
        Standing(
            name=names[i],
            score=Score(int(wins[i].sum()), int(draws[i].sum()), int(wins[:, i].sum())),
            forfeits=forfeits[names[i]],
            elo=float(rated.elo[i]),
            low=float(rated.low[i]),
            high=float(rated.high[i]),
        )
        for i in order
    ]
    pairs = [(names[i], names[j]) for place, i in enumerate(order) for j in order[place + 1 :]]
    return Standings(
        players=tuple(standings),
        matches=tuple(rate_match(pair, records) for pair in pairs),
        endings=dict(Counter(record.reason for record in records).most_common()),
        first_mover=score_of([record.result for record in records]),
    )


def count_results(names: Sequence[str], records: Sequence[GameRecord]) -> tuple[Any, Any]:
    """Return wins and draws, int64[N, N]: how often i won against j, and drew with it."""
    number = {name: index for index, name in enumerate(names)}
    wins, draws = np.zeros((2, len(names), len(names)), np.int64)
    for record in records:
        first, second = (number[name] for name in record.players)
        if record.result == 0.0:
            draws[first, second] += 1
            draws[second, first] += 1
        else:
            winner, loser = (first, second) if record.result > 0.0 else (second, first)
            wins[winner, loser] += 1
    return wins, draws


def score_of(results: Sequence[float]) -> Score:
    """Count results, seen by the side that they speak for."""
    return Score(sum(x > 0 for x in results), sum(x == 0 for x in results), sum(x < 0 for x in results))


def rate_match(players: tuple[str, str], records: Sequence[GameRecord]) -> Match:
    """Rate two players by their games against each other: by pairs on one opening where every pair is complete."""
    by_opening = results_by_opening(players, records)
    results = [result for pair in by_opening.values() for result in pair]
    score = score_of(results)
    if all(len(pair) == 2 for pair in by_opening.values()):
        points = Counter(int(sum(pair)) + 2 for pair in by_opening.values())  # half points: -2 ... 2 become 0 ... 4
        elo, low, high = paired_match_elo([points[k] for k in range(5)])
    else:
        elo, low, high = match_elo(score.won, score.drawn, score.lost)
    return Match(players, score, elo, low, high, superiority=los(score.won, score.lost))


def results_by_opening(players: tuple[str, str], records: Sequence[GameRecord]) -> dict[int, list[float]]:
    """Return the first player's results against the second, those of one opening together: by round // 2."""
    by_opening: defaultdict[int, list[float]] = defaultdict(list)
    for record in records:
        if set(record.players) == set(players):
            by_opening[record.round // 2].append(record.result if record.players == players else -record.result)
    return by_opening


class MatchTest:
    """A sequential test of two strengths on the games of two players, as they are played.

    Pairs of games count in the order of the schedule, up to the first that is not complete, so that games which happen
    to end early do not weigh more.
    """

    def __init__(self, players: tuple[str, str], elos: tuple[float, float]) -> None:
        self.players = players
        self.elos = elos  # that the first may be stronger
        self.decision: Decision | None = None
        self._counts = [0] * 5  # pairs by the half points of the first

    def note(self, records: Sequence[GameRecord]) -> Decision | None:
        """Take in what is new among all games so far; return the decision, of the fewest pairs, None while open."""
        by_opening = results_by_opening(self.players, records)
        while self.decision is None and len(pair := by_opening.get(sum(self._counts), [])) == 2:
            self._counts[int(sum(pair)) + 2] += 1
            test = sprt(self._counts, *self.elos)
            if test.accepted is not None:
                self.decision = Decision(self.elos, test.accepted, sum(self._counts), test.llr)
        return self.decision


# --- tables ---------------------------------------------------------------------------------------------------------


def show(standings: Standings) -> Group:
    """Return the tables for a rich console to print."""
    parts: list[Any] = [rating_table(standings.players)]
    if len(standings.players) > 2:
        parts.append(cross_table(standings))
    if len(standings.matches) <= MATCHES_SHOWN:
        parts.append(match_table(standings))
    won, drawn, lost = standings.first_mover
    endings = ", ".join(f"{reason} {count}" for reason, count in standings.endings.items())
    parts.append(Text(f"The first mover won {won}, drew {drawn} and lost {lost}. Endings: {endings or 'none'}."))
    return Group(*parts)


def rating_table(players: Sequence[Standing]) -> Table:
    """Return the players, the strongest first."""
    table = _table("", "player", "Elo", "95 % interval", "points", "won", "drawn", "lost")
    has_forfeits = any(player.forfeits for player in players)
    if has_forfeits:
        table.add_column("forfeits", justify="right")
    for place, player in enumerate(players, 1):
        rating = (f"{player.elo:+.0f}", interval_name(player.low, player.high))
        points = f"{player.score.points:g}/{player.score.games}"
        forfeits = [str(player.forfeits)] if has_forfeits else []
        table.add_row(str(place), Text(player.name), *rating, points, *map(str, player.score), *forfeits)
    return table


def cross_table(standings: Standings) -> Table:
    """Return the points of every player against every other, by their places."""
    table = _table("", "points against", *(str(place) for place in range(1, len(standings.players) + 1)))
    for place, (player, row) in enumerate(zip(standings.players, points_matrix(standings), strict=True), 1):
        cells = ("-" if points is None else f"{points:g}" for points in row)
        table.add_row(str(place), Text(player.name), *cells)
    return table


def points_matrix(standings: Standings) -> list[list[float | None]]:
    """Return what each player scored against each other, in the order of the players; None against itself."""
    points: dict[tuple[str, str], float] = {}
    for match in standings.matches:
        points[match.players] = match.score.points
        points[match.players[::-1]] = match.score.games - match.score.points
    names = [player.name for player in standings.players]
    return [[points.get((name, other)) for other in names] for name in names]


def match_table(standings: Standings) -> Table:
    """Return each two players, by their places, with the difference in strength that their own games show."""
    table = _table("", "match", "Elo difference", "95 % interval", "superiority", "won", "drawn", "lost")
    place = {player.name: number for number, player in enumerate(standings.players, 1)}
    for match in standings.matches:
        first, second = (place[name] for name in match.players)
        rating = (f"{match.elo:+.0f}", interval_name(match.low, match.high), likelihood_name(match.superiority))
        table.add_row("", f"{first} against {second}", *rating, *map(str, match.score))
    return table


def _table(*headings: str) -> Table:
    """Return a table whose second column gives way, and whose others are numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for number, heading in enumerate(headings):
        if number == 1:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    return table


def likelihood_name(likelihood: float) -> str:
    """Return a likelihood as text that does not pretend to certainty."""
    if likelihood > 0.999:
        return "> 99.9 %"
    return "< 0.1 %" if likelihood < 0.001 else f"{100 * likelihood:.1f} %"
