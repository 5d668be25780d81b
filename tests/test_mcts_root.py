"""The root of a search: noise, temperature, and sequential halving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.mcts.root import RootStatistics, gumbel_choice, halving_schedule, visit_policy
from agents.mcts.search import SearchSettings, TreeLimits, TreeSearch
from games.connect_four import CONNECT_FOUR
from games.rules import apply
from tests.mcts_reference import hashed_evaluator
from tests.tree_checks import check_tree, flat

# --- the root ---------------------------------------------------------------------------------------------------------


def test_noise_is_mixed_into_new_roots_only() -> None:
    states = CONNECT_FOUR.new(1)
    priors = [1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]
    clean = np.array(priors) / sum(priors)
    settings = SearchSettings(noise_fraction=0.25, noise_alpha=7.0)
    search = TreeSearch(CONNECT_FOUR, flat(priors), settings, seeds=[11])
    search.search(states, TreeLimits(visits=50))
    noise = np.random.default_rng(11).dirichlet(np.full(7, 1.0))
    assert np.allclose(search.root().priors, 0.75 * clean + 0.25 * noise, atol=1e-6)
    check_tree(search)
    search.search(states, TreeLimits(visits=100))
    assert np.allclose(search.root().priors, 0.75 * clean + 0.25 * noise, atol=1e-6), "mixed in twice"
    apply(states[0], 3)
    search.begin(states)
    assert np.allclose(search.root().priors, clean, atol=1e-6), "below the root there is none"
    search.search(states, TreeLimits(visits=100))
    assert not np.allclose(search.root().priors, clean, atol=1e-3)


def test_temperature_shapes_the_policy() -> None:
    states = CONNECT_FOUR.new(1)
    search = TreeSearch(CONNECT_FOUR, hashed_evaluator(CONNECT_FOUR))
    search.search(states, TreeLimits(visits=200))
    visits = search.root().visits
    assert np.allclose(search.policy(0, 1.0), visits / visits.sum())
    assert np.allclose(search.policy(0, 0.5), visits**2 / (visits**2).sum())
    assert search.policy(0, 0.0).max() == 1.0 and visits[search.policy(0, 0.0).argmax()] == visits.max()
    drawn = np.bincount([search.choose(0, 1.0) for _ in range(3000)], minlength=7) / 3000
    assert np.abs(drawn - visits / visits.sum()).max() < 0.04


def test_what_is_proven_lost_is_never_drawn() -> None:
    states = CONNECT_FOUR.new(1)
    for action in (3, 2, 3, 2, 3):
        apply(states[0], action)  # all but column 3 lose at once
    search = TreeSearch(CONNECT_FOUR, flat([1.0] * 7), SearchSettings(c_puct=5.0))
    search.search(states, TreeLimits(visits=300))
    assert (search.root().upper == -1).sum() >= 5
    assert {search.choose(0, 5.0) for _ in range(100)} <= set(np.flatnonzero(search.root().upper > -1).tolist())


def test_a_proven_draw_is_preferred_to_what_is_thought_worse() -> None:
    root = RootStatistics(
        sign=1,
        actions=np.arange(4),
        priors=np.full(4, 0.25),
        visits=np.array([6, 34, 50, 3]),
        values=np.array([-0.9, 0.0, -0.2, 0.4]),
        lower=np.array([-1, 0, -1, -1]),
        upper=np.array([1, 0, 1, 1]),
        value=0.0,
        own_value=0.0,
        secured=0,
        best=1,
    )
    assert root.live.tolist() == [False, True, False, True]
    assert np.allclose(visit_policy(root, 1.0), [0, 34 / 37, 0, 3 / 37])
    assert gumbel_choice(root, np.zeros(4, np.float32)) == 1
    lost = replace(root, secured=-1, lower=np.full(4, -1), upper=np.array([-1, 1, 1, -1]))
    assert lost.live.tolist() == [False, True, True, False]
    solved = replace(root, upper=np.array([-1, 0, 0, 0]))
    assert solved.live.tolist() == [False, True, False, False]
    hopeless = replace(lost, values=np.full(4, -1.0), upper=np.full(4, -1))
    assert hopeless.live.all() and gumbel_choice(hopeless, np.zeros(4, np.float32)) == 2


# --- Gumbel (Danihelka et al. 2022) -----------------------------------------------------------------------------------


def test_halving_shares_simulations_as_the_paper_does() -> None:
    """Figure 1 of the paper: 200 simulations of 16 actions are 3, 6, 12 and 25 more for 16, 8, 4 and 2 actions."""
    schedule = halving_schedule(16, 200)
    sizes = np.bincount(schedule[:, 1])
    phases = [int(size) for size in sizes if size]
    assert phases[:4] == [48, 48, 48, 50]
    assert np.bincount(schedule[:, 0])[:4].tolist() == [16, 16, 16, 8]
    assert schedule[:194, 0].max() == 3 + 6 + 12 + 25 - 1
    assert halving_schedule(1, 5).tolist() == [[0, 0], [1, 0], [2, 0], [3, 0], [4, 0]]
    assert halving_schedule(4, 2)[:, 0].tolist() == [0, 0]


@pytest.mark.parametrize("leaves", [1, 8])
def test_gumbel_plays_what_the_formulas_say(leaves: int) -> None:
    """Five of seven columns considered, 40 simulations: replayed here with the values that the search found."""
    states = CONNECT_FOUR.new(1)
    settings = SearchSettings(gumbel_actions=5, leaves=leaves)
    for seed in range(20):
        search = TreeSearch(CONNECT_FOUR, hashed_evaluator(CONNECT_FOUR, 1.0), settings, seeds=[seed])
        search.search(states, TreeLimits(visits=40))
        check_tree(search)
        root, logits = search.root(), np.log(search.root().priors)
        gumbels = np.random.default_rng(seed).gumbel(size=7).astype(np.float32)
        considered = np.sort(np.argsort(-(gumbels + logits))[:5])
        assert np.flatnonzero(root.visits).tolist() == considered.tolist()
        # Three phases: 5 actions get 2 visits each, the best 2 of them 6, and these 2 again 6 and what is left.
        assert sorted(root.visits)[:5] == [0, 0, 2, 2, 2]
        assert root.visits.sum() == 40
        finalists = np.flatnonzero(root.visits == root.visits.max())
        sigmas = (50 + root.visits.max()) * (1 + root.values) / 2
        best = finalists[np.argmax((gumbels + logits + sigmas)[finalists])]
        assert search.choose() == best and search.policy().max() == 1.0


def test_gumbel_draws_from_the_prior_where_values_say_nothing() -> None:
    """Without values the choice is argmax(g + logits), which is a draw from the softmax of the logits."""
    priors = np.array([4.0, 1, 1, 2, 1, 1, 2])
    count = 2000
    search = TreeSearch(CONNECT_FOUR, flat(priors.tolist()), SearchSettings(gumbel_actions=4), seeds=range(count))
    search.search(CONNECT_FOUR.new(count), TreeLimits(visits=4))
    drawn = np.bincount([search.choose(t) for t in range(count)], minlength=7) / count
    assert np.abs(drawn - priors / priors.sum()).max() < 0.035


def test_the_improved_policy_completes_values_by_the_mixed_one() -> None:
    states = CONNECT_FOUR.new(1)
    search = TreeSearch(CONNECT_FOUR, hashed_evaluator(CONNECT_FOUR), SearchSettings(gumbel_actions=3), seeds=[5])
    search.search(states, TreeLimits(visits=12))
    root = search.root()
    visited = root.visits > 0
    weighted = (root.priors * root.values)[visited].sum() / root.priors[visited].sum()
    mixed_value = (root.own_value + 12 * weighted) / (1 + 12)
    completed = np.where(visited, root.values, mixed_value)
    scores = np.log(root.priors) + (50 + root.visits.max()) * (1 + completed) / 2
    expected = np.exp(scores - scores.max())
    assert np.allclose(search.improved_policy(), expected / expected.sum())
    assert root.own_value == hashed_evaluator(CONNECT_FOUR)(states)[1][0]


def test_without_a_number_of_visits_to_halve_the_root_is_searched_by_puct() -> None:
    limits = TreeLimits(nodes=200)
    halving, plain = (
        TreeSearch(CONNECT_FOUR, hashed_evaluator(CONNECT_FOUR), SearchSettings(gumbel_actions=count))
        for count in (4, 0)
    )
    for search in (halving, plain):
        search.search(CONNECT_FOUR.new(1), limits)
    assert halving.root().visits.tolist() == plain.root().visits.tolist()
    assert halving.root().visits[halving.choose()] == plain.root().visits.max()
