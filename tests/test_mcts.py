"""The tree search: against a slow reference, on solved positions, and what must hold of every tree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from agents.mcts.rollouts import by_rollouts, mixed
from agents.mcts.search import REUSE_DEPTH, LeafEvaluator, SearchSettings, TreeLimits, TreeSearch
from agents.mcts.tree import NO_NODE
from games import go
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.endgame import Tables
from games.endgame import solver as endgame_solver
from games.pdn import parse_fen
from games.rules import Game, States, apply, is_over, to_play
from tests.mcts_reference import Node, ReferenceSearch, hashed_evaluator
from tests.tic_tac_toe import TIC_TAC_TOE
from tests.tree_checks import check_tree, flat

GO_4 = go.game(4, komi=0.5)
GAMES = {"tic_tac_toe": TIC_TAC_TOE, "connect_four": CONNECT_FOUR, "checkers": CHECKERS, "go": GO_4}
every_game = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)


def random_positions(game: Game, count: int, plies: int, seed: int = 0) -> States:
    """Return positions [count] after up to this many random actions, none of them over."""
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


def found(search: TreeSearch, t: int = 0) -> tuple[Any, ...]:
    """Return what there is to compare of a tree."""
    root = search.root(t)
    return (root.visits.tolist(), root.values.tolist(), root.lower.tolist(), root.upper.tolist(), root.priors.tolist())


# --- against the reference and by hand ------------------------------------------------------------------------------


@every_game
def test_trees_are_those_of_a_slow_search(game: Game) -> None:
    settings = SearchSettings(c_puct=1.1, fpu_reduction=0.3)
    evaluate = hashed_evaluator(game)
    states = random_positions(game, 6, 40, seed=3)
    search = TreeSearch(game, evaluate, settings, seeds=range(len(states)))
    search.search(states, TreeLimits(visits=200))
    proven = 0
    for t, state in enumerate(states):
        check_tree(search, t)
        reference = ReferenceSearch(game, evaluate, settings, state)
        reference.search(200)
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


# --- what is solved ---------------------------------------------------------------------------------------------------


def solve(states: States, visits: int, leaves: int = 1) -> TreeSearch:
    """Search with random games until the outcome is proven, which it must be."""
    game = GAMES_OF[states.dtype.names] if states.dtype.names in GAMES_OF else go.game_of_record(states)
    search = TreeSearch(game, by_rollouts(game), SearchSettings(leaves=leaves))
    search.search(states, TreeLimits(visits=visits))
    if search._forest.trees["num_nodes"][0] < 3_000:
        check_tree(search)
    incoming = search._forest.edges[0][0]
    assert incoming["lower"] == incoming["upper"], f"not solved by {search.root().visits.sum()} visits"
    return search


GAMES_OF = {game.dtype.names: game for game in (TIC_TAC_TOE, CONNECT_FOUR, CHECKERS)}


@pytest.mark.parametrize("leaves", [1, 8])
@pytest.mark.parametrize("rules", ["standard", "misere"])
def test_tic_tac_toe_is_a_draw(rules: str, leaves: int) -> None:
    states = TIC_TAC_TOE.new(1, rules)
    search = solve(states, 60_000, leaves)
    assert search.analysis().value == 0.0
    if rules == "misere":
        assert search.choose() == 4, "all but the centre lose"
    line = search.analysis().principal_variation
    for action in line:
        apply(states[0], action)
    assert len(line) == 9 and is_over(states[0]), "the proof goes on to the end"


@pytest.mark.parametrize(
    ("columns", "actions"),
    [
        ("4433", (1, 4)),  # three in a row with both ends free comes next
        ("1212", (0,)),  # a third disc in a column
        ("443322", (0, 4)),  # four in a row at once
    ],
)
def test_wins_of_connect_four_are_proven(columns: str, actions: tuple[int, ...]) -> None:
    states = CONNECT_FOUR.new(1)
    for column in columns:
        apply(states[0], int(column) - 1)
    if columns == "1212":  # it is no win yet: the search must see that the block comes
        search = TreeSearch(CONNECT_FOUR, by_rollouts(CONNECT_FOUR))
        search.search(states, TreeLimits(visits=500))
        assert search.root().lower[0] == -1
        return
    search = solve(states, 20_000, 8)
    assert search.analysis().value == 1.0 and search.choose() in actions


@pytest.mark.parametrize(
    ("rows", "columns", "komi", "value", "move"),
    [
        # What Black wins by on boards solved before: 1x2 0, 1x3 3, 1x4 4, 1x5 0 (van der Werf 2003); 2x2 1, 3x3 9.
        (1, 2, 0.5, -1, None),
        (1, 2, 0.0, 0, None),
        (1, 2, -0.5, 1, None),
        (1, 3, 2.5, 1, 1),
        (1, 3, 3.0, 0, None),
        (1, 4, 3.5, 1, None),
        (1, 5, 0.5, -1, None),
        (2, 2, 0.5, 1, None),
        (2, 2, 1.0, 0, None),
        (2, 2, 1.5, -1, None),
        (3, 3, 8.5, 1, 4),  # by nine points, with the centre
    ],
)
def test_small_boards_of_go_are_solved(rows: int, columns: int, komi: float, value: int, move: int | None) -> None:
    states = go.game(rows, columns, komi).new(1)
    search = solve(states, 100_000)
    assert search.analysis().value == value
    assert move is None or search.choose() == move


def test_proofs_of_checkers_endings_agree_with_the_tables() -> None:
    if numba.config.DISABLE_JIT:
        pytest.skip("tables of hundreds of thousands of positions: numba is switched off")
    tables = Tables(3, endgame_solver.solve(3))
    states = CHECKERS.new(60)
    states[:] = [state for state in endings(2_000) if 1 <= (tables.value(state) or (0, 0))[1] <= 7][: len(states)]
    search = TreeSearch(CHECKERS, by_rollouts(CHECKERS), seeds=range(len(states)))
    search.search(states, TreeLimits(visits=3_000))
    proven = 0
    for t, state in enumerate(states):
        value, turns = tables.value(state) or (0, 0)
        root = search.root(t)
        if root.secured == root.upper.max():
            proven += 1
            assert root.value == value
        else:
            assert turns > 3, f"a win in {turns} turns was not proven"
        assert root.value * value > 0.2
    assert proven > 40


def endings(count: int) -> Iterator[Any]:
    """Yield random positions of up to three pieces, either side to move."""
    generator = np.random.default_rng(5)
    for state in CHECKERS.new(count):
        squares = [1 << int(square) for square in generator.permutation(np.arange(4, 28))[:3]]
        split = int(generator.integers(1, 3))
        state.black, state.white = sum(squares[:split]), sum(squares[split:])
        state.kings = sum(square for square in squares if generator.random() < 0.5)
        state.to_play = int(generator.integers(2))
        if not is_over(state):
            yield state


# --- many trees, many leaves ------------------------------------------------------------------------------------------


@every_game
@pytest.mark.parametrize(
    "settings",
    [SearchSettings(noise_fraction=0.25), SearchSettings(leaves=4), SearchSettings(gumbel_actions=4)],
    ids=["noise", "leaves", "gumbel"],
)
def test_a_batch_of_trees_is_its_trees_alone(game: Game, settings: SearchSettings) -> None:
    states = random_positions(game, 5, 12, seed=1)
    evaluate, limits = hashed_evaluator(game), TreeLimits(visits=60)
    together = TreeSearch(game, evaluate, settings, seeds=range(5))
    together.search(states, limits)
    for t in range(5):
        alone = TreeSearch(game, evaluate, settings, seeds=[t])
        alone.search(states[t : t + 1], limits)
        assert found(alone) == found(together, t)
        assert alone.analysis() == together.analysis(t)
        check_tree(together, t)


def test_equal_seeds_grow_equal_trees_and_others_do_not() -> None:
    def grow(seed: int) -> tuple[Any, ...]:
        search = TreeSearch(CHECKERS, hashed_evaluator(CHECKERS), SearchSettings(noise_fraction=0.5), seeds=[seed])
        search.search(CHECKERS.new(1), TreeLimits(visits=80))
        return (*found(search), [search.choose(temperature=1.0) for _ in range(20)])

    assert grow(1) == grow(1)
    assert grow(1) != grow(2)


@every_game
@pytest.mark.parametrize("leaves", [1, 3, 8])
def test_visits_add_up_over_a_whole_game(game: Game, leaves: int) -> None:
    """Trees are kept from move to move, moves of both players and multi-jumps included."""
    states = game.new(1)
    search = TreeSearch(game, hashed_evaluator(game), SearchSettings(leaves=leaves), seeds=[4])
    kept = 0
    for _ in range(30):
        if is_over(states[0]):
            break
        search.begin(states)
        before = int(search._forest.edges[0][0]["visits"]) if search._forest.trees["num_nodes"][0] else 0
        kept += before > 1
        search.search(states, TreeLimits(visits=70))
        check_tree(search)
        root = search.root()
        assert root.visits.sum() == 70 or root.secured == root.upper.max()
        apply(states[0], search.choose(temperature=1.0))
    assert kept > 2


def test_a_kept_tree_is_what_was_below_the_move() -> None:
    states = CONNECT_FOUR.new(1)
    search = TreeSearch(CONNECT_FOUR, hashed_evaluator(CONNECT_FOUR))
    search.search(states, TreeLimits(visits=400))
    action = search.choose()
    line = search.principal_variation(0, action)
    visits = search.root().visits[search.root().actions.tolist().index(action)]
    apply(states[0], action)
    search.begin(states)
    check_tree(search)
    assert search.root().visits.sum() == visits - 1
    assert search.principal_variation(0, search.choose()) == line[1:]
    unknown = random_positions(CONNECT_FOUR, 1, 30, seed=9)
    search.begin(unknown)
    assert search._forest.trees["num_nodes"][0] == 0


def test_the_same_position_by_another_way_is_another() -> None:
    """What a tree knows belongs to its history: superko and repetitions hang on it."""
    search = TreeSearch(GO_4, hashed_evaluator(GO_4))
    states = GO_4.new(1)
    search.search(states, TreeLimits(visits=2_000))
    for actions in ((0, 5, 10), (10, 5, 0)):
        node = search._find(0, after(states, actions))
        assert node == NO_NODE or actions_to(search, node) == actions


@every_game
def test_positions_near_the_root_are_found_again(game: Game) -> None:
    search, states = TreeSearch(game, hashed_evaluator(game)), game.new(1)
    search.search(states, TreeLimits(visits=300))
    for actions in (actions_to(search, node) for node in range(search._forest.trees["num_nodes"][0])):
        position = after(states, actions)
        node = search._find(0, position)
        assert (node == NO_NODE) == (len(actions) > REUSE_DEPTH)
        assert node == NO_NODE or after(states, actions_to(search, node)).tobytes() == position.tobytes()


def actions_to(search: TreeSearch, node: int) -> tuple[int, ...]:
    """Return the actions that lead from the root to a node."""
    nodes, actions = search._forest.nodes[0], []
    while node:
        actions.append(int(search._forest.actions[0][nodes[node]["edge"]]))
        node = int(nodes[node]["parent"])
    return tuple(actions[::-1])


def after(states: States, actions: tuple[int, ...]) -> States:
    """Return what becomes of a position [1] when actions are played."""
    states = states.copy()
    for action in actions:
        apply(states[0], action)
    return states


@every_game
@pytest.mark.parametrize("settings", [SearchSettings(), SearchSettings(gumbel_actions=4)], ids=["puct", "gumbel"])
def test_a_look_ahead_changes_no_tree(game: Game, settings: SearchSettings) -> None:
    """What is evaluated beside the one leaf that a tree waits for is only there sooner, from move to move, too."""
    grown, calls = [], []
    for leaves in (1, 8):
        evaluate = Counted(hashed_evaluator(game))
        search = TreeSearch(game, evaluate, replace(settings, leaves=leaves, visits_per_leaf=1000), seeds=range(3))
        states, trees = random_positions(game, 3, 10, seed=6), []
        while len(trees) < 9 and not any(is_over(state) for state in states):
            search.search(states, TreeLimits(visits=150))
            for t in range(3):
                check_tree(search, t)
                trees.append(found(search, t))
                apply(states[t], search.choose(t))
        grown.append(trees)
        calls.append(evaluate.calls)
    assert grown[0] == grown[1]
    assert calls[1] < 0.7 * calls[0], "much of what was looked at ahead was asked for"


class Counted:
    """An evaluator that counts its calls."""

    def __init__(self, evaluate: LeafEvaluator) -> None:
        self.evaluate, self.calls = evaluate, 0

    def __call__(self, states: States) -> tuple[Any, Any]:
        self.calls += 1
        return self.evaluate(states)


def test_many_leaves_at_once_find_what_one_at_a_time_finds() -> None:
    states = random_positions(CONNECT_FOUR, 12, 20, seed=2)
    evaluate = hashed_evaluator(CONNECT_FOUR)
    chosen = []
    for leaves in (1, 8):
        search = TreeSearch(CONNECT_FOUR, evaluate, SearchSettings(leaves=leaves), seeds=range(12))
        search.search(states, TreeLimits(visits=600))
        chosen.append([search.choose(t) for t in range(12)])
    assert np.mean(np.equal(*chosen)) >= 0.75


# --- limits -----------------------------------------------------------------------------------------------------------


def test_limits_are_kept() -> None:
    states = CONNECT_FOUR.new(2)
    evaluate = by_rollouts(CONNECT_FOUR)
    search = TreeSearch(CONNECT_FOUR, evaluate, SearchSettings(leaves=8, visits_per_leaf=1), seeds=(0, 1))
    search.search(states, TreeLimits(visits=100))
    assert [search.root(t).visits.sum() for t in (0, 1)] == [100, 100]
    search.search(states, TreeLimits(visits=100))
    assert [search.root(t).visits.sum() for t in (0, 1)] == [100, 100], "nothing is left to do"
    search.search(states, TreeLimits(nodes=500))
    assert 480 <= search._forest.trees["num_nodes"].min() <= search._forest.trees["num_nodes"].max() <= 500
    forest, grown = search._forest, search._forest.trees["num_nodes"].tolist()
    search.search(states, TreeLimits(nodes=500))
    search.search(states, TreeLimits(nodes=20))
    assert search._forest is forest and forest.trees["num_nodes"].tolist() == grown, "the trees are full"
    search.search(states, TreeLimits(seconds=0.05))
    assert search.root().visits.sum() > 500
    steps: list[int] = []

    def stop_soon(search: TreeSearch) -> None:
        steps.append(int(search.root().visits.sum()))
        if len(steps) == 3:
            search.stop()

    search.clear()
    search.search(states, TreeLimits(), stop_soon)
    assert 0 < steps[0] < steps[1] < steps[2] <= 1 + 8 + 8, "one leaf, then those that were looked at ahead of it too"
    search.search(states[:1], TreeLimits(visits=50))
    assert [search.root(t).visits.sum() for t in (0, 1)] == [50, steps[2]], "fewer positions than trees"


def test_a_search_goes_on_after_an_evaluator_has_failed() -> None:
    states, evaluate, calls_left = CONNECT_FOUR.new(1), hashed_evaluator(CONNECT_FOUR), [3]

    def fail_once(leaves: States) -> tuple[Any, Any]:
        calls_left[0] -= 1
        if calls_left[0] == 0:
            raise MemoryError
        return evaluate(leaves)

    search = TreeSearch(CONNECT_FOUR, fail_once, SearchSettings(leaves=4))
    with pytest.raises(MemoryError):
        search.search(states, TreeLimits(visits=50))
    search.search(states, TreeLimits(visits=50, seconds=5))
    assert search.root().visits.sum() == 50
    check_tree(search)


def test_a_small_tree_waits_for_few_leaves_at_once() -> None:
    evaluate = hashed_evaluator(GO_4)
    for visits, is_equal in ((19, True), (200, False)):
        trees = []
        for leaves in (1, 8):
            search = TreeSearch(GO_4, evaluate, SearchSettings(leaves=leaves, visits_per_leaf=10))
            search.search(GO_4.new(1), TreeLimits(visits=visits))
            trees.append(found(search))
        assert (trees[0] == trees[1]) == is_equal, "a root of 20 visits waits for two at once"


# --- evaluators -------------------------------------------------------------------------------------------------------


def test_random_games_are_fair_and_depend_on_position_and_seed_alone() -> None:
    states = random_positions(CONNECT_FOUR, 8, 10, seed=4)
    once, again = by_rollouts(CONNECT_FOUR, 4, seed=1), by_rollouts(CONNECT_FOUR, 4, seed=1)
    values = once(states)[1]
    assert np.array_equal(values, again(states)[1])
    assert np.array_equal(values[3:4], again(states[3:4])[1])
    assert not np.array_equal(values, by_rollouts(CONNECT_FOUR, 4, seed=2)(states)[1])
    start = by_rollouts(CONNECT_FOUR, 20_000)(CONNECT_FOUR.new(1))[1][0]
    assert abs(start - 0.111) < 0.02, "the first player wins 55.6 % of random games and loses 44.1 %"


def test_random_games_of_go_end_by_its_own_kernel() -> None:
    for komi, value in ((25.5, -1.0), (-25.5, 1.0)):
        game = go.game(5, komi=komi)
        logits, values = by_rollouts(game, 3)(game.new(1))
        assert values[0] == value
    assert logits.argmin() == 25 and np.ptp(logits[0, :25]) == 0.0, "a pass is unlikely"


def test_mixed_values_keep_the_networks_logits() -> None:
    states = random_positions(CONNECT_FOUR, 4, 10)
    network, rollouts = hashed_evaluator(CONNECT_FOUR), by_rollouts(CONNECT_FOUR, 2)
    logits, values = mixed(network, rollouts, 0.25)(states)
    assert np.array_equal(logits, network(states)[0])
    assert np.allclose(values, 0.75 * network(states)[1] + 0.25 * rollouts(states)[1])


def test_every_evaluation_is_of_a_leaf_of_each_tree() -> None:
    seen: list[States] = []

    def evaluate(states: States) -> tuple[Any, Any]:
        seen.append(states.copy())
        return np.zeros((len(states), 7), np.float32), np.zeros(len(states), np.float32)

    states = random_positions(CONNECT_FOUR, 3, 8)
    TreeSearch(CONNECT_FOUR, evaluate, seeds=range(3)).search(states, TreeLimits(visits=2))
    assert np.array_equal(seen[0], states) and [len(leaves) for leaves in seen] == [3, 3, 3]
