"""The arena: outcomes depend on the players, the position and the seed alone."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import numpy as np
import pytest

from agents.alphabeta import Searcher, SearchLimits, expected_return
from agents.evaluators import anaconda, material
from agents.evolution.arena import Arena
from games.checkers import CHECKERS
from games.compiled import NDArray
from games.notation import play_turn
from games.openings import random_openings
from games.pdn import parse_fen
from games.rules import States, is_quiet, to_play
from nets.anaconda_layout import NUM_WEIGHTS

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="whole games: numba is switched off")


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    arena = Arena(CHECKERS, workers=2)
    yield arena
    arena.close()


def networks(count: int) -> NDArray:
    """Return random networks that know what pieces are worth, but not how to win with them."""
    rng = np.random.default_rng(7)
    weights = rng.uniform(-0.2, 0.2, (count, NUM_WEIGHTS)).astype(np.float32)
    return anaconda(weights, np.full(count, 2.0, np.float32))


def piece_counts(*king_values: float) -> NDArray:
    return np.array([material(1.0, value) for value in king_values])


def starts_after(plies: int, count: int, rules: str = "wcdf") -> States:
    """Return positions after random openings."""
    starts = CHECKERS.new(count, rules)
    for i, opening in enumerate(random_openings(CHECKERS, plies, count, seed=3)):
        for turn in opening.turns:
            play_turn(starts[i], turn)
    return starts


def all_pairings(first: int, second: int, starts: int) -> NDArray:
    return np.array([(i, j, s) for i in range(first) for j in range(second) for s in range(starts)])


# --- single games -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fen", "outcome"),
    [
        ("B:W18:B14", 1.0),  # Black takes the last man
        ("W:W18:B14", -1.0),
        ("W:WK14,K15:BK10", -1.0),
        ("W:W5:BK1,K2", 1.0),  # over before it begins: White is hemmed in
        ("B:WK1,K2:BK32", -1.0),  # two kings catch one
    ],
)
@pytest.mark.parametrize("depth", [2, 3])
def test_games_that_are_decided(arena: Arena, fen: str, outcome: float, depth: int) -> None:
    player = piece_counts(1.5)
    starts = parse_fen(fen, "wcdf")
    before = starts.copy()
    assert [*arena.play(player, player, all_pairings(1, 1, 1), starts, (depth, depth))] == [outcome]
    assert (starts == before).all(), "a game is played on a copy"


def test_a_draw_rule_ends_a_game(arena: Arena) -> None:
    start = CHECKERS.new(1, "anaconda")
    start["ply"] = 197  # of 200
    player = piece_counts(1.5)
    assert [*arena.play(player, player, all_pairings(1, 1, 1), start, (2, 2))] == [0.0]


def test_search_beats_chance_from_either_side(arena: Arena) -> None:
    player = piece_counts(1.5)
    starts = starts_after(4, 20)
    pairings = all_pairings(1, 1, 20)
    assert sum(arena.play(player, player, pairings, starts, (3, 0))) >= 18
    assert sum(arena.play(player, player, pairings, starts, (0, 3))) <= -18


# --- what an outcome depends on ---------------------------------------------------------------------------------------


def test_outcomes_do_not_depend_on_the_number_of_workers_or_on_other_games() -> None:
    first, second = networks(3), networks(4)[1:]
    starts = starts_after(6, 3)
    pairings = all_pairings(3, 3, 3)
    found = []
    for workers in (1, 3):
        arena = Arena(CHECKERS, workers, extension=2)
        found.append([*arena.play(first, second, pairings, starts, (2, 1))])
        backwards = [*arena.play(first, second, pairings[::-1], starts, (2, 1))]
        assert backwards[::-1] == found[-1], "a game owes nothing to what its thread played before"
        arena.close()
    assert found[0] == found[1]
    assert len(set(found[0])) == 3, "won, drawn and lost"


def test_evaluators_and_starts_are_those_that_the_pairings_name(arena: Arena) -> None:
    first, second = networks(4), piece_counts(1.5, 3.0)
    starts = starts_after(6, 3)
    pairings = all_pairings(4, 2, 3)
    together = [*arena.play(first, second, pairings, starts, (1, 1))]
    alone = [
        next(arena.play(first[i : i + 1], second[j : j + 1], all_pairings(1, 1, 1), starts[s : s + 1], (1, 1)))
        for i, j, s in pairings
    ]
    assert together == alone
    assert len(set(together)) > 1


def test_random_play_follows_its_seed(arena: Arena) -> None:
    player = piece_counts(1.5)
    starts = CHECKERS.new(1, "wcdf")
    pairings = np.zeros((60, 3), np.int64)
    one = [*arena.play(player, player, pairings, starts, (0, 0), seed=1)]
    assert [*arena.play(player, player, pairings, starts, (0, 0), seed=1)] == one
    assert [*arena.play(player, player, pairings, starts, (0, 0), seed=2)] != one
    assert len(set(one)) > 1, "games of one seed differ from each other"


def test_outcomes_of_random_play_do_not_depend_on_the_number_of_workers() -> None:
    player = piece_counts(1.5)
    starts = starts_after(4, 5)
    found = []
    for workers in (1, 4):
        arena = Arena(CHECKERS, workers)
        found.append([*arena.play(player, player, all_pairings(1, 1, 5).repeat(8, axis=0), starts, (0, 1), seed=9)])
        arena.close()
    assert found[0] == found[1]


# --- games on record --------------------------------------------------------------------------------------------------


def test_a_record_holds_the_quiet_positions_that_were_searched(arena: Arena) -> None:
    player = piece_counts(1.5)
    starts = starts_after(6, 4, "anaconda")
    pairings = all_pairings(1, 1, 4)
    games = [*arena.play_on_record(player, player, pairings, starts, (2, 2))]
    assert [game.outcome for game in games] == [*arena.play(player, player, pairings, starts, (2, 2))]
    searcher = Searcher(CHECKERS, material(), table_bits=12)
    num_white = 0
    for game in games:
        assert len(game.positions) == len(game.scores) > 10
        plies = game.positions["ply"]
        assert (np.diff(plies.astype(int)) > 0).all()
        for state, score in zip(game.positions, game.scores, strict=True):
            assert is_quiet(state)
            assert len(CHECKERS.legal_actions(state)) > 1, "a forced move is not searched"
            if state.ply > 190:
                continue  # the draw at ply 200 is near, which the arena's tables do not know of
            found = searcher.search(state, SearchLimits(depth=2)).value
            expected = expected_return(int(score) if to_play(state) == 0 else -int(score))
            assert found == pytest.approx(expected, abs=1e-12)
        num_white += int((game.positions["to_play"] == 1).sum())
    assert num_white > 20


def test_a_record_has_so_much_room_and_random_players_leave_none(arena: Arena) -> None:
    player = piece_counts(1.5)
    starts = starts_after(6, 2)
    pairings = all_pairings(1, 1, 2)
    long, short = ([*arena.play_on_record(player, player, pairings, starts, (2, 2), room=room)] for room in (256, 7))
    for whole, begun in zip(long, short, strict=True):
        assert len(begun.positions) == len(begun.scores) == 7
        assert (begun.positions == whole.positions[:7]).all()
        assert begun.outcome == whole.outcome
    for game in arena.play_on_record(player, player, pairings, starts, (0, 2)):
        assert set(game.positions["to_play"].tolist()) == {1}


# --- matches ----------------------------------------------------------------------------------------------------------


def test_a_match_counts_every_start_from_both_sides(arena: Arena) -> None:
    ours, theirs = networks(1)[0], material()
    starts = starts_after(6, 15)
    counts = arena.match(ours, theirs, starts, (1, 2))
    won, drawn, lost, pairs = counts
    assert won + drawn + lost == 30 and sum(pairs) == 15
    assert arena.match(theirs, ours, starts, (2, 1)) == (lost, drawn, won, pairs[::-1])
    as_first = [*arena.play(networks(1), piece_counts(1.5), all_pairings(1, 1, 15), starts, (1, 2))]
    as_second = [*arena.play(piece_counts(1.5), networks(1), all_pairings(1, 1, 15), starts, (2, 1))]
    assert counts[0] == as_first.count(1.0) + as_second.count(-1.0)
    assert counts[2] == as_first.count(-1.0) + as_second.count(1.0)
    assert counts[0] != counts[2]


def test_a_match_against_itself_is_even(arena: Arena) -> None:
    won, drawn, lost, _ = arena.match(material(), material(), starts_after(6, 10), (2, 2))
    assert won == lost
    assert won + drawn + lost == 20
