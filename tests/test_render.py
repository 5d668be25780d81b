"""Boards as text and as pictures."""

from __future__ import annotations

import numpy as np
import pytest

from games.board_env import BoardEnv
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.go import game as go_game
from games.render import (
    CHECKERS_PIECES,
    CONNECT_FOUR_PIECES,
    GO_STONES,
    ansi_board,
    board_cells,
    rgb_board,
)
from games.rules import GameError, apply
from tests.tic_tac_toe import TIC_TAC_TOE


def played(game, actions):
    state = game.new(1)[0]
    for action in actions:
        apply(state, action)
    return state


def checkers_position(black, white, kings=(), mover=0):
    """Return a record with pieces on these squares, 1-32."""
    state = CHECKERS.new(1)[0]
    state.black, state.white, state.kings = (
        sum(1 << square - 1 for square in squares) for squares in (black, white, kings)
    )
    state.to_play = mover
    return state


def lines(text):
    return text.strip("\n").splitlines()


# --- text -----------------------------------------------------------------------------------------------------------


def test_checkers_at_the_start():
    expected = """
 1    b   b   b   b   4
 5  b   b   b   b     8
 9    b   b   b   b  12
13  .   .   .   .    16
17    .   .   .   .  20
21  w   w   w   w    24
25    w   w   w   w  28
29  w   w   w   w    32
Black to move
"""
    assert ansi_board(CHECKERS.new(1)[0]).splitlines() == lines(expected)


def test_checkers_in_the_middle_of_a_capture_and_at_the_end():
    state = checkers_position(black=[1, 29], white=[6, 15, 32], kings=[29, 32])
    apply(state, 32)  # 1x10
    expected = """
 1    .   .   .   .   4
 5  .   .   .   .     8
 9    .   b   .   .  12
13  .   .   w   .    16
17    .   .   .   .  20
21  .   .   .   .    24
25    .   .   .   .  28
29  B   .   .   W    32
Black to move and must jump on from 10
"""
    assert ansi_board(state).splitlines() == lines(expected)
    assert ansi_board(checkers_position([1], [], mover=1)).splitlines()[-1] == "Black has won"
    drawn = checkers_position([1], [32], kings=[1, 32])
    drawn.quiet_plies = drawn.quiet_limit
    assert ansi_board(drawn).splitlines()[-1] == "drawn"


def test_connect_four():
    expected = """
. . . . . . .
. . . . . . .
. . . . . . .
. . . O . . .
. . . X . . .
O . . X . . X
1 2 3 4 5 6 7
O to move
"""
    state = played(CONNECT_FOUR, [3, 0, 3, 3, 6])
    assert ansi_board(state).splitlines() == lines(expected)
    assert ansi_board(played(CONNECT_FOUR, [0, 1, 0, 1, 0, 1, 0])).splitlines()[-1] == "X has won"


def test_go():
    state = played(go_game(7, 9), [62, 0, 1, 20, 9])  # Black takes the corner
    expected = """
   A B C D E F G H J
 7 . X . . . . . . . 7
 6(X). . . . . . . . 6
 5 . . O . . . + . . 5
 4 . . . . . . . . . 4
 3 . . + . . . + . . 3
 2 . . . . . . . . . 2
 1 . . . . . . . . X 1
   A B C D E F G H J
White (O) to move
stones lost: Black 0, White 1
"""
    assert ansi_board(state).splitlines() == lines(expected)
    apply(state, 63)
    apply(state, 63)
    assert ansi_board(state).splitlines()[2] == " 6 X . . . . . . . . 6"  # a pass is nowhere
    assert ansi_board(state).splitlines()[-2] == "White (O) has won; Black's area less White's and the komi: -4.5"
    state.passes, state.move_limit = 0, state.ply
    assert ansi_board(state).splitlines()[-2].startswith(f"cut off after {state.ply} moves; Black's area less White's")


def test_a_game_without_a_drawing_shows_its_record():
    text = ansi_board(played(TIC_TAC_TOE, [4, 0]))
    assert text.splitlines()[:4] == ["tic_tac_toe: player 0 to move", "crosses 16", "noughts 1", "misere 0"]
    for draw_board in (board_cells, rgb_board):
        with pytest.raises(GameError, match="no drawing of a tic_tac_toe board; there are: checkers, connect_four, go"):
            draw_board(TIC_TAC_TOE.new(1)[0])


