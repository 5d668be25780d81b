"""Winograd's transforms for 3x3 convolutions of stride 1 and padding 1, compiled: Lavin & Gray 2016, section 4.

A map's axis of S cells is cut into ceil(S / 5) tiles of 5 cells, then of 4: 9 = 5 + 4, 19 = 5 + 5 + 5 + 4, without
waste. A tile of m cells comes from m + 2 input cells by m + 2 products where a direct convolution takes 3 m: those of
values at m + 1 points and at infinity. Tiles of 4 take the points 0, 1, -1, 2, -2, tiles of 5 the point 1/2 too, so
that both share the transformed filters. In two dimensions there are 7 * 7 pairs of points, and a matrix product for
each: 9x9 costs 169 products a pair of channels instead of 729.

Layout: maps are [N, H, W, C]. The values at the points, the paper's V (of inputs) and M (of outputs), are flat: a
matrix [N * tiles, C] for each pair of points, first the 36 pairs (row, column) without 1/2, then the 6 with it as the
column, the 6 with it as the row, and the one with both. Tiles that lack a point are not in its matrices.

Every loop over channels runs on flat arrays by unsigned indices, or LLVM would not vectorise it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from games.compiled import njit
from nets.matrix_kernels import multiply

STEP = np.dtype(  # a convolution and what follows it up to the next; offsets are into a run's weights, -1 for none
    [
        ("in_channels", np.int64),
        ("out_channels", np.int64),  # of them the last are pooled to a bias, and the next convolution takes the others
        ("filters", np.int64),  # U: [49, in_channels, out_channels]; -1 for the first step, which takes the run's input
        ("bias", np.int64),  # [out_channels], or [H, W, out_channels]
        ("bias_size", np.int64),
        ("pool_weight", np.int64),  # [C, 3 P] for P pooled channels, C the others
        ("pool_bias", np.int64),  # [C]
        ("add", np.bool_),  # then: add the maps that an earlier step kept
        ("relu", np.bool_),
        ("keep", np.bool_),  # keep the maps for a later step
        ("scale", np.int64),  # [out_channels], of a norm
        ("shift", np.int64),
        ("relu_after", np.bool_),  # the norm
    ]
)
LARGE = 5  # cells of a large tile; the others have one less
POINTS = 7  # 0, 1, -1, 2, -2, infinity, 1/2
FILTER_TRANSFORM = np.array(  # G: a filter's values at the points, over the norms of their Lagrange polynomials
    [
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
        (32 / 45, 16 / 45, 8 / 45),
    ]
)

U = np.uint64
HALF, THIRD, FIFTH, QUARTER = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 5), np.float32(1 / 4)
EIGHTH, SIXTEENTH = np.float32(1 / 8), np.float32(1 / 16)
ZERO, TWO, FOUR, FIVE, EIGHT, SIXTEEN = (np.float32(number) for number in (0, 2, 4, 5, 8, 16))


class Tiling(NamedTuple):
    """How the maps of a batch are cut."""

    boards: int  # N
    rows: int  # H
    columns: int  # W
    row_tiles: int  # along the rows' axis, the large ones first
    large_rows: int  # how many of them are large
    column_tiles: int
    large_columns: int

    def counts(self) -> tuple[int, int, int, int]:
        """Return the number of rows of the matrices of each of the four kinds of pairs of points."""
        columns, large_columns = self.boards * self.column_tiles, self.boards * self.large_columns
        return (
            columns * self.row_tiles,
            large_columns * self.row_tiles,
            columns * self.large_rows,
            large_columns * self.large_rows,
        )


def tiling(boards: int, rows: int, columns: int) -> Tiling:
    """Return the tiling of this many maps of a size."""
    row_tiles, column_tiles = -(-rows // LARGE), -(-columns // LARGE)
    large_rows, large_columns = max(0, rows - 4 * row_tiles), max(0, columns - 4 * column_tiles)
    return Tiling(boards, rows, columns, row_tiles, large_rows, column_tiles, large_columns)


def spectrum_size(tiles: Tiling) -> int:
    """Return the numbers a channel of V or M."""
    common, column, row, both = tiles.counts()
    return 36 * common + 6 * column + 6 * row + both


def board_size(tiles: Tiling) -> int:
    """Return the cells of the padded map that the kernels work on."""
    return (4 * tiles.row_tiles + tiles.large_rows + 2) * (4 * tiles.column_tiles + tiles.large_columns + 2)


# --- one dimension ----------------------------------------------------------------------------------------------------


@njit
def at_points(d0, d1, d2, d3, d4, d5):
    """Return B^T d of a tile of 4 cells: at 0, 1, -1, 2, -2 and infinity."""
    even, odd = d4 - FOUR * d2, d3 - FOUR * d1
    even_2, odd_2 = d4 - d2, TWO * (d3 - d1)
    at_infinity = FOUR * d1 - FIVE * d3 + d5
    return FOUR * d0 - FIVE * d2 + d4, even + odd, even - odd, even_2 + odd_2, even_2 - odd_2, at_infinity


@njit
def forward_4(source, at, step, target, to, to_step, lanes):
    """Take 6 cells of a tile of 4, a step apart, to its 6 points."""
    s0, s1, s2, s3, s4, s5 = U(at), U(at + step), U(at + 2 * step), U(at + 3 * step), U(at + 4 * step), U(at + 5 * step)
    t0, t1, t2 = U(to), U(to + to_step), U(to + 2 * to_step)
    t3, t4, t5 = U(to + 3 * to_step), U(to + 4 * to_step), U(to + 5 * to_step)
    for c in range(U(lanes)):
        p0, p1, p2, p3, p4, p5 = at_points(
            source[s0 + c], source[s1 + c], source[s2 + c], source[s3 + c], source[s4 + c], source[s5 + c]
        )
        target[t0 + c] = p0
        target[t1 + c] = p1
        target[t2 + c] = p2
        target[t3 + c] = p3
        target[t4 + c] = p4
        target[t5 + c] = p5


@njit
def forward_5(source, at, step, target, to, to_step, to_half, lanes):
    """Take 7 cells of a tile of 5 to its 6 points, and to the point 1/2.

    The Lagrange polynomial of a point a among all is that among the points without 1/2, times 2 x - 1, over 2 a - 1:
    the transform of a tile of 4, of the differences 2 d[k + 1] - d[k]. The factor 2 a - 1 is left to the inverse. The
    polynomial of 1/2 is the one that the others have for infinity.
    """
    s0, s1, s2, s3, s4, s5 = U(at), U(at + step), U(at + 2 * step), U(at + 3 * step), U(at + 4 * step), U(at + 5 * step)
    s6 = U(at + 6 * step)
    t0, t1, t2 = U(to), U(to + to_step), U(to + 2 * to_step)
    t3, t4, t5 = U(to + 3 * to_step), U(to + 4 * to_step), U(to + 5 * to_step)
    t6 = U(to_half)
    for c in range(U(lanes)):
        d0, d1, d2, d3 = source[s0 + c], source[s1 + c], source[s2 + c], source[s3 + c]
        d4, d5, d6 = source[s4 + c], source[s5 + c], source[s6 + c]
        p0, p1, p2, p3, p4, p5 = at_points(
            TWO * d1 - d0, TWO * d2 - d1, TWO * d3 - d2, TWO * d4 - d3, TWO * d5 - d4, TWO * d6 - d5
        )
        target[t0 + c] = p0
        target[t1 + c] = p1
        target[t2 + c] = p2
        target[t3 + c] = p3
        target[t4 + c] = p4
        target[t5 + c] = p5
        target[t6 + c] = FOUR * d1 - FIVE * d3 + d5


@njit
def inverse_4(source, at, step, target, to, to_step, lanes):
    """Take 6 points to the 4 cells of a tile: A^T m."""
    s0, s1, s2, s3, s4, s5 = U(at), U(at + step), U(at + 2 * step), U(at + 3 * step), U(at + 4 * step), U(at + 5 * step)
    t0, t1, t2, t3 = U(to), U(to + to_step), U(to + 2 * to_step), U(to + 3 * to_step)
    for c in range(U(lanes)):
        sum_1, difference_1 = source[s1 + c] + source[s2 + c], source[s1 + c] - source[s2 + c]
        sum_2, difference_2 = source[s3 + c] + source[s4 + c], source[s3 + c] - source[s4 + c]
        target[t0 + c] = source[s0 + c] + sum_1 + sum_2
        target[t1 + c] = difference_1 + TWO * difference_2
        target[t2 + c] = sum_1 + FOUR * sum_2
        target[t3 + c] = difference_1 + EIGHT * difference_2 + source[s5 + c]


@njit
def inverse_5(source, at, step, at_half, target, to, to_step, lanes):
    """Take 7 points to the 5 cells of a tile, the factors 1 / (2 a - 1) put in: see `forward_5`."""
    s0, s1, s2, s3, s4, s5 = U(at), U(at + step), U(at + 2 * step), U(at + 3 * step), U(at + 4 * step), U(at + 5 * step)
    s6 = U(at_half)
    t0, t1, t2, t3, t4 = U(to), U(to + to_step), U(to + 2 * to_step), U(to + 3 * to_step), U(to + 4 * to_step)
    for c in range(U(lanes)):
        m1, m2, m3, m4 = source[s1 + c], -THIRD * source[s2 + c], THIRD * source[s3 + c], -FIFTH * source[s4 + c]
        half = source[s6 + c]
        sum_1, difference_1, sum_2, difference_2 = m1 + m2, m1 - m2, m3 + m4, m3 - m4
        target[t0 + c] = sum_1 + sum_2 + half - source[s0 + c]
        target[t1 + c] = difference_1 + TWO * difference_2 + HALF * half
        target[t2 + c] = sum_1 + FOUR * sum_2 + QUARTER * half
        target[t3 + c] = difference_1 + EIGHT * difference_2 + EIGHTH * half
        target[t4 + c] = sum_1 + SIXTEEN * sum_2 + SIXTEENTH * half + HALF * source[s5 + c]


# --- two dimensions ---------------------------------------------------------------------------------------------------


@njit
def to_points(board, stride, v, channels, strip, tiles, n):
    """Write the points of map n, from a padded map with `stride` numbers a cell of which `channels` are taken."""
    width = 4 * tiles.column_tiles + tiles.large_columns + 2
    row = width * stride
    strip_row = width * channels
    all_tiles = tiles.boards * tiles.row_tiles * tiles.column_tiles * channels
    in_large_columns = tiles.boards * tiles.row_tiles * tiles.large_columns * channels
    in_large_rows = tiles.boards * tiles.large_rows * tiles.column_tiles * channels
    columns_start = 36 * all_tiles
    rows_start = columns_start + 6 * in_large_columns
    both_start = rows_start + 6 * in_large_rows
    for tile_row in range(tiles.row_tiles):
        large_row = tile_row < tiles.large_rows
        top = tile_row * 5 if large_row else tile_row * 4 + tiles.large_rows
        for x in range(width):
            at, to = top * row + x * stride, x * channels
            if large_row:
                forward_5(board, at, row, strip, to, strip_row, to + 6 * strip_row, channels)
            else:
                forward_4(board, at, row, strip, to, strip_row, channels)
        for i in range(7 if large_row else 6):
            if i < 6:
                line = n * tiles.row_tiles + tile_row
                first, step, half = 6 * i * all_tiles, all_tiles, columns_start + i * in_large_columns
            else:
                line = n * tiles.large_rows + tile_row
                first, step, half = rows_start, in_large_rows, both_start
            for tile_column in range(tiles.column_tiles):
                to = first + (line * tiles.column_tiles + tile_column) * channels
                if tile_column < tiles.large_columns:
                    at = i * strip_row + tile_column * 5 * channels
                    to_half = half + (line * tiles.large_columns + tile_column) * channels
                    forward_5(strip, at, channels, v, to, step, to_half, channels)
                else:
                    at = i * strip_row + (tile_column * 4 + tiles.large_columns) * channels
                    forward_4(strip, at, channels, v, to, step, channels)


@njit
def from_points(m, board, channels, strip, tiles, n):
    """Write the cells of map n inside the padding, from its points; those beyond the map get numbers too."""
    row = (4 * tiles.column_tiles + tiles.large_columns + 2) * channels
    all_tiles = tiles.boards * tiles.row_tiles * tiles.column_tiles * channels
    in_large_columns = tiles.boards * tiles.row_tiles * tiles.large_columns * channels
    in_large_rows = tiles.boards * tiles.large_rows * tiles.column_tiles * channels
    columns_start = 36 * all_tiles
    rows_start = columns_start + 6 * in_large_columns
    both_start = rows_start + 6 * in_large_rows
    strip_row = 7 * channels
    for tile_row in range(tiles.row_tiles):
        large_row = tile_row < tiles.large_rows
        top = tile_row * 5 if large_row else tile_row * 4 + tiles.large_rows
        line = n * tiles.row_tiles + tile_row
        large_line = n * tiles.large_rows + tile_row
        for tile_column in range(tiles.column_tiles):
            large_column = tile_column < tiles.large_columns
            left = tile_column * 5 if large_column else tile_column * 4 + tiles.large_columns
            for j in range(7 if large_column else 6):
                if j < 6:
                    at, step = j * all_tiles + (line * tiles.column_tiles + tile_column) * channels, 6 * all_tiles
                    half = rows_start + j * in_large_rows + (large_line * tiles.column_tiles + tile_column) * channels
                else:
                    at = columns_start + (line * tiles.large_columns + tile_column) * channels
                    step = in_large_columns
                    half = both_start + (large_line * tiles.large_columns + tile_column) * channels
                if large_row:
                    inverse_5(m, at, step, half, strip, j * channels, strip_row, channels)
                else:
                    inverse_4(m, at, step, strip, j * channels, strip_row, channels)
            for i in range(5 if large_row else 4):
                at, to = i * strip_row, (top + i + 1) * row + (left + 1) * channels
                if large_column:
                    inverse_5(strip, at, channels, at + 6 * channels, board, to, channels, channels)
                else:
                    inverse_4(strip, at, channels, board, to, channels, channels)


@njit
def clear_padding(board, channels, tiles):
    """Set every cell of a padded map that is not on the map to 0."""
    height = 4 * tiles.row_tiles + tiles.large_rows + 2
    width = 4 * tiles.column_tiles + tiles.large_columns + 2
    row = width * channels
    for y in range(height):
        if 1 <= y <= tiles.rows:
            fill(board, y * row, channels, ZERO)
            fill(board, y * row + (tiles.columns + 1) * channels, (width - tiles.columns - 1) * channels, ZERO)
        else:
            fill(board, y * row, row, ZERO)


# --- between two convolutions -----------------------------------------------------------------------------------------


@njit
def fill(numbers, at, count, value):
    for i in range(U(at), U(at + count)):
        numbers[i] = value


@njit
def add_to(numbers, at, other, other_at, count):
    at, other_at = U(at), U(other_at)
    for i in range(U(count)):
        numbers[at + i] += other[other_at + i]


@njit
def copy_to(target, to, source, at, count):
    to, at = U(to), U(at)
    for i in range(U(count)):
        target[to + i] = source[at + i]


@njit
def rectify(numbers, at, count):
    for i in range(U(at), U(at + count)):
        numbers[i] = max(numbers[i], ZERO)


@njit
def scale_row(numbers, at, cells, channels, weights, scale, shift):
    scale, shift = U(scale), U(shift)
    for cell in range(cells):
        first = U(at + cell * channels)
        for c in range(U(channels)):
            numbers[first + c] = numbers[first + c] * weights[scale + c] + weights[shift + c]


@njit
def add_pooled_bias(board, step, next_channels, weights, pooled, width, tiles):
    """Add to the first channels of a map what comes from pooling the others: nets.layers.GlobalPoolBias.

    `pooled` is room for the channels' means, the means scaled by `width`, the maxima, and the biases.
    """
    channels = step.out_channels
    count = channels - next_channels
    row = (4 * tiles.column_tiles + tiles.large_columns + 2) * channels
    fill(pooled, 0, 3 * count, ZERO)
    largest, biases = U(2 * count), 3 * count
    for y in range(1, tiles.rows + 1):
        for x in range(1, tiles.columns + 1):
            first = U(y * row + x * channels + next_channels)
            for c in range(U(count)):
                value = max(board[first + c], ZERO)
                pooled[c] += value
                pooled[largest + c] = max(pooled[largest + c], value)
    cells = np.float32(tiles.rows * tiles.columns)
    for c in range(count):
        mean = pooled[c] / cells
        pooled[c] = mean
        pooled[count + c] = mean * width
    multiply(
        weights, step.pool_weight, 3 * count, 1, pooled, 0, 1, pooled, biases, 1, next_channels, 3 * count, 1, False
    )
    add_to(pooled, biases, weights, step.pool_bias, next_channels)
    for y in range(1, tiles.rows + 1):
        for x in range(1, tiles.columns + 1):
            add_to(board, y * row + x * channels, pooled, biases, next_channels)


@njit
def finish_row(board, at, step, kept, there, weights, tiles):
    """Do what follows a convolution, its bias added, to one row of a map."""
    channels = step.out_channels
    line = tiles.columns * channels
    if step.add:
        add_to(board, at, kept, there, line)
    if step.relu:
        rectify(board, at, line)
    if step.keep:
        copy_to(kept, there, board, at, line)
    if step.scale >= 0:
        scale_row(board, at, tiles.columns, channels, weights, step.scale, step.shift)
    if step.relu_after:
        rectify(board, at, line)


@njit
def take_step(step, next_channels, weights, x, m, v, out, kept, board, strip, pooled, width, tiles):
    """Take what a convolution gave, its points m, or the run's input, to the next one's points v or to `out`."""
    channels = step.out_channels
    row = (4 * tiles.column_tiles + tiles.large_columns + 2) * channels
    line = tiles.columns * channels
    overhangs = 4 * tiles.row_tiles > tiles.rows or 4 * tiles.column_tiles > tiles.columns
    clear_padding(board, channels, tiles)
    for n in range(tiles.boards):
        if step.filters >= 0:
            from_points(m, board, channels, strip, tiles, n)
        for y in range(tiles.rows):
            at = (y + 1) * row + channels
            if step.filters < 0:
                copy_to(board, at, x, (n * tiles.rows + y) * line, line)
            elif step.bias_size > channels:
                add_to(board, at, weights, step.bias + y * line, line)
            else:
                for column in range(tiles.columns):
                    add_to(board, at + column * channels, weights, step.bias, channels)
        if step.pool_weight >= 0:
            add_pooled_bias(board, step, next_channels, weights, pooled, width, tiles)
        for y in range(tiles.rows):
            at, there = (y + 1) * row + channels, (n * tiles.rows + y) * line
            finish_row(board, at, step, kept, there, weights, tiles)
            if next_channels == 0:
                copy_to(out, there, board, at, line)
        if next_channels > 0:
            if overhangs:
                clear_padding(board, channels, tiles)
            to_points(board, channels, v, next_channels, strip, tiles, n)


@njit
def products(v, weights, step, m, tiles):
    """Write M = V U, a matrix product for each pair of points."""
    columns, large_columns = tiles.boards * tiles.column_tiles, tiles.boards * tiles.large_columns
    from_v, to_m = 0, 0
    for pair in range(49):
        lines = columns if pair < 36 or 42 <= pair < 48 else large_columns
        rows = lines * (tiles.row_tiles if pair < 42 else tiles.large_rows)
        if rows > 0:
            filters = step.filters + pair * step.in_channels * step.out_channels
            multiply(
                v, from_v, step.in_channels, 1,
                weights, filters, step.out_channels,
                m, to_m, step.out_channels,
                rows, step.in_channels, step.out_channels, False,
            )  # fmt: skip
        from_v += rows * step.in_channels
        to_m += rows * step.out_channels


@njit
def run(steps, weights, x, out, v, m, board, strip, kept, pooled, width, tiles):
    """Take maps x [N, H, W, C] through convolutions and what stands between them to `out` [N, H, W, C'].

    The rest is room: `v` and `m` for the points, `board` for a padded map, `strip` for a row of tiles, `kept` for maps,
    `pooled` for means, maxima and biases. `width` scales the pooled means, see nets.pooling.BoardPool2d.
    """
    for s in range(steps.size):
        if s > 0:
            products(v, weights, steps[s], m, tiles)
        next_channels = steps[s + 1].in_channels if s + 1 < steps.size else 0
        take_step(steps[s], next_channels, weights, x, m, v, out, kept, board, strip, pooled, width, tiles)
