"""The inner product of small evolved networks: a sum of weighted rows, held in vector registers.

numba keeps array elements in memory between loop rounds; written as vector code, the sums stay in registers and the
evaluation of an Anaconda network takes less than half the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.cgutils import alloca_once, for_range
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array

from games.compiled import NDArray

LANES = 16  # floats a vector; LLVM splits it where the processor's are narrower
UNROLL = 2  # rows a round, each with sums of its own, to hide the latency of multiply-add


def sum_rows(out: NDArray, bias: NDArray, weights: NDArray, rows: NDArray, scales: NDArray, count: int) -> None:
    """Write out = bias + sum over k < count of scales[k] * weights[rows[k]].

    out and bias are float32[M], weights float32[N, M] with M a multiple of 16, rows int64 and scales float32 of at
    least count entries; count is even. Every array is contiguous.
    """
    out[:] = bias + scales[:count] @ weights[rows[:count]]


@intrinsic
def _sum_rows(typing_context: Any, out: Any, bias: Any, weights: Any, rows: Any, scales: Any, count: Any) -> Any:
    signature = types.void(out, bias, weights, rows, scales, types.int64)
    width = weights.shape[1]  # nested arrays of a record carry their shape in the type
    vectors = width // LANES

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = [
            make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[:5], arguments[:5], strict=True)
        ]
        out_data, bias_data, weight_data, row_data, scale_data = pointers
        vector = ir.VectorType(ir.FloatType(), LANES)
        int64, int32 = ir.IntType(64), ir.IntType(32)

        def vector_at(data: Any, offset: Any) -> Any:
            return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())

        def constant(number: int) -> Any:
            return ir.Constant(int64, number)

        sums = [
            [alloca_once(builder, vector) for _ in range(vectors)] for _ in range(UNROLL)
        ]  # LLVM makes them registers
        for v in range(vectors):
            builder.store(builder.load(vector_at(bias_data, constant(v * LANES)), align=4, typ=vector), sums[0][v])
            for u in range(1, UNROLL):
                builder.store(ir.Constant(vector, [0.0] * LANES), sums[u][v])
        rounds = builder.sdiv(arguments[5], constant(UNROLL))
        with for_range(builder, rounds) as loop:
            for u in range(UNROLL):
                k = builder.add(builder.mul(loop.index, constant(UNROLL)), constant(u))
                row = builder.load(builder.gep(row_data, [k]), typ=int64)
                scale = builder.load(builder.gep(scale_data, [k]), typ=ir.FloatType())
                lane = builder.insert_element(ir.Constant(vector, ir.Undefined), scale, int32(0))
                spread = builder.shuffle_vector(lane, lane, ir.Constant(ir.VectorType(int32, LANES), [0] * LANES))
                start = builder.mul(row, constant(width))
                for v in range(vectors):
                    weight = builder.load(
                        vector_at(weight_data, builder.add(start, constant(v * LANES))), align=4, typ=vector
                    )
                    product = builder.fmul(spread, weight, flags=("contract",))  # with the addition: one multiply-add
                    total = builder.fadd(builder.load(sums[u][v], typ=vector), product, flags=("contract",))
                    builder.store(total, sums[u][v])
        for v in range(vectors):
            total = builder.load(sums[0][v], typ=vector)
            for u in range(1, UNROLL):
                total = builder.fadd(total, builder.load(sums[u][v], typ=vector))
            builder.store(total, vector_at(out_data, constant(v * LANES)), align=4)
        return context.get_dummy_value()

    return signature, codegen


overload(sum_rows)(
    lambda out, bias, weights, rows, scales, count: (
        lambda out, bias, weights, rows, scales, count: _sum_rows(  # type: ignore[call-arg]
            out, bias, weights, rows, scales, np.int64(count)
        )
    )
)
