"""Functions of tensors in fused kernels: a GPU's memory bounds norms and activations, which so use it less.

Not for learning from recorded games: with torch 2.11 on an H200 gradients of resnet-6x96 on 19x19, in bfloat16, were
NaN where the loss was right. Why is not known.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

import torch

Parameters = ParamSpec("Parameters")
ResultT = TypeVar("ResultT")


class Fused(Generic[Parameters, ResultT]):
    """A function, compiled when it is first called, once for each set of shapes.

    Where it cannot be compiled (there is no C compiler, or the GPU is too old) it is the function itself, with a
    warning.
    """

    def __init__(self, function: Callable[Parameters, ResultT]) -> None:
        self._function = function
        self._compiled: Callable[Parameters, ResultT] = torch.compile(function, dynamic=False)

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> ResultT:
        """Return the function's result."""
        try:
            return self._compiled(*args, **kwargs)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            warnings.warn(f"training is slower than it could be, its kernels cannot be fused: {reason}", stacklevel=2)
            self._compiled = self._function
            return self._function(*args, **kwargs)
