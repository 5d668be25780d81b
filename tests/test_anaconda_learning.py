"""Gradients of Anaconda networks against torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.evolution.anaconda_learning import adam, gradient
from games.compiled import NDArray
from nets.anaconda_layout import NUM_WEIGHTS
from nets.models import BoardEvaluator


def random_batch(size: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return a vector [5047], codes int8[B, 32] of as many pieces for either side, and targets [B]."""
    rng = np.random.default_rng(4)
    vector = np.append(rng.uniform(-0.2, 0.2, NUM_WEIGHTS), 1.6).astype(np.float32)
    pieces = np.array([1, 1, 1, 1, 2, -1, -1, -1, -1, -2] + [0] * 22, np.int8)
    codes = rng.permuted(np.tile(pieces, (size, 1)), axis=1)
    codes[0] = 0
    codes[1, codes[1] == -2] = 0
    return vector, codes, rng.uniform(-1, 1, size).astype(np.float32)


def torchs_network(vector: NDArray) -> BoardEvaluator:
    model = BoardEvaluator.from_flat(vector[:-1], float(vector[-1]))
    model.king_value.requires_grad_()
    return model


def flat_gradient(model: BoardEvaluator) -> NDArray:
    """Return torch's gradients in the order of the vector."""
    parts = [parameter.grad.T if parameter.dim() == 2 else parameter.grad for parameter in model.trunk.parameters()]
    return torch.cat([part.reshape(-1) for part in [*parts, model.king_value.grad]]).numpy()


@pytest.mark.parametrize("size", [2, 64])
def test_the_gradient_is_torchs(size: int) -> None:
    vector, codes, targets = random_batch(size)
    before = vector.copy()
    slope, error = gradient(vector, codes, targets)
    model = torchs_network(vector)
    loss = ((model(torch.from_numpy(codes.astype(np.float32))) - torch.from_numpy(targets)) ** 2).mean()
    loss.backward()
    expected = flat_gradient(model)
    assert error == pytest.approx(loss.item(), rel=1e-5)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)
    assert slope.dtype == np.float32
    assert np.abs(expected[-1]) > 1e-3, "K has a gradient too"
    assert (np.abs(expected) > 1e-6).mean() > 0.7
    assert (vector == before).all()


def test_adam_is_torchs() -> None:
    vector, codes, targets = random_batch(32)
    moments = np.zeros((2, len(vector)), np.float32)
    model = torchs_network(vector)
    optimizer = torch.optim.Adam([*model.trunk.parameters(), model.king_value], lr=0.003)
    for step in range(1, 21):
        slope, _ = gradient(vector, codes, targets)
        adam(vector, moments, slope, 0.003, step)
        optimizer.zero_grad()
        ((model(torch.from_numpy(codes.astype(np.float32))) - torch.from_numpy(targets)) ** 2).mean().backward()
        optimizer.step()
    expected = np.append(model.flat_weights(), model.king_value.item())
    # Where a gradient is next to nothing its sign decides the step: single weights may differ.
    assert (np.abs(vector - expected) < 1e-4).mean() > 0.99
    assert np.abs(vector - expected).max() < 0.02
    assert gradient(vector, codes, targets)[1] < gradient(random_batch(32)[0], codes, targets)[1]
