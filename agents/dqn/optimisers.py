"""The optimisers of Q-learning: Adam, RAdam, and the centred RMSProp of 2015, whose epsilon torch puts elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from games.compiled import njit

SQUARES_DECAY = 0.95  # both of Mnih et al. 2015's momenta: of the gradients and of their squares


class CentredRmsProp(torch.optim.Optimizer):
    """p -= rate g / sqrt(mean(g^2) - mean(g)^2 + epsilon), epsilon inside the root (Mnih et al. 2015, extended data
    table 1: gradient momentum and squared gradient momentum 0.95, least squared gradient 0.01; after Graves 2013,
    equations 38 to 40)."""

    def __init__(self, parameters: Sequence[nn.Parameter], rate: float, epsilon: float) -> None:
        super().__init__(parameters, {"lr": rate, "eps": epsilon})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the parameters by their gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["mean"] = torch.zeros_like(parameter)
                    state["mean_square"] = torch.zeros_like(parameter)
                if parameter.device.type == "cpu":
                    tensors = (parameter, parameter.grad, state["mean"], state["mean_square"])
                    one_pass(group["lr"], group["eps"], *(_flat(tensor, parameter).numpy() for tensor in tensors))
                else:
                    _step(parameter, parameter.grad, **state, rate=group["lr"], epsilon=group["eps"])


@njit
def one_pass(rate, epsilon, parameter, gradient, mean, mean_square):
    """Do what `_step` does in one pass over memory, which is what takes the time; all float32 [n]."""
    share, rate, epsilon = np.float32(1 - SQUARES_DECAY), np.float32(rate), np.float32(epsilon)
    for i in range(parameter.size):
        mean[i] += share * (gradient[i] - mean[i])
        mean_square[i] += share * (gradient[i] * gradient[i] - mean_square[i])
        variance = max(mean_square[i] - mean[i] * mean[i], np.float32(0.0))
        parameter[i] -= rate * gradient[i] / np.sqrt(variance + epsilon)


def _step(parameter: Tensor, gradient: Tensor, mean: Tensor, mean_square: Tensor, rate: float, epsilon: float) -> None:
    mean.lerp_(gradient, 1 - SQUARES_DECAY)
    mean_square.lerp_(gradient * gradient, 1 - SQUARES_DECAY)
    variance = mean_square.addcmul(mean, mean, value=-1.0).clamp_min_(0.0)
    parameter.addcdiv_(gradient, variance.add_(epsilon).sqrt_(), value=-rate)


def _flat(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a flat view of a tensor in the order in which a parameter lies in memory, contiguous or channels last."""
    if like.is_contiguous():
        return tensor.contiguous().view(-1)
    return tensor.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).view(-1)


def make_optimiser(
    kind: Literal["adam", "radam", "rmsprop"], parameters: Sequence[nn.Parameter], rate: float, epsilon: float
) -> torch.optim.Optimizer:
    """Return an optimiser of these parameters."""
    if kind == "rmsprop":
        return CentredRmsProp(parameters, rate, epsilon)
    if kind == "radam":
        return torch.optim.RAdam(parameters, lr=rate, eps=epsilon)
    return torch.optim.Adam(parameters, lr=rate, eps=epsilon, fused=True)
