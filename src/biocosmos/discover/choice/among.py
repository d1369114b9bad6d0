"""One of several candidates, chosen without labels: the one rule for clusterings of an embedding and for trainings of a sweep.

A candidate is a partition of the same specimens, with the embedding it was made in or that was trained on it. All candidates are
scored alike, one criterion chooses, and the others stand beside it in the table of reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.choice.embeddings import CROSS_SCALE, INFORMATION, cross_scale_recall
from biocosmos.discover.choice.information import neighbour_information

Array = npt.NDArray[Any]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Candidate:
    """What can be chosen.

    name: in tables, of one candidate only. labels: (n,) int cluster of each specimen, -1 in none; None for what is only shown
    beside the candidates, such as the embedding that all started from. first: (n,) int nearest other specimen in the candidate's
    own embedding, where it has one. scores: found already, by criterion. clusters: how many it stands for, by default the
    clusters in ``labels``. told: more columns of its row.
    """

    name: str
    labels: Array | None = None
    first: Array | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    clusters: int | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int | None:
        """Clusters it stands for."""
        if self.clusters is not None or self.labels is None:
            return self.clusters
        return len(np.unique(self.labels[self.labels >= 0]))


def score_all(candidates: Sequence[Candidate], near: Array | None = None, *, seed: int = 0) -> list[Row]:
    """A row for each candidate: name, clusters, what it tells of itself, its scores, and those that need all of them.

    near: (n, m) int nearest other specimens in the embedding that all candidates come from; without it there is no neighbour
    information. A score that a candidate does not have is absent from its row.
    """
    rows: list[Row] = [{"name": c.name, "clusters": c.count, **c.told, **c.scores} for c in candidates]
    partitions = {c.name: c.labels for c in candidates if c.labels is not None}
    if len(partitions) < sum(c.labels is not None for c in candidates):
        raise ValueError("two candidates have one name")
    if near is not None:
        for row in rows:
            if row["name"] in partitions:
                row[INFORMATION] = neighbour_information(partitions[row["name"]], near, seed=seed)
    first = {c.name: c.first for c in candidates if c.first is not None and c.labels is not None}
    recalls = cross_scale_recall(first, {name: partitions[name] for name in first})
    for row in rows:
        if row["name"] in recalls:
            row[CROSS_SCALE] = recalls[row["name"]]
    return rows


def best_by(rows: Sequence[Row], criterion: str) -> Row | None:
    """The row with the highest score; of equals the one with fewest clusters, then the first. None where none has the score."""
    scored = [row for row in rows if row["clusters"] is not None and _known(row.get(criterion))]
    return min(scored, key=lambda row: (-row[criterion], row["clusters"])) if scored else None


def _known(score: float | None) -> bool:
    return score is not None and not np.isnan(score)
