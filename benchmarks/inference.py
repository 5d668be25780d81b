"""Positions a second that a policy-value network evaluates on one core, by each runtime, and the matrix peak."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import BenchError, Document, cpu_seconds, installed_version, rate_fields
from games.compiled import NDArray, njit
from games.go import game
from nets.inference import make_inference
from nets.matrix_kernels import multiply
from nets.models import PolicyValueNet, PolicyValueSpec
from nets.precision import has_matrix_units
from nets.presets import RESNET, preset
from nets.spec import SpecError

LARGEST_SIZE = 25  # lines of the largest board that has a name
PRODUCTS = (512, 1024)  # sizes of torch's products
ROWS, INNER, COLUMNS = 64, 96, 96  # of our kernel's
PRODUCTS_A_CALL = 100
HALF_PRECISION = ("bfloat16", *(["openvino"] if has_matrix_units() else []))  # runtimes that compute in bfloat16

Network = Callable[[NDArray], NDArray]  # planes float32 [B, C, H, W] -> logits float32 [B, A]


@njit
def multiply_often(a, b, c, times):
    """Multiply the same matrices so many times."""
    for _ in range(times):
        multiply(a, 0, INNER, 1, b, 0, COLUMNS, c, 0, COLUMNS, ROWS, INNER, COLUMNS, False)


def measure(network: str, sizes: Sequence[int], batches: Sequence[int], seed: int, repeats: int) -> Document:
    """Return positions a second of each runtime, size of board and batch, measured in turns."""
    torch.set_num_threads(1)
    products = {"float32": matrix_products()}
    if has_matrix_units():
        products["bfloat16"] = torch_products(torch.bfloat16)
    peaks = dict.fromkeys(products, 0.0)
    rows: list[Document] = []
    absent: dict[str, str] = {}
    for size in sizes:
        model = random_network(network, size, seed)
        runtimes, absent = networks(model)
        flops = count_flops(model)
        for batch in batches:
            if batch < 1:
                raise BenchError(f"--batches {batch} is less than 1")
            planes = np.random.default_rng(seed).random((batch, *model.spec.input_shape), np.float32)
            seconds: dict[str, list[float]] = {name: [] for name in runtimes}
            expected = runtimes["torch"](planes)
            differences = {name: float(np.abs(run(planes) - expected).max()) for name, run in runtimes.items()}
            for _ in range(repeats):
                for kind, works in products.items():
                    peaks[kind] = max(peaks[kind], *(amount / cpu_seconds(work, 1)[0] for amount, work in works))
                for name, run in runtimes.items():
                    seconds[name] += cpu_seconds(partial(run, planes), 1, clock=clock_of(name))
            for name, taken in seconds.items():
                difference = differences[name] / max(1e-9, float(expected.std()))
                row = {"runtime": name, "size": size, "batch": batch, **rate_fields("positions", batch, taken)}
                rows.append({**row, "flops": flops * batch / min(taken), "largest_difference": difference})
    for row in rows:
        peak = peaks.get(precision_of(row["runtime"]))
        row["share_of_peak"] = float(f"{row['flops'] / peak:.3g}") if peak else None
    return {
        "network": network,
        "peak_gigaflops": {kind: round(peak / 1e9, 1) for kind, peak in peaks.items()},
        "results": rows,
        "absent": absent,
        "versions": {package: installed_version(package) for package in ("onnxruntime", "openvino")},
        "seed": seed,
        "repeats": repeats,
    }


def random_network(name: str, size: int, seed: int) -> PolicyValueNet:
    """Return a network for a Go board, of random weights."""
    if not 1 <= size <= LARGEST_SIZE:
        raise BenchError(f"a board of {size} lines: allowed are 1 to {LARGEST_SIZE}")
    torch.manual_seed(seed)
    try:
        planes = game(9).planes_shape[0]  # of a resnet, which takes any
        if not RESNET.fullmatch(name):
            published = preset(name)
            if not isinstance(published, PolicyValueSpec):
                raise BenchError(f"network {name} has no policy")
            planes = published.input_shape[0]
        spec = preset(name, (planes, size, size))
    except SpecError as error:
        raise BenchError(str(error)) from None
    assert isinstance(spec, PolicyValueSpec)
    return spec.build().eval()


def networks(model: PolicyValueNet) -> tuple[dict[str, Network], dict[str, str]]:
    """Return a model in every runtime that can run it here, and why others cannot."""
    makers: dict[str, Callable[[], Network]] = {
        "module": lambda: module_network(model),
        "torch": lambda: ours(model, "torch"),
        "onnxruntime": lambda: ours(model, "onnxruntime"),
        "openvino": lambda: ours(model, "openvino"),
        "winograd": lambda: ours(model, "winograd"),
        "bfloat16": lambda: ours(model, "bfloat16"),
        "cuda": lambda: ours(model, "cuda"),
    }
    found, absent = {}, {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ValueError as reason:
            absent[name] = str(reason)
    return found, absent


def ours(model: PolicyValueNet, runtime: Any) -> Network:
    """Return a runtime of nets.inference as a function; black moves."""
    run = make_inference(model, runtime)
    return lambda planes: run(planes, np.zeros(len(planes), np.int64))[0]


def module_network(model: PolicyValueNet) -> Network:
    """Return the module itself as a function."""

    def run(planes: NDArray) -> NDArray:
        with torch.inference_mode():
            logits: NDArray = model(torch.from_numpy(planes)).policy.numpy()
        return logits[:, 0] if logits.ndim == 3 else logits

    return run


def matrix_products() -> list[tuple[float, Callable[[], object]]]:
    """Return (floating-point operations, work) of products of matrices, of which the fastest is the peak."""
    works = torch_products(torch.float32)
    x, y, z = (np.ones(count, np.float32) for count in (ROWS * INNER, INNER * COLUMNS, ROWS * COLUMNS))
    multiply_often(x, y, z, 1)  # compiles
    works.append((2.0 * ROWS * INNER * COLUMNS * PRODUCTS_A_CALL, partial(multiply_often, x, y, z, PRODUCTS_A_CALL)))
    return works


def torch_products(dtype: torch.dtype) -> list[tuple[float, Callable[[], object]]]:
    """Return torch's among them, in a type."""
    works: list[tuple[float, Callable[[], object]]] = []
    for size in PRODUCTS:
        a, b, c = (torch.rand(size, size).to(dtype) for _ in range(3))
        works.append((2.0 * size**3, partial(torch.mm, a, b, out=c)))
    return works


