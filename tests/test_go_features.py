"""Planes of Go: against slow references over random games, diagrams whose ladders are known, and what batches hold."""

from __future__ import annotations

import numpy as np
import pytest

from games import go
from games.compiled import NDArray
from games.go_features import FEATURES, feature_set, write_ranks
from games.record_batches import PositionReader
from games.record_formats import GameRecord, format_of
from games.records import Positions, RecordsError, pack
from games.rules import GameError, State, apply
from games.symmetries import action_maps, turn
from tests.go_features_reference import planes as slow_planes
from tests.reference import Go
from tests.test_records import go_files, packed

RULES = {"simple-ko": ("simple", False), "chinese": ("positional", False), "tromp-taylor": ("positional", True)}


def encode(state: State, name: str, dtype: type = np.uint8) -> NDArray:
    """Return a position's planes, written over what was there."""
    features = FEATURES[name]
    planes = np.full((1, features.num_planes, int(state.rows), int(state.columns)), 77, dtype)
    features.encode(np.atleast_1d(state), planes)
    return planes[0]


@pytest.mark.parametrize(("rows", "columns", "rules", "num_games"), [
    (1, 1, "chinese", 1), (2, 3, "tromp-taylor", 6), (5, 5, "chinese", 2), (5, 5, "tromp-taylor", 2),
    (7, 4, "simple-ko", 2), (9, 9, "simple-ko", 2),
])  # fmt: skip
def test_planes_are_those_of_a_slow_reference(rows: int, columns: int, rules: str, num_games: int) -> None:
    ko, suicide = RULES[rules]
    generator = np.random.default_rng(rows * columns)
    seen = {name: np.zeros(features.num_planes, bool) for name, features in FEATURES.items()}
    for _ in range(num_games):
        slow = Go(rows, columns, ko, suicide)
        state = go.game(rows, columns).new(1, rules)[0]
        while not slow.is_over() and len(slow.moves) < 2 * rows * columns:
            legal = slow.legal_actions()
            board_moves = legal[:-1]
            action = int(generator.choice(board_moves if board_moves and generator.random() < 0.97 else legal))
            slow.play(action)
            apply(state, action)
            if rows == 9 and len(slow.moves) % 7:
                continue
            for name in FEATURES:
                expected, found = slow_planes(slow, name), encode(state, name)
                wrong = np.argwhere(expected != found)
                assert not len(wrong), f"{name} after {slow.moves}: plane, row, column {wrong[0]}"
                seen[name] |= found.any(axis=(1, 2))
    if rows == 9:
        assert all(seen[name][:-1].mean() > 0.75 for name in FEATURES if name != "maddison12")


def test_both_types_of_planes_are_equal() -> None:
    states = random_states(9, 20)
    for name, features in FEATURES.items():
        shape = (len(states), features.num_planes, 9, 9)
        as_bytes, as_floats = np.full(shape, 7, np.uint8), np.full(shape, 7, np.float32)
        features.encode(states, as_bytes)
        features.encode(states, as_floats)
        assert (as_bytes == as_floats).all() and as_bytes.max() == 1
        assert all((as_bytes[i] == encode(states[i], name)).all() for i in range(len(states)))


def random_states(size: int, count: int, seed: int = 0) -> NDArray:
    game = go.game(size)
    generator = np.random.default_rng(seed)
    states = game.new(count, "simple-ko")
    for i in range(count):
        for _ in range(int(generator.integers(size * size))):
            legal = game.legal_actions(states[i])
            apply(states[i], int(generator.choice(legal[:-1] or legal)))
    return states


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "history12"])
def test_planes_turn_with_the_board(name: str) -> None:
    """A reader of ladders must not depend on which of two liberties it tries first."""
    for state in random_states(9, 25, seed=3):
        stones = [go.stone_at(state, point) for point in range(81)]
        for symmetry, image in enumerate(action_maps(9, 9)):
            turned = go.game(9).new(1, "simple-ko")[0]
            plain = go.game(9).new(1, "simple-ko")[0]
            for board, points in ((turned, image), (plain, range(81))):
                black, white = ([int(points[p]) for p in range(81) if stones[p] == colour] for colour in (1, 2))
                go.setup(board, black, white, int(state.to_move))
            assert (encode(turned, name) == turn(encode(plain, name), symmetry)).all()


# --- ladders, drawn ---------------------------------------------------------------------------------------------------


