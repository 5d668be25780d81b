"""`bench.py regret`: what moves cost beside a deeper search, in a game that is solved; and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agents.analysis import Analysis, MoveAnalysis
from benchmarks import bench, regret
from benchmarks.timing import BenchError
from games.connect_four import CONNECT_FOUR
from games.rules import RESIGN, apply

ARGUMENTS = ["--game", "connect_four", "--positions", "12", "--reference", "rollouts:visits=2000"]


def test_random_moves_cost_more_than_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["regret", "rollouts:visits=300", "random", *ARGUMENTS, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    search, lots = document["players"]
    assert document["positions"] == 12
    assert search["more_than_first"] == search["more_margin"] == 0.0
    assert 0.0 <= search["regret"] < lots["regret"]
    assert lots["regret"] == pytest.approx(search["regret"] + lots["more_than_first"], abs=1e-4)
    assert 0.0 < lots["no_regret"] <= search["no_regret"] <= 1.0
    assert bench.main(["regret", "random", *ARGUMENTS]) == 0
    assert "above the first" in capsys.readouterr().out


def test_positions_lie_a_turn_after_those_before() -> None:
    class First:
        """Plays the first legal column."""

        def act(self, states):
            return [Analysis(CONNECT_FOUR.legal_actions(state)[0]) for state in states]

    before, positions = regret.walked_positions(CONNECT_FOUR, First(), 9, seed=3)  # type: ignore[arg-type]
    for one, other in zip(before.copy(), positions, strict=True):
        for _ in range(regret.TURN):
            apply(one, CONNECT_FOUR.legal_actions(one)[0])
        assert one == other
    assert len(np.unique(positions)) > 2


def test_a_resignation_ends_a_game_and_is_no_move() -> None:
    class Resigns:
        """Plays the first legal column, and resigns with its eighth stone."""

        def new_game(self):
            pass

        def act(self, states):
            return [Analysis(CONNECT_FOUR.legal_actions(s)[0] if s["discs"] < 14 else RESIGN) for s in states]

    before, positions = regret.walked_positions(CONNECT_FOUR, Resigns(), 9, seed=3)  # type: ignore[arg-type]
    assert positions["discs"].max() < 14
    late = CONNECT_FOUR.new(1)
    late["discs"] = 14
    with pytest.raises(BenchError, match="a player resigned"):
        regret.choose(Resigns(), before[:1], late)  # type: ignore[arg-type]


def test_moves_seldom_tried_are_worth_no_more_than_the_worst() -> None:
    class Judge:
        """Says the same of every position."""

        def act(self, states):
            tried = ((0, 500, 0.5), (1, 30, -0.25), (2, 3, 0.9), (3, 0, None))
            return [Analysis(0, 0.5, moves=tuple(MoveAnalysis(a, n, 0.1, v) for a, n, v in tried)) for _ in states]

    states = CONNECT_FOUR.new(2)
    apply(states[1], 0)
    worths = regret.move_worths(states, Judge(), 7)  # type: ignore[arg-type]
    assert worths[0].tolist() == [0.5, -0.25, -0.25, -0.25] + [-np.inf] * 3
    assert worths[1].tolist() == [-0.5, 0.25, -0.5, -0.5] + [-np.inf] * 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nobody", *ARGUMENTS], "no player and no model file"),
        (["random", *ARGUMENTS[:4], "--reference", "random"], "gives no values of moves"),
        (["random", *ARGUMENTS, "--positions", "0"], "--positions 0 is less than 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["regret", *arguments]) == 2
    assert expected in capsys.readouterr().err
