"""Rotations and reflections of a board: 8 of a square, 4 of a rectangle.

Symmetry k turns the board upside down where k & 1, mirrors it left to right where k & 2, and then, on a square board,
exchanges rows and columns where k & 4. Symmetry 0 leaves everything as it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def num_symmetries(rows: int, columns: int) -> int:
    """Return K, the number of symmetries of a board."""
    return 8 if rows == columns else 4


def turn(planes: Array, symmetry: int) -> Array:
    """Return planes [..., H, W] under a symmetry, as a view."""
    if symmetry & 1:
        planes = planes[..., ::-1, :]
    if symmetry & 2:
        planes = planes[..., ::-1]
    return np.swapaxes(planes, -1, -2) if symmetry & 4 else planes


@lru_cache(maxsize=64)
def action_maps(rows: int, columns: int) -> Array:
    """Return the image of each action of Go under each symmetry, int16 [K, rows * columns + 1]; a pass stays a pass.

    turn(planes, k).ravel()[action_maps(...)[k, action]] is planes.ravel()[action].
    """
    area = rows * columns
    board = np.arange(area, dtype=np.int16).reshape(rows, columns)
    maps = np.full((num_symmetries(rows, columns), area + 1), area, np.int16)
    for symmetry, image in enumerate(maps):
        image[turn(board, symmetry).ravel()] = board.ravel()
    maps.setflags(write=False)
    return maps
