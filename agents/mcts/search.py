"""TreeSearch: many games searched in step, so that every evaluation is of a full batch; trees live on between moves.

B trees, A actions, W mask words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agents.analysis import Analysis, MoveAnalysis
from agents.mcts.root import (
    RootStatistics,
    gumbel_choice,
    halving_schedules,
    improved_policy,
    mix_priors,
    root_statistics,
    visit_policy,
)
from agents.mcts.simulate import Ahead, Formula, GumbelRoot, Leaves, Opened, absorb, collect, find_below
from agents.mcts.tree import EDGE, NO_NODE, ROOT, ROOT_EDGE, best_line, keep_subtree, make_forest, restrict
from games.compiled import NDArray
from games.rules import Game, States

LeafEvaluator = Callable[[States], tuple[NDArray, NDArray]]  # records [n] -> logits [n, A], the movers' values [n]

TREE_BYTES = 2**30  # that all trees may take together where no limit on visits or nodes is set
EDGE_BYTES = EDGE.itemsize + 4 + 2  # with its prior and its action
MOST_NODES = 2**20  # of a tree without a limit
MOST_EDGES = 2**31 - 1  # of any tree: nodes tell theirs by int32
UNLIMITED = np.int64(2**62)  # simulations
LONGEST_LINE = 64  # actions of a principal variation
LOOKS = 6  # ahead at the most, for each leaf beside the one a tree waits for: most find what is known already
AHEAD = 64  # evaluations kept ahead, for each leaf that is evaluated beside the one a tree waits for
MOST_AHEAD = 4096  # of them, or twice the leaves: each is looked for among all
REUSE_DEPTH = 4  # actions below the old root that a new position is looked for: one move each, multi-jumps included


@dataclass(frozen=True)
class SearchSettings:
    """How a tree is searched; the defaults are for play."""

    c_puct: float = 1.25  # weight of the prior against the value
    fpu_reduction: float = 0.25  # what an action that was not tried yet is worth below its position
    leaves: int = 1  # positions of one tree that are evaluated together at the most
    visits_per_leaf: int = 16  # of the root, for each of them that it waits for; the others are looked at ahead
    virtual_loss: float = 0.25  # returns that a simulation under way is assumed to lose against its action's mean
    noise_fraction: float = 0.0  # of the root's priors that is Dirichlet noise; 0.25 in AlphaGo Zero's self-play
    noise_alpha: float = 10.0  # its concentration, over the number of legal actions (AlphaGo Zero: 0.03 on 361 points)
    gumbel_actions: int = 0  # that the root halves within its visits (Danihelka et al. 2022); 0 or no such limit: PUCT


@dataclass(frozen=True)
class TreeLimits:
    """When a search ends, each tree by itself; all 0: when it is stopped, or memory for trees is used up."""

    visits: int = 0  # simulations below the root, those kept from an earlier search included
    nodes: int = 0  # positions in the tree
    seconds: float = 0.0  # wall-clock time


def most_nodes(limits: TreeLimits) -> int:
    """Return how many nodes a tree of these limits may have."""
    given = [limits.visits + 2] if limits.visits else []  # the root, and one to spare
    given += [limits.nodes] if limits.nodes else []
    return min(given, default=MOST_NODES)


class TreeSearch:
    """Monte Carlo tree search of one tree for each seed, with one evaluator; equal seeds and positions, equal trees."""

    def __init__(
        self, game: Game, evaluate: LeafEvaluator, settings: SearchSettings | None = None, seeds: Sequence[int] = (0,)
    ) -> None:
        self.game = game
        self.settings = settings or SearchSettings()
        self.evaluate = evaluate
        num_trees, num_leaves = len(seeds), len(seeds) * self.settings.leaves
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._roots = np.zeros(num_trees, game.dtype)
        self._forest = make_forest(num_trees, 2, game.num_actions)
        self._leaves = Leaves(
            states=np.zeros(num_leaves, game.dtype),
            trees=np.zeros(num_leaves, np.int32),
            nodes=np.zeros(num_leaves, np.int32),
            actions=np.zeros(num_leaves, np.int32),
            collided_trees=np.zeros(num_leaves, np.int32),
            collided_nodes=np.zeros(num_leaves, np.int32),
            counts=np.zeros(2, np.int64),
        )
        beside = self.settings.leaves - 1
        kept = min(AHEAD * beside, max(MOST_AHEAD, 2 * beside))
        self._ahead = Ahead(
            nodes=np.full((num_trees, kept), NO_NODE, np.int32),
            actions=np.zeros((num_trees, kept), np.int32),
            logits=np.zeros((num_trees, kept, game.num_actions), np.float32),
            values=np.zeros((num_trees, kept), np.float32),
            next_slot=np.zeros(num_trees, np.int32),
        )
        self._opened = Opened(*np.zeros((3, LOOKS * beside), np.int32))
        self._mask = np.zeros(game.mask_words, np.uint64)
        formula = Formula(
            float(self.settings.c_puct), float(self.settings.fpu_reduction), float(self.settings.virtual_loss)
        )
        self._formulas = (formula, formula._replace(virtual_loss=0.0))
        self._gumbels = np.zeros((num_trees, game.num_actions), np.float32)
        self._puct_root = GumbelRoot(self._gumbels, np.zeros((0, 0, 2), np.int32))
        self._is_fresh = np.ones(num_trees, bool)  # roots that have drawn nothing yet
        self._scratch = np.zeros(REUSE_DEPTH + 1, game.dtype)  # the positions on a way down from a root
        self._stopped = False
        self._is_restricted = False  # the trees: at their roots some actions were left out

    def __len__(self) -> int:
        """Return B, the number of trees."""
        return len(self._roots)

    # --- searching ----------------------------------------------------------------------------------------------------

    def begin(self, states: States) -> None:
        """Make positions the roots of the first trees, keeping what is known of each; precondition: no game is over."""
        for t in range(len(states)):
            node = NO_NODE if self.settings.gumbel_actions else self._find(t, states[t : t + 1])
            if node != ROOT:
                self._cut_loose(t, node)
            self._roots[t] = states[t]

    def search(
        self,
        states: States,
        limits: TreeLimits,
        on_step: Callable[[TreeSearch], None] | None = None,
        permitted: NDArray | None = None,
    ) -> None:
        """Search positions, B at the most, until every tree has reached a limit or is solved.

        on_step is called after each evaluation. Of the actions at the roots only those `permitted`, bool[A], are
        searched, in trees that begin anew. An evaluator that raises leaves all trees empty. Precondition: no game is
        over, and every position has an action that is permitted.
        """
        start = time.perf_counter()
        self._stopped = False
        if permitted is not None or self._is_restricted:
            self.clear()
        self._is_restricted = permitted is not None
        self.begin(states)
        self._make_room(limits)
        left = self._forest.trees["simulations_left"]
        left[:] = 0
        left[: len(states)] = self._forest.trees["num_nodes"][: len(states)] == 0
        if left.any():
            self._step(self._puct_root)  # evaluates the roots that no tree knew
        if permitted is not None:
            for t in range(len(states)):
                restrict(self._forest.nodes[t], self._forest.priors[t], self._forest.actions[t], ROOT, permitted)
        for t in range(len(states)):
            self._draw_lots(t)
        left[: len(states)] = self._budgets(limits, len(states))
        gumbel = self._gumbel_root(limits)
        while left.any() and not self._stopped:
            self._step(gumbel)
            if on_step is not None:
                on_step(self)
            if limits.seconds and time.perf_counter() - start >= limits.seconds:
                break

    def stop(self) -> None:
        """End the search under way after the evaluation it waits for."""
        self._stopped = True

    def _step(self, gumbel: GumbelRoot) -> None:
        leaves = self._leaves
        try:
            collect(
                self._forest, self._roots, leaves, self._ahead, self._opened, self._mask, self._formulas, gumbel,
                self.settings.leaves, self.settings.visits_per_leaf,
            )  # fmt: skip
            count = int(leaves.counts[0])
            if count:
                logits, values = self.evaluate(leaves.states[:count])
            else:  # every simulation ended with its game
                logits, values = self._gumbels[:0], np.zeros(0, np.float32)
            absorb(self._forest, leaves, self._ahead, logits, values)
        except BaseException:  # simulations in flight would be waited for ever
            self.clear()
            raise

    def _make_room(self, limits: TreeLimits) -> None:
        """Have memory for as many nodes as the limits allow."""
        num_trees, actions = len(self._roots), self.game.num_actions
        wanted = most_nodes(limits)
        if not (limits.visits or limits.nodes):
            wanted = min(wanted, TREE_BYTES // (num_trees * actions * EDGE_BYTES))
        old, old_trees = self._forest, self._forest.trees
        if wanted > old.nodes.shape[1]:
            self._forest = make_forest(num_trees, wanted, actions)
            self._forest.trees[:] = old_trees
            for t in range(num_trees):
                nodes, edges = int(old_trees["num_nodes"][t]), int(old_trees["num_edges"][t])
                self._forest.nodes[t, :nodes] = old.nodes[t, :nodes]
                self._forest.edges[t, :edges] = old.edges[t, :edges]
                self._forest.priors[t, :edges] = old.priors[t, :edges]
                self._forest.actions[t, :edges] = old.actions[t, :edges]
        self._forest.trees["node_limit"] = wanted

    def _draw_lots(self, t: int) -> None:
        """Mix noise into the priors of a new root, or draw its Gumbel variables; each tree has its own generator."""
        if not self._is_fresh[t]:
            return
        self._is_fresh[t] = False
        settings, generator = self.settings, self._generators[t]
        if settings.gumbel_actions:
            self._gumbels[t] = generator.gumbel(size=self.game.num_actions)
        elif settings.noise_fraction:
            nodes, priors, actions = self._forest.nodes[t], self._forest.priors[t], self._forest.actions[t]
            first, count = int(nodes[ROOT]["first_edge"]), int(nodes[ROOT]["num_edges"])
            noise = np.zeros(self.game.num_actions, np.float32)
            legal = np.sort(actions[first : first + count])
            noise[legal] = generator.dirichlet(np.full(count, settings.noise_alpha / count))
            mix_priors(nodes, priors, actions, noise, np.float32(settings.noise_fraction))

    def _budgets(self, limits: TreeLimits, num_trees: int) -> NDArray:
        """Return the simulations that each of the first trees may still make, int64[num_trees]."""
        incoming = self._forest.edges[:num_trees, ROOT_EDGE]
        if limits.visits:
            budgets = np.maximum(limits.visits + 1 - incoming["visits"].astype(np.int64), 0)
        else:
            budgets = np.full(num_trees, UNLIMITED)
        return np.where(incoming["lower"] == incoming["upper"], 0, budgets)

    def _gumbel_root(self, limits: TreeLimits) -> GumbelRoot:
        if not (self.settings.gumbel_actions and limits.visits):
            return self._puct_root
        return GumbelRoot(self._gumbels, halving_schedules(self.settings.gumbel_actions, limits.visits))

    # --- from move to move --------------------------------------------------------------------------------------------

    def _find(self, t: int, target: States) -> int:
        """Return the node of tree t that holds exactly this position [1], the nearest to its root; NO_NODE if none."""
        forest, states = self._forest, self._scratch
        if not forest.trees[t]["num_nodes"]:
            return NO_NODE
        target_bytes = target.copy().view(np.uint8)
        for depth in range(len(states)):
            states[depth] = self._roots[t]
            node = find_below(forest.nodes[t], forest.edges[t], forest.actions[t], ROOT, depth, states, target_bytes)
            if node != NO_NODE:
                return int(node)
        return NO_NODE

    def _cut_loose(self, t: int, node: int) -> None:
        """Make a node of tree t its root; NO_NODE empties the tree."""
        forest = self._forest
        tree = forest.trees[t]
        is_ready = node != NO_NODE and forest.nodes[t][node]["num_edges"] > 0
        above = self._ahead.nodes[t]
        if not is_ready:
            tree["num_nodes"] = 0
            above[:] = NO_NODE
        else:
            places, shifts = np.zeros((2, int(tree["num_nodes"])), np.int32)
            keep_subtree(
                tree, forest.nodes[t], forest.edges[t], forest.priors[t], forest.actions[t], node, places, shifts
            )
            above[:] = np.where(above == NO_NODE, NO_NODE, places[above])
        self._is_fresh[t] = True

    def clear(self) -> None:
        """Forget all trees; the generators draw on."""
        self._forest.trees["num_nodes"] = 0
        self._ahead.nodes[:] = NO_NODE
        self._is_fresh[:] = True

    # --- what was found -----------------------------------------------------------------------------------------------

    def root(self, t: int = 0) -> RootStatistics:
        """Return what tree t knows of its root's actions."""
        return root_statistics(self._forest, t)

    def policy(self, t: int = 0, temperature: float = 0.0) -> NDArray:
        """Return what to play with which probability, float64[A]; after a Gumbel search the one action it chose."""
        root = self.root(t)
        policy = np.zeros(self.game.num_actions)
        if self.settings.gumbel_actions:
            policy[root.actions[gumbel_choice(root, self._gumbels[t])]] = 1.0
        else:
            policy[root.actions] = visit_policy(root, temperature)
        return policy

    def improved_policy(self, t: int = 0) -> NDArray:
        """Return the target for a policy network, float64[A]: softmax of logits and completed values."""
        root = self.root(t)
        policy = np.zeros(self.game.num_actions)
        policy[root.actions] = improved_policy(root)
        return policy

    def choose(self, t: int = 0, temperature: float = 0.0) -> int:
        """Return an action by `policy`; random numbers come from the tree's generator."""
        policy = self.policy(t, temperature)
        if policy.max() == 1.0:
            return int(np.argmax(policy))
        return int(self._generators[t].choice(len(policy), p=policy))

    def analysis(self, t: int = 0, temperature: float = 0.0, seconds: float = 0.0) -> Analysis:
        """Choose an action in tree t and tell why: all moves, the most visited first, with player 0's values."""
        root, action = self.root(t), self.choose(t, temperature)
        moves = [
            MoveAnalysis(
                action=int(root.actions[i]),
                visits=int(root.visits[i]),
                prior=float(root.priors[i]),
                value=root.sign * float(root.values[i]) if root.visits[i] else None,
                principal_variation=self.principal_variation(t, int(root.actions[i])) if root.visits[i] else (),
            )
            for i in np.lexsort((-root.priors, -root.visits))
        ]
        line = self.principal_variation(t, action)
        return Analysis(
            action=action,
            value=root.sign * root.value,
            principal_variation=line,
            depth=len(line),
            nodes=int(root.visits.sum()),
            seconds=seconds,
            moves=tuple(moves),
        )

    def principal_variation(self, t: int, action: int) -> tuple[int, ...]:
        """Return the expected actions from tree t's root on, the given one first, as far as they were tried."""
        nodes, edges, actions = self._forest.nodes[t], self._forest.edges[t], self._forest.actions[t]
        first, opened = int(nodes[ROOT]["first_edge"]), int(nodes[ROOT]["num_opened"])
        found = np.flatnonzero(actions[first : first + opened] == action)
        if not len(found):
            return (action,)
        line = np.zeros(LONGEST_LINE, np.int64)
        length = best_line(nodes, edges, actions, int(edges[first + found[0]]["child"]), line)
        return (action, *line[:length].tolist())
