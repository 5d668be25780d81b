"""What the machine lets a program use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from games import machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say")


def test_processors_that_the_process_may_not_use_do_not_count() -> None:
    allowed = os.sched_getaffinity(0)
    assert machine.available_processors() == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert machine.available_processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_free_memory_is_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = machine.free_memory()
    assert free is not None
    assert 2**20 < free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = tmp_path / "meminfo"
    monkeypatch.setattr(machine, "Path", lambda _: told)
    assert machine.free_memory() is None
    told.write_text("MemTotal:        2048 kB\n")
    assert machine.free_memory() is None
    told.write_text("MemTotal:        2048 kB\nMemAvailable:    1024 kB\n")
    assert machine.free_memory() == 2**20
