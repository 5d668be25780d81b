"""Analysis while the engine thinks: lz-analyze, kata-analyze, and moves that are made under their eyes.

Each report is a line that says of one move after the other `info move VERTEX visits N winrate W prior P lcb L
scoreLead S order K pv VERTEX ...`. Rates are the mover's: in lz- commands in hundredths of a per cent, else 0 to 1.
`scoreLead` is the lead after a move by what the network says of each point; moves far down the list, and all of a
network that does not say it, are given the position's, for want of better what random games keep of it on the average.
`ownership` is of the position.

`allow` and `avoid` restrict the moves that are searched and reported and, in genmove_analyze, the move that is made: it
is the best of those that are permitted, a pass where none is. To whichever move number a restriction holds, it holds
for this one move only.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.analysis import Analysis, MoveAnalysis
from agents.gtp.arguments import Arguments, parse_colour, parse_int, parse_vertices, vertex
from agents.gtp.protocol import Stream, Task, UsageError
from agents.gtp.session import BLACK_PLAYER, Session, batch_of, turn_of, winrate_for
from agents.ratings import wilson_interval
from games.rules import RESIGN, State, apply, is_over

DEFAULT_INTERVAL = 100  # hundredths of a second
HERE = -1  # no action: the position itself
LED_MOVES = 10  # of a report, whose leads are of their own
UNTRIED_MOVES = 20  # listed where nothing was spent on any

USAGE = (
    "[COLOR] [INTERVAL in 1/100 s] [interval N] [minmoves N] [maxmoves N] [ownership true] [rootInfo true] "
    "[allow | avoid COLOR VERTEX,VERTEX,... NUMBER_OF_MOVES]"
)

Emit = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What an analysis command asks for."""

    colour: int
    interval: float  # seconds
    is_fine: bool  # rates as fractions, as in kata- commands
    ownership: bool = False
    root_info: bool = False
    least_moves: int = 0  # listed although nothing was spent on them
    most_moves: int = 10**6
    allowed: frozenset[int] | None = None  # None: all moves
    avoided: frozenset[int] = frozenset()

    def permits(self, action: int) -> bool:
        """Say whether the move may be listed, and made."""
        return action not in self.avoided and (self.allowed is None or action in self.allowed)

    @property
    def restriction(self) -> Callable[[int], bool] | None:
        """Which moves may be searched, None for all."""
        return self.permits if self.avoided or self.allowed is not None else None


def parse_request(session: Session, arguments: Arguments, is_fine: bool) -> Request:
    """Read [COLOR] [INTERVAL] and KEY VALUE pairs, the first two in any order; UsageError where they make no sense."""
    request = Request(int(session.state.to_move), DEFAULT_INTERVAL / 100, is_fine)
    words = list(arguments)
    while words:
        word = words.pop(0).lower()
        if re.fullmatch("b|w|black|white", word):
            request = replace(request, colour=parse_colour(word))
        elif word.isascii() and word.isdigit():
            request = replace(request, interval=parse_int(word, 0, 10**6) / 100)
        elif word in ("allow", "avoid"):
            request = _restrict(session, request, word, words)
        elif not words:
            raise UsageError(f"nothing follows {word}")
        else:
            request = _set(request, word, words.pop(0).lower())
    return request


def _set(request: Request, key: str, value: str) -> Request:
    """Return a request with one more pair; what only asks for more than we can tell is passed over."""
    if key == "interval":
        return replace(request, interval=parse_int(value, 0, 10**6) / 100)
    if key == "minmoves":
        return replace(request, least_moves=parse_int(value, 0, 10**6))
    if key == "maxmoves":
        return replace(request, most_moves=parse_int(value, 0, 10**6))
    if key in ("ownership", "rootinfo"):
        if value not in ("true", "false"):
            raise UsageError(f"{key} is true or false")
        is_wanted = value == "true"
        return replace(request, ownership=is_wanted) if key == "ownership" else replace(request, root_info=is_wanted)
    if key in ("ownershipstdev", "movesownership", "movesownershipstdev", "pvvisits", "pvedgevisits", "noresultvalue"):
        return request
    raise UsageError(f"unknown key {key!r}")


def _restrict(session: Session, request: Request, key: str, words: list[str]) -> Request:
    """Take COLOR VERTEX,VERTEX,... UNTIL_MOVE off the words; restrictions of the other colour change nothing here."""
    if len(words) < 3:
        raise UsageError(f"{key} takes COLOR VERTEX,VERTEX,... NUMBER_OF_MOVES")
    colour, points, depth = parse_colour(words.pop(0)), parse_vertices(session, words.pop(0)), words.pop(0)
    parse_int(depth, 1, 10**6)
    if colour != request.colour:
        return request
    if key == "avoid":
        return replace(request, avoided=request.avoided | points)
    return replace(request, allowed=(request.allowed or frozenset()) | points)


# --- reports --------------------------------------------------------------------------------------------------------


