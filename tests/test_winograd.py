"""Winograd's method and the products that it needs, against plain convolutions and numpy, compiled and not."""

from __future__ import annotations

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
from nets.folding import Convolution
from nets.matrix_kernels import BLOCK_ROWS, LANES, multiply
from nets.winograd import Buffers, Run, _run_some

ROOT = Path(__file__).resolve().parent.parent
SIZES = [(size, size) for size in range(1, 20)] + [(2, 7), (19, 6), (13, 9), (11, 25)]


@njit
def product(a, at_a, row_a, inner_a, b, c, at_c, rows, inner, columns):
    """Multiply, B and C without gaps."""
    multiply(a, at_a, row_a, inner_a, b, 0, columns, c, at_c, columns, rows, inner, columns)


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
                    product(flat, 3, row_step, inner_step, b.reshape(-1), c, 4, rows, inner, columns)
                    assert (c[:4] == 7).all(), "wrote before its place"
                    assert (c[4 + rows * columns :] == 7).all(), "wrote behind its place"
                    worst = max(worst, float(np.abs(c[4 : 4 + rows * columns].reshape(rows, columns) - a @ b).max()))
    return worst


def error_of_convolution(height: int, width: int, channels: int = 5, filters: int = 18) -> float:
    """Return the largest error of a convolution, in standard deviations of its result, doubles being right."""
    torch.manual_seed(height * 100 + width)
    maps = torch.randn(3, height, width, channels)
    layer = nn.Conv2d(channels, filters, 3, padding=1)
    run = Run([Convolution(layer.weight.detach(), layer.bias.detach(), padding=1)])
    out = np.zeros((3, height, width, filters), np.float32)
    _run_some(run, maps.numpy(), out, Buffers())
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
