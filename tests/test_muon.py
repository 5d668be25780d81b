"""Muon: its matrices come out orthogonal, its vectors move as AdamW's do, and its steps lead downhill."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nets.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(6, 6), (5, 40), (40, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_values_come_near_one(shape: tuple[int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) * 37.0
    result = orthogonalised(matrix[None], dtype)[0]
    values = torch.linalg.svdvals(result)
    assert result.shape == matrix.shape and result.dtype == torch.float32
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert float((result * (left @ right)).sum()) > 0.8 * min(shape)  # the same singular vectors


def test_a_gradient_of_zero_moves_nothing() -> None:
    assert not orthogonalised(torch.zeros(1, 3, 4)).any()


def test_vectors_move_as_with_adamw() -> None:
    torch.manual_seed(0)
    start, target = torch.randn(20), torch.randn(20)
    ends = []
    for make in (
        lambda group: Muon([group], lr=0.01),
        lambda group: torch.optim.AdamW([group], lr=0.01, betas=(0.9, 0.99)),
    ):
        vector = nn.Parameter(start.clone())
        optimiser = make({"params": [vector], "weight_decay": 0.1})
        for _ in range(30):
            optimiser.zero_grad()
            (vector - target).square().sum().backward()
            optimiser.step()
        ends.append(vector.detach())
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (4, 8)])
def test_a_step_has_the_size_of_adams_and_leads_downhill(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    weights = nn.Parameter(torch.randn(shape).contiguous())
    target = torch.randn(shape)
    optimiser = Muon([{"params": [weights], "orthogonal": True}], lr=0.05)
    losses = []
    for _ in range(200):
        loss = (weights - target).square().mean()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        before = weights.detach().clone()
        optimiser.step()
        step = weights.detach() - before
        assert 0.005 < float(step.square().mean().sqrt()) < 0.015  # 0.2 of the learning rate
    assert losses[-1] < 0.3 * losses[0]
