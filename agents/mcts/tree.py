"""The search trees as flat arrays, and what is done to one of them.

B trees, N nodes and E edges at the most in each. A node is a position; an edge is one of its legal actions. A node's
edges stand side by side, those that have been tried first: they are the only ones with statistics, and the first that
has not been tried is the likeliest of the rest, so that a simulation never looks at more than one of these. Nodes and
their blocks of edges are handed out in the same order, and a parent before its children.

Values are sums and bounds for player 0. Whose choice a node is says `to_play`: a player may move twice in a row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from games.compiled import NDArray, lowest_bit, njit
from games.rules import record_dtype

ROOT = 0  # node
ROOT_EDGE = 0  # it leads to the root, from nowhere: the root has its statistics where every node has them
NO_NODE = -1
PENDING = -1  # num_opened of a node whose evaluation is awaited

TREE = record_dtype(
    [
        ("num_nodes", np.int32),  # in use
        ("num_edges", np.int32),  # in use
        ("node_limit", np.int32),  # positions that the tree may hold
        ("simulations_left", np.int64),  # of the search under way; 0 once the root is solved or the tree is full
    ]
)
NODE = record_dtype(
    [
        ("parent", np.int32),  # node; NO_NODE above the root
        ("edge", np.int32),  # the one that leads here
        ("first_edge", np.int32),
        ("num_edges", np.int16),  # legal actions; 0 where the game is over
        ("num_opened", np.int16),  # of these, tried; PENDING before the evaluation
        ("value", np.float32),  # its own evaluation, for player 0
        ("to_play", np.int8),
    ]
)
EDGE = record_dtype(
    [
        ("visits", np.int32),  # simulations that went through it and were backed up
        ("value_sum", np.float32),  # of these, for player 0
        ("child", np.int32),  # node
        ("in_flight", np.int16),  # simulations that went through it and await their evaluation
        ("lower", np.int8),  # proven bounds of the outcome for player 0: -1, 0 or 1; equal once it is solved
        ("upper", np.int8),
    ]
)


class Forest(NamedTuple):
    """B trees side by side."""

    trees: NDArray  # TREE [B]
    nodes: NDArray  # NODE [B, N]
    edges: NDArray  # EDGE [B, E], of opened edges only
    priors: NDArray  # float32 [B, E]
    actions: NDArray  # int16 [B, E]


def make_forest(num_trees: int, max_nodes: int, num_actions: int) -> Forest:
    """Return empty trees; memory is taken as nodes are made."""
    max_edges = 1 + max_nodes * num_actions
    return Forest(
        trees=np.zeros(num_trees, TREE),
        nodes=np.empty((num_trees, max_nodes), NODE),
        edges=np.empty((num_trees, max_edges), EDGE),
        priors=np.empty((num_trees, max_edges), np.float32),
        actions=np.empty((num_trees, max_edges), np.int16),
    )


# --- growing --------------------------------------------------------------------------------------------------------


@njit
def reset_edge(edge, child):
    """Start an edge's statistics."""
    edge.visits = 0
    edge.value_sum = np.float32(0.0)
    edge.child = child
    edge.in_flight = 0
    edge.lower = -1
    edge.upper = 1


@njit
def add_node(tree, nodes, edges, parent, edge):
    """Return a new node at the end of an edge, without edges of its own."""
    node = np.int64(tree.num_nodes)
    tree.num_nodes = node + 1
    reset_edge(edges[edge], node)
    here = nodes[node]
    here.parent = parent
    here.edge = edge
    here.first_edge = tree.num_edges
    here.num_edges = 0
    here.num_opened = 0
    return node


@njit
def add_edges(tree, nodes, actions, node, mask):
    """Give the newest node an edge for every legal action in mask, uint64[W]; it is pending then."""
    edge = np.int64(tree.num_edges)
    for word in range(mask.size):
        bits = mask[word]
        while bits != 0:
            actions[edge] = word * 64 + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            edge += 1
    nodes[node].num_edges = edge - tree.num_edges
    nodes[node].num_opened = PENDING
    tree.num_edges = edge


