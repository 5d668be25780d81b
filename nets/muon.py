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

State = dict[str, Tensor]  # what is remembered of one parameter


def orthogonalised(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return matrices [K, M, N] with the singular vectors of others and singular values near 1 (0.7 to 1.2)."""
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[1] <= matrices.shape[2]
    norms = torch.linalg.matrix_norm(matrices, keepdim=True).clamp_min(1e-7)
    x = ((matrices if wide else matrices.mT) / norms).to(dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    result: Tensor = (x if wide else x.mT).to(matrices.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """Steps of orthogonal matrices for the weights of layers, each unit's a row, and AdamW for the rest.

    A group's `orthogonal` says which of the two it gets. Jordan et al. leave the weights of the first layer and of the
    output layers to AdamW, too. Matrices are multiplied in `dtype`.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, dtype: torch.dtype = torch.float32) -> None:
        defaults = {"lr": lr, "weight_decay": 0.0, "betas": (0.9, 0.99), "eps": 1e-8, "orthogonal": False}
        super().__init__(groups, defaults)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step down the gradients that the parameters hold."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            states = [self.state[parameter] for parameter in parameters]
            gradients = [parameter.grad for parameter in parameters]
            if group["orthogonal"]:
                changes = self._orthogonal(states, gradients)
            else:
                changes = list(_adam(states, gradients, group["betas"], group["eps"]))
            torch._foreach_sub_(parameters, changes, alpha=group["lr"])

    def _orthogonal(self, states: list[State], gradients: list[Tensor]) -> list[Tensor]:
        """Return the orthogonal steps of Nesterov's momentum; matrices of one shape are multiplied together."""
        momenta = _moments(states, gradients, "momentum")
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        matrices = [matrix.flatten(1) for matrix in torch._foreach_lerp(gradients, momenta, MOMENTUM)]
        changes = list(gradients)
        for shape in {matrix.shape for matrix in matrices}:
            alike = [index for index, matrix in enumerate(matrices) if matrix.shape == shape]
            steps = orthogonalised(torch.stack([matrices[index] for index in alike]), self.dtype)
            for index, step in zip(alike, steps.mul_(STEP_RMS * max(shape) ** 0.5), strict=True):
                changes[index] = step.view(gradients[index].shape)
        return changes


def _adam(
    states: list[State], gradients: list[Tensor], betas: tuple[float, float], epsilon: float
) -> tuple[Tensor, ...]:
    """Return Adam's steps (Kingma & Ba 2015, algorithm 1)."""
    means, squares = _moments(states, gradients, "mean"), _moments(states, gradients, "square")
    for state in states:
        state["step"] = state.get("step", torch.zeros(())) + 1
    steps = int(states[0]["step"])
    torch._foreach_lerp_(means, gradients, 1 - betas[0])
    torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - betas[1])
    roots = torch._foreach_sqrt(torch._foreach_div(squares, 1 - betas[1] ** steps))
    torch._foreach_add_(roots, epsilon)
    changes = torch._foreach_div(means, roots)
    torch._foreach_div_(changes, 1 - betas[0] ** steps)
    return changes


def _moments(states: list[State], gradients: list[Tensor], name: str) -> list[Tensor]:
    """Return what the optimiser remembers of each gradient under a name, at first zeros."""
    for state, gradient in zip(states, gradients, strict=True):
        if name not in state:
            state[name] = torch.zeros_like(gradient)
    return [state[name] for state in states]
