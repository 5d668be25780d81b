"""The engine's clock: what time_settings and time_left say, and how long the next move may take.

A controller that sends time_left is believed; between its messages, and where it sends none, the engine counts itself.
"""

from __future__ import annotations

from dataclasses import dataclass

LAG_SECONDS = 0.1  # of a move's time that are kept for what lies between the controller's clock and ours
LEAST_SECONDS = 0.01  # for a move, whatever the clock says
LEAST_MOVES_LEFT = 12  # own moves that a time without byo-yomi is shared out over at the least
LARGEST_SHARE = 0.25  # of such a time, for one move


@dataclass(frozen=True)
class TimeSettings:
    """A time control: the main time, then `stones` moves in each period of `period` seconds."""

    main: float  # seconds
    period: float = 0.0  # seconds; 0: lost when the main time is used up
    stones: int = 0
    tells_periods: bool = False  # time_left then has the periods left, each of one move, in the place of stones (KGS)

    @property
    def is_endless(self) -> bool:
        """Say whether there is no limit at all (GTP 2, time_settings; all zero is taken for that, too)."""
        return self.stones == 0 and (self.period > 0 or self.main == 0)


@dataclass(frozen=True)
class TimeLeft:
    """What one side has left; stones 0: in the main time."""

    seconds: float
    stones: int


class Clock:
    """Both sides' time."""

    def __init__(self) -> None:
        self._settings: TimeSettings | None = None
        self._is_unlimited = False  # as the controller has said
        self._left: list[TimeLeft] = []  # of Black and White

    def set(self, settings: TimeSettings | None) -> None:
        """Start under a time control; None is no limit."""
        self._settings = None if settings is None or settings.is_endless else settings
        self._is_unlimited = self._settings is None
        self.restart()

    def restart(self) -> None:
        """Give both sides their whole time again."""
        if self._settings is not None:
            in_period = self._settings.main == 0
            stones = self._settings.stones if in_period else 0
            self._left = [TimeLeft(self._settings.period if in_period else self._settings.main, stones)] * 2

    def tell(self, colour: int, left: TimeLeft) -> None:
        """Believe the controller."""
        if self._is_unlimited:
            return
        if self._settings is None:  # it keeps a clock that it has not told of
            self._settings = TimeSettings(left.seconds)
            self._left = [left, left]
        if self._settings.tells_periods and left.stones:
            left = TimeLeft(left.seconds, 1)  # one move in this period; those that are spare are not spent
        self._left[colour] = left

    def spend(self, colour: int, seconds: float) -> None:
        """Take the time of a move off."""
        if self._settings is None:
            return
        settings, left = self._settings, self._left[colour]
        rest, stones = left.seconds - seconds, left.stones
        if settings.stones and (stones or rest <= 0):
            if stones == 0:  # the main time has run out within this move
                rest, stones = rest + settings.period, settings.stones
            stones -= 1
            if stones == 0:  # the period is done: another begins
                rest, stones = settings.period, settings.stones
        self._left[colour] = TimeLeft(max(rest, 0.0), stones)

    def seconds(self, colour: int, moves_left: int) -> float | None:
        """Return how long the next move may take, None without a limit; `moves_left`: own moves the game may last."""
        if self._settings is None:
            return None
        left = self._left[colour]
        if left.stones:
            share = left.seconds / left.stones
        else:
            share = left.seconds / max(moves_left, LEAST_MOVES_LEFT)
            if self._settings.stones:  # no need to save what comes again
                share = max(share, min(self._settings.period / self._settings.stones, left.seconds))
            else:
                share = min(share, LARGEST_SHARE * left.seconds)
        lag = min(LAG_SECONDS, share / 4)
        return max(share - lag, LEAST_SECONDS)


def japanese(main: float, period: float, periods: int) -> TimeSettings:
    """Return byo-yomi periods of one move each as a time control; the spare periods count as main time."""
    return TimeSettings(main + period * max(periods - 1, 0), period, 1, tells_periods=True)
