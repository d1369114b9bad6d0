"""The scan: one pass over a compact copy of the gallery that gives every group of 64 rows an upper bound for every query.

Whatever the copy holds (float32, bfloat16 or 8-bit numbers, all dims or the first principal ones), the bound of row x is

    q.x  <=  constant(q) + product(q, x) + a(q) h(x) + b(q) e(x) + c(q) r(x)

by Cauchy-Schwarz: h is the length of the stored row and a the error of the stored query (with the rounding of the sum), e the
error of the stored row and b the length of the query, r and c the lengths of what the basis leaves out of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from biocosmos.search.kernel.basis import FLOAT32_UNIT, Basis, rounding
from biocosmos.search.kernel.instructions import GROUP
from biocosmos.search.row_file import Rows

CHUNK_ROWS = 8192
PAIRS_AT_ONCE = 4096
BUILD_ROWS = 4096
BFLOAT16_UNIT = 2.0**-7  # of a sum rounded to bfloat16, perhaps in two parts, as GPUs do


@dataclass(frozen=True)
class Encoded:
    """Queries as the scan wants them. values: (b, kept) in its number type; scale: (b,) from products to scores, or None for
    1; offset: (b,) subtracted from integer products; coefficients: (3, b) of h, e, r; constant: (b,) left out of all bounds."""

    values: torch.Tensor
    scale: torch.Tensor | None
    offset: torch.Tensor | None
    coefficients: torch.Tensor
    constant: torch.Tensor


class Scan(Protocol):
    """What the search needs of a scan; bounds leave out ``Encoded.constant``."""

    name: str
    basis: Basis

    def encode(self, queries: torch.Tensor) -> Encoded:
        """Unit queries (b, dim) float32 on the scan's device."""

    def groups(self, code: Encoded, first: int, last: int) -> torch.Tensor:
        """(last - first, b) float32 upper bounds of the groups first..last - 1."""

    def rows(self, code: Encoded, group_of: torch.Tensor, query_of: torch.Tensor) -> torch.Tensor:
        """(pairs, 64) float32 upper bounds of a group's rows for a query; rows past the end get any value."""


class Bounds:
    """The error terms of all rows, shared by the scans. terms: (n padded to whole groups, 3) = h, e, r of each row."""

    def __init__(self, terms: torch.Tensor) -> None:
        self.terms = terms.view(-1, GROUP, 3)
        self.group_terms = self.terms.amax(1)

    def add_to_groups(self, products: torch.Tensor, code: Encoded, first: int, last: int) -> torch.Tensor:
        if code.scale is not None:
            products.mul_(code.scale)
        return products.addmm_(self.group_terms[first:last], code.coefficients)

    def add_to_rows(self, products: torch.Tensor, code: Encoded, group_of: torch.Tensor, query_of: torch.Tensor) -> torch.Tensor:
        if code.scale is not None:
            products.mul_(code.scale[query_of, None])
        return products.add_(torch.bmm(self.terms[group_of], code.coefficients.T[query_of][:, :, None])[:, :, 0])


def query_terms(
    basis: Basis, queries: torch.Tensor, stored: torch.Tensor, product_unit: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(coefficients (3, b) of h, e, r; constant (b,)) of queries whose stored form, as float32, is ``stored`` (b, kept)."""
    found = basis.queries(queries)
    length = torch.linalg.vector_norm(stored, dim=1)
    error = torch.linalg.vector_norm(found.values - stored, dim=1)
    a = error + 2 * rounding(queries.shape[1]) + (product_unit + stored.shape[1] * FLOAT32_UNIT) * length
    coefficients = torch.stack([a, torch.linalg.vector_norm(found.values, dim=1) * (1 + 1e-6), found.rest])
    wide = queries.dtype if queries.device.type == "mps" else torch.float64
    return coefficients, queries.to(wide) @ basis.mean.to(wide)


class DenseScan:
    """A scan by torch matrix products, in float32 or bfloat16, on any device."""

    def __init__(self, vectors: Rows, basis: Basis | None, dtype: torch.dtype) -> None:
        n, dim = vectors.shape
        self.name = str(dtype).removeprefix("torch.")
        self.dtype = dtype
        self.plain = basis is None and dtype == torch.float32
        self.basis = basis or Basis(torch.zeros(dim, device=vectors.device), None)
        padded = -(-n // GROUP) * GROUP
        terms = torch.zeros(padded, 3, device=vectors.device)
        if self.plain:
            self.matrix: Rows = vectors
            terms[:, 0], terms[:, 1] = 1 + 1e-6, 2 * rounding(dim)
        else:
            self.matrix = matrix = torch.empty(n, self.basis.kept, dtype=dtype, device=vectors.device)
            for i in range(0, n, BUILD_ROWS):
                found = self.basis.rows(vectors[i : i + BUILD_ROWS])
                part = matrix[i : i + BUILD_ROWS] = found.values.to(dtype)
                stored = part.float()
                terms[i : i + len(part), 0] = torch.linalg.vector_norm(stored, dim=1) * (1 + 1e-6)
                error = torch.linalg.vector_norm(found.values - stored, dim=1)
                terms[i : i + len(part), 1] = error + 2 * rounding(dim) * found.length
                terms[i : i + len(part), 2] = found.rest
        self.bounds = Bounds(terms)
        self.product_unit = BFLOAT16_UNIT if dtype == torch.bfloat16 else 0.0

    def encode(self, queries: torch.Tensor) -> Encoded:
        values = self.basis.queries(queries).values.to(self.dtype)
        return Encoded(values, None, None, *query_terms(self.basis, queries, values.float(), self.product_unit))

    def groups(self, code: Encoded, first: int, last: int) -> torch.Tensor:
        n, b = len(self.matrix), len(code.values)
        out = torch.empty(last - first, b, dtype=torch.float32, device=self.matrix.device)
        space = torch.empty(CHUNK_ROWS, b, dtype=self.dtype, device=self.matrix.device)
        stop = min(last * GROUP, n)
        for i in range(first * GROUP, stop, CHUNK_ROWS):
            part = self.matrix[i : min(i + CHUNK_ROWS, stop)]
            products = torch.mm(part, code.values.T, out=space[: len(part)])
            whole, at = len(part) // GROUP, i // GROUP - first
            out[at : at + whole] = products[: whole * GROUP].view(whole, GROUP, b).amax(1)
            if whole * GROUP < len(part):
                out[at + whole] = products[whole * GROUP :].amax(0)
        return self.bounds.add_to_groups(out, code, first, last)

    def rows(self, code: Encoded, group_of: torch.Tensor, query_of: torch.Tensor) -> torch.Tensor:
        out = torch.empty(len(group_of), GROUP, device=self.matrix.device)
        inside = torch.arange(GROUP, device=self.matrix.device)
        for i in range(0, len(group_of), PAIRS_AT_ONCE):
            groups, queries = group_of[i : i + PAIRS_AT_ONCE], query_of[i : i + PAIRS_AT_ONCE]
            rows = (groups[:, None] * GROUP + inside).clamp_max(len(self.matrix) - 1)
            out[i : i + PAIRS_AT_ONCE] = torch.bmm(self.matrix[rows], code.values[queries][:, :, None])[:, :, 0]
        return self.bounds.add_to_rows(out, code, group_of, query_of)
