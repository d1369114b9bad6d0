"""The specimens at hand, what each has been called, and how it came to that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]
NOT_NAMED = -1
LOOKED, GROWN, ACCEPTED = 1, 2, 3
"""How a specimen got its name: somebody looked at it; it lay between pages that were looked at; a model was trusted."""


@dataclass(eq=False)
class Pool:
    """Vectors and what their specimens are called.

    vectors: (n, d) float32 unit rows; taxa: (n,) int32 codes of names, -1 for none; how: (n,) int8, 0 for none.
    """

    vectors: Array
    taxa: Array = field(default_factory=lambda: np.empty(0, np.int32))
    how: Array = field(default_factory=lambda: np.empty(0, np.int8))

    def __post_init__(self) -> None:
        n = len(self.vectors)
        if not len(self.taxa):
            self.taxa = np.full(n, NOT_NAMED, np.int32)
        if not len(self.how):
            self.how = np.where(self.taxa >= 0, LOOKED, 0).astype(np.int8)
        if len(self.taxa) != n or len(self.how) != n:
            raise BiocosmosError(f"a pool of {n:,} vectors needs as many taxa, not {len(self.taxa):,}")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def unnamed(self) -> Array:
        """(m,) int64 rows without a name, ascending."""
        return np.flatnonzero(self.taxa < 0)

    @property
    def share(self) -> float:
        """Named, of all; 0 of nothing."""
        return float((self.taxa >= 0).mean()) if len(self) else 0.0

    def name(self, rows: Array, taxon: int, how: int = LOOKED) -> Array:
        """Give ``rows`` a name; those that have one keep it. Returns the rows that got it."""
        rows = np.asarray(rows, np.int64)
        new = rows[self.taxa[rows] < 0]
        self.taxa[new], self.how[new] = taxon, how
        return new
