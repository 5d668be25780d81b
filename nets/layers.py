"""Layers that torch lacks: unshared and tied weights, noise, DropConnect, norms and residual blocks.

Shapes: B batch, C channels, H height, W width, K window size. Index buffers are made on the CPU by name: they hold data
even where a layer is made on the meta device, and follow the layer wherever it is moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nets.pooling import BoardPool2d

NormType = Literal["batch", "layer", "channel", "local_response"]
ModuleT = TypeVar("ModuleT", bound=nn.Module)
BlockNorm = Literal["batch", "layer", "channel", "none"]


def _uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """Return a parameter from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch's own default for linear layers."""
    bound = 1.0 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


def he_normal_(weight: Tensor, bias: Tensor | None, fan_in: int) -> None:
    """Fill weights from N(0, 2 / fan_in) and biases with zero: deep ReLU nets keep their scale (He et al. 2015)."""
    nn.init.normal_(weight, std=math.sqrt(2.0 / fan_in))
    if bias is not None:
        nn.init.zeros_(bias)


class AbsTanh(nn.Module):
    """|tanh(x)|, the rectified sigmoid of Jarrett et al. 2009, section 2.1."""

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to itself."""
        return x.tanh().abs()


class BorderPlane(nn.Module):
    """Pad a map with zeros and append a plane that is one on the padding, to show where the board ends.

    Clark & Storkey 2014 encode the edge so for their first convolution.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C + 1, H + 2 width, W + 2 width]."""
        outside = functional.pad(torch.zeros_like(x[:, :1]), (self.width,) * 4, value=1.0)
        return torch.cat([functional.pad(x, (self.width,) * 4), outside], dim=1)


class LocallyConnected2d(nn.Module):
    """A convolution whose weights are not shared: every window of the grid has its own filters and biases.

    `weight` is [H' * W', C_out, C_in * K * K], windows row by row; `bias` is [C_out, H', W'].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: tuple[int, int],
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        height, width = ((size - kernel_size + 2 * padding) // stride + 1 for size in input_size)
        fan_in = in_channels * kernel_size**2
        self.weight = _uniform(height * width, out_channels, fan_in, fan_in=fan_in)
        self.bias = _uniform(out_channels, height, width, fan_in=fan_in)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C_out, H', W']."""
        windows = functional.unfold(x, self.kernel_size, padding=self.padding, stride=self.stride)
        products = torch.einsum("bil,loi->bol", windows, self.weight)
        return products.reshape(-1, *self.bias.shape) + self.bias


class WindowLinear(nn.Module):
    """One unit for each of a list of windows, connected only to the inputs that its window covers.

    `weight` is flat [connections], window by window in the order given; `bias` is [windows]. Anaconda's first
    layer (Chellapilla & Fogel 2001) is this, with 91 windows.
    """

    sources: Tensor  # int64 [connections]: the input of each weight
    units: Tensor  # int64 [connections]: the window of each weight

    def __init__(self, num_inputs: int, windows: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.num_inputs = num_inputs
        sizes = [len(window) for window in windows]
        sources = torch.tensor([source for window in windows for source in window], device="cpu")
        units = torch.tensor(np.repeat(np.arange(len(sizes)), sizes), device="cpu")
        self.register_buffer("sources", sources, persistent=False)
        self.register_buffer("units", units, persistent=False)
        # Each window starts in the range of a linear layer of its own size.
        self.weight = nn.Parameter(torch.cat([torch.empty(n).uniform_(-(n**-0.5), n**-0.5) for n in sizes]))
        self.bias = nn.Parameter(torch.cat([torch.empty(1).uniform_(-(n**-0.5), n**-0.5) for n in sizes]))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs] to [B, windows]."""
        dense = self.weight.new_zeros(self.bias.shape[0], self.num_inputs)
        return functional.linear(x, dense.index_put((self.units, self.sources), self.weight), self.bias)


