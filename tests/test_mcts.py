"""The tree search: against a slow reference, on solved positions, and what must hold of every tree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from agents.mcts.search import LeafEvaluator, SearchSettings, TreeLimits, TreeSearch
from agents.mcts.tree import NO_NODE
from games import go
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.pdn import parse_fen
from games.rules import Game, States, apply, is_over, to_play
from tests.mcts_reference import Node, ReferenceSearch, hashed_evaluator
from tests.tic_tac_toe import TIC_TAC_TOE

GO_4 = go.game(4, komi=0.5)
GAMES = {"tic_tac_toe": TIC_TAC_TOE, "connect_four": CONNECT_FOUR, "checkers": CHECKERS, "go": GO_4}
every_game = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)


def random_positions(game: Game, count: int, plies: int, seed: int = 0) -> States:
    """Return positions [count] after up to so many random actions, none of them over."""
    generator = np.random.default_rng(seed)
    states = game.new(count)
    for i in range(count):
        for _ in range(generator.integers(plies + 1)):
            after = states[i].copy()
            apply(after, int(generator.choice(game.legal_actions(after))))
            if is_over(after):
                break
            states[i] = after
    return states


def flat(priors: list[float], value: float = 0.0) -> LeafEvaluator:
    """Return an evaluator that says the same of every position."""
    logits = np.log(np.array(priors, np.float32))

    def evaluate(states: States) -> tuple[Any, Any]:
        return np.tile(logits, (len(states), 1)), np.full(len(states), value, np.float32)

    return evaluate


def found(search: TreeSearch, t: int = 0) -> tuple[Any, ...]:
    """Return what there is to compare of a tree."""
    root = search.root(t)
    return (root.visits.tolist(), root.values.tolist(), root.lower.tolist(), root.upper.tolist(), root.priors.tolist())


def check_tree(search: TreeSearch, t: int = 0) -> None:
    """Assert that visits add up, links agree, and bounds and values are those of the children."""
    forest = search._forest
    tree, nodes, edges, priors = forest.trees[t], forest.nodes[t], forest.edges[t], forest.priors[t]
    assert nodes["parent"][0] == NO_NODE and nodes["edge"][0] == 0
    blocks = 1
    for n in range(tree["num_nodes"]):
        node, incoming = nodes[n], edges[nodes[n]["edge"]]
        assert incoming["child"] == n and incoming["in_flight"] == 0
        assert node["first_edge"] == blocks
        blocks += node["num_edges"]
        if n:
            above = nodes[node["parent"]]
            assert above["first_edge"] <= node["edge"] < above["first_edge"] + above["num_opened"]
            assert node["parent"] < n
        opened = edges[node["first_edge"] : node["first_edge"] + node["num_opened"]]
        own = priors[node["first_edge"] : node["first_edge"] + node["num_edges"]]
        assert incoming["visits"] == 1 + opened["visits"].sum()
        if node["num_edges"]:
            assert math.isclose(own.sum(), 1.0, rel_tol=1e-5)
            assert own[node["num_opened"] :].max(initial=0.0) == own[node["num_opened"] :][:1].max(initial=0.0)
            sign = 1 - 2 * node["to_play"]
            lower = max((int(min(sign * e["lower"], sign * e["upper"])) for e in opened), default=-1)
            upper = max((int(max(sign * e["lower"], sign * e["upper"])) for e in opened), default=1)
            upper = 1 if node["num_opened"] < node["num_edges"] else upper
            assert sorted((sign * incoming["lower"], sign * incoming["upper"])) == [lower, upper]
        else:
            assert incoming["visits"] == 1 and incoming["lower"] == incoming["upper"]
    assert tree["num_edges"] == blocks


# --- against the reference and by hand ------------------------------------------------------------------------------


@every_game
def test_trees_are_those_of_a_slow_search(game: Game) -> None:
    settings = SearchSettings(c_puct=1.1, fpu_reduction=0.3)
    evaluate = hashed_evaluator(game)
    states = random_positions(game, 6, 40, seed=3)
    search = TreeSearch(game, evaluate, settings, seeds=range(len(states)))
    search.search(states, TreeLimits(visits=300))
    proven = 0
    for t, state in enumerate(states):
        check_tree(search, t)
        reference = ReferenceSearch(game, evaluate, settings, state)
        reference.search(300)
        compare(search, t, 0, reference.root)
        proven += reference.root.lower == reference.root.upper
    assert proven or game is GO_4 or game is CHECKERS


def compare(search: TreeSearch, t: int, n: int, expected: Node) -> None:
    forest = search._forest
    node, edge = forest.nodes[t][n], forest.edges[t][forest.nodes[t][n]["edge"]]
    assert (edge["visits"], edge["lower"], edge["upper"]) == (expected.visits, expected.lower, expected.upper)
    assert edge["value_sum"] == expected.value_sum
    opened = range(node["first_edge"], node["first_edge"] + node["num_opened"])
    assert [forest.actions[t][e] for e in opened] == list(expected.children)
    for e, child in zip(opened, expected.children.values(), strict=True):
        compare(search, t, int(forest.edges[t][e]["child"]), child)


def test_a_tiny_tree_by_hand() -> None:
    """Priors 1/2, 1/3, 1/6, c = 1, no urgency; a position is worth 0.3 to its mover, so each move -0.3 to the root's.

    Simulation 1: no visits yet, U = 0, so the likeliest. Root: (0.3 - 0.3) / 2 = 0. Simulation 2: sqrt N = 1; a has
    -0.3 + 1/4, b 0 + 1/3, and b is tried; the root's mean is -0.1. Simulation 3: sqrt 2; a -0.3 + 0.354,
    b -0.3 + 0.236, c -0.1 + 0.236: c; then the root's mean is -0.15. Simulation 4: sqrt 3; a -0.3 + 0.433,
    b -0.3 + 0.289, c -0.3 + 0.144, so a, whose likeliest reply is worth +0.3 to the root's mover: its mean is 0.
    """
    states = TIC_TAC_TOE.new(1)
    for action in (0, 4, 2, 1, 7, 6):  # 3, 5 and 8 are left, and no move ends it
        apply(states[0], action)
    assert TIC_TAC_TOE.legal_actions(states[0]) == [3, 5, 8]
    priors = [1.0] * 9
    priors[3], priors[5], priors[8] = 3.0, 2.0, 1.0
    search = TreeSearch(TIC_TAC_TOE, flat(priors, 0.3), SearchSettings(c_puct=1.0, fpu_reduction=0.0))
    expected = {1: [1, 0, 0], 2: [1, 1, 0], 3: [1, 1, 1], 4: [2, 1, 1]}
    for visits, counts in expected.items():
        search.search(states, TreeLimits(visits=visits))
        assert search.root().visits.tolist() == counts
    assert np.allclose(search.root().priors, [1 / 2, 1 / 3, 1 / 6])
    assert np.allclose(search.root().values, [0.0, -0.3, -0.3], atol=1e-6)
    assert math.isclose(search.root().value, (0.3 - 0.3 - 0.3 - 0.3 + 0.3) / 5, abs_tol=1e-6)


def test_a_multi_jump_keeps_its_sign() -> None:
    """Black jumps twice; after the first jump Black moves still, and what is good there is good before."""
    states = parse_fen("B:W7,15,25:B3,22")
    evaluated: list[tuple[int, int]] = []

    def black_is_winning(leaves: States) -> tuple[Any, Any]:
        evaluated.extend((int(leaf.jumper), to_play(leaf)) for leaf in leaves)
        values = np.array([0.8 if to_play(leaf) == 0 else -0.8 for leaf in leaves], np.float32)
        return np.zeros((len(leaves), CHECKERS.num_actions), np.float32), values

    search = TreeSearch(CHECKERS, black_is_winning)
    search.search(states, TreeLimits(visits=30))
    assert any(jumper != 32 and mover == 0 for jumper, mover in evaluated), "no multi-jump was searched"
    nodes, edges = search._forest.nodes[0], search._forest.edges[0]
    for n in range(search._forest.trees["num_nodes"][0]):
        edge = edges[nodes[n]["edge"]]
        assert edge["value_sum"] / edge["visits"] >= 0.79, "player 0 is winning everywhere"
    assert search.analysis().value == pytest.approx(0.8, abs=0.2)
