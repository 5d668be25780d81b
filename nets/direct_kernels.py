"""Layers of convolution, norm and ReLU for small maps, float32, on processors with 16 vector registers.

For convolutions without padding that have a stride or few channels, as Q-networks have them, whose products are too
small to gain from matrix libraries. Each tile keeps its sums in registers: ROWS of them, outputs or filter gradients,
by FILTERS filters. Written for AVX2; any processor runs them.

N maps, H height, W width, C channels, F filters, K window size; maps are [N, H, W, C]. The products of a window and a
filter are K lines of K C numbers, which lie side by side in both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from games.compiled import njit
from nets.matrix_kernels import INDEX, LANES, VECTOR, VectorWriter

FILTERS = 16  # of a tile: two registers of AVX2 in each row
ROWS = 6  # of a tile: 12 registers of sums
OUTPUTS_AT_ONCE = 400  # maps are taken together until they have so many outputs, all through a layer: they stay cached


class _Tile:
    """A tile of sums in registers, ROWS by FILTERS, in a kernel under construction."""

    def __init__(self, builder: Any) -> None:
        self._builder, self._write = builder, VectorWriter(builder)
        self._sums = [[cgutils.alloca_once(builder, VECTOR) for _ in range(FILTERS // LANES)] for _ in range(ROWS)]

    def load(self, rows: list[Any]) -> None:
        """Start from what lies at the rows' addresses."""
        for sums, row in zip(self._sums, rows, strict=True):
            for vector, sum_ in enumerate(sums):
                self._builder.store(self._write.load(row, vector), sum_)

    def store(self, rows: list[Any]) -> None:
        """Write to the rows' addresses."""
        for sums, row in zip(self._sums, rows, strict=True):
            for vector, sum_ in enumerate(sums):
                self._write.store(row, vector, self._builder.load(sum_))

    def add_products(self, factors: list[Any], row: Any) -> None:
        """Add the FILTERS numbers at the address `row` times the numbers at `factors`, one for each row of the tile."""
        builder, write = self._builder, self._write
        vectors = [write.load(row, vector) for vector in range(FILTERS // LANES)]
        for sums, factor in zip(self._sums, factors, strict=True):
            repeated = write.broadcast(factor, INDEX(0))
            for sum_, vector in zip(sums, vectors, strict=True):
                builder.store(write.multiply_add(repeated, vector, builder.load(sum_)), sum_)


def _address(context: Any, builder: Any, signature: Any, arguments: Any, number: int) -> Any:
    """Return the address of the first number of an argument, an array."""
    return context.make_array(signature.args[number])(context, builder, arguments[number]).data


def _read_offsets(builder: Any, array: Any, first: Any) -> list[Any]:
    """Return ROWS numbers of an array at an address."""
    address = builder.gep(array, [first])
    return [builder.load(builder.gep(address, [INDEX(row)])) for row in range(ROWS)]


@intrinsic
def _add_outputs(
    typing_context: Any, maps: Any, windows: Any, line_step: Any, height: Any, width: Any, filters: Any, at: Any,
    start: Any, keeps: Any, out: Any, places: Any, to: Any, first: Any,
) -> Any:  # fmt: skip
    """For the ROWS outputs p from `first` on, and f < FILTERS: out[places[p] + to + f] = start[places[p] keeps + to + f]
    + sum over y < height, x < width of maps[windows[p] + y line_step + x] filters[at + (y width + x) FILTERS + f].

    Arrays are flat. All is read before anything is written, so that an output may come twice.
    """  # noqa: E501
    signature = types.void(
        maps, windows, line_step, height, width, filters, at, start, keeps, out, places, to, first
    )  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, line_step, height, width, _, at, _, keeps, _, _, to, first = arguments
        maps, windows, filters, start, out, places = (
            _address(context, builder, signature, arguments, number) for number in (0, 1, 5, 7, 9, 10)
        )
        points = [builder.gep(maps, [offset]) for offset in _read_offsets(builder, windows, first)]
        offsets = _read_offsets(builder, places, first)
        filters = builder.gep(filters, [at])
        num_filters = context.get_constant(types.intp, FILTERS)
        tile = _Tile(builder)
        tile.load([builder.gep(start, [builder.add(builder.mul(offset, keeps), to)]) for offset in offsets])
        with cgutils.for_range(builder, height) as line:
            lines = [builder.gep(point, [builder.mul(line.index, line_step)]) for point in points]
            line_filters = builder.gep(filters, [builder.mul(builder.mul(line.index, width), num_filters)])
            with cgutils.for_range(builder, width) as column:
                factors = [builder.gep(line, [column.index]) for line in lines]
                tile.add_products(factors, builder.gep(line_filters, [builder.mul(column.index, num_filters)]))
        tile.store([builder.gep(out, [builder.add(offset, to)]) for offset in offsets])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _add_gradients(
    typing_context: Any, maps: Any, inputs: Any, windows: Any, begin: Any, end: Any, changes: Any, num_filters: Any,
    out: Any, places: Any, to: Any, first: Any,
) -> Any:  # fmt: skip
    """For the ROWS inputs i of a window from `first` on, and f < FILTERS: out[places[i] + to + f] +=
    sum over begin <= p < end of maps[windows[p] + inputs[i]] changes[p num_filters + to + f].

    Arrays are flat. All is read before anything is written, so that an input may come twice.
    """
    signature = types.void(maps, inputs, windows, begin, end, changes, num_filters, out, places, to, first)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, _, begin, end, _, num_filters, _, _, to, first = arguments
        maps, inputs, windows, changes, out, places = (
            _address(context, builder, signature, arguments, number) for number in (0, 1, 2, 5, 7, 8)
        )
        corners = [builder.gep(maps, [offset]) for offset in _read_offsets(builder, inputs, first)]
        changes = builder.gep(changes, [to])
        gradients = [builder.gep(out, [builder.add(place, to)]) for place in _read_offsets(builder, places, first)]
        tile = _Tile(builder)
        tile.load(gradients)
        with cgutils.for_range_slice(builder, begin, end, INDEX(1)) as (window, _):
            offset = builder.load(builder.gep(windows, [window]))
            factors = [builder.gep(corner, [offset]) for corner in corners]
            tile.add_products(factors, builder.gep(changes, [builder.mul(window, num_filters)]))
        tile.store(gradients)
        return context.get_dummy_value()

    return signature, generate


@njit
def _window_offsets(maps_shape, out_shape, stride):
    """Return where the window of each output begins, int64 [outputs], and the last one again to fill a tile."""
    num_maps, height, width, channels = maps_shape
    _, out_height, out_width, _ = out_shape
    offsets = np.empty(num_maps * out_height * out_width + ROWS - 1, np.int64)
    count = 0
    for n in range(num_maps):
        for y in range(out_height):
            for x in range(out_width):
                offsets[count] = ((n * height + y * stride) * width + x * stride) * channels
                count += 1
    offsets[count:] = offsets[count - 1]
    return offsets


@njit
def _input_offsets(size, width, line_step):
    """Return where the inputs of a window lie after its corner, int64 [K lines of `width`], and the last one again."""
    offsets = np.empty(size * width + ROWS - 1, np.int64)
    for index in range(len(offsets)):
        input_ = min(index, size * width - 1)
        offsets[index] = input_ // width * line_step + input_ % width
    return offsets


@njit
def _offsets(size, step):
    """Return step times 0, 1, ..., int64 [size], and the last one again to fill a tile."""
    offsets = np.empty(size + ROWS - 1, np.int64)
    for index in range(len(offsets)):
        offsets[index] = step * min(index, size - 1)
    return offsets


def _as_numbers(maps: Any) -> Any:
    """Return maps as flat float32; in compiled kernels only."""
    raise NotImplementedError


@overload(_as_numbers)
def _as_numbers_of(maps):
    if maps.dtype == types.float32:
        return lambda maps: maps.reshape(-1)
    return lambda maps: maps.reshape(-1).astype(np.float32)


@njit
def maps_at_once(out):
    """Return how many of the maps that become out [N, H', W', F] are taken together."""
    return max(1, OUTPUTS_AT_ONCE // (out.shape[1] * out.shape[2]))


@njit
def apply_layer(maps, filters, biases, stride, gains, shifts, epsilon, sums, moments, out):
    """Fill out [N, H', W', F] with what a layer makes of maps [N, H, W, C], float32 or bytes.

    That is a convolution with filters [F / FILTERS, K, K C, FILTERS] and biases [F], written to `sums` like `out`; its
    layer norm (see `norm_relu`), where there are gains; and a ReLU. Without gains `sums` may be `out`.
    """
    at_once = maps_at_once(out)
    for begin in range(0, len(maps), at_once):
        some = slice(begin, begin + at_once)
        convolve(maps[some], filters, biases, sums[some], stride)
        if len(gains):
            norm_relu(sums[some], gains, shifts, epsilon, out[some], moments[some])
        else:
            flat = out[some].reshape(-1)
            for index in range(len(flat)):
                flat[index] = max(flat[index], np.float32(0))


@njit
def add_layer_gradients(
    maps, map_filters, stride, gains, sums, moments, out, changes,
    map_gradients, filter_gradients, bias_gradients, gain_gradients, shift_gradients,
):  # fmt: skip
    """Add the gradients of what `apply_layer` was given, of `changes`, those of what it gave.

    Those of maps, for which `map_filters` are [K, K, C / FILTERS, F, FILTERS], only where they are not empty; those of
    filters are [K, K C, F].
    """
    at_once, num_filters = maps_at_once(out), out.shape[3]
    passed = np.empty((at_once, *out.shape[1:]), np.float32)
    for begin in range(0, len(maps), at_once):
        some = slice(begin, begin + at_once)
        of_sums = passed[: len(out[some])]
        if len(gains):
            norm_relu_gradients(
                sums[some], gains, out[some], moments[some], changes[some], of_sums, gain_gradients, shift_gradients
            )  # fmt: skip
        else:
            flat, before, after = of_sums.reshape(-1), changes[some].reshape(-1), out[some].reshape(-1)
            for index in range(len(flat)):
                flat[index] = before[index] if after[index] > 0 else np.float32(0)
        rows = of_sums.reshape(-1, num_filters)
        for row in range(len(rows)):
            for f in range(num_filters):
                bias_gradients[f] += rows[row, f]
        add_filter_gradients(maps[some], of_sums, filter_gradients, stride)
        if len(map_gradients):
            add_map_gradients(of_sums, map_filters, map_gradients[some], stride)


@njit
def convolve(maps, filters, biases, out, stride):
    """Fill out [N, H', W', F] with maps [N, H, W, C], float32 or bytes, convolved with filters; see `apply_layer`."""
    num_blocks, size, width, _ = filters.shape
    num_filters = out.shape[3]
    num_outputs = out.size // num_filters
    windows, places = _window_offsets(maps.shape, out.shape, stride), _offsets(num_outputs, num_filters)
    numbers, rows, flat = _as_numbers(maps), filters.reshape(-1), out.reshape(-1)
    line_step = maps.shape[2] * maps.shape[3]
    for block in range(num_blocks):
        at, to = block * size * width * FILTERS, block * FILTERS
        for first in range(0, num_outputs, ROWS):
            _add_outputs(numbers, windows, line_step, size, width, rows, at, biases, 0, flat, places, to, first)  # type: ignore[call-arg]


@njit
def add_map_gradients(changes, filters, out, stride):
    """Add to out [N, H, W, C], C a multiple of FILTERS, the gradients of the maps that `convolve` was given.

    `changes` [N, H', W', F] are the gradients of its outputs; for filters see `add_layer_gradients`.
    """
    size, _, num_blocks, num_filters, _ = filters.shape
    _, _, map_width, channels = out.shape
    num_outputs = changes.size // num_filters
    windows, places = _offsets(num_outputs, num_filters), _window_offsets(out.shape, changes.shape, stride)
    numbers, rows, flat = changes.reshape(-1), filters.reshape(-1), out.reshape(-1)
    at = 0
    for y in range(size):
        for x in range(size):
            for block in range(num_blocks):
                to = (y * map_width + x) * channels + block * FILTERS
                for first in range(0, num_outputs, ROWS):
                    _add_outputs(numbers, windows, 0, 1, num_filters, rows, at, flat, 1, flat, places, to, first)  # type: ignore[call-arg]
                at += num_filters * FILTERS


@njit
def add_filter_gradients(maps, changes, out, stride):
    """Add to out [K, K C, F] the gradients of the filters that `convolve` was given.

    `changes` [N, H', W', F] are the gradients of its outputs.
    """
    _, _, map_width, channels = maps.shape
    num_maps, out_height, out_width, num_filters = changes.shape
    size, width, _ = out.shape
    num_windows = out_height * out_width
    inputs, places = _input_offsets(size, width, map_width * channels), _offsets(size * width, num_filters)
    windows = _window_offsets(maps.shape, changes.shape, stride)
    numbers, outputs, gradients = _as_numbers(maps), changes.reshape(-1), out.reshape(-1)
    for n in range(num_maps):
        begin, end = n * num_windows, (n + 1) * num_windows
        for to in range(0, num_filters, FILTERS):
            for first in range(0, size * width, ROWS):
                _add_gradients(  # type: ignore[call-arg]
                    numbers, inputs, windows, begin, end, outputs, num_filters, gradients, places, to, first
                )


@njit
def norm_relu(maps, gains, biases, epsilon, out, moments):
    """Fill out [N, H, W, C] with max(0, gain (map - mean) / deviation + bias), a layer norm of each map and a ReLU.

    Gains and biases are of channels, [C]; moments [N, 2] become mean and 1 / deviation (Ba, Kiros & Hinton 2016).
    """
    channels, width = maps.shape[3], _row_width(maps)
    sums, scales, shifts = np.empty((3, width), np.float32)
    for n in range(len(maps)):
        rows, normed = maps[n].reshape(-1, width), out[n].reshape(-1, width)
        sums[:] = 0
        for row in range(len(rows)):
            for x in range(width):
                sums[x] += rows[row, x]
        mean = np.float32(sums.sum() / rows.size)
        sums[:] = 0
        for row in range(len(rows)):
            for x in range(width):
                sums[x] += (rows[row, x] - mean) * (rows[row, x] - mean)
        scale = np.float32(1 / np.sqrt(sums.sum() / rows.size + epsilon))
        moments[n, 0], moments[n, 1] = mean, scale
        for x in range(width):
            scales[x] = gains[x % channels] * scale
            shifts[x] = biases[x % channels] - mean * scales[x]
        for row in range(len(rows)):
            for x in range(width):
                normed[row, x] = max(rows[row, x] * scales[x] + shifts[x], np.float32(0))


@njit
def norm_relu_gradients(maps, gains, out, moments, changes, gradients, gain_gradients, bias_gradients):
    """Fill `gradients`, those of the maps, of the gradients `changes` of what `norm_relu` gave, all [N, H, W, C].

    Those of gains and biases, [C], are added to.
    """
    channels, width = maps.shape[3], _row_width(maps)
    of_gains, of_biases, wide, starts, factors = np.empty((5, width), np.float32)
    for x in range(width):
        wide[x] = gains[x % channels]
    for n in range(len(maps)):
        mean, scale = moments[n]
        rows, normed = maps[n].reshape(-1, width), out[n].reshape(-1, width)
        change, gradient = changes[n].reshape(-1, width), gradients[n].reshape(-1, width)
        of_gains[:] = 0
        of_biases[:] = 0
        for row in range(len(rows)):
            for x in range(width):
                passed = change[row, x] if normed[row, x] > 0 else np.float32(0)
                gradient[row, x] = passed
                of_biases[x] += passed
                of_gains[x] += passed * ((rows[row, x] - mean) * scale)
        # A norm passes on what changes neither the mean nor the deviation.
        level = np.float32((of_biases * wide).sum() / rows.size)
        slope = np.float32((of_gains * wide).sum() / rows.size) * scale * scale
        for x in range(width):
            gain_gradients[x % channels] += of_gains[x]
            bias_gradients[x % channels] += of_biases[x]
            factors[x] = wide[x] * scale
            starts[x] = slope * mean - scale * level
        for row in range(len(rows)):
            for x in range(width):
                gradient[row, x] = gradient[row, x] * factors[x] - rows[row, x] * slope + starts[x]


@njit
def _row_width(maps):
    """Return how many numbers of a map to take as a row: four points where that divides a map, else one."""
    _, height, width, channels = maps.shape
    return 4 * channels if height * width % 4 == 0 else channels
