"""What a network looks at: by what the methods promise, and against captum where it is installed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nets.blocks import Block, Conv, Linear, MaxPool, Relu, Tanh
from nets.cnn import Trunk
from nets.explain import (
    METHODS,
    Method,
    cell_centres,
    gaussian_blur,
    grad_cam,
    input_gradients,
    integrated_gradients,
    last_map,
    perturbation,
    q_value_of,
    saliency,
)
from nets.heads import QHeadSpec
from nets.models import PolicyValueNet, QNetwork, QNetworkSpec
from nets.presets import preset

SIZE = 24


class Corner(nn.Module):
    """A network that sees one spot of the newest frame only: Q of action 1 is its brightness."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__()
        self.row, self.column = row, column

    def forward(self, frames: Tensor) -> Tensor:
        spot = frames[:, -1, self.row - 2 : self.row + 3, self.column - 2 : self.column + 3].mean((1, 2))
        return torch.stack([torch.zeros_like(spot), spot], 1)


@pytest.fixture
def network() -> QNetwork:
    torch.manual_seed(0)
    blocks = (Conv(8, 4, 2), Relu(), Conv(8, 3), Relu(), Linear(32), Tanh())
    return QNetworkSpec((4, SIZE, SIZE), blocks, QHeadSpec(3)).build().eval()


def frames(batch: int = 2) -> Tensor:
    return torch.rand(batch, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 255


def test_gradients_say_how_the_target_changes(network: QNetwork) -> None:
    target = q_value_of(network.double(), torch.tensor([0, 2]))
    inputs = frames().double()
    gradients = input_gradients(target, inputs)
    moved = inputs.clone()
    moved[:, 3, 10, 12] += 1e-3
    torch.testing.assert_close((target(moved) - target(inputs)) / 1e-3, gradients[:, 3, 10, 12], rtol=1e-3, atol=1e-9)


def test_integrated_gradients_add_up_to_the_difference(network: QNetwork) -> None:
    target = q_value_of(network.double(), torch.tensor([1, 1]))
    inputs = frames().double()
    parts = integrated_gradients(target, inputs, num_steps=400)
    with torch.no_grad():
        difference = target(inputs) - target(torch.zeros_like(inputs))
    torch.testing.assert_close(parts.sum((1, 2, 3)), difference, rtol=1e-3, atol=1e-4)


def test_perturbation_finds_the_spot_that_matters() -> None:
    inputs = torch.zeros(1, 4, 60, 60)
    inputs[0, -1, 38:43, 18:23] = 255
    picture = perturbation(Corner(40, 20), inputs)[0]
    row, column = divmod(int(picture.argmax()), 60)
    assert abs(row - 40) <= 3
    assert abs(column - 20) <= 3
    assert picture[:20].max() < 1e-3 * picture.max()


def test_a_perturbation_is_half_the_squared_change_of_the_outputs() -> None:
    """At one spot, by the formula: the image, its blur and a Gaussian between them."""
    inputs = frames(1)
    picture = perturbation(Corner(12, 12), inputs, stride=SIZE)[0]
    offsets = torch.arange(SIZE) - SIZE // 2
    mask = torch.exp(-(offsets[:, None] ** 2 + offsets**2) / 50)
    disturbed = inputs * (1 - mask) + gaussian_blur(inputs, 3.0) * mask
    change = (Corner(12, 12)(disturbed) - Corner(12, 12)(inputs)).square().sum() / 2
    torch.testing.assert_close(picture, change.expand(SIZE, SIZE))


def test_a_blur_keeps_what_is_even_and_the_mean_of_what_is_not() -> None:
    even = torch.full((1, 2, SIZE, SIZE), 7.0)
    torch.testing.assert_close(gaussian_blur(even, 3.0), even)
    dot = torch.zeros(1, 1, 41, 41)
    dot[0, 0, 20, 20] = 1
    blurred = gaussian_blur(dot, 3.0)[0, 0]
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0))
    torch.testing.assert_close(blurred, blurred.T)
    assert blurred[20, 20] == blurred.max()


def test_grad_cam_is_where_the_weighted_channels_are_positive(network: QNetwork) -> None:
    """By the formula, from a forward pass taken apart by hand."""
    inputs, action = frames(1), torch.tensor([1])
    features = network.trunk.layers[:4](inputs / 255).detach().requires_grad_()
    output = network.head(network.trunk.layers[4:](features))[0, 1]
    (gradients,) = torch.autograd.grad(output, features)
    expected = sum(gradients[0, channel].mean() * features[0, channel] for channel in range(8))
    picture = grad_cam(q_value_of(network, action), inputs, last_map(network.trunk))
    resized = torch.nn.functional.interpolate(expected.relu()[None, None], (SIZE, SIZE), mode="bilinear")
    torch.testing.assert_close(picture, resized[0].detach())


def test_grad_cam_without_signs_shows_what_speaks_against_the_target_too(network: QNetwork) -> None:
    inputs, layer, target = frames(), last_map(network.trunk), q_value_of(network, torch.tensor([1, 2]))
    evidence, opposed = grad_cam(target, inputs, layer), grad_cam(lambda x: -target(x), inputs, layer)
    assert opposed.amax((1, 2)).min() > 0
    both = grad_cam(target, inputs, layer, signed=False)
    assert (both >= torch.maximum(evidence, opposed) - 1e-6 * both.max()).all()
    torch.testing.assert_close(both, grad_cam(lambda x: -target(x), inputs, layer, signed=False))


