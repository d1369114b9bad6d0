"""Barcodes that were found, laid over the one that was asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biocosmos.barcodes.alignment import align_many


@dataclass(frozen=True)
class Overlap:
    """identity: percent of the columns of the overlap that match; length: columns; gaps: columns that are gaps."""

    identity: float
    length: int
    gaps: int

    def facts(self) -> dict[str, Any]:
        """As the table of ``biocosmos search`` calls them."""
        return {"identity": round(self.identity, 4), "alignment_length": self.length, "gaps": self.gaps}

    def line(self) -> str:
        """ "99.4 % of 652 bases, 1 gap"."""
        gaps = f", {self.gaps} gap{'' if self.gaps == 1 else 's'}" if self.gaps else ""
        return f"{self.identity:.1f} % of {self.length} bases{gaps}"


def overlaps(query: str, targets: Sequence[str | None]) -> list[Overlap | None]:
    """The query with each target; None without letters, or where the two share none."""
    found = align_many([query], [target or "" for target in targets], _pairs(len(targets)))
    numbers = zip(found.identity.tolist(), found.length.tolist(), found.gaps.tolist(), strict=True)
    return [Overlap(100 * identity, length, gaps) if length else None for identity, length, gaps in numbers]


def _pairs(count: int) -> Any:
    return np.stack([np.zeros(count, np.int64), np.arange(count)], axis=1)
