"""The memory of steps: stacks, look-ahead and sampling against obvious versions; the sum tree; saving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents.dqn.config import PRESETS, DqnConfig
from agents.dqn.replay import FRAME, FrameMemory, Rollout, SumTree, memory_bytes, state_dtype, to_device, to_states
from agents.dqn.sampling import NewestRollout, Replay, make_source, memory_state, restore_memory

ENVS = 3


def rollout(rng: np.random.Generator, steps: int, first: NDArray[np.bool_] | None = None) -> Rollout:
    """Return random steps; frames are of one colour, so that a stack is told by four numbers."""
    shape = (steps, ENVS)
    terminal = rng.random(shape) < 0.15
    truncated = ~terminal & (rng.random(shape) < 0.1)
    colours = rng.integers(1, 256, shape, dtype=np.uint8)
    opens = np.concatenate([np.ones((1, ENVS), np.bool_) if first is None else first[None], terminal | truncated])
    return Rollout(
        frames=np.broadcast_to(colours[:, :, None, None], (*shape, *FRAME)).copy(),
        first=opens[:-1],
        actions=rng.integers(0, 6, shape, dtype=np.uint8),
        rewards=rng.integers(-1, 2, shape).astype(np.float32),
        terminal=terminal,
        truncated=truncated,
        values=rng.normal(size=(steps + 1, ENVS)).astype(np.float32),
    )


class Log:
    """Everything ever written, without a ring."""

    def __init__(self) -> None:
        self.parts: list[Rollout] = []

    def append(self, part: Rollout) -> Rollout:
        self.parts.append(part)
        return part

    def __getattr__(self, name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(part, name) for part in self.parts])

    def stack(self, time: int, env: int) -> list[int]:
        """Return the colours of the state at a time, oldest first."""
        colours: list[int] = []
        while len(colours) < 4 and time >= 0:
            colours.insert(0, int(self.frames[time, env, 0, 0]))
            if self.first[time, env]:
                break
            time -= 1
        return [0] * (4 - len(colours)) + colours

    def look_ahead(self, time: int, env: int, steps: int, discount: float) -> tuple[float, float, int]:
        total, weight = 0.0, 1.0
        for ahead in range(time, time + steps):
            if self.truncated[ahead, env]:
                return total, weight, ahead
            total += weight * float(self.rewards[ahead, env])
            weight *= discount
            if self.terminal[ahead, env]:
                return total, 0.0, ahead + 1
        return total, weight, time + steps


def filled(config: DqnConfig, rollouts: int, seed: int = 0) -> tuple[Replay | NewestRollout, Log, np.random.Generator]:
    rng, source, log = np.random.default_rng(seed), make_source(config, np.float32), Log()
    first = None
    for _ in range(rollouts):
        part = log.append(rollout(rng, config.rollout, first))
        first = part.terminal[-1] | part.truncated[-1]
        source.append(part)
    return source, log, rng


REPLAY = replace(PRESETS["dqn-2015"], num_envs=ENVS, rollout=5, replay=60, n_step=3, batch_size=32, updates=8)


@pytest.mark.parametrize("rollouts", [2, 4, 5, 11])
@pytest.mark.parametrize("prioritised", [False, True])
def test_what_a_replay_draws_is_what_was_written(rollouts: int, prioritised: bool) -> None:
    source, log, _ = filled(replace(REPLAY, prioritised=prioritised), rollouts)
    written, capacity = 5 * rollouts, source.memory.capacity
    oldest = max(0, written - capacity)
    drawn = set()
    for samples in source.minibatches(0.0):
        times, envs = np.divmod(samples.slots, ENVS)
        times = oldest + (times - oldest) % capacity  # in the log
        assert samples.next_states is not None
        for index, (time, env) in enumerate(zip(times.tolist(), envs.tolist(), strict=True)):
            drawn.add((time, env))
            total, weight, end = log.look_ahead(time, env, 3, 0.99)
            assert samples.states[index, 0, 0].tolist() == log.stack(time, env)
            assert samples.actions[index] == log.actions[time, env]
            assert samples.returns[index] == pytest.approx(total)
            assert samples.discounts[index] == pytest.approx(weight)
            if weight:
                assert samples.next_states[index, 0, 0].tolist() == log.stack(end, env)
        source.note(samples, np.full(32, 0.5, np.float32))
    first = oldest + 3 if oldest else 0
    can_be_drawn = {
        (time, env) for time in range(first, written - 3) for env in range(ENVS) if not log.truncated[time, env]
    }
    assert drawn <= can_be_drawn
    assert len(drawn) > 0.9 * len(can_be_drawn)


@pytest.mark.parametrize(
    ("device", "capability", "computing", "expected"),
    [
        ("cpu", "DEFAULT", torch.float32, np.float32),
        ("cpu", "AVX2", torch.float32, np.uint8),
        ("cpu", "AVX512", torch.bfloat16, np.uint16),
        ("cuda", "AVX512", torch.bfloat16, np.uint8),
    ],
)
def test_states_hold_whole_frames_the_newest_last(
    device: str,
    capability: str,
    computing: torch.dtype,
    expected: type[np.generic],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 4, *FRAME), dtype=np.uint8)
    dtype = state_dtype(torch.device(device), computing)
    states = to_states(frames, dtype)
    assert states.dtype == expected
    assert np.array_equal(to_device(states, torch.device("cpu")).float().numpy(), frames)
    memory = FrameMemory(8, 2)
    memory.frames[2:6] = frames.swapaxes(0, 1)
    memory.num_written = 8
    read = memory.stacks(np.array([5, 5]), np.array([0, 1]), dtype)
    assert read.dtype == dtype and np.array_equal(read, states)


def test_the_newest_rollout_is_learnt_from_as_often_as_there_are_epochs() -> None:
    config = replace(PRESETS["fast"], num_envs=ENVS, rollout=16, batch_size=4, epochs=3)
    source, log, _ = filled(config, 3, seed=1)
    counts: dict[int, int] = {}
    for samples in source.minibatches(0.0):
        assert samples.next_states is None
        for index, slot in enumerate(samples.slots.tolist()):
            counts[slot] = counts.get(slot, 0) + 1
            time, env = divmod(slot, ENVS)
            time = 48 - source.memory.capacity + (time - 48) % source.memory.capacity
            assert time >= 32 and not log.truncated[time, env]
            assert samples.states[index, 0, 0].tolist() == log.stack(time, env)
    learnable = int((~log.truncated[32:]).sum())
    assert sum(counts.values()) == learnable // 4 * 4 * 3 and max(counts.values()) <= 3


# --- the sum tree -----------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 40).flatmap(
        lambda size: st.tuples(
            st.just(size),
            st.lists(st.tuples(st.integers(0, size - 1), st.floats(0, 1e3, width=32)), min_size=1, max_size=60),
        )
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_sum_tree_finds_the_slot_where_the_running_sum_passes(
    changes: tuple[int, list[tuple[int, float]]], share: float
) -> None:
    size, pairs = changes
    tree, plain = SumTree(size), np.zeros(size)
    for slot, priority in pairs:
        plain[slot] = priority
    tree.set(np.array([slot for slot, _ in pairs]), np.array([priority for _, priority in pairs]))
    assert tree.get(np.arange(size)).tolist() == plain.tolist()
    assert tree.total == pytest.approx(plain.sum())
    if tree.total:
        found = int(tree.draw(np.array([share]))[0])
        sums = np.concatenate([[0.0], np.cumsum(plain)])
        slack = 1e-9 * tree.total
        assert plain[found] > 0
        assert sums[found] - slack <= share * tree.total <= sums[found + 1] + slack


def test_priorities_are_drawn_in_proportion_and_weighted_back() -> None:
    config = replace(REPLAY, prioritised=True, priority_exponent=1.0, importance_exponent=1.0, updates=400)
    source, _, _ = filled(config, 4)
    assert isinstance(source, Replay)
    slots = np.arange(60)
    can_be_drawn = source._tree.get(slots) > 0  # type: ignore[union-attr]
    errors = np.where(np.arange(60) % 2, 3.0, 1.0)
    source._tree.set(slots, errors * can_be_drawn)  # type: ignore[union-attr]
    drawn = np.zeros(60)
    for samples in source.minibatches(0.0):
        np.add.at(drawn, samples.slots, 1)
        heavy = samples.slots % 2 == 1
        assert np.allclose(samples.weights, np.where(heavy, 1 / 3, 1.0) / (1.0 if (~heavy).any() else 1 / 3))
    odd, even = drawn[1::2][can_be_drawn[1::2]].mean(), drawn[::2][can_be_drawn[::2]].mean()
    assert odd / even == pytest.approx(3.0, rel=0.1)


# --- saving and memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [REPLAY, replace(REPLAY, prioritised=True), replace(PRESETS["fast"], num_envs=ENVS)])
def test_a_restored_source_draws_what_the_saved_one_draws(config: DqnConfig) -> None:
    config = replace(config, rollout=5, batch_size=4)
    source, _, rng = filled(config, 7)
    for samples in source.minibatches(0.5):
        source.note(samples, np.linspace(0, 1, 4, dtype=np.float32))
    arrays, state = source.get_state()
    other = make_source(config, np.float32)
    other.set_state({name: array.copy() for name, array in arrays.items()}, state)
    part = rollout(rng, 5)
    for each in (source, other):
        each.append(part)
    for ours, theirs in zip(source.minibatches(0.5), other.minibatches(0.5), strict=True):
        for one, two in zip(ours, theirs, strict=True):
            assert (one is None and two is None) or np.array_equal(one, two)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", [0, 1, 300, 700])
def test_compressed_frames_come_back_bit_for_bit(written: int) -> None:
    rng = np.random.default_rng(2)
    memory, other = FrameMemory(600, 1), FrameMemory(600, 1)
    memory.frames[:] = rng.integers(0, 3, memory.frames.shape, dtype=np.uint8)
    memory.num_written = written
    restore_memory(other, memory_state(memory))
    used = min(written, 600)
    assert np.array_equal(memory.frames[:used], other.frames[:used]) and not other.frames[used:].any()


def test_memory_is_told_to_the_byte() -> None:
    memory = FrameMemory(50, 4)
    taken = sum(array.nbytes for array in vars(memory).values() if isinstance(array, np.ndarray))
    assert taken == memory_bytes(50, 4)
    assert memory_bytes(1_000_000, 1) == pytest.approx(7.06e9, rel=0.01)
