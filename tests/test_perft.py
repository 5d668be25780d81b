"""Counts of whole turns: published ones, and golden ones from positions full of kings and long jumps.

The golden counts were checked with pydraughts to depth 5. They are checked again with it to depth 4, and positions of
random games with open_spiel, wherever these are installed.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.perft import perft
from games.rules import apply
from tests import reference
from tests.reference import Checkers, ConnectFour, TicTacToe, checkers_record, open_spiel_name
from tests.tic_tac_toe import TIC_TAC_TOE

# OEIS A133046 gives the same numbers up to depth 11: from 12 on it joins routes that capture the same pieces.
CHECKERS_START = (7, 49, 302, 1469, 7361, 36768, 179740, 845931, 3963680, 18391564, 85242128)
CONNECT_FOUR_START = (7, 49, 343, 2401, 16807, 117649, 7**7 - 7, 5673234, 39394572)
TIC_TAC_TOE_START = (9, 72, 504, 3024, 15120, 54720, 148176, 200448, 127872)  # all games by length: 255,168 in the end

POSITIONS = {
    "kings and men on both sides": (
        "b",
        """
        . b . . . B . .
        . . w . . . b .
        . . . . . w . .
        b . . . W . . .
        . b . . . . . w
        . . w . w . . .
        . . . B . w . .
        . . W . . . . .
        """,
        (2, 3, 7, 13, 38, 153, 408),
    ),
    "a king jumps in a circle": (
        "w",
        """
        . . . . . . . .
        . . b . b . . .
        . . . . . . . .
        . . b . b . . .
        . . . W . . . .
        . . . . . . . .
        . . . B . b . .
        . . w . . . . .
        """,
        (3, 11, 30, 81, 278, 1036, 4052),
    ),
    "nine jumps in one turn": (
        "b",
        """
        . B . . . . . .
        . . w . w . w .
        . . . . . . . .
        . . w . w . w .
        . . . . . . . .
        . . w . w . w .
        . . . . . . . .
        . . . . . . . .
        """,
        (9, 28, 56, 464, 1312, 10353, 23354),
    ),
    "men crowned by jumps": (
        "w",
        """
        . . . . . . . .
        . . b . b . . .
        . . . w . . . .
        . . b . . . . .
        . w . . . . . .
        . . . . b . b .
        . . . w . . . .
        w . . . . . . .
        """,
        (3, 6, 8, 32, 126, 458, 2064),
    ),
    "three kings against two": (
        "b",
        """
        . B . . . . . .
        . . . . . . . .
        . B . . . . . .
        . . . . . . . .
        . . . . . W . .
        . . . . . . . .
        . . . . . . . W
        . . B . . . . .
        """,
        (8, 48, 339, 1849, 14267, 85582, 643140),
    ),
    "middle game": (
        "w",
        """
        . b . b . b . .
        b . . . b . b .
        . b . b . . . b
        . . b . . . w .
        . . . w . . . .
        w . w . w . w .
        . w . . . w . .
        w . . . w . w .
        """,
        (9, 22, 105, 331, 1574, 7417, 35416),
    ),
}


def test_counts_from_the_start_of_checkers_are_the_published_ones() -> None:
    start = CHECKERS.new(1)[0]
    assert tuple(perft(start, depth) for depth in range(1, 12)) == CHECKERS_START
    assert perft(start, 0) == 1


def test_counts_from_the_start_of_the_other_games() -> None:
    for game, counts in ((CONNECT_FOUR, CONNECT_FOUR_START), (TIC_TAC_TOE, TIC_TAC_TOE_START)):
        start = game.new(1)[0]
        assert tuple(perft(start, depth) for depth in range(1, 10)) == counts


@pytest.mark.parametrize(("mover", "diagram", "counts"), POSITIONS.values(), ids=POSITIONS)
def test_counts_from_positions_with_kings_and_long_jumps(mover: str, diagram: str, counts: tuple[int, ...]) -> None:
    state = checkers_record(Checkers("endless", diagram, mover), "endless")
    assert tuple(perft(state, depth) for depth in range(1, len(counts) + 1)) == counts


def test_slow_references_count_the_same() -> None:
    assert [reference.perft(Checkers(), depth) for depth in range(1, 5)] == [*CHECKERS_START[:4]]
    assert [reference.perft(ConnectFour(), depth) for depth in range(1, 5)] == [*CONNECT_FOUR_START[:4]]
    assert [reference.perft(TicTacToe(), depth) for depth in range(1, 5)] == [*TIC_TAC_TOE_START[:4]]
    for mover, diagram, counts in POSITIONS.values():
        assert [reference.perft(Checkers("endless", diagram, mover), depth) for depth in (1, 2, 3)] == [*counts[:3]]


@pytest.mark.parametrize(("mover", "diagram", "counts"), POSITIONS.values(), ids=POSITIONS)
def test_pydraughts_counts_the_same(mover: str, diagram: str, counts: tuple[int, ...]) -> None:
    draughts = pytest.importorskip("draughts", reason="pydraughts is not installed")
    squares = [piece for row, line in enumerate(diagram.split("\n")[1:9]) for piece in line.split()[(row + 1) % 2 :: 2]]

    def side(colour: str) -> str:
        return ",".join("K" * piece.isupper() + str(s) for s, piece in enumerate(squares, 1) if piece.lower() == colour)

    def count(depth: int) -> int:
        moves = board.legal_moves()
        if depth == 1:
            return len(moves)
        total = 0
        for move in moves:
            board.push(move)
            total += count(depth - 1)
            board.pop()
        return total

    board = draughts.Board(variant="english", fen=f"{mover.upper()}:W{side('w')}:B{side('b')}")
    assert [count(depth) for depth in range(1, 5)] == [*counts[:4]]


def test_open_spiel_counts_the_same_in_positions_of_random_games() -> None:
    """open_spiel sets up no position, so both play there; its draw rule stays out of reach of the count."""
    pyspiel = pytest.importorskip("pyspiel", reason="open_spiel is not installed")
    game = pyspiel.load_game("checkers")
    generator = random.Random(8)
    kings = 0

    def count(theirs: object, depth: int) -> int:
        total = 0
        for action in theirs.legal_actions():
            after = theirs.child(action)
            if after.current_player() == theirs.current_player():
                total += count(after, depth)
            else:
                total += 1 if depth == 1 else count(after, depth - 1)
        return total

    for _ in range(40):
        state, theirs = CHECKERS.new(1, "open_spiel")[0], game.new_initial_state()
        for _ in range(generator.randrange(20, 120)):
            if theirs.is_terminal() or state.quiet_plies > 30:
                break
            action = generator.choice(CHECKERS.legal_actions(state))
            (chosen,) = (
                a for a in theirs.legal_actions() if theirs.action_to_string(a) == open_spiel_name(state, action)
            )
            theirs.apply_action(chosen)
            apply(state, action)
        kings += int(np.uint32(state.kings)).bit_count()
        assert [perft(state, depth) for depth in (1, 2, 3)] == [count(theirs, depth) for depth in (1, 2, 3)]
    assert kings > 40
