"""How a game of Go ends in a match: by agreement on the dead stones, by a referee's word, or played out.

Raw area is no judge where players pass as people do, with dead stones on the board. So each side is asked which stones
are dead: an outside engine by final_status_list, our own players by random games from the end, which also speak for an
engine that has no opinion. Where the two come to the same winner, that is the result. Between two engines that name
different winners, random games decide; where an engine and random games disagree, the game is played on and what
stands at its end lives, as Chinese rules have it. A referee, where one is given, decides alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from agents.analysis import Analysis, PlayerError
from agents.go_conduct import Ending, conduct, ending_of
from agents.gtp.client import GtpPlayer
from agents.player import Player, make_player
from agents.umpire import Verdict
from games.go_status import Status, judge, score_name, settle
from games.rules import Game, State
from games.sgf import analysis_comment

RAW_AREA = "all stones alive"
OWN = "random games"  # who else is asked for dead stones


class GoUmpire:
    """Judges games under one rule set."""

    def __init__(self, game: Game, rules: str, referee: str | None = None) -> None:
        """PlayerError where the referee cannot be started, or is no GTP engine."""
        self._rules = rules
        self._ending = ending_of(rules)
        self._referee: GtpPlayer | None = None
        self._cleaning: list[GtpPlayer] = []  # engines that were told of a dispute
        if referee is not None:
            player = make_player(referee, game)
            if not isinstance(player, GtpPlayer):
                player.close()
                raise PlayerError(f"referee {referee!r}: only an engine can be one, as in gtp:gnugo --mode gtp")
            if not player.knows("final_status_list"):
                player.close()
                raise PlayerError(f"referee {referee!r}: it knows no final_status_list, so it cannot judge")
            self._referee = player

    def begin(self) -> None:
        """Forget a game that was not finished, or what came after a turn that is taken back."""
        self._ending = ending_of(self._rules)
        for player in self._cleaning:
            player.is_cleaning_up = False
        self._cleaning.clear()

    def conducted(self, state: State, analysis: Analysis) -> Analysis:
        """Let a player that weighs moves pass in time, and fill no eye; one that says only its move has its way."""
        return conduct(state, analysis, self._ending) if analysis.moves else analysis

    def comment(self, analysis: Analysis) -> str:
        """Note the win rate of a search."""
        if analysis.value is None or not analysis.moves:
            return ""
        return analysis_comment((1 + analysis.value) / 2, sum(move.visits for move in analysis.moves))

    def verdict(self, state: State, players: Sequence[Player | None]) -> Verdict | None:
        """Count the game, or open it again where the players do not agree on who has won."""
        if self._ending is not Ending.DEAD_REMOVED:
            disputed = "" if self._ending is Ending.ALL_ALIVE else "played on after a dispute, "
            return _count(state, settle(state, frozenset()), disputed + RAW_AREA)
        opinions = self._opinions(state, players)
        winners = [_sign(status.score) for _, status in opinions]
        decided = max(set(winners), key=winners.count)
        if 2 * winners.count(decided) <= len(winners):
            if 0 < state.move_limit <= state.ply:
                return _count(state, settle(state, frozenset()), f"a dispute at the move limit, {RAW_AREA}")
            self._ending = Ending.CLEANUP
            for player in players:
                if isinstance(player, GtpPlayer):
                    player.is_cleaning_up = True
                    self._cleaning.append(player)
            state.passes = 0
            return None
        status = opinions[winners.index(decided)][1]
        if all(opinion.score == status.score for _, opinion in opinions):
            return _count(state, status, f"dead stones by {' and '.join(name for name, _ in opinions)}")
        told = ", ".join(f"{score_name(opinion.score)} by {name}" for name, opinion in opinions)
        return _count(state, status, f"dead stones in dispute, and not the winner: {told}")

    def _opinions(self, state: State, players: Sequence[Player | None]) -> list[tuple[str, Status]]:
        """Return who takes which stones for dead: the referee, or the engines that play, and ourselves where needed."""
        if self._referee is not None:
            dead = self._asked_twice(self._referee, state)
            if dead is not None:
                return [(self._referee.title, settle(state, dead))]
            return [(f"{OWN}, since the referee gave no answer", judge(state))]
        asked = [player for player in players if isinstance(player, GtpPlayer)]
        opinions = []
        for engine in asked:
            with contextlib.suppress(PlayerError):  # one that crashes now has no say, but has played its game
                dead = engine.dead_stones(state)
                if dead is not None:
                    opinions.append((engine.title, settle(state, dead)))
        is_disputed = len({_sign(status.score) for _, status in opinions}) > 1
        if is_disputed or len(opinions) < len(players):
            opinions.append((OWN, judge(state)))
        return opinions

    def _asked_twice(self, referee: GtpPlayer, state: State) -> frozenset[int] | None:
        """Return the stones that the referee takes for dead, from a process anew where the first fails; or None."""
        for _ in range(2):
            with contextlib.suppress(PlayerError):
                dead = referee.dead_stones(state)
                if dead is not None:
                    return dead
            with contextlib.suppress(PlayerError):
                referee.new_game()
        return None

    def close(self) -> None:
        """End the referee."""
        if self._referee is not None:
            self._referee.close()


def _sign(score: float) -> float:
    return float((score > 0) - (score < 0))


def _count(state: State, status: Status, note: str) -> Verdict:
    reason = "score" if state.passes == 2 else "move limit"
    return Verdict(_sign(status.score), reason, score_name(status.score), note)
