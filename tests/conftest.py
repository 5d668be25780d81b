"""What every test runs under."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gtp_controller import Controller, Thinker

# Several test processes share the machine: one thread each, unless the caller chose otherwise. Set before torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def thinker() -> Thinker:
    """Return a player that says what it is told to."""
    from tests.gtp_controller import Thinker  # here and not above: most tests need no engine

    return Thinker([40, 41, 42])


@pytest.fixture
def controller(thinker: Thinker) -> Iterator[Controller]:
    """Yield who talks to an engine in which that player thinks."""
    from tests.gtp_controller import Controller

    controller = Controller(thinker)
    yield controller
    assert controller.ends()
