"""8-bit kernels for x86 processors, one set for each way to multiply (:mod:`.instructions`)."""

from __future__ import annotations

import platform
from functools import cache

import torch

from biocosmos import machine
from biocosmos.search.kernel import maxima, nearest, pairs, single
from biocosmos.search.kernel.compiler import Program, compiled, split, thread_count
from biocosmos.search.kernel.instructions import ALL, GROUP, Instructions


def known() -> tuple[str, ...]:
    """Ways to multiply that this processor has, the most capable first; BIOCOSMOS_ISA hides some."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ()
    return tuple(isa.name for isa in ALL if any(need <= machine.flags() for need in isa.needs))


@cache
def load(name: str) -> Kernel | None:
    """The kernels compiled for a way to multiply; None without the llvmlite package or where LLVM cannot."""
    return compiled(lambda: Kernel(next(isa for isa in ALL if isa.name == name)))


class Kernel:
    """Compiled once for each process, in about half a second."""

    def __init__(self, isa: Instructions) -> None:
        self.isa = isa
        text = [
            maxima.many(isa),
            maxima.one(isa),
            nearest.nearest(isa),
            single.row_bounds(isa),
            pairs.group_products(isa),
            pairs.code_products(),
            pairs.dots(),
            isa.declarations,
            pairs.DECLARATIONS,
        ]
        program = Program("\n".join(text), isa.features)
        self._program = program  # what is compiled lives as long as this
        self._scan_many, self._scan_one = program.function("scan_many", 4, 4), program.function("scan_one", 4, 4)
        self._assign, self._row_bounds = program.function("assign", 5, 4), program.function("row_bounds", 8, 4, 4)
        self._rows, self._dots = program.function("rows", 5, 3), program.function("dots", 5, 3)
        self._codes = program.function("codes", 8, 3)

    @property
    def name(self) -> str:
        """Of the instructions it uses."""
        return self.isa.name

    def scan(self, packed: torch.Tensor, queries: torch.Tensor, out: torch.Tensor) -> None:
        """Largest product of each group with each query.

        packed: (groups, 4, dim / 4, 16, 4) uint8; queries: (b, dim) int8, b one or a multiple of four; out: (groups, b) int32,
        overwritten. All contiguous, within the ranges of :attr:`isa`.
        """
        groups, b = out.shape
        run = self._scan_one if b == 1 else self._scan_many
        size = packed[0].numel() if groups else 0
        spaces = torch.empty(thread_count() * b * self.isa.lanes + 16, dtype=torch.int32)
        start_of = spaces.data_ptr() + (-spaces.data_ptr()) % 64

        def part(i: int, start: int, stop: int) -> None:
            space = start_of + 4 * i * b * self.isa.lanes
            run(packed.data_ptr(), queries.data_ptr(), out.data_ptr(), space, start, stop, size // GROUP, b)

        split(part, groups)

    def row_bounds(
        self,
        packed: torch.Tensor,
        table: torch.Tensor,
        query: torch.Tensor,
        terms: torch.Tensor,
        offset: int,
        coefficients: tuple[float, float, float, float],
        out: torch.Tensor,
        tops: torch.Tensor,
    ) -> None:
        """Bounds of all rows for one query: scale (product - offset) + a h + b e + c r, coefficients being (scale, a, b, c).

        packed: (groups, 4, dim / 8, 16, 4) uint8, two places of the table a byte; table: (16,) uint8 within the range of rows;
        query: (dim,) int8, dim a multiple of 16; terms: (3, groups * 64) float32
        h, e, r, or a slice of it; out: (groups * 64,) and tops: (groups,) float32, overwritten.
        """
        levels = table.repeat(4)
        pointers = [t.data_ptr() for t in (packed, levels, query, terms[0], terms[1], terms[2], out, tops)]
        dim = len(query)
        split(lambda _, start, stop: self._row_bounds(*pointers, start, stop, dim, offset, *coefficients), len(tops))

    def rows(
        self, packed: torch.Tensor, queries: torch.Tensor, group_of: torch.Tensor, query_of: torch.Tensor, out: torch.Tensor
    ) -> None:
        """Products of all 64 rows of a group with a query, for pairs of them: out (pairs, 64) int32; pairs are int64."""
        dim = queries.shape[1]
        pointers = [t.data_ptr() for t in (packed, queries, group_of, query_of, out)]
        split(lambda _, start, stop: self._rows(*pointers, start, stop, dim), len(out))

    def codes(
        self,
        codes: torch.Tensor,
        queries: torch.Tensor,
        row_of: torch.Tensor,
        query_of: torch.Tensor,
        scale: torch.Tensor,
        add: torch.Tensor,
        error: torch.Tensor,
        out: torch.Tensor,
    ) -> None:
        """Products of codes (n, dim) int8, one row after another, and queries (b, dim) int16, for pairs of int64 numbers: out
        (pairs,) float32 = product * scale[query] + add[query] + error[row]; dim a multiple of 32; the caller sees to it that
        the sums fit 32 bits."""
        dim = queries.shape[1]
        pointers = [t.data_ptr() for t in (codes, queries, row_of, query_of, out, scale, add, error)]
        split(lambda _, start, stop: self._codes(*pointers, start, stop, dim), len(out))

    def assign(
        self, packed: torch.Tensor, queries: torch.Tensor, bias: torch.Tensor, best: torch.Tensor, at: torch.Tensor
    ) -> None:
        """For each row the query of the largest product plus bias, the first of equals: k-means' question.

        queries: (b, dim) int8, b a multiple of four; bias: (b,) int32; out: best and at (groups * 64,) int32.
        """
        b, dim = queries.shape
        pointers = [t.data_ptr() for t in (packed, queries, bias, best, at)]
        split(lambda _, start, stop: self._assign(*pointers, start, stop, dim, b), len(packed))

    def dots(
        self, vectors: torch.Tensor, queries: torch.Tensor, row_of: torch.Tensor, query_of: torch.Tensor, out: torch.Tensor
    ) -> None:
        """Dot products of float32 rows and queries in float64, for pairs of int64 numbers: out (pairs,) float64.

        The order of summation is the same for every pair, so identical rows get identical products.
        """
        dim = queries.shape[1]
        pointers = [t.data_ptr() for t in (vectors, queries, row_of, query_of, out)]
        split(lambda _, start, stop: self._dots(*pointers, start, stop, dim), len(out))
