"""Openings: the three-move deck against outside lists, random lines, and the choices of the command line."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest

from games import go
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.notation import play_turn
from games.openings import (
    Opening,
    OpeningError,
    default_openings,
    parse_openings,
    random_openings,
    three_move_openings,
)
from games.pdn import fen_name, parse_fen
from games.rules import Game, is_over

ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "checkers" / "acf-archive.txt"


def final_fen(opening: Opening) -> str:
    state = CHECKERS.new(1)[0]
    for turn in opening.turns:
        play_turn(state, turn)
    return fen_name(state)


def test_the_ballots_are_legal_and_distinct():
    openings = three_move_openings()
    assert len(openings) == len({opening.name for opening in openings}) == 174
    assert len({final_fen(opening) for opening in openings}) == 174
    assert sum(opening.is_barred for opening in openings) == 18
    assert openings[7] == Opening("9-13 22-18 11-15", ((8,), (117,), (10,)))


def test_the_ballots_are_those_of_pydraughts():
    package = importlib.util.find_spec("draughts")
    if package is None:
        pytest.skip("pydraughts is not installed")
    lists = json.loads(
        (Path(package.submodule_search_locations[0]) / "ballot_files" / "3move_english.json").read_text()
    )
    ours = three_move_openings()
    assert [final_fen(opening) for opening in ours] == [fen_name(parse_fen(fen)[0]) for fen in lists["all"].values()]
    # Its list of lost ballots has number 13 twice and lacks number 26, which the federation bars.
    allowed = {int(name[:3]) for name in lists["standard"]}
    assert {i for i, opening in enumerate(ours, start=1) if opening.is_barred == (i in allowed)} == {26}


def test_tournaments_played_the_deck():
    if not ARCHIVE.exists():
        pytest.skip("no game archive beside this checkout")
    played: Counter[str] = Counter()
    for line in ARCHIVE.read_text().splitlines():
        squares = [[int(square) for square in move.split("-")] for move in line.split("\t")[0].split()[:3]]
        ends = [(4 * (i // 4) + 4 - i % 4, 4 * (j // 4) + 4 - j % 4) for i, *_, j in squares]
        played[" ".join(f"{i}-{j}" for i, j in ends)] += 1
    counts = {opening: played[opening.name.replace("x", "-")] for opening in three_move_openings()}
    assert sum(counts.values()) > 9000
    assert all(count == 0 for opening, count in counts.items() if opening.is_barred)
    assert sum(count > 0 for count in counts.values()) > 140


@pytest.mark.parametrize(("game", "plies"), [(CHECKERS, 3), (CHECKERS, 8), (CONNECT_FOUR, 4), (CONNECT_FOUR, 20)])
def test_random_openings_are_distinct_open_and_repeatable(game: Game, plies: int):
    openings = random_openings(game, plies, count=30, seed=7)
    reached = set()
    for opening in openings:
        assert len(opening.turns) == plies == len(opening.name.split())
        state = game.new(1)[0]
        for turn in opening.turns:
            play_turn(state, turn)
        assert not is_over(state)
        reached.add(state.tobytes())
    assert len(reached) == len({opening.name for opening in openings}) == 30
    assert random_openings(game, plies, count=10, seed=7) == openings[:10]
    assert random_openings(game, plies, count=30, seed=8) != openings


def test_random_openings_stop_where_there_are_no_more():
    assert {opening.name for opening in random_openings(CONNECT_FOUR, 1, count=30, seed=0)} == set("1234567")
    assert random_openings(CONNECT_FOUR, 42, count=1, seed=0) == []


def test_choices_of_the_command_line():
    deck = {opening for opening in three_move_openings() if not opening.is_barred}
    chosen = parse_openings("three-move", CHECKERS, count=500, seed=1)
    assert set(chosen) == deck and len(chosen) == 156
    assert parse_openings("three-move", CHECKERS, count=10, seed=1) == chosen[:10]
    assert parse_openings("three-move", CHECKERS, count=500, seed=2) != chosen
    assert parse_openings("random:4", CONNECT_FOUR, 5, seed=3) == random_openings(CONNECT_FOUR, 4, 5, seed=3)
    assert [opening.turns for opening in parse_openings("none", CHECKERS, count=10, seed=1)] == [()]


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        (CHECKERS, "three-move"),
        (CONNECT_FOUR, "random:4"),
        (go.game(7), "corners"),
        (go.game(9, 6), "random:2"),
        (go.game(1), "none"),  # two passes end it
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_board_has_openings_of_its_own(game: Game, expected: str):
    assert default_openings(game) == expected
    assert parse_openings(expected, game, count=2, seed=0)


@pytest.mark.parametrize(
    ("text", "game", "message"),
    [
        ("two-move", CHECKERS, "no openings 'two-move' for checkers; there are: none, three-move, random:K"),
        ("three-move", CONNECT_FOUR, "no openings 'three-move' for connect_four; there are: none, random:K"),
        ("random", CHECKERS, "no openings 'random' for checkers"),
        ("random:0", CHECKERS, "no openings 'random:0' for checkers"),
        ("random:101", CHECKERS, "no openings 'random:101' for checkers"),
        ("random:42", CONNECT_FOUR, "no line of 42 turns of connect_four leaves the game open"),
    ],
)
def test_wrong_choices_say_what_there_is(text: str, game: Game, message: str):
    with pytest.raises(OpeningError, match=message):
        parse_openings(text, game, count=3, seed=0)
