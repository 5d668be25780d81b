"""The line of live progress: what gives way where the terminal is narrow."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import TextColumn

from agents.steps_bar import games_bar, live_bar

SHOWN = "score 12.3  2150/s  loss 0.021  eps 0.01  Q 1.23"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, f"1.23M/1.5M steps ━{6 * ' '}{SHOWN} -:--:--"),
        (75, f"1.23M/1.5M steps   {SHOWN} -:--:--"),
        (60, f"1.23M/1.5M steps  {SHOWN[:33]}… -:--:--"),
        (30, f"1.23M/1.5M steps  {SHOWN[:3]}… -:--:--"),
    ],
)
def test_a_narrow_terminal_shortens_the_bar_and_then_the_text(columns: int, line: str) -> None:
    output = io.StringIO()
    console = Console(file=output, width=columns, height=10, force_terminal=True, color_system=None)
    bar = live_bar(console, TextColumn("{task.fields[count]}"))
    bar.add_task("", total=100, completed=20, shown=SHOWN, count="1.23M/1.5M steps")
    console.print(bar.get_renderable())
    assert output.getvalue() == f"{line}\n"


@pytest.mark.parametrize(
    ("columns", "shown"),
    [(120, "first, with 8: mcts:model=models/go-9x9"), (80, "first, with 8: mcts:mod…"), (50, "first, …")],
)
def test_a_narrow_terminal_shortens_what_is_told_of_games(columns: int, shown: str) -> None:
    output = io.StringIO()
    bar = games_bar(Console(file=output, width=columns, height=10, force_terminal=True, color_system=None))
    task = bar.add_task("first, with 8: mcts:model=models/go-9x9", total=12)
    bar.update(task, completed=8)
    bar.console.print(bar.get_renderable())
    assert output.getvalue().endswith(f" 8/12 games 0:00:00 left -:--:-- {shown}\n")
