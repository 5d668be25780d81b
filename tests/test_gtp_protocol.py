"""GTP's text and clocks: lines taken apart, responses put together, and how time is shared out."""

from __future__ import annotations

import pytest

from agents.gtp.clock import Clock, TimeLeft, TimeSettings, japanese
from agents.gtp.protocol import Command, input_lines, parse_command, response

# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("genmove b\n", Command("", "genmove", ("b",))),
        ("  12\tplay  b D4 # a comment\r\n", Command("12", "play", ("b", "D4"))),
        ("2147483647 name", Command("2147483647", "name", ())),
        ("2147483648 name", Command("", "2147483648", ("name",))),
        ("pl\x07ay\x00", Command("", "play", ())),
        ("7", Command("7", "", ())),
        ("# nothing", None),
        (" \t\r\n", None),
        ("\x01\x02", None),
    ],
)
def test_parse_command(line: str, expected: Command | None) -> None:
    assert parse_command(line) == expected


def test_responses_hold_no_empty_line() -> None:
    assert response("3") == "=3\n\n"
    assert response("", "one\n\n\n two\r\n") == "= one\n two\n\n"
    assert response("", "\none\n\n two") == "= \none\n two\n\n"
    assert response("4", "no\x00", is_success=False) == "?4 no\n\n"


def test_input_is_cut_into_lines_and_heard_at_once() -> None:
    chunks = [b"na", b"me\nver", b"sion\r\n\xff\xfe", b"\n", b"last", b""]
    heard: list[int] = []
    lines = list(input_lines(iter(chunks).__next__, lambda: heard.append(1)))
    assert lines == ["name", "version\r", "\ufffd\ufffd", "last"]
    assert len(heard) == 5
    long = [b"x" * 3_000_000, b"y\nname\n", b""]
    assert [len(line) for line in input_lines(iter(long).__next__, lambda: None)] == [1 << 20, 4]


# --- the clock ------------------------------------------------------------------------------------------------------


def test_time_without_limits() -> None:
    clock = Clock()
    assert clock.seconds(0, 30) is None
    for settings in (TimeSettings(0, 10, 0), TimeSettings(0, 0, 0), None):
        clock.set(settings)
        assert clock.seconds(0, 30) is None


def test_main_time_is_shared_out() -> None:
    clock = Clock()
    clock.set(TimeSettings(300))
    assert clock.seconds(0, 60) == pytest.approx(4.9)
    clock.spend(0, 100)
    assert clock.seconds(0, 50) == pytest.approx(3.9)
    assert clock.seconds(1, 60) == pytest.approx(4.9)
    clock.tell(0, TimeLeft(1.0, 0))
    assert clock.seconds(0, 50) == pytest.approx(1 / 50 * 3 / 4)
    clock.tell(0, TimeLeft(0.0, 0))
    assert clock.seconds(0, 50) == 0.01


def test_byo_yomi_periods() -> None:
    clock = Clock()
    clock.set(TimeSettings(10, 30, 5))
    assert clock.seconds(0, 60) == pytest.approx(5.9), "a period will come: no need to save"
    clock.spend(0, 15)  # 5 s into the first period
    assert clock.seconds(0, 60) == pytest.approx(25 / 4 - 0.1)
    clock.spend(0, 10)
    assert clock.seconds(0, 60) == pytest.approx(5 - 0.1)
    for _ in range(3):
        clock.spend(0, 1)
    assert clock.seconds(0, 60) == pytest.approx(6 - 0.1), "a new period"
    clock.set(TimeSettings(0, 30, 5))
    assert clock.seconds(1, 60) == pytest.approx(6 - 0.1)
    clock.set(japanese(60, 10, 3))
    assert clock.seconds(1, 60) == pytest.approx(10 - 0.1)
    clock.set(japanese(0, 30, 5))
    clock.tell(0, TimeLeft(30, 5))  # KGS says how many periods are left
    assert clock.seconds(0, 60) == pytest.approx(30 - 0.1)


def test_a_limit_that_was_taken_back_stays_so() -> None:
    clock = Clock()
    clock.set(TimeSettings(0, 1, 0))
    clock.tell(0, TimeLeft(0, 0))
    assert clock.seconds(0, 20) is None


def test_a_controller_may_keep_a_clock_without_settings() -> None:
    clock = Clock()
    clock.tell(1, TimeLeft(60, 0))
    assert clock.seconds(1, 20) == pytest.approx(2.9)
