"""What runs a folded network: torch on the CPU or on a GPU, ONNX Runtime, OpenVINO. `nets.winograd` has one more.

An engine maps planes float32 [B, C, H, W] to logits [B, A] (or [B, 2, A]) and values [B].
"""

from __future__ import annotations

import ctypes
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nets.cuda_graphs import Recorded
from nets.folding import FoldedNet
from nets.precision import has_matrix_units

LARGEST_GRAPH = 256  # positions of a CUDA graph; larger batches go in parts


class Engine(Protocol):
    """What every engine does."""

    def __call__(self, planes: Tensor) -> tuple[Tensor, Tensor]: ...

    def refresh(self, net: FoldedNet) -> None:
        """Take over the weights of another network of the same architecture."""


class TorchEngine:
    """A folded network on the CPU, channels last: its trunk in float32 or bfloat16, the heads in float32."""

    def __init__(self, net: FoldedNet, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self.refresh(net)

    def __call__(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        return run_at(self._net, planes, self._dtype)

    def refresh(self, net: FoldedNet) -> None:
        net.trunk.to(self._dtype)
        self._net = net


def run_at(net: FoldedNet, planes: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Run a network whose trunk is of a type, and its heads float32."""
    return net.heads(net.trunk(planes.to(dtype, memory_format=torch.channels_last)).float())


class CudaEngine:
    """A folded network on a GPU: the trunk in bfloat16, the heads in float32, each shape recorded as a CUDA graph.

    A batch is filled up to a power of two, so that few graphs serve every length.
    """

    def __init__(self, net: FoldedNet) -> None:
        self._net = self._moved(net)
        self._graphs: dict[tuple[int, ...], Recorded[tuple[Tensor, Tensor]]] = {}

    def __call__(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        answers = [self._replay(part) for part in planes.split(LARGEST_GRAPH)]
        return torch.cat([logits for logits, _ in answers]), torch.cat([values for _, values in answers])

    def refresh(self, net: FoldedNet) -> None:
        with torch.no_grad():  # in place: the graphs read these very tensors
            for old, new in zip(self._net.parameters(), self._moved(net).parameters(), strict=True):
                old.copy_(new)

    def _moved(self, net: FoldedNet) -> FoldedNet:
        net.to("cuda")
        net.trunk.to(torch.bfloat16)
        return net

    def _replay(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        count = len(planes)
        if count == 0:
            logits, values = run_at(self._net, planes.cuda(), torch.bfloat16)
            return logits.cpu(), values.cpu()
        shape = (1 << (count - 1).bit_length(), *planes.shape[1:])
        if shape not in self._graphs:
            blank = torch.zeros(shape, device="cuda")
            self._graphs[shape] = Recorded(lambda planes: run_at(self._net, planes, torch.bfloat16), blank)
        logits, values = self._graphs[shape](planes)
        return logits[:count].cpu(), values[:count].cpu()


Session = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
OpenSession = Callable[[bytes, int], Session]  # of an ONNX document and a number of threads


class OnnxEngine:
    """A folded network, written as ONNX, in another runtime.

    Every size of board has a session of its own, made when it is first met: some tenths of a second, and again after
    a refresh.
    """

    def __init__(self, net: FoldedNet, threads: int, open_session: OpenSession) -> None:
        self._net = net
        self._threads = threads
        self._open_session = open_session
        self._sessions: dict[tuple[int, ...], Session] = {}

    def __call__(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        shape = tuple(planes.shape[1:])
        if shape not in self._sessions:
            self._sessions[shape] = self._open_session(onnx_document(self._net, shape), self._threads)
        logits, values = self._sessions[shape](planes.numpy())
        return torch.from_numpy(logits), torch.from_numpy(values)

    def refresh(self, net: FoldedNet) -> None:
        self._net = net
        self._sessions.clear()


def open_onnxruntime(document: bytes, threads: int) -> Session:
    """Return a session of ONNX Runtime, in float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(document, options, providers=["CPUExecutionProvider"])
    return lambda planes: tuple(session.run(None, {"planes": planes}))


def open_openvino(document: bytes, threads: int) -> Session:
    """Return a session of OpenVINO, which computes in bfloat16 where the processor has matrix units for it."""
    import openvino

    core = openvino.Core()
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "bf16" if has_matrix_units() else "f32",
        "ENABLE_CPU_PINNING": False,  # or all processes of a machine compute on the same cores
    }
    with own_signal_stack():
        request = core.compile_model(core.read_model(document), "CPU", options).create_infer_request()

    def run(planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with own_signal_stack():
            answers = request.infer([planes])
        return answers["logits"].copy(), answers["values"].copy()  # the request writes over them next time

    return run


class _SignalStack(ctypes.Structure):
    """stack_t of signal.h."""

    _fields_ = (("base", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def own_signal_stack() -> Iterator[None]:
    """Leave this thread the stack that it takes signals on.

    Where OpenVINO computes in matrix units it gives the thread another one, and frees that with the network: without
    this, the next signal would be a segmentation fault.
    """
    if sys.platform != "linux":
        yield
        return
    own = _SignalStack()
    library = ctypes.CDLL(None)
    library.sigaltstack(None, ctypes.byref(own))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(own), None)


def onnx_document(net: FoldedNet, shape: tuple[int, ...]) -> bytes:
    """Return a network as ONNX: from "planes" [n, *shape] for any n to "logits" and "values"."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sizes of maps become constants, which is meant, and of a newer exporter
        torch.onnx.export(
            net,
            (torch.zeros(2, *shape),),
            Path(folder) / "net.onnx",
            input_names=["planes"],
            output_names=["logits", "values"],
            dynamic_axes={"planes": {0: "n"}, "logits": {0: "n"}, "values": {0: "n"}},
            dynamo=False,
        )
        return (Path(folder) / "net.onnx").read_bytes()
