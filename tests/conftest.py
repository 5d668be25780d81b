"""What every test runs under."""

from __future__ import annotations

import os

# Several test processes share the machine: one thread each, unless the caller chose otherwise. Set before torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
