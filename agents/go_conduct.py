"""How a player of Go behaves when a game nears its end, whatever it is made of.

A network or a search says what it would play. Some things are better decided by rule: not to fill an own eye, to pass
when the enemy has passed and the count is surely won, and not to pass too early where that loses. That hangs on how the
game is counted, so whoever holds the game asks for it, once a move: the GTP session, the umpire of a match or of a game
in the terminal. Which stones are dead is estimated by games/go_status.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum

from agents.analysis import Analysis
from agents.go_sense import is_eye_filled, mover_lead
from agents.player import Player
from games import go
from games.go_board import point_of, stones_taken_by
from games.go_careful import has_room
from games.go_status import DEAD_BELOW, Status, dead_stones, expected_owners, judge, settle
from games.rules import RESIGN, State, States

DOUBT = 0.3  # of ownership: what is closer to the threshold counts against the player who would pass
MOST_NEUTRAL = 0.15  # of the points: where more are nobody's, the game is not over yet
LEAST_SHARE = 0.05  # of visits or prior that makes a move worth being played instead of a pass that loses
LOST = -0.8  # return: a mover who expects no more than this may pass a game away


class Ending(Enum):
    """How stones that could be taken are counted when both have passed."""

    DEAD_REMOVED = "dead stones are taken off by agreement"
    ALL_ALIVE = "what stands on the board lives"  # Tromp & Taylor's rules
    CLEANUP = "what stands on the board lives, and nobody passes before the enemy's dead stones are taken"


def ending_of(rules: str) -> Ending:
    """Return how games end under a rule set."""
    return Ending.ALL_ALIVE if rules == "tromp-taylor" else Ending.DEAD_REMOVED


def status_of(state: State, rules: str) -> Status:
    """Return which stones are dead under a rule set, and the score without them."""
    return settle(state, frozenset()) if ending_of(rules) is Ending.ALL_ALIVE else judge(state)


def conduct(state: State, analysis: Analysis, ending: Ending) -> Analysis:
    """Return the analysis with the action that is really played in a position."""
    if analysis.action == RESIGN:
        return analysis
    action = _decide(state, analysis, ending)
    if action == analysis.action:
        return analysis
    return replace(analysis, action=action, principal_variation=(action,))


def _decide(state: State, analysis: Analysis, ending: Ending) -> int:
    pass_action = int(state.rows) * int(state.columns)
    sensible = [action for action in _candidates(analysis) if not is_eye_filled(state, action)]
    action = sensible[0] if sensible else pass_action
    is_passing = action == pass_action
    if not is_passing and not state.passes:
        return action
    if ending is Ending.CLEANUP:
        removal = next(removals(state), None)
        if removal is None:
            return pass_action if is_passing or mover_lead(state) > 0 else action
        return removal if is_passing else action
    if ending is Ending.ALL_ALIVE:
        if mover_lead(state) > 0:
            return pass_action if state.passes else action
        if analysis.value is not None and analysis.value * (1 - 2 * int(state.to_move)) <= LOST:
            return action
        others = (other for other in (*removals(state), *sensible) if other != pass_action)
        return next(others, pass_action) if is_passing else action
    if not state.passes:
        return action
    if is_surely_won(state):
        return pass_action
    return next(_worthwhile(analysis, sensible, pass_action), pass_action) if is_passing else action


def _candidates(analysis: Analysis) -> list[int]:
    """Return the actions by how well the player thinks of them, its choice first."""
    moves = sorted(analysis.moves, key=lambda move: (-move.visits, -move.prior))
    return [analysis.action, *(move.action for move in moves if move.action != analysis.action)]


def _worthwhile(analysis: Analysis, sensible: list[int], pass_action: int) -> Iterator[int]:
    """Yield the moves that a player thinks something of, beside its choice to pass."""
    visits = max(1, sum(move.visits for move in analysis.moves))
    share = {move.action: max(move.visits / visits, move.prior) for move in analysis.moves}
    for action in sensible:
        if action != pass_action and share[action] >= LEAST_SHARE:
            yield action


def is_surely_won(state: State) -> bool:
    """Say whether the mover has won with the dead stones taken off, whatever is in doubt counted against it."""
    owners = expected_owners(state)
    below = [DEAD_BELOW - DOUBT, DEAD_BELOW - DOUBT]
    below[int(state.to_move)] = DEAD_BELOW + DOUBT
    status = settle(state, dead_stones(state, owners, (below[0], below[1])))
    is_open = len(status.territory(0)) > MOST_NEUTRAL * len(status.owners)
    return not is_open and (status.score if state.to_move == 0 else -status.score) > 0


def removals(state: State) -> Iterator[int]:
    """Yield the mover's moves that take dead stones of the enemy or come nearer to that, the best first."""
    own = int(state.to_move) + 1
    dead = settle(state, dead_stones(state, expected_owners(state))).chains_dead
    beside = {point for chain in dead if chain.content != own for point in chain.beside}
    found = []
    for action in sorted(beside):
        if go.is_legal(state, action) and not is_eye_filled(state, action):
            point = point_of(state, action)
            taken = int(stones_taken_by(state, point, own))
            if taken or has_room(state, point, own):
                found.append((-taken, action))
    yield from (action for _, action in sorted(found))


class Conducted:
    """A player of Go where nobody holds the game but its rules, all stones alive: as an environment's opponent."""

    def __init__(self, player: Player) -> None:
        self.name = player.name
        self._player = player

    def act(self, states: States) -> list[Analysis]:
        """Conduct what the player thinks of each position."""
        found = zip(states, self._player.act(states), strict=True)
        return [conduct(state, analysis, Ending.ALL_ALIVE) for state, analysis in found]

    def new_game(self) -> None:
        """Tell the player."""
        self._player.new_game()

    def close(self) -> None:
        """Close the player."""
        self._player.close()
