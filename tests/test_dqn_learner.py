"""The learner, the actor and the loop: they fit what they are given, and go on bit for bit where they were saved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from agents.dqn.actor import Actor, num_groups, q_values
from agents.dqn.config import PRESETS, DqnConfig, check
from agents.dqn.evaluation import evaluate
from agents.dqn.learner import Begun, DivergedError, Learner, Learnt, priority_errors
from agents.dqn.loop import Training, epsilon_at, learning_rate_at
from agents.dqn.networks import q_network_spec
from agents.dqn.replay import Samples
from agents.dqn.targets import categorical_loss
from games.atari import PROTOCOLS
from games.atari_vector import AtariEnvs
from nets.blocks import Linear, Norm, Residual
from nets.cnn import output_shapes
from nets.layers import NoisyLinear
from nets.regulariser_config import RegulariserConfig

CPU = torch.device("cpu")
FAST = replace(
    PRESETS["fast"],
    num_envs=2,
    rollout=8,
    batch_size=8,
    epochs=1,
    steps=128,
    epsilon_steps=64,
    precision="float32",
    shards=1,
)
REPLAY = replace(
    PRESETS["dqn-2015"],
    network="small",
    num_envs=2,
    rollout=4,
    batch_size=8,
    replay=48,
    warmup=48,
    steps=128,
    target_period=3,
    epsilon_steps=32,
)
RAINBOW = replace(
    REPLAY, double=True, dueling=True, noisy=True, distribution="categorical", n_step=3, prioritised=True, shards=2
)
SIZES = ("num_envs", "rollout", "batch_size", "replay", "warmup", "steps", "target_period", "epsilon_steps")
COMPOSITIONS = {
    "fast": FAST,
    "fast as it is": replace(FAST, precision="auto", shards=2),
    "fast, overlapping": replace(FAST, overlap=True),
    "fast with shifts and penalties": replace(
        FAST, random_shift=4, shards=2, regularisers=RegulariserConfig(l1=1e-6, l2=1e-5, max_norm=2.0)
    ),
    "dqn-2015": REPLAY,
    "dqn-2013": replace(REPLAY, target_period=0, shards=1),
    "quantile": replace(REPLAY, distribution="quantile", optimiser="adam", num_atoms=5, norm="layer"),
    "rainbow": replace(RAINBOW, optimiser="adam"),
    "btr": replace(PRESETS["btr"], **{name: getattr(REPLAY, name) for name in SIZES}),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def samples(config: DqnConfig, seed: int = 0, scale: float = 1.0) -> Samples:
    """Return frames of random squares of 12 pixels with returns that can be told from them."""
    rng = np.random.default_rng(seed)
    size = config.batch_size
    squares = rng.integers(0, 256, (size, 7, 7, 4)).astype(np.float32)
    states = squares.repeat(12, axis=1).repeat(12, axis=2)
    return Samples(
        slots=np.arange(size),
        states=states,
        actions=rng.integers(0, 6, size),
        returns=(scale * rng.choice([-1.0, 1.0], size)).astype(np.float32),
        discounts=np.zeros(size, np.float32),
        next_states=None if config.learns_on_policy else states[::-1].copy(),
        weights=np.ones(size, np.float32),
    )


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_a_learner_fits_eight_samples(name: str) -> None:
    config = replace(COMPOSITIONS[name], noisy=False, random_shift=0, max_gradient_norm=10.0, optimiser="adam")
    learner = Learner(q_network_spec(config, 6), config, CPU)
    batch = samples(config)
    for _ in range(80):
        found = learner.learn(batch, 1e-3)
    q = learner.network.eval().q_values(torch.from_numpy(batch.states).permute(0, 3, 1, 2)).detach().numpy()
    assert np.abs(q[np.arange(8), batch.actions] - batch.returns).mean() < 0.3
    assert len(found.errors) == 8


@pytest.mark.parametrize("name", ["fast", "dqn-2015"])
def test_shards_give_the_gradients_of_the_whole_minibatch(name: str) -> None:
    learners = []
    for shards in (1, 2, 3):
        config = replace(COMPOSITIONS[name], shards=shards, precision="float32")
        learner = Learner(q_network_spec(config, 6), config, CPU)
        for seed in range(3):
            found = learner.learn(samples(config, seed), 1e-3)
        learners.append((learner, found))
    whole, found = learners[0]
    for other, errors in learners[1:]:
        for one, two in zip(whole.parameters, other.parameters, strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)
        assert np.allclose(found.errors, errors.errors, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_targets_computed_beside_the_learner_change_nothing(
    name: str, precision: Literal["float32", "bfloat16"]
) -> None:
    config = replace(COMPOSITIONS[name], precision=precision)
    alone, helped = (Learner(q_network_spec(config, 6), config, CPU) for _ in range(2))
    with ThreadPoolExecutor(1) as beside:
        for seed in range(4):
            batch = samples(config, seed)
            expected, found = alone.learn(batch, 1e-3), helped.finish(helped.begin(batch, beside), 1e-3)
            assert expected.loss == found.loss and np.array_equal(expected.errors, found.errors)
    for one, two in zip(alone.parameters, helped.parameters, strict=True):
        assert torch.equal(one, two)


def test_states_in_bytes_are_learnt_from_as_floats_are() -> None:
    config = replace(REPLAY, random_shift=4, shards=1)
    learners = [Learner(q_network_spec(config, 6), config, CPU) for _ in range(2)]
    batch = samples(config)
    assert batch.next_states is not None
    in_bytes = batch._replace(states=batch.states.astype(np.uint8), next_states=batch.next_states.astype(np.uint8))
    found = [learner.learn(drawn, 1e-3) for learner, drawn in zip(learners, (batch, in_bytes), strict=True)]
    assert found[0].loss == found[1].loss
    for one, two in zip(*(learner.parameters for learner in learners), strict=True):
        assert torch.equal(one, two)


def test_the_priority_of_a_distribution_that_is_learnt_is_none() -> None:
    config = replace(RAINBOW, num_atoms=3, v_min=-1.0, v_max=1.0)
    target = torch.tensor([[0.25, 0.5, 0.25], [0.0, 1.0, 0.0]])
    logits = torch.tensor([[0.25, 0.5, 0.25], [1.0, 1.0, 2.0]]).log()
    losses = categorical_loss(logits, target)
    errors = priority_errors(logits, target, losses, config)
    assert errors.tolist() == pytest.approx([0.0, math.log(4.0)], abs=1e-6)  # the divergence, not the cross-entropy


def test_the_target_network_changes_only_every_so_many_updates() -> None:
    learner = Learner(q_network_spec(REPLAY, 6), REPLAY, CPU)
    assert learner.target is not None
    seen = []
    for _ in range(6):
        learner.learn(samples(REPLAY), 1e-3)
        pairs = zip(learner.parameters, learner.target.parameters(), strict=True)
        seen.append(all(torch.equal(one.to(kept.dtype), kept) for one, kept in pairs))
    assert seen == [False, False, True, False, False, True]


def test_what_is_kept_is_the_average_of_the_weights() -> None:
    config = replace(FAST, average=0.5)
    learner = Learner(q_network_spec(config, 6), config, CPU)
    expected = [parameter.detach().clone() for parameter in learner.parameters]
    for number in range(1, 20):
        learner.learn(samples(config, number), 1e-3)
        decay = min(0.5, (1 + number) / (10 + number))
        expected = [mean.lerp(new, 1 - decay) for mean, new in zip(expected, learner.parameters, strict=True)]
    for mean, kept in zip(expected, learner.kept.parameters(), strict=True):
        torch.testing.assert_close(mean, kept)
    config = replace(FAST, average=0.0)
    learner = Learner(q_network_spec(config, 6), config, CPU)
    assert learner.kept is learner.network


@pytest.mark.parametrize("average_plays", [True, False])
def test_the_games_are_played_by_the_average_or_by_the_newest_weights(average_plays: bool) -> None:
    config = replace(FAST, average=0.5, average_plays=average_plays)
    training = Training(config, AtariEnvs("pong", 2), CPU)
    next(training.rounds())
    both = {True: training.learner.kept, False: training.learner.network}
    playing, average, newest = (
        network.head.advantage[0].weight for network in (training.actor.network, both[True], both[False])
    )
    assert torch.equal(playing, average if average_plays else newest) and not torch.equal(average, newest)
    training.envs.close()


def test_a_loss_that_is_not_finite_is_told() -> None:
    learner = Learner(q_network_spec(FAST, 6), FAST, CPU)
    before = learner.network.state_dict()["head.advantage.0.weight"].clone()
    with pytest.raises(DivergedError, match="loss became inf at update 1"):
        learner.learn(samples(FAST, scale=1e30), 1e-3)
    assert torch.equal(before, learner.network.state_dict()["head.advantage.0.weight"])


def test_networks_are_put_together_as_the_switches_say() -> None:
    spec = q_network_spec(PRESETS["fast"], 6)
    assert [block.type for block in spec.trunk if isinstance(block, Norm)] == ["layer"] * 4
    pqn = q_network_spec(PRESETS["pqn"], 6)
    assert [block.type for block in pqn.trunk if isinstance(block, Norm)] == ["channel"] * 3 + ["layer"]
    nature = q_network_spec(PRESETS["dqn-2015"], 6)
    assert not any(isinstance(block, Norm) for block in nature.trunk) and nature.head.hidden == 0
    rainbow = q_network_spec(PRESETS["rainbow"], 6)
    assert rainbow.head.hidden == 512 and not any(isinstance(block, Linear) for block in rainbow.trunk)
    assert rainbow.head.dueling and rainbow.head.noisy and rainbow.head.distribution == "categorical"
    impala = q_network_spec(PRESETS["impala"], 6)
    assert {block.norm for block in impala.trunk if isinstance(block, Residual)} == {"channel"}
    assert len([block for block in impala.trunk if isinstance(block, Residual)]) == 6
    smaller = q_network_spec(replace(PRESETS["fast"], network="impala-small"), 6)
    assert [block.norm for block in smaller.trunk if isinstance(block, Residual)] == ["layer"] * 3
    assert output_shapes(smaller.trunk, smaller.input_shape)[-5:] == ((32, 6, 6), (32, 6, 6), (256,), (256,), (256,))
    btr = q_network_spec(PRESETS["btr"], 6)
    assert btr.head.dueling and not btr.head.noisy and btr.head.distribution == "quantile"
    for config in PRESETS.values():
        check(config)


def test_schedules() -> None:
    config = replace(PRESETS["dqn-2015"], warmup=100, epsilon_steps=1000, epsilon=0.1)
    assert [epsilon_at(config, steps) for steps in (0, 100, 600, 1100, 9999)] == pytest.approx([1, 1, 0.55, 0.1, 0.1])
    assert epsilon_at(replace(config, noisy=True), 600) == 0.0
    config = replace(config, learning_rate=1.0, learning_rate_warmup=4, final_learning_rate=0.5)
    config = replace(config, learning_rate_hold=0.6)
    config = replace(config, steps=1000, settle_steps=100)
    times = ((0, 0), (1, 0), (9, 0), (9, 600), (9, 800), (9, 1000), (9, 1200))
    rates = [learning_rate_at(config, *time) for time in times]
    assert rates == pytest.approx([0.25, 0.5, 1.0, 1.0, 0.75, 0.5, 0.5])
    settling = [learning_rate_at(config, 9, steps, 400) for steps in (400, 450, 500, 900)]
    assert settling == pytest.approx([1.0, 0.75, 0.5, 0.5]), "a good score is near"
    assert learning_rate_at(config, 9, 650, 640) == pytest.approx(0.9375), "what has changed already does not go back"
    assert learning_rate_at(replace(config, settle_steps=0), 9, 500, 400) == 1.0
    assert learning_rate_at(replace(config, learning_rate_hold=1.0), 9, 1000) == 1.0


# --- the loop ---------------------------------------------------------------------------------------------------------


def weights(training: Training) -> dict[str, Any]:
    arrays, state = training.get_state()
    return {**{name: array.copy() for name, array in arrays.items()}, **state}


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_a_restored_training_goes_on_bit_for_bit(name: str) -> None:
    """For the first one with another number of processes for the games, too."""
    config = COMPOSITIONS[name]
    groups = num_groups(config)
    ours, theirs = (AtariEnvs("pong", 2, "nature", processes, groups) for processes in (0, int(name == "fast")))
    try:
        training = Training(config, ours, CPU)
        rounds = training.rounds()
        for done in rounds:
            if done.steps == 96:
                break
        arrays, state = training.get_state()
        other = Training(config, theirs, CPU)
        other.set_state({name: array.copy() for name, array in arrays.items()}, state)
        rest, other_rest = list(rounds), list(other.rounds())
        assert rest and rest[-1].learnt
        assert [done.steps for done in rest] == [done.steps for done in other_rest]
        assert [found.loss for done in rest for found in done.learnt] == [
            found.loss for done in other_rest for found in done.learnt
        ]
        assert same(weights(training), weights(other))
    finally:
        ours.close()
        theirs.close()


def test_the_step_size_settles_while_the_score_asked_for_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(FAST, steps=320, learning_rate_warmup=0, learning_rate_hold=1.0)
    config = replace(config, settle_steps=64, target_score=20.0)
    rates: list[float] = []
    training = Training(config, AtariEnvs("pong", 2), CPU)
    finish = training.learner.finish

    def note_and_finish(begun: Begun, rate: float) -> Learnt:
        rates.append(rate / config.learning_rate)
        return finish(begun, rate)

    monkeypatch.setattr(training.learner, "finish", note_and_finish)
    nearness = [20.0, 20.0, None, 20.0, 20.0, 20.0]
    seen = []
    for near, _ in zip(nearness, training.rounds(), strict=False):
        seen.append(rates[-1])
        training.settle(near)
    step = config.steps_a_rollout / config.settle_steps * (1 - config.final_learning_rate)
    assert seen == pytest.approx([1, 1 - step, 1 - 2 * step, 1, 1 - step, 1 - 2 * step])
    training.config = replace(config, target_score=21.0)
    next(training.rounds())
    assert rates[-1] == 1.0, "another score is asked for"


@pytest.mark.parametrize("config", [FAST, replace(REPLAY, n_step=3)], ids=["the newest rollout", "replay"])
def test_nothing_is_learnt_across_a_game_that_is_cut_off(config: DqnConfig) -> None:
    protocol = replace(PROTOCOLS["nature"], max_episode_frames=60)  # some twelve steps after the no-ops
    envs = AtariEnvs("breakout", 2, protocol)
    training = Training(replace(config, game="breakout"), envs, CPU)
    memory = training.source.memory
    for _ in training.rounds():
        now = min(memory.num_written, memory.capacity)
        newest = [(memory.num_written - back) % memory.capacity for back in range(1, now)]
        for time in newest[1:]:
            following = (time + 1) % memory.capacity
            assert (memory.first[following][memory.truncated[time]]).all(), "another game follows"
        for samples in training.source.minibatches(0.5) if training.actor.steps > config.warmup else ():
            times, places = np.divmod(samples.slots, 2)
            assert not memory.truncated[times, places].any()
    assert memory.truncated.any()
    envs.close()


def test_the_actor_plays_what_its_network_and_its_generator_say() -> None:
    config = replace(FAST, epsilon=0.0)
    envs, again = AtariEnvs("pong", 2), AtariEnvs("pong", 2)
    network = q_network_spec(config, envs.num_actions).build()
    actor = Actor(config, envs, network, CPU)
    played = actor.play(8, lambda steps: 0.0)
    frames = again.reset(config.seed)
    for step in range(8):
        q = q_values(actor.network, frames, CPU)
        assert np.array_equal(played.rollout.frames[step], frames[:, -1])
        assert np.array_equal(played.rollout.actions[step], q.argmax(1))
        assert np.array_equal(played.rollout.values[step], q.max(1))
        frames = again.step(q.argmax(1)).frames
    assert np.array_equal(played.rollout.values[8], q_values(actor.network, frames, CPU).max(1))
    assert played.rollout.first.sum() == 2 and actor.steps == 16
    other = actor.play(8, lambda steps: 1.0)
    assert len(np.unique(other.rollout.actions)) > 2


def test_noise_explores_in_acting_and_is_off_in_evaluation() -> None:
    config = replace(RAINBOW, warmup=0)
    envs = AtariEnvs("pong", 2)
    network = q_network_spec(config, envs.num_actions).build()
    actor = Actor(config, envs, network, CPU)
    frames = envs.reset(0)
    assert not np.array_equal(q_values(actor.network, frames, CPU), q_values(actor.network, frames, CPU))
    actor.network.eval()
    assert np.array_equal(q_values(actor.network, frames, CPU), q_values(actor.network, frames, CPU))
    assert any(isinstance(module, NoisyLinear) for module in actor.network.modules())


def test_an_evaluation_is_one_whole_game_a_place_and_repeats() -> None:
    config = replace(FAST)
    envs = AtariEnvs("breakout", 2)
    network = q_network_spec(config, envs.num_actions).build()
    told: list[tuple[int, int]] = []
    results = evaluate(network, envs, 5, 0.5, CPU, lambda done, total: told.append((done, total)))
    assert [result.place for result in results] == [0, 1]
    assert told[0] in ((1, 2), (2, 2)) and told[-1] == (2, 2)
    assert evaluate(network, envs, 5, 0.5, CPU, lambda done, total: None) == results
