"""The memory of steps: each frame held once, stacks made when they are read, priorities in a sum tree.

A memory is a ring over time of what E environments do in step. Time t of one environment: the frame that its state ends
in, the action taken there, the reward and what ended then. A state is a stack of the last four frames of its episode,
black where it has fewer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from games.compiled import njit
from nets.direct_training import is_worth_it

STACK = 4  # frames in a state
FRAME = (84, 84)
FRAME_BYTES = FRAME[0] * FRAME[1]

Arrays = dict[str, NDArray[Any]]
States = NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.uint8]


class Rollout(NamedTuple):
    """What E environments did in T steps."""

    frames: NDArray[np.uint8]  # [T, E, 84, 84]: the newest frame of the state acted in
    first: NDArray[np.bool_]  # [T, E]: that frame opens an episode
    actions: NDArray[np.uint8]  # [T, E]
    rewards: NDArray[np.float32]  # [T, E]: as learnt, clipped where the config says so
    terminal: NDArray[np.bool_]  # [T, E]: nothing after the step counts
    truncated: NDArray[np.bool_]  # [T, E]: a time limit ended the episode; its last state is not kept
    values: NDArray[np.float32]  # [T + 1, E]: the greatest Q-value of each state when it was acted in


class Samples(NamedTuple):
    """Steps drawn for learning, B of them; states are [B, 84, 84, 4], 0 to 255, the newest frame last.

    For their type see `state_dtype`.
    """

    slots: NDArray[np.int64]  # [B]: where they lie in the memory, for their priorities
    states: States
    actions: NDArray[np.int64]  # [B]
    returns: NDArray[np.float32]  # [B]: the sum of discounted rewards to the state that is looked at
    discounts: NDArray[np.float32]  # [B]: what that state's value counts, gamma^n or 0
    next_states: States | None  # None where `returns` are whole targets
    weights: NDArray[np.float32]  # [B]: of their losses


class FrameMemory:
    """A ring of the last `capacity` steps of each of E environments; see the module."""

    def __init__(self, capacity: int, num_envs: int) -> None:
        self.capacity = capacity
        self.num_envs = num_envs
        self.num_written = 0  # steps an environment, ever
        shape = (capacity, num_envs)
        self.frames = np.zeros((*shape, *FRAME), np.uint8)
        self.first = np.zeros(shape, np.bool_)
        self.actions = np.zeros(shape, np.uint8)
        self.rewards = np.zeros(shape, np.float32)
        self.terminal = np.zeros(shape, np.bool_)
        self.truncated = np.zeros(shape, np.bool_)

    def append(self, rollout: Rollout) -> NDArray[np.int64]:
        """Write the steps over the oldest ones and return their times in the ring, int64 [T]."""
        times = (self.num_written + np.arange(len(rollout.actions))) % self.capacity
        for name in ("frames", "first", "actions", "rewards", "terminal", "truncated"):
            getattr(self, name)[times] = getattr(rollout, name)
        self.num_written += len(times)
        return times

    def readable(self, look_ahead: int) -> tuple[int, int]:
        """Return (first time ever written with a whole stack, number of times with `look_ahead` steps after them)."""
        oldest = max(0, self.num_written - self.capacity)
        first = oldest + STACK - 1 if oldest else 0
        return first, max(0, self.num_written - look_ahead - first)

    def stacks(self, times: NDArray[np.int64], envs: NDArray[np.int64], dtype: type[np.generic]) -> States:
        """Return the states at times of the ring, [B, 84, 84, 4] of a type."""
        states = np.empty((len(times), *FRAME, STACK), dtype)
        _gather_stacks(self.frames, self.first, times, envs, states)
        return states

    def look_ahead(
        self, times: NDArray[np.int64], envs: NDArray[np.int64], steps: int, discount: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Return n-step returns, discounts and the times of the states looked at, each [B]; see `_look_ahead`."""
        returns, discounts = np.empty(len(times), np.float32), np.empty(len(times), np.float32)
        ends = np.empty(len(times), np.int64)
        arrays = (self.rewards, self.terminal, self.truncated)
        _look_ahead(*arrays, times, envs, steps, discount, returns, discounts, ends)
        return returns, discounts, ends