@njit
def set_priors(nodes, priors, actions, node, logits):
    """Make a pending node ready: its priors are the softmax of the legal actions' logits, float32[A]."""
    here = nodes[node]
    first, end = here.first_edge, here.first_edge + here.num_edges
    highest = np.float32(-np.inf)
    for edge in range(first, end):
        highest = max(highest, logits[actions[edge]])
    total = np.float32(0.0)
    for edge in range(first, end):
        priors[edge] = np.exp(logits[actions[edge]] - highest)
        total += priors[edge]
    for edge in range(first, end):
        priors[edge] /= total
    here.num_opened = 0
    bring_likeliest(nodes, priors, actions, node)


@njit
def restrict(nodes, priors, actions, node, permitted):
    """Leave a ready node the permitted actions alone, bool[A]; precondition: no edge is open, and one will be left."""
    here = nodes[node]
    first, kept = here.first_edge, np.int64(here.first_edge)
    total = np.float32(0.0)
    for edge in range(first, first + here.num_edges):
        if permitted[actions[edge]]:
            swap_unopened(priors, actions, kept, edge)
            total += priors[kept]
            kept += 1
    here.num_edges = kept - first
    for edge in range(first, kept):
        priors[edge] = priors[edge] / total if total > 0 else np.float32(1.0) / here.num_edges
    bring_likeliest(nodes, priors, actions, node)


@njit
def bring_likeliest(nodes, priors, actions, node):
    """Exchange the first unopened edge with the one of the highest prior, the first of equals, and return that one."""
    here = nodes[node]
    front = here.first_edge + here.num_opened
    best = front
    for edge in range(front + 1, here.first_edge + here.num_edges):
        if priors[edge] > priors[best]:
            best = edge
    swap_unopened(priors, actions, front, best)
    return best


@njit
def swap_unopened(priors, actions, edge, other):
    """Exchange two edges that have no statistics yet."""
    if edge != other:
        priors[edge], priors[other] = priors[other], priors[edge]
        actions[edge], actions[other] = actions[other], actions[edge]


@njit
def open_edge(tree, nodes, edges, priors, actions, node, edge):
    """Return a new node at the end of an unopened edge, which moves to the front of the unopened ones, and the edge
    that was behind it and changed places with the likeliest.
    """
    here = nodes[node]
    front = np.int64(here.first_edge) + here.num_opened
    swap_unopened(priors, actions, front, edge)
    here.num_opened += 1
    likeliest = front + 1
    if here.num_opened < here.num_edges:
        likeliest = np.int64(bring_likeliest(nodes, priors, actions, node))
    return add_node(tree, nodes, edges, node, front), likeliest


@njit
def close_edge(tree, nodes, priors, actions, node, edge, likeliest):
    """Undo the last `open_edge`, of an edge of this node, which told of the likeliest."""
    here = nodes[node]
    if here.num_opened < here.num_edges:
        swap_unopened(priors, actions, here.first_edge + here.num_opened, likeliest)
    here.num_opened -= 1
    swap_unopened(priors, actions, here.first_edge + here.num_opened, edge)
    tree.num_nodes -= 1


# --- results --------------------------------------------------------------------------------------------------------


@njit
def back_up(nodes, edges, node, value):
    """Count a simulation that ended at a node with this value for player 0, on every edge that led there."""
    while node != NO_NODE:
        edge = edges[nodes[node].edge]
        value = min(max(value, np.float32(edge.lower)), np.float32(edge.upper))  # what is proven outweighs a guess
        edge.visits += 1
        edge.value_sum += value
        edge.in_flight -= 1
        node = nodes[node].parent


@njit
def forget_flight(nodes, edges, node):
    """Take back a simulation that ended at a node without a result."""
    while node != NO_NODE:
        edges[nodes[node].edge].in_flight -= 1
        node = nodes[node].parent


