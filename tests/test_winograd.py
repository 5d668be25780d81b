"""Winograd's method and the products that it needs, against plain convolutions and numpy, compiled and not."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from games.compiled import njit
from nets import winograd_kernels as kernels
from nets.blocks import Conv, Norm, Tanh
from nets.folding import Convolution
from nets.heads import PointPolicySpec, ValueHeadSpec
from nets.inference import make_inference, torch_threads
from nets.matrix_kernels import BLOCK_ROWS, LANES, multiply
from nets.models import PolicyValueNet, PolicyValueSpec, load_model, save_model
from nets.winograd import Buffers, Run, run_piece
from nets.winograd_training import WinogradConv2d, use_winograd

ROOT = Path(__file__).resolve().parent.parent
SIZES = [(size, size) for size in range(1, 20)] + [(2, 7), (19, 6), (13, 9), (11, 25)]


@njit
def product(a, at_a, row_a, inner_a, b, c, at_c, rows, inner, columns, adding):
    """Multiply, B and C without gaps."""
    multiply(a, at_a, row_a, inner_a, b, 0, columns, c, at_c, columns, rows, inner, columns, adding)


def largest_error_of_products() -> float:
    """Multiply matrices of all kinds of shapes, upright and turned, and return the largest error."""
    generator = np.random.default_rng(2)
    worst = 0.0
    for rows in (1, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 1):
        for columns in (1, LANES - 1, LANES, 2 * LANES + 3, 3 * LANES, 4 * LANES, 7 * LANES + 1):
            for inner in (1, 7):
                a, b = generator.random((rows, inner), np.float32), generator.random((inner, columns), np.float32)
                for stored, row_step, inner_step in ((a, inner, 1), (a.T, 1, rows)):
                    c = np.full(rows * columns + 9, 7, np.float32)
                    flat = np.concatenate([np.zeros(3, np.float32), stored.reshape(-1)])
                    for adding in (False, True):  # first in place of the sevens, then to what it has written
                        product(flat, 3, row_step, inner_step, b.reshape(-1), c, 4, rows, inner, columns, adding)
                        assert (c[:4] == 7).all(), "wrote before its place"
                        assert (c[4 + rows * columns :] == 7).all(), "wrote behind its place"
                        found = c[4 : 4 + rows * columns].reshape(rows, columns) / (1 + adding)
                        worst = max(worst, float(np.abs(found - a @ b).max()))
    return worst


def error_of_convolution(height: int, width: int, channels: int = 5, filters: int = 18) -> float:
    """Return the largest error of a convolution, in standard deviations of its result, doubles being right."""
    torch.manual_seed(height * 100 + width)
    maps = torch.randn(3, height, width, channels)
    layer = nn.Conv2d(channels, filters, 3, padding=1)
    run = Run([Convolution(layer.weight.detach(), layer.bias.detach(), padding=1)])
    out = np.zeros((3, height, width, filters), np.float32)
    run_piece(run, maps.numpy(), out, Buffers())
    inputs, weight, bias = (tensor.detach().double() for tensor in (maps, layer.weight, layer.bias))
    right = functional.conv2d(inputs.permute(0, 3, 1, 2), weight, bias, padding=1).permute(0, 2, 3, 1)
    return float((torch.from_numpy(out) - right).abs().max() / right.std())


def test_products_are_those_of_numpy() -> None:
    assert largest_error_of_products() < 1e-5


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_convolutions_are_those_of_torch(height: int, width: int) -> None:
    assert error_of_convolution(height, width) < 2e-5


def test_tiles_cover_a_map_and_waste_nothing_on_the_boards_of_go() -> None:
    for size in range(1, 30):
        tiles = kernels.tiling(1, size, size)
        covered = 4 * tiles.row_tiles + tiles.large_rows
        assert size <= covered < size + 4
        assert 0 <= tiles.large_rows <= tiles.row_tiles
        if size in (9, 13, 19):
            assert covered == size
    assert kernels.spectrum_size(kernels.tiling(1, 9, 9)) == (9 + 2 * 2) ** 2
    assert kernels.spectrum_size(kernels.tiling(3, 19, 19)) == 3 * (19 + 2 * 4) ** 2


def test_the_kernels_run_as_plain_python_with_the_same_results() -> None:
    program = "from tests.test_winograd import *\nprint(largest_error_of_products(), error_of_convolution(6, 9, 2, 3))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr
    products, convolution = map(float, result.stdout.split())
    assert products < 1e-5
    assert convolution < 2e-5


# --- training ---------------------------------------------------------------------------------------------------------


def gradients(model: nn.Module, planes: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the gradients of a loss that every output counts in, as doubles, those of the planes among them."""
    planes = planes.to(next(model.parameters()).dtype).requires_grad_()
    model.zero_grad()
    logits, values, _, _ = model(planes)
    loss = functional.cross_entropy(logits, torch.arange(len(planes))) + (values * torch.arange(len(planes))).sum()
    loss.backward()
    assert planes.grad is not None
    found = {name: parameter.grad.double() for name, parameter in model.named_parameters()}
    return {**found, "planes": planes.grad.double()}


