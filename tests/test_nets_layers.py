"""Each layer against a naive loop or against torch, with its gradients."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nets import layers, pooling


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(1)


def doubles(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def windows_of(x: Tensor, size: int, stride: int, padding: int = 0) -> list[tuple[int, int, Tensor]]:
    """Return (row, column, window [B, C, K, K]) of each place of the output."""
    x = nn.functional.pad(x, (padding,) * 4)
    rows, columns = ((length - size) // stride + 1 for length in x.shape[2:])
    return [
        (row, column, x[:, :, row * stride : row * stride + size, column * stride : column * stride + size])
        for row, column in itertools.product(range(rows), range(columns))
    ]


def board_symmetries(x: Tensor) -> list[Tensor]:
    """Return the 8 images of square maps [..., H, W]."""
    return [torch.rot90(y, turns, (-2, -1)) for y in (x, x.transpose(-2, -1)) for turns in range(4)]


def gradients_are_right(module: nn.Module, *inputs: Tensor) -> bool:
    """Check a layer's gradients by its inputs and its parameters against finite differences."""
    names = [name for name, _ in module.named_parameters()]

    def call(*tensors: Tensor) -> Tensor:
        parameters = dict(zip(names, tensors[len(inputs) :], strict=True))
        return torch.func.functional_call(module, parameters, tensors[: len(inputs)])

    return torch.autograd.gradcheck(call, (*inputs, *module.parameters()))


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 0)])
def test_l2_pooling(size: int, stride: int, padding: int) -> None:
    x = doubles(2, 3, 7, 9) if (size, padding) != (2, 0) else doubles(2, 3, 6, 8)
    pool = pooling.L2Pool2d(size, stride, padding)
    out = pool(x)
    for row, column, window in windows_of(x, size, stride, padding):
        torch.testing.assert_close(out[:, :, row, column], window.square().sum((2, 3)).sqrt())
    assert gradients_are_right(pool, doubles(1, 2, 4, 4))


def test_l2_pooling_of_nothing_has_gradient_zero() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    pooling.L2Pool2d(2, 2)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.eq(0).all()


def test_stochastic_pooling_gives_the_expectation_in_evaluation() -> None:
    x = doubles(2, 3, 6, 6).relu().detach()
    x[0, 0, :2, :2] = 0
    out = pooling.StochasticPool2d(2, 2).eval()(x)
    for row, column, window in windows_of(x, 2, 2):
        cells = window.flatten(2)
        totals = cells.sum(2)
        expected = torch.where(totals > 0, (cells * cells).sum(2) / totals.clamp_min(1e-9), 0.0)
        torch.testing.assert_close(out[:, :, row, column], expected)


def test_stochastic_pooling_draws_each_activation_by_its_size() -> None:
    cells = torch.tensor([0.0, 1.0, 2.0, 5.0])
    x = cells.reshape(1, 1, 2, 2).repeat(40_000, 1, 1, 1)
    out = pooling.StochasticPool2d(2, 2).train()(x).flatten()
    for cell, share in ((0.0, 0.0), (1.0, 1 / 8), (2.0, 2 / 8), (5.0, 5 / 8)):
        assert abs((out == cell).double().mean().item() - share) <= 4 * (share * (1 - share) / 40_000) ** 0.5


