"""Barcodes that were found, laid over the one that was asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.alignment import Alignments, Letters
from biocosmos.search.reranking import CANDIDATES, alignment_scores
from biocosmos.search.sparse.laying import lay
from biocosmos.specimens.resident import Resident
from biocosmos.specimens.resident_barcodes import ResidentBarcodes


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


def aligned(
    gallery: Resident,
    query: Any,
    letters: str,
    k: int,
    *,
    mask: npt.NDArray[np.bool_],
    own: int,
    barcodes_of: Callable[[npt.NDArray[np.int64]], Sequence[str | None]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], list[Overlap | None]]:
    """The ``k`` nearest rows of a barcode in the order of their alignments, their cosines and what they share with it: as
    ``biocosmos search --dna`` finds them.

    query: of one row, as the encoder makes it; letters: its own; own: a row that is not found, -1 for none; barcodes_of: letters
    of rows of the gallery.
    """
    folds = isinstance(gallery, ResidentBarcodes)
    more: dict[str, Any] = {"fold": True} if folds else {}
    found = gallery.search(query, max(k, CANDIDATES), mask=mask, exclude=np.array([own]), **more)
    rows, scores = (part[0, found.rows[0] >= 0] for part in (found.rows, found.scores))
    pairs = np.stack([np.zeros(len(rows), np.int64), np.arange(len(rows))], axis=1)
    laid = lay(Letters([letters]), Letters([barcode or "" for barcode in barcodes_of(rows)]), pairs)
    kept, place = list[int](), list[int]()
    for at in np.lexsort([rows, -scores, -alignment_scores(laid).astype(np.int64)]).tolist():
        like = gallery.index.like(int(rows[at])) if isinstance(gallery, ResidentBarcodes) else rows[at : at + 1]
        like = like[mask[like] & (like != own)][: k - len(kept)]
        kept += like.tolist()
        place += [at] * len(like)
    shared = [Overlap(100 * identity, length, gaps) if length else None for identity, length, gaps in _numbers(laid)]
    return np.array(kept, np.int64), scores[place], [shared[at] for at in place]


def _numbers(laid: Alignments) -> Iterator[tuple[float, int, int]]:
    return zip(laid.identity.tolist(), laid.length.tolist(), laid.gaps.tolist(), strict=True)
