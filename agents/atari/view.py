"""What is shown of an Atari game: as a picture for videos and PNG files, and as coloured half blocks in a terminal."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from agents.atari.pixels import Colour, Picture, draw_box, draw_text, enlarge, stretch, text_width, warm
from games.atari import FRAMES_PER_SECOND

PIXEL_HEIGHT = 3  # of an Atari pixel in a picture
TELEVISION = 4 / 3  # width of a screen by its height, however many lines it has
PANEL_WIDTH = 272  # pixels, beside the game
FRAME_SCALE = 3  # of the network's frame in the panel
BACKGROUND: Colour = (18, 18, 24)
TEXT: Colour = (225, 225, 225)
DIM: Colour = (130, 130, 140)
BAR: Colour = (70, 100, 160)
CHOSEN: Colour = (250, 170, 60)

PANEL_COLUMNS = 34  # characters, beside the game in a terminal
BAR_COLUMNS = 12
LEAST_COLUMNS = 24  # of a game with a panel beside it


@dataclass(frozen=True)
class Moment:
    """One picture of the emulator and what its player thinks of it."""

    game: str
    player: str
    screen: Picture
    frame: NDArray[np.uint8]  # [84, 84], the newest that the network sees
    action_names: tuple[str, ...]
    action: int
    values: NDArray[np.float32] | None  # [A], Q-values; None where there are none
    score: int
    lives: int
    frames: int  # of this game
    heat: NDArray[np.float32] | None = None  # [84, 84] in [0, 1], what the network looks at
    method: str = ""  # the heat is made by

    @property
    def lines(self) -> list[str]:
        """What is to be read about it."""
        minutes, seconds = divmod(self.frames // FRAMES_PER_SECOND, 60)
        lives = f"   lives {self.lives}" if self.lives else ""
        chance = "   random" if self.is_random else ""
        lines = [f"score {self.score}{lives}", f"frame {self.frames}   {minutes}:{seconds:02}{chance}"]
        return lines if self.values is not None else [*lines, self.action_names[self.action]]

    @property
    def is_random(self) -> bool:
        """Whether another action has a greater Q-value: chance has chosen."""
        return self.values is not None and bool(self.values[self.action] < self.values.max())


def bars(moment: Moment) -> list[tuple[str, float, float]]:
    """Return name, Q-value and length of the bar of every action: the worst's is a stub, the best's is 1."""
    if moment.values is None:
        return []
    values = moment.values.tolist()
    low, high = min(values), max(values)
    lengths = [0.05 + 0.95 * (value - low) / max(high - low, 1e-9) for value in values]
    return list(zip(moment.action_names, values, lengths, strict=True))


# --- pictures -------------------------------------------------------------------------------------------------------


def draw(moment: Moment) -> Picture:
    """Return the game with its player's panel beside it, an even number of pixels high and wide."""
    screen = moment.screen
    if moment.heat is not None:
        screen = warm(screen, stretch(moment.heat, *screen.shape[:2]))
    large = enlarge(screen, PIXEL_HEIGHT, round(TELEVISION * PIXEL_HEIGHT * screen.shape[0] / screen.shape[1]))
    height, width = large.shape[:2]
    picture = np.empty((height + height % 2, width + PANEL_WIDTH, 3), np.uint8)
    picture[:] = BACKGROUND
    picture[:height, :width] = large
    _draw_panel(picture[:, width:], moment)
    return picture


def _draw_panel(panel: Picture, moment: Moment) -> None:
    margin = 10
    draw_text(panel, margin, margin, moment.game.replace("_", " "), TEXT, 4)
    tail = moment.player[-((PANEL_WIDTH - 2 * margin) // 8) :]
    draw_text(panel, 36, margin, tail, DIM)
    for index, line in enumerate(moment.lines):
        draw_text(panel, 54 + 16 * index, margin, line, TEXT)

    for row, (name, value, length) in enumerate(bars(moment)):
        top, is_chosen = 92 + 14 * row, row == moment.action
        number = f"{value:.2f}"
        draw_text(panel, top, margin, name, CHOSEN if is_chosen else DIM)
        draw_box(panel, top, 118, 10, round(86 * length), CHOSEN if is_chosen else BAR)
        draw_text(panel, top, PANEL_WIDTH - margin - text_width(number, 2), number, CHOSEN if is_chosen else DIM)

    frame = np.repeat(moment.frame[..., None], 3, axis=2)
    if moment.heat is not None:
        frame = warm(frame, moment.heat)
    large = enlarge(frame, FRAME_SCALE, FRAME_SCALE)
    top = len(panel) - len(large) - margin
    panel[top : top + len(large), margin : margin + large.shape[1]] = large
    if moment.method:
        draw_text(panel, top - 14, margin, moment.method, TEXT)


# --- the terminal ---------------------------------------------------------------------------------------------------


@functools.lru_cache(1 << 16)
def _style(upper: Colour, lower: Colour) -> Style:
    return Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))