def test_stochastic_pooling_gives_the_gradient_to_the_chosen_cell() -> None:
    x = torch.rand(3, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    out = pooling.StochasticPool2d(3, 3).train()(x)
    out.sum().backward()
    assert x.grad is not None
    assert sorted(x.grad.unique().tolist()) == [0, 1]
    torch.testing.assert_close((x.grad * x).sum(), out.sum())


def test_stochastic_pooling_of_nothing_positive_is_zero() -> None:
    x = -torch.rand(2, 2, 4, 4)
    pool = pooling.StochasticPool2d(2, 2)
    assert pool.train()(x).eq(0).all()
    assert pool.eval()(x).eq(0).all()


def test_global_pooling() -> None:
    x = doubles(2, 3, 4, 5)
    out = pooling.GlobalPool2d()(x)
    torch.testing.assert_close(out, torch.cat([x.flatten(2).mean(2), x.flatten(2).max(2).values], 1))
    assert gradients_are_right(pooling.GlobalPool2d(), doubles(2, 2, 3, 3))


def test_board_pooling_scales_means_by_the_boards_width() -> None:
    for size, factor in ((9, -0.5), (14, 0.0), (19, 0.5)):
        x = doubles(2, 3, size, size)
        mean, scaled, largest = pooling.BoardPool2d()(x).split(3, dim=1)
        torch.testing.assert_close(mean, x.mean((2, 3)))
        torch.testing.assert_close(scaled, x.mean((2, 3)) * factor)
        torch.testing.assert_close(largest, x.amax((2, 3)))


def naive_roi(x: Tensor, top: int, left: int, bottom: int, right: int, size: int) -> Tensor:
    """Max-pool one region [C, H, W] -> [C, size, size]: cells from floor to ceil of each part's borders."""
    out = torch.zeros(x.shape[0], size, size, dtype=x.dtype)
    height, width = bottom - top, right - left
    for i, j in itertools.product(range(size), range(size)):
        rows = slice(top + i * height // size, top + -(-(i + 1) * height // size))
        columns = slice(left + j * width // size, left + -(-(j + 1) * width // size))
        out[:, i, j] = x[:, rows, columns].amax((1, 2))
    return out


def test_region_of_interest_pooling() -> None:
    x = doubles(2, 3, 8, 9)
    regions = [(0, 0, 8, 9), (1, 2, 6, 9), (3, 3, 5, 4)]
    out = pooling.RoiPool2d(regions, 2)(x)
    assert out.shape == (2, 9, 2, 2)
    for sample, (index, region) in itertools.product(range(2), enumerate(regions)):
        torch.testing.assert_close(out[sample, 3 * index : 3 * index + 3], naive_roi(x[sample], *region, 2))
    assert gradients_are_right(pooling.RoiPool2d([(0, 0, 4, 4), (1, 0, 3, 4)], 2), doubles(1, 2, 4, 4))


def test_absolute_tanh() -> None:
    x = doubles(4, 5)
    torch.testing.assert_close(layers.AbsTanh()(x), x.tanh().abs())
    assert gradients_are_right(layers.AbsTanh(), x)


def test_border_plane() -> None:
    x = torch.rand(2, 3, 4, 5)
    out = layers.BorderPlane(2)(x)
    assert out.shape == (2, 4, 8, 9)
    torch.testing.assert_close(out[:, :3], nn.functional.pad(x, (2, 2, 2, 2)))
    outside = torch.ones(8, 9)
    outside[2:6, 2:7] = 0
    assert out[:, 3].eq(outside).all()


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, 1), (2, 2, 0), (3, 2, 1)])
def test_locally_connected_layer(size: int, stride: int, padding: int) -> None:
    height, width = (6, 8) if size == 2 else (5, 7)
    module = layers.LocallyConnected2d(2, 3, (height, width), size, stride, padding).double()
    x = doubles(4, 2, height, width)
    out = module(x)
    places = windows_of(x, size, stride, padding)
    assert out.shape[2] * out.shape[3] == len(places)
    for place, (row, column, window) in enumerate(places):
        expected = window.flatten(1) @ module.weight[place].T + module.bias[:, row, column]
        torch.testing.assert_close(out[:, :, row, column], expected)
    assert gradients_are_right(layers.LocallyConnected2d(1, 2, (3, 4), 2).double(), doubles(2, 1, 3, 4))


def test_locally_connected_layer_with_equal_weights_is_a_convolution() -> None:
    module = layers.LocallyConnected2d(2, 3, (5, 5), 3, padding=1)
    conv = nn.Conv2d(2, 3, 3, padding=1)
    with torch.no_grad():
        module.weight.copy_(conv.weight.flatten(1).expand_as(module.weight))
        module.bias.copy_(conv.bias[:, None, None].expand_as(module.bias))
    x = torch.rand(2, 2, 5, 5)
    torch.testing.assert_close(module(x), conv(x))


def test_window_layer() -> None:
    windows = [(0, 1, 4), (4,), (2, 3, 4, 0)]
    module = layers.WindowLinear(6, windows).double()
    x = doubles(5, 6)
    out = module(x)
    weights = iter(module.weight)
    for unit, window in enumerate(windows):
        expected = sum((x[:, source] * next(weights) for source in window), start=module.bias[unit])
        torch.testing.assert_close(out[:, unit], expected)
    assert gradients_are_right(module, doubles(2, 6))


