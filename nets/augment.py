"""Artificial data: random shifts of frames. Boards are turned where positions are replayed (games/symmetries.py).

B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
