"""The gradient of a 3x3 convolution's filters by Winograd's method, compiled: see `nets.winograd_kernels`.

A convolution gives Y = A^T [(G g G^T) * (B^T d B)] A, so the gradient of the transformed filters U is, for each pair of
points, the product of V = B^T d B over all tiles with A dY A^T, and that of the filters g is G^T dU G. (The gradient of
the input is the convolution of dY with the filters turned by half.)
"""

from __future__ import annotations

from games.compiled import njit
from nets.matrix_kernels import multiply
from nets.winograd_kernels import (
    EIGHT,
    EIGHTH,
    FIFTH,
    FOUR,
    HALF,
    QUARTER,
    SIXTEEN,
    SIXTEENTH,
    THIRD,
    TWO,
    U,
    clear_padding,
    copy_to,
    to_points,
)


@njit
def spread_4(source, at, step, target, to, to_step, lanes):
    """Take the gradients of the 4 cells of a tile to those of its 6 points: A y, the transpose of `inverse_4`."""
    s0, s1, s2, s3 = U(at), U(at + step), U(at + 2 * step), U(at + 3 * step)
    t0, t1, t2 = U(to), U(to + to_step), U(to + 2 * to_step)
    t3, t4, t5 = U(to + 3 * to_step), U(to + 4 * to_step), U(to + 5 * to_step)
    for c in range(U(lanes)):
        y0, y1, y2, y3 = source[s0 + c], source[s1 + c], source[s2 + c], source[s3 + c]
        even, odd = y0 + y2, y1 + y3
        even_2, odd_2 = y0 + FOUR * y2, TWO * y1 + EIGHT * y3
        target[t0 + c] = y0
        target[t1 + c] = even + odd
        target[t2 + c] = even - odd
        target[t3 + c] = even_2 + odd_2
        target[t4 + c] = even_2 - odd_2
        target[t5 + c] = y3


@njit
def spread_5(source, at, step, target, to, to_step, to_half, lanes):
    """Take the gradients of the 5 cells of a tile to those of its 7 points: the transpose of `inverse_5`."""
    s0, s1, s2, s3, s4 = U(at), U(at + step), U(at + 2 * step), U(at + 3 * step), U(at + 4 * step)
    t0, t1, t2 = U(to), U(to + to_step), U(to + 2 * to_step)
    t3, t4, t5 = U(to + 3 * to_step), U(to + 4 * to_step), U(to + 5 * to_step)
    t6 = U(to_half)
    for c in range(U(lanes)):
        y0, y1, y2, y3, y4 = source[s0 + c], source[s1 + c], source[s2 + c], source[s3 + c], source[s4 + c]
        even, odd = y0 + y2 + y4, y1 + y3
        even_2, odd_2 = y0 + FOUR * y2 + SIXTEEN * y4, TWO * y1 + EIGHT * y3
        target[t0 + c] = -y0
        target[t1 + c] = even + odd
        target[t2 + c] = THIRD * (odd - even)
        target[t3 + c] = THIRD * (even_2 + odd_2)
        target[t4 + c] = FIFTH * (odd_2 - even_2)
        target[t5 + c] = HALF * y4
        target[t6 + c] = y0 + HALF * y1 + QUARTER * y2 + EIGHTH * y3 + SIXTEENTH * y4


@njit
def spread_to_points(board, m, channels, strip, tiles, n):
    """Write the gradients of the points of map n, from those of a padded map: the transpose of `from_points`."""
    row = (4 * tiles.column_tiles + tiles.large_columns + 2) * channels
    all_tiles = tiles.boards * tiles.row_tiles * tiles.column_tiles * channels
    in_large_columns = tiles.boards * tiles.row_tiles * tiles.large_columns * channels
    in_large_rows = tiles.boards * tiles.large_rows * tiles.column_tiles * channels
    columns_start = 36 * all_tiles
    rows_start = columns_start + 6 * in_large_columns
    both_start = rows_start + 6 * in_large_rows
    strip_row = 5 * channels
    for tile_row in range(tiles.row_tiles):
        large_row = tile_row < tiles.large_rows
        top = tile_row * 5 if large_row else tile_row * 4 + tiles.large_rows
        for tile_column in range(tiles.column_tiles):
            large_column = tile_column < tiles.large_columns
            left = tile_column * 5 if large_column else tile_column * 4 + tiles.large_columns
            for x in range(5 if large_column else 4):
                at, to = (top + 1) * row + (left + 1 + x) * channels, x * channels
                if large_row:
                    spread_5(board, at, row, strip, to, strip_row, to + 6 * strip_row, channels)
                else:
                    spread_4(board, at, row, strip, to, strip_row, channels)
            for i in range(7 if large_row else 6):
                if i < 6:
                    line = n * tiles.row_tiles + tile_row
                    first, step, half = 6 * i * all_tiles, all_tiles, columns_start + i * in_large_columns
                else:
                    line = n * tiles.large_rows + tile_row
                    first, step, half = rows_start, in_large_rows, both_start
                to = first + (line * tiles.column_tiles + tile_column) * channels
                if large_column:
                    to_half = half + (line * tiles.large_columns + tile_column) * channels
                    spread_5(strip, i * strip_row, channels, m, to, step, to_half, channels)
                else:
                    spread_4(strip, i * strip_row, channels, m, to, step, channels)


@njit
def load_map(maps, n, channels, board, tiles):
    """Copy map n of [N, H, W, C] into a padded map."""
    row = (4 * tiles.column_tiles + tiles.large_columns + 2) * channels
    line = tiles.columns * channels
    for y in range(tiles.rows):
        copy_to(board, (y + 1) * row + channels, maps, (n * tiles.rows + y) * line, line)


@njit
def add_filter_gradient(x, in_channels, dy, out_channels, gradient, v, m, board, strip, tiles):
    """Add to `gradient` [49, C_in, C_out], of the transformed filters, that of inputs x and output gradients dy.

    Both are [N, H, W, C]; the rest is room, as for `winograd_kernels.run`.
    """
    clear_padding(board, in_channels, tiles)
    for n in range(tiles.boards):
        load_map(x, n, in_channels, board, tiles)
        to_points(board, in_channels, v, in_channels, strip, tiles, n)
    clear_padding(board, out_channels, tiles)
    for n in range(tiles.boards):
        load_map(dy, n, out_channels, board, tiles)
        spread_to_points(board, m, out_channels, strip, tiles, n)
    columns, large_columns = tiles.boards * tiles.column_tiles, tiles.boards * tiles.large_columns
    from_v, from_m = 0, 0
    for pair in range(49):
        lines = columns if pair < 36 or 42 <= pair < 48 else large_columns
        rows = lines * (tiles.row_tiles if pair < 42 else tiles.large_rows)
        if rows > 0:
            multiply(
                v, from_v, 1, in_channels,
                m, from_m, out_channels,
                gradient, pair * in_channels * out_channels, out_channels,
                in_channels, rows, out_channels, True,
            )  # fmt: skip
        from_v += rows * in_channels
        from_m += rows * out_channels