@pytest.mark.parametrize(("size", "orbits"), [(1, 1), (3, 3), (5, 6), (7, 10)])
def test_symmetric_convolution_has_symmetric_filters(size: int, orbits: int) -> None:
    module = layers.SymmetricConv2d(2, 3, size)
    assert module.weight.shape == (3, 2, orbits)
    full = module.full_weight()
    assert all(torch.equal(image, full) for image in board_symmetries(full))
    assert len(full[0, 0].unique()) == orbits


def test_symmetric_convolution_commutes_exactly_with_the_symmetries() -> None:
    module = layers.SymmetricConv2d(3, 4, 5, padding=2).double()
    with torch.no_grad():  # whole numbers, so that the order of additions does not matter
        for parameter in module.parameters():
            parameter.copy_(torch.randint(-9, 10, parameter.shape))
    x = torch.randint(-9, 10, (2, 3, 7, 7)).double()
    for before, after in zip(board_symmetries(x), board_symmetries(module(x)), strict=True):
        assert torch.equal(module(before), after)
    torch.testing.assert_close(module(x), nn.functional.conv2d(x, module.full_weight(), module.bias, padding=2))
    assert gradients_are_right(layers.SymmetricConv2d(1, 2, 3).double(), doubles(1, 1, 4, 4))


def test_symmetric_dense_layer_commutes_exactly_with_the_symmetries() -> None:
    module = layers.SymmetricLinear(3, 5).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randint(-9, 10, parameter.shape))
    x = torch.randint(-9, 10, (2, 3, 5, 5)).double()
    out = module(x).reshape(2, 5, 5)
    for before, after in zip(board_symmetries(x), board_symmetries(out), strict=True):
        assert torch.equal(module(before).reshape(2, 5, 5), after)
    assert gradients_are_right(layers.SymmetricLinear(1, 3).double(), doubles(1, 1, 3, 3))


def test_symmetric_dense_layer_ties_no_more_than_it_must() -> None:
    # Burnside's lemma: pairs fixed by the identity, the 4 reflections, the half turn and the 2 quarter turns.
    assert layers.SymmetricLinear(1, 19).weight.shape[1] == (361**2 + 4 * 19**2 + 1 + 2) // 8 == 16471
    assert layers.SymmetricLinear(1, 19).bias.shape[0] == 10 * 11 // 2


def test_position_bias() -> None:
    module = layers.PositionBias(2, 3, 4).double()
    x = doubles(2, 2, 3, 4)
    assert module(x).equal(x)
    with torch.no_grad():
        module.bias.copy_(torch.arange(24).reshape(2, 3, 4))
    torch.testing.assert_close(module(x)[1, 1, 2, 3], x[1, 1, 2, 3] + 23)
    assert gradients_are_right(module, x)


def test_drop_connect_drops_weights_and_keeps_the_expectation() -> None:
    module = layers.DropConnectLinear(3, 40_000, 0.4)
    nn.init.ones_(module.weight)
    nn.init.zeros_(module.bias)
    x = torch.tensor([[1.0, 0, 0], [0, 2, 0]])
    assert module.eval()(x).eq(torch.tensor([[1.0], [2]])).all()
    out = module.train()(x)
    assert (out[0] / out[0].max()).unique().tolist() == [0, 1]  # a weight is there or not
    assert abs((out[0] == 0).double().mean().item() - 0.4) < 0.01
    assert abs(out[1].mean().item() - 2) < 0.05
    assert gradients_are_right(layers.DropConnectLinear(3, 4, 0.5).double().eval(), doubles(2, 3))


def test_noisy_layer_is_linear_in_evaluation_and_without_sigma() -> None:
    module = layers.NoisyLinear(5, 7)
    x = torch.rand(3, 5)
    expected = nn.functional.linear(x, module.weight, module.bias)
    assert not torch.allclose(module.train()(x), expected)
    torch.testing.assert_close(module.eval()(x), expected)
    with torch.no_grad():
        module.weight_sigma.zero_()
        module.bias_sigma.zero_()
    torch.testing.assert_close(module.train()(x), expected)


