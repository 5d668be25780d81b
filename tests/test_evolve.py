"""Co-evolution: the published formulas and settings, and what learning and selection do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from agents.evaluators import SCORE_UNIT
from agents.evolution.anaconda_learning import gradient
from agents.evolution.arena import Arena, GameTrace
from agents.evolution.config import PRESETS, EvolveConfig
from agents.evolution.evolve import (
    TAU,
    best_network,
    control_starts,
    draw_pairings,
    evolve,
    first_population,
    first_state,
    learn,
    offspring_of,
    points,
    random_starts,
    remember,
    replace_worst,
)
from games.checkers import CHECKERS, NO_JUMPER, RULE_SETS
from games.compiled import NDArray
from games.rules import States, hash_key, is_over
from nets.anaconda_layout import NUM_WEIGHTS, OUTPUT_BIAS

needs_jit = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="whole games: numba is switched off")

POPULATION = EvolveConfig(depth=1, extension=0, parents=3, games_as_first=2, generations=4, control_depth=1)
MEMETIC = replace(
    PRESETS["modern"],
    depth=1,
    parents=2,
    openings=2,
    memory=300,
    batch_size=16,
    steps=4,
    selection_period=2,
    generations=4,
    control_depth=1,
)


class FakeArena:
    """Decides every game by which of the two evaluators is stronger."""

    def __init__(self, strength: Callable[[Any], float]) -> None:
        self.strength = strength
        self.games = 0

    def play(
        self, first: NDArray, second: NDArray, pairings: NDArray, starts: States, depths: tuple[int, int]
    ) -> Iterator[float]:
        assert (starts == CHECKERS.new(1, "anaconda")).all()
        assert depths == (4, 4)
        for i, j, _ in pairings:
            self.games += 1
            yield float(np.sign(self.strength(first[i]) - self.strength(second[j])))


def evolved(config: EvolveConfig, arena: Any) -> dict[str, NDArray]:
    *_, (state, _) = evolve(config, first_state(config), 0, arena)
    return state


def as_bytes(state: dict[str, NDArray]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state.items()}


# --- the published method ---------------------------------------------------------------------------------------------


def test_the_paper_preset_is_the_published_method() -> None:
    published = {
        "method": "population",
        "generations": 840,
        "parents": 15,
        "games_as_first": 5,
        "win_points": 1.0,
        "loss_points": -2.0,
        "weight_range": 0.2,
        "sigma": 0.05,
        "king_value": 2.0,
        "depth": 4,
        "extension": 2,
        "rules": "anaconda",
    }
    assert {name: getattr(PRESETS["paper"], name) for name in published} == published
    assert RULE_SETS["anaconda"] == {"man_moves_count": 1, "quiet_limit": 0, "ply_limit": 200, "repeat_limit": 0}
    assert round(TAU, 4) == 0.0839


def test_the_first_population_is_uniform() -> None:
    first = first_population(PRESETS["paper"])
    assert first["weights"].shape == first["sigmas"].shape == (15, 5046)
    assert np.abs(first["weights"]).max() <= 0.2
    histogram = np.histogram(first["weights"], bins=8, range=(-0.2, 0.2))[0] / first["weights"].size
    assert np.abs(histogram - 1 / 8).max() < 0.005  # four deviations of 15 * 5046 draws
    assert (first["sigmas"] == np.float32(0.05)).all()
    assert (first["king_values"] == 2.0).all()
    again = first_population(replace(PRESETS["paper"], seed=1))
    assert not np.isin(again["weights"], first["weights"]).all()


def test_offspring_follow_the_published_formulas() -> None:
    """sigma' = sigma exp(tau N(0, 1)) and w' = w + sigma' N(0, 1), on half a million weights."""
    rng = np.random.default_rng(0)
    parents = {
        "weights": rng.normal(size=(100, NUM_WEIGHTS)).astype(np.float32),
        "sigmas": rng.uniform(0.01, 0.1, (100, NUM_WEIGHTS)).astype(np.float32),
        "king_values": np.full(100, 2.0, np.float32),
    }
    before = as_bytes(parents)
    offspring = offspring_of(parents, rng)
    assert as_bytes(parents) == before
    size_steps = np.log(offspring["sigmas"].astype(np.float64) / parents["sigmas"]) / 0.0839
    weight_steps = (offspring["weights"].astype(np.float64) - parents["weights"]) / offspring["sigmas"]
    for steps in (size_steps, weight_steps):
        assert abs(steps.mean()) < 0.006  # four deviations of the mean
        assert abs(steps.std() - 1.0) < 0.004
        within_one = (np.abs(steps) < 1.0).mean()
        assert abs(within_one - 0.6827) < 0.003, "normal"
    correlation = np.corrcoef([size_steps.ravel(), weight_steps.ravel(), np.roll(weight_steps.ravel(), 1)])
    assert np.abs(correlation - np.eye(3)).max() < 0.006, "every number is drawn for itself"
    assert {name: array.dtype for name, array in offspring.items()} == dict.fromkeys(parents, np.float32)


