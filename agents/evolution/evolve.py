"""Co-evolution of checkers evaluators: the published method, and a memetic one in which networks learn as they live.

`population` is Chellapilla & Fogel's: parents and offspring play each other, the better half survives, every weight
carries its own self-adaptive step size. `memetic` (Moscato 1989; learnt weights are inherited, as Lamarck had it) lets
a few networks play each other and learn, each by gradient descent, from the positions of all their games; what they
learn towards is a mixture of the game's outcome and the search's own score, and the mixture and the learning rate are
genes: now and then the network that scores worst is replaced by a mutated copy of the one that scores best, as in
population-based training (Jaderberg et al. 2017). In both, nothing but the outcome of games is given from outside.

Everything random in generation g is drawn from a generator seeded with (seed, g), so that a run that resumes after
generation g goes on exactly as if it had never stopped. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agents.evaluators import SCORE_UNIT, anaconda, input_codes
from agents.evolution.anaconda_learning import adam, gradient
from agents.evolution.arena import Arena, GameTrace
from agents.evolution.config import EvolveConfig
from games.checkers import CHECKERS, NO_JUMPER
from games.compiled import NDArray
from games.notation import play_turn
from games.openings import three_move_openings
from games.rules import States, apply, init, is_over
from nets.anaconda_layout import NUM_SQUARES, NUM_WEIGHTS

KING_MIN, KING_MAX = 1.0, 3.0  # bounds of the evolved king value K
KING_STEP = 0.1
FINAL_OPENINGS = 20  # that two finalists play, each with both colours
TAU = 1.0 / np.sqrt(2.0 * np.sqrt(NUM_WEIGHTS))  # 0.0839, the learning rate of the step sizes

Arrays = dict[str, NDArray]  # the whole state of a learner, as it is checkpointed


@dataclass(frozen=True)
class Summary:
    """What one generation brought, equal for equal seeds."""

    generation: int
    games: int  # training games of this generation
    best: float  # population: points of the best network; memetic: its running mean score, -1 to 1
    mean: float  # population: mean points; memetic: mean squared error of the networks' values
    draws: float  # share of the games
    sigma: float  # population: mean step size; memetic: mean learning rate
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


def population_step(config: EvolveConfig, state: Arrays, generation: int, arena: Arena) -> tuple[Arrays, Summary]:
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
    return survivors, Summary(
        generation=generation,
        games=len(pairings),
        best=float(totals.max()),
        mean=float(totals.mean()),
        draws=float((outcomes == 0).mean()),
        sigma=float(survivors["sigmas"].mean()),
        king_value=float(survivors["king_values"][0]),
    )


def round_robin(number: int, num_starts: int) -> NDArray:
    """Return int64[G, 3]: every network as first player against every other, from each start."""
    everyone = range(number)
    return np.array([(i, j, start) for i in everyone for j in everyone if i != j for start in range(num_starts)])


def mean_scores(outcomes: NDArray, pairings: NDArray, number: int) -> NDArray:
    """Return each network's mean outcome [N], -1 to 1, in a round robin."""
    totals = np.zeros(number)
    np.add.at(totals, pairings[:, 0], outcomes)
    np.add.at(totals, pairings[:, 1], -outcomes)
    return totals * number / (2 * len(outcomes))


def finalists(config: EvolveConfig, state: Arrays, arena: Arena) -> Arrays:
    """Return the survivors ordered by a round robin over the three-move deck: ten games rank a network badly."""
    number = len(state["weights"])
    networks = anaconda(state["weights"], state["king_values"])
    starts = control_starts(FINAL_OPENINGS, config.rules)
    pairings = round_robin(number, len(starts))
    outcomes = np.array([*arena.play(networks, networks, pairings, starts, (config.depth, config.depth))])
    order = np.argsort(-mean_scores(outcomes, pairings, number), kind="stable")
    return {name: array[order] for name, array in state.items()}


# --- memetic --------------------------------------------------------------------------------------------------------

SCORE_DECAY = 0.9  # of a network's running mean score, a generation
AVERAGE_DECAY = 0.9  # of the running mean of a network's weights, which is what it is kept as
RATE_MUTATION, SHARE_MUTATION = 0.2, 0.05  # standard deviations: of the logarithm, of the share


def first_networks(config: EvolveConfig) -> Arrays:
    """Return the networks of generation 0; `vectors` [P, 5047] hold the weights and, last, K."""
    rng = np.random.default_rng((config.seed, 0))
    number = config.parents
    weights = rng.uniform(-config.weight_range, config.weight_range, (number, NUM_WEIGHTS))
    vectors = np.concatenate([weights, np.full((number, 1), config.king_value)], axis=1).astype(np.float32)
    return {
        "vectors": vectors,
        "averages": vectors.copy(),
        "moments": np.zeros((number, 2, NUM_WEIGHTS + 1), np.float32),
        "steps": np.zeros(number, np.int64),  # gradient steps taken, for Adam
        "rates": config.learning_rate * np.exp(RATE_MUTATION * rng.standard_normal(number)),
        "shares": np.clip(config.outcome_share + SHARE_MUTATION * rng.standard_normal(number), 0.0, 1.0),
        "scores": np.zeros(number),  # running mean over games, -1 to 1
        "codes": np.zeros((config.memory, NUM_SQUARES), np.int8),  # remembered positions, a ring
        "outcomes": np.zeros(config.memory, np.float32),  # for the mover
        "searched": np.zeros(config.memory, np.float32),  # expected return by the search, for the mover
        "remembered": np.zeros(1, np.int64),  # positions ever written to the ring
    }


