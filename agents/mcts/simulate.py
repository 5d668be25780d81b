"""Simulations: choose a way down each tree, gather the leaves of all trees, and take their evaluations in.

B trees, A actions, W mask words, S leaves a step at the most, M actions that a Gumbel root considers at the most.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from agents.mcts.tree import (
    NO_NODE,
    PENDING,
    ROOT,
    ROOT_EDGE,
    add_edges,
    add_node,
    back_up,
    bounds_for,
    edge_value,
    forget_flight,
    is_solved,
    open_edge,
    prove,
    set_priors,
)
from games.compiled import NDArray, njit
from games.rules import apply, is_over, legal_mask, returns, to_play

FINISHED, LEAF, COLLISION, BLOCKED = 0, 1, 2, 3  # how a simulation ends before the evaluation
GUMBEL_VISITS = 50.0  # c_visit, Danihelka et al. 2022, section 3.4
GUMBEL_SCALE = 1.0  # c_scale, for values as probabilities of winning


class Formula(NamedTuple):
    """What selection weighs by, and how many selections are made before their evaluations are known."""

    c_puct: float  # weight of the prior
    fpu_reduction: float  # an action not tried yet counts as its node less this, times the root of the tried prior mass
    virtual_loss: float  # returns by which a simulation in flight is assumed to end below its action's mean
    visits_per_leaf: int  # of the root, for each leaf that its tree may have in one step


class GumbelRoot(NamedTuple):
    """What sequential halving at the root needs; PUCT chooses there too where the schedules are empty."""

    gumbels: NDArray  # float32 [B, A]
    schedules: NDArray  # int32 [M + 1, simulations, 2]: visits of the action whose turn it is, start of its phase


class Leaves(NamedTuple):
    """The leaves of one step, and the simulations that ran into a leaf of the same step."""

    states: NDArray  # [S] records
    trees: NDArray  # int32 [S]
    nodes: NDArray  # int32 [S]
    collided_trees: NDArray  # int32 [S]
    collided_nodes: NDArray  # int32 [S]
    counts: NDArray  # int64 [2]: leaves, collisions


# --- selection ------------------------------------------------------------------------------------------------------


@njit
def puct_edge(nodes, edges, priors, node, formula):
    """Return the edge with the highest Q + U of AlphaGo Zero (Silver et al. 2017, Methods, "Select").

    Simulations in flight count as visits, and so make an edge less urgent, but its value changes by the virtual loss
    only (with none: Liu et al. 2020, "Watch the Unobserved"). Edges that are proven to be no better than another count
    no more. Precondition: the node is not solved and the present simulation is in flight to it.
    """
    here = nodes[node]
    incoming = edges[here.edge]
    sign = np.float32(1 - 2 * here.to_play)
    secured, _ = bounds_for(incoming, here.to_play * -2 + 1)
    scale = np.float32(formula.c_puct * math.sqrt(incoming.visits + incoming.in_flight - 2))  # sqrt of sum_b N(b)
    loss, reduction = np.float32(formula.virtual_loss), np.float32(formula.fpu_reduction)
    expected = sign * edges[here.edge].value_sum / np.float32(incoming.visits)
    best, best_score, tried = np.int64(-1), np.float32(-np.inf), np.float32(0.0)
    front = here.first_edge + here.num_opened
    for index in range(here.first_edge, front):
        edge = edges[index]
        prior = priors[index]
        first_play = tried
        tried += prior
        hope = edge.upper if here.to_play == 0 else -edge.lower
        if hope <= secured:
            continue
        visits = np.float32(edge.visits + edge.in_flight)
        if edge.visits > 0:
            value = sign * edge.value_sum / np.float32(edge.visits)
        else:
            value = expected - reduction * np.sqrt(first_play)
        value -= loss * np.float32(edge.in_flight) / visits
        score = value + scale * prior / (np.float32(1.0) + visits)
        if score > best_score:
            best, best_score = np.int64(index), score
    if here.num_opened < here.num_edges:
        value = expected - reduction * np.sqrt(tried)
        if value + scale * priors[front] > best_score:
            best = np.int64(front)
    return best


@njit
def gumbel_edge(nodes, edges, priors, actions, gumbels, schedules):
    """Return the root's edge whose turn it is in sequential halving, -1 while its phase waits for evaluations.

    Danihelka et al. 2022, algorithm 2: among the actions with the scheduled number of visits, the one with the highest
    g + logits + sigma(q).
    """
    here, incoming = nodes[ROOT], edges[ROOT_EDGE]
    considered = min(np.int64(here.num_edges), schedules.shape[0] - 1)
    simulation = incoming.visits + incoming.in_flight - 2
    wanted, phase_start = schedules[considered, simulation, 0], schedules[considered, simulation, 1]
    if incoming.visits - 1 < phase_start:
        return np.int64(-1)
    most_visits = np.int64(0)
    for index in range(here.first_edge, here.first_edge + here.num_opened):
        most_visits = max(most_visits, np.int64(edges[index].visits))
    best, best_score = np.int64(-1), -np.inf
    for index in range(here.first_edge, here.first_edge + here.num_edges):
        is_open = index < here.first_edge + here.num_opened
        visits = edges[index].visits + edges[index].in_flight if is_open else 0
        if visits != wanted:
            continue
        score = gumbels[actions[index]] + np.log(priors[index])
        if is_open and edges[index].visits > 0:
            score += gumbel_sigma(edge_value(edges[index], 1 - 2 * here.to_play), most_visits)
        if score > best_score or best < 0:
            best, best_score = np.int64(index), score
    return best


@njit
def gumbel_sigma(value, most_visits):
    """Return sigma(q) of Danihelka et al. 2022, section 3.4, for a value from -1 to 1."""
    return (GUMBEL_VISITS + most_visits) * GUMBEL_SCALE * 0.5 * (1.0 + value)


# --- a step: collect, evaluate, absorb ------------------------------------------------------------------------------


@njit
def collect(forest, roots, leaves, mask, formula, gumbel, leaves_per_tree):
    """Simulate in every tree that has simulations left, until each has so many leaves that await an evaluation.

    A small tree takes fewer leaves at once: what its first evaluations say changes most of where to look next.
    roots [B] and leaves.states are records; mask uint64[W] is scratch. Finished games are backed up at once.
    """
    leaves.counts[:] = 0
    for t in range(roots.size):
        tree = forest.trees[t]
        nodes, edges, actions = forest.nodes[t], forest.edges[t], forest.actions[t]
        num_leaves, num_collisions, most = 0, 0, 1
        if tree.num_nodes > 0:
            most = min(leaves_per_tree, max(1, edges[ROOT_EDGE].visits // formula.visits_per_leaf))
        while tree.simulations_left > 0 and num_leaves < most and num_collisions < most:
            slot = leaves.counts[0]
            leaves.states[slot] = roots[t]
            if tree.num_nodes == 0:
                node = add_node(tree, nodes, edges, NO_NODE, ROOT_EDGE)
                tree.num_edges = 1
                nodes[node].first_edge = 1
                edges[ROOT_EDGE].in_flight = 1
                begin_node(tree, nodes, edges, actions, node, leaves.states[slot], mask)
                num_leaves = most  # all else waits for the root
            else:
                if tree.num_nodes >= tree.node_limit or tree.num_edges + gumbel.gumbels.shape[1] > edges.size:
                    tree.simulations_left = 0
                    break
                ending, node = simulate(
                    tree, nodes, edges, forest.priors[t], actions, leaves.states[slot], mask, formula,
                    gumbel.gumbels[t], gumbel.schedules,
                )  # fmt: skip
                if ending == BLOCKED:
                    break
                if ending == COLLISION:
                    leaves.collided_trees[leaves.counts[1]] = t
                    leaves.collided_nodes[leaves.counts[1]] = node
                    leaves.counts[1] += 1
                    num_collisions += 1
                    if gumbel.schedules.shape[1] > 0:
                        break  # whoever came after it would be out of turn once it is forgotten
                    continue
                tree.simulations_left -= 1
                if is_solved(edges[ROOT_EDGE]):
                    tree.simulations_left = 0
                if ending == FINISHED:
                    continue
                num_leaves += 1
            leaves.trees[slot] = t
            leaves.nodes[slot] = node
            leaves.counts[0] += 1


@njit
def simulate(tree, nodes, edges, priors, actions, state, mask, formula, gumbels, schedules):
    """Go down one tree to a new node and return how that ended, and the node; state is the root's record and moves on.

    The actions are played anew each time, so that all that hangs on the history (superko, repetitions) is exact.
    """
    node = np.int64(ROOT)
    edges[ROOT_EDGE].in_flight += 1
    while True:
        here = nodes[node]
        if here.num_opened == PENDING:
            return COLLISION, node
        if node == ROOT and schedules.shape[1] > 0:
            edge = gumbel_edge(nodes, edges, priors, actions, gumbels, schedules)
            if edge < 0:
                edges[ROOT_EDGE].in_flight -= 1
                return BLOCKED, node
        else:
            edge = puct_edge(nodes, edges, priors, node, formula)
        if edge >= here.first_edge + here.num_opened:
            break
        edges[edge].in_flight += 1
        node = np.int64(edges[edge].child)
        if is_solved(edges[edge]):  # sequential halving gives it its visits all the same
            back_up(nodes, edges, node, np.float32(edges[edge].lower))
            return FINISHED, node
        apply(state, actions[edge])
    node = open_edge(tree, nodes, edges, priors, actions, node, edge)
    edge = np.int64(nodes[node].edge)
    edges[edge].in_flight = 1
    apply(state, actions[edge])
    if is_over(state):
        outcome = returns(state)
        nodes[node].to_play = to_play(state)
        prove(nodes, edges, node, np.int64(np.sign(outcome)))
        back_up(nodes, edges, node, np.float32(outcome))
        return FINISHED, node
    begin_node(tree, nodes, edges, actions, node, state, mask)
    return LEAF, node


@njit
def begin_node(tree, nodes, edges, actions, node, state, mask):
    """Give a new node its mover and its edges."""
    nodes[node].to_play = to_play(state)
    legal_mask(state, mask)
    add_edges(tree, nodes, actions, node, mask)


@njit
def absorb(forest, leaves, logits, values):
    """Back up the evaluations of the leaves: logits float32[n, A] and the movers' values float32[n]."""
    for i in range(leaves.counts[1]):
        t = leaves.collided_trees[i]
        forget_flight(forest.nodes[t], forest.edges[t], leaves.collided_nodes[i])
    for i in range(leaves.counts[0]):
        t, node = leaves.trees[i], leaves.nodes[i]
        nodes = forest.nodes[t]
        set_priors(nodes, forest.priors[t], forest.actions[t], node, logits[i])
        nodes[node].value = values[i] if nodes[node].to_play == 0 else -values[i]
        back_up(nodes, forest.edges[t], node, nodes[node].value)


# --- finding a position again ---------------------------------------------------------------------------------------


@njit
def find_below(nodes, edges, actions, node, depth, states, target):
    """Return the node so many actions below this one whose record is the target, uint8[itemsize]; NO_NODE if none is.

    states[depth] is this node's record; those before it are scratch.
    """
    if depth == 0:
        return node if are_equal(states[:1].view(np.uint8), target) else np.int64(NO_NODE)
    here = nodes[node]
    for edge in range(here.first_edge, here.first_edge + here.num_opened):
        child = np.int64(edges[edge].child)
        if depth > 1 and nodes[child].num_opened <= 0:
            continue  # nothing is below it
        states[depth - 1] = states[depth]
        apply(states[depth - 1], actions[edge])
        found = find_below(nodes, edges, actions, child, depth - 1, states, target)
        if found != NO_NODE:
            return found
    return np.int64(NO_NODE)


@njit
def are_equal(one, other):
    """Say whether two arrays of one length hold the same."""
    same = 0
    while same < one.size and one[same] == other[same]:
        same += 1
    return same == one.size
