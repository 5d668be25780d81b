"""A line of live progress: steps or games done, what they brought, the time left."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

PRINT_PERIOD = 30.0  # seconds between lines where the output is no terminal


class _Line(Progress):
    """Counts, a bar, a text and the time left: where the terminal is narrow the bar gives way first, then the text."""

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        table = super().make_tasks_table(tasks)
        *counts, _, text, time_left = table.columns
        if table.row_count:  # there is none before the console is known
            options = self.console.options
            cells = [cell for column in (*counts, time_left) for cell in column.cells]
            taken = sum(Measurement.get(self.console, options, cell).maximum for cell in cells)
            text.max_width = max(1, options.max_width - taken - len(table.columns) + 1)  # a space between two columns
        return table


def live_bar(console: Console, *counts: ProgressColumn) -> Progress:
    """Return counts, a bar, the task's text "shown" and the time left; nothing where the output is no terminal."""
    time_left = TimeRemainingColumn(table_column=_whole())
    columns = (*counts, BarColumn(None), TextColumn("{task.fields[shown]}"), time_left)
    return _Line(*columns, console=console, disable=not console.is_terminal)


class _CutText(TextColumn):
    """A text of which a narrow terminal shows the beginning."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


def games_bar(console: Console, *, transient: bool = False) -> Progress:
    """Return a bar, games done, the time taken and left, and the task's description; `transient`: gone at the end."""
    counts = (BarColumn(), MofNCompleteColumn(table_column=_whole()), TextColumn("games"))
    times = (TimeElapsedColumn(_whole()), TextColumn("left"), TimeRemainingColumn(table_column=_whole()))
    description = _CutText("{task.description}", markup=False, table_column=Column())  # the first to give way
    return Progress(*counts, *times, description, console=console, transient=transient)


def _whole() -> Column:
    return Column(no_wrap=True)


class StepsBar:
    """A bar in a terminal, and a line now and then elsewhere."""

    def __init__(self, console: Console, unit: str, total: int, done: int = 0) -> None:
        self._console, self._unit, self._total = console, unit, total
        self._printed = time.monotonic()
        self._bar = live_bar(console, TextColumn(unit), MofNCompleteColumn())
        self._task = self._bar.add_task("", total=total, completed=done, shown="")

    def __enter__(self) -> StepsBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def tell(self, shown: str) -> None:
        """Say what goes on in the step under way; nothing where the output is no terminal."""
        self._bar.update(self._task, shown=shown)

    def show(self, done: int, shown: str) -> None:
        """Say that this many steps are done, and what they brought."""
        self._bar.update(self._task, completed=done, shown=shown)
        now = time.monotonic()
        if not self._console.is_terminal and (done == self._total or now - self._printed >= PRINT_PERIOD):
            self._printed = now
            self._console.print(f"{self._unit} {done}/{self._total}  {shown}", highlight=False, markup=False)