def memetic_step(config: EvolveConfig, state: Arrays, generation: int, arena: Arena) -> tuple[Arrays, Summary]:
    """Let all networks play each other, remember the positions, learn from them, and now and then select."""
    rng = np.random.default_rng((config.seed, generation))
    state = {name: array.copy() for name, array in state.items()}
    number = config.parents
    networks = anaconda(state["vectors"][:, :-1], state["vectors"][:, -1])
    starts = random_starts(config, rng)
    pairings = round_robin(number, len(starts))
    depths = (config.depth, config.depth)
    games = [*arena.play_on_record(networks, networks, pairings, starts, depths)]
    outcomes = np.array([game.outcome for game in games])
    for game in games:
        remember(state, game)
    scores = mean_scores(outcomes, pairings, number)
    state["scores"] = SCORE_DECAY * state["scores"] + (1 - SCORE_DECAY) * scores
    decay = 0.1 ** min(1.0, generation / config.horizon)
    seeds = rng.integers(2**63, size=number)
    errors = [*arena.map(lambda i: learn(config, state, i, decay, int(seeds[i])), range(number))]
    if generation % config.selection_period == 0:
        replace_worst(config, state, rng)
    best = int(state["scores"].argmax())
    return state, Summary(
        generation=generation,
        games=len(games),
        best=float(state["scores"][best]),
        mean=float(np.mean(errors)),
        draws=float((outcomes == 0).mean()),
        sigma=float((decay * state["rates"]).mean()),
        king_value=float(state["averages"][best, -1]),
    )


def random_starts(config: EvolveConfig, rng: np.random.Generator) -> States:
    """Return positions, each after a few random turns from the start, none of them over."""
    starts = CHECKERS.new(config.openings, config.rules)
    for start in starts:
        plies = rng.integers(config.opening_plies + 1)
        while start.ply < plies or start.jumper != NO_JUMPER:
            apply(start, int(rng.choice(CHECKERS.legal_actions(start))))
            if is_over(start):
                init(start)
    return starts


def remember(state: Arrays, game: GameTrace) -> None:
    """Write a game's positions to the ring, each with the outcome and the search's score for its mover."""
    count, size = len(game.positions), len(state["codes"])
    codes = np.empty((count, NUM_SQUARES), np.int8)
    input_codes(game.positions, codes)
    places = (state["remembered"][0] + np.arange(count)) % size
    state["codes"][places] = codes
    state["outcomes"][places] = np.where(game.positions["to_play"] == 0, game.outcome, -game.outcome)
    state["searched"][places] = np.tanh(game.scores / SCORE_UNIT)
    state["remembered"] += count


def learn(config: EvolveConfig, state: Arrays, i: int, decay: float, seed: int) -> float:
    """Take network i's gradient steps of a generation in place; return the mean squared error it met."""
    rng = np.random.default_rng(seed)
    filled = min(int(state["remembered"][0]), config.memory)
    vector, share, total = state["vectors"][i], float(state["shares"][i]), 0.0
    for _ in range(config.steps):
        chosen = rng.integers(filled, size=config.batch_size)
        targets = share * state["outcomes"][chosen] + (1.0 - share) * state["searched"][chosen]
        slope, error = gradient(vector, state["codes"][chosen], targets.astype(np.float32))
        state["steps"][i] += 1
        adam(vector, state["moments"][i], slope, decay * float(state["rates"][i]), int(state["steps"][i]))
        vector[-1] = np.clip(vector[-1], KING_MIN, KING_MAX)
        total += error
    state["averages"][i] += (1 - AVERAGE_DECAY) * (vector - state["averages"][i])
    return total / config.steps


def replace_worst(config: EvolveConfig, state: Arrays, rng: np.random.Generator) -> None:
    """Put a mutated copy of the network that scores best in the place of the one that scores worst."""
    best, worst = int(state["scores"].argmax()), int(state["scores"].argmin())
    for name in ("vectors", "averages", "moments", "steps", "rates", "shares", "scores"):
        state[name][worst] = state[name][best]
    state["vectors"][worst, :-1] += config.sigma * rng.standard_normal(NUM_WEIGHTS).astype(np.float32)
    state["rates"][worst] *= np.exp(RATE_MUTATION * rng.standard_normal())
    state["shares"][worst] = np.clip(state["shares"][worst] + SHARE_MUTATION * rng.standard_normal(), 0.0, 1.0)


# --- both -----------------------------------------------------------------------------------------------------------


def first_state(config: EvolveConfig) -> Arrays:
    """Return the learner's state before the first generation."""
    return first_population(config) if config.method == "population" else first_networks(config)


def evolve(config: EvolveConfig, state: Arrays, generation: int, arena: Arena) -> Iterator[tuple[Arrays, Summary]]:
    """Yield the state and what was measured after each generation that follows `generation`."""
    step = population_step if config.method == "population" else memetic_step
    for next_generation in range(generation + 1, config.generations + 1):
        state, progress = step(config, state, next_generation, arena)
        yield state, progress


def best_network(state: Arrays) -> tuple[NDArray, float]:
    """Return the weights float32[5046] and the K of the network that a run keeps."""
    if "averages" in state:
        best = state["averages"][int(state["scores"].argmax())]
        return best[:-1], float(best[-1])
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
