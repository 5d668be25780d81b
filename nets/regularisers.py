"""Regularisers that any learner can switch on: L1, L2, elastic net, max-norm, early stopping."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from nets.layers import ChannelNorm, LocallyConnected2d, SymmetricConv2d, SymmetricLinear, WindowLinear

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, ChannelNorm)


def penalised_weights(model: nn.Module) -> Iterator[tuple[nn.Module, nn.Parameter]]:
    """Yield each layer with its weights: not biases, not the scales of norms, not the sizes of noise."""
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and not isinstance(module, _NORMS):
            yield module, weight


def penalty(model: nn.Module, l1: float = 0.0, l2: float = 0.0) -> Tensor:
    """Return l1 sum|w| + l2 sum w^2 over the weights, a scalar to add to the loss.

    Both together are the elastic net (Zou & Hastie 2005, equation 3). A tied weight counts once.
    """
    weights = [weight for _, weight in penalised_weights(model)]
    total = weights[0].new_zeros(())
    if l1:
        total = total + l1 * torch.stack([weight.abs().sum() for weight in weights]).sum()
    if l2:
        total = total + l2 * torch.stack([weight.square().sum() for weight in weights]).sum()
    return total


@torch.no_grad()
def constrain_norms(model: nn.Module, max_norm: float) -> None:
    """Scale down, in place, the weights into every unit whose norm is above `max_norm`; after each step.

    Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors", 2012.
    """
    for module, weight in penalised_weights(model):
        weight.mul_(max_norm / _unit_norms(module, weight).clamp_min(max_norm))


def _unit_norms(module: nn.Module, weight: Tensor) -> Tensor:
    """Return the norm of all weights into the unit that each weight serves, in a shape that fits `weight`."""
    squares = weight.square()
    if isinstance(module, WindowLinear):
        sums = torch.zeros_like(module.bias).index_add(0, module.units, squares)[module.units]
    elif isinstance(module, LocallyConnected2d):
        sums = squares.sum(2, keepdim=True)
    elif isinstance(module, SymmetricConv2d):
        sums = module.full_weight().square().flatten(1).sum(1)[:, None, None]
    elif isinstance(module, SymmetricLinear):
        # The units that share a weight are mirror images, so their norms are equal but for rounding.
        units = module.full_weight().square().sum((0, 2))  # [to]
        shared = squares.new_zeros(weight.shape[1])
        sums = shared.scatter_reduce(0, module.pairs, units.repeat_interleave(len(units)), "amax")
    else:
        sums = squares.flatten(1).sum(1).reshape(-1, *[1] * (weight.dim() - 1))
    return sums.sqrt()


class EarlyStopping:
    """Says when a validation loss has stopped falling (Prechelt 1998).

    `patience` counts evaluations without a new best; a new best must be lower by more than `min_delta`.
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.best_loss = math.inf
        self.num_since_best = 0

    def update(self, loss: float) -> bool:
        """Note one evaluation and return whether it is the new best; a NaN never is."""
        improved = loss < self.best_loss - self.min_delta
        self.best_loss = loss if improved else self.best_loss
        self.num_since_best = 0 if improved else self.num_since_best + 1
        return improved

    @property
    def should_stop(self) -> bool:
        """Whether `patience` evaluations in a row brought nothing."""
        return self.num_since_best >= self.patience

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold, as JSON."""
        best = self.best_loss if math.isfinite(self.best_loss) else None
        return {"best_loss": best, "num_since_best": self.num_since_best}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        self.best_loss = math.inf if state["best_loss"] is None else float(state["best_loss"])
        self.num_since_best = int(state["num_since_best"])
