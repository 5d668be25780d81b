"""What a Q-learning run is told: one configuration, its presets, and what no run can have.

A step is one choice of the agent in one environment, `frame_skip` (4) frames of the emulator; a rollout is so many
steps in each of `num_envs` environments; an update is one minibatch learnt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import tyro

from agents.learner_command import check_ranges, words_of
from games.refusal import RefusedError
from nets.regulariser_config import RegulariserConfig


class DqnConfigError(RefusedError):
    """A configuration that no run can have: one line that names the option and what is allowed."""


@dataclass(frozen=True)
class DqnConfig:
    """Everything that shapes what is learnt; the result depends on nothing else but the machine's arithmetic."""

    game: str = "pong"
    """Atari game, by its ROM's name; a misspelt one is answered with suggestions"""
    protocol: Literal["nature", "machado2018"] = "nature"
    """what is trained and evaluated under: nature (no-ops, minimal actions, a lost life ends the return) or machado2018
    (sticky actions, all 18 actions, lives unknown; 4 frames a step, the paper's own results are of 5)"""
    seed: int = 0
    """of weights, exploration, sampling and games"""
    steps: int = 1_500_000
    """agent steps of training, over all environments"""
    num_envs: int = 32
    """games played side by side"""
    rollout: int = 128
    """steps of each game between two phases of learning; lambda returns end with them"""

    network: Literal["small", "impala-small", "nature-dqn", "dqn-2013", "impala"] = "small"
    """small: the convolutions of nature-dqn with 16, 32 and 32 filters and 256 units; impala-small: a convolution that
    halves the frames, then impala's three stages with 8, 16 and 32 filters and one residual block each"""
    norm: Literal["none", "layer", "channel"] = "layer"
    """after each convolution and hidden layer (PQN): layer, over all maps of a state at once; channel, over the
    channels of each point"""
    dueling: bool = False
    """value and advantages apart (Wang et al. 2016)"""
    noisy: bool = False
    """explore by noise on the head's weights, not epsilon (Fortunato et al. 2018)"""
    distribution: Literal["none", "categorical", "quantile"] = "none"
    """learn the distribution of returns: categorical (C51) or quantile (QR-DQN)"""
    num_atoms: int = 51
    """atoms or quantiles of the distribution"""
    v_min: float = -10.0
    """least return of a categorical distribution"""
    v_max: float = 10.0
    """greatest return of a categorical distribution"""

    discount: float = 0.99
    """gamma, a step"""
    lambda_: Annotated[float, tyro.conf.arg(name="lambda")] = 0.9
    """of the lambda returns, without replay"""
    n_step: int = 1
    """n of the n-step returns, with replay"""
    double: bool = False
    """let the learning network choose the action that the target network values (van Hasselt et al. 2016)"""
    loss: Literal["squared", "clipped"] = "squared"
    """of Q-values: half the squared error, or that with the error clipped to -1..1 in the gradient"""

    replay: int = 0
    """steps kept to learn from, 7,064 bytes each; 0: learn from the newest rollout only, with lambda returns"""
    warmup: int = 0
    """steps of random play before learning starts"""
    prioritised: bool = False
    """draw steps from the replay memory by their last error (Schaul et al. 2016)"""
    priority_exponent: float = 0.5
    """alpha: a step is drawn in proportion to its error to this power"""
    importance_exponent: float = 0.4
    """beta: power of the importance weights at the start; rises to 1 at the last step"""
    batch_size: int = 128
    """steps in a minibatch"""
    epochs: int = 2
    """times that each step of a rollout is learnt from, without replay"""
    updates: int = 1
    """minibatches learnt after each rollout, with replay"""
    target_period: int = 0
    """updates after which the target network is replaced; 0: no target network"""

    optimiser: Literal["adam", "radam", "rmsprop"] = "adam"
    """Adam, rectified Adam (Liu et al. 2020), or RMSProp with the mean subtracted, as published in 2015"""
    learning_rate: float = 5e-4
    """step size of the optimiser"""
    final_learning_rate: float = 0.1
    """the step size at the last step, as a share of the first; it changes linearly"""
    learning_rate_hold: float = 0.5
    """share of the steps before it begins to change"""
    settle_steps: int = 150_000
    """with --target-score, steps over which it changes, if not yet, once an evaluation is near that score (nine tenths
    of it) and as long as none is far (below seven tenths); 0: not for that reason"""
    learning_rate_warmup: int = 500
    """updates over which the step size rises from 0"""
    optimiser_epsilon: float = 1e-5
    """Adam's epsilon, or the least squared gradient of RMSProp"""
    average: float = 0.99
    """decay, an update, of a running average of the weights, which is the network that is scored and kept; 0: none"""
    average_plays: bool = True
    """the running average plays the games of training, too, and lambda returns look ahead by it; else the newest
    weights do"""
    max_gradient_norm: float = 10.0
    """greatest norm of a gradient, which is scaled down to it; 0: none"""
    regularisers: RegulariserConfig = field(default_factory=RegulariserConfig)
    random_shift: int = 0
    """pixels by which the stacks learnt from are shifted at random, each axis"""

    epsilon: float = 0.01
    """share of random actions, once it has fallen from 1"""
    epsilon_steps: int = 300_000
    """steps, after the warm-up, over which it falls, linearly"""

    evaluation_period: int = 100_000
    """steps between two evaluations, and after the last step; 0: none"""
    evaluation_episodes: int = 10
    """games of an evaluation; always the same seeds, never those of training"""
    evaluation_epsilon: float = 0.01
    """share of random actions in an evaluation"""
    target_score: float | None = None
    """stop when an evaluation's mean score reaches it and that of 30 games more does, too"""
    log_period: int = 10_000
    """steps between two lines of metrics"""
    checkpoint_period: int = 250_000
    """steps between two checkpoints"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """of all layers but the head; auto: bfloat16 where the processor or the GPU has instructions for it"""
    overlap: bool = False
    """play the next rollout while the learner learns from those before, with weights that are one round older"""
    shards: int = 2
    """parts of a minibatch that are learnt at the same time, each in a thread of its own; on a GPU they are one"""

    @property
    def learns_on_policy(self) -> bool:
        """Whether the newest rollout is all that is learnt from."""
        return self.replay == 0

    @property
    def steps_a_rollout(self) -> int:
        """Agent steps between two times of learning."""
        return self.num_envs * self.rollout


LEAST = {  # of the numbers that cannot be 0, or that can be below
    "steps": 1,
    "num_envs": 1,
    "rollout": 1,
    "num_atoms": 2,
    "n_step": 1,
    "batch_size": 1,
    "epochs": 1,
    "updates": 1,
    "log_period": 1,
    "checkpoint_period": 1,
    "evaluation_episodes": 1,
    "shards": 1,
    "learning_rate": 1e-12,
    "optimiser_epsilon": 1e-12,
    "v_min": -math.inf,
    "v_max": -math.inf,
    "target_score": -math.inf,
}
NEED_REPLAY = ("prioritised", "n_step", "double", "distribution", "target_period", "updates", "warmup")
MOST = {
    **dict.fromkeys(
        (
            *("discount", "lambda_", "epsilon", "evaluation_epsilon", "importance_exponent"),
            *("final_learning_rate", "learning_rate_hold", "average"),
        ),
        1.0,
    ),
}


def check(config: DqnConfig, preset: DqnConfig | None = None) -> None:
    """Raise DqnConfigError for a configuration that no run can have, or with options that do nothing.

    What `preset` sets may stand there without a use, for its other options to be switched off.
    """
    check_ranges(vars(config), LEAST, MOST, DqnConfigError)
    if config.distribution == "categorical" and config.v_min >= config.v_max:
        raise DqnConfigError(f"--v-min {config.v_min:g}: below --v-max {config.v_max:g}")
    if config.shards > config.batch_size:
        raise DqnConfigError(f"--shards {config.shards}: at most --batch-size {config.batch_size}")
    if config.random_shift >= 42:
        raise DqnConfigError(f"--random-shift {config.random_shift}: at most 41, half a frame")
    if config.steps <= config.warmup:
        raise DqnConfigError(f"--steps {config.steps}: more than --warmup {config.warmup}, or nothing is learnt")
    _check_used(config, preset or config)
    if config.learns_on_policy:
        _check_without_replay(config)
    else:
        _check_replay(config)


def _check_used(config: DqnConfig, preset: DqnConfig) -> None:
    """Refuse options that would have no effect, but for those that are as in the preset or switch something off."""
    on_policy, is_evaluated = config.learns_on_policy, config.evaluation_period > 0
    for is_used, needed, names in (
        (not on_policy, "replay STEPS", NEED_REPLAY),
        (on_policy, "replay 0", ("lambda_", "epochs")),
        (config.prioritised, "prioritised", ("priority_exponent", "importance_exponent")),
        (config.distribution != "none", "distribution NAME", ("num_atoms",)),
        (config.distribution == "categorical", "distribution categorical", ("v_min", "v_max")),
        (config.distribution == "none", "distribution none", ("loss",)),
        (config.target_period > 0, "target-period UPDATES", ("double",)),
        (not config.noisy, "no-noisy", ("epsilon", "epsilon_steps")),
        (config.average > 0, "average DECAY", ("average_plays",)),
        (config.final_learning_rate != 1, "final-learning-rate SHARE", ("learning_rate_hold", "settle_steps")),
        (is_evaluated, "evaluation-period STEPS", ("target_score", "evaluation_episodes")),
    ):
        for name in names if not is_used else ():
            value = getattr(config, name)
            switches_off = name in NEED_REPLAY and value == getattr(_FAST, name)
            if value != getattr(preset, name) and not switches_off:
                raise DqnConfigError(f"{' '.join(words_of(name, value))}: only with --{needed}")
    if config.regularisers.patience is not None and not is_evaluated:
        raise DqnConfigError(f"--patience {config.regularisers.patience}: only with --evaluation-period STEPS")


def _check_without_replay(config: DqnConfig) -> None:
    """Refuse a warm-up, and a minibatch that a rollout may not fill: a step that was cut short is not learnt from."""
    if config.warmup:
        raise DqnConfigError(f"--warmup {config.warmup}: only with --replay STEPS; --warmup 0 goes with --replay 0")
    most = max(1, config.steps_a_rollout - config.num_envs)
    if config.batch_size > most:
        raise DqnConfigError(
            f"--batch-size {config.batch_size}: at most {most} without replay, a rollout less one time"
        )


def _check_replay(config: DqnConfig) -> None:
    """Refuse a replay memory that is too small for what is drawn from it."""
    least = max(2 * config.steps_a_rollout, config.num_envs * (config.n_step + 8), config.batch_size)
    if config.replay < least or config.replay % config.num_envs:
        raise DqnConfigError(
            f"--replay {config.replay}: at least {least} steps and a multiple of --num-envs {config.num_envs}, or 0"
        )
    if config.warmup < least:
        raise DqnConfigError(f"--warmup {config.warmup}: at least {least} steps, so that there is something to draw")


_FAST = DqnConfig()

# With shorter rollouts and traces there are twice as many updates, of younger play: Breakout is learnt sooner so, and
# Pong, which pays late for what was done early, later (models/atari-pong and models/atari-breakout have the curves).
_FAST_SHORT = replace(
    _FAST, rollout=32, lambda_=0.65, batch_size=64, learning_rate_hold=0.7, average=0.999, average_plays=False
)

_QUICK = replace(_FAST_SHORT, steps=150_000, epsilon_steps=30_000, evaluation_period=0, checkpoint_period=50_000)

# Mnih et al. 2015, extended data table 1. What its text calls frames of replay, exploration and training are agent
# steps, as in the authors' program (50 million of 4 frames are the "38 days" that it tells); the period of the target
# network is in updates, as the table says, where the program counts steps. RMSProp's 0.01 is added to squares of
# gradients that the authors' program sums over the 32 steps of a minibatch, and ours are means. What differs:
# - all layers but the head compute in bfloat16 where the processor does (--precision float32 is as published);
# - play is one update older (--no-overlap is as published);
# - games are cut off after 18,000 frames in training, too, where that limit is the evaluation's;
# - the stacks after a lost life go on with the frames before it, and no no-ops follow it: the authors' program makes
#   those frames black and plays up to 30 of them.
_DQN_2015 = DqnConfig(
    steps=50_000_000,
    num_envs=1,
    rollout=4,  # "update frequency": steps an update
    network="nature-dqn",
    norm="none",
    loss="clipped",
    replay=1_000_000,
    warmup=50_000,
    batch_size=32,
    target_period=10_000,
    optimiser="rmsprop",
    learning_rate=2.5e-4,
    final_learning_rate=1.0,
    average=0.0,
    average_plays=False,
    optimiser_epsilon=0.01 / 32**2,
    learning_rate_warmup=0,
    max_gradient_norm=0.0,
    epsilon=0.1,
    epsilon_steps=1_000_000,
    evaluation_period=250_000,
    evaluation_epsilon=0.05,
    checkpoint_period=500_000,
    overlap=True,
    shards=1,  # beside the games' threads two are slower on two cores
)

# Mnih et al. 2013: 10 million frames, the smaller network, no target network, an update each step, squared errors. What
# it leaves open is as in 2015; so is the end of the return at a lost life, of which it does not speak.
_DQN_2013 = replace(_DQN_2015, network="dqn-2013", target_period=0, steps=10_000_000, rollout=1, loss="squared")

# Hessel et al. 2018, table 1, its frames divided by 4; epsilon as it says for a run without noisy layers. Gradients are
# cut to length 10, as Wang et al. 2016 do for dueling networks. What differs in dqn-2015 differs here, too, and games
# of 30 minutes, not 5, are usual with Rainbow.
_RAINBOW = replace(
    _DQN_2015,
    double=True,
    dueling=True,
    noisy=True,
    distribution="categorical",
    n_step=3,
    prioritised=True,
    priority_exponent=0.5,
    importance_exponent=0.4,
    warmup=20_000,
    target_period=2_000,
    optimiser="adam",
    learning_rate=6.25e-5,
    optimiser_epsilon=1.5e-4,
    max_gradient_norm=10.0,
    epsilon=0.01,
    epsilon_steps=62_500,
    evaluation_epsilon=0.001,
)

# Gallici et al. 2024, as the authors' program has it for Atari (10 million steps of 4 frames). What differs: bfloat16,
# as above; weights begin as torch's do, not by He's rule; a lost life is followed neither by no-ops nor by FIRE; a
# game's first stack is black but for its first frame, where theirs repeats it; games of training end after 18,000
# frames, too, and what the last step was worth is not learnt, where theirs end later and count as over.
_PQN = replace(
    _FAST_SHORT,
    steps=10_000_000,
    num_envs=128,
    network="nature-dqn",
    batch_size=128,
    norm="channel",
    optimiser="radam",
    optimiser_epsilon=1e-8,
    learning_rate=2.5e-4,
    final_learning_rate=1.0,
    learning_rate_warmup=0,
    average=0.0,
    epsilon=0.001,
    epsilon_steps=1_000_000,
    evaluation_epsilon=0.0,
    evaluation_period=250_000,
    checkpoint_period=500_000,
)

# For a GPU: the method of Gallici et al. 2024 with the network of Espeholt et al. 2018 (IMPALA, figure 3, right), and
# the longer rollouts and traces of fast. Minibatches are larger, so that a GPU is busy; the step size grew with the
# root of their size, and falls as in fast, whose running average of the weights is kept, too.
_IMPALA = replace(
    _PQN,
    num_envs=64,
    rollout=64,
    lambda_=0.9,
    network="impala",
    batch_size=256,
    learning_rate=5e-4,
    final_learning_rate=0.1,
    average=0.999,
)

# For a GPU, after Clark et al. 2024 ("Beyond the Rainbow"): Rainbow with IMPALA's network, 64 games in step, a
# minibatch of 256 after each step of them all, a longer horizon, priorities that prefer less. What differs: quantiles
# that are fixed (Dabney et al. 2018) where theirs are drawn anew; no Munchausen term and no noisy layers, whose noise
# is drawn on the processor and would keep a GPU from replaying a recorded update; channel norms where theirs are
# spectral; half of their channels, with no pooling at the end. And what differs in dqn-2015.
_BTR = replace(
    _RAINBOW,
    num_envs=64,
    rollout=1,
    network="impala",
    norm="channel",
    double=False,
    noisy=False,
    distribution="quantile",
    num_atoms=64,
    priority_exponent=0.2,
    importance_exponent=0.45,
    discount=0.997,
    replay=1 << 20,
    warmup=200_000,
    batch_size=256,
    target_period=500,
    learning_rate=1e-4,
    optimiser_epsilon=0.005 / 256,
    epsilon_steps=2_000_000,
    evaluation_epsilon=0.01,
)

PRESETS: dict[str, DqnConfig] = {
    "fast": _FAST,
    "fast-short": _FAST_SHORT,
    "quick": _QUICK,
    "pqn": _PQN,
    "dqn-2015": _DQN_2015,
    "dqn-2013": _DQN_2013,
    "rainbow": _RAINBOW,
    "impala": _IMPALA,
    "btr": _BTR,
}
