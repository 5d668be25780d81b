"""Computations on a GPU recorded once and replayed: hundreds of small kernels for the cost of starting one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

WARM_UPS = 3  # runs in which libraries choose their kernels and get their memory before the recording
ONE_AT_A_TIME = threading.Lock()  # of the recordings in a process; two threads may want one

ResultT = TypeVar("ResultT")


class Recorded(Generic[ResultT]):
    """A function of tensors on a GPU, of shapes that stay, as a CUDA graph.

    It must do the same each time but for what the tensors hold, those that it finds elsewhere too: weights may change
    in place. What it returns is written over by the next call.
    """

    def __init__(self, function: Callable[..., ResultT], *examples: Tensor) -> None:
        """Record a function for tensors that are like the examples in shape, type and layout, and on the same GPU."""
        self._inputs = tuple(example.clone() for example in examples)
        with ONE_AT_A_TIME:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    function(*self._inputs)
            torch.cuda.current_stream().wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # other threads may compute on
                self._result = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> ResultT:
        """Return the function's result; an input that is shorter than its example fills the first rows."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own[: len(given)].copy_(given, non_blocking=True)
        self._graph.replay()
        return self._result
