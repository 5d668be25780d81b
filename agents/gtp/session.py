"""What the engine knows between two commands: the game so far, the clock, and the player that thinks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.analysis import Analysis, PlayerError, Progress
from agents.go_conduct import Ending, conduct, ending_of, status_of
from agents.gtp.clock import Clock
from agents.gtp.protocol import GtpError
from agents.player import ForesightedPlayer, Player, SearchingPlayer, SelectivePlayer
from games import go
from games.compiled import NDArray
from games.go_board import MAX_PLIES, NO_POINT, forget
from games.go_status import Status, board_of, expected_owners
from games.rules import RESIGN, Game, GameError, State, States, apply, is_over
from games.sgf import SgfGame

BLACK_PLAYER, WHITE_PLAYER = 0, 1  # the colours of stones are others: games.go_board's
COLOURS = ("black", "white")
LATEST_PLY = MAX_PLIES - 361  # of a record from which searches still have room for their lines

MOST_MOVES = 5000  # of a game: each is kept as a position of 20 kB
WARM_UP_SECONDS = 0.01
WARM_UP_SIZE = 3
REPORT_SECONDS = 0.15  # kept where someone follows the search: the last report may come late
ENDING_SECONDS = 0.4  # kept of a move's time where the enemy has passed, to count who has won

HANDICAP_BONUSES = ("0", "N-1", "N")  # points that White gets for a handicap of N stones, as KataGo names them

PlayerMaker = Callable[[Game], Player]


@dataclass(frozen=True)
class Resignation:
    """When the engine gives up: it must see itself lost several times in a row, and not early in the game."""

    winrate: float = 0.0  # gives up below it; 0 never
    in_a_row: int = 3  # own moves
    least_share: float = 0.25  # of the board's points: this many moves must have been played


class Session:
    """One game after the other on boards of changing sizes, all with one player."""

    def __init__(
        self, make_player: PlayerMaker, game: Game, rules: str, resignation: Resignation | None = None
    ) -> None:
        """PlayerError where the player cannot play on this board."""
        self._make_player = make_player
        self.rules = rules
        start = game.new(1, rules)[0]
        self.game = go.game(int(start.rows), int(start.columns))
        self.player = self._new_player(self.game)
        self.resignation = resignation or Resignation()
        self.clock = Clock()
        self.komi = int(start.komi2) / 2  # as it was told, without the bonus
        self.handicap = 0
        self.handicap_bonus = "0"  # of HANDICAP_BONUSES
        self.positions: list[State] = []  # the start, and after each move
        self.moves: list[tuple[int, int]] = []  # colour and action
        self._hopeless = [0, 0]  # moves in a row that looked lost, of Black and of White
        self.clear()

    # --- the game ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The position now; not to be written to."""
        return self.positions[-1]

    @property
    def rows(self) -> int:
        """Of the board."""
        return int(self.state.rows)

    @property
    def columns(self) -> int:
        """Of the board."""
        return int(self.state.columns)

    @property
    def pass_action(self) -> int:
        """The action that passes."""
        return self.rows * self.columns

    def clear(self) -> None:
        """Start another game on an empty board."""
        self.start_from([self._empty(self.game, self.komi)])

    def start_from(self, positions: Sequence[State], moves: Sequence[tuple[int, int]] = (), handicap: int = 0) -> None:
        """Go on with another game: its start, then the position after each move."""
        self.positions, self.moves, self.handicap = list(positions), list(moves), handicap
        self._hopeless = [0, 0]
        self.clock.restart()
        self.player.new_game()

    def resize(self, rows: int, columns: int) -> None:
        """Start another game on a board of another size; GtpError, the game unchanged, where the player has none."""
        self._take_game(rows, columns)
        self.clear()

    def _take_game(self, rows: int, columns: int) -> None:
        """Have the player for a size; the caller starts a game."""
        try:
            game = go.game(rows, columns)
            player = self.player if game is self.game else self._new_player(game)
        except (GameError, PlayerError):
            raise GtpError("unacceptable size") from None
        if player is not self.player:
            self.player.close()
        self.game, self.player = game, player

    def _new_player(self, game: Game) -> Player:
        """Make the player for a size, and let it think for a moment: what it loads and compiles is on no clock."""
        player = self._make_player(game)
        start = game.new(1, self.rules)[0]
        if isinstance(player, SearchingPlayer):
            first = player.search(start, WARM_UP_SECONDS)
            apply(start, first.action)
            player.search(start, WARM_UP_SECONDS)  # what it keeps from one move to the next
            if isinstance(player, SelectivePlayer):
                passing = game.num_actions - 1
                player.search_among(start, lambda action: action != passing, WARM_UP_SECONDS)
        else:
            player.act(batch_of(start))
        if isinstance(player, ForesightedPlayer):
            player.owners(batch_of(start))
        end = go.game(WARM_UP_SIZE).new(1)[0]
        end.passes = 1
        for ending in Ending:
            conduct(end, Analysis(WARM_UP_SIZE**2), ending)
        return player

    def set_komi(self, komi: float) -> None:
        """Change the komi, of the game so far too."""
        check_komi(komi)
        self.komi = komi + 0.0  # -0 is 0
        self._count_komi()

    def _count_komi(self) -> None:
        """Let all positions of the game count White's points."""
        for state in self.positions:
            state.komi2 = self._komi2(self.komi, self.handicap)

    def _komi2(self, komi: float, handicap: int) -> int:
        """Return twice White's points before the first move."""
        bonus = {"0": 0, "N-1": max(0, handicap - 1), "N": handicap}[self.handicap_bonus]
        return int(2 * komi) + 2 * bonus

    def set_rules(self, rules: str, handicap_bonus: str) -> None:
        """Change the rules, of the game so far too; GtpError, the game unchanged, where that broke them."""
        start = self.positions[0].copy()
        for name in ("ko_rule", "suicide"):
            start[name] = self.game.rule_sets[rules][name]
        forget(start)
        positions = positions_of(start, self.moves, rules)
        if positions[-1].to_move != self.state.to_move:
            positions[-1] = turn_of(positions[-1], int(self.state.to_move))
        self.rules, self.positions, self.handicap_bonus = rules, positions, handicap_bonus
        self._count_komi()

    def place(self, black: Sequence[int], white: Sequence[int], to_play: int) -> None:
        """Start another game at these stones; GameError where they are no legal board."""
        handicap = handicap_of(black, white)
        start = self._empty(self.game, self.komi, handicap)
        go.setup(start, black, white, to_play)
        self.start_from([start], handicap=handicap)

    def load(self, record: SgfGame, num_moves: int) -> None:
        """Go on with a recorded game after this many of its moves.

        GtpError or GameError, this game unchanged, where the record is not legal or the player cannot play its size.
        """
        komi = self.komi if record.start.komi is None else record.start.komi
        check_komi(komi)
        handicap = handicap_of(record.start.black, record.start.white)  # HA may tell of stones that are not there
        start = self._empty(go.game(record.start.rows, record.start.columns), komi, handicap)
        go.setup(start, record.start.black, record.start.white, record.start.to_play)
        moves = list(zip(record.players, record.actions, strict=True))[:num_moves]
        if len(moves) > MOST_MOVES:
            raise GtpError(f"a game has {MOST_MOVES} moves at most")
        positions = positions_of(start, moves, self.rules)
        if num_moves < len(record.players):  # a record says who moves, which need not be the other one
            positions[-1] = turn_of(positions[-1], record.players[num_moves])
        self._take_game(record.start.rows, record.start.columns)
        self.komi = komi
        self.start_from(positions, moves, handicap)

    def _empty(self, game: Game, komi: float, handicap: int = 0) -> State:
        state = game.new(1, self.rules)[0]
        state.komi2 = self._komi2(komi, handicap)
        state.move_limit = MAX_PLIES
        return state

    def set_to_play(self, colour: int) -> None:
        """Say whose turn it is."""
        self.positions[-1] = turn_of(self.state, colour)

    def stones(self, colour: int, position: State | None = None) -> list[int]:
        """Return where the stones of a colour are, now or in another position."""
        board = board_of(self.state if position is None else position)
        points: list[int] = np.flatnonzero(board == colour + 1).tolist()
        return points

    def is_legal(self, colour: int, action: int) -> bool:
        """Say whether a colour may make a move, whoever's turn it is."""
        return bool(go.is_legal(turn_of(self.state, colour), action))

    def legal_actions(self, colour: int) -> list[int]:
        """Return what a colour may play."""
        return self.game.legal_actions(turn_of(self.state, colour))

    def play(self, colour: int, action: int) -> None:
        """Make a move; GtpError where it is not legal."""
        if len(self.moves) >= MOST_MOVES:
            raise GtpError(f"a game has {MOST_MOVES} moves at most")
        self.positions.append(after_move(self.state, colour, action))
        self.moves.append((colour, action))

    def undo(self) -> None:
        """Take the last move back."""
        if not self.moves:
            raise GtpError("cannot undo")
        self.positions.pop()
        self.moves.pop()
        self._hopeless = [0, 0]

    def status(self) -> Status:
        """Return which stones are dead, and the score without them."""
        return status_of(self.state, self.rules)

    def owners(self, state: State) -> NDArray:
        """Return whose each point becomes, float32 [points], 1 Black's to -1 White's.

        The player's network says it, or for want of one that does it is the mean over random games.
        """
        foreseen = self._foreseen(batch_of(state))
        return expected_owners(state) if foreseen is None else foreseen[0]

    def lead(self, state: State) -> float:
        """Return Black's expected lead in points, komi included; by `owners`."""
        return _leads(self.owners(state)[None], batch_of(state))[0]

    def foreseen_leads(self, states: States) -> list[float] | None:
        """Return Black's expected leads as the player's network sees them; None where it does not say."""
        foreseen = self._foreseen(states)
        return None if foreseen is None else _leads(foreseen, states)

    def _foreseen(self, states: States) -> NDArray | None:
        """Return whose each point becomes as the player's network sees it, [B, points]; None where it does not say."""
        return self.player.owners(states) if isinstance(self.player, ForesightedPlayer) else None

    # --- thinking ---------------------------------------------------------------------------------------------------

    def analyse(
        self,
        colour: int,
        seconds: float | None = None,
        on_progress: Progress | None = None,
        permits: Callable[[int], bool] | None = None,
    ) -> Analysis:
        """Return what the player thinks with this colour to move, for `seconds` in the stead of its own limits.

        A search looks at the moves that are permitted only.
        """
        state = turn_of(self.state, colour)
        if isinstance(self.player, SelectivePlayer):
            return self.player.search_among(state, permits, seconds, on_progress)
        if isinstance(self.player, SearchingPlayer):
            return self.player.search(state, seconds, on_progress)
        analysis = self.player.act(batch_of(state))[0]
        if on_progress is not None:
            on_progress(analysis)
        return analysis

    def choose(
        self,
        colour: int,
        on_progress: Progress | None = None,
        cleanup: bool = False,
        permits: Callable[[int], bool] | None = None,
    ) -> Analysis:
        """Return the move that the player would make for a colour, by its clock, among those that are permitted."""
        moves_left = (self.pass_action - len(self.moves)) // 3
        seconds = self.clock.seconds(colour, moves_left)
        kept = ENDING_SECONDS if self.state.passes or cleanup else 0.0
        kept += REPORT_SECONDS if on_progress is not None else 0.0
        if seconds is not None:
            seconds = max(seconds - kept, seconds / 2)
        analysis = self.analyse(colour, seconds, on_progress, permits)
        ending = Ending.CLEANUP if cleanup else ending_of(self.rules)
        analysis = conduct(turn_of(self.state, colour), analysis, ending)
        if permits is None or analysis.action == RESIGN or permits(analysis.action):
            return analysis
        return self._permitted(colour, analysis, permits)

    def _permitted(self, colour: int, analysis: Analysis, permits: Callable[[int], bool]) -> Analysis:
        """Return an analysis with the best permitted move: the most visited, then the likeliest; a pass if none is."""
        worth = {move.action: (move.visits, move.prior) for move in analysis.moves}
        legal = filter(permits, self.legal_actions(colour))
        action = max(legal, key=lambda action: worth.get(action, (0, 0.0)), default=self.pass_action)
        return replace(analysis, action=action, principal_variation=(action,))

    def move(
        self,
        colour: int,
        on_progress: Progress | None = None,
        cleanup: bool = False,
        permits: Callable[[int], bool] | None = None,
    ) -> Analysis:
        """Let the player make a move for a colour and return why; its action is RESIGN where it gives up."""
        started = time.monotonic()
        analysis = self.choose(colour, on_progress, cleanup, permits)
        self.clock.spend(colour, time.monotonic() - started)
        is_lost = self._is_lost(colour, analysis) and not cleanup
        if analysis.action == RESIGN or (is_lost and not self._wins_by(colour, analysis.action)):
            return replace(analysis, action=RESIGN)
        self.play(colour, analysis.action)
        return analysis

    def _wins_by(self, colour: int, action: int) -> bool:
        """Say whether a move is the second pass of a game that it wins, whatever a search thinks, which goes on."""
        if action != self.pass_action or not self.state.passes:
            return False
        score = self.status().score
        return score > 0 if colour == BLACK_PLAYER else score < 0

    def _is_lost(self, colour: int, analysis: Analysis) -> bool:
        """Count how often the player has seen itself lost, and say whether it gives up."""
        limits = self.resignation
        if analysis.value is None:
            return False
        winrate = winrate_for(colour, analysis.value)
        self._hopeless[colour] = self._hopeless[colour] + 1 if winrate < limits.winrate else 0
        is_late = len(self.moves) >= limits.least_share * self.pass_action
        has_handicap = self.handicap or [colour for colour, _ in self.moves[:2]] == [BLACK_PLAYER, BLACK_PLAYER]
        return self._hopeless[colour] >= limits.in_a_row and is_late and not has_handicap

    def stop(self) -> None:
        """End a search under way in another thread."""
        if isinstance(self.player, SearchingPlayer):
            self.player.stop()

    def close(self) -> None:
        """Let the player go."""
        self.player.close()


