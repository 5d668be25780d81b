"""Command lines that do not parse are refused in one line; a reader that has gone ends a program silently."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents.command_line import in_one_line

ROOT = Path(__file__).parents[1]
WIDE = {"COLUMNS": "1000"}


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("train.py dqn --steps abc", "train.py dqn: --steps abc: a whole number"),
        ("train.py evolve --generations 1.5", "train.py evolve: --generations 1.5: a whole number"),
        ("train.py imitate --minutes ten", "train.py imitate: --minutes ten: a number"),
        ("train.py dqn --target-score x", "train.py dqn: --target-score x: a number"),
        ("train.py dqn --stpes 3", "train.py dqn: Unrecognized options: --stpes, 3"),
        ("train.py dqn --target 3", "train.py dqn: Unrecognized options: --target, 3; perhaps you meant --target-"),
        ("play.py atari --explain x", "play.py: --explain x: gradcam, gradients, integrated, perturbation\n"),
        ("train.py dqn --loss x", "train.py dqn: --loss x: clipped, squared\n"),
        ("play.py chess", "play.py: Unrecognized options: chess; Available subcommands: checkers, connect_four"),
        (
            "play.py connect_four --black random",
            "play.py: no option --black in play.py connect_four; its ",
        ),
        ("play.py go --size", "play.py: Missing value for argument '--size'. Expected 1 values."),
        ("tournament.py", "tournament.py: Missing from tournament.py: GAME checkers, connect_four, go or, with"),
        ("tournament.py atari --episodes x", "tournament.py atari: --episodes x: a whole number"),
        ("benchmarks/bench.py perft go --depth x", "bench.py: --depth x: a whole number"),
    ],
)
def test_what_does_not_parse_is_refused_in_one_line(command: str, line: str) -> None:
    ended = subprocess.run([sys.executable, *command.split()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr.startswith(line) and ended.stderr.count("\n") == 1


def test_help_is_wrapped_in_paragraphs() -> None:
    command = [sys.executable, "train.py", "dqn", "--help"]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True, env=os.environ | WIDE)
    assert "once games that are being scored are over; 0 for never (default: 0.0)" in told.stdout


def test_a_text_that_is_no_box_is_told_as_it_is() -> None:
    assert in_one_line("error: no such option\n") == "error: no such option"


def test_a_reader_that_has_gone_ends_a_program_silently() -> None:
    with subprocess.Popen(
        [sys.executable, "play.py", "go", "--help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None and program.stderr is not None
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait() == 141