@njit
def prove(nodes, edges, node, outcome):
    """Enter the exact outcome of a node and what it proves of the nodes above (Cazenave & Saffidine 2010)."""
    edges[nodes[node].edge].lower = outcome
    edges[nodes[node].edge].upper = outcome
    node = nodes[node].parent
    while node != NO_NODE:
        here = nodes[node]
        sign = 1 - 2 * here.to_play
        lower, upper = -1, -1  # of the mover's best choice, for the mover
        for edge in range(here.first_edge, here.first_edge + here.num_opened):
            least, most = bounds_for(edges[edge], sign)
            lower, upper = max(lower, least), max(upper, most)
        if here.num_opened < here.num_edges:
            upper = 1
        incoming = edges[here.edge]
        if (lower, upper) == bounds_for(incoming, sign):
            return
        incoming.lower, incoming.upper = (lower, upper) if sign > 0 else (-upper, -lower)
        node = here.parent


@njit
def bounds_for(edge, sign):
    """Return the proven bounds of an edge's outcome for player 0 (sign 1) or player 1 (sign -1)."""
    if sign > 0:
        return np.int64(edge.lower), np.int64(edge.upper)
    return -np.int64(edge.upper), -np.int64(edge.lower)


@njit
def is_solved(edge):
    """Say whether the outcome of what an edge leads to is known."""
    return edge.lower == edge.upper


@njit
def best_edge(nodes, edges, node):
    """Return the edge to play: the most visited of those that are not proven worse than another, -1 if none is open.

    A proven win goes first; a secured outcome is preferred to an unproven one that is thought worse.
    """
    here = nodes[node]
    sign = 1 - 2 * here.to_play
    secured, hope = bounds_for(edges[here.edge], sign)
    best, safe = np.int64(-1), np.int64(-1)
    for index in range(here.first_edge, here.first_edge + here.num_opened):
        least, most = bounds_for(edges[index], sign)
        if least == secured and (safe < 0 or edges[index].visits > edges[safe].visits):
            safe = np.int64(index)
        if most > secured and (best < 0 or edges[index].visits > edges[best].visits):
            best = np.int64(index)
    if best < 0 or secured == hope or edges[best].visits == 0:
        return safe
    if safe >= 0 and edge_value(edges[best], sign) < secured:
        return safe
    return best


@njit
def edge_value(edge, sign):
    """Return the mean value of a visited edge within its proven bounds, for player 0 (sign 1) or player 1 (sign -1)."""
    return sign * min(max(edge.value_sum / edge.visits, np.float32(edge.lower)), np.float32(edge.upper))


@njit
def best_line(nodes, edges, actions, node, line):
    """Write the actions of the best edges from a node on, int64[L], and return how many there are."""
    length = 0
    while length < line.size and nodes[node].num_opened > 0:
        edge = best_edge(nodes, edges, node)
        if edge < 0:
            break
        line[length] = actions[edge]
        length += 1
        node = np.int64(edges[edge].child)
    return length


# --- from move to move ----------------------------------------------------------------------------------------------


@njit
def keep_subtree(tree, nodes, edges, priors, actions, root, places, shifts):
    """Make a node the root and drop all that is not below it; places and shifts int32[N] are scratch.

    Preconditions: nothing is in flight. Nodes and blocks of edges keep their order and so only ever move forward.
    """
    num_nodes, num_edges = np.int64(0), np.int64(1)
    edges[ROOT_EDGE] = edges[nodes[root].edge]
    for old in range(tree.num_nodes):
        parent = nodes[old].parent
        places[old] = NO_NODE
        if old != root and (parent == NO_NODE or places[parent] == NO_NODE):
            continue
        places[old] = num_nodes
        here = nodes[num_nodes]
        here.parent = NO_NODE if old == root else places[parent]
        here.edge = ROOT_EDGE if old == root else nodes[old].edge - shifts[parent]
        here.to_play = nodes[old].to_play
        here.value = nodes[old].value
        here.num_edges = nodes[old].num_edges
        here.num_opened = nodes[old].num_opened
        first = nodes[old].first_edge
        shifts[old] = first - num_edges
        here.first_edge = num_edges
        edges[here.edge].child = num_nodes
        for i in range(here.num_edges):
            priors[num_edges + i] = priors[first + i]
            actions[num_edges + i] = actions[first + i]
        for i in range(here.num_opened):
            edges[num_edges + i] = edges[first + i]
        num_nodes += 1
        num_edges += here.num_edges
    tree.num_nodes = num_nodes
    tree.num_edges = num_edges