def board_of(diagram: str, to_move: int = 0) -> State:
    """Return a position drawn with X for Black, O for White, and any other mark for an empty point."""
    rows = diagram.split()
    state = go.game(len(rows), len(rows[0])).new(1)[0]
    marks = "".join(rows)
    black, white = ([i for i, mark in enumerate(marks) if mark == stone] for stone in "XO")
    go.setup(state, black, white, to_move)
    return state


def points(plane: NDArray) -> set[int]:
    return set(np.flatnonzero(plane).tolist())


def marked(diagram: str, mark: str) -> set[int]:
    return {i for i, found in enumerate("".join(diagram.split())) if found == mark}


# Black to move: c where a move catches in a ladder, e where one saves a chain of Black's from atari, b both.
DIAGRAMS = {
    "a ladder to the edge": """
        .........
        .........
        .........
        ....c....
        ...XO....
        ....XX...
        .........
        .........
        .........""",
    "a white stone on its way breaks it": """
        .........
        .......O.
        .........
        .........
        ...XO....
        ....XX...
        .........
        .........
        .........""",
    "a black one does not": """
        .........
        .......X.
        .........
        ....c....
        ...XO....
        ....XX...
        .........
        .........
        .........""",
    "of two liberties one drives the prey to the edge": """
        .......
        .......
        ...X...
        ..XOc..
        .......""",
    "three liberties are too many": """
        .....
        ..X..
        ..O..
        .....
        .....""",
    "one liberty is no ladder": """
        .....
        ..X..
        .XO..
        ..X..
        .....""",
    "in the corner either side catches": """
        Oc...
        c....
        .....""",
    "the prey takes a stone that holds it": """
        .........
        .........
        .........
        ...e.....
        ..OXO....
        ...OXX...
        .........
        .........
        .........""",
    "a chain in atari runs into the open": """
        .....
        ..O..
        .OXe.
        ..O..
        .....""",
    "or is lost at the edge": """
        .....
        .....
        ..OO.
        .OX..""",
    "or takes what holds it": """
        eOXX.
        .XOX.
        .OO..
        .....""",
}


@pytest.mark.parametrize("name", DIAGRAMS)
def test_ladders_drawn(name: str) -> None:
    diagram = DIAGRAMS[name]
    found = encode(board_of(diagram), "alphago13")
    assert points(found[44]) == marked(diagram, "c") | marked(diagram, "b"), "captures"
    assert points(found[45]) == marked(diagram, "e") | marked(diagram, "b"), "escapes"
    assert points(encode(board_of(diagram), "maddison12")[26]) == points(found[44])
    # The same with the colours exchanged, White to move.
    other = board_of(diagram.translate(str.maketrans("XO", "OX")), to_move=1)
    assert (encode(other, "alphago13") == found).all()


# --- in batches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEATURES)
def test_readers_write_the_sets(name: str) -> None:
    """The rank planes are those of the record's players; the rest is what encode writes."""
    records = packed(go_files(8))
    reader = PositionReader(Positions(records), name, np.uint8)
    numbers = np.arange(0, len(reader.positions), 5)
    batch = reader.read(numbers, numbers % 8)
    states = records.start_states()
    first = FEATURES[name].rank_plane
    for i in range(len(numbers)):
        state = states[records.start[batch.games[i]]].copy()
        for action in records.actions(int(batch.games[i]))[: batch.plies[i]].tolist():
            apply(state, action)
        expected = turn(encode(state, name), int(numbers[i] % 8)).copy()
        if first >= 0:
            expected[first : first + 9] = 0
            expected[first + (8 if batch.movers[i] else 2)] = 1  # White is a professional, Black 3 dan
        assert (batch.planes[i] == expected).all()


def test_ranks_that_are_no_dan_have_no_plane() -> None:
    planes = np.full((4, 10, 2, 2), 5, np.float32)
    write_ranks(np.array([0, -4, 1, 19], np.int8), planes, 1)
    assert (planes[:, 0] == 5).all() and planes[:, 1:].sum(axis=(1, 2, 3)).tolist() == [0, 0, 4, 4]
    assert planes[2, 1].all() and planes[3, 9].all()


def test_unknown_sets_are_refused() -> None:
    with pytest.raises(GameError, match="no features 'x'; there are: observe, clark-storkey, history12, maddison12"):
        feature_set("x")
    found = [record for record in format_of("checkers").read("a.pdn", b"1. 11-15 *") if isinstance(record, GameRecord)]
    with pytest.raises(RecordsError, match="features 'history12' are of Go; checkers is read with observe"):
        PositionReader(Positions(pack("checkers", "a.pdn", found)), "history12")
