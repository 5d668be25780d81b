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
    close_edge,
    edge_value,
    forget_flight,
    is_solved,
    open_edge,
    prove,
    set_priors,
)
from games.compiled import NDArray, njit
from games.rules import apply, is_over, legal_mask, returns, to_play

UNOPENED, KNOWN, AWAITED = 0, 1, 2  # where a way down ends: at an untried action, a solved node, a pending one
WAITED_FOR = -1  # in place of an action, for a leaf that its tree cannot go on without
NO_EDGE = -1
GUMBEL_VISITS = 50.0  # c_visit, Danihelka et al. 2022, section 3.4
GUMBEL_SCALE = 1.0  # c_scale, for values as probabilities of winning


class Formula(NamedTuple):
    """What selection weighs by."""

    c_puct: float  # weight of the prior
    fpu_reduction: float  # an action not tried yet counts as its node less this, times the root of the tried prior mass
    virtual_loss: float  # returns by which a simulation in flight is assumed to end below its action's mean


class GumbelRoot(NamedTuple):
    """What sequential halving at the root needs; PUCT chooses there too where the schedules are empty."""

    gumbels: NDArray  # float32 [B, A]
    schedules: NDArray  # int32 [M + 1, simulations, 2]: visits of the action whose turn it is, start of its phase


class Leaves(NamedTuple):
    """The positions of one step whose evaluations are asked for, those that a tree waits for before the ones ahead; and
    the simulations that ran into a leaf of the same step.
    """

    states: NDArray  # [S] records
    trees: NDArray  # int32 [S]
    nodes: NDArray  # int32 [S]: a new node; of a position looked at ahead the node above it
    actions: NDArray  # int32 [S]: WAITED_FOR, or the action that leads there from the node above
    collided_trees: NDArray  # int32 [S]
    collided_nodes: NDArray  # int32 [S]
    counts: NDArray  # int64 [2]: leaves, collisions


class Ahead(NamedTuple):
    """Evaluations that each tree has not asked for yet, K at the most, the oldest overwritten first."""

    nodes: NDArray  # int32 [B, K]: the node above the position; NO_NODE where there is none
    actions: NDArray  # int32 [B, K]: the action that leads there
    logits: NDArray  # float32 [B, K, A]
    values: NDArray  # float32 [B, K], the movers'
    next_slot: NDArray  # int32 [B]: the next one to be written


