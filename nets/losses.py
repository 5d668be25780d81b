"""Losses as pure functions: one number a sample, so that a learner weighs and averages them as it likes.

B batch, A actions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def masked_logits(logits: Tensor, legal_mask: Tensor) -> Tensor:
    """Return the logits [B, A] with -inf where `legal_mask` is false: a softmax gives those moves nothing."""
    return logits.masked_fill(~legal_mask, -torch.inf)


def softmax_cross_entropy(logits: Tensor, targets: Tensor, legal_mask: Tensor | None = None) -> Tensor:
    """Return -sum_a target_a log softmax(logits)_a, [B].

    `targets` is int64 [B], the right action, or float [B, A], a distribution. With `legal_mask` [B, A] the
    softmax is over legal moves only, and targets must be legal.
    """
    if legal_mask is not None:
        logits = masked_logits(logits, legal_mask)
    if not targets.is_floating_point():
        return functional.cross_entropy(logits, targets, reduction="none")
    log_probabilities = logits.log_softmax(1)
    if legal_mask is not None:  # 0 * -inf would be NaN
        log_probabilities = log_probabilities.masked_fill(~legal_mask, 0.0)
    return -(targets * log_probabilities).sum(1)


def sigmoid_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of independent yes-no answers, summed over each sample's answers, [B].

    Written as max(x, 0) - x t + log(1 + exp(-|x|)), which overflows for no logit x. `targets` are in [0, 1].
    """
    losses = logits.clamp_min(0) - logits * targets + (-logits.abs()).exp().log1p()
    return losses.reshape(len(losses), -1).sum(1)


def euclidean(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return half the squared distance of each sample's prediction from its target, [B]."""
    differences = (predictions - targets).reshape(len(predictions), -1)
    return 0.5 * (differences * differences).sum(1)
