"""How well parted clusters are, told from the vectors alone: silhouette, Calinski-Harabasz, Davies-Bouldin.

Labels are whole numbers; -1 stands for "in no cluster" (HDBSCAN's noise, a taxon that is null). Such rows are left out, or with
``noise="cluster"`` are one cluster together. NaN where a score is not defined: fewer than two clusters, or as many as rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]
Noise = Literal["left out", "cluster"]
Metric = Literal["euclidean", "cosine"]

NOISE = -1
ASKED = 10_000
"""Rows whose silhouette is taken, each against all the others: of more rows a seeded sample, standard error at most 0.01."""
_BLOCK = 12_000_000  # distances held at once, in float64
_ROUNDING = 1e-12  # a mean cosine distance below it is 0
_EXACT_DIMS = 128  # up to so many dimensions products are taken in float64; above, float32 moves a mean by less than 1e-4


def silhouette(
    vectors: Array,
    labels: Array,
    *,
    metric: Metric = "euclidean",
    noise: Noise = "left out",
    asked: int | None = ASKED,
    seed: int = 0,
) -> float:
    """The mean over rows of (b - a) / max(a, b), in [-1, 1]: a is the mean distance to the other rows of the row's own cluster, b
    the least mean distance to the rows of another one (Rousseeuw 1987, https://doi.org/10.1016/0377-0427(87)90125-7).

    vectors: (n, d) float; labels: (n,) int. metric "cosine": 1 - cosine, exact in one pass over the rows; "euclidean": all pairs
    of ``asked`` rows and n, in blocks. asked: a seeded sample of so many rows stands for the mean, None takes all. A row that is
    alone in its cluster has 0. NaN with fewer than two clusters or as many as rows.
    """
    return _mean(silhouettes(vectors, [labels], metric=metric, noise=noise, asked=asked, seed=seed)[0])


def silhouettes(
    vectors: Array,
    labellings: Sequence[Array],
    *,
    metric: Metric = "euclidean",
    noise: Noise = "left out",
    asked: int | None = ASKED,
    seed: int = 0,
) -> list[Array]:
    """The silhouette of every row that was asked, for several labellings of the same rows: distances are made once for all.

    labellings: each (n,) int. Returns for each (rows asked and not left out,) float64, empty where it is not defined: as
    :func:`silhouette`, which is the mean of one.
    """
    x = checked(vectors)
    coded = [codes_of(labels, len(x), noise) for labels in labellings]
    defined = [_defined(codes) for codes in coded]
    n = len(x)
    rows = np.arange(n)
    if asked is not None and asked < n and metric == "euclidean":
        rows = np.sort(np.random.default_rng(seed).choice(n, asked, replace=False))
    if not any(defined):
        return [np.empty(0) for _ in coded]
    if not (x != x[0]).any():
        return [np.zeros(int((codes[rows] >= 0).sum())) if good else np.empty(0) for codes, good in zip(coded, defined)]
    score = _by_cosine if metric == "cosine" else _by_distance
    found = score(x, [codes for codes, good in zip(coded, defined) if good], rows)
    results = iter(found)
    return [next(results) if good else np.empty(0) for good in defined]


def calinski_harabasz(vectors: Array, labels: Array, *, noise: Noise = "left out") -> float:
    """Variance between clusters over variance within, each over its degrees of freedom: the higher the better parted
    (Calinski & Harabasz 1974). vectors: (n, d); labels: (n,) int. NaN where it is not defined, or nothing varies within."""
    from sklearn.metrics import calinski_harabasz_score

    return _by_sklearn(calinski_harabasz_score, vectors, labels, noise)


def davies_bouldin(vectors: Array, labels: Array, *, noise: Noise = "left out") -> float:
    """The mean over clusters of the worst (spread + spread) / distance of centres: the lower the better parted (Davies & Bouldin
    1979, https://doi.org/10.1109/TPAMI.1979.4766909). vectors: (n, d); labels: (n,) int. NaN where it is not defined."""
    from sklearn.metrics import davies_bouldin_score

    return _by_sklearn(davies_bouldin_score, vectors, labels, noise)


def checked(vectors: Array) -> Array:
    """``vectors`` as a matrix (n, d) of finite floats. Raises BiocosmosError."""
    x = np.asarray(vectors)
    if x.ndim != 2:
        raise BiocosmosError(f"clusters are scored on a matrix (rows, dimensions), not on a shape of {x.shape}")
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise BiocosmosError(f"row {row} of the vectors has a number that is not finite: leave it out")
    return x


def codes_of(labels: Array, rows: int, noise: Noise) -> Array:
    """(n,) int64 codes 0..c-1 of the labels; rows without a cluster are -1, or with ``noise="cluster"`` have a code of their own.
    Raises BiocosmosError where there is not one label a row."""
    labels = np.asarray(labels)
    if labels.shape != (rows,):
        raise BiocosmosError(f"{rows} rows need a label each, but the labels have the shape {labels.shape}")
    known = labels >= 0 if noise == "left out" else np.ones(rows, bool)
    codes = np.full(rows, NOISE, np.int64)
    codes[known] = np.unique(labels[known], return_inverse=True)[1].reshape(-1)
    return codes


def _defined(codes: Array) -> bool:
    clusters, rows = int(codes.max(initial=NOISE)) + 1, int((codes >= 0).sum())
    return 2 <= clusters < rows


def _by_cosine(x: Array, labellings: Sequence[Array], rows: Array) -> list[Array]:
    """A mean cosine with a cluster is the product with the sum of its unit vectors: no pair is ever looked at."""
    from scipy.sparse import csr_array

    unit = x.astype(np.float64)
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    np.divide(unit, lengths, out=unit, where=lengths > 0)
    own = (unit * unit).sum(axis=1)
    found = []
    for codes in labellings:
        kept = np.flatnonzero(codes >= 0)
        sizes = np.bincount(codes[kept])
        members = csr_array((np.ones(len(kept)), (codes[kept], kept)), (len(sizes), len(x)))
        sums = members @ unit
        asked, parts = rows[codes[rows] >= 0], []
        step = max(1, _BLOCK // len(sizes))
        for start in range(0, len(asked), step):
            part = asked[start : start + step]
            distances = np.maximum(sizes - unit[part] @ sums.T, 0)
            # A row's distance to itself is 0, which 1 - cosine says but for rounding, and but for a row of zeros.
            distances[np.arange(len(part)), codes[part]] -= 1 - own[part]
            distances[distances < _ROUNDING * sizes] = 0
            parts.append(_widths(distances, codes[part], sizes))
        found.append(np.concatenate(parts))
    return found


def _by_distance(x: Array, labellings: Sequence[Array], rows: Array) -> list[Array]:
    from scipy.sparse import csr_array

    exact = np.float64 if x.shape[1] <= _EXACT_DIMS else np.float32
    centred = (x - x.mean(axis=0, dtype=np.float64)).astype(exact)
    squares = np.einsum("ij,ij->i", centred, centred, dtype=np.float64)
    sizes = [np.bincount(codes[codes >= 0]) for codes in labellings]
    members = []
    for codes, size in zip(labellings, sizes):
        kept = np.flatnonzero(codes >= 0)
        members.append(csr_array((np.ones(len(kept)), (codes[kept], kept)), (len(size), len(x))))
    parts: list[list[Array]] = [[] for _ in labellings]
    step = max(1, _BLOCK // len(x))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        distances = (centred @ centred[part].T).astype(np.float64)
        distances *= -2
        distances += squares[:, None]
        distances += squares[part]
        np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
        distances[part, np.arange(len(part))] = 0
        for codes, size, member, out in zip(labellings, sizes, members, parts):
            known = codes[part] >= 0
            sums = (member @ distances).T
            out.append(_widths(sums[known], codes[part][known], size))
    return [np.concatenate(out) for out in parts]


def _widths(sums: Array, codes: Array, sizes: Array) -> Array:
    """(rows,) silhouettes from summed distances (rows, clusters), the rows' clusters and all clusters' sizes."""
    here = np.arange(len(sums))
    alone = sizes[codes] < 2
    inside = sums[here, codes] / np.maximum(sizes[codes] - 1, 1)
    means = sums / sizes
    means[here, codes] = np.inf
    outside = means.min(axis=1)
    most = np.maximum(inside, outside)
    widths: Array = np.divide(outside - inside, most, out=np.zeros(len(sums)), where=(most > 0) & ~alone)
    return widths


def _by_sklearn(score: Callable[..., float], vectors: Array, labels: Array, noise: Noise) -> float:
    x = checked(vectors)
    codes = codes_of(labels, len(x), noise)
    if not _defined(codes):
        return float("nan")
    kept = codes >= 0
    part = x[kept].astype(np.float64)
    if not np.ptp(part, axis=0).any():
        return float("nan")
    return float(score(part, codes[kept]))


def _mean(widths: Array) -> float:
    return float(widths.mean()) if len(widths) else float("nan")
