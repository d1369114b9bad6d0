"""What else it may be: the taxa of a rank that are next to the best one, with the confidence that they would be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.identify.blocks import block_rows
from biocosmos.identify.confidence.calibration import Calibration
from biocosmos.identify.predictions import Predictions

Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class RunnersUp:
    """Of n specimens at L ranks, the k - 1 taxa after the one of the best path, the likeliest first.

    nodes: (n, L, k - 1) int32, -1 where a rank has no more; confidence: of each, float64, NaN there.
    """

    nodes: Int32
    confidence: Float64

    @classmethod
    def of(cls, predictions: Predictions, calibration: Calibration, best: Int32, top: int) -> RunnersUp:
        """From the tempered probabilities of all nodes; best: (n, L) int32, the best paths, which are not among them.

        Confidence is that of an answer with such a probability at such a rank, and down the tree it never rises, as for the best
        path. A taxon of another branch may have a higher one than the best path's at the same rank, since that path goes to the
        likeliest child each time.
        """
        ranks = len(predictions.ranks)
        nodes = np.full((len(predictions), ranks, top - 1), -1, np.int32)
        confidence = np.full(nodes.shape, np.nan)
        size = block_rows(len(predictions.taxonomy))
        for start in range(0, len(predictions), size):
            rows = np.arange(start, min(start + size, len(predictions)))
            part = predictions.subset(rows)
            p = np.exp(calibration.temperatures.log_p(part))
            for rank in range(ranks):
                nodes[rows, rank] = _next(part, p, rank, best[rows, rank], top - 1)
                confidence[rows, rank] = confidence_of(part, p, calibration, nodes[rows, rank])
        return cls(nodes, confidence)


def column_names(ranks: Sequence[str], top: int) -> list[tuple[str, str]]:
    """(taxon, confidence) columns of every rank's runners-up: genus_2, genus_2_confidence, genus_3, ...

    Raises BiocosmosError for a rank of such a name.
    """
    names = [(f"{rank}_{place}", f"{rank}_{place}_confidence") for rank in ranks for place in range(2, top + 1)]
    for pair in names:
        for name in pair:
            if name in ranks:
                raise BiocosmosError(f"the rank {name!r} has the name of a column of runners-up: rename it, or leave --top out")
    return names


def _next(part: Predictions, p: Float64, rank: int, best: Int32, count: int) -> Int32:
    """(n, count) int32: the likeliest nodes of a rank but the best one, -1 where there are no more."""
    tree = part.tree
    nodes = tree.nodes[tree.ranks == rank]
    found = np.full((len(part), count), -1, np.int32)
    if not len(nodes):
        return found
    mine = p[:, nodes]
    mine[nodes[None, :] == best[:, None]] = 0
    kept = min(count, len(nodes))
    at = np.argpartition(-mine, kept - 1, axis=1)[:, :kept] if kept < len(nodes) else np.tile(np.arange(kept), (len(part), 1))
    at = np.sort(at, axis=1)  # ties go to the first
    at = np.take_along_axis(at, np.argsort(-np.take_along_axis(mine, at, axis=1), axis=1, kind="stable"), axis=1)
    found[:, :kept] = np.where(np.take_along_axis(mine, at, axis=1) > 0, nodes[at], -1)
    return found


def confidence_of(part: Predictions, p: Float64, calibration: Calibration, nodes: Int32) -> Float64:
    """(n, count) float64 of nodes: the least along the way to each of what the curves make of p."""
    lineage = part.taxonomy.lineage(np.maximum(nodes, 0).ravel()).reshape(*nodes.shape, -1)
    least = np.ones(nodes.shape)
    for rank, curve in enumerate(calibration.curves):
        above = lineage[..., rank]
        said = curve(np.take_along_axis(p, np.maximum(above, 0), axis=1))
        least = np.where(above >= 0, np.minimum(least, said), least)
    return np.where(nodes >= 0, least, np.nan)


def path_confidence(predictions: Predictions, calibration: Calibration, nodes: Int32) -> Float64:
    """(n, L) float64 what a calibration makes of the nodes of any paths (n, L), NaN where there is none."""
    found = np.full(nodes.shape, np.nan)
    size = block_rows(len(predictions.taxonomy))
    for start in range(0, len(predictions), size):
        rows = np.arange(start, min(start + size, len(predictions)))
        part = predictions.subset(rows)
        found[rows] = confidence_of(part, np.exp(calibration.temperatures.log_p(part)), calibration, nodes[rows])
    return found