def precision_of(runtime: str) -> str:
    """Return whose peak a runtime's speed is a share of; a GPU's is not measured."""
    return "bfloat16" if runtime in HALF_PRECISION else "" if runtime == "cuda" else "float32"


def count_flops(model: PolicyValueNet) -> int:
    """Return the floating-point operations of a position, its convolutions counted as direct ones."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, *model.spec.input_shape))
    return int(counter.get_total_flops())


def clock_of(runtime: str) -> Callable[[], float]:
    """Return what a runtime's time is taken by: while a GPU works, the CPU may sleep."""
    return time.perf_counter if runtime == "cuda" else time.process_time


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    result = []
    for size in dict.fromkeys(row["size"] for row in document["results"]):
        of_size = [row for row in document["results"] if row["size"] == size]
        peaks = ", ".join(f"{peak:g} GFLOP/s in {kind}" for kind, peak in document["peak_gigaflops"].items())
        title = f"{document['network']}, {size}x{size}, one core, CPU time; peak of matrix products {peaks}"
        columns = ("positions/s, best", "median", "share of the peak", "largest difference")
        absent = "\n".join(f"{name}: {reason}" for name, reason in document["absent"].items())
        table = Table("runtime", "batch", *columns, title=title, caption=absent)
        for row in of_size:
            share = "" if row["share_of_peak"] is None else f"{row['share_of_peak']:.0%}"
            best, median = row["positions_per_second"], row["positions_per_second_median"]
            difference = f"{row['largest_difference']:.0e}"
            table.add_row(row["runtime"], str(row["batch"]), f"{best:,}", f"{median:,}", share, difference)
        result.append(table)
    return result
