"""What tests of the GTP engine share: a player that does as it is told, and who talks to the engine."""

from __future__ import annotations

import io
import queue
import re
import threading

from agents.analysis import Analysis, MoveAnalysis, PlayerError, Progress
from agents.gtp.engine import GtpEngine
from agents.gtp.session import Resignation, Session
from agents.player import make_player
from games import go
from games.rules import Game, State, States

INFO = re.compile(
    r"info move (\S+) visits (\d+) winrate ([\d.]+) prior ([\d.]+) lcb ([\d.]+) scoreLead (-?[\d.]+) order (\d+) "
    r"pv( [A-HJ-T]\d+| pass)+"
)


class Thinker:
    """A searching player that likes the moves it is told to, and reports them until it is stopped."""

    name = "thinker"

    def __init__(self, wanted: list[int], value: float = 0.0) -> None:
        self.wanted, self.value = wanted, value
        self.seconds: list[float | None] = []
        self._stopped = threading.Event()

    def search(self, state: State, seconds: float | None = None, on_progress: Progress | None = None) -> Analysis:
        self.seconds.append(seconds)
        self._stopped.clear()
        legal = set(go.game(int(state.rows)).legal_actions(state))
        actions = [action for action in self.wanted if action in legal] or [int(state.rows) ** 2]
        shares = [len(actions) - index for index in range(len(actions))]
        moves = tuple(
            MoveAnalysis(action, 10 * share, share / sum(shares), self.value, (action, 80))
            for action, share in zip(actions, shares, strict=True)
        )
        found = Analysis(actions[0], self.value, (actions[0],), 1, 10, moves=moves)
        while seconds == float("inf") and not self._stopped.wait(0.01):
            if on_progress is not None:
                on_progress(found)
        if on_progress is not None:
            on_progress(found)
        return found

    def act(self, states: States) -> list[Analysis]:
        return [self.search(state) for state in states]

    def stop(self) -> None:
        self._stopped.set()

    def new_game(self) -> None:
        pass

    def close(self) -> None:
        pass


class Controller:
    """Sends command lines to an engine in a thread of its own and hears its responses."""

    def __init__(self, player: Thinker | str, size: int = 9, rules: str = "chinese", resign: float = 0.1) -> None:
        def make(game: Game) -> object:
            if game.num_actions == 17 * 17 + 1:
                raise PlayerError("not on this board")
            return make_player(player, game, seed=1) if isinstance(player, str) else player

        self.session = Session(make, go.game(size), rules, Resignation(resign))  # type: ignore[arg-type]
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        controller = self

        class Output(io.StringIO):
            def write(self, text: str) -> int:
                assert text.endswith("\n"), "whole lines"
                for line in text[:-1].split("\n"):
                    controller._said.put(line)
                return len(text)

        self._engine = GtpEngine(self.session, Output())
        self._thread = threading.Thread(target=self._engine.run, args=(iter(self._lines.get, None),), daemon=True)
        self._thread.start()

    def send(self, *lines: str) -> None:
        for line in lines:
            self._lines.put(line)

    def hear_line(self) -> str:
        return self._said.get(timeout=60)

    def hear(self) -> str:
        """Return the lines of a response; the empty one that ends it is left out."""
        lines = [self.hear_line()]
        while lines[-1]:
            lines.append(self.hear_line())
        return "\n".join(lines[:-1])

    def ask(self, line: str) -> str:
        self.send(line)
        return self.hear()

    def tell(self, *lines: str) -> None:
        for line in lines:
            assert self.ask(line) == "=", line

    def ends(self) -> bool:
        self._lines.put(None)
        self._thread.join(60)
        return not self._thread.is_alive()
