"""Products of small matrices inside compiled kernels, near the processor's peak.

BLAS libraries are slow where one product has few rows: this one is a block of sums that stays in the registers, written
in LLVM's vectors, which numba's loops cannot express. Measured on Zen 4 for 64x96 by 96x96: 1.3 times torch.bmm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

# Numbers of a vector register, and how many of them, of 16 or 32, hold sums: BLOCK_ROWS * BLOCK_VECTORS.
LANES, BLOCK_ROWS = (16, 8) if binding.get_host_cpu_features().get("avx512f") else (8, 4)
BLOCK_VECTORS = 3

FLOAT, VECTOR, INDEX = ir.FloatType(), ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)


def _block(vectors: int, partial: bool) -> Any:
    """Return the intrinsic of a block of BLOCK_ROWS rows and so many vectors, or of part of one vector: see `_product`.

    Rows past the last repeat it, so that a block of fewer rows needs no other code.
    """

    @intrinsic
    def block(typing_context: Any, a: Any, at_a: Any, row_a: Any, inner_a: Any, b: Any, at_b: Any, row_b: Any,
              c: Any, at_c: Any, row_c: Any, rows: Any, inner: Any, columns: Any, adding: Any) -> Any:  # fmt: skip
        index = types.int64
        signature = types.void(
            a, index, index, index, b, index, index, c, index, index, index, index, index, types.boolean
        )

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            arrays = (context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 4, 7))
            _, at_a, row_a, inner_a, _, at_b, row_b, _, at_c, row_c, rows, inner, columns, adding = arguments
            a, b, c = (builder.gep(data, [at]) for data, at in zip(arrays, (at_a, at_b, at_c), strict=True))
            write = VectorWriter(builder, columns if partial else None)
            last = builder.sub(rows, INDEX(1))
            lines = [
                builder.select(builder.icmp_signed("<", INDEX(r), rows), INDEX(r), last) for r in range(BLOCK_ROWS)
            ]
            offsets = [builder.mul(row_a, line) for line in lines]
            written = [builder.gep(c, [builder.mul(row_c, line)]) for line in lines]
            before = builder.block
            there, loop, done = (builder.append_basic_block(name) for name in ("there", "inner", "done"))
            builder.cbranch(adding, there, loop)

            builder.position_at_end(there)
            found = [[write.load(line, j) for j in range(vectors)] for line in written]
            builder.branch(loop)

            builder.position_at_end(loop)
            k, a_now, b_now = (builder.phi(kind) for kind in (INDEX, a.type, b.type))
            sums = [[builder.phi(VECTOR) for _ in range(vectors)] for _ in range(BLOCK_ROWS)]
            from_b = [write.load(b_now, j) for j in range(vectors)]
            added = [
                [write.multiply_add(factor, from_b[j], sums[r][j]) for j in range(vectors)]
                for r, factor in ((r, write.broadcast(a_now, offsets[r])) for r in range(BLOCK_ROWS))
            ]
            k_next = builder.add(k, INDEX(1))
            steps = [
                (k, INDEX(0), INDEX(0), k_next),
                (a_now, a, a, builder.gep(a_now, [inner_a])),
                (b_now, b, b, builder.gep(b_now, [row_b])),
            ]
            pairs = [(r, j) for r in range(BLOCK_ROWS) for j in range(vectors)]
            steps += [(sums[r][j], VECTOR(None), found[r][j], added[r][j]) for r, j in pairs]
            for phi, *values in steps:
                for value, origin in zip(values, (before, there, loop), strict=True):
                    phi.add_incoming(value, origin)
            builder.cbranch(builder.icmp_signed("<", k_next, inner), loop, done)

            builder.position_at_end(done)
            for r, j in pairs:
                write.store(written[r], j, added[r][j])
            return context.get_dummy_value()

        return signature, codegen

    return block


class VectorWriter:
    """Writes the few LLVM instructions that kernels of vectors consist of; with `columns`, of the first lanes only."""

    def __init__(self, builder: Any, columns: Any = None) -> None:
        self.builder = builder
        self.mask = None
        if columns is not None:
            counted = ir.Constant(ir.VectorType(INDEX, LANES), list(range(LANES)))
            self.mask = builder.icmp_signed("<", counted, self._splat(columns, INDEX))

    def _splat(self, number: Any, kind: Any) -> Any:
        vector = ir.VectorType(kind, LANES)
        undefined = ir.Constant(vector, ir.Undefined)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        one = self.builder.insert_element(undefined, number, ir.IntType(32)(0))
        return self.builder.shuffle_vector(one, undefined, zeros)

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def _address(self, start: Any, vector: int) -> Any:
        return self.builder.bitcast(self.builder.gep(start, [INDEX(vector * LANES)]), VECTOR.as_pointer())

    def broadcast(self, start: Any, offset: Any) -> Any:
        """Return a vector of the number at an address and an offset."""
        return self._splat(self.builder.load(self.builder.gep(start, [offset])), FLOAT)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """Return x y + z, rounded once."""
        return self._call(f"llvm.fma.v{LANES}f32", VECTOR, x, y, z)

    def load(self, start: Any, vector: int) -> Any:
        """Return the vector at an address, or one of those after it."""
        address = self._address(start, vector)
        if self.mask is not None:
            name = f"llvm.masked.load.v{LANES}f32.p0"
            return self._call(name, VECTOR, address, ir.IntType(32)(4), self.mask, VECTOR(None))
        return self.builder.load(address, align=4)

    def store(self, start: Any, vector: int, value: Any) -> None:
        """Write a vector to an address, or one of those after it."""
        address = self._address(start, vector)
        if self.mask is not None:
            name = f"llvm.masked.store.v{LANES}f32.p0"
            self._call(name, ir.VoidType(), value, address, ir.IntType(32)(4), self.mask)
        else:
            self.builder.store(value, address, align=4)


_block_1, _block_2, _block_3 = _block(1, False), _block(2, False), _block(3, False)
_block_part = _block(1, True)


def multiply(a, at_a, row_a, inner_a, b, at_b, row_b, c, at_c, row_c, rows, inner, columns, adding):
    """Write C = A B to flat float32 arrays, or add it: C [rows, columns], A [rows, inner] and B [inner, columns].

    Each matrix is given by its array, where it starts, and how far a row is from the next; the columns of A may lie
    `inner_a` apart, those of B and C lie side by side. Precondition: rows, inner and columns are 1 or more.
    """
    at_a = at_a + np.arange(rows)[:, None] * row_a + np.arange(inner) * inner_a
    at_b = at_b + np.arange(inner)[:, None] * row_b + np.arange(columns)
    at_c = at_c + np.arange(rows)[:, None] * row_c + np.arange(columns)
    c[at_c] = a[at_a] @ b[at_b] + (c[at_c] if adding else 0)


def _multiply(a, at_a, row_a, inner_a, b, at_b, row_b, c, at_c, row_c, rows, inner, columns, adding):
    column = 0
    while column < columns:
        left = (columns - column) // LANES  # whole vectors
        vectors = min(left, 2 if left == 4 else 3)
        b_now, c_now = at_b + column, at_c + column
        for row in range(0, rows, BLOCK_ROWS):
            a_row, c_row, some = at_a + row * row_a, c_now + row * row_c, rows - row
            if vectors == 3:
                _block_3(a, a_row, row_a, inner_a, b, b_now, row_b, c, c_row, row_c, some, inner, columns, adding)
            elif vectors == 2:
                _block_2(a, a_row, row_a, inner_a, b, b_now, row_b, c, c_row, row_c, some, inner, columns, adding)
            elif vectors == 1:
                _block_1(a, a_row, row_a, inner_a, b, b_now, row_b, c, c_row, row_c, some, inner, columns, adding)
            else:
                _block_part(
                    a, a_row, row_a, inner_a, b, b_now, row_b, c, c_row, row_c, some, inner, columns - column, adding
                )
        column += max(1, vectors) * LANES


overload(multiply)(
    lambda a, at_a, row_a, inner_a, b, at_b, row_b, c, at_c, row_c, rows, inner, columns, adding: _multiply
)
