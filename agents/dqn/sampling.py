"""What is learnt from: the newest rollout, each step a few times, or a replay memory, uniformly or by priority.

Both kinds of source have the same methods: `append` takes a rollout in, `minibatches` yields samples, `note` hears how
wrong the network was about them. A slot is a step's place in the memory, time of the ring * E + environment.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.dqn.config import DqnConfig
from agents.dqn.replay import STACK, Arrays, FrameMemory, Rollout, Samples, SumTree
from agents.dqn.targets import importance_weights, lambda_returns

LEAST_PRIORITY = 1e-6  # of a step whose error is 0, so that it can be drawn again
BLOCK = 256  # times compressed together
STEP_ARRAYS = ("first", "actions", "rewards", "terminal", "truncated")


class NewestRollout:
    """Each step of the newest rollout, `epochs` times in random order, with lambda returns (Gallici et al. 2024)."""

    def __init__(self, config: DqnConfig, dtype: type[np.generic]) -> None:
        self.config = config
        self._dtype = dtype  # of states
        self.memory = FrameMemory(config.rollout + STACK - 1, config.num_envs)
        self._rng = np.random.default_rng((config.seed, 2))
        self._returns = np.zeros(0, np.float32)  # of the steps that can be learnt from
        self._slots = np.zeros(0, np.int64)

    def append(self, rollout: Rollout) -> None:
        """Take in a rollout, which replaces the one before."""
        times = self.memory.append(rollout)
        discounts = np.float32(self.config.discount) * ~rollout.terminal
        returns, learnable = lambda_returns(
            rollout.rewards, discounts, rollout.values, rollout.truncated, self.config.lambda_
        )
        slots = times[:, None] * self.config.num_envs + np.arange(self.config.num_envs)
        self._returns, self._slots = returns[learnable], slots[learnable]

    def minibatches(self, progress: float) -> Iterator[Samples]:
        """Yield the minibatches of all epochs; `progress` is of no account."""
        size = self.config.batch_size
        count = len(self._slots) // size  # what is left over is another sample in each epoch
        for _ in range(self.config.epochs):
            order = self._rng.permutation(len(self._slots))
            for chosen in order[: count * size].reshape(count, size):
                times, envs = np.divmod(self._slots[chosen], self.config.num_envs)
                yield Samples(
                    slots=self._slots[chosen],
                    states=self.memory.stacks(times, envs, self._dtype),
                    actions=self.memory.actions[times, envs].astype(np.int64),
                    returns=self._returns[chosen],
                    discounts=np.zeros(size, np.float32),
                    next_states=None,
                    weights=np.ones(size, np.float32),
                )

    def note(self, samples: Samples, errors: NDArray[np.float32]) -> None:
        """Nothing is drawn by errors here."""

    def get_state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and JSON with which `set_state` goes on bit for bit."""
        arrays = memory_state(self.memory)
        arrays |= {"returns": self._returns, "slots": self._slots}
        return arrays, {"rng": json.dumps(self._rng.bit_generator.state)}

    def set_state(self, arrays: Arrays, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        restore_memory(self.memory, arrays)
        self._returns, self._slots = arrays["returns"], arrays["slots"]
        self._rng.bit_generator.state = json.loads(state["rng"])


class Replay:
    """`updates` minibatches from the last `replay` steps, with n-step returns."""

    def __init__(self, config: DqnConfig, dtype: type[np.generic]) -> None:
        self.config = config
        self._dtype = dtype  # of states
        self.memory = FrameMemory(config.replay // config.num_envs, config.num_envs)
        self._rng = np.random.default_rng((config.seed, 2))
        self._tree = SumTree(config.replay) if config.prioritised else None
        self._greatest = 1.0  # priority that any step was given; new ones get it, so that each is soon drawn

    def append(self, rollout: Rollout) -> None:
        """Take in a rollout, which replaces the oldest steps once the memory is full."""
        memory, ahead = self.memory, self.config.n_step
        before = memory.num_written
        memory.append(rollout)
        if self._tree is not None:
            first, count = memory.readable(ahead)
            # The newest lack steps to look ahead to, the oldest have lost frames of their stacks.
            oldest = np.arange(max(0, memory.num_written - memory.capacity), first)
            not_drawn = np.concatenate([np.arange(before, memory.num_written), oldest])
            self._set_priorities(self._tree, not_drawn, np.zeros(1))
            ready = np.arange(max(first, before - ahead), first + count)
            self._set_priorities(self._tree, ready, ~memory.truncated[ready % memory.capacity] * self._greatest)

    def _set_priorities(self, tree: SumTree, times: NDArray[np.int64], priorities: NDArray[np.floating[Any]]) -> None:
        """Set the priorities of all environments at times ever written; `priorities` broadcasts to [T, E]."""
        slots = times[:, None] % self.memory.capacity * self.config.num_envs + np.arange(self.config.num_envs)
        tree.set(slots.reshape(-1), np.broadcast_to(priorities, slots.shape).reshape(-1).astype(np.float64))

    def minibatches(self, progress: float) -> Iterator[Samples]:
        """Yield the minibatches; `progress` 0 to 1 is how much of the training is done."""
        for _ in range(self.config.updates):
            if self._tree is None:
                slots = self._draw_evenly()
                weights = np.ones(len(slots), np.float32)
            else:
                slots, weights = self._draw_by_priority(self._tree, progress)
            times, envs = np.divmod(slots, self.config.num_envs)
            returns, discounts, ends = self.memory.look_ahead(times, envs, self.config.n_step, self.config.discount)
            yield Samples(
                slots=slots,
                states=self.memory.stacks(times, envs, self._dtype),
                actions=self.memory.actions[times, envs].astype(np.int64),
                returns=returns,
                discounts=discounts,
                next_states=self.memory.stacks(ends, envs, self._dtype),
                weights=weights,
            )

    def _draw_evenly(self) -> NDArray[np.int64]:
        """Return the slots of steps drawn evenly from all that have a next state."""
        first, count = self.memory.readable(self.config.n_step)
        chosen = np.empty(0, np.int64)
        while len(chosen) < self.config.batch_size:
            drawn = self._rng.integers(count * self.config.num_envs, size=self.config.batch_size - len(chosen))
            times = (first + drawn // self.config.num_envs) % self.memory.capacity
            envs = drawn % self.config.num_envs
            slots = times * self.config.num_envs + envs
            chosen = np.concatenate([chosen, slots[~self.memory.truncated[times, envs]]])
        return chosen

    def _draw_by_priority(self, tree: SumTree, progress: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return slots, one from each equal share of the priorities, and weights that undo the preference."""
        size = self.config.batch_size
        slots = tree.draw((np.arange(size) + self._rng.random(size)) / size)
        probabilities = tree.get(slots) / tree.total
        beta = self.config.importance_exponent + (1 - self.config.importance_exponent) * progress
        return slots, importance_weights(probabilities, beta)

    def note(self, samples: Samples, errors: NDArray[np.float32]) -> None:
        """Give the steps the priorities of their new errors, [B]."""
        if self._tree is not None:
            priorities = (errors.astype(np.float64) + LEAST_PRIORITY) ** self.config.priority_exponent
            self._greatest = max(self._greatest, float(priorities.max()))
            self._tree.set(samples.slots, priorities)

    def get_state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and JSON with which `set_state` goes on bit for bit; the frames compressed."""
        arrays = memory_state(self.memory)
        if self._tree is not None:
            arrays["priorities"] = self._tree.get(np.arange(self._tree.size))
        return arrays, {"rng": json.dumps(self._rng.bit_generator.state), "greatest": self._greatest}

    def set_state(self, arrays: Arrays, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        restore_memory(self.memory, arrays)
        if self._tree is not None:
            self._tree.set(np.arange(self._tree.size), arrays["priorities"])
        self._greatest = state["greatest"]
        self._rng.bit_generator.state = json.loads(state["rng"])


Source = NewestRollout | Replay


def make_source(config: DqnConfig, dtype: type[np.generic]) -> Source:
    """Return what the configuration learns from, which yields states of a type."""
    return NewestRollout(config, dtype) if config.learns_on_policy else Replay(config, dtype)


# --- saving -----------------------------------------------------------------------------------------------------------


def memory_state(memory: FrameMemory) -> Arrays:
    """Return the written part of a memory; its frames compressed, to some 5 % of 7 GB for most games.

    Each frame is stored as its difference from the one before in the same environment, a block of times together.
    """
    used = min(memory.num_written, memory.capacity)
    starts = range(0, used, BLOCK)
    with ThreadPoolExecutor(2) as threads:  # zlib lets other threads run
        blocks = list(threads.map(lambda start: _compress(memory.frames[start : min(start + BLOCK, used)]), starts))
    arrays = {name: getattr(memory, name)[:used] for name in STEP_ARRAYS}
    sizes = np.array([len(block) for block in blocks], np.int64)
    packed = np.frombuffer(b"".join(blocks), np.uint8)
    return {**arrays, "frames": packed, "frame_blocks": sizes, "num_written": np.array(memory.num_written)}


def restore_memory(memory: FrameMemory, arrays: Arrays) -> None:
    """Fill a memory of the same size from what `memory_state` gave."""
    memory.num_written = int(arrays["num_written"])
    used = min(memory.num_written, memory.capacity)
    for name in STEP_ARRAYS:
        getattr(memory, name)[:used] = arrays[name]
    ends = np.cumsum(arrays["frame_blocks"])
    spans = list(zip(ends - arrays["frame_blocks"], ends, range(0, used, BLOCK), strict=True))

    def unpack(span: tuple[int, int, int]) -> None:
        first, last, start = span
        part = memory.frames[start : min(start + BLOCK, used)]
        data = zlib.decompress(arrays["frames"][first:last].tobytes(), bufsize=part.nbytes)
        np.bitwise_xor.accumulate(np.frombuffer(data, np.uint8).reshape(part.shape), axis=0, out=part)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(unpack, spans))


def _compress(frames: NDArray[np.uint8]) -> bytes:
    """Return frames [T, E, 84, 84] as a compressed block of differences over time."""
    differences = frames.copy()
    differences[1:] ^= frames[:-1]
    return zlib.compress(differences.data, 1)
