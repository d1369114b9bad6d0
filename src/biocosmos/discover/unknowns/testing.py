"""Groups of specimens, and which of them are no known taxon.

A single picture of an unknown taxon looks much like one of a known one; the mean of many does not. So groups are tested, not
pictures: the score of a group is 1 - the greatest cosine between the mean of its vectors, less its noise, and that of a known
taxon. On left-out classes it tells groups apart with an AUROC of 0.8 where the best score of single pictures, averaged, has 0.6
(docs/discover.md).

What known taxa score is measured alike: half of the known specimens make the means, the others are grouped in the same space and
of the same size, and score. The share of these that score as high is the p-value of a group, and Benjamini and Hochberg's
procedure (1995) keeps the expected share of groups of known taxa among the candidates below the rate. This holds as far as
groups of known taxa among the specimens asked about are like those of the known ones: of one survey and one instrument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters import cluster
from biocosmos.discover.unknowns.space import whitened
from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.distances import p_values
from biocosmos.identify.novelty.false_discoveries import benjamini_hochberg

Array = npt.NDArray[Any]
MEAN_SIZE, LEAST_SIZE = 25, 5
"""Specimens of a group on average, and at least of one that is tested."""
LEAST_GROUPS = 2
"""Groups of known specimens below which nothing is tested: of n groups no p-value is under 1 / (n + 1)."""


@dataclass(frozen=True, eq=False)
class Tested:
    """Groups and what was found of them.

    labels: (n,) int32 group of each specimen asked about, -1 for one in a group that is too small; scores, p: (groups,) 1 -
    cosine to the nearest known taxon, and the share of known groups that score as high; nearest: (groups,) nodes of that taxon;
    null: (m,) scores of known groups, ascending.
    """

    labels: Array
    scores: Array
    p: Array
    nearest: Array
    null: Array

    def candidates(self, rate: float) -> Array:
        """(groups,) bool: which are no known taxon, the expected share of known ones among them at most ``rate``."""
        return benjamini_hochberg(self.p, rate)


def find_groups(vectors: Array, known: Array, taxa: Array, *, seed: int = 0) -> Tested:
    """Group ``vectors`` (n, d) and test every group against the known specimens (m, d) of ``taxa`` (m,) nodes.

    All float32 unit rows. Raises BiocosmosError for fewer than two known taxa, too few known specimens, or too few asked about.
    """
    if len(vectors) < LEAST_SIZE:
        raise BiocosmosError(f"{len(vectors)} specimens are too few to make a candidate of: ask about at least {LEAST_SIZE}")
    if len(np.unique(taxa)) < 2:
        raise BiocosmosError("fewer than two taxa are known, to be unlike to: 'biocosmos discover clusters' needs none")
    half = _halves(taxa, seed)
    fit, held = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    if len(held) < LEAST_GROUPS * LEAST_SIZE:
        raise BiocosmosError(
            f"{len(taxa):,} known specimens are too few to test groups against: name at least {3 * LEAST_GROUPS * LEAST_SIZE}"
        )
    (mine,) = whitened(known, taxa, vectors)
    labels = _grouped(mine, seed)
    scores, nulls, nearest, nodes = [], [], np.empty(0, np.int64), np.empty(0, np.int64)
    for one, other in ((fit, held), (held, fit)):  # each half makes the means once, so that chance decides less
        nodes, means = taxon_means(known[one], taxa[one])
        score, nearest = _scores(vectors, labels, means)
        scores.append(score)
        (theirs,) = whitened(known[one], taxa[one], known[other])
        seen = np.isin(taxa[other], nodes)  # a taxon that is alone is in one half only
        nulls.append(_scores(known[other][seen], _grouped(theirs[seen], seed), means)[0])
    null = np.sort(np.concatenate(nulls))
    score = np.mean(scores, axis=0)
    if len(null) < LEAST_GROUPS:
        raise BiocosmosError(f"only {len(null)} groups of known specimens could be made to test against: name more specimens")
    return Tested(labels, score, p_values(score, null), nodes[nearest], null)


def taxon_means(x: Array, taxa: Array) -> tuple[Array, Array]:
    """((c,) nodes, (c, d) unit means of the rows of each)."""
    nodes, which = np.unique(taxa, return_inverse=True)
    sums = np.zeros((len(nodes), x.shape[1]))
    np.add.at(sums, which, x.astype(np.float64))
    return nodes.astype(np.int64), sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def _scores(x: Array, labels: Array, means: Array) -> tuple[Array, Array]:
    """((g,) score of each group, (g,) its nearest taxon).

    The mean of n members is off by chance: of its squared length R^2 the share (1 - R^2) / (n - 1) is noise, which would make
    small and scattered groups look unlike every taxon, and is taken out of the cosine.
    """
    scores, nearest = [], []
    for group in range(int(labels.max(initial=-1)) + 1):
        mine = x[labels == group].astype(np.float64)
        if len(mine) < 2:
            scores.append(np.nan)
            nearest.append(0)
            continue
        mean = mine.mean(axis=0)
        squared = float(mean @ mean)
        signal = max(squared - (1 - squared) / (len(mine) - 1), 1e-6) ** 0.5
        cosines = means @ mean / signal
        scores.append(1 - float(cosines.max()))
        nearest.append(int(cosines.argmax()))
    return np.array(scores, np.float64), np.array(nearest, np.int64)


def _grouped(x: Array, seed: int) -> Array:
    """(n,) int32 groups by Ward's method, numbered by size; those under :data:`LEAST_SIZE` are -1."""
    count = max(round(len(x) / MEAN_SIZE), 1)
    labels = cluster(x, reducer="none", method="ward", clusters=count, seed=seed).labels.copy()
    sizes = np.bincount(labels)
    labels[sizes[labels] < LEAST_SIZE] = -1  # numbered by size: the others stay 0, 1, 2, ...
    return labels


def _halves(taxa: Array, seed: int) -> Array:
    """(n,) 0 or 1: half of every taxon each; one that is alone in its taxon is 0."""
    rng = np.random.default_rng(seed)
    half = np.zeros(len(taxa), np.int64)
    for taxon in np.unique(taxa):
        rows = rng.permutation(np.flatnonzero(taxa == taxon))
        half[rows[: len(rows) // 2]] = 1
    return half
