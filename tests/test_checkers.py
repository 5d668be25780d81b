"""The rules of checkers one by one, on diagrams, and whole games beside open_spiel."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from games.checkers import CHECKERS, NO_JUMPER, piece_counts
from games.rules import State, apply, hash_key, is_over, observe, returns, to_play
from tests.reference import Checkers, checkers_record, open_spiel_name, rotate


def position(mover: str, diagram: str, rules: str = "wcdf") -> State:
    return checkers_record(Checkers(rules, diagram, mover), rules)


def step(origin: int, target: int) -> int:
    """Return the action from a square to a square, numbered 1-32 as in game records (a step or a jump)."""
    (row, column), (end_row, end_column) = (
        ((s - 1) // 4, (s - 1) % 4 * 2 + (1 if (s - 1) // 4 % 2 == 0 else 0)) for s in (origin, target)
    )
    return (0 if end_row > row else 2) * 32 + (32 if end_column > column else 0) + origin - 1


def test_the_start_is_black_to_move_11_15_and_six_others() -> None:
    state = CHECKERS.new(1)[0]
    moves = ((9, 13), (9, 14), (10, 14), (10, 15), (11, 15), (11, 16), (12, 16))
    assert to_play(state) == 0
    assert CHECKERS.legal_actions(state) == sorted(step(*move) for move in moves)
    assert piece_counts(state) == (12, 0, 12, 0)


def test_a_capture_is_forced_and_any_route_may_be_chosen() -> None:
    state = position(
        "b",
        """
        . . . . . . . .
        . . . . b . . .
        . . . w . w . .
        . . . . . . . .
        . . . . . w . .
        . . . . . . . .
        . b . . . . . .
        . . . . . . . .
        """,
    )
    # The man on 7 may take one man (7x14) or two (7x16x23); the man on 25 must wait.
    assert CHECKERS.legal_actions(state) == sorted([step(7, 14), step(7, 16)])


def test_a_jump_that_can_go_on_is_gone_on_with_by_the_same_piece() -> None:
    state = position(
        "b",
        """
        . . . . . . . .
        b . . . b . . .
        . w . . . w . .
        . . . . . . . .
        . . . . . w . .
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        """,
    )
    apply(state, step(7, 16))
    assert (to_play(state), state.jumper, state.ply) == (0, 15, 0)
    assert CHECKERS.legal_actions(state) == [step(16, 23)]  # not the other man's 5x14
    apply(state, step(16, 23))
    assert (to_play(state), state.jumper, state.ply) == (1, NO_JUMPER, 1)
    assert piece_counts(state) == (2, 0, 1, 0)


@pytest.mark.parametrize("piece", ["w", "W"])
def test_a_man_that_reaches_the_king_row_by_a_jump_stops_there_and_a_king_goes_on(piece: str) -> None:
    state = position(
        "w",
        f"""
        . . . . . . . .
        . . b . b . . .
        . {piece} . . . . . .
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        """,
    )
    apply(state, step(9, 2))
    assert to_play(state) == (0 if piece == "w" else 1)
    assert piece_counts(state) == (1, 0, 0, 1)
    if piece == "W":
        assert CHECKERS.legal_actions(state) == [step(2, 11)]


def test_a_man_is_crowned_by_a_step_and_its_king_moves_back() -> None:
    state = position(
        "b",
        """
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        w . . . . . . .
        . . . . . b . .
        . . . . . . . .
        """,
    )
    apply(state, step(27, 31))
    assert piece_counts(state) == (0, 1, 1, 0)
    apply(state, step(21, 17))
    assert CHECKERS.legal_actions(state) == sorted([step(31, 26), step(31, 27)])


def test_a_king_may_jump_in_a_circle_over_the_square_it_left() -> None:
    state = position(
        "b",
        """
        . . . . . . . .
        . . . . B . . .
        . . . w . w . .
        . . . . . . . .
        . . . w . w . .
        . . . . . . . .
        . . . . . . . .
        w . . . . . . .
        """,
    )
    for origin, target in ((7, 16), (16, 23), (23, 14), (14, 7)):
        assert step(origin, target) in CHECKERS.legal_actions(state)
        assert to_play(state) == 0
        apply(state, step(origin, target))
    assert piece_counts(state) == (0, 1, 1, 0)
    assert (to_play(state), int(state.black)) == (1, 1 << 6)


@pytest.mark.parametrize(
    "row", [". . . . . . . .", "w . . . . . . ."], ids=["without a piece", "with every piece blocked"]
)
def test_a_player_who_cannot_move_loses(row: str) -> None:
    state = position(
        "w",
        f"""
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        . . . . . . . .
        . . b . . . . .
        . b . . . . . .
        {row}
        """,
    )
    assert is_over(state)
    assert CHECKERS.legal_actions(state) == []
    assert returns(state) == 1.0


KINGS_APART = """
    . . . . . . . .
    B . . . . . . .
    . . . . . . . .
    . . . . . . . .
    . . . . . . . .
    . . . . . . . .
    . . . . . . . W
    . . . . . . . .