class Reporter:
    """Says what a search has found so far, not more often than it was asked to."""

    def __init__(self, session: Session, request: Request, emit: Emit) -> None:
        self._session, self._request, self._emit = session, request, emit
        self._state: State = turn_of(session.state, request.colour)
        self._sign = 1 if request.colour == BLACK_PLAYER else -1
        self._leads: dict[int, float] = {}  # expected after a move that was reported, and HERE, komi included
        self._foresees_nothing = False  # the player's network says nothing of leads
        self._owners = session.owners(self._state) * self._sign if request.ownership else None
        self._due = time.monotonic() + min(request.interval, 0.1)  # the first report does not wait
        self._said: Analysis | None = None  # what was reported last

    def hear(self, analysis: Analysis) -> None:
        """Report where it is time to."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._request.interval
            self.report(analysis)

    def finish(self, analysis: Analysis) -> None:
        """Report what the search ended with, unless that was said."""
        if analysis is not self._said:
            self.report(analysis, is_last=True)

    def report(self, analysis: Analysis, is_last: bool = False) -> None:
        """Send a line about all moves."""
        moves = self._listed(analysis)
        if self._said is None or not is_last:  # in the end the move is waited for
            self._find_leads([move.action for move in moves[:LED_MOVES]])
        self._said = analysis
        parts = [self._info(analysis, move, order) for order, move in enumerate(moves)]
        if self._request.root_info:
            rate = "" if analysis.value is None else f" winrate {self._rate(analysis.value)}"
            visits = sum(move.visits for move in analysis.moves)
            parts.append(f"rootInfo visits {visits}{rate} scoreLead {self._leads[HERE]:.2f}")
        if self._owners is not None:
            parts.append("ownership " + " ".join(f"{owner:.3f}" for owner in self._owners))
        if parts:
            self._emit(" ".join(parts))

    def _listed(self, analysis: Analysis) -> list[MoveAnalysis]:
        """Return the moves that are worth a word, the best first."""
        request = self._request
        moves = list(analysis.moves)
        if not moves and analysis.action != RESIGN:  # a player that gives its choice and nothing else
            moves = [MoveAnalysis(analysis.action, 1, 1.0, analysis.value, analysis.principal_variation)]
        moves = [move for move in moves if request.permits(move.action)]
        moves.sort(key=lambda move: (move.action != analysis.action, -move.visits, -move.prior))
        tried = sum(move.visits > 0 for move in moves)
        return moves[: min(max(tried or UNTRIED_MOVES, request.least_moves), request.most_moves)]

    def _info(self, analysis: Analysis, move: MoveAnalysis, order: int) -> str:
        line = move.principal_variation
        if not line:
            line = analysis.principal_variation if move.action == analysis.action else ()
        names = [vertex(self._session, action) for action in line or (move.action,)]
        # Clients want a number for every move: one that nobody judged is worth what its position is.
        value = analysis.value if move.value is None else move.value
        rate = winrate_for(self._request.colour, value or 0.0)
        bound = wilson_interval(rate, move.visits)[0] if move.visits else 0.0
        fields = {
            "move": names[0],
            "visits": move.visits,
            "winrate": self._number(rate),
            "prior": self._number(move.prior),
            "lcb": self._number(bound),
            "scoreLead": f"{self._leads.get(move.action, self._leads[HERE]):.2f}",
            "order": order,
        }
        return f"info {' '.join(f'{name} {value}' for name, value in fields.items())} pv {' '.join(names)}"

    def _rate(self, value: float) -> str:
        return self._number(winrate_for(self._request.colour, value))

    def _number(self, rate: float) -> str:
        return f"{rate:.6f}" if self._request.is_fine else str(round(10_000 * rate))

    def _find_leads(self, actions: Sequence[int]) -> None:
        """Find out the leads after moves, and from here, that are not known yet: all at once, as the clock may run.

        Where the player's network foresees none, there is but one, from here.
        """
        wanted = [action for action in (*actions, HERE) if action not in self._leads]
        if not wanted or self._foresees_nothing:
            return
        states = np.repeat(batch_of(self._state), len(wanted))
        for state, action in zip(states, wanted, strict=True):
            if action != HERE and not is_over(state):
                apply(state, action)
        leads = self._session.foreseen_leads(states)
        if leads is None:
            self._foresees_nothing = True
            wanted, leads = [HERE], [self._session.lead(self._state)]
        for action, lead in zip(wanted, leads, strict=True):
            self._leads[action] = self._sign * lead


# --- commands -------------------------------------------------------------------------------------------------------


def analyze(is_fine: bool) -> Task:
    """Return the command that analyses until something else comes in."""

    def run(session: Session, arguments: Arguments) -> Stream:
        request = parse_request(session, arguments, is_fine)

        def work(emit: Emit) -> None:
            reporter = Reporter(session, request, emit)
            reporter.finish(session.analyse(request.colour, math.inf, reporter.hear, request.restriction))

        return Stream(work, until_input=True)

    return Task(run, USAGE)


def genmove_analyze(is_fine: bool) -> Task:
    """Return the command that makes a move, and says meanwhile what it thinks."""

    def run(session: Session, arguments: Arguments) -> Stream:
        request = parse_request(session, arguments, is_fine)

        def work(emit: Emit) -> None:
            reporter = Reporter(session, request, emit)
            analysis = session.move(request.colour, reporter.hear, permits=request.restriction)
            reporter.finish(analysis)
            emit(f"play {'resign' if analysis.action == RESIGN else vertex(session, analysis.action)}")

        return Stream(work, until_input=False)

    return Task(run, USAGE)


HANDLERS = {
    "lz-analyze": analyze(is_fine=False),
    "lz-genmove_analyze": genmove_analyze(is_fine=False),
    "kata-analyze": analyze(is_fine=True),
    "kata-genmove_analyze": genmove_analyze(is_fine=True),
}