MAX_POOLS = (Conv(2, 3, padding=1), MaxPool(3, 2, padding="same"), MaxPool(3, 2, padding="same"))


@pytest.mark.parametrize(
    ("blocks", "size", "centres"),
    [
        ((Conv(2, 8, 4), Conv(2, 4, 2), Conv(2, 3)), 84, (17.5, 8)),  # nature-dqn
        ((Conv(2, 8, 4), Conv(2, 4, 2)), 84, (9.5, 8)),  # dqn-2013
        (MAX_POOLS, 41, (0, 4)),
        (MAX_POOLS, 40, (3, 4)),  # "same" pads an even size behind only
    ],
)
def test_cells_look_at_the_middle_of_what_they_see(
    blocks: tuple[Block, ...], size: int, centres: tuple[float, int]
) -> None:
    trunk = Trunk(blocks, (1, size, size))
    for parameter in trunk.parameters():
        parameter.data.fill_(1.0)
    with torch.no_grad():
        bright_rows = torch.ones(size, 1, size, 1) + torch.eye(size)[:, None, :, None].expand(-1, -1, -1, size)
        changes = (trunk(bright_rows) != trunk(torch.ones(1, 1, size, size)))[:, 0, :, 0]
    cell = changes.shape[1] // 2
    seen = changes[:, cell].nonzero()
    start, step = cell_centres(trunk, trunk.layers[-1])
    assert (start, step) == centres
    assert start + step * cell == (seen.min() + seen.max()) / 2


def test_grad_cam_puts_a_cell_where_it_looks() -> None:
    layer = nn.Conv2d(1, 1, 4, 4, bias=False)  # of 22 cells the last two are seen by none
    nn.init.ones_(layer.weight)
    inputs = torch.zeros(1, 1, 22, 22)
    inputs[..., 8:12, 12:16] = 1
    picture = grad_cam(lambda x: layer(x).sum((1, 2, 3)), inputs, layer, centres=(1.5, 4))[0]
    rows, columns = (picture.sum(axis) @ torch.arange(22.0) / picture.sum() for axis in (1, 0))
    assert (float(rows), float(columns)) == pytest.approx((9.5, 13.5))


def test_a_map_that_supports_nothing_is_not_drawn_blank() -> None:
    torch.manual_seed(0)
    blocks = (Conv(1, 4, 2), Relu(), Linear(1))
    model = QNetworkSpec((4, SIZE, SIZE), blocks, QHeadSpec(1)).build().eval()
    (_, dense), (head,) = model.trunk.layers[2], [m for m in model.head.modules() if isinstance(m, nn.Linear)]
    nn.init.constant_(dense.weight, -1)
    nn.init.ones_(head.weight)
    layer = last_map(model.trunk)
    assert grad_cam(lambda x: model.q_values(x)[:, 0], frames(), layer).amax() == 0
    assert (saliency("gradcam", model, frames()).amax((1, 2)) == 1).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_draws_one_picture_a_stack_and_leaves_the_network_as_it_was(
    network: QNetwork, method: Method
) -> None:
    stacks = frames().to(torch.uint8)
    pictures = saliency(method, network, stacks)
    assert pictures.shape == (2, SIZE, SIZE)
    assert not pictures.requires_grad
    assert pictures.min() >= 0
    assert ((pictures.amax((1, 2)) == 1) | (pictures.amax((1, 2)) == 0)).all()
    torch.testing.assert_close(saliency(method, network, stacks[1:])[0], pictures[1], rtol=1e-4, atol=1e-4)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_board_network_is_explained_by_the_same_methods() -> None:
    torch.manual_seed(0)
    model = preset("resnet-2x8", (3, 9, 9)).build().eval()
    assert isinstance(model, PolicyValueNet)
    planes = torch.rand(2, 3, 9, 9)
    moves = torch.tensor([[4], [81]])

    def target(inputs: Tensor) -> Tensor:
        logits: Tensor = model(inputs).policy
        return logits.gather(1, moves).squeeze(1)

    assert grad_cam(target, planes, last_map(model.trunk)).shape == (2, 9, 9)
    assert input_gradients(target, planes).abs().amax((1, 2, 3)).min() > 0


def test_a_network_without_convolutions_has_no_map() -> None:
    network = QNetworkSpec((1, 4, 4), (Linear(3),), QHeadSpec(2)).build()
    with pytest.raises(ValueError, match="no convolution to look into"):
        last_map(network.trunk)


def test_captum_draws_the_same(network: QNetwork) -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is an oracle for tests only")
    inputs, actions = frames(), torch.tensor([0, 2])
    target = q_value_of(network, actions)
    torch.testing.assert_close(
        input_gradients(target, inputs), attr.Saliency(network).attribute(inputs.clone(), actions, abs=False)
    )
    torch.testing.assert_close(
        integrated_gradients(target, inputs, num_steps=20),
        attr.IntegratedGradients(network).attribute(inputs, None, actions, method="riemann_middle", n_steps=20),
        rtol=1e-3,
        atol=1e-4,
    )
    layer = last_map(network.trunk)
    theirs = attr.LayerGradCam(network, layer).attribute(inputs, actions, relu_attributions=True)
    resized = torch.nn.functional.interpolate(theirs, (SIZE, SIZE), mode="bilinear").squeeze(1)
    torch.testing.assert_close(grad_cam(target, inputs, layer), resized.detach())
