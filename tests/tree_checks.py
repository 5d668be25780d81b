"""What tests of the tree search share: an evaluator of equal answers, and what must hold of every tree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from agents.mcts.search import LeafEvaluator, TreeSearch
from agents.mcts.tree import NO_NODE
from games.rules import States


def flat(priors: list[float], value: float = 0.0) -> LeafEvaluator:
    """Return an evaluator that says the same of every position."""
    logits = np.log(np.array(priors, np.float32))

    def evaluate(states: States) -> tuple[Any, Any]:
        return np.tile(logits, (len(states), 1)), np.full(len(states), value, np.float32)

    return evaluate


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
        blocks += int(node["num_edges"])
        if n:
            above = nodes[node["parent"]]
            assert above["first_edge"] <= node["edge"] < above["first_edge"] + above["num_opened"]
            assert node["parent"] < n
        opened = edges[node["first_edge"] : node["first_edge"] + node["num_opened"]]
        own = priors[node["first_edge"] : node["first_edge"] + node["num_edges"]]
        is_solved = incoming["lower"] == incoming["upper"]
        if is_solved and search.settings.gumbel_actions:  # it was given its visits without a look below
            assert incoming["visits"] >= 1 + opened["visits"].sum()
        else:
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
            assert is_solved
    assert tree["num_edges"] == blocks
