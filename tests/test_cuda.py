"""What is done otherwise on a GPU says the same there as on the processor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agents.dqn.actor import Actor
from agents.dqn.config import PRESETS as DQN_PRESETS
from agents.dqn.config import DqnConfig
from agents.dqn.learner import Learner as DqnLearner
from agents.dqn.networks import q_network_spec
from agents.dqn.replay import Samples as Steps
from agents.dqn.replay import state_dtype
from agents.imitation.config import PRESETS
from agents.imitation.data import Samples
from agents.imitation.learner import Learner
from games.atari_vector import AtariEnvs
from nets.cuda_graphs import Recorded
from nets.inference import make_inference
from nets.models import PolicyValueNet
from nets.presets import preset

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
CPU, GPU = torch.device("cpu"), torch.device("cuda")
FAST = replace(DQN_PRESETS["fast"], num_envs=4, rollout=8, batch_size=16, precision="float32", shards=1)
REPLAY = replace(DQN_PRESETS["dqn-2015"], network="small", batch_size=16, precision="float32", target_period=2)
RAINBOW = replace(DQN_PRESETS["rainbow"], network="small", batch_size=16, precision="float32", noisy=False)
IMPALA = replace(DQN_PRESETS["impala"], num_envs=4, rollout=8, batch_size=16, precision="float32", shards=1)
BTR = replace(DQN_PRESETS["btr"], batch_size=16, precision="float32")


def test_what_is_recorded_sees_new_inputs_and_new_weights() -> None:
    weights = torch.ones(3, device=GPU)
    recorded = Recorded(lambda x: x * weights, torch.zeros(3, device=GPU))
    assert recorded(torch.arange(3.0)).tolist() == [0, 1, 2]
    weights.fill_(2.0)
    assert recorded(torch.arange(3.0)).tolist() == [0, 2, 4]


def samples_of(batch: int, size: int) -> Samples:
    """Return random positions; three of ten moves are not legal."""
    generator = torch.Generator().manual_seed(0)
    moves = size * size + 1
    actions = torch.randint(moves, (batch,), generator=generator)
    legal = torch.rand(batch, moves, generator=generator) < 0.7
    return Samples(
        planes=(torch.rand(batch, 16, size, size, generator=generator) < 0.2).float(),
        actions=actions,
        legal=legal.scatter(1, actions[:, None], True),
        movers=torch.zeros(batch, dtype=torch.int64),
        outcomes=torch.ones(batch),
        outcome_weights=torch.ones(batch),
    )


@pytest.mark.parametrize("optimiser", ["adamw", "muon", "sgd"])
def test_imitation_learns_the_same(optimiser: Any) -> None:
    config = replace(PRESETS["small"], optimiser=optimiser, precision="float32", average=0.9, learning_rate=1e-3)
    samples = samples_of(8, 9)
    means = []
    for device in (CPU, GPU):
        torch.manual_seed(0)
        network = preset("resnet-2x16", (16, 9, 9)).build()
        assert isinstance(network, PolicyValueNet)
        learner = Learner(config, network, device)
        for _ in range(5):
            learner.step(samples, 1.0)
        learner.set_arrays(learner.get_arrays())
        learner.step(samples, 1.0)
        means.append(learner.means())
    assert means[1] == pytest.approx(means[0], rel=0.02)


def test_imitation_in_bfloat16_keeps_to_numbers() -> None:
    """Kernels that torch 2.11 had compiled did not, on maps of this size."""
    config = replace(PRESETS["small"], optimiser="muon", precision="bfloat16", learning_rate=1e-3)
    network = preset("resnet-6x96", (16, 19, 19)).build()
    assert isinstance(network, PolicyValueNet)
    learner = Learner(config, network, GPU)
    losses = []
    for _ in range(10):
        learner.forget_sums()
        learner.step(samples_of(256, 19), 1.0)
        losses.append(learner.means()["loss"])
    assert losses[-1] < losses[0]
    assert all(bool(weights.isfinite().all()) for weights in network.parameters())


def steps_of(config: DqnConfig, device: torch.device, seed: int) -> Steps:
    """Return steps drawn at random."""
    rng = np.random.default_rng(seed)
    size = config.batch_size

    def states() -> Any:
        return rng.integers(256, size=(size, 84, 84, 4)).astype(state_dtype(device, torch.float32))

    return Steps(
        slots=np.arange(size),
        states=states(),
        actions=rng.integers(4, size=size),
        returns=rng.standard_normal(size).astype(np.float32),
        discounts=np.full(size, 0.99, np.float32),
        next_states=None if config.learns_on_policy else states(),
        weights=np.ones(size, np.float32),
    )


@pytest.mark.parametrize(
    "config", [FAST, REPLAY, RAINBOW, IMPALA, BTR], ids=["fast", "dqn-2015", "rainbow", "impala", "btr"]
)
def test_q_learning_learns_the_same(config: DqnConfig) -> None:
    found = []
    for device in (CPU, GPU):
        learner = DqnLearner(q_network_spec(config, 4), config, device)
        found.append([learner.learn(steps_of(config, device, seed), 1e-4) for seed in range(5)])
    for ours, theirs in zip(*found, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, rel=0.02)
        np.testing.assert_allclose(theirs.errors, ours.errors, rtol=0.05, atol=0.02)


def test_an_actor_plays_the_same() -> None:
    frames = []
    for device in (CPU, GPU):
        envs = AtariEnvs("pong", FAST.num_envs)
        learner = DqnLearner(q_network_spec(FAST, envs.num_actions), FAST, device)
        played = Actor(FAST, envs, learner.network, device).play(8, lambda _: 0.0)
        frames.append(played.rollout.values)
        envs.close()
    np.testing.assert_allclose(*frames, rtol=1e-3, atol=1e-3)


def test_inference_says_the_same() -> None:
    torch.manual_seed(0)
    network = preset("resnet-2x16", (16, 9, 9)).build()
    assert isinstance(network, PolicyValueNet)
    planes = np.random.default_rng(0).random((11, 16, 9, 9)).astype(np.float32)
    answers = [make_inference(network, backend, 1)(planes, np.zeros(11, np.int64)) for backend in ("torch", "cuda")]
    for ours, theirs in zip(*answers, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0.05, atol=0.05)
