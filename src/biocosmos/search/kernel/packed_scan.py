"""Scans of 8-bit and 4-bit numbers by the compiled kernels, on an x86 processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from biocosmos.search.kernel.basis import Basis, rounding, sample_rows
from biocosmos.search.kernel.compiler import large
from biocosmos.search.kernel.instructions import DIM_STEP, GROUP, QUERY_TILE, TILE, Instructions
from biocosmos.search.kernel.packed import Kernel
from biocosmos.search.kernel.pairs import CODE_STEP
from biocosmos.search.kernel.scan import BUILD_ROWS, CHUNK_ROWS, Bounds, Encoded, query_terms
from biocosmos.search.kernel.single import LEVELS, SINGLE_QUERY_MAX, SINGLE_STEP
from biocosmos.search.row_file import Rows

CLIPS = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 12.0, 20.0)
"""In root mean squares; the one with the least error is taken."""
SAMPLE_ROWS = 2048
CODE_ZERO, CODE_MAX = 128, 255
LEVEL_NUMBERS, LEVEL_ROUNDS = 1 << 16, 40


class PackedScan:
    """A scan of 8-bit numbers, for any number of queries at a time."""

    name = "int8"

    def __init__(self, vectors: Rows, basis: Basis, kernel: Kernel) -> None:
        self.basis, self.kernel, isa = basis, kernel, kernel.isa
        self.kept = -(-basis.kept // DIM_STEP) * DIM_STEP
        self.packed = large(-(-len(vectors) // GROUP), GROUP // TILE, self.kept // 4, TILE, 4, dtype=torch.uint8)
        values = basis.rows(vectors[sample_rows(vectors, SAMPLE_ROWS)]).values
        self.step = best_step(values, isa.row_zero, isa.row_max)

        def code(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            codes = quantise(x, self.step, isa.row_zero, isa.row_max)
            return codes + isa.row_zero, codes * self.step

        terms = _pack_rows(vectors, basis, code, len(self.packed), self._lay_out)
        self.bounds = Bounds(terms)

    def _lay_out(self, codes: torch.Tensor, first: int, last: int) -> None:
        pack(codes, self.packed[first:last])

    def encode(self, queries: torch.Tensor) -> Encoded:
        b, tile = len(queries), QUERY_TILE
        codes, scale, coefficients, constant = _query_codes(self.basis, queries, self.kernel.isa.query_max)
        stored = torch.zeros(b if b == 1 else -(-b // tile) * tile, self.kept, dtype=torch.int8)
        stored[:b, : codes.shape[1]] = codes.to(torch.int8)
        offset = codes.sum(1).to(torch.int32) * self.kernel.isa.row_zero
        return Encoded(stored, scale * self.step, offset, coefficients, constant)

    def groups(self, code: Encoded, first: int, last: int) -> torch.Tensor:
        assert code.offset is not None
        products = torch.empty(last - first, len(code.values), dtype=torch.int32)
        self.kernel.scan(self.packed[first:last], code.values, products)
        return self.bounds.add_to_groups((products[:, : len(code.offset)] - code.offset).float(), code, first, last)

    def rows(self, code: Encoded, group_of: torch.Tensor, query_of: torch.Tensor) -> torch.Tensor:
        assert code.offset is not None
        products = torch.empty(len(group_of), GROUP, dtype=torch.int32)
        self.kernel.rows(self.packed, code.values, group_of, query_of, products)
        return self.bounds.add_to_rows(products.sub_(code.offset[query_of, None]).float(), code, group_of, query_of)


class MatrixScan(PackedScan):
    """The same numbers multiplied by torch's own 8-bit product, which has AMX where the processor has; needs a second copy."""

    name = "int8 matrix"

    def __init__(self, vectors: Rows, basis: Basis, kernel: Kernel) -> None:
        self.matrix = large(-(-len(vectors) // GROUP) * GROUP, -(-basis.kept // DIM_STEP) * DIM_STEP, dtype=torch.int8)
        super().__init__(vectors, basis, kernel)

    def _lay_out(self, codes: torch.Tensor, first: int, last: int) -> None:
        super()._lay_out(codes, first, last)
        part = self.matrix[first * GROUP : last * GROUP].zero_()
        part[: len(codes), : codes.shape[1]] = (codes - self.kernel.isa.row_zero).to(torch.int8)

    def groups(self, code: Encoded, first: int, last: int) -> torch.Tensor:
        assert code.scale is not None
        b = len(code.scale)
        queries, out = code.values[:b].T.contiguous(), torch.empty(last - first, b)
        space = torch.empty(CHUNK_ROWS, b, dtype=torch.int32)
        for i in range(first, last, CHUNK_ROWS // GROUP):
            part = self.matrix[i * GROUP : min(i * GROUP + CHUNK_ROWS, last * GROUP)]
            products = torch._int_mm(part, queries, out=space[: len(part)])
            out[i - first : i - first + len(part) // GROUP] = products.view(-1, GROUP, b).amax(1)
        return self.bounds.add_to_groups(out, code, first, last)


class SingleScan:
    """A scan of 4-bit numbers for one query at a time, which reads half as much and bounds every row."""

    name = "int4"

    def __init__(self, vectors: Rows, basis: Basis, kernel: Kernel) -> None:
        self.basis, self.kernel = basis, kernel
        self.kept = -(-basis.kept // SINGLE_STEP) * SINGLE_STEP
        self.packed = large(-(-len(vectors) // GROUP), GROUP // TILE, self.kept // 8, TILE, 4, dtype=torch.uint8)
        self.levels = Levels.of(basis.rows(vectors[sample_rows(vectors, SAMPLE_ROWS)]).values, kernel.isa)
        terms = _pack_rows(
            vectors, basis, self.levels.code, len(self.packed), lambda codes, *at: pack_halves(codes, self.packed[slice(*at)])
        )
        self.terms = large(3, len(terms), dtype=torch.float32).copy_(terms.T)
        self._spaces: list[torch.Tensor] = []  # for the bounds of all rows: fresh pages would cost a tenth of the search

    @contextmanager
    def space(self) -> Iterator[torch.Tensor]:
        """(rows in whole groups,) float32 to put bounds into, for the time inside."""
        space = self._spaces.pop() if self._spaces else large(self.terms.shape[1], dtype=torch.float32)
        try:
            yield space
        finally:
            self._spaces.append(space)

    def bounds(
        self, query: torch.Tensor, first: int, last: int, space: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For one unit query (1, dim): (rows,) and (groups,) float32 upper bounds of the groups first..last - 1 less the
        constant, and the constant (1,); the first in a :meth:`space`."""
        codes, scale, coefficients, constant = _query_codes(self.basis, query, SINGLE_QUERY_MAX)
        stored = torch.zeros(self.kept, dtype=torch.int8)
        stored[: codes.shape[1]] = codes[0].to(torch.int8)
        out, tops = space[: (last - first) * GROUP], torch.empty(last - first)
        a, b, c = coefficients[:, 0].tolist()
        self.kernel.row_bounds(
            self.packed[first:last],
            self.levels.table,
            stored,
            self.terms[:, first * GROUP : last * GROUP],
            int(codes.sum()) * self.levels.zero,
            (float(scale[0]) * self.levels.step, a, b, c),
            out,
            tops,
        )
        return out, tops, constant


class RowCodes:
    """An 8-bit copy of all dims, row after row: tightens the bound of the rows that a scan leaves, before they are scored.

    Each dim has a step of its own, so no rotation is needed; queries are 16-bit, their error is next to nothing.
    """

    def __init__(self, vectors: Rows, kernel: Kernel) -> None:
        n, dim = vectors.shape
        self.kernel = kernel
        sample = vectors[sample_rows(vectors, SAMPLE_ROWS)]
        self.mean = sample.mean(0)
        spread = (sample - self.mean).square().mean(0).sqrt()
        spread = spread.clamp_min(max(float(spread.mean()) * 1e-3, 1e-12))
        self.steps = spread * best_step((sample - self.mean) / spread, CODE_ZERO, CODE_MAX)
        self.codes = large(n, -(-dim // CODE_STEP) * CODE_STEP, dtype=torch.int8)
        self.codes[:, dim:] = 0
        self.error = torch.empty(n)
        for i in range(0, n, BUILD_ROWS):
            centred = vectors[i : i + BUILD_ROWS] - self.mean
            codes = (centred / self.steps).round_().clamp_(-CODE_ZERO, CODE_MAX - CODE_ZERO)
            self.codes[i : i + len(codes), :dim] = codes.to(torch.int8)
            length = torch.linalg.vector_norm(centred, dim=1)
            error = torch.linalg.vector_norm(centred.sub_(codes.mul_(self.steps)), dim=1)
            self.error[i : i + len(codes)] = error * (1 + 1e-6) + 2 * rounding(dim) * length
        width = self.codes.shape[1]
        self.query_max = min(32767, (2**31 - 1) // (CODE_ZERO * width))  # so that the sums fit 32 bits
        self.longest = CODE_ZERO * width**0.5

    def bounds(self, queries: torch.Tensor, row_of: torch.Tensor, query_of: torch.Tensor) -> torch.Tensor:
        """(pairs,) float32 upper bounds of the scores of rows with unit queries (b, dim)."""
        scaled = queries * self.steps
        scale = scaled.abs().amax(1).clamp_min(1e-30) / self.query_max
        codes = (scaled / scale[:, None]).round_()
        stored = torch.zeros(len(queries), self.codes.shape[1], dtype=torch.int16)
        stored[:, : queries.shape[1]] = codes.to(torch.int16)
        lost = torch.linalg.vector_norm(scaled - codes * scale[:, None], dim=1) * self.longest
        # the float32 of a product up to 2^31 and the two steps of the sum are rounded, and the query's length is one
        slack = lost + 4 * rounding(queries.shape[1])
        constant = (queries.double() @ self.mean.double()).float() + slack
        out = torch.empty(len(row_of))
        self.kernel.codes(self.codes, stored, row_of, query_of, scale, constant, self.error, out)
        return out


@dataclass(frozen=True)
class Levels:
    """Sixteen numbers that stand for all. table: (16,) uint8 ascending; values: what each means,
    (table - zero) * step; edges: (15,) between them."""

    table: torch.Tensor
    values: torch.Tensor
    edges: torch.Tensor
    step: float
    zero: int

    @classmethod
    def of(cls, sample: torch.Tensor, isa: Instructions) -> Levels:
        """Where they lose least of the numbers of ``sample``: k-means in one dimension, from even parts of the sample."""
        x = sample.flatten()[:: max(1, sample.numel() // LEVEL_NUMBERS)].contiguous()
        means = torch.quantile(x, (torch.arange(LEVELS) + 0.5) / LEVELS)
        for _ in range(LEVEL_ROUNDS):
            place = torch.bucketize(x, (means[1:] + means[:-1]) / 2)
            count = torch.bincount(place, minlength=LEVELS)
            sums = torch.zeros(LEVELS).index_add_(0, place, x)
            means = torch.where(count > 0, sums / count.clamp_min(1), means).sort().values
        step = max(float(means.abs().amax()), 1e-30) / (isa.level_max - isa.level_zero)
        table = (means / step).round_() + isa.level_zero
        values = (table - isa.level_zero) * step
        return cls(table.to(torch.uint8), values, (values[1:] + values[:-1]) / 2, step, isa.level_zero)

    def code(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The places in the table nearest to numbers x, and what they stand for."""
        place = torch.bucketize(x, self.edges, out_int32=True)
        return place, self.values[place]


def _pack_rows(
    vectors: Rows,
    basis: Basis,
    code: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    groups: int,
    lay_out: Callable[[torch.Tensor, int, int], None],
) -> torch.Tensor:
    """Hand the codes of all rows to ``lay_out(codes, first group, last group)``; returns the error terms (rows padded to whole
    groups, 3)."""
    n, dim = vectors.shape
    terms = torch.zeros(groups * GROUP, 3)
    for i in range(0, n, BUILD_ROWS):
        found = basis.rows(vectors[i : i + BUILD_ROWS])
        codes, stored = code(found.values)
        at = slice(i, i + len(codes))
        error = torch.linalg.vector_norm(stored.sub_(found.values), dim=1)
        terms[at, 0] = (found.length + error) * (1 + 1e-6)
        terms[at, 1] = error + 2 * rounding(dim) * found.length
        terms[at, 2] = found.rest
        lay_out(codes, i // GROUP, -(-at.stop // GROUP))
    return terms


def _query_codes(basis: Basis, queries: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Whole numbers (b, kept) within -most..most as float32, their scale (b,), coefficients (3, b) and constant (b,)."""
    values = basis.queries(queries).values
    scale = values.abs().amax(1).clamp_min(1e-30) / most
    codes = (values / scale[:, None]).round_().clamp_(-most, most)
    return codes, scale, *query_terms(basis, queries, codes * scale[:, None], 0.0)


def pack(codes: torch.Tensor, out: torch.Tensor) -> None:
    """Lay codes (rows, dim), whole numbers in 0..255, out for the kernels: out (groups, 4, dim / 4, 16, 4) uint8."""
    groups, tiles, quads = out.shape[:3]
    words = _bytes(codes, groups * GROUP, quads * 4).view(torch.int32).view(groups, tiles, TILE, quads)
    out.view(torch.int32).squeeze(-1).copy_(words.transpose(2, 3))


def pack_halves(codes: torch.Tensor, out: torch.Tensor) -> None:
    """The same for codes in 0..15: out (groups, 4, dim / 8, 16, 4) uint8."""
    groups, tiles, lines = out.shape[:3]
    words = _bytes(codes, groups * GROUP, lines * 8).view(torch.int32).view(groups, tiles, TILE, lines, 2)
    out.view(torch.int32).squeeze(-1).copy_((words[..., 0] | (words[..., 1] << 4)).transpose(2, 3))


def _bytes(codes: torch.Tensor, rows: int, dims: int) -> torch.Tensor:
    found = torch.zeros(rows, dims, dtype=torch.uint8)
    found[: len(codes), : codes.shape[1]] = codes.to(torch.uint8)
    return found


def quantise(values: torch.Tensor, step: float, zero: int, most: int) -> torch.Tensor:
    """Whole numbers in -zero..most - zero (as float32) that times ``step`` are nearest to ``values``."""
    return (values / step).round_().clamp_(-zero, most - zero)


def best_step(values: torch.Tensor, zero: int, most: int) -> float:
    """The step of :func:`quantise` with the least error over a sample of rows."""
    spread = float(values.square().mean().sqrt()) or 1.0
    steps = [clip * spread / (most - zero) for clip in CLIPS]
    return min(steps, key=lambda step: rounding_error(values, step, zero, most))


def rounding_error(values: torch.Tensor, step: float, zero: int, most: int) -> float:
    """Mean over groups of the largest length that rounding loses of a row: what the bound of a group pays."""
    error = torch.linalg.vector_norm(values - quantise(values, step, zero, most) * step, dim=1)
    whole = len(error) // GROUP * GROUP
    return float(error[:whole].view(-1, GROUP).amax(1).mean()) if whole else float(error.amax())