class Opened(NamedTuple):
    """What a look ahead has to undo in a tree, in the order it was done."""

    nodes: NDArray  # int32 [L]: where each simulation in flight ended
    edges: NDArray  # int32 [L]: the edge that was opened to get there; NO_EDGE for none
    likeliest: NDArray  # int32 [L]: as `open_edge` told


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
    """Return the root's edge whose turn it is in sequential halving, NO_EDGE while its phase waits for evaluations.

    Danihelka et al. 2022, algorithm 2: among the actions with the scheduled number of visits, the one with the highest
    g + logits + sigma(q).
    """
    here, incoming = nodes[ROOT], edges[ROOT_EDGE]
    considered = min(np.int64(here.num_edges), schedules.shape[0] - 1)
    simulation = incoming.visits + incoming.in_flight - 2
    if simulation >= schedules.shape[1] or incoming.visits - 1 < schedules[considered, simulation, 1]:
        return np.int64(NO_EDGE)
    wanted = schedules[considered, simulation, 0]
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
def collect(forest, roots, leaves, ahead, opened, mask, formulas, gumbel, leaves_per_tree, visits_per_leaf):
    """Simulate in every tree that has simulations left, until each has this many leaves that await an evaluation.

    A small tree waits for fewer at once, one for this many visits of its root, since what its first evaluations say
    changes most of where to look next; the others are looked at ahead, which changes nothing. roots [B] and
    leaves.states are records; mask uint64[W] is scratch; formulas are those of both kinds of leaves.
    """
    leaves.counts[:] = 0
    for t in range(roots.size):
        tree = forest.trees[t]
        nodes, edges, priors, actions = forest.nodes[t], forest.edges[t], forest.priors[t], forest.actions[t]
        if tree.num_nodes == 0:
            if tree.simulations_left > 0:
                begin_root(tree, nodes, edges, actions, roots, leaves, t, mask)
            continue
        most = min(leaves_per_tree, max(1, edges[ROOT_EDGE].visits // visits_per_leaf))
        num_leaves, num_collisions = 0, 0
        while tree.simulations_left > 0 and num_leaves < most and num_collisions < most:
            if tree.num_nodes >= tree.node_limit or tree.num_edges + gumbel.gumbels.shape[1] > edges.size:
                tree.simulations_left = 0
                break
            slot = leaves.counts[0]
            leaves.states[slot] = roots[t]
            ending, node = simulate(
                tree, nodes, edges, priors, actions, leaves.states[slot], ahead, t, mask, formulas[0], gumbel
            )
            if ending == AWAITED:
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
            if ending == UNOPENED:
                leaves.trees[slot] = t
                leaves.nodes[slot] = node
                leaves.actions[slot] = WAITED_FOR
                leaves.counts[0] += 1
                num_leaves += 1
        if 0 < num_leaves < leaves_per_tree:
            look_ahead(tree, nodes, edges, priors, actions, roots, leaves, ahead, opened, t, formulas[1], gumbel,
                       leaves_per_tree - num_leaves)  # fmt: skip


@njit
def begin_root(tree, nodes, edges, actions, roots, leaves, t, mask):
    """Ask for the evaluation of a tree's root, which all else waits for."""
    slot = leaves.counts[0]
    leaves.states[slot] = roots[t]
    node = add_node(tree, nodes, edges, NO_NODE, ROOT_EDGE)
    tree.num_edges = 1
    nodes[node].first_edge = 1
    edges[ROOT_EDGE].in_flight = 1
    begin_node(tree, nodes, edges, actions, node, leaves.states[slot], mask)
    leaves.trees[slot] = t
    leaves.nodes[slot] = node
    leaves.actions[slot] = WAITED_FOR
    leaves.counts[0] += 1


@njit
def simulate(tree, nodes, edges, priors, actions, state, ahead, t, mask, formula, gumbel):
    """Go down a tree to a new node; return how that ended, and the node: UNOPENED where an evaluation of it is needed,
    AWAITED where it is a pending one and the simulation in vain, KNOWN where the simulation is over.

    state is the root's record and moves on.
    """
    ending, node, edge = descend(nodes, edges, priors, actions, state, formula, gumbel.gumbels[t], gumbel.schedules)
    if ending == KNOWN:
        back_up(nodes, edges, node, np.float32(edges[nodes[node].edge].lower))
    if ending != UNOPENED:
        return ending, node
    found = slot_of(ahead, t, node, actions[edge])
    node, _ = open_edge(tree, nodes, edges, priors, actions, node, edge)
    edge = np.int64(nodes[node].edge)
    edges[edge].in_flight = 1
    apply(state, actions[edge])
    if is_over(state):
        outcome = returns(state)
        nodes[node].to_play = to_play(state)
        prove(nodes, edges, node, np.int64(np.sign(outcome)))
        back_up(nodes, edges, node, np.float32(outcome))
        return KNOWN, node
    begin_node(tree, nodes, edges, actions, node, state, mask)
    if found < 0:
        return UNOPENED, node
    ahead.nodes[t, found] = NO_NODE
    enter(nodes, edges, priors, actions, node, ahead.logits[t, found], ahead.values[t, found])
    return KNOWN, node


@njit
def descend(nodes, edges, priors, actions, state, formula, gumbels, schedules):
    """Go down a tree, in flight, and return how that ended, the last node, and its edge that is to be opened.

    The actions are played anew each time, so that all that hangs on the history (superko, repetitions) is exact.
    """
    node = np.int64(ROOT)
    edges[ROOT_EDGE].in_flight += 1
    while True:
        here = nodes[node]
        if here.num_opened == PENDING:
            return AWAITED, node, np.int64(NO_EDGE)
        if node == ROOT and schedules.shape[1] > 0:
            edge = gumbel_edge(nodes, edges, priors, actions, gumbels, schedules)
            if edge == NO_EDGE:
                return AWAITED, node, np.int64(NO_EDGE)
        else:
            edge = puct_edge(nodes, edges, priors, node, formula)
        if edge >= here.first_edge + here.num_opened:
            return UNOPENED, node, edge
        edges[edge].in_flight += 1
        node = np.int64(edges[edge].child)
        if is_solved(edges[edge]):  # sequential halving gives it its visits all the same
            return KNOWN, node, np.int64(NO_EDGE)
        apply(state, actions[edge])


@njit
def look_ahead(tree, nodes, edges, priors, actions, roots, leaves, ahead, opened, t, formula, gumbel, most):
    """Ask for evaluations that a tree is likely to need soon: where simulations would end if those under way had
    counted as visits only.

    The tree is left as it was. A position whose evaluation is known ahead already is passed by.
    """
    most = min(most, tree.simulations_left)
    num_opened = 0
    while most > 0 and num_opened < opened.nodes.size and tree.num_nodes < tree.node_limit:
        slot = leaves.counts[0]
        state = leaves.states[slot]
        leaves.states[slot] = roots[t]
        ending, node, edge = descend(nodes, edges, priors, actions, state, formula, gumbel.gumbels[t], gumbel.schedules)
        if ending == UNOPENED:
            above, action = node, actions[edge]
            node, likeliest = open_edge(tree, nodes, edges, priors, actions, above, edge)
            edges[nodes[node].edge].in_flight = 1
            nodes[node].num_opened = PENDING
            opened.likeliest[num_opened] = likeliest
            apply(state, action)
            if not is_over(state) and slot_of(ahead, t, above, action) < 0:
                leaves.trees[slot] = t
                leaves.nodes[slot] = above
                leaves.actions[slot] = action
                leaves.counts[0] += 1
                most -= 1
        opened.nodes[num_opened] = node
        opened.edges[num_opened] = edge
        num_opened += 1
    for i in range(num_opened - 1, -1, -1):
        node = np.int64(opened.nodes[i])
        above = np.int64(nodes[node].parent)
        forget_flight(nodes, edges, node)
        if opened.edges[i] != NO_EDGE:
            close_edge(tree, nodes, priors, actions, above, opened.edges[i], opened.likeliest[i])


@njit
def slot_of(ahead, t, node, action):
    """Return where the evaluation of the position that an action leads to is known ahead, -1 where it is not."""
    for slot in range(ahead.nodes.shape[1]):
        if ahead.nodes[t, slot] == node and ahead.actions[t, slot] == action:
            return slot
    return -1


@njit
def begin_node(tree, nodes, edges, actions, node, state, mask):
    """Give a new node its mover and its edges."""
    nodes[node].to_play = to_play(state)
    legal_mask(state, mask)
    add_edges(tree, nodes, actions, node, mask)


@njit
def enter(nodes, edges, priors, actions, node, logits, value):
    """Make a pending node ready by its evaluation, logits float32[A] and the mover's value, and back that up."""
    set_priors(nodes, priors, actions, node, logits)
    nodes[node].value = value if nodes[node].to_play == 0 else -value
    back_up(nodes, edges, node, nodes[node].value)


@njit
def absorb(forest, leaves, ahead, logits, values):
    """Take the evaluations of the leaves in: logits float32[n, A] and the movers' values float32[n]."""
    for i in range(leaves.counts[1]):
        t = leaves.collided_trees[i]
        forget_flight(forest.nodes[t], forest.edges[t], leaves.collided_nodes[i])
    for i in range(leaves.counts[0]):
        t, node = leaves.trees[i], leaves.nodes[i]
        if leaves.actions[i] == WAITED_FOR:
            enter(forest.nodes[t], forest.edges[t], forest.priors[t], forest.actions[t], node, logits[i], values[i])
            continue
        slot = ahead.next_slot[t]
        ahead.nodes[t, slot] = node
        ahead.actions[t, slot] = leaves.actions[i]
        ahead.logits[t, slot] = logits[i]
        ahead.values[t, slot] = values[i]
        ahead.next_slot[t] = (slot + 1) % ahead.nodes.shape[1]


# --- finding a position again ---------------------------------------------------------------------------------------


@njit
def find_below(nodes, edges, actions, node, depth, states, target):
    """Return the node this many actions below this one whose record is the target, uint8[itemsize]; NO_NODE if none is.

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