def test_noisy_layers_noise_is_factorised() -> None:
    module = layers.NoisyLinear(6, 8).double().train()
    eye = torch.eye(6, dtype=torch.float64)
    torch.manual_seed(3)
    shift = module(torch.zeros(1, 6, dtype=torch.float64))
    torch.manual_seed(3)
    weight_noise = (module(eye) - shift).T - module.weight
    bias_noise = shift[0] - module.bias
    sigma = 0.5 / 6**0.5
    assert torch.linalg.matrix_rank(weight_noise / sigma) == 1
    # Row by row the weights' noise is the bias's noise times the inputs' (equations 10 and 11).
    ratios = weight_noise / bias_noise[:, None]
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios))
    draws = torch.stack([module(torch.zeros(1, 6, dtype=torch.float64))[0] - module.bias for _ in range(4000)]) / sigma
    assert abs(draws.mean().item()) < 0.02
    assert abs(draws.square().mean().item() - (2 / np.pi) ** 0.5) < 0.02  # E[f(e)^2] = E|e|


@pytest.mark.parametrize("kind", ["layer", "channel"])
def test_layer_norms(kind: layers.NormType) -> None:
    module = layers.make_norm(kind, 3).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor([1.0, 2, 3]))
        module.bias.copy_(torch.tensor([0.0, 1, 2]))
    x = doubles(2, 3, 4, 5)
    over = (1, 2, 3) if kind == "layer" else (1,)
    centred = x - x.mean(over, keepdim=True)
    normal = centred / (centred.square().mean(over, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(module(x), normal * module.weight[:, None, None] + module.bias[:, None, None])
    assert gradients_are_right(module, doubles(1, 3, 2, 2))


def test_local_response_norm_is_alexnets() -> None:
    x = doubles(1, 8, 2, 2)
    out = layers.make_norm("local_response", 8)(x)
    for channel in range(8):
        near = x[:, max(0, channel - 2) : channel + 3].square().sum(1)
        torch.testing.assert_close(out[:, channel], x[:, channel] / (2 + 1e-4 * near) ** 0.75)


def plain_residual(block: layers.ResidualBlock, x: Tensor, pooled_channels: int) -> Tensor:
    """Compute a residual block step by step as its docstring tells it."""

    def first(y: Tensor) -> Tensor:
        y = block.conv1(y)
        if not pooled_channels:
            return y
        keep = y.shape[1] - pooled_channels
        pooled = block.pool_bias.norm(y[:, keep:]).clamp_min(0)
        mean, width = pooled.mean((2, 3)), (x.shape[2] * x.shape[3]) ** 0.5
        vector = torch.cat([mean, mean * (width - 14) / 10, pooled.amax((2, 3))], 1)
        return y[:, :keep] + (vector @ block.pool_bias.linear.weight.T + block.pool_bias.linear.bias)[:, :, None, None]

    if block.order == "pre":
        return x + block.conv2(block.norm2(first(block.norm1(x).clamp_min(0))).clamp_min(0))
    return (x + block.norm2(block.conv2(block.norm1(first(x)).clamp_min(0)))).clamp_min(0)


@pytest.mark.parametrize("order", ["pre", "post"])
@pytest.mark.parametrize("norm", ["batch", "layer", "channel", "none"])
@pytest.mark.parametrize("pooled_channels", [0, 2])
def test_residual_block(order: str, norm: layers.BlockNorm, pooled_channels: int) -> None:
    block = layers.ResidualBlock(6, 3, order, norm, pooled_channels).double()  # type: ignore[arg-type]
    x = doubles(3, 6, 4, 5)
    block.train()(x)  # moves the running means away from zero
    block.eval()
    torch.testing.assert_close(block(x), plain_residual(block, x, pooled_channels))
    small = layers.ResidualBlock(5, 3, order, norm, pooled_channels).double().eval()  # type: ignore[arg-type]
    assert gradients_are_right(small, doubles(1, 5, 2, 2))


@pytest.mark.parametrize(("length", "kernel", "stride"), [(84, 3, 2), (42, 3, 2), (21, 3, 2), (7, 4, 3), (5, 2, 1)])
def test_same_padding_gives_the_ceiling(length: int, kernel: int, stride: int) -> None:
    before, after = pooling.same_padding(length, kernel, stride)
    assert (length + before + after - kernel) // stride + 1 == -(-length // stride)
    assert 0 <= after - before <= 1
    x = torch.rand(2, 3, length, length + 1) - 2
    padded = pooling.SamePad2d(kernel, stride)(x)
    assert padded.shape[2] == length + before + after
    assert torch.equal(padded[:, :, before : before + length][padded[:, :, before : before + length] != 0], x.flatten())
    windows = torch.where(padded == 0, -torch.inf, padded)
    assert torch.equal(pooling.SameMaxPool2d(kernel, stride)(x), nn.functional.max_pool2d(windows, kernel, stride))