"""


def quiet_line(length: int) -> list[int]:
    """Return actions of two kings that keep apart and come to no position a third time."""
    generator = np.random.default_rng(6)
    reference, line = Checkers("endless", KINGS_APART), []
    while len(line) < length:
        safe = {}
        for action in reference.legal_actions():
            after = deepcopy(reference)
            after.play(action)
            if after.is_quiet() and after.seen[after.position()] <= 2:
                safe[action] = after
        if safe:
            line.append(int(generator.choice(list(safe))))
            reference = safe[line[-1]]
        else:  # cornered: start again
            reference, line = Checkers("endless", KINGS_APART), []
    return line


@pytest.mark.parametrize(("rules", "plies"), [("wcdf", 80), ("open_spiel", 40), ("anaconda", 200), ("endless", 0)])
def test_a_game_without_captures_is_drawn_after_so_many_plies(rules: str, plies: int) -> None:
    state = position("b", KINGS_APART, rules)
    for ply, action in enumerate(quiet_line(plies or 200)):
        assert not is_over(state), ply
        apply(state, action)
    assert is_over(state) == (plies > 0)
    if plies:
        assert returns(state) == 0.0
        assert CHECKERS.legal_actions(state) == []


def test_the_third_occurrence_of_a_position_draws_and_the_second_does_not() -> None:
    state = position("b", KINGS_APART)
    circle = (step(5, 1), step(28, 32), step(1, 5), step(32, 28))
    for ply, action in enumerate(2 * circle):
        assert not is_over(state), ply
        apply(state, action)
    assert is_over(state)
    assert returns(state) == 0.0


def test_a_mans_move_starts_the_quiet_count_again_but_not_under_open_spiels_rule() -> None:
    diagram = KINGS_APART.replace(". . . . . . . .", ". . . b . . . .", 1)
    for rules, expected in (("wcdf", 0), ("anaconda", 0), ("open_spiel", 3)):
        state = position("b", diagram, rules)
        for action in (step(5, 1), step(28, 32), step(2, 6)):
            apply(state, action)
        assert state.quiet_plies == expected


def test_half_a_turn_of_the_board_commutes_with_playing() -> None:
    """The one symmetry: squares s -> 31 - s, colours swapped, actions a -> 127 - a, returns with the other sign."""
    generator = np.random.default_rng(4)
    planes, turned_planes = np.zeros((2, *CHECKERS.planes_shape), np.float32)
    for _ in range(40):
        state = CHECKERS.new(1, "endless")[0]
        for _ in range(150):
            actions = CHECKERS.legal_actions(state)
            turned = state.copy()
            rotate(turned)
            assert CHECKERS.legal_actions(turned) == [127 - action for action in reversed(actions)]
            assert to_play(turned) == 1 - to_play(state)
            observe(state, planes)
            observe(turned, turned_planes)
            assert np.array_equal(turned_planes[:5], planes[:5, ::-1, ::-1])
            assert np.array_equal(turned_planes[5], 1 - planes[5])
            if not actions:
                assert returns(turned) == -returns(state)
                break
            action = int(generator.choice(actions))
            apply(turned, 127 - action)
            apply(state, action)
            rotate(turned)
            for field in ("black", "white", "kings", "to_play", "jumper", "ply"):
                assert turned[field] == state[field], field
            assert hash_key(turned) == hash_key(state)


def test_whole_games_agree_with_open_spiel() -> None:
    """open_spiel draws after 40 turns without a capture; its first player starts at the bottom."""
    pyspiel = pytest.importorskip("pyspiel", reason="open_spiel is not installed")
    game = pyspiel.load_game("checkers")
    generator = np.random.default_rng(5)
    outcomes = set()
    for _ in range(60):
        state, theirs = CHECKERS.new(1, "open_spiel")[0], game.new_initial_state()
        while not theirs.is_terminal():
            assert theirs.current_player() == to_play(state)
            names = {theirs.action_to_string(action): action for action in theirs.legal_actions()}
            actions = CHECKERS.legal_actions(state)
            mine = [open_spiel_name(state, action) for action in actions]
            assert sorted(mine) == sorted(names)
            choice = int(generator.integers(len(actions)))
            theirs.apply_action(names[mine[choice]])
            apply(state, actions[choice])
        assert is_over(state)
        assert theirs.returns() == [returns(state), -returns(state)]
        outcomes.add(returns(state))
    assert outcomes == {1.0, 0.0, -1.0}
