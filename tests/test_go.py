"""Go: published counts, scenes as diagrams, random games on boards of many sizes, and the Game of a size."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from games import go
from games.catalogue import find_game
from games.compiled import njit
from games.go import GO, chain_liberties, game, handicap_points, is_legal, set_board, setup, star_points, stone_at
from games.go_board import POSITIONAL, SIMPLE_KO, SITUATIONAL, stones_taken_by
from games.go_playouts import playout
from games.perft import perft
from games.rules import GameError, State, apply, game_of, hash_key, is_over, returns, to_play
from games.symmetries import action_maps
from tests.go_diagrams import diagram, plain, position
from tests.reference import Go

ROOT = Path(__file__).resolve().parent.parent

# --- counts from outside ----------------------------------------------------------------------------------------------

# Sequences of moves from the empty board, Black first, no suicide, two passes end the game.
START = {
    (2, "simple-ko"): (5, 21, 68, 156, 316, 604, 1168, 2592),
    (2, "chinese"): (5, 21, 68, 156, 316, 604, 1088, 2184),
    (2, "situational"): (5, 21, 68, 156, 316, 604, 1112, 2312),
    (3, "chinese"): (10, 91, 738, 5281, 33384, 179712),
    (4, "chinese"): (17, 273, 4112, 57984, 764016),
    (9, "chinese"): (82, 6643, 531522),
}
# Legal positions (Tromp & Farnebäck, Combinatorics of Go, table 1; OEIS A094777 has the squares).
LEGAL = {(1, 1): 1, (1, 2): 5, (2, 2): 57, (2, 3): 489, (2, 4): 4125, (3, 3): 12675}


@pytest.mark.parametrize(("size", "rules"), START, ids=str)
def test_sequences_from_the_empty_board(size: int, rules: str) -> None:
    state = game(size).new(1, rules)[0]
    expected = START[size, rules]
    assert tuple(perft(state, depth) for depth in range(1, len(expected) + 1)) == expected


@njit
def count_legal_boards(state, stones):
    """Return how many of all colourings of the board are legal; stones: uint8 [area], all 0."""
    count = np.int64(0)
    while True:
        count += set_board(state, stones, 0)
        i = 0
        while i < stones.size and stones[i] == 2:
            stones[i] = 0
            i += 1
        if i == stones.size:
            return count
        stones[i] += 1


@pytest.mark.parametrize(("rows", "columns"), LEGAL, ids=str)
def test_legal_positions_of_small_boards(rows: int, columns: int) -> None:
    for height, width in {(rows, columns), (columns, rows)}:
        state = game(height, width).new(1)[0]
        assert count_legal_boards(state, np.zeros(height * width, np.uint8)) == LEGAL[rows, columns]


@pytest.mark.slow
def test_legal_positions_of_the_4x4_board() -> None:
    assert count_legal_boards(game(4).new(1)[0], np.zeros(16, np.uint8)) == 24_318_165


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 2), (2, 3)], ids=str)
def test_every_legal_position_is_reached_by_play(rows: int, columns: int) -> None:
    start = game(rows, columns).new(1, "simple-ko")[0]
    start.move_limit = 0
    seen = {(diagram(start), 0)}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        for action in game_of(state).legal_actions(state):
            after = state.copy()
            apply(after, action)
            after.passes, after.ko_point = 0, 0  # any position may be passed on, and every ko waited for
            key = (diagram(after), to_play(after))
            if key not in seen:
                seen.add(key)
                waiting.append(after)
    assert len({stones for stones, _ in seen}) == LEGAL[rows, columns]


# --- scenes -----------------------------------------------------------------------------------------------------------

ONLY_SIMPLE_KO = {  # rule sets under which a move that repeats a position, not the last one, is legal
    "chinese": False,
    "tromp-taylor": False,
    "situational": False,
    "new-zealand": False,
    "simple-ko": True,
}
KO = """
    . X O .
    X . X O
    . X O .
    . . . .
