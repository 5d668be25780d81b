"""The switches of the regularisers, for configurations: no torch here, so that a command line's help stays fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

from games.refusal import RefusedError


@dataclass(frozen=True)
class RegulariserConfig:
    """Regularisers; all of them off by default."""

    l1: float = 0.0
    """factor of the sum of the weights' absolute values"""
    l2: float = 0.0
    """factor of the sum of their squares; with l1 this is the elastic net"""
    max_norm: float | None = None
    """greatest norm of the weights into one unit"""
    patience: int | None = None
    """evaluations without a better one after which training stops"""

    def __post_init__(self) -> None:
        for name, least in (("l1", 0.0), ("l2", 0.0), ("max_norm", 1e-6), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise RefusedError(f"{name} must be at least {least:g} and finite, not {value}")
