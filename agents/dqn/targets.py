"""What Q-networks learn towards, and the losses: one pure function an equation, named by time step.

`tm1` is the time of the action, `t` that of the state that the target looks at (n steps later for n-step returns),
`r_t` the rewards between, discounted and summed, `discount_t` what the value at t counts: gamma^n, 0 where the episode
has ended. B batch, A actions, N atoms or quantiles, T steps, E environments.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


def of_actions(outputs: Tensor, actions: Tensor) -> Tensor:
    """Return [B] or [B, N], what outputs [B, A] or [B, A, N] say of the actions int64 [B]."""
    return outputs[torch.arange(len(actions), device=actions.device), actions]


def q_learning_target(r_t: Tensor, discount_t: Tensor, q_t: Tensor) -> Tensor:
    """Return r + gamma max_a Q(s_t, a), [B]; `q_t` [B, A] is the target network's (Mnih et al. 2015, algorithm 1)."""
    return r_t + discount_t * q_t.amax(1)


def double_q_target(r_t: Tensor, discount_t: Tensor, q_t: Tensor, selector_t: Tensor) -> Tensor:
    """Return r + gamma Q(s_t, argmax_a selector(s_t, a)), [B]; `selector_t` [B, A] is the network that learns.

    van Hasselt, Guez & Silver 2016, section "Double DQN".
    """
    return r_t + discount_t * of_actions(q_t, selector_t.argmax(1))


def lambda_returns(
    rewards: Floats, discounts: Floats, values: Floats, truncated: Bools, lambda_: float
) -> tuple[Floats, Bools]:
    """Return float32 [T, E], Peng's Q(lambda) returns, and bool [T, E], which of them can be learnt from.

    G_t = r_t + discount_t ((1 - lambda) V_t+1 + lambda G_t+1) with V the greatest Q-value (Peng & Williams 1996; Daley
    & Amato 2019, section 2; Gallici et al. 2024, section 4). `values` [T + 1, E] are V of the states acted in and of
    the one after the last. After a step that a time limit has cut short the next state is another episode's:
    that step has no return, and the ones before it see only as far as the value of the state it was taken in.
    """
    returns = np.empty_like(rewards)
    following = values[-1]
    for step in range(len(rewards) - 1, -1, -1):
        mixed = (1 - lambda_) * values[step + 1] + lambda_ * following
        returns[step] = rewards[step] + discounts[step] * mixed
        following = np.where(truncated[step], values[step], returns[step])
    return returns, ~truncated


def categorical_projection(r_t: Tensor, discount_t: Tensor, probabilities_t: Tensor, support: Tensor) -> Tensor:
    """Return probabilities [B, N] of r + gamma Z on the atoms of `support` [N], evenly spaced.

    `probabilities_t` [B, N] are those of Z, the return after t (Bellemare, Dabney & Munos 2017, equation 7): each
    atom's mass goes to the two atoms beside where the target puts it, in proportion to nearness.
    """
    v_min, v_max, step = support[0], support[-1], support[1] - support[0]
    places = (r_t[:, None] + discount_t[:, None] * support).clamp(v_min, v_max)  # [B, N]
    nearness = 1 - (places[:, None, :] - support[None, :, None]).abs() / step  # [B, N to, N from]
    return (nearness.clamp(0, 1) * probabilities_t[:, None, :]).sum(2)


def categorical_loss(logits_tm1: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy [B] of a distribution given as logits [B, N] from the target's probabilities [B, N]."""
    return -(target * logits_tm1.log_softmax(1)).sum(1)


def quantile_loss(quantiles_tm1: Tensor, target: Tensor) -> Tensor:
    """Return the quantile Huber loss [B] of quantiles [B, N] against samples of the target [B, N'].

    Dabney et al. 2018 (QR-DQN), equation 10 with kappa 1, and algorithm 1: the mean over samples, the sum over
    quantiles.
    """
    count = quantiles_tm1.shape[1]
    midpoints = (torch.arange(count, device=target.device, dtype=target.dtype) + 0.5) / count
    errors = target[:, None, :] - quantiles_tm1[:, :, None]  # [B, N, N']
    huber = functional.huber_loss(errors, torch.zeros_like(errors), reduction="none", delta=1.0)
    weights = (midpoints[None, :, None] - (errors.detach() < 0).to(errors.dtype)).abs()
    return (weights * huber).mean(2).sum(1)


def clipped_error_loss(q_tm1: Tensor, target: Tensor) -> Tensor:
    """Return [B], half the squared error, linear beyond 1: the error in the gradient is clipped to -1..1.

    Mnih et al. 2015, Methods, "Training algorithm for deep Q-networks".
    """
    return functional.huber_loss(q_tm1, target, reduction="none", delta=1.0)


def squared_error_loss(q_tm1: Tensor, target: Tensor) -> Tensor:
    """Return half the squared error, [B]."""
    return 0.5 * (q_tm1 - target).square()


def importance_weights(probabilities: NDArray[np.float64], beta: float) -> Floats:
    """Return P(i)^-beta over its greatest value, [B], for samples drawn with probabilities P [B].

    Schaul et al. 2016, section 3.4, where the number of steps that are drawn from cancels.
    """
    weights: NDArray[np.float64] = probabilities**-beta
    return np.asarray(weights / weights.max(), np.float32)