# --- cells ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", [CHECKERS, CONNECT_FOUR, go_game(4, 3)], ids=lambda game: game.name)
def test_cells_are_where_the_observation_has_them(game):
    """The planes, which are tested against a naive reference, show the same pieces in the same places."""
    env = BoardEnv(game)
    generator = np.random.default_rng(4)
    seen = set()
    for _ in range(4):
        planes, info = env.reset()
        done = False
        while not done:
            if game is CHECKERS:
                expected = planes[0] + 2 * planes[1] - planes[2] - 2 * planes[3]
            else:
                expected = planes[0] - planes[1]
            expected = expected if info["to_play"] == 0 else -expected
            cells = board_cells(env.state)
            assert cells.dtype == np.int8 and np.array_equal(cells, expected)
            seen |= set(cells.flat)
            planes, _, terminated, truncated, info = env.step(
                int(generator.choice(np.flatnonzero(info["action_mask"])))
            )
            done = terminated or truncated
    assert seen == ({-2, -1, 0, 1, 2} if game is CHECKERS else {-1, 0, 1})


# --- pictures -------------------------------------------------------------------------------------------------------


def body_colour(picture, cells, row, column, tile, margin):
    """Return the colour between the rings of the piece in a cell, at three o'clock."""
    return picture[margin + int((row + 0.5) * tile), margin + int((column + 0.5 + 0.24) * tile)].astype(int)


@pytest.mark.parametrize("size", [64, 200, 512, 777])
def test_every_piece_of_a_picture_has_its_players_colour(size):
    checkers = checkers_position(black=[1, 18, 32], white=[4, 20, 29], kings=[18, 20])
    connect_four = played(CONNECT_FOUR, [3, 0, 3, 3, 6])
    for state, palette, share, columns in (
        (checkers, CHECKERS_PIECES, 0.93, 8),
        (connect_four, CONNECT_FOUR_PIECES, 0.94, 7),
    ):
        picture, cells = rgb_board(state, size), board_cells(state)
        assert picture.dtype == np.uint8 and picture.shape[1:] == (size, 3)
        tile = int(size * share) // columns
        margin = (size - columns * tile) // 2
        assert picture.shape[0] == cells.shape[0] * tile + (size - columns * tile) - (size - columns * tile) % 2 * (
            columns == 7
        )
        for row, column in np.argwhere(cells):
            colour = body_colour(picture, cells, row, column, tile, margin)
            body = palette[int(np.sign(cells[row, column]))][0]
            assert np.abs(colour - body).max() < 60, (row, column, colour)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 8), (19, 19)])
@pytest.mark.parametrize("size", [64, 333])
def test_a_picture_of_go_has_its_stones_and_the_lit_point(rows, columns, size):
    state = played(go_game(rows, columns), [0, rows * columns - 1][: rows * columns - 1])
    picture, cells = rgb_board(state, size), board_cells(state)
    tile = int(size * 0.96) // columns
    margin = (size - columns * tile) // 2
    assert picture.shape == (rows * tile + 2 * margin, size, 3)
    for row, column in np.argwhere(cells):
        centre = picture[margin + int((row + 0.62) * tile), margin + int((column + 0.62) * tile)].astype(int)
        assert np.abs(centre - GO_STONES[int(cells[row, column])][0]).max() < 60
    lit = np.zeros(cells.shape, bool)
    lit[-1, -1] = True
    changed = np.argwhere((rgb_board(state, size, highlight=lit) != picture).any(axis=2))
    assert {tuple(cell) for cell in (changed - margin) // tile} == {(rows - 1, columns - 1)}


def test_a_picture_shows_kings_and_the_last_move_and_nothing_else_changes():
    state = checkers_position(black=[18], white=[20])
    plain = rgb_board(state)
    state.kings = 1 << 17
    crowned = rgb_board(state)
    changed = np.argwhere((plain != crowned).any(axis=2))
    tile, margin = int(512 * 0.93) // 8, (512 - 8 * (int(512 * 0.93) // 8)) // 2
    assert {tuple(cell) for cell in (changed - margin) // tile} == {(4, 3)}
    lit = np.zeros((8, 8), bool)
    lit[3, 2] = True
    changed = np.argwhere((rgb_board(state, highlight=lit) != crowned).any(axis=2))
    assert {tuple(cell) for cell in (changed - margin) // tile} == {(3, 2)}


def test_drawing_does_not_touch_the_cached_board():
    before = rgb_board(CHECKERS.new(1)[0])
    before[:] = 0
    assert rgb_board(CHECKERS.new(1)[0]).any()
    empty = rgb_board(checkers_position([], []))
    rgb_board(CHECKERS.new(1)[0])
    assert np.array_equal(empty, rgb_board(checkers_position([], [])))


def test_a_picture_too_small_to_see_is_refused():
    with pytest.raises(GameError, match="at least 64"):
        rgb_board(CHECKERS.new(1)[0], size=8)


def test_an_environment_lights_up_the_last_action():
    env = BoardEnv(CHECKERS, render_mode="rgb_array")
    env.reset(seed=0)
    start = env.render()
    assert np.array_equal(start, rgb_board(CHECKERS.new(1)[0]))
    env.step(8)  # 9-13
    lit = np.zeros((8, 8), bool)
    lit[2, 1] = lit[3, 0] = True
    assert np.array_equal(env.render(), rgb_board(env.state, highlight=lit))
