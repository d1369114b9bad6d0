"""Neighbour information: how much the cluster of a specimen's neighbours tells of its own, beyond chance.

    score = mean over j of I(c(x); c(n_j(x)))  -  E[I(c(x); c(random row))]        in nats

c(x) is the cluster of row x, n_j(x) its j-th nearest other row in the vectors as they are given (not in the space that was
clustered, which would praise itself), I mutual information and E its mean over shuffled rows. Few clusters have little to tell;
many small ones are not shared by neighbours, and what they seem to tell is chance, which is taken off. Between them lies a
highest score, at as many clusters as neighbours can tell apart.

Maximal information between paired views of one thing chooses a clustering without labels: Ji, Henriques and Vedaldi, Invariant
information clustering, ICCV 2019, arXiv:1807.06653 (there it trains a network; the pairs are two changed images, here an image
and its neighbour). The correction for chance is that of Vinh, Epps and Bailey, JMLR 2010, but the score is not divided by the
entropies: such a share is highest for two clusters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
NEIGHBOURS = 5
SHUFFLES = 4
"""Their mean is off by less than a hundredth of a nat from 300 rows on."""
_ROUNDING = 1e-9


def neighbour_information(labels: Array, near: Array, *, seed: int = 0) -> float:
    """The score above in nats; about 0 or below where clusters say nothing of the neighbours.

    labels: (n,) int, rows of -1 (noise) are one cluster more, as the study of Lowe et al. (2024, arXiv:2406.02465) counts them.
    near: (n, m) int rows of the nearest others, best first, -1 where there is none.
    """
    _, codes = np.unique(labels, return_inverse=True)
    codes = codes.reshape(-1)
    found = []
    for column in near.T:
        there = column >= 0
        if there.any():
            found.append(mutual_information(codes[there], codes[column[there]]))
    if not found:
        return 0.0
    rng = np.random.default_rng(seed)
    chance = [mutual_information(codes, rng.permutation(codes)) for _ in range(SHUFFLES)]
    return float(np.mean(found) - np.mean(chance))


def adjusted_information(first: Array, second: Array, *, seed: int = 0) -> float:
    """AMI of two labellings (n,) of the same rows by any whole numbers: (I - E[I]) / (mean entropy - E[I]), E over shuffled rows;
    1 where they are the same partition.

    E is the mean over :data:`SHUFFLES` shuffles and not scikit-learn's exact sum, which takes seconds for hundreds of clusters.
    """
    one, two = (np.unique(labels, return_inverse=True)[1].reshape(-1) for labels in (first, second))
    rng = np.random.default_rng(seed)
    chance = float(np.mean([mutual_information(one, rng.permutation(two)) for _ in range(SHUFFLES)]))
    whole = (_entropy(np.bincount(one)) + _entropy(np.bincount(two))) / 2 - chance
    if whole <= _ROUNDING:  # one cluster each, or a cluster for every row
        return 1.0 if len(set(zip(one.tolist(), two.tolist()))) == one.max() + 1 == two.max() + 1 else 0.0
    return (mutual_information(one, two) - chance) / whole


def mutual_information(first: Array, second: Array) -> float:
    """Of two codings (n,) of the same rows by numbers from 0 on, in nats, from their counts."""
    pairs = first.astype(np.int64) * (int(second.max()) + 1) + second
    return _entropy(np.bincount(first)) + _entropy(np.bincount(second)) - _entropy(np.unique(pairs, return_counts=True)[1])


def _entropy(counts: Array) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
