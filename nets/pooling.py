"""Pooling layers that torch lacks. Shapes: B batch, C channels, H height, W width, K window size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Region = tuple[int, int, int, int]  # top, left, bottom, right in cells; bottom and right are exclusive


def same_padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Return the cells to add before and after an axis so that its output has ceil(size / stride) cells.

    An odd total puts the extra cell after, which is TensorFlow's "SAME" convention.
    """
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


class SamePad2d(nn.Module):
    """Pad a map so that the layer after it gives ceil(size / stride) cells an axis."""

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, H + p, W + q]."""
        top, bottom = same_padding(x.shape[-2], self.kernel_size, self.stride)
        left, right = same_padding(x.shape[-1], self.kernel_size, self.stride)
        return functional.pad(x, (left, right, top, bottom))


class SameMaxPool2d(nn.Module):
    """The maximum of each window, ceil(size / stride) windows an axis; no window sees the padding of `same_padding`.

    Torch pads both ends alike: where the end needs a cell more, its last window is cut off there instead, which a
    maximum does not notice, and the map need not be copied into a larger one.
    """

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, H', W']."""
        if self.stride == 1:  # no window is cut off, but a window of even size has one place more at the start
            every = functional.max_pool2d(x, self.kernel_size, 1, self.kernel_size // 2)
            return every[:, :, -x.shape[-2] :, -x.shape[-1] :]
        top, left = (same_padding(size, self.kernel_size, self.stride)[0] for size in x.shape[-2:])
        return functional.max_pool2d(x, self.kernel_size, self.stride, (top, left), ceil_mode=True)


class L2Pool2d(nn.Module):
    """The root of the sum of squares in each window; padding counts as zeros.

    The gradient at an all-zero window is zero, where torch's LPPool2d gives NaN.
    """

    def __init__(self, kernel_size: int, stride: int, padding: int = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, H', W']."""
        means = functional.avg_pool2d(x * x, self.kernel_size, self.stride, self.padding)
        sums = means * self.kernel_size**2
        positive = sums > 0
        return torch.where(positive, torch.where(positive, sums, 1.0).sqrt(), 0.0)


class StochasticPool2d(nn.Module):
    """Pick one activation of each window with probability a_i / sum(a); in evaluation give the expectation.

    Zeiler & Fergus, "Stochastic pooling for regularization of deep convolutional neural networks", 2013,
    equations 4-6. The activations are meant to follow a ReLU: negative ones have probability zero. A window
    without a positive activation gives zero.
    """

    def __init__(self, kernel_size: int, stride: int, padding: int = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, H', W']."""
        x = functional.pad(x, (self.padding,) * 4)
        kernel, stride = self.kernel_size, self.stride
        windows = x.unfold(2, kernel, stride).unfold(3, kernel, stride).flatten(4)  # [B, C, H', W', K * K]
        if not self.training:
            weights = windows.clamp_min(0)
            totals = weights.sum(-1)
            return (weights * windows).sum(-1) / torch.where(totals > 0, totals, 1.0)  # equations 4 and 6
        cumulative = windows.detach().clamp_min(0).cumsum(-1)
        totals = cumulative[..., -1:]
        # A draw in (0, total] falls to the first cell whose cumulative sum reaches it: never one of weight 0.
        draws = (1 - torch.rand_like(totals)) * totals
        chosen = (cumulative < draws).sum(-1, keepdim=True)
        return (windows.gather(-1, chosen) * (totals > 0)).squeeze(-1)  # equation 5


class GlobalPool2d(nn.Module):
    """Pool a whole map to one vector: the means and the maxima of its channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, 2 C]."""
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


class BoardPool2d(nn.Module):
    """Pool a map to the channels' means, means scaled by the board's width, and maxima.

    Wu, "Accelerating self-play learning in Go", 2019, section 3.3: the scaled mean lets a network weigh
    counts on boards of different sizes. The width of a rectangle is the root of its area.
    """

    MEAN_WIDTH = 14.0  # of the boards 9x9 to 19x19
    WIDTH_SCALE = 0.1

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, 3 C]."""
        mean = x.mean((2, 3))
        width = float(x.shape[2] * x.shape[3]) ** 0.5
        return torch.cat([mean, mean * ((width - self.MEAN_WIDTH) * self.WIDTH_SCALE), x.amax((2, 3))], dim=1)


class RoiPool2d(nn.Module):
    """Max-pool each fixed region of a map to the same number of cells; the regions become channels.

    Girshick, "Fast R-CNN", 2015, section 2.1, with regions in cells of the map itself.
    """

    def __init__(self, regions: Sequence[Region], output_size: int) -> None:
        super().__init__()
        self.regions = tuple(regions)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, R C, S, S] for R regions and output size S, region by region."""
        pooled = [
            functional.adaptive_max_pool2d(x[:, :, top:bottom, left:right], self.output_size)
            for top, left, bottom, right in self.regions
        ]
        return torch.cat(pooled, dim=1)
