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
    monkeypatch.setattr(machine, "PROC", tmp_path)
    assert machine.free_memory() is None
    told.write_text("MemTotal:        2048 kB\n")
    assert machine.free_memory() is None
    told.write_text("MemTotal:        2048 kB\nMemAvailable:    1024 kB\n")
    assert machine.free_memory() == 2**20


def test_a_container_has_the_memory_that_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, groups = tmp_path / "proc", tmp_path / "cgroup"
    (process / "self").mkdir(parents=True)
    (groups / "outer" / "inner").mkdir(parents=True)
    monkeypatch.setattr(machine, "PROC", process)
    monkeypatch.setattr(machine, "CONTROL_GROUPS", groups)
    (process / "meminfo").write_text("MemAvailable:    1024 kB\n")
    (process / "self" / "cgroup").write_text("0::/outer/inner\n")
    assert machine.free_memory() == 2**20
    for folder, most, used in (("outer", "5000", 3000), ("outer/inner", "max", 3000)):
        (groups / folder / "memory.max").write_text(f"{most}\n")
        (groups / folder / "memory.current").write_text(f"{used}\n")
    assert machine.free_memory() == 2000
    (groups / "outer" / "memory.stat").write_text("anon 2500\ninactive_file 400\n")
    assert machine.free_memory() == 2400, "what is kept of files can be given back"
