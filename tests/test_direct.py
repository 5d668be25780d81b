"""Layers by kernels of our own: the answers and gradients of torch, whatever the shapes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from agents.dqn.config import PRESETS
from agents.dqn.networks import q_network_spec
from nets.direct_training import DirectConv2d, use_direct


def layers(channels: int, *shapes: tuple[int, int, int], norm: bool) -> nn.Sequential:
    """Return convolutions of (filters, size, stride), each with a ReLU after it and perhaps a norm before that."""
    torch.manual_seed(1)
    modules: list[nn.Module] = []
    for filters, size, stride in shapes:
        modules.append(nn.Conv2d(channels, filters, size, stride))
        if norm:
            modules.append(nn.GroupNorm(1, filters))
            nn.init.normal_(modules[-1].weight, 1.0, 0.3)  # type: ignore[arg-type]
            nn.init.normal_(modules[-1].bias, 0.0, 0.3)  # type: ignore[arg-type]
        modules.append(nn.ReLU())
        channels = filters
    return nn.Sequential(*modules).to(memory_format=torch.channels_last)


def gradients(model: nn.Module, maps: Tensor) -> list[Tensor]:
    """Return what a model makes of maps and the gradients of its parameters."""
    out = model(maps)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out, *torch.autograd.grad((out * weights).sum(), list(model.parameters()))]


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("batch", [1, 3, 17])
@pytest.mark.parametrize(
    ("channels", "height", "width", "shapes"),
    [
        (4, 84, 84, ((16, 8, 4), (32, 4, 2), (32, 3, 1))),  # the Q-network of fast
        (4, 20, 20, ((32, 8, 4), (64, 4, 1))),
        (3, 13, 9, ((16, 5, 2), (48, 2, 1))),  # odd numbers of inputs, outputs and maps taken together
        (1, 3, 3, ((16, 3, 1),)),  # a single output
    ],
)
def test_answers_and_gradients_are_those_of_torch(
    channels: int, height: int, width: int, shapes: tuple[tuple[int, int, int], ...], batch: int, norm: bool
) -> None:
    model = layers(channels, *shapes, norm=norm)
    maps = torch.randn(batch, channels, height, width)
    right = gradients(copy.deepcopy(model).double(), maps.double())
    assert use_direct(model) == len(shapes)
    for found, expected in zip(gradients(model, maps), right, strict=True):
        assert found.shape == expected.shape and found.dtype == torch.float32
        assert float((found - expected).detach().norm()) < 2e-5 * max(1.0, float(expected.detach().norm()))


def test_the_gradients_of_maps_are_torchs_too() -> None:
    model = layers(16, (16, 4, 2), norm=True)
    maps = torch.randn(3, 16, 11, 8, requires_grad=True)
    right = torch.autograd.grad(model(maps).square().sum(), maps)[0]
    use_direct(model)
    assert torch.allclose(torch.autograd.grad(model(maps).square().sum(), maps)[0], right, atol=1e-4)


@pytest.mark.parametrize(("preset", "count"), [("fast", 3), ("dqn-2015", 3), ("dqn-2013", 2), ("pqn", 0)])
def test_a_q_network_keeps_its_parameters_and_its_answers_to_bytes(preset: str, count: int) -> None:
    network = q_network_spec(PRESETS[preset], 6).build().to(memory_format=torch.channels_last)
    frames = torch.randint(0, 256, (5, 84, 84, 4), dtype=torch.uint8).permute(0, 3, 1, 2)
    names, right = list(network.state_dict()), network(frames)
    assert use_direct(network) == count
    assert list(network.state_dict()) == names
    for same in (network, copy.deepcopy(network)):
        assert torch.allclose(same(frames), right, atol=1e-5)
        assert torch.allclose(same(frames.float()), right, atol=1e-5)


def test_only_layers_that_fit_are_changed() -> None:
    model = nn.Sequential(
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3),
        nn.Tanh(),
        nn.Conv2d(16, 16, 3, groups=2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, bias=False),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3),
        nn.ReLU(),
        nn.Conv2d(24, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3),
        nn.GroupNorm(2, 16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 1),
    )
    assert use_direct(model) == 1 and type(model[15]) is DirectConv2d
    assert use_direct(model) == 0
