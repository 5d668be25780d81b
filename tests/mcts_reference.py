"""A slow, obvious Monte Carlo tree search of one position: nodes are objects, one leaf at a time, no arrays.

The arithmetic is in the kernels' order and precision, so that both choose the same way for thousands of simulations.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from agents.mcts.search import LeafEvaluator, SearchSettings
from games.rules import Game, State, apply, is_over, observe_batch, returns, to_play

F32 = np.float32


def hashed_evaluator(game: Game, spread: float = 2.0) -> LeafEvaluator:
    """Return an evaluator whose answers look random and depend on the planes of each position alone."""

    def evaluate(states: Any) -> tuple[Any, Any]:
        planes = np.zeros((len(states), *game.planes_shape), np.float32)
        observe_batch(states, planes)
        generators = [np.random.default_rng(zlib.crc32(one.tobytes())) for one in planes]
        logits = [generator.normal(0.0, spread, game.num_actions) for generator in generators]
        values = [generator.uniform(-0.9, 0.9) for generator in generators]
        return np.array(logits, F32), np.array(values, F32)

    return evaluate


class Node:
    """A position of the tree, with what its edge has in the kernels; values and bounds are player 0's."""

    def __init__(self, state: State, action: int, prior: Any) -> None:
        self.state, self.action, self.prior = state, action, prior
        self.visits, self.value_sum = 0, F32(0.0)
        self.lower, self.upper = -1, 1
        self.children: dict[int, Node] = {}
        self.priors: dict[int, Any] = {}
        self.sign = 1 if to_play(state) == 0 else -1

    def bounds(self, sign: int) -> tuple[int, int]:
        return (self.lower, self.upper) if sign > 0 else (-self.upper, -self.lower)


class ReferenceSearch:
    """PUCT with first-play urgency and proven bounds, over an evaluator of one position at a time."""

    def __init__(self, game: Game, evaluate: LeafEvaluator, settings: SearchSettings, state: State) -> None:
        self.game, self.evaluate, self.settings = game, evaluate, settings
        self.root = Node(state.copy(), -1, F32(1.0))
        self.expand([self.root])

    def search(self, visits: int) -> None:
        while self.root.visits <= visits and self.root.lower != self.root.upper:
            self.simulate()

    def simulate(self) -> None:
        path = [self.root]
        while True:
            node = path[-1]
            action = self.select(node)
            if action not in node.children:
                break
            path.append(node.children[action])
        state = node.state.copy()
        apply(state, action)
        child = node.children[action] = Node(state, action, node.priors[action])
        path.append(child)
        if is_over(state):
            child.lower = child.upper = round(float(returns(state)))
            self.tighten(path[:-1])
            self.back_up(path, F32(child.lower))
        else:
            self.expand(path)

    def select(self, node: Node) -> int:
        settings = self.settings
        scale = F32(settings.c_puct * math.sqrt(sum(child.visits for child in node.children.values())))
        tried, best, best_score = F32(0.0), -1, -math.inf
        secured = node.bounds(node.sign)[0]
        for child in node.children.values():
            tried += child.prior
            if child.bounds(node.sign)[1] <= secured:
                continue
            score = F32(node.sign) * child.value_sum / F32(child.visits) + scale * child.prior / F32(1 + child.visits)
            if score > best_score:
                best, best_score = child.action, score
        untried = {action: prior for action, prior in node.priors.items() if action not in node.children}
        if untried:
            action = max(untried, key=lambda a: untried[a])
            value = F32(node.sign) * node.value_sum / F32(node.visits) - F32(settings.fpu_reduction) * np.sqrt(tried)
            if value + scale * untried[action] > best_score:
                best = action
        return best

    def tighten(self, path: list[Node]) -> None:
        for node in reversed(path):
            pairs = [child.bounds(node.sign) for child in node.children.values()]
            lower, upper = max(low for low, _ in pairs), max(high for _, high in pairs)
            if len(node.children) < len(node.priors):
                upper = 1
            node.lower, node.upper = (lower, upper) if node.sign > 0 else (-upper, -lower)

    def expand(self, path: list[Node]) -> None:
        node = path[-1]
        states = np.zeros(1, self.game.dtype)
        states[0] = node.state
        logits, values = self.evaluate(states)
        legal = self.game.legal_actions(node.state)
        weights = np.exp(logits[0][legal] - logits[0][legal].max())
        total = F32(0.0)
        for weight in weights:
            total += weight
        node.priors = dict(zip(legal, weights / total, strict=True))
        self.back_up(path, F32(node.sign) * values[0])

    def back_up(self, path: list[Node], value: Any) -> None:
        for node in reversed(path):
            value = min(max(value, F32(node.lower)), F32(node.upper))
            node.visits += 1
            node.value_sum += value