@pytest.mark.parametrize(
    ("king_value", "expected"),
    [(2.0, [1.9, 2.0, 2.1]), (1.0, [1.0, 1.1]), (3.0, [2.9, 3.0]), (2.95, [2.85, 2.95, 3.0])],
)
def test_king_values_step_within_their_bounds(king_value: float, expected: list[float]) -> None:
    parents = {
        "weights": np.zeros((600, 4), np.float32),
        "sigmas": np.full((600, 4), 0.05, np.float32),
        "king_values": np.full(600, king_value, np.float32),
    }
    values, counts = np.unique(offspring_of(parents, np.random.default_rng(1))["king_values"], return_counts=True)
    assert values.tolist() == pytest.approx(expected)
    shares = counts / 600
    kept_at_bound = expected[0] == king_value or expected[-1] == king_value
    assert sorted(shares) == pytest.approx([1 / 3, 2 / 3] if kept_at_bound else [1 / 3] * 3, abs=0.08)


def test_every_network_opens_its_games_against_others() -> None:
    rng = np.random.default_rng(0)
    met = np.zeros((30, 30), int)
    for _ in range(200):
        pairings = draw_pairings(30, 5, rng)
        assert pairings.shape == (150, 3)
        assert (np.bincount(pairings[:, 0], minlength=30) == 5).all()
        assert (pairings[:, 0] != pairings[:, 1]).all()
        assert (pairings[:, 2] == 0).all()
        np.add.at(met, (pairings[:, 0], pairings[:, 1]), 1)
    others = met[~np.eye(30, dtype=bool)]  # 1,000 games as first player over 29 others: 34.5 expected
    assert others.min() > 34.5 - 5 * 5.8
    assert others.max() < 34.5 + 5 * 5.8


def test_points_are_one_nothing_and_minus_two() -> None:
    pairings = np.array([(0, 1, 0), (1, 2, 0), (2, 0, 0), (0, 2, 0)])
    outcomes = np.array([1.0, 0.0, -1.0, -1.0])
    # 0 beats 1; 1 and 2 draw; 0 beats 2 as second player; 2 beats 0 as second player.
    assert points(outcomes, pairings, 4, PRESETS["paper"]).tolist() == [1 + 1 - 2, -2 + 0, 0 - 2 + 1, 0]


def test_a_generation_of_the_paper_plays_150_games_and_keeps_the_best_15() -> None:
    arena = FakeArena(lambda network: network["output_bias"])
    config = replace(PRESETS["paper"], generations=1)
    first = first_population(config)
    (state, progress), *rest = evolve(config, first, 0, arena)  # type: ignore[arg-type]
    assert not rest
    assert progress.games == arena.games == 150
    assert progress.generation == 1
    assert progress.draws == 0.0
    assert state["weights"].shape == (15, NUM_WEIGHTS)
    assert progress.mean == pytest.approx((1 - 2) * 150 / 30)
    assert 5 <= progress.best <= 30

    everyone = {name: np.concatenate([first[name], array]) for name, array in _offspring(config, first).items()}
    kept = {bytes(weights) for weights in state["weights"]}
    strengths = everyone["weights"][:, OUTPUT_BIAS][:, 0]
    assert kept <= {bytes(weights) for weights in everyone["weights"]}
    assert state["weights"][:, OUTPUT_BIAS].mean() > np.sort(strengths)[15:].mean() - 0.05
    assert bytes(everyone["weights"][strengths.argmin()]) not in kept


def _offspring(config: EvolveConfig, first: dict[str, NDArray]) -> dict[str, NDArray]:
    """Return what generation 1 draws first."""
    return offspring_of(first, np.random.default_rng((config.seed, 1)))


def test_parents_survive_where_all_games_are_drawn() -> None:
    config = replace(PRESETS["paper"], generations=1)
    (state, progress), *_ = evolve(config, first_population(config), 0, FakeArena(lambda network: 0.0))  # type: ignore[arg-type]
    assert as_bytes(state) == as_bytes(first_population(config))
    assert (progress.draws, progress.best, progress.mean) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("field", ["output_bias", "king_weight"])
def test_a_population_moves_to_where_games_are_won(field: str) -> None:
    arena = FakeArena(lambda network: network[field])
    state = evolved(replace(PRESETS["paper"], generations=15), arena)
    weights, king_value = best_network(state)
    if field == "output_bias":
        assert state["weights"][:, OUTPUT_BIAS].min() > 0.3, "all began within 0.2"
        assert weights[OUTPUT_BIAS] > 0.3
    else:
        assert state["king_values"].min() > 2.5
        assert king_value == np.float32(state["king_values"][0])


# --- memetic ----------------------------------------------------------------------------------------------------------


def trace(states: States, outcome: float, scores: list[int]) -> GameTrace:
    return GameTrace(outcome, states, np.array(scores, np.int64))


