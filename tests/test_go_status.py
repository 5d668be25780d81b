"""Dead stones at the end of a game: scenes as diagrams, and finished games beside GNU Go's judgement."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from games import go
from games.go_board import BLACK, WHITE
from games.go_status import (
    Region,
    dead_stones,
    expected_owners,
    judge,
    regions,
    score_name,
    settle,
    unconditionally_alive,
)
from games.notation import read_vertex, vertex_name
from games.rules import State, apply
from tests.go_diagrams import position

ROOT = Path(__file__).resolve().parent.parent
FINISHED_GAMES = ROOT / "tests" / "data" / "go-finished-9x9.txt"


def names(state: State, points: frozenset[int] | tuple[int, ...]) -> set[str]:
    return {vertex_name(point, int(state.rows), int(state.columns)) for point in points}


TWO_EYES = """
    . X . X O . .
    X X X X O . .
    O O O O O . X
    . . . . . . .
    . . . . . . .
"""


def test_a_stone_that_cannot_live_is_dead() -> None:
    state = position(TWO_EYES, komi=0)
    status = judge(state)
    assert names(state, status.dead) == {"G3"}
    assert status.score == 8 - 27
    assert status.name_of(0) == "black_territory" and status.name_of(1) == "alive"


def test_seki() -> None:
    """Whoever plays into the shared liberties is taken: nobody has territory. A chain with an eye is in no seki."""
    status = settle(position("X . O \n X . O", komi=0), frozenset())
    assert status.chains_in_seki == status.chains_alive and status.chains("alive") == ()
    assert status.name_of(0) == "seki" and status.score == 0
    assert judge(position(TWO_EYES)).chains_in_seki == ()


def test_regions_partition_the_board() -> None:
    generator = np.random.default_rng(2)
    for _ in range(50):
        cells = generator.integers(0, 3, 42)
        found = regions(cells, 7)
        assert sorted(point for region in found for point in region.points) == list(range(42))
        for region in found:
            assert {int(cells[point]) for point in region.points} == {region.content}
            assert all(int(cells[point]) != region.content for point in region.beside)


def test_two_eyes_are_unconditional_life_and_one_is_not() -> None:
    state = position(TWO_EYES, komi=0)
    cells = np.array([int(go.stone_at(state, point)) for point in range(35)])
    black = unconditionally_alive(cells, 7, BLACK)
    assert {chain.points[0] for chain in black} == {1}, "the lone stone is not"
    assert not unconditionally_alive(cells, 7, WHITE), "one big space is one eye"


def test_a_chain_is_dead_as_a_whole() -> None:
    state = position("X X O . \n . O O . ", komi=0)
    status = settle(state, frozenset({0}))
    assert [chain.points for chain in status.chains_dead] == [(0, 1)]
    assert status.score == -8
    assert status.territory(-1) == [0, 1, 3, 4, 7]


def test_nobodys_points() -> None:
    state = position("X . O \n X . O", komi=0)
    status = settle(state, frozenset())
    assert status.score == 0 and status.territory(0) == [1, 4]
    assert status.name_of(1) == "dame"


@pytest.mark.parametrize(("score", "name"), [(0.0, "0"), (3.5, "B+3.5"), (-12.0, "W+12")])
def test_score_name(score: float, name: str) -> None:
    assert score_name(score) == name


def finished_games() -> list[tuple[State, frozenset[int]]]:
    games = []
    for line in FINISHED_GAMES.read_text().splitlines():
        if not line.startswith("#"):
            moves, _, dead = line.partition(" | ")
            state = go.game(9, komi=7.5).new(1)[0]
            for name in moves.split():
                action = read_vertex(name, 9, 9)
                assert action is not None and go.is_legal(state, action)
                apply(state, action)
            points = [read_vertex(name, 9, 9) for name in dead.split()]
            games.append((state, frozenset(point for point in points if point is not None)))
    return games


def test_finished_games_are_scored_as_by_gnugo() -> None:
    games = finished_games()
    assert len(games) == 60
    judged = [judge(state) for state, _ in games]
    scores = [(status.score, settle(state, dead).score) for status, (state, dead) in zip(judged, games, strict=True)]
    assert sum(status.dead != dead for status, (_, dead) in zip(judged, games, strict=True)) <= 3
    assert sum((ours > 0) != (theirs > 0) for ours, theirs in scores) <= 1
    raw = sum((go.area_score(state) > 0) != (theirs > 0) for (state, _), (_, theirs) in zip(games, scores, strict=True))
    assert raw >= 10, "raw area would be wrong in many of them"


UNCOMPILED = """
from games.go import game
from games.go_status import expected_owners
print(expected_owners(game(1, 2).new(1)[0], 300).tolist())
"""


def test_many_games_are_played_without_the_compiler_too() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}  # random numbers wrap
    result = subprocess.run(
        [sys.executable, "-c", UNCOMPILED], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout == f"{expected_owners(go.game(1, 2).new(1)[0], 300).tolist()}\n"


def test_the_word_is_the_same_every_time() -> None:
    state = finished_games()[0][0]
    owners = expected_owners(state, 200, seed=3)
    assert np.array_equal(owners, expected_owners(state, 200, seed=3))
    assert np.abs(owners).max() <= 1
    assert dead_stones(state, owners) == dead_stones(state, expected_owners(state, 1000, seed=4))
    assert isinstance(judge(state).chains_alive[0], Region)
