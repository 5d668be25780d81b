"""Co-evolution of checkers evaluators: the published method, and duels of mirrored perturbations.

`population` is Chellapilla & Fogel's: parents and offspring play each other, the better half survives, every weight
carries its own self-adaptive step size. `duels` is an evolution strategy for noisy outcomes: each random direction is
tried forwards and backwards, the two networks play each other, and the centre moves along the directions that won
(antithetic sampling as in Salimans et al. 2017, the pairing as in SPSA tuning of chess programs; Adam steps).

Everything random in generation g is drawn from a generator seeded with (seed, g), so that a run that resumes after
generation g goes on exactly as if it had never stopped. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from agents.arena import Arena
from agents.evaluators import anaconda
from games.checkers import CHECKERS
from games.compiled import NDArray
from games.notation import play_turn
from games.openings import three_move_openings
from games.rules import States
from nets.anaconda_layout import NUM_WEIGHTS

KING_MIN, KING_MAX = 1.0, 3.0  # bounds of the evolved king value K
KING_STEP = 0.1
TAU = 1.0 / np.sqrt(2.0 * np.sqrt(NUM_WEIGHTS))  # 0.0839, the learning rate of the step sizes

Arrays = dict[str, NDArray]  # the whole state of a learner, as it is checkpointed


@dataclass(frozen=True)
class EvolveConfig:
    """Evolution of a checkers evaluator; the defaults are the published method."""

    method: Literal["population", "duels"] = "population"
    """population: Chellapilla & Fogel 1999-2001. duels: an evolution strategy on mirrored pairs."""
    generations: int = 840
    """Generations to train in all; a resumed run may ask for more."""
    seed: int = 0
    """Seed of everything random."""
    depth: int = 4
    """Search depth of training games, in turns."""
    extension: int = 2
    """Turns added, once, where a line ends on a pending capture or a forced move; 0 plays captures out only."""
    parents: int = 15
    """population: networks that survive a generation; each has one offspring."""
    games_as_first: int = 5
    """population: games that each network plays as the first player, against others drawn at random."""
    win_points: float = 1.0
    """population: points for a game won."""
    loss_points: float = -2.0
    """population: points for a game lost; a draw gives 0."""
    weight_range: float = 0.2
    """Starting weights are uniform in plus or minus this."""
    sigma: float = 0.05
    """population: starting step size of each weight. duels: size of a perturbation."""
    king_value: float = 2.0
    """Starting value of a king, in men."""
    pairs: int = 128
    """duels: mirrored pairs a generation; each plays two games, from one position by both sides."""
    opening_plies: int = 4
    """duels: random turns that lead to each starting position."""
    learning_rate: float = 0.05
    """duels: Adam's step size at the start; it falls to a tenth over the run's horizon."""
    horizon: int = 3000
    """duels: generations over which the step size falls."""
    average: float = 0.98
    """duels: decay of the running average of the centre, which is the network that is kept."""
    rules: str = "anaconda"
    """Rule set of training games."""
    control_period: int = 10
    """Generations between matches against the piece count."""
    control_depth: int = 4
    """Search depth of those matches, in turns."""
    control_openings: int = 40
    """Openings of the three-move deck in such a match, each played by both sides."""
    checkpoint_period: int = 10
    """Generations between checkpoints."""


DUELS = EvolveConfig(
    method="duels",
    generations=3000,
    horizon=3000,
    depth=2,
    extension=0,
    rules="wcdf",
    weight_range=0.05,
    sigma=0.1,
)
PRESETS: dict[str, EvolveConfig] = {
    "paper": EvolveConfig(),
    "modern": DUELS,
    "quick": replace(DUELS, generations=200, horizon=200, control_period=20),
}


@dataclass(frozen=True)
class Progress:
    """What one generation brought, equal for equal seeds."""

    generation: int
    games: int  # training games of this generation
    best: float  # population: points of the best network; duels: largest mean score of a duel, -1 to 1
    mean: float  # population: mean points; duels: mean absolute score
    draws: float  # share of the games
    sigma: float  # population: mean step size; duels: length of the centre's step
    king_value: float  # of the network that is kept


# --- the published method -------------------------------------------------------------------------------------------


def first_population(config: EvolveConfig) -> Arrays:
    """Return the parents of generation 0: weights [P, 5046] uniform in the range, equal step sizes, equal kings."""
    rng = np.random.default_rng((config.seed, 0))
    shape = (config.parents, NUM_WEIGHTS)
    return {
        "weights": rng.uniform(-config.weight_range, config.weight_range, shape).astype(np.float32),
        "sigmas": np.full(shape, config.sigma, np.float32),
        "king_values": np.full(config.parents, config.king_value, np.float32),
    }


def offspring_of(parents: Arrays, rng: np.random.Generator) -> Arrays:
    """Return one offspring for each parent (Chellapilla & Fogel 1999, equations 1-3)."""
    sigmas = parents["sigmas"] * np.exp(TAU * rng.standard_normal(parents["sigmas"].shape))
    weights = parents["weights"] + sigmas * rng.standard_normal(sigmas.shape)
    steps = rng.choice((-KING_STEP, 0.0, KING_STEP), len(weights))
    return {
        "weights": weights.astype(np.float32),
        "sigmas": sigmas.astype(np.float32),
        "king_values": np.clip(parents["king_values"] + steps, KING_MIN, KING_MAX).astype(np.float32),
    }


def draw_pairings(num_networks: int, games_as_first: int, rng: np.random.Generator) -> NDArray:
    """Return int64[G, 3]: each network as first player against others drawn at random, all from start 0."""
    first = np.repeat(np.arange(num_networks), games_as_first)
    second = rng.integers(num_networks - 1, size=len(first))
    second += second >= first  # any but itself
    return np.stack([first, second, np.zeros_like(first)], axis=1)


def points(outcomes: NDArray, pairings: NDArray, num_networks: int, config: EvolveConfig) -> NDArray:
    """Return the points of each network [N] from outcomes for the first player [G]."""
    value_of = {1.0: config.win_points, 0.0: 0.0, -1.0: config.loss_points}
    totals = np.zeros(num_networks)
    np.add.at(totals, pairings[:, 0], [value_of[outcome] for outcome in outcomes])
    np.add.at(totals, pairings[:, 1], [value_of[-outcome] for outcome in outcomes])
    return totals


def population_step(config: EvolveConfig, state: Arrays, generation: int, arena: Arena) -> tuple[Arrays, Progress]:
    """Play one generation and return the survivors, best first."""
    rng = np.random.default_rng((config.seed, generation))
    offspring = offspring_of(state, rng)
    everyone = {name: np.concatenate([state[name], offspring[name]]) for name in state}
    networks = anaconda(everyone["weights"], everyone["king_values"])
    pairings = draw_pairings(len(networks), config.games_as_first, rng)
    starts = CHECKERS.new(1, config.rules)
    outcomes = np.array([*arena.play(networks, networks, pairings, starts, (config.depth, config.depth))])
    totals = points(outcomes, pairings, len(networks), config)
    order = np.argsort(-totals, kind="stable")[: config.parents]
    survivors = {name: array[order] for name, array in everyone.items()}
    return survivors, Progress(
        generation=generation,
        games=len(pairings),
        best=float(totals.max()),
        mean=float(totals.mean()),
        draws=float((outcomes == 0).mean()),
        sigma=float(survivors["sigmas"].mean()),
        king_value=float(survivors["king_values"][0]),
    )


# --- duels ----------------------------------------------------------------------------------------------------------

ADAM_BETA_1, ADAM_BETA_2, ADAM_EPSILON = 0.9, 0.99, 1e-8


def first_centre(config: EvolveConfig) -> Arrays:
    """Return the centre of generation 0; `centre` [5047] holds the weights and, last, K."""
    rng = np.random.default_rng((config.seed, 0))
    weights = rng.uniform(-config.weight_range, config.weight_range, NUM_WEIGHTS)
    centre = np.append(weights, config.king_value)
    return {"centre": centre, "average": centre.copy(), "moment_1": centre * 0.0, "moment_2": centre * 0.0}


def random_starts(config: EvolveConfig, count: int, rng: np.random.Generator) -> States:
    """Return positions [count], each after a few random turns from the start, none of them over."""
    starts = CHECKERS.new(count, config.rules)
    for i in range(count):
        while True:
            starts[i] = CHECKERS.new(1, config.rules)[0]
            while starts[i].ply < config.opening_plies and (actions := CHECKERS.legal_actions(starts[i])):
                CHECKERS.functions["apply"](starts[i], int(rng.choice(actions)))
            if CHECKERS.legal_actions(starts[i]):
                break
    return starts


def duel_networks(centre: NDArray, perturbations: NDArray) -> NDArray:
    """Return the evaluators at centre + perturbations [N, 5047], king values kept within their bounds."""
    vectors = centre + perturbations
    king_values = np.clip(vectors[:, -1], KING_MIN, KING_MAX)
    return anaconda(vectors[:, :-1].astype(np.float32), king_values.astype(np.float32))


def duel_step(config: EvolveConfig, state: Arrays, generation: int, arena: Arena) -> tuple[Arrays, Progress]:
    """Let mirrored pairs play each other and move the centre along the winning directions."""
    rng = np.random.default_rng((config.seed, generation))
    directions = rng.standard_normal((config.pairs, NUM_WEIGHTS + 1)).astype(np.float32)
    forward = duel_networks(state["centre"], config.sigma * directions)
    backward = duel_networks(state["centre"], -config.sigma * directions)
    starts = random_starts(config, config.pairs, rng)
    pairings = np.repeat(np.arange(config.pairs)[:, None], 3, axis=1)
    depths = (config.depth, config.depth)
    outcomes = np.array(
        [
            [*arena.play(forward, backward, pairings, starts, depths)],
            [*arena.play(backward, forward, pairings, starts, depths)],
        ]
    )
    scores = (outcomes[0] - outcomes[1]) / 2.0  # of `forward`, -1 to 1
    ascent = scores @ directions / config.pairs
    new, step = adam_step(config, state, ascent, generation)
    return new, Progress(
        generation=generation,
        games=outcomes.size,
        best=float(scores.max()),
        mean=float(np.abs(scores).mean()),
        draws=float((outcomes == 0).mean()),
        sigma=float(np.linalg.norm(step)),
        king_value=float(new["average"][-1]),
    )


def adam_step(config: EvolveConfig, state: Arrays, ascent: NDArray, generation: int) -> tuple[Arrays, NDArray]:
    """Return the state after one Adam step (Kingma & Ba 2015) along an estimated direction of ascent, and the step."""
    moment_1 = ADAM_BETA_1 * state["moment_1"] + (1 - ADAM_BETA_1) * ascent
    moment_2 = ADAM_BETA_2 * state["moment_2"] + (1 - ADAM_BETA_2) * ascent**2
    mean = moment_1 / (1 - ADAM_BETA_1**generation)
    scale = np.sqrt(moment_2 / (1 - ADAM_BETA_2**generation)) + ADAM_EPSILON
    rate = config.learning_rate * 0.1 ** min(1.0, generation / config.horizon)
    step = rate * mean / scale
    centre = state["centre"] + step
    centre[-1] = np.clip(centre[-1], KING_MIN, KING_MAX)
    average = config.average * state["average"] + (1 - config.average) * centre
    return {"centre": centre, "average": average, "moment_1": moment_1, "moment_2": moment_2}, step


# --- both -----------------------------------------------------------------------------------------------------------


def first_state(config: EvolveConfig) -> Arrays:
    """Return the learner's state before the first generation."""
    return first_population(config) if config.method == "population" else first_centre(config)


def evolve(config: EvolveConfig, state: Arrays, generation: int, arena: Arena) -> Iterator[tuple[Arrays, Progress]]:
    """Yield the state and what was measured after each generation that follows `generation`."""
    step = population_step if config.method == "population" else duel_step
    for next_generation in range(generation + 1, config.generations + 1):
        state, progress = step(config, state, next_generation, arena)
        yield state, progress


def best_network(state: Arrays) -> tuple[NDArray, float]:
    """Return the weights float32[5046] and the K of the network that a run keeps."""
    if "average" in state:
        return state["average"][:-1].astype(np.float32), float(state["average"][-1])
    return state["weights"][0], float(state["king_values"][0])


def control_starts(count: int, rules: str | None = None) -> States:
    """Return the positions [count] after evenly spread openings of the three-move deck."""
    openings = [opening for opening in three_move_openings() if not opening.is_barred]
    chosen = [openings[i * len(openings) // count] for i in range(count)]
    starts = CHECKERS.new(count, rules)
    for i, opening in enumerate(chosen):
        for turn in opening.turns:
            play_turn(starts[i], turn)
    return starts
