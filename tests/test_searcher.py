"""The search as players use it: where it ends, and what it remembers."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pytest

from agents import alphabeta
from agents.alphabeta import WIN, Searcher, SearchLimits, expected_return
from agents.analysis import Analysis
from agents.evaluators import SCORE_UNIT, material
from games.checkers import BLACK, CHECKERS, WHITE
from games.pdn import parse_fen
from games.rules import State
from tests.reference import rotate
from tests.search_subjects import needs_jit, random_checkers, random_network


def opening() -> State:
    return CHECKERS.new(1, "endless")[0]


def without_time(analysis: Analysis) -> Analysis:
    return replace(analysis, seconds=0.0)


@needs_jit
def test_a_search_may_be_stopped_from_another_thread() -> None:
    searcher = Searcher(CHECKERS, material(), table_bits=12)
    seen: list[Analysis] = []
    found: list[Analysis] = []
    is_deep = threading.Event()

    def on_iteration(analysis: Analysis) -> None:
        seen.append(analysis)
        if analysis.depth == 4:
            is_deep.set()

    thread = threading.Thread(target=lambda: found.append(searcher.search(opening(), SearchLimits(), on_iteration)))
    thread.start()
    assert is_deep.wait(60)
    searcher.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert found == [seen[-1]]
    assert 4 <= found[0].depth < 64
    assert [analysis.depth for analysis in seen] == list(range(1, found[0].depth + 1))
    assert found[0].action in CHECKERS.legal_actions(opening())
    assert searcher.search(opening(), SearchLimits(depth=3)).depth == 3, "a stop counts for one search"


@needs_jit
def test_one_turn_is_searched_to_its_end_however_early_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop comes when the search has begun and seen nothing."""
    searcher = Searcher(CHECKERS, material(), table_bits=12)
    expected = searcher.search(opening(), SearchLimits(depth=1))
    real = alphabeta.search_root
    stops = [1, 1, 1]

    def stopped_at_once(search: State, *rest: object) -> int:
        if stops:
            search.stop = stops.pop()
        return real(search, *rest)

    monkeypatch.setattr(alphabeta, "search_root", stopped_at_once)
    searcher.clear()
    found = searcher.search(opening(), SearchLimits())
    assert not stops
    assert (found.action, found.value, found.depth) == (expected.action, expected.value, 1)


@needs_jit
def test_one_turn_is_searched_to_its_end_whatever_the_node_limit() -> None:
    """Two armies of kings: the captures of a single turn and its answers are tens of thousands of positions."""
    state = parse_fen(
        "W:WK1,K2,K9,K10,K11,K16,K18,K19,K21,K26,K27,K29:BK3,K5,K6,K12,K13,K15,K22,K23,K24,K25,K31,K32", "endless"
    )[0]
    searcher = Searcher(CHECKERS, material(), table_bits=12)
    expected = searcher.search(state, SearchLimits(depth=1))
    assert expected.nodes > 5_000
    searcher.clear()
    assert without_time(searcher.search(state, SearchLimits(nodes=1))) == without_time(expected)


@needs_jit
def test_time_ends_a_search() -> None:
    found = Searcher(CHECKERS, material(), table_bits=12).search(opening(), SearchLimits(seconds=0.02))
    assert 1 <= found.depth < 64


@needs_jit
def test_nodes_end_a_search() -> None:
    searcher = Searcher(CHECKERS, material(), table_bits=12)
    seen: list[Analysis] = []
    deepest = 0
    for nodes in (1, 3_000, 30_000, 100_000):
        searcher.clear()
        seen.clear()
        found = searcher.search(opening(), SearchLimits(nodes=nodes), seen.append)
        spent = int(searcher._search.nodes)
        assert found == seen[-1]
        assert found.nodes <= spent
        assert nodes <= spent < nodes + 2_048, "a look at the limit every 1,024 nodes, and a whole first turn"
        assert found.depth >= deepest
        deepest = found.depth
    assert deepest >= 6


@needs_jit
def test_the_only_action_is_chosen() -> None:
    state = parse_fen("B:W14:B9,1", "endless")[0]
    assert len(CHECKERS.legal_actions(state)) == 1
    found = Searcher(CHECKERS, material(), table_bits=10).search(state, SearchLimits(depth=4))
    assert [found.action] == CHECKERS.legal_actions(state)
    assert found.value == 1.0


@needs_jit
def test_clear_makes_a_search_depend_on_its_position_alone() -> None:
    searcher = Searcher(CHECKERS, random_network(), table_bits=12)
    limits = SearchLimits(depth=5)
    first = searcher.search(opening(), limits)
    again = searcher.search(opening(), limits)
    assert again.nodes < first.nodes, "without clear() the table remembers"
    assert again.value == first.value
    searcher.search(random_checkers(np.random.default_rng(1)), limits)
    searcher.clear()
    assert without_time(searcher.search(opening(), limits)) == without_time(first)
    assert without_time(Searcher(CHECKERS, random_network(), table_bits=12).search(opening(), limits)) == (
        without_time(first)
    )


@needs_jit
def test_values_are_player_0s() -> None:
    """The board turned around with its colours swapped is worth the opposite to Black, at every depth."""
    searcher = Searcher(CHECKERS, material(), table_bits=14)
    rng = np.random.default_rng(9)
    values = set()
    for _ in range(30):
        state = random_checkers(rng)
        turned = state.copy()
        rotate(turned)
        assert turned.to_play == (BLACK if state.to_play == WHITE else WHITE)
        value = searcher.search(state, SearchLimits(depth=4)).value
        assert searcher.search(turned, SearchLimits(depth=4)).value == -value
        values.add(value)
    assert len(values) > 10


def test_expected_return() -> None:
    assert expected_return(0) == 0.0
    assert expected_return(SCORE_UNIT) == math.tanh(1.0)
    assert expected_return(-SCORE_UNIT // 2) == -math.tanh(0.5)
    assert expected_return(WIN - 100) == 1.0
    assert expected_return(100 - WIN) == -1.0
