"""Growth: a larger network says what the smaller one said, and then every new weight learns."""

from __future__ import annotations

import pytest
import torch

from nets.growth import grown
from nets.models import PolicyValueNet
from nets.presets import preset
from nets.spec import SpecError


def network(name: str, num_actions: int | None = None) -> PolicyValueNet:
    torch.manual_seed(0)
    model = preset(name, (5, 7, 7), num_actions).build()
    assert isinstance(model, PolicyValueNet)
    model(torch.rand(32, 5, 7, 7))  # norms that have seen something
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.mark.parametrize("num_actions", [None, 20])
@pytest.mark.parametrize(("small", "large"), [("resnet-3x6", "resnet-7x10"), ("resnet-2x6", "resnet-3x6")])
def test_a_grown_network_says_what_it_said_before(small: str, large: str, num_actions: int | None) -> None:
    model, planes = network(small, num_actions), torch.rand(8, 5, 7, 7)
    larger = grown(model, network(large, num_actions).spec.trunk).eval()
    before, after = model(planes), larger(planes)
    assert larger.spec.trunk == network(large, num_actions).spec.trunk
    torch.testing.assert_close(after.policy, before.policy)
    torch.testing.assert_close(after.value, before.value)


def test_every_new_weight_comes_to_learn() -> None:
    model = grown(network("resnet-3x6"), network("resnet-6x9").spec.trunk).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        output = model(torch.rand(16, 5, 7, 7))
        optimiser.zero_grad()
        (output.policy.logsumexp(1) + output.value).sum().backward()
        optimiser.step()
    still = [name for name, parameter in model.named_parameters() if not bool((parameter.grad.abs() > 0).any())]
    assert still == []


@pytest.mark.parametrize(
    ("small", "large", "message"),
    [
        ("resnet-3x6", "resnet-2x6", "3 blocks of 6 filters cannot grow to 2 blocks of 6 filters"),
        ("resnet-3x6", "resnet-3x5", "cannot grow to 3 blocks of 5 filters"),
    ],
)
def test_a_network_grows_into_no_smaller_one(small: str, large: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        grown(network(small), network(large).spec.trunk)


def test_only_residual_networks_grow() -> None:
    other = preset("clark-storkey", (7, 7, 7))
    with pytest.raises(SpecError, match="only networks of the kind resnet-BxC"):
        grown(network("resnet-3x6"), other.trunk)
