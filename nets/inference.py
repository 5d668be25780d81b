"""The fastest way to run a policy-value network for play, behind one call from planes to logits and values.

B batch, A actions, C channels, H height, W width. Planes come as numpy arrays and answers leave as new ones, so that
searches need no torch. Values are the mover's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from games.refusal import RefusedError
from nets.engines import (
    CudaEngine,
    Engine,
    OnnxEngine,
    OpenSession,
    TorchEngine,
    open_onnxruntime,
    open_openvino,
)
from nets.folding import FoldedNet, fold
from nets.models import PolicyValueNet
from nets.precision import has_matrix_units

Runtime = Literal["auto", "winograd", "torch", "bfloat16", "cuda", "onnxruntime", "openvino"]
Floats = NDArray[np.float32]
ONNX_RUNTIMES: dict[str, OpenSession] = {"onnxruntime": open_onnxruntime, "openvino": open_openvino}


class InferenceModel:
    """A network ready to run; see `make_inference`. Not for two threads at a time: make one a thread."""

    def __init__(self, model: PolicyValueNet, engine: Engine, threads: int) -> None:
        self.spec = model.spec
        self.threads = threads
        self.any_size = model.any_size
        self.needs_to_play = getattr(model.policy, "num_outputs", 1) == 2  # a policy for each colour
        self._engine = engine

    def __call__(self, planes: Floats, to_play: NDArray[Any] | None = None) -> tuple[Floats, Floats]:
        """Map planes float32 [B, C, H, W] to logits float32 [B, A] and values float32 [B].

        `to_play` [B], 0 for black, is for networks with a policy for each colour (`needs_to_play`); others ignore it.
        A network without a value head says 0, one without a policy has no actions. Raises ValueError for planes that
        the network cannot take.
        """
        self._check(planes, to_play)
        with torch_threads(self.threads), torch.inference_mode():
            logits, values = self._engine(torch.from_numpy(np.ascontiguousarray(planes, np.float32)))
        return _answers(logits, values, to_play)

    def refresh(self, model: PolicyValueNet) -> None:
        """Take over the weights of a model of the same architecture, as after a training step: some milliseconds."""
        if model.spec != self.spec:
            raise ValueError("this inference was made for a network of another architecture")
        self._engine.refresh(_folded(model))

    def _check(self, planes: Floats, to_play: NDArray[Any] | None) -> None:
        expected = tuple(self.spec.input_shape)
        given = tuple(planes.shape[1:])
        if planes.ndim != 4 or (given != expected if not self.any_size else given[0] != expected[0] or 0 in given):
            wanted = f"[n, {expected[0]}, any height, any width]" if self.any_size else f"[n, {str(expected)[1:-1]}]"
            raise ValueError(f"this network takes planes of shape {wanted}, not {list(planes.shape)}")
        if self.needs_to_play and (to_play is None or len(to_play) != len(planes)):
            raise ValueError("this network has a policy for each colour: to_play must say who moves, 0 or 1 a position")


def make_inference(model: PolicyValueNet, runtime: Runtime = "auto", threads: int = 1) -> InferenceModel:
    """Return a model ready to run, with weights of its own.

    runtime "torch" is the reference, and "winograd" the fastest on most CPUs, for trunks with 3x3 convolutions. On CPUs
    with matrix units "openvino" (extra [fast]) is faster still, in bfloat16, and after it "bfloat16", which needs torch
    alone. "cuda" runs in bfloat16 on a GPU. Single positions gain with "openvino" or "onnxruntime" (extra [fast]) on
    every CPU; both take some tenths of a second to refresh. "auto" is "cuda" where there is a GPU; "openvino", else
    "bfloat16", where the CPU has matrix units; else "winograd" where the trunk allows it, else "torch". `threads` is
    how many threads of the CPU a call uses. Raises ValueError for a runtime that does not exist or cannot run here.
    """
    net = _folded(model)
    return InferenceModel(model, _engine(net, runtime, threads), threads)


def _folded(model: PolicyValueNet) -> FoldedNet:
    return fold(model).cpu()


def _engine(net: FoldedNet, runtime: Runtime, threads: int) -> Engine:
    if runtime not in get_args(Runtime):
        raise RefusedError(f"no inference runtime {runtime!r}, only {', '.join(get_args(Runtime))}")
    if runtime == "cuda" or (runtime == "auto" and torch.cuda.is_available()):
        if not torch.cuda.is_available():
            raise RefusedError("runtime cuda needs a GPU that torch can use: there is none")
        return CudaEngine(net)
    if runtime == "auto" and has_matrix_units():
        runtime = "openvino" if _is_installed("openvino") else "bfloat16"
    if runtime in ONNX_RUNTIMES:
        if not _is_installed(runtime):
            raise RefusedError(f"runtime {runtime} needs the packages onnx and {runtime}: pip install -e '.[fast]'")
        return OnnxEngine(net, threads, ONNX_RUNTIMES[runtime])
    if runtime == "bfloat16":
        return TorchEngine(net, torch.bfloat16)
    if runtime != "torch":
        from nets.winograd import WinogradEngine, takes_winograd  # numba only where it runs

        if takes_winograd(net):
            return WinogradEngine(net, threads)
        if runtime == "winograd":
            raise RefusedError("runtime winograd is for trunks with 3x3 convolutions of stride 1: this one has none")
    return TorchEngine(net)


def _is_installed(onnx_runtime: str) -> bool:
    return all(find_spec(package) for package in ("onnx", onnx_runtime))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use this many threads for operations started by this thread."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _answers(logits: Tensor, values: Tensor, to_play: NDArray[Any] | None) -> tuple[Floats, Floats]:
    """Return the outputs as arrays, of two policies the mover's."""
    all_logits: Floats = logits.numpy()
    if logits.dim() == 3 and to_play is not None:
        all_logits = all_logits[np.arange(len(all_logits)), np.asarray(to_play)]
    return all_logits, values.numpy()
