"""Muon: momentum whose matrices are made orthogonal before the step (Jordan et al. 2024), beside AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# A quintic whose repetition takes singular values from (0, 1] to around 1; the coefficients are Jordan's.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
MOMENTUM = 0.95
# Steps of this root mean square go with AdamW's learning rates and weight decay (Liu et al. 2025, section 2.2).
STEP_RMS = 0.2


def orthogonalised(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a matrix [M, N] with the singular vectors of another and singular values near 1 (0.7 to 1.2)."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T) / matrix.norm().clamp_min(1e-7)
    x = x.to(dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    result: Tensor = (x if wide else x.T).to(matrix.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """Steps of orthogonal matrices for the weights of layers, each unit's a row, and AdamW for all vectors.

    A group's `orthogonal` says which of the two it gets. Matrices are multiplied in `dtype`.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, dtype: torch.dtype = torch.float32) -> None:
        defaults = {"lr": lr, "weight_decay": 0.0, "betas": (0.9, 0.99), "eps": 1e-8, "orthogonal": False}
        super().__init__(groups, defaults)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step down the gradients that the parameters hold."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                state = self.state[parameter]
                if group["orthogonal"]:
                    change = self._orthogonal(state, parameter.grad)
                else:
                    change = _adam(state, parameter.grad, group["betas"], group["eps"])
                parameter.sub_(change, alpha=group["lr"])

    def _orthogonal(self, state: dict[str, Tensor], gradient: Tensor) -> Tensor:
        """Return the orthogonal step of Nesterov's momentum."""
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        matrix = gradient.lerp(momentum, MOMENTUM).flatten(1)
        step = orthogonalised(matrix, self.dtype).mul_(STEP_RMS * max(matrix.shape) ** 0.5)
        return step.view(gradient.shape)


def _adam(state: dict[str, Tensor], gradient: Tensor, betas: tuple[float, float], epsilon: float) -> Tensor:
    """Return Adam's step (Kingma & Ba 2015, algorithm 1)."""
    if not state:
        state["step"] = torch.zeros(())
        state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    state["step"] += 1
    mean = state["mean"].lerp_(gradient, 1 - betas[0])
    square = state["square"].lerp_(gradient.square(), 1 - betas[1])
    steps = int(state["step"])
    root = (square / (1 - betas[1] ** steps)).sqrt_().add_(epsilon)
    return mean.div(root).div_(1 - betas[0] ** steps)