def _orbits(images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return int64 [n], the orbit of each of n points, given their images under the symmetries, [8, n]."""
    return np.unique(images.min(axis=0), return_inverse=True)[1].astype(np.int64)


def _square_symmetries(size: int) -> NDArray[np.int64]:
    """Return int64 [8, size * size]: where each cell of a square grid goes under the 8 symmetries."""
    grid = np.arange(size * size).reshape(size, size)
    images = [np.rot90(board, turns) for board in (grid, grid.T) for turns in range(4)]
    return np.stack([image.reshape(-1) for image in images])


class SymmetricConv2d(nn.Module):
    """A convolution of stride 1 whose filters equal their 8 mirror images: it commutes with the symmetries.

    Clark & Storkey, "Teaching deep convolutional neural networks to play Go", 2014. `weight` holds each free
    weight once: [C_out, C_in, orbits], 3 orbits for K = 3, 6 for 5, 10 for 7.
    """

    orbits: Tensor  # int64 [K * K]: the free weight of each cell of the filter

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, padding: int = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.padding = padding
        orbits = torch.tensor(_orbits(_square_symmetries(kernel_size)), device="cpu")
        self.register_buffer("orbits", orbits, persistent=False)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, int(orbits.max()) + 1))
        self.bias = nn.Parameter(torch.empty(out_channels))
        # Neighbouring inputs are much alike: count the m cells that share a weight as one input m times as large.
        he_normal_(self.weight, self.bias, in_channels * int(torch.bincount(orbits).square().sum()))

    def full_weight(self) -> Tensor:
        """Return the filters written out, [C_out, C_in, K, K]."""
        return self.weight[:, :, self.orbits].reshape(*self.weight.shape[:2], *(self.kernel_size,) * 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C_out, H', W']."""
        return functional.conv2d(x, self.full_weight(), self.bias, padding=self.padding)


class SymmetricLinear(nn.Module):
    """A fully connected layer from a square map to one plane that commutes with the board's 8 symmetries.

    The dense counterpart of SymmetricConv2d: the weights of two pairs of points (from, to) are one weight
    where a symmetry takes one pair to the other. `weight` is [C, pair orbits], `bias` [point orbits]: 16,471
    and 55 on 19x19.
    """

    pairs: Tensor  # int64 [P * P], P points: the free weight of each pair of points, the output point first
    points: Tensor  # int64 [P]: the free bias of each output point

    def __init__(self, in_channels: int, size: int) -> None:
        super().__init__()
        images = _square_symmetries(size)
        count = size * size
        pair_images = (images[:, :, None] * count + images[:, None, :]).reshape(len(images), -1)
        pairs = torch.tensor(_orbits(pair_images), device="cpu")
        points = torch.tensor(_orbits(images), device="cpu")
        self.register_buffer("pairs", pairs, persistent=False)
        self.register_buffer("points", points, persistent=False)
        fan_in = in_channels * count
        self.weight = _uniform(in_channels, int(pairs.max()) + 1, fan_in=fan_in)
        self.bias = _uniform(int(points.max()) + 1, fan_in=fan_in)

    def full_weight(self) -> Tensor:
        """Return the weights written out, [C, to, from]."""
        count = self.points.shape[0]
        return self.weight[:, self.pairs].reshape(-1, count, count)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, N, N] to [B, P], P = N * N."""
        return torch.einsum("bcf,ctf->bt", x.flatten(2), self.full_weight()) + self.bias[self.points]


class PositionBias(nn.Module):
    """A bias for every channel at every point (Maddison et al. 2014, section 4), zero at the start."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to itself."""
        return x + self.bias


class DropConnectLinear(nn.Linear):
    """A linear layer that drops weights, not activations, in training (Wan et al. 2013, section 3).

    One mask serves a whole batch, where the paper draws one for every sample: a mask a sample costs as much
    memory as a batch of weight matrices. Kept weights are scaled up in training, so evaluation is a plain
    linear layer.
    """

    def __init__(self, in_features: int, out_features: int, probability: float) -> None:
        super().__init__(in_features, out_features)
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in] to [B, out]."""
        return functional.linear(x, functional.dropout(self.weight, self.probability, self.training), self.bias)


class NoisyLinear(nn.Module):
    """A linear layer with learned Gaussian noise on its weights, factorised (Fortunato et al. 2018, section 3).

    Every forward pass in training mode draws new noise, shared by the batch; evaluation uses the means.
    """

    generator: torch.Generator | None = None  # of the noise, on the CPU; None: torch's own

    def __init__(self, in_features: int, out_features: int, sigma_0: float = 0.5) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        sigma = sigma_0 / math.sqrt(in_features)
        self.weight = _uniform(out_features, in_features, fan_in=in_features)
        self.bias = _uniform(out_features, fan_in=in_features)
        self.weight_sigma = nn.Parameter(torch.full((out_features, in_features), sigma))
        self.bias_sigma = nn.Parameter(torch.full((out_features,), sigma))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in] to [B, out]."""
        if not self.training:
            return functional.linear(x, self.weight, self.bias)
        noise_in, noise_out = self._noise(self.in_features), self._noise(self.out_features)
        # Equations 10 and 11 with the outer product multiplied out: no matrix of noisy weights is ever made.
        noise = functional.linear(x * noise_in, self.weight_sigma, self.bias_sigma) * noise_out
        return functional.linear(x, self.weight, self.bias) + noise

    def _noise(self, size: int) -> Tensor:
        """Return f(e) = sign(e) sqrt(|e|) for standard normal e, [size]."""
        noise = torch.randn(size, generator=self.generator).to(self.weight)
        return noise.sign() * noise.abs().sqrt()