class SumTree:
    """Priorities of `size` slots, drawn from in proportion in O(log size) (Schaul et al. 2016, appendix B.2.1)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.leaves = 1 << max(1, (size - 1).bit_length())
        self.sums = np.zeros(2 * self.leaves, np.float64)  # sums[i] = sums[2 i] + sums[2 i + 1]; leaves last

    def set(self, slots: NDArray[np.int64], priorities: NDArray[np.float64]) -> None:
        """Give slots their priorities, 0 or more; of a slot named twice the last counts."""
        _set_priorities(self.sums, self.leaves, slots, priorities)

    def get(self, slots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the priorities of slots."""
        return self.sums[self.leaves + slots]

    @property
    def total(self) -> float:
        """The sum of all priorities."""
        return float(self.sums[1])

    def draw(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the slots at these shares, 0 to 1, of the total; precondition: it is above 0."""
        slots = np.empty(len(uniforms), np.int64)
        _find(self.sums, self.leaves, uniforms * self.total, slots)
        return slots


def to_states(frames: NDArray[np.uint8], dtype: type[np.generic]) -> States:
    """Return stacks uint8 [B, 4, 84, 84] as states [B, 84, 84, 4] of a type."""
    states = np.empty((len(frames), *FRAME, STACK), dtype)
    _to_states(frames, states)
    return states


def state_dtype(device: torch.device, computing: torch.dtype) -> type[np.generic]:
    """Return the type that states go to a network in, on a device and computing in a type.

    Bytes to a GPU, over whose bus more would go, and to kernels that make floats of them map by map. Else it costs
    nothing on a processor to make floats of them while they are gathered: those that it computes in, of which bfloat16
    (as its bits, uint16) holds 0 to 255 without rounding.
    """
    if device.type != "cpu" or is_worth_it(device, computing):
        return np.uint8
    return np.uint16 if computing == torch.bfloat16 else np.float32


def to_device(states: States, device: torch.device) -> torch.Tensor:
    """Return states as a tensor [B, 4, 84, 84], channels last; to a GPU the copy goes on beside what follows."""
    tensor = torch.from_numpy(states)
    if tensor.dtype == torch.uint16:
        tensor = tensor.view(torch.bfloat16)
    if device.type != "cpu":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return tensor.permute(0, 3, 1, 2)


def memory_bytes(capacity: int, num_envs: int) -> int:
    """Return how many bytes a memory of `capacity` steps an environment takes, all arrays together."""
    return capacity * num_envs * (FRAME_BYTES + 8)


@intrinsic
def _bfloat16_bits(typing_context: Any, byte: Any) -> Any:
    """Return the bits of a byte as bfloat16, the upper half of float32's."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = builder.bitcast(builder.uitofp(arguments[0], ir.FloatType()), ir.IntType(32))
        return builder.trunc(builder.lshr(word, ir.IntType(32)(16)), ir.IntType(16))

    return types.uint16(types.uint8), codegen


def as_number_of(states: Any, byte: Any) -> Any:
    """Return a byte as a number of the states' type; in compiled kernels only."""
    raise NotImplementedError


@overload(as_number_of, inline="always")
def _as_number_of(states, byte):
    if states.dtype == types.uint16:
        return lambda states, byte: _bfloat16_bits(byte)  # type: ignore[call-arg]
    if states.dtype == types.uint8:
        return lambda states, byte: byte
    return lambda states, byte: np.float32(byte)


@njit
def _gather_stacks(frames, first, times, envs, states):
    """Fill states [B, 84, 84, 4] from frames uint8 [T, E, 84, 84]; frames of another episode are black."""
    capacity, _, height, width = frames.shape
    black = np.zeros(height * width, np.uint8)
    for sample in range(len(times)):
        env, time = envs[sample], times[sample]
        newest = frames[time, env].reshape(-1)
        older = [black, black, black]
        for back in range(3):
            if first[time, env]:
                break
            time = time - 1 if time > 0 else capacity - 1
            older[back] = frames[time, env].reshape(-1)
        _interleave(older[2], older[1], older[0], newest, states[sample].reshape(-1))


@njit
def _to_states(frames, states):
    """Fill states [B, 84, 84, 4] from stacks uint8 [B, 4, 84, 84]."""
    for sample in range(len(frames)):
        stack = frames[sample].reshape(4, -1)
        _interleave(stack[0], stack[1], stack[2], stack[3], states[sample].reshape(-1))


@njit
def _interleave(oldest, older, old, newest, state):
    """Fill a state, flat, from its four frames, flat."""
    for cell in range(np.uint64(len(newest))):
        at = cell * np.uint64(STACK)
        state[at] = as_number_of(state, oldest[cell])
        state[at + np.uint64(1)] = as_number_of(state, older[cell])
        state[at + np.uint64(2)] = as_number_of(state, old[cell])
        state[at + np.uint64(3)] = as_number_of(state, newest[cell])


@njit
def _look_ahead(rewards, terminal, truncated, times, envs, steps, discount, returns, discounts, ends):
    """Sum `steps` discounted rewards from each time; fewer where the episode ends.

    At a terminal step the discount becomes 0. Before a truncated step the sum stops, at the state it is taken in.
    Precondition: the first step of a sample is not truncated.
    """
    capacity = rewards.shape[0]
    for sample in range(len(times)):
        env, time = envs[sample], times[sample]
        total, weight = 0.0, 1.0
        for _ in range(steps):
            if truncated[time, env]:
                break
            total += weight * rewards[time, env]
            weight *= discount
            stop = terminal[time, env]
            time = time + 1 if time + 1 < capacity else 0
            if stop:
                weight = 0.0
                break
        returns[sample] = np.float32(total)
        discounts[sample] = np.float32(weight)
        ends[sample] = time


@njit
def _set_priorities(sums, leaves, slots, priorities):
    """Set leaves, then every sum above them from its two parts, so that no rounding errors gather."""
    for index in range(len(slots)):
        node = leaves + slots[index]
        sums[node] = priorities[index]
        node >>= 1
        while node > 0:
            sums[node] = sums[2 * node] + sums[2 * node + 1]
            node >>= 1


@njit
def _find(sums, leaves, values, slots):
    """Descend from the root to the leaf in which each running sum falls; never to a leaf of priority 0."""
    for index in range(len(values)):
        node, value = 1, values[index]
        while node < leaves:
            node *= 2
            left = sums[node]
            if (value >= left and sums[node + 1] > 0.0) or left == 0.0:
                value -= left
                node += 1
        slots[index] = node - leaves