# --- positions ------------------------------------------------------------------------------------------------------


def handicap_of(black: Sequence[int], white: Sequence[int]) -> int:
    """Return how many of the stones that a game begins with are a handicap."""
    return len(black) if len(black) > 1 and not white else 0


def turn_of(state: State, colour: int) -> State:
    """Return a copy of a position with this colour to move, a game that two passes have ended open again."""
    state = state.copy()
    if state.to_move != colour:
        state.to_move = colour
        state.passes = 0
        state.ko_point = NO_POINT  # which is for the other colour
    if is_over(state):
        state.passes = 0
    if state.ply >= LATEST_PLY:  # what superko remembers has an end
        state.ply = 0
        forget(state)
    return state


def after_move(state: State, colour: int, action: int) -> State:
    """Return the position after a move of a colour, whoever's turn it was; GtpError where the move is not legal."""
    state = turn_of(state, colour)
    if not go.is_legal(state, action):
        raise GtpError("illegal move")
    apply(state, action)
    return state


def positions_of(start: State, moves: Sequence[tuple[int, int]], rules: str) -> list[State]:
    """Return a game's start and the position after each move; GtpError names the first that these rules forbid."""
    positions = [start]
    for number, (colour, action) in enumerate(moves, start=1):
        try:
            positions.append(after_move(positions[-1], colour, action))
        except GtpError:
            raise GtpError(f"move {number} of this game is not legal under the rules {rules}") from None
    return positions


def batch_of(state: State) -> States:
    """Return a position as a batch of one."""
    states = np.zeros(1, state.dtype)
    states[0] = state
    return states


def _leads(owners: NDArray, states: States) -> list[float]:
    """Return Black's leads, komi included, where points [B, points] are expected to be owned so."""
    leads: list[float] = (owners.sum(axis=1, dtype=np.float64) - states["komi2"] / 2).tolist()
    return leads


def winrate_for(colour: int, value: float) -> float:
    """Return the chance to win, 0 to 1, of a colour in a position with this value for Black."""
    return (1 + (value if colour == BLACK_PLAYER else -value)) / 2


def check_komi(komi: float) -> None:
    """Refuse a komi that no game is played with."""
    if not (abs(komi) <= go.MAX_KOMI and float(2 * komi).is_integer()):
        raise GtpError(f"komi {komi:g} is not a multiple of 0.5 from -{go.MAX_KOMI} to {go.MAX_KOMI}")
