"""The type that convolutions compute in, and that heads do not."""

from __future__ import annotations

import pytest
import torch

from nets.models import QNetwork
from nets.precision import resolve_precision
from nets.presets import preset

CPU = torch.device("cpu")


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_precision_is_what_is_asked_for(asked: str) -> None:
    assert resolve_precision(asked, CPU) == getattr(torch, asked)
    assert resolve_precision("auto", CPU) in (torch.float32, torch.bfloat16)


def test_a_trunk_in_bfloat16_leaves_q_values_fine() -> None:
    torch.manual_seed(0)
    network = preset("nature-dqn").build()
    assert isinstance(network, QNetwork)
    frames = torch.randint(0, 256, (8, 4, 84, 84), dtype=torch.uint8)
    exact = network(frames)
    network.trunk_dtype = torch.bfloat16
    rough = network(frames)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, rough.bfloat16().float())
    assert torch.allclose(rough, exact, atol=0.01)


@pytest.mark.parametrize("name", ["nature-dqn", "impala"])
def test_kept_rounded_a_network_says_the_same(name: str) -> None:
    torch.manual_seed(0)
    network = preset(name).build()
    assert isinstance(network, QNetwork)
    network.trunk_dtype = torch.bfloat16
    frames = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    wanted = network(frames)
    network.keep_rounded()
    assert any(parameter.dtype == torch.bfloat16 for parameter in network.parameters())
    assert torch.equal(network(frames), wanted)
