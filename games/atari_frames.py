"""What a network sees of an Atari screen: grey, the brighter of two screens, 84x84 by averages over areas.

Mnih et al. 2015, Methods, "Preprocessing". The resizing repeats OpenCV's INTER_AREA, as Gymnasium's AtariPreprocessing
and ale-py's vector environment use it, in the same order of the same float32 operations: exact halves, which are
common, round by what the earlier roundings left.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from ale_py import ALEInterface
from numpy.typing import NDArray

from games.compiled import njit

FRAME_SIZE = 84  # pixels, both ways
UNKNOWN = 256  # brighter than any: a colour that has not been learnt

Frame = NDArray[np.uint8]


class AreaTable(NamedTuple):
    """One axis of the resizing: output `target[k]` gains `weight[k]` times input `source[k]`, in this order."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float32]


def area_table(source_size: int, target_size: int) -> AreaTable:
    """Return the weights of averages over areas from one size to a smaller one."""
    scale = source_size / target_size
    rows = []
    for target in range(target_size):
        start, end = target * scale, (target + 1) * scale
        width = min(scale, source_size - start)
        first, last = math.ceil(start), min(math.floor(end), source_size - 1)
        first = min(first, last)
        if first - start > 1e-3:
            rows.append((first - 1, target, (first - start) / width))
        rows.extend((source, target, 1.0 / width) for source in range(first, last))
        if end - last > 1e-3:
            rows.append((last, target, min(end - last, 1.0, width) / width))
    source, targets, weights = zip(*rows, strict=True)
    return AreaTable(np.array(source), np.array(targets), np.array(weights, np.float32))


class FrameMaker:
    """Makes frames of the screens of emulators of one game, and learns from them how bright their colours are."""

    def __init__(self, height: int, width: int) -> None:
        self._columns = area_table(width, FRAME_SIZE)
        self._rows = area_table(height, FRAME_SIZE)
        self._greys = np.full(256, UNKNOWN, np.float32)
        self._screens = np.empty((2, height, width), np.uint8)  # colours
        self._words = self._screens.view(np.uint64)  # the same, eight pixels at once

    def look(self, emulator: ALEInterface, which: int) -> None:
        """Take in the screen as the first (0) or the second (1) of the two that make a frame."""
        screen = self._screens[which]
        emulator.getScreen(screen)
        if not _is_known(screen, self._words[which], self._greys):
            self._greys[screen] = emulator.getScreenGrayscale()

    def make(self, frame: Frame) -> None:
        """Fill `frame` [84, 84] with what was looked at."""
        _make(self._screens, self._words, self._greys, self._columns, self._rows, frame)


def compile_kernels() -> None:
    """Compile what makes frames, so that processes started after this one need not, each for itself."""
    maker = FrameMaker(FRAME_SIZE, FRAME_SIZE + 4)
    maker.make(np.empty((FRAME_SIZE, FRAME_SIZE), np.uint8))
    _is_known(maker._screens[0], maker._words[0], maker._greys)


@njit
def _is_known(screen, words, greys):
    """Return whether the brightness of every colour is known; runs of one word of pixels are looked at once."""
    last = ~words[0, 0]
    for y in range(words.shape[0]):
        for x in range(words.shape[1]):
            if words[y, x] != last:
                last = words[y, x]
                for pixel in screen[y, 8 * x : 8 * x + 8]:
                    if greys[pixel] == UNKNOWN:
                        return False
    return True


@njit
def _make(screens, words, greys, columns, rows, frame):
    """See FrameMaker.make; `columns` and `rows` are AreaTables. Rows that repeat, as most do, are averaged once."""
    height, width = screens.shape[1:]
    bright = np.empty(width, np.float32)
    narrow = np.empty((height, len(frame)), np.float32)
    for y in range(height):
        is_new = y == 0
        for x in range(words.shape[2]):
            is_new = is_new or words[0, y, x] != words[0, y - 1, x] or words[1, y, x] != words[1, y - 1, x]
        if not is_new:
            narrow[y] = narrow[y - 1]
            continue
        for x in range(width):
            bright[x] = max(greys[screens[0, y, x]], greys[screens[1, y, x]])
        _average(bright, columns, narrow[y])
    _average_rows(narrow, rows, frame)


@njit
def _average(line, table, averages):
    """Average one line of pixels."""
    source, target, weight = table
    averages[:] = 0
    for k in range(len(source)):
        averages[target[k]] += line[source[k]] * weight[k]


@njit
def _average_rows(narrow, rows, frame):
    """Average lines, float32 [H, 84], into the rows of the frame."""
    source, target, weight = rows
    small = np.zeros(frame.shape, np.float32)
    for k in range(len(source)):
        line, row, factor = small[target[k]], narrow[source[k]], weight[k]
        for x in range(len(line)):
            line[x] += factor * row[x]
    for y in range(frame.shape[0]):
        for x in range(frame.shape[1]):
            frame[y, x] = np.uint8(np.rint(small[y, x]))  # an exact half goes to the even neighbour