def smooth_net(height: int, width: int) -> PolicyValueNet:
    """Return a network without a ReLU in its trunk: rounding changes its gradients little."""
    torch.manual_seed(4)
    trunk = (Conv(20, 3, padding=1), Tanh(), Conv(9, 3, padding=1, bias=False), Norm(), Tanh(), Conv(8, 5, padding=2))
    return PolicyValueSpec((3, height, width), trunk, policy=PointPolicySpec(), value=ValueHeadSpec()).build()


@pytest.mark.parametrize(("height", "width"), [(9, 9), (19, 19), (6, 11), (2, 3)])
@pytest.mark.parametrize("threads", [1, 3])
def test_gradients_are_those_of_torch(height: int, width: int, threads: int) -> None:
    model = smooth_net(height, width)
    planes = torch.randn(5, 3, height, width)
    right = gradients(copy.deepcopy(model).double(), planes)
    assert use_winograd(model) == 2
    with torch_threads(threads):
        found = gradients(model, planes)
    for name, gradient in right.items():
        assert float((found[name] - gradient).norm()) < 5e-5 * max(1.0, float(gradient.norm())), name


def test_a_model_keeps_its_parameters_its_file_and_its_answers(tmp_path: Path) -> None:
    model = smooth_net(9, 9).eval()
    planes = torch.randn(4, 3, 9, 9)
    names, before = list(model.state_dict()), model(planes)
    use_winograd(model)
    assert list(model.state_dict()) == names
    save_model(tmp_path / "model.safetensors", model, model.spec, game="go", rules_version=1, training={})
    for same in (model, copy.deepcopy(model), load_model(tmp_path / "model.safetensors")[0]):
        assert isinstance(same, PolicyValueNet)
        assert torch.allclose(same(planes).policy, before.policy, atol=1e-4)
        logits, values = make_inference(same, "winograd")(planes.numpy())
        assert np.allclose(logits, before.policy.detach().numpy(), atol=1e-4)
        assert np.allclose(values, before.value.detach().numpy(), atol=1e-4)


def test_only_the_convolutions_that_the_method_takes_are_changed() -> None:
    layers = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 5, padding=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    )
    assert use_winograd(layers) == 1
    assert [type(layer) is WinogradConv2d for layer in layers] == [True, False, False, False, False, False]
    assert use_winograd(layers) == 0


def test_what_is_no_float32_is_left_to_torch() -> None:
    layer = nn.Conv2d(4, 4, 3, padding=1).double()
    maps = torch.randn(2, 4, 6, 6, dtype=torch.double)
    right = layer(maps)
    use_winograd(layer)
    assert torch.equal(layer(maps), right)


def test_equal_steps_give_equal_weights() -> None:
    """A run that is resumed ends with the same bytes."""
    planes = torch.randn(6, 3, 9, 9)
    ends = []
    for _ in range(2):
        model = smooth_net(9, 9)
        use_winograd(model)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        for _ in range(3):
            gradients(model, planes)
            optimizer.step()
        ends.append(torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()]))
    assert torch.equal(*ends)
