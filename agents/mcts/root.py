"""What happens at the root only: noise on the priors, sequential halving, and what the statistics say to play.

A actions; k edges, the legal ones in the order of their actions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from agents.mcts.simulate import gumbel_sigma
from agents.mcts.tree import ROOT, ROOT_EDGE, Forest, best_edge, bring_likeliest
from games.compiled import NDArray, njit

LEAST_PRIOR = 1e-300  # whose logarithm is finite
GREEDY_TEMPERATURE = 0.01  # at or below it the best action is played: powers of visit counts would overflow


@dataclass(frozen=True)
class RootStatistics:
    """The edges of a root; values and bounds are the mover's, unlike those of the tree."""

    sign: int  # 1 where player 0 moves, -1 where player 1 does
    actions: NDArray  # int64 [k], ascending
    priors: NDArray  # float64 [k]
    visits: NDArray  # int64 [k]
    values: NDArray  # float64 [k], within the bounds; the root's own value where there is no visit
    lower: NDArray  # int64 [k], proven bounds of the outcome
    upper: NDArray  # int64 [k]
    value: float  # mean of all simulations, or the proven outcome
    own_value: float  # the evaluation of the root itself
    secured: int  # the outcome that the mover is proven to reach at least
    best: int  # index of the action to play

    @property
    def live(self) -> NDArray:
        """Which edges are worth playing, bool[k]: the safest, and those that may win more and are thought no worse."""
        is_lost = self.upper.max() == -1  # then no edge is worse than another
        is_safe = (self.lower == self.secured) & (self.secured > -1 or is_lost)
        return np.asarray(is_safe | ((self.upper > self.secured) & (self.values >= self.secured)))


def root_statistics(forest: Forest, t: int) -> RootStatistics:
    """Return what tree t says of its root; precondition: the root is evaluated."""
    nodes, edges = forest.nodes[t], forest.edges[t]
    root, incoming = nodes[ROOT], edges[ROOT_EDGE]
    first, num_edges, num_opened = int(root["first_edge"]), int(root["num_edges"]), int(root["num_opened"])
    sign = 1 - 2 * int(root["to_play"])
    bounds = sorted(float(sign) * int(incoming[name]) for name in ("lower", "upper"))
    mean = sign * float(incoming["value_sum"]) / int(incoming["visits"])

    opened = edges[first : first + num_opened]
    visits, lower, upper = np.zeros(num_edges, np.int64), np.full(num_edges, -1), np.full(num_edges, 1)
    values = np.full(num_edges, mean)
    visits[:num_opened] = opened["visits"]
    lower[:num_opened] = np.minimum(sign * opened["lower"], sign * opened["upper"])
    upper[:num_opened] = np.maximum(sign * opened["lower"], sign * opened["upper"])
    visited = np.flatnonzero(visits)
    values[visited] = sign * opened["value_sum"][visited] / visits[visited]
    order = np.argsort(forest.actions[t, first : first + num_edges])
    best = max(best_edge(nodes, edges, ROOT), first)  # the likeliest where none is open
    return RootStatistics(
        sign=sign,
        actions=forest.actions[t, first : first + num_edges].astype(np.int64)[order],
        priors=forest.priors[t, first : first + num_edges].astype(np.float64)[order],
        visits=visits[order],
        values=np.clip(values, lower, upper)[order],
        lower=lower[order],
        upper=upper[order],
        value=min(max(mean, bounds[0]), bounds[1]),
        own_value=sign * float(root["value"]),
        secured=int(bounds[0]),
        best=int(np.flatnonzero(order == best - first)[0]),
    )


def visit_policy(root: RootStatistics, temperature: float) -> NDArray:
    """Return the probabilities float64[k] in proportion to visits ** (1 / temperature), of the best action alone at 0.

    Actions that are worse than what is proven of another have none. Without visits the priors count.
    """
    weights = np.where(root.live, root.visits, 0.0)
    if temperature <= GREEDY_TEMPERATURE or not weights.any():
        policy = np.zeros(len(weights))
        policy[root.best] = 1.0
        return policy
    policy = (weights / weights.max()) ** (1 / temperature)
    return np.asarray(policy / policy.sum())


# --- Dirichlet noise ------------------------------------------------------------------------------------------------


@njit
def mix_priors(nodes, priors, actions, noise, fraction):
    """Mix noise float32[A] into the root's priors, (1 - fraction) P + fraction noise."""
    root = nodes[ROOT]
    for edge in range(root.first_edge, root.first_edge + root.num_edges):
        priors[edge] += fraction * (noise[actions[edge]] - priors[edge])
    if root.num_opened < root.num_edges:
        bring_likeliest(nodes, priors, actions, ROOT)


# --- sequential halving (Danihelka et al. 2022) ---------------------------------------------------------------------


@lru_cache(maxsize=64)
def halving_schedule(considered: int, simulations: int) -> NDArray:
    """Return int32 [simulations, 2]: the visits of the action whose turn it is, and the simulation its phase began at.

    Algorithm 2 of the paper: ceil(log2 m) phases share the simulations alike; each visits every action that is left
    equally often, and then the worse half goes.
    """
    phases = max(1, math.ceil(math.log2(max(considered, 1))))
    schedule: list[tuple[int, int]] = []
    left, visits = max(considered, 1), 0
    while len(schedule) < simulations:
        start = len(schedule)
        sweeps = max(1, simulations // (phases * left))
        schedule += [(visits + sweep, start) for sweep in range(sweeps) for _ in range(left)]
        visits += sweeps
        left = max(2, left // 2) if considered > 1 else 1
    return np.array(schedule[:simulations], np.int32).reshape(simulations, 2)


def halving_schedules(considered: int, simulations: int) -> NDArray:
    """Return the schedules of all numbers of actions up to `considered`, int32 [considered + 1, simulations, 2]."""
    return np.stack([halving_schedule(number, simulations) for number in range(considered + 1)])


def gumbel_choice(root: RootStatistics, gumbels: NDArray) -> int:
    """Return the index of the edge that halving leaves: among the most visited, the highest g + logit + sigma(q).

    Actions that are worse than what is proven of another are out. gumbels is float32[A].
    """
    scores = gumbels[root.actions] + _logits(root) + _sigmas(root, root.values)
    most = root.live & (root.visits == root.visits[root.live].max())
    return int(np.argmax(np.where(most, scores, -np.inf)))


def improved_policy(root: RootStatistics) -> NDArray:
    """Return pi' = softmax(logits + sigma(completed q)), float64[k] (equations 10 and 11; v_mix of appendix D).

    Actions that cannot do better than what is proven of another, and are not proven as good, have none.
    """
    visited = root.visits > 0
    mixed = root.own_value
    if visited.any():
        tried = root.priors[visited]
        mean = float(tried @ root.values[visited] / tried.sum())
        total = int(root.visits.sum())
        mixed = (root.own_value + total * mean) / (1 + total)
    logits = _logits(root) + _sigmas(root, np.where(visited, root.values, mixed))
    logits[(root.upper <= root.secured) & (root.lower < root.secured)] = -np.inf
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def _logits(root: RootStatistics) -> NDArray:
    """Return the logarithms of the priors, finite where a prior has rounded to 0."""
    return np.asarray(np.log(np.maximum(root.priors, LEAST_PRIOR)))


def _sigmas(root: RootStatistics, values: NDArray) -> NDArray:
    return np.asarray(gumbel_sigma(values, int(root.visits.max())))