def test_positions_are_remembered_in_a_ring_for_their_mover() -> None:
    config = replace(MEMETIC, memory=5)
    state = first_state(config)
    positions = CHECKERS.new(3)
    positions["to_play"] = [0, 1, 0]
    remember(state, trace(positions, -1.0, [SCORE_UNIT, -SCORE_UNIT, 0]))
    assert state["outcomes"].tolist() == [-1.0, 1.0, -1.0, 0.0, 0.0]
    np.testing.assert_allclose(state["searched"], np.tanh([1.0, -1.0, 0.0, 0.0, 0.0]), rtol=1e-6)
    assert state["codes"][0].tolist() == [1] * 12 + [0] * 8 + [-1] * 12
    assert state["codes"][1].tolist() == [1] * 12 + [0] * 8 + [-1] * 12, "the mover's own men stand at the top"
    assert state["remembered"].tolist() == [3]
    remember(state, trace(positions, 1.0, [0, 0, 0]))
    assert state["outcomes"].tolist() == [1.0, 1.0, -1.0, 1.0, -1.0]
    assert state["remembered"].tolist() == [6]


@pytest.mark.parametrize(("share", "learnt", "other"), [(1.0, "outcomes", "searched"), (0.0, "searched", "outcomes")])
def test_a_network_learns_eight_positions(share: float, learnt: str, other: str) -> None:
    config = replace(MEMETIC, memory=8, batch_size=8, steps=150, parents=2)
    state = first_state(config)
    pieces = np.array([1, 1, 1, 2, -1, -1, -1, -2] + [0] * 24)  # even, so that the sum of the inputs decides nothing
    state["codes"][:] = np.random.default_rng(1).permuted(np.tile(pieces, (8, 1)), axis=1)
    state["outcomes"][:] = [1, -1, 1, -1, 1, -1, 1, -1]
    state["searched"][:] = -state["outcomes"]
    state["remembered"][:] = 8
    state["shares"][:], state["rates"][:] = share, 0.01
    untouched = as_bytes({name: array[:1] for name, array in state.items() if name != "remembered"})
    errors = [learn(config, state, 1, 1.0, seed) for seed in range(4)]
    assert errors[-1] < errors[0] / 4
    assert untouched == as_bytes({name: array[:1] for name, array in state.items() if name != "remembered"})
    assert state["steps"].tolist() == [0, 600]
    assert gradient(state["vectors"][1], state["codes"], state[learnt])[1] < 0.02
    assert gradient(state["vectors"][1], state["codes"], state[other])[1] > 3.0


def test_the_worst_is_replaced_by_a_mutated_copy_of_the_best() -> None:
    config = replace(MEMETIC, parents=4, sigma=0.01)
    state = first_state(config)
    state["scores"][:] = [0.1, 0.9, -0.8, 0.0]
    state["averages"] += 1.0
    before = {name: array.copy() for name, array in state.items()}
    replace_worst(config, state, np.random.default_rng(0))
    for name, array in state.items():
        if len(array) == 4:
            assert (array[[0, 1, 3]] == before[name][[0, 1, 3]]).all(), name
    for name in ("averages", "moments", "steps", "scores"):
        assert (state[name][2] == before[name][1]).all()
    step = (state["vectors"][2] - before["vectors"][1])[:-1]
    assert abs(step.std() - 0.01) < 0.0005
    assert state["rates"][2] != before["rates"][1]
    assert 0.0 <= state["shares"][2] <= 1.0


def test_random_starts_lie_up_to_so_many_turns_from_the_start() -> None:
    config = replace(MEMETIC, openings=200, opening_plies=6)
    starts = random_starts(config, np.random.default_rng(2))
    assert set(starts["ply"].tolist()) == set(range(7))
    assert (starts["jumper"] == NO_JUMPER).all()
    assert not any(is_over(start) for start in starts)
    assert (starts["quiet_limit"] == 80).all()
    assert len({hash_key(start) for start in starts}) > 120


# --- what a result depends on -----------------------------------------------------------------------------------------


@needs_jit
@pytest.mark.parametrize("config", [POPULATION, MEMETIC], ids=lambda config: config.method)
def test_the_result_depends_on_the_seed_and_not_on_the_workers(config: EvolveConfig) -> None:
    found = []
    for workers, seed in ((1, 0), (3, 0), (1, 1)):
        arena = Arena(CHECKERS, workers, config.extension)
        found.append(as_bytes(evolved(replace(config, seed=seed), arena)))
        arena.close()
    assert found[0] == found[1]
    assert found[0] != found[2]


@needs_jit
@pytest.mark.parametrize("config", [POPULATION, MEMETIC], ids=lambda config: config.method)
def test_a_generation_depends_on_the_state_before_it_alone(config: EvolveConfig) -> None:
    arena = Arena(CHECKERS, 1, config.extension)
    whole = [*evolve(config, first_state(config), 0, arena)]
    state, progress = whole[1]
    rest = [*evolve(config, {name: array.copy() for name, array in state.items()}, progress.generation, arena)]
    arena.close()
    assert [progress for _, progress in rest] == [progress for _, progress in whole[2:]]
    assert as_bytes(rest[-1][0]) == as_bytes(whole[-1][0])


def test_control_starts_are_spread_over_the_deck() -> None:
    starts = control_starts(40)
    assert len({hash_key(start) for start in starts}) == 40
    assert (starts["ply"] == 3).all()
    assert len({hash_key(start) for start in control_starts(156)}) == 156
    assert (control_starts(5, "anaconda")["ply_limit"] == 200).all()
