"""Widening: a network of more units a layer says what the narrower one said, and then the copies learn apart."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from nets.blocks import Block, Conv, Linear, MaxPool, Norm, Relu, Residual
from nets.heads import QHeadSpec
from nets.models import QNetwork, QNetworkSpec
from nets.spec import SpecError
from nets.widening import widened

FRAMES = torch.randint(256, (16, 4, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def trunk(filters: int, units: int, norm: Literal["layer", "channel", "batch"] = "layer") -> tuple[Block, ...]:
    first, second = Conv(filters, 4, 2), Conv(2 * filters, 3)
    hidden = (Linear(units), Norm("layer"), Relu())
    return (first, Norm(norm), Relu(), MaxPool(3, 2), second, Norm(norm), Relu(), *hidden)


def network(blocks: tuple[Block, ...], head: QHeadSpec | None = None) -> QNetwork:
    torch.manual_seed(0)
    model = QNetworkSpec((4, 20, 20), blocks, head or QHeadSpec(3)).build()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def wider(model: QNetwork, blocks: tuple[Block, ...]) -> QNetwork:
    return widened(model, blocks, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("norm", ["layer", "channel"])
@pytest.mark.parametrize(("filters", "units"), [(8, 15), (12, 5), (4, 10), (4, 5)])
def test_a_wider_network_says_what_the_narrow_one_said(
    filters: int, units: int, norm: Literal["layer", "channel"]
) -> None:
    model = network(trunk(4, 5, norm))
    larger = wider(model, trunk(filters, units, norm))
    assert larger.spec.trunk == trunk(filters, units, norm) and not larger.training
    torch.testing.assert_close(larger(FRAMES), model(FRAMES))


def test_every_atom_of_a_distribution_stays() -> None:
    model = network(trunk(4, 5), QHeadSpec(3, distribution="quantile", num_atoms=7))
    torch.testing.assert_close(wider(model, trunk(8, 10))(FRAMES), model(FRAMES))


def test_copies_learn_apart() -> None:
    model = wider(network(trunk(4, 5)), trunk(8, 10)).train()
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)][:-1]
    for layer in layers:
        assert torch.equal(*layer.weight.chunk(2))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        optimiser.zero_grad()
        (model(FRAMES) - 1).square().mean().backward()
        optimiser.step()
    for layer in layers:
        first, second = layer.weight.chunk(2)
        assert not torch.allclose(first, second)


@pytest.mark.parametrize(
    ("narrow", "wide", "message"),
    [
        (trunk(4, 5), trunk(6, 5), r"trunk layer 0 \(conv\)"),
        (trunk(4, 5), trunk(4, 7), r"trunk layer 7 \(linear\)"),
        (trunk(8, 5), trunk(4, 5), r"trunk layer 0 \(conv\)"),
        (trunk(4, 5), (Conv(4, 4, 4), *trunk(4, 5)[1:]), r"trunk layer 0 \(conv\)"),
        (trunk(4, 5), trunk(4, 5, "channel"), r"trunk layer 1 \(norm\)"),
        (trunk(4, 5, "batch"), trunk(8, 5, "batch"), r"trunk layer 1 \(norm\)"),
        ((Conv(4, 4), Residual(), Linear(5)), (Conv(8, 4), Residual(), Linear(5)), r"trunk layer 1 \(residual\)"),
        (trunk(4, 5), trunk(4, 5)[:-3], "of 10 layers cannot become one of 7"),
    ],
)
def test_what_cannot_become_wider_is_refused(narrow: tuple[Block, ...], wide: tuple[Block, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        wider(network(narrow), wide)


def test_a_head_with_hidden_layers_is_refused() -> None:
    with pytest.raises(SpecError, match="whose head is one layer"):
        wider(network(trunk(4, 5), QHeadSpec(3, hidden=6, dueling=True)), trunk(8, 5))
