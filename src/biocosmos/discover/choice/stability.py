"""Stability under subsampling: whether other specimens of the same kind would have given the same clusters.

Each of three thirds of the rows is left out once and the rest clustered anew; any two of the three clusterings share a third of
the rows, on which their agreement is taken: AMI, 1 where they are the same and 0 as by chance. Ben-Hur, Elisseeff and Guyon, A
stability based method for discovering structure in clustered data, PSB 2002; von Luxburg, Clustering stability: an overview,
2010, arXiv:1007.1075, who warns that a stable clustering need not be a good one: two clusters often are, whatever there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.choice.information import adjusted_information

Array = npt.NDArray[Any]
PARTS = 3


def subsamples(rows: int, seed: int = 0) -> list[Array]:
    """Three ascending arrays of row numbers, each without another third of ``rows``."""
    part = np.random.default_rng(seed).permutation(rows) % PARTS
    return [np.flatnonzero(part != left_out) for left_out in range(PARTS)]


def stability(samples: Sequence[Array], labels: Sequence[Array], *, seed: int = 0) -> float:
    """Mean agreement (AMI) of clusterings of overlapping subsamples, each two on the rows that they share; NaN where none are.

    samples: of :func:`subsamples`; labels: for each, (rows,) int clusters, -1 of noise, which is one cluster more.
    """
    found = []
    for i, j in combinations(range(len(samples)), 2):
        _, first, second = np.intersect1d(samples[i], samples[j], assume_unique=True, return_indices=True)
        if len(first):
            found.append(adjusted_information(labels[i][first], labels[j][second], seed=seed))
    return float(np.mean(found)) if found else float("nan")
