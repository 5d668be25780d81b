"""Artificial data: the symmetries of boards, and random shifts of frames.

B batch, C channels, H height, W width, A actions. Random choices come from a generator that the caller owns,
so that a resumed run repeats them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def symmetry_sources(height: int, width: int) -> Tensor:
    """Return int64 [S, H * W]: board s shows at point i what the original shows at point [s, i].

    A square board has 8 symmetries: 0 to 3 quarter turns anticlockwise, then the same after a transposition.
    A rectangle has 4: itself, the half turn, and the two mirror images. Symmetry 0 changes nothing.
    """
    grid = torch.arange(height * width).reshape(height, width)
    if height == width:
        images = [torch.rot90(board, turns) for board in (grid, grid.T) for turns in range(4)]
    else:
        images = [torch.rot90(board, turns) for board in (grid, grid.flipud()) for turns in (0, 2)]
    return torch.stack([image.reshape(-1) for image in images])


def symmetry_actions(height: int, width: int, pass_move: bool) -> Tensor:
    """Return int64 [S, A]: the action on board s that is action a on the original.

    Actions are the points row by row, then the pass, which no symmetry moves.
    """
    actions = symmetry_sources(height, width).argsort(dim=1)  # the inverse permutations
    if not pass_move:
        return actions
    passes = torch.full((len(actions), 1), height * width)
    return torch.cat([actions, passes], dim=1)


def transform_planes(planes: Tensor, symmetries: Tensor) -> Tensor:
    """Return planes [B, C, H, W] under the symmetries int64 [B]."""
    sources = symmetry_sources(*planes.shape[2:]).to(planes.device)[symmetries]  # [B, H * W]
    flat = planes.flatten(2)
    return flat.gather(2, sources[:, None].expand_as(flat)).reshape(planes.shape)


def transform_actions(actions: Tensor, symmetries: Tensor, table: Tensor) -> Tensor:
    """Return actions int64 [B] under the symmetries int64 [B]; `table` is of `symmetry_actions`."""
    return table.to(actions.device)[symmetries, actions]


def transform_policies(policies: Tensor, symmetries: Tensor, table: Tensor) -> Tensor:
    """Return distributions or masks over actions [B, A] under the symmetries int64 [B]."""
    sources = table.argsort(dim=1).to(policies.device)[symmetries]
    return policies.gather(1, sources)


def random_symmetries(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return int64 [count], symmetries drawn evenly for boards of H x W."""
    return torch.randint(8 if height == width else 4, (count,), generator=generator)


def random_shift(frames: Tensor, max_shift: int, generator: torch.Generator) -> Tensor:
    """Return frames [B, C, H, W] each shifted by up to `max_shift` cells an axis, the border repeated.

    Pad and crop (Kostrikov, Yarats & Fergus 2021, DrQ, section 3; there 4 cells of 84). One shift a sample,
    so a stack of frames moves together; any dtype.
    """
    batch, _, height, width = frames.shape
    shifts = torch.randint(-max_shift, max_shift + 1, (2, batch, 1), generator=generator)
    rows = (torch.arange(height) + shifts[0]).clamp(0, height - 1).to(frames.device)  # [B, H]
    columns = (torch.arange(width) + shifts[1]).clamp(0, width - 1).to(frames.device)  # [B, W]
    samples = torch.arange(batch, device=frames.device)[:, None, None]
    return frames.permute(0, 2, 3, 1)[samples, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)