def noise_from(network: ModuleT, generator: torch.Generator) -> ModuleT:
    """Let all noisy layers of a network draw from a generator of its own, and return the network."""
    for module in network.modules():
        if isinstance(module, NoisyLinear):
            module.generator = generator
    return network


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each point of a map, with a scale and a shift a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to itself."""
        last = x.permute(0, 2, 3, 1)
        return functional.layer_norm(last, self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)


def make_norm(kind: NormType | BlockNorm, channels: int) -> nn.Module:
    """Return a norm for maps [B, C, H, W] of any height and width.

    "layer" normalises each sample over channels and points at once, with a scale and a shift a channel;
    "channel" each point over its channels; "local_response" is AlexNet's (Krizhevsky et al. 2012, section 3.3).
    """
    match kind:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "channel":
            return ChannelNorm(channels)
        case "local_response":
            # Torch divides alpha by the size; the paper does not.
            return nn.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2.0)
        case "none":
            return nn.Identity()


class GlobalPoolBias(nn.Module):
    """Add to every channel of one map a bias computed from the whole of another (Wu 2019, appendix A.1)."""

    def __init__(self, pooled_channels: int, channels: int, norm: BlockNorm = "batch") -> None:
        super().__init__()
        self.norm = make_norm(norm, pooled_channels)
        self.pool = BoardPool2d()
        self.linear = nn.Linear(3 * pooled_channels, channels)

    def forward(self, x: Tensor, pooled: Tensor) -> Tensor:
        """Return x [B, C, H, W] with its bias added; `pooled` is [B, P, H, W]."""
        bias: Tensor = self.linear(self.pool(self.norm(pooled).relu()))
        return x + bias[:, :, None, None]


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut.

    order "post" is AlphaGo Zero's block (Silver et al. 2017): conv, norm, ReLU, conv, norm, add, ReLU. order
    "pre" is He et al. 2016b: norm, ReLU, conv, norm, ReLU, conv, add; with norm "none" it is IMPALA's
    (Espeholt et al. 2018). With `pooled_channels` P > 0 the first convolution's last P channels are pooled
    over the board and become a bias of the others (Wu 2019, section 3.3).
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        order: Literal["pre", "post"] = "pre",
        norm: BlockNorm = "batch",
        pooled_channels: int = 0,
    ) -> None:
        super().__init__()
        self.order = order
        inner = channels - pooled_channels
        bias = norm == "none"  # a norm that follows or leads has its own shift
        self.inner_channels = inner
        self.norm1 = make_norm(norm, channels if order == "pre" else inner)
        self.conv1 = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, bias=bias)
        self.pool_bias = GlobalPoolBias(pooled_channels, inner, norm) if pooled_channels else None
        self.norm2 = make_norm(norm, inner if order == "pre" else channels)
        self.conv2 = nn.Conv2d(inner, channels, kernel_size, padding=kernel_size // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to itself."""
        out: Tensor
        if self.order == "pre":
            inner = self._first(self.norm1(x).relu())
            out = x + self.conv2(self.norm2(inner).relu())
        else:
            inner = self.norm1(self._first(x)).relu()
            out = (x + self.norm2(self.conv2(inner))).relu()
        return out

    def _first(self, x: Tensor) -> Tensor:
        """Return the first convolution's output, the pooled channels turned into a bias."""
        inner: Tensor = self.conv1(x)
        if self.pool_bias is not None:
            inner = self.pool_bias(inner[:, : self.inner_channels], inner[:, self.inner_channels :])
        return inner
