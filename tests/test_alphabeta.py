"""Alpha-beta against plain minimax, and on solved positions."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from agents import alphabeta, evaluators
from agents.alphabeta import ENTRY, WIN, Searcher, SearchLimits, expected_return
from agents.analysis import Analysis
from agents.evaluators import Evaluator, evaluate, lines, material
from games.checkers import BLACK, CHECKERS, start_history
from games.compiled import count_bits, njit
from games.connect_four import CONNECT_FOUR
from games.endgame import NO_TABLES, Tables, load_or_build
from games.notation import Turn, legal_turns, play_turn
from games.pdn import parse_fen
from games.rules import Game, State, apply, game_of, is_over, is_quiet, record_dtype, returns, to_play
from tests.search_subjects import needs_jit, random_checkers, random_network
from tests.tic_tac_toe import TIC_TAC_TOE

# --- an evaluator for the game that lives in tests/ -------------------------------------------------------------------


@njit
def evaluate_corners(evaluator, state):
    lead = count_bits(np.uint64(state.crosses) & np.uint64(0o505)) - count_bits(
        np.uint64(state.noughts) & np.uint64(0o505)
    )
    return np.int64(evaluator.corner_value) * (lead if to_play(state) == 0 else -lead)


# A search is cached by the fields of the records it meets: this hash makes an edit of the function start a new one.
EDITION = hashlib.sha256(inspect.getsource(getattr(evaluate_corners, "py_func", evaluate_corners)).encode()).hexdigest()
CORNERS = record_dtype([("corner_value", np.int64), (f"edition_{EDITION[:8]}", np.uint8)])
evaluators._EVALUATORS[CORNERS.names] = evaluate_corners


def corners() -> Evaluator:
    """Return the evaluator of tic-tac-toe that counts corners."""
    evaluator = np.zeros(1, CORNERS)
    evaluator["corner_value"] = 7
    return evaluator[0]


# --- positions --------------------------------------------------------------------------------------------------------


def random_line(game: Game, plies: int) -> Callable[[np.random.Generator], State]:
    """Return what draws a position after up to this many random turns from the start."""

    def draw(rng: np.random.Generator) -> State:
        state = game.new(1, "endless" if game is CHECKERS else None)[0]
        for _ in range(rng.integers(plies + 1)):
            before = state.copy()
            turns = legal_turns(state)
            play_turn(state, turns[rng.integers(len(turns))])
            if is_over(state):
                return before
        return state

    return draw


def connect_four(columns: str) -> State:
    """Return the position after discs in columns numbered 1-7."""
    state = CONNECT_FOUR.new(1)[0]
    for column in columns:
        apply(state, int(column) - 1)
    return state


# --- plain minimax ----------------------------------------------------------------------------------------------------


@dataclass
class Minimax:
    """Minimax by recursion over the contract: no window, no table, no order; every line is followed to its end."""

    evaluator: Evaluator
    extension: int = 0
    met: Counter[str] = None  # type: ignore[assignment]  # what the trees have held, so that a test can say it was there

    def __post_init__(self) -> None:
        self.met = Counter()

    def score(self, state: State, depth: int, level: int = 0, reserve: int | None = None) -> int:
        """Return the mover's score; the reserve of extension turns is spent, once, on a capture or a forced move."""
        reserve = self.extension if reserve is None else reserve
        self.met["nodes"] += 1
        mover = to_play(state)
        actions = game_of(state).legal_actions(state)
        if not actions:
            self.met["games over"] += 1
            value = int(returns(state))
            return (value if mover == 0 else -value) * (WIN - level)
        if depth <= 0:
            quiet = is_quiet(state)
            if quiet and not (reserve and len(actions) == 1):
                return int(evaluate(self.evaluator, state))
            self.met["forced moves at the horizon" if quiet else "captures at the horizon"] += 1
            depth, reserve = depth + reserve, 0
        scores = []
        for action in actions:
            after = state.copy()
            apply(after, action)
            if to_play(after) == mover:
                self.met["multi-jumps"] += 1
                scores.append(self.score(after, depth, level + 1, reserve))
            else:
                scores.append(-self.score(after, depth - 1, level + 1, reserve))
        return max(scores)