def shrink(picture: Picture, height: int, width: int) -> Picture:
    """Return a picture in a smaller size, each pixel the mean of those it stands for."""
    rows = np.linspace(0, picture.shape[0], height, endpoint=False).astype(int)
    columns = np.linspace(0, picture.shape[1], width, endpoint=False).astype(int)
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.int64), rows, axis=0), columns, axis=1)
    row_counts = np.diff(np.append(rows, picture.shape[0]))
    column_counts = np.diff(np.append(columns, picture.shape[1]))
    mean: Picture = (sums // (row_counts[:, None] * column_counts)[..., None]).astype(np.uint8)
    return mean


class TerminalView:
    """A moment in a terminal: two pixels a character, as large as there is room, and the panel beside it."""

    def __init__(self, moment: Moment, note: str) -> None:
        self.moment = moment
        self.note = note  # the bottom line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = options.max_width
        has_panel = columns >= PANEL_COLUMNS + LEAST_COLUMNS
        height, width = picture_size(
            self.moment.screen, columns - PANEL_COLUMNS if has_panel else columns, options.size.height - 1
        )
        screen = self.moment.screen
        if self.moment.heat is not None:
            screen = warm(screen, stretch(self.moment.heat, *screen.shape[:2]))
        small = shrink(screen, height, width)
        panel = self._panel_lines(options.size.height - 1) if has_panel else []
        for row in range(max(height // 2, len(panel))):
            if row < height // 2:
                yield from _half_blocks(small[2 * row].tolist(), small[2 * row + 1].tolist())
            else:
                yield Segment(" " * width)
            if row < len(panel):
                yield Segment("  ")
                yield from panel[row]
            yield Segment.line()
        note = self.note if has_panel else f"score {self.moment.score}   {self.note}"
        yield Segment(note[: options.max_width], Style(dim=True))

    def _panel_lines(self, most: int) -> list[list[Segment]]:
        """Return what is beside the game, closed up where there is not room for all of it.

        Where rows of actions are left out, the chosen one's is not.
        """
        moment = self.moment
        plain, dim, chosen = Style(), Style(dim=True), Style(color="yellow", bold=True)
        lines = [
            [Segment(moment.game.replace("_", " "), Style(bold=True))],
            [Segment(moment.player[-(PANEL_COLUMNS - 2) :], dim)],
            *([Segment(line, plain)] for line in moment.lines),
            [],
        ]
        for index, (name, value, length) in enumerate(bars(moment)):
            style, bar_style = (chosen, chosen) if index == moment.action else (plain, Style(color="blue"))
            bar = "━" * round(BAR_COLUMNS * length)
            lines.append(
                [
                    Segment(f"{name:<13}", style),
                    Segment(f"{bar:<{BAR_COLUMNS}}", bar_style),
                    Segment(f"{value:7.2f}", style),
                ]
            )
        if moment.method:
            lines += [[], [Segment(moment.method, dim)]]
        lines = [line for line in lines if line or len(lines) <= most]
        chosen_row = [line for line in lines[most:] if line[0].style is chosen]
        return [*lines[: max(0, most - len(chosen_row))], *chosen_row][:most]


def picture_size(screen: Picture, columns: int, lines: int) -> tuple[int, int]:
    """Return height (even) and width, in half blocks, that keep the shape of a 4:3 television in so much room."""
    height = max(min(2 * lines, screen.shape[0]) // 2 * 2, 2)
    width = round(height * TELEVISION)
    if width > min(columns, screen.shape[1]):
        width = max(min(columns, screen.shape[1]), 2)
        height = max(round(width / TELEVISION) // 2 * 2, 2)
    return height, width


def _half_blocks(upper: list[list[int]], lower: list[list[int]]) -> Iterator[Segment]:
    """Yield a line of characters, neighbours of the same colours in one piece."""
    start = 0
    for column in range(1, len(upper) + 1):
        is_end = column == len(upper)
        if is_end or upper[column] != upper[start] or lower[column] != lower[start]:
            style = _style((*upper[start],), (*lower[start],))
            yield Segment("▀" * (column - start), style)
            start = column
