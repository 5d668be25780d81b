"""What a network looks at: pictures of which inputs its answer hangs on.

Each method takes a network as a function of its inputs, so that one serves Q-values, move logits and values alike.
Networks are explained in evaluation mode. B batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from torch import Tensor, nn

from games.refusal import RefusedError
from nets.blocks import Conv, MaxPool
from nets.cnn import Trunk, output_shapes
from nets.models import QNetwork
from nets.pooling import same_padding

Method = Literal["gradients", "integrated", "gradcam", "perturbation"]
METHODS: tuple[Method, ...] = get_args(Method)

Target = Callable[[Tensor], Tensor]  # inputs [B, C, H, W] -> the number of each that is to be explained, [B]

PERTURBATION_SIGMA = 5.0  # cells, of the spot that is blurred (Greydanus et al. 2018, section 3: sigma^2 = 25)
BLUR_SIGMA = 3.0  # cells, of the blur (the same: sigma_A = 3)
PERTURBATION_STRIDE = 5  # cells from spot to spot (the same)
PERTURBATION_BATCH = 64  # disturbed inputs that go through the network at once


def q_value_of(model: QNetwork, actions: Tensor) -> Target:
    """Return the target "Q-value of these actions", int64 [B]."""
    return lambda inputs: model.q_values(inputs).gather(1, actions[:, None]).squeeze(1)


def saliency(method: Method, model: QNetwork, frames: Tensor) -> Tensor:
    """Return where the Q-value of the best action comes from, float32 [B, H, W] in [0, 1], by any of the methods.

    Perturbation shows what changes the Q-values of all actions, as its paper does with all of a policy's outputs.
    Each picture is scaled by its own maximum; one that is zero everywhere stays so.
    """
    inputs = frames.float()
    with torch.no_grad():
        actions = model.q_values(inputs).argmax(1)
    target = q_value_of(model, actions)
    match method:
        case "gradients":
            picture = input_gradients(target, inputs).abs().amax(1)
        case "integrated":
            picture = integrated_gradients(target, inputs).sum(1).abs()
        case "gradcam":
            layer = last_map(model.trunk)
            picture = grad_cam(target, inputs, layer, signed=False, centres=cell_centres(model.trunk, layer))
        case "perturbation":
            picture = perturbation(model.q_values, inputs)
    return picture / picture.amax((1, 2), keepdim=True).clamp_min(1e-12)


def input_gradients(target: Target, inputs: Tensor) -> Tensor:
    """Return how the target changes with each input, [B, C, H, W] (Simonyan et al. 2014, section 3)."""
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        (gradients,) = torch.autograd.grad(target(inputs).sum(), inputs)
    return gradients


def integrated_gradients(target: Target, inputs: Tensor, baseline: Tensor | None = None, num_steps: int = 32) -> Tensor:
    """Return what each input adds to the target on the straight way from the baseline, black where none is given.

    Sundararajan et al. 2017, equation 3, by the midpoint rule: the numbers of an input, [C, H, W] each, add up to the
    difference that it makes, target(inputs) - target(baseline), the better the more steps.
    """
    baseline = torch.zeros_like(inputs) if baseline is None else baseline
    total = torch.zeros_like(inputs)
    for step in range(num_steps):
        total += input_gradients(target, baseline + (step + 0.5) / num_steps * (inputs - baseline))
    return (inputs - baseline) * total / num_steps


def last_map(trunk: Trunk) -> nn.Module:
    """Return the last layer of a trunk whose output still has height and width; ValueError where none has."""
    shapes = output_shapes(trunk.blocks, trunk.input_shape)
    layers = [layer for layer, shape in zip(trunk.layers, shapes, strict=True) if len(shape) == 3]
    if not layers:
        raise RefusedError(
            f"this network has no convolution to look into, only {[block.kind for block in trunk.blocks]}"
        )
    return layers[-1]


def cell_centres(trunk: Trunk, layer: nn.Module) -> tuple[float, int]:
    """Return where the cells of a layer's map look, on both axes alike: the first one's centre and the step, in inputs.

    Precondition: the maps are square, and convolutions and max pooling alone change their size.
    """
    start, step = 0.0, 1
    sizes = [shape[-1] for shape in (trunk.input_shape, *output_shapes(trunk.blocks, trunk.input_shape))]
    for block, built, size in zip(trunk.blocks, trunk.layers, sizes, strict=False):
        if isinstance(block, Conv | MaxPool):
            before = block.padding if block.padding != "same" else same_padding(size, block.size, block.stride)[0]
            start += step * ((block.size - 1) / 2 - before)
            step *= block.stride
        if built is layer:
            return start, step
    raise ValueError("this layer is none of the trunk's")


def grad_cam(
    target: Target,
    inputs: Tensor,
    layer: nn.Module,
    *,
    signed: bool = True,
    centres: tuple[float, int] | None = None,
) -> Tensor:
    """Return where in a layer's map the target is supported, [B, H, W] in the inputs' size.

    Selvaraju et al. 2017, equations 1 and 2: channels weighted by mean gradients, and what is positive of the sum.
    Without `signed` what speaks against the target, section 3's counterfactual explanation, counts as much: a layer
    norm behind the map can leave nothing positive. With `centres` of `cell_centres` cells lie where they look; else
    they are spread evenly.
    """
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    try:
        with torch.enable_grad():
            value = target(inputs.detach().requires_grad_()).sum()
            (features,) = kept
            (gradients,) = torch.autograd.grad(value, features)
    finally:
        hook.remove()
    weights = gradients.mean((2, 3), keepdim=True)
    picture = (weights * features.detach()).sum(1, keepdim=True)
    picture = picture.relu() if signed else picture.abs()
    return _place(picture, inputs.shape[2:], centres).squeeze(1)


def _place(picture: Tensor, size: torch.Size, centres: tuple[float, int] | None) -> Tensor:
    """Return a map in the inputs' size by linear interpolation between its cells' centres, and as it is outside."""
    if centres is None:
        return F.interpolate(picture, size, mode="bilinear", align_corners=False)
    start, step = centres
    y, x = (
        2 * ((torch.arange(length).to(picture) - start) / step + 0.5) / cells - 1
        for length, cells in zip(size, picture.shape[2:], strict=True)
    )
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).expand(len(picture), -1, -1, -1)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


@torch.no_grad()
def perturbation(outputs: Target, inputs: Tensor, stride: int = PERTURBATION_STRIDE) -> Tensor:
    """Return how much the outputs, [B, K], change where the inputs are blurred, [B, H, W].

    Greydanus et al. 2018, equations 1 and 2: half the squared distance, for a spot every `stride` cells and, between
    them, by interpolation. Every channel is blurred, so a thing is hidden in all the frames of a stack.
    """
    height, width = inputs.shape[2:]
    blurred = gaussian_blur(inputs, BLUR_SIGMA)
    rows, columns = (torch.arange(stride // 2, size, stride) for size in (height, width))
    centres = torch.cartesian_prod(rows, columns)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pictures = []
    for image, blur in zip(inputs, blurred, strict=True):
        undisturbed = outputs(image[None])
        changes = []
        for part in centres.split(PERTURBATION_BATCH):
            squares = (y - part[:, 0, None, None]) ** 2 + (x - part[:, 1, None, None]) ** 2
            masks = torch.exp(-squares / (2 * PERTURBATION_SIGMA**2))[:, None].to(inputs)
            changes.append((outputs(image * (1 - masks) + blur * masks) - undisturbed).square().sum(1) / 2)
        pictures.append(torch.cat(changes).reshape(1, len(rows), len(columns)))
    return F.interpolate(torch.stack(pictures), (height, width), mode="bilinear", align_corners=False).squeeze(1)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Return images [B, C, H, W] blurred, their borders continued."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1).to(images)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    lines = F.conv2d(padded, kernel, groups=images.shape[1])
    return F.conv2d(lines, kernel.transpose(2, 3), groups=images.shape[1])
