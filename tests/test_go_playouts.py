"""Random games of Go: they end as games do, fill no eyes, repeat nothing, and tell who owns what."""

from __future__ import annotations

import numpy as np
import pytest

from games.go import game
from games.go_board import BLACK, WHITE, point_of
from games.go_playouts import fills_eye, playout, playouts
from games.rules import State, is_over, returns
from tests.go_diagrams import diagram, position


def played_out(state: State, seed: int) -> State:
    after = state.copy()
    playout(after, np.array([seed], np.uint64))
    return after


@pytest.mark.parametrize("rules", ["chinese", "tromp-taylor", "situational", "simple-ko"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 3), (4, 7), (9, 9)])
def test_a_random_game_ends_with_two_passes_and_only_eyes_left(rows: int, columns: int, rules: str) -> None:
    start = game(rows, columns).new(1, rules)[0]
    ends = [played_out(start, seed) for seed in range(20)]
    for end in ends:
        assert is_over(end)
        assert int(end.passes) == 2 or int(end.ply) == int(end.move_limit)
        assert returns(end) in (-1.0, 0.0, 1.0)
    assert played_out(start, 3).tobytes() == ends[3].tobytes()


def test_a_random_game_without_a_limit_is_broken_off() -> None:
    start = game(2).new(1, "tromp-taylor")[0]
    start.ko_rule, start.move_limit = 0, 0
    plies = [int(played_out(start, seed).ply) for seed in range(100)]
    assert max(plies) == 12  # suicides on four points need not end


def test_no_own_eye_is_filled() -> None:
    state = position(
        """
        . X . X .
        X X X X X
        . . . . .
        O O O O O
        . O . O .
        """
    )
    for seed in range(50):
        end = diagram(played_out(state, seed)).split("\n")
        assert end[0] == ". X . X ."
        assert end[4] == ". O . O ."


@pytest.mark.parametrize(
    ("text", "point", "expected"),
    [
        (". X . . .\nX X . . .\n. . . . .", 0, True),  # in the corner, the diagonal its own
        (". X . . .\nX O . . .\n. . . . .", 0, False),  # a false eye: at the edge one enemy is enough
        (". X . . .\nX . . . .\n. . . . .", 0, True),
        (". . O . .\n. X . X .\n. . X . .\n. . . . .", 7, False),  # not surrounded
        (". . X O .\n. X . X .\n. . X . .\n. . . . .", 7, True),  # in the middle one enemy is not
        (". . X O .\n. X . X .\n. O X . .\n. . . . .", 7, False),
    ],
)
def test_eyes(text: str, point: int, expected: bool) -> None:
    state = position(text)
    assert fills_eye(state, point_of(state, point), BLACK) == expected
    assert not fills_eye(state, point_of(state, point), WHITE)


def test_playouts_from_a_settled_position_have_one_winner() -> None:
    state = position(
        """
        . X . X O
        X X X X O
        . X X O O
        X X X O .
        . X X O O
        """,
        komi=0.5,
    )
    wins, draws, moves = playouts(state, np.zeros(1, state.dtype), 100, np.array([1], np.uint64))
    assert (wins, draws) == (100, 0)
    assert moves > 0