class BareSearch:
    """The search kernel as the arena calls it: any extension, a table of any size, no table at all."""

    def __init__(self, game: Game, evaluator: Evaluator, extension: int = 0, table_size: int = 0) -> None:
        self.search = np.zeros(1, alphabeta.workspace_dtype(game))[0]
        self.search.extension = extension
        self.evaluator = evaluator
        self.table = np.zeros(table_size, ENTRY)
        alphabeta.clear_search(self.search)
        alphabeta.clear_table(self.table)

    def score(self, state: State, depth: int) -> int:
        self.search.states[0] = state
        return int(alphabeta.search_root(self.search, self.evaluator, self.table, NO_TABLES, np.int64(depth)))

    def line(self) -> list[int]:
        return self.search.line[0, : self.search.line_length[0]].tolist()


@dataclass(frozen=True)
class Case:
    """One game with one evaluator: how to draw a position, how many, and how deep to search them."""

    game: Game
    evaluator: Callable[[], Evaluator]
    draw: Callable[[np.random.Generator], State]
    count: int
    depth: int
    extension: int
    expected: frozenset[str]  # what the trees must have held, or the test has missed something


HORIZON = frozenset({"captures at the horizon", "multi-jumps", "games over"})
FORCED = frozenset({"forced moves at the horizon"})
CASES = {
    "checkers": Case(CHECKERS, material, random_checkers, 60, 4, 0, HORIZON),
    "checkers-extended": Case(CHECKERS, material, random_checkers, 100, 3, 2, HORIZON | FORCED),
    "checkers-opening": Case(CHECKERS, random_network, random_line(CHECKERS, 30), 15, 3, 2, HORIZON - {"games over"}),
    "checkers-network": Case(CHECKERS, random_network, random_checkers, 60, 3, 2, HORIZON | FORCED),
    "connect-four": Case(CONNECT_FOUR, lines, random_line(CONNECT_FOUR, 24), 15, 4, 0, frozenset({"games over"})),
    "tic-tac-toe": Case(TIC_TAC_TOE, corners, random_line(TIC_TAC_TOE, 7), 40, 4, 0, frozenset({"games over"})),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@cache
def solved_by_minimax(case: Case) -> tuple[list[tuple[State, list[int]]], Counter[str]]:
    """Return positions, each with its scores at depths 1, 2, ..., and what their trees held."""
    rng = np.random.default_rng(1)
    minimax = Minimax(case.evaluator(), case.extension)
    solved = []
    for _ in range(case.count):
        state = case.draw(rng)
        solved.append((state, [minimax.score(state, depth) for depth in range(1, case.depth + 1)]))
    return solved, minimax.met


# --- equal to plain minimax -------------------------------------------------------------------------------------------


@needs_jit
@pytest.mark.parametrize("table_size", [0, 16, 1 << 16])
def test_the_score_is_that_of_plain_minimax(case: Case, table_size: int) -> None:
    solved, met = solved_by_minimax(case)
    assert case.expected <= met.keys()
    search = BareSearch(case.game, case.evaluator(), case.extension, table_size)
    for state, scores in solved:  # one table for all positions and depths
        assert [search.score(state, depth) for depth in range(1, case.depth + 1)] == scores, state


@needs_jit
def test_a_table_kept_from_move_to_move_changes_no_score(case: Case) -> None:
    """Wins above all: a position that the last search met two actions deep is met one deep by the next."""
    kept = BareSearch(case.game, case.evaluator(), case.extension, table_size=1 << 16)
    bare = BareSearch(case.game, case.evaluator(), case.extension)
    wins = 0
    for start, _ in solved_by_minimax(case)[0]:
        state = start.copy()
        for depth in range(4, 0, -1):
            if is_over(state):
                break
            score = kept.score(state, depth)
            assert score == bare.score(state, depth)
            wins += abs(score) > WIN // 2
            play_turn(state, legal_turns(state)[-1])
    assert wins > 0 or "games over" not in case.expected


@needs_jit
@pytest.mark.parametrize(("rules", "counter", "limit"), [("wcdf", "quiet_plies", 80), ("anaconda", "ply", 200)])
def test_a_table_tells_positions_apart_that_a_draw_is_near_in(rules: str, counter: str, limit: int) -> None:
    kept = BareSearch(CHECKERS, material(), extension=2, table_size=1 << 16)
    bare = BareSearch(CHECKERS, material(), extension=2)
    rng = np.random.default_rng(11)
    fields = CHECKERS.rule_sets[rules]
    saved_by_the_rule = 0
    for _ in range(20):
        state = random_checkers(rng)
        for name, value in fields.items():
            state[name] = value
        scores = []
        for left in (60, 5, 3, 2, 1):
            state[counter] = limit - left
            scores.append(bare.score(state, 3))
            assert kept.score(state, 3) == scores[-1], (state, left)
        saved_by_the_rule += len(set(scores)) > 1
    assert saved_by_the_rule > 3


@needs_jit
def test_the_principal_variation_ends_where_its_score_comes_from(case: Case) -> None:
    evaluator = case.evaluator()
    search = BareSearch(case.game, evaluator, case.extension)
    for state, scores in solved_by_minimax(case)[0]:
        for depth, score in enumerate(scores, 1):
            assert search.score(state, depth) == score
            end, turns = state.copy(), 0
            line = search.line()
            for action in line:
                assert action in case.game.legal_actions(end)
                mover = to_play(end)
                apply(end, action)
                turns += to_play(end) != mover
            if is_over(end):
                value = int(returns(end)) * (WIN - len(line))
                assert score == (value if to_play(state) == 0 else -value)
            else:
                assert score == (1 if to_play(end) == to_play(state) else -1) * evaluate(evaluator, end)
                assert is_quiet(end)
                assert turns >= depth
                if case.game is not CHECKERS:
                    assert turns == depth == len(line)


@needs_jit
def test_the_searcher_chooses_an_action_that_is_worth_the_score(case: Case) -> None:
    searcher = Searcher(case.game, case.evaluator(), table_bits=10)
    minimax = Minimax(case.evaluator())
    rng = np.random.default_rng(2)
    for _ in range(8):
        state = case.draw(rng)
        seen: list[Analysis] = []
        found = searcher.search(state, SearchLimits(depth=3), seen.append)
        score = minimax.score(state, found.depth)
        assert found.value == pytest.approx(expected_return(score if to_play(state) == 0 else -score), abs=0)
        assert found == seen[-1]
        assert [analysis.depth for analysis in seen] == list(range(1, found.depth + 1))
        assert found.depth == 3 or abs(found.value) == 1.0
        assert found.action == found.principal_variation[0]
        after = state.copy()
        apply(after, found.action)
        same = to_play(after) == to_play(state)
        rest = minimax.score(after, found.depth - (not same), level=1)
        assert score == (rest if same else -rest)
        for action in found.principal_variation:
            assert action in case.game.legal_actions(state)
            apply(state, action)


def test_depth_counts_turns_not_jumps() -> None:
    """Black's man on 1 takes three pieces in one turn; White answers: two turns, four actions or more."""
    state = parse_fen("B:W6,14,22,32:B1,12", "endless")[0]
    searcher = Searcher(CHECKERS, material(), table_bits=10)
    first = searcher.search(state, SearchLimits(depth=1))
    assert first.depth == 1
    assert len(first.principal_variation) == 3
    assert first.value == pytest.approx(math.tanh(2 - 1))
    second = searcher.search(state, SearchLimits(depth=2))
    assert second.principal_variation[:3] == first.principal_variation
    assert len(second.principal_variation) == 4


# --- solved positions -------------------------------------------------------------------------------------------------


@needs_jit
@pytest.mark.parametrize(
    ("columns", "value", "plies"),
    [
        ("112233", 1.0, 1),  # the fourth along the bottom
        ("4455", 1.0, 3),  # the third along the bottom, open at both ends
        ("44553", 1.0, 2),  # and so the second player is lost
        # Pascal Pons, "Solving Connect 4", test set Test_L3_R1: there the scores -1, 1 and 0 say that the mover loses
        # to the last disc but one, wins with it, and draws on a full board.
        ("2252576253462244111563365343671351441", 1.0, 4),
        ("7422341735647741166133573473242566", 1.0, 7),
        ("23163416124767223154467471272416755633", 0.0, 4),
    ],
)
def test_connect_four_endings_are_proved(columns: str, value: float, plies: int) -> None:
    state = connect_four(columns)
    found = Searcher(CONNECT_FOUR, lines(), table_bits=12).search(state, SearchLimits(depth=plies))
    assert (found.value, found.depth) == (value, plies)
    assert len(found.principal_variation) == plies
    for action in found.principal_variation:
        assert not is_over(state)
        apply(state, action)
    assert is_over(state)
    assert returns(state) == value


@needs_jit
@pytest.mark.parametrize("rules", ["standard", "misere"])
def test_tic_tac_toe_is_solved(rules: str) -> None:
    exact: dict[bytes, float] = {}

    def solve(state: State) -> float:
        """Return the outcome with best play for player 0, of this position and of all that follow."""
        key = state.tobytes()
        if key not in exact:
            if is_over(state):
                return returns(state)
            outcomes = []
            for action in TIC_TAC_TOE.legal_actions(state):
                after = state.copy()
                apply(after, action)
                outcomes.append(solve(after))
            exact[key] = (max if to_play(state) == 0 else min)(outcomes)
        return exact[key]

    assert solve(TIC_TAC_TOE.new(1, rules)[0]) == 0.0
    assert len(exact) == 4_520  # positions that are not over
    searcher = Searcher(TIC_TAC_TOE, corners(), table_bits=12)
    for key in list(exact)[::9]:
        state = np.frombuffer(key, TIC_TAC_TOE.dtype)[0].copy()
        found = searcher.search(state, SearchLimits(depth=9))
        assert found.value == exact[key]
        apply(state, found.action)
        assert solve(state) == exact[key]


@cache
def tables() -> Tables:
    return load_or_build(3)


def won_endings(rules: str, longest: int, count: int, seed: int) -> list[tuple[State, int]]:
    """Return endings of three pieces that the mover wins in 3 to `longest` turns, with that number."""
    rng = np.random.default_rng(seed)
    found: list[tuple[State, int]] = []
    while len(found) < count:
        state = random_checkers(rng)
        value = tables().value(state)
        if value is not None and value[0] == 1 and 3 <= value[1] <= longest:
            named = CHECKERS.new(1, rules)[0]
            for field in ("black", "white", "kings", "to_play"):
                named[field] = state[field]
            start_history(named)
            found.append((named, value[1]))
    return found


@needs_jit
def test_wins_of_three_pieces_are_found_without_tables() -> None:
    searcher = Searcher(CHECKERS, material(), table_bits=14)
    for state, turns in won_endings("endless", 15, 12, seed=3):
        found = searcher.search(state, SearchLimits(depth=turns))
        assert found.value == (1.0 if to_play(state) == BLACK else -1.0)
        assert found.depth <= turns  # less where it ends in captures, which are seen beyond the horizon


def endgame_defence(state: State, rng: np.random.Generator) -> Turn:
    """Return the turn that holds out longest."""

    def turns_to_the_end(turn: Turn) -> int:
        after = state.copy()
        play_turn(after, turn)
        value = tables().value(after)
        return value[1] if value else 0

    return max(legal_turns(state), key=turns_to_the_end)


def random_defence(state: State, rng: np.random.Generator) -> Turn:
    turns = legal_turns(state)
    return turns[rng.integers(len(turns))]


@needs_jit
@pytest.mark.parametrize("rules", ["endless", "wcdf"])
@pytest.mark.parametrize("defence", [endgame_defence, random_defence])
def test_with_tables_won_endings_are_won_in_the_turns_told(
    rules: str, defence: Callable[[State, np.random.Generator], Turn]
) -> None:
    """Material and depth 2 alone cannot: most of these wins take 25 turns and more."""
    searcher = Searcher(CHECKERS, material(), table_bits=10, tables=tables().entries)
    rng = np.random.default_rng(6)
    endings = won_endings(rules, 80, 10, seed=4)
    assert sorted(told for _, told in endings)[-3] > 30
    for state, told in endings:
        winner, turns = to_play(state), 0
        while not is_over(state):
            if to_play(state) == winner:
                found = searcher.search(state, SearchLimits(depth=2))
                assert found.value == (1.0 if winner == BLACK else -1.0)
                mover = to_play(state)
                apply(state, found.action)
                turns += to_play(state) != mover
            else:
                play_turn(state, defence(state, rng))
                turns += 1
        assert returns(state) == (1.0 if winner == BLACK else -1.0)
        assert turns == told if defence is endgame_defence else turns <= told


def test_a_shorter_win_is_preferred() -> None:
    """Black's king on 14 can take the last man now; the search looks deeper and still takes it."""
    search = BareSearch(CHECKERS, material())
    state = parse_fen("B:W18,K27:BK14,K24", "endless")[0]
    assert search.score(state, 3) == WIN - 2
    assert len(search.line()) == 2
    # Connect Four, three in a row twice: any depth wins at once.
    found = BareSearch(CONNECT_FOUR, lines())
    for depth in (1, 2, 5):
        assert found.score(connect_four("112233"), depth) == WIN - 1
    assert found.score(connect_four("44553"), 5) == 2 - WIN
