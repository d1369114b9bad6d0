"""How neighbours vote at every rank; one without a name at a rank abstains there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.taxonomy import Taxonomy


@dataclass(frozen=True)
class Vote:
    """A taxon at a rank. node: in the taxonomy; count: of neighbours; weight: its share of their cosines (those below 0 count
    as 0), of all that vote at this rank."""

    rank: str
    node: int
    taxon: str
    count: int
    weight: float


def votes(taxa: npt.NDArray[Any], scores: npt.NDArray[Any], taxonomy: Taxonomy) -> list[Vote]:
    """The votes of neighbours, coarsest rank first, most votes first within a rank, then the larger weight.

    taxa: (k,) nodes of the neighbours, 0 or -1 for none; scores: (k,) their cosines.
    """
    lineage = taxonomy.lineage(np.where(taxa > 0, taxa, -1))  # (k, ranks)
    weights = np.clip(np.nan_to_num(np.asarray(scores, np.float64), nan=0.0, neginf=0.0), 0.0, None)
    found = []
    for rank, column in zip(taxonomy.ranks, lineage.T, strict=True):
        nodes, place = np.unique(column[column >= 0], return_inverse=True)
        counts = np.bincount(place, minlength=len(nodes))
        sums = np.bincount(place, weights=weights[column >= 0], minlength=len(nodes))
        whole = float(sums.sum()) or 1.0
        order = np.lexsort((nodes, -sums, -counts))
        names = taxonomy.name(nodes) if len(nodes) else []
        found += [Vote(rank, int(nodes[i]), str(names[i]), int(counts[i]), float(sums[i]) / whole) for i in order]
    return found
