"""How good the vectors are on the validation part, after each epoch: nearest-neighbour recall among its own specimens."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.choice.embeddings import asked_rows, nearest_other, share_alike
from biocosmos.errors import BiocosmosError
from biocosmos.search.exact import ExactIndex
from biocosmos.search.gallery import Gallery
from biocosmos.train.unicom.labels import ClusterLabels

Array = npt.NDArray[Any]
MOST = 10_000
"""Specimens that are looked at, a seeded sample of larger parts."""
CLUSTERS = "recall@1 of clusters"


class Validation:
    """What the validation part is scored on: its taxa where it has any, and the clusters its specimens would belong to.

    The cluster of a validation specimen is the one whose training specimens have the nearest mean in the embedding that was
    trained from; it needs no label. Recall@1 is the share of specimens whose nearest other one (cosine) is of the same taxon
    or cluster, among those for which there is another one (protocol P1, all against all).

    base: the part's vectors by the embedding that is trained from; means: (k, dim) float32 unit class means in that embedding.
    """

    def __init__(self, base: Gallery, means: Array, labels: ClusterLabels, *, monitor: str = "auto", seed: int = 0) -> None:
        rows = np.arange(len(base))
        if len(rows) > MOST:
            rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST])
            base = base.subset(rows)
        self.gallery = base
        clusters = ExactIndex(means).search(base.vectors, 1).rows[:, 0]
        self._targets: dict[str, Array] = {CLUSTERS: clusters}
        supervised = labels.facts.get("source") == "taxa"
        if base.taxa is not None and base.taxonomy is not None and (base.taxa > 0).any():
            rank = self._rank(base, labels.facts.get("rank") if supervised else None)
            taxa = base.taxonomy.ancestor(np.maximum(base.taxa, 0), rank)
            self._targets[f"recall@1 of {rank}"] = np.where(taxa > 0, taxa, -1)
        self._targets = {name: codes for name, codes in self._targets.items() if asked_rows(codes).any()}
        names = list(self._targets)
        if monitor not in ("auto", "taxa", "clusters"):
            raise BiocosmosError(f"--monitor '{monitor}' is not known: choose auto, taxa or clusters")
        if monitor == "taxa" and not any(name != CLUSTERS for name in names):
            raise BiocosmosError("--monitor taxa needs names in the validation part: it has none; choose clusters")
        by_taxa = monitor == "taxa" or (monitor == "auto" and supervised and len(names) > 1)
        self.metrics = names[::-1] if by_taxa else names

    @staticmethod
    def _rank(base: Gallery, wanted: str | None) -> str:
        """The rank asked for, or the finest at which half of the specimens have a name."""
        assert base.taxonomy is not None and base.taxa is not None
        ranks = base.taxonomy.ranks
        if wanted in ranks:
            return str(wanted)
        lineage = base.taxonomy.lineage(np.maximum(base.taxa, 0)) > 0
        named = np.flatnonzero(lineage.mean(0) >= 0.5 * lineage.any(1).mean())
        return str(ranks[int(named[-1]) if len(named) else 0])

    def figures(self, vectors: Array) -> dict[str, float]:
        """vectors: (n, dim) float32 unit rows of ``self.gallery``'s specimens. Returns: metric -> 0..1, the watched one first."""
        first = nearest_other(vectors)
        return {name: share_alike(first, self._targets[name]) for name in self.metrics}