"""


def play(state: State, *actions: int) -> str:
    """Play legal actions and return the diagram after them."""
    for action in actions:
        assert is_legal(state, action)
        apply(state, action)
    return diagram(state)


def num_taken(state: State, action: int) -> int:
    """Return how many enemy stones an action would take."""
    if action == int(state.rows) * int(state.columns):
        return 0
    return int(stones_taken_by(state, go.point_of(state, action), int(state.to_move) + 1))


def test_a_ko_is_retaken_only_after_a_move_elsewhere() -> None:
    for rules in GO.rule_sets:
        state = position(KO, rules, to_move=1)
        assert play(state, 5) == plain(
            """
            . X O .
            X O . O
            . X O .
            . . . .
            """
        )
        assert not is_legal(state, 6)
        play(state, 15, 12)
        assert play(state, 6) == plain(
            """
            . X O .
            X . X O
            . X O .
            O . . X
            """
        )
        assert not is_legal(state, 5)
        play(state, 16, 16)  # after two passes nothing is legal
        assert not any(is_legal(state, action) for action in range(17))


def test_a_pass_ends_the_ban_of_a_simple_ko_only() -> None:
    allowed = {}
    for rules in GO.rule_sets:
        state = position(KO, rules, to_move=1)
        play(state, 5, 16, 16)
        assert is_over(state)
        state.passes = 1  # as if the ko had been waited for with moves that changed nothing
        allowed[rules] = is_legal(state, 6)
    assert allowed == ONLY_SIMPLE_KO


def test_positional_superko_forbids_what_situational_allows() -> None:
    """Three moves lead back to the stones of the start, but with the other player to move; the last takes nothing."""
    text = """
        O X .
        . O O
        X O O
    """
    allowed = {}
    for rules in GO.rule_sets:
        state = position(text, rules)
        play(state, 3, 0)
        allowed[rules] = is_legal(state, 6)
        if allowed[rules]:
            assert play(state, 6) == plain(text)
    assert allowed == {
        "chinese": False,
        "tromp-taylor": False,
        "situational": True,
        "new-zealand": True,
        "simple-ko": True,
    }


def test_superko_forbids_a_longer_cycle_that_simple_ko_allows() -> None:
    text = """
        X X O .
        X O . .
        X . O O
    """
    allowed = {}
    for rules in GO.rule_sets:
        state = position(text, rules)
        play(state, 6, 3, 7, 2, 3)
        allowed[rules] = is_legal(state, 2)
        if allowed[rules]:
            assert play(state, 2) == plain(text)
    assert allowed == ONLY_SIMPLE_KO


def test_a_snapback_retakes_more_than_was_taken() -> None:
    state = position(
        """
        X O . O X
        X O . O X
        X X X X X
        . . . . .
        """
    )
    play(state, 2)
    assert num_taken(state, 7) == 1
    assert play(state, 7).startswith("X O . O X\nX O O O X")
    assert chain_liberties(state, 7) == 1
    assert num_taken(state, 2) == 5
    assert play(state, 2) == plain(
        """
        X . X . X
        X . . . X
        X X X X X
        . . . . .
        """
    )
    assert state.captured.tolist() == [1, 5]


def test_a_stone_without_liberties_may_take_one() -> None:
    for rules in GO.rule_sets:
        state = position(". X O .\nX O . .\n. . . .", rules, to_move=1)
        assert play(state, 0) == "O . O .\nX O . .\n. . . ."


def test_two_chains_are_taken_at_once() -> None:
    state = position(
        """
        X O . O X
        X O X O .
        . X . X .
        """
    )
    assert num_taken(state, 2) == 2  # the chain on the right has a liberty more
    state = position(
        """
        X O . O X
        X O X O X
        . X . X .
        """
    )
    assert num_taken(state, 2) == 4
    assert play(state, 2).startswith("X . X . X\nX . X . X")


def test_suicide_of_several_stones() -> None:
    text = """
        O . X
        O O X
        X X X
        . . .
    """
    for rules in GO.rule_sets:
        state = position(text, rules, to_move=1)
        assert is_legal(state, 1) == (rules in ("tromp-taylor", "new-zealand"))
    state = position(text, "tromp-taylor", to_move=1)
    assert num_taken(state, 1) == 0
    assert play(state, 1) == plain(
        """
        . . X
        . . X
        X X X
        . . .
        """
    )
    assert state.captured.tolist() == [0, 4]


def test_suicide_of_one_stone_changes_nothing_and_so_only_superko_forbids_it() -> None:
    text = ". X .\nX . X\n. X ."
    for rules in GO.rule_sets:
        assert is_legal(position(text, rules, to_move=1), 4) == (rules == "new-zealand")  # it is Black's turn then
    for ko_rule, expected in ((SIMPLE_KO, True), (POSITIONAL, False), (SITUATIONAL, True)):
        state = position(text, "tromp-taylor")
        state.ko_rule = ko_rule
        setup(state, (1, 3, 5, 7), (), 1)
        assert is_legal(state, 4) == expected
        if expected:
            assert play(state, 4) == text
            assert to_play(state) == 0


def test_nobody_starts_in_a_seki_and_its_liberties_are_nobodys() -> None:
    state = position(
        """
        O X X . O O X
        O X X . O O X
        O X X X O O X
        O O O O X X X
        . O . O X . X
        O O O O X X .
        """,
        komi=0,
    )
    assert go.area_score(state) == 19 - 21
    for first, second in ((3, 10), (10, 3)):
        after = state.copy()
        play(after, first)
        assert chain_liberties(after, first) == 1
        assert num_taken(after, second) == 8
    play(state, 42, 42)
    assert returns(state) == -1.0


def test_the_game_ends_after_two_passes_or_at_the_move_limit() -> None:
    state = game(3, komi=8.5).new(1)[0]
    play(state, 4, 9)
    assert not is_over(state)
    play(state, 9)
    assert is_over(state)
    assert go.area_score(state) == 0.5
    assert returns(state) == 1.0
    state = game(3, komi=9).new(1)[0]
    state.move_limit = 3
    play(state, 4, 9, 0)
    assert is_over(state)
    assert game_of(state).legal_actions(state) == []
    assert returns(state) == 0.0
    assert state.last_moves.tolist() == [0, 9, 4, -1, -1, -1, -1, -1]


# --- random games -----------------------------------------------------------------------------------------------------

KO_NAMES = {
    "chinese": "positional",
    "tromp-taylor": "positional",
    "situational": "situational",
    "new-zealand": "situational",
    "simple-ko": "simple",
}
SIZES = [(1, 1), (1, 2), (1, 6), (5, 1), (2, 2), (2, 3), (4, 2), (3, 3), (3, 5), (6, 4), (9, 9), (2, 19), (19, 2)]


def random_action(actions: list[int], generator: random.Random) -> int:
    """Return a legal action, the pass (the last) seldom."""
    return generator.choice(actions[:-1]) if len(actions) > 1 and generator.random() < 0.97 else actions[-1]


@pytest.mark.parametrize("rules", KO_NAMES)
@pytest.mark.parametrize(("rows", "columns"), SIZES, ids=str)
def test_random_games_agree_with_the_reference(rows: int, columns: int, rules: str) -> None:
    area = rows * columns
    check_random_games(rows, columns, rules, min(max(1, 2000 // area**2), 200))


@pytest.mark.slow
@pytest.mark.parametrize("rules", KO_NAMES)
@pytest.mark.parametrize(("size", "count"), [(9, 50), (19, 2)])
def test_random_games_on_large_boards_agree_with_the_reference(size: int, count: int, rules: str) -> None:
    check_random_games(size, size, rules, count)


def check_random_games(rows: int, columns: int, rules: str, count: int) -> None:
    """Compare boards, counts, liberties, captures, scores and hashes, at every position of some games."""
    go_game, area = game(rows, columns), rows * columns
    hashes: dict[str, int] = {}
    generator = random.Random(f"{rows} {columns} {rules}")
    taken = 0
    for _ in range(count):
        state = go_game.new(1, rules)[0]
        limit, suicide = int(state.move_limit), bool(state.suicide)
        reference = Go(rows, columns, KO_NAMES[rules], suicide, move_limit=limit)
        while not reference.is_over():
            actions = reference.legal_actions()
            assert go_game.legal_actions(state) == actions
            assert [action for action in range(area + 1) if is_legal(state, action)] == actions
            stones = "".join(".XO"["bw".find(reference.stones.get(divmod(p, columns), "?")) + 1] for p in range(area))
            assert diagram(state).replace(" ", "").replace("\n", "") == stones
            assert hashes.setdefault(stones, int(state.hash)) == state.hash
            for point in generator.sample(range(area), min(area, 3)):
                place = divmod(point, columns)
                assert stone_at(state, point) == ".XO".index(stones[point])
                liberties = reference.liberties(reference.stones, place) if place in reference.stones else 0
                assert chain_liberties(state, point) == liberties
            action = random_action(actions, generator)
            lost = reference.lost[reference.other()]
            captures = num_taken(state, action)
            apply(state, action)
            reference.play(action)
            assert captures == reference.lost[reference.to_play * "w" or "b"] - lost
            assert state.captured.tolist() == [reference.lost["b"], reference.lost["w"]]
            assert go.area_score(state) == reference.score()
            taken += captures
        assert is_over(state)
    assert len(set(hashes.values())) == len(hashes)
    assert taken > 0 or area == 1


@pytest.mark.parametrize("rules", KO_NAMES)
@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (4, 7)], ids=str)
def test_symmetries_commute_with_play(rows: int, columns: int, rules: str) -> None:
    generator = random.Random(1)
    for symmetry, images in enumerate(action_maps(rows, columns)):  # where each action goes
        shape = (rows, columns) if symmetry < 4 else (columns, rows)
        for _ in range(4):
            state, image = game(rows, columns).new(1, rules)[0], game(*shape).new(1, rules)[0]
            while not is_over(state):
                actions = game(rows, columns).legal_actions(state)
                assert sorted(images[actions].tolist()) == game(*shape).legal_actions(image)
                action = random_action(actions, generator)
                apply(state, action)
                apply(image, images[action])
                for point in range(rows * columns):
                    assert stone_at(image, images[point]) == stone_at(state, point)
                assert go.area_score(state) == go.area_score(image)


# --- setting up, and the Game of a size -------------------------------------------------------------------------------


def test_a_set_up_position_plays_like_one_reached_by_moves() -> None:
    played = game(4).new(1)[0]
    play(played, 5, 6, 9, 10)
    state = game(4).new(1)[0]
    setup(state, [5, 9], [6, 10], 0)
    assert diagram(state) == diagram(played)
    assert hash_key(state) == hash_key(played)
    assert state.hash == played.hash
    assert (int(state.ply), to_play(state)) == (0, 0)
    setup(state, [], [], 1)
    assert to_play(state) == 1
    assert state.hash == 0


@pytest.mark.parametrize(
    ("black", "white", "to_move", "message"),
    [
        ([9], [], 0, "set-up stone at 9: allowed are points 0 to 8"),
        ([-1], [], 0, "set-up stone at -1: allowed are points 0 to 8"),
        ([4], [4], 0, "two set-up stones at 4"),
        ([0], [1, 3], 0, "a chain of the set-up stones has no liberty"),
        ([0], [1], 2, "2 to move: allowed are 0 (Black) and 1 (White)"),
    ],
)
def test_a_bad_set_up_is_refused_and_changes_nothing(
    black: list[int], white: list[int], to_move: int, message: str
) -> None:
    state = game(3).new(1)[0]
    play(state, 4)
    before = state.tobytes()
    with pytest.raises(GameError) as error:
        setup(state, black, white, to_move)
    assert str(error.value) == message
    assert state.tobytes() == before


def test_handicap_points() -> None:
    def names(size: int, stones: int) -> list[str]:
        return [f"{'ABCDEFGHJKLMNOPQRST'[p % size]}{size - p // size}" for p in handicap_points(size, stones)]

    assert names(19, 2) == ["D4", "Q16"]
    assert names(19, 3) == ["D4", "Q16", "D16"]
    assert names(19, 5) == ["D4", "Q16", "D16", "Q4", "K10"]
    assert names(19, 6) == ["D4", "Q16", "D16", "Q4", "D10", "Q10"]
    assert names(19, 7) == ["D4", "Q16", "D16", "Q4", "D10", "Q10", "K10"]
    assert names(19, 8) == ["D4", "Q16", "D16", "Q4", "D10", "Q10", "K4", "K16"]
    assert names(19, 9) == ["D4", "Q16", "D16", "Q4", "D10", "Q10", "K4", "K16", "K10"]
    assert names(9, 4) == ["C3", "G7", "C7", "G3"]
    for size, most in ((7, 4), (8, 4), (9, 9), (18, 4)):
        assert len(set(handicap_points(size, most))) == most
        with pytest.raises(
            GameError, match=f"a fixed handicap of {most + 1} stones on {size}x{size}: allowed are 2 to"
        ):
            handicap_points(size, most + 1)
    with pytest.raises(GameError, match="a fixed handicap of 2 stones on 6x6: there is none"):
        handicap_points(6, 2)


def test_star_points() -> None:
    def places(rows: int, columns: int) -> set[tuple[int, int]]:
        return {divmod(point, columns) for point in star_points(rows, columns)}

    assert places(5, 5) == places(6, 19) == set()
    assert places(7, 7) == {(2, 2), (2, 4), (4, 2), (4, 4)}
    assert places(8, 8) == {(2, 2), (2, 5), (5, 2), (5, 5)}
    assert places(9, 9) == {(2, 2), (2, 6), (4, 4), (6, 2), (6, 6)}
    assert places(13, 13) == {(3, 3), (3, 9), (6, 6), (9, 3), (9, 9)}
    assert places(7, 9) == {(2, 2), (2, 6), (4, 2), (4, 6)}
    assert places(9, 19) == {(2, 3), (2, 15), (4, 9), (6, 3), (6, 15)}
    assert star_points(19, 19) == set(handicap_points(19, 9))


def test_every_size_is_one_game() -> None:
    assert game(9) is game(9, 9) is game(rows=9, columns=9, komi=7.5) is find_game("go-9x9")
    assert find_game("go") is GO is game(19) is find_game("go-19x19")
    assert game(9, komi=6.5) is game(9, komi=6.5) is not game(9)
    rectangle = find_game("go-7x5")
    assert (rectangle.name, rectangle.family) == ("go-7x5", "go")
    assert (rectangle.num_actions, rectangle.mask_words) == (36, 1)
    assert rectangle.planes_shape[1:] == (7, 5)
    assert game_of(rectangle.new(3)) is rectangle
    assert GO.mask_words == 6
    assert {name: int(game(5, komi=-3.5).new(1)[0].komi2) for name in GO.rule_sets} == dict.fromkeys(GO.rule_sets, -7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "a Go board of 0x0: allowed are 1x1 to 19x19"),
        ((9, 20), "a Go board of 9x20: allowed are 1x1 to 19x19"),
        ((9, 9, 7.25), "komi 7.25: allowed are multiples of 0.5 from -1000 to 1000"),
        ((9, 9, "x"), "komi x: allowed are multiples of 0.5 from -1000 to 1000"),
        ((9, 9, None), "komi None: allowed are multiples of 0.5 from -1000 to 1000"),
        ((9, 9, float("nan")), "komi nan: allowed are multiples of 0.5 from -1000 to 1000"),
    ],
)
def test_what_is_no_go_board_is_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(GameError) as error:
        game(*arguments)  # type: ignore[arg-type]
    assert str(error.value) == message


def test_a_name_of_no_size_is_refused() -> None:
    with pytest.raises(GameError, match="a Go board of 20x20: allowed are 1x1 to 19x19"):
        find_game("go-20x20")
    with pytest.raises(GameError, match="no game 'go-9'; there are: checkers, connect_four, go"):
        find_game("go-9")


UNCOMPILED = """
import numpy as np
from games.go import area_score, game
from games.go_playouts import playout
state = game(3, 4).new(1, "tromp-taylor")[0]
playout(state, np.array([5], np.uint64))
print(int(state.ply), int(state.hash), area_score(state), state.captured.tolist())
"""


def test_kernels_say_the_same_without_the_compiler() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}  # random numbers wrap
    result = subprocess.run(
        [sys.executable, "-c", UNCOMPILED], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    state = game(3, 4).new(1, "tromp-taylor")[0]
    playout(state, np.array([5], np.uint64))
    said = f"{int(state.ply)} {int(state.hash)} {go.area_score(state)} {state.captured.tolist()}\n"
    assert result.stdout == said
    assert state.captured.any()
