"""Barcodes that were found, laid over the one that was asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from biocosmos.barcodes.alignment import align_many


@dataclass(frozen=True)
class Overlap:
    """identity: part of the columns of the overlap that match; length: columns; gaps: columns that are gaps."""

    identity: float
    length: int
    gaps: int

    def facts(self) -> dict[str, Any]:
        """As the table of ``biocosmos search`` calls them."""
        return {"identity": round(self.identity, 6), "alignment_length": self.length, "gaps": self.gaps}
