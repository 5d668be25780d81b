"""Fused kernels: where they cannot be compiled, the function computes as it is, and that is told once."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from nets.fused import Fused


def double(x: Tensor) -> Tensor:
    return 2 * x


def test_what_cannot_be_compiled_computes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_nothing(function: Any, **_: Any) -> Any:
        def fail(*_: Any) -> None:
            raise torch._dynamo.exc.InternalTorchDynamoError("there is no C compiler\nand more")

        return fail

    monkeypatch.setattr(torch, "compile", compile_nothing)
    fused = Fused(double)
    with pytest.warns(UserWarning, match="cannot be fused: there is no C compiler$"):
        assert fused(torch.ones(2)).tolist() == [2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fused(torch.ones(2)).tolist() == [2, 2]
