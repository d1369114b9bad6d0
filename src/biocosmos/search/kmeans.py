"""k-means on the search kernel: Lloyd's algorithm for cosine (spherical) and Euclidean distance.

    label(x) = argmax_c  x.c - |c|^2 / 2        (Euclidean; the last term is dropped for unit centroids)

Lloyd, Least squares quantization in PCM, 1982; Arthur and Vassilvitskii, k-means++, 2007; Dhillon and Modha, Concept
decompositions for large sparse text data using clustering (spherical), 2001. With the compiled kernel the iterations assign
by 8-bit products (their error is far below the gaps between centroids; measured inertia within 0.05 %); the labels and inertia
that are returned come from a last float32 pass and are exact for the centroids returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch

from biocosmos.errors import BiocosmosError
from biocosmos.search.kernel.instructions import DIM_STEP, GROUP, QUERY_TILE, TILE
from biocosmos.search.kernel.packed import Kernel
from biocosmos.search.kernel.packed_scan import best_step, pack, quantise
from biocosmos.search.kernel.plan import kernel_here
from biocosmos.search.kernel.scan import BUILD_ROWS
from biocosmos.search.vectors import as_matrix, row_norms, unit_rows

Metric = Literal["cosine", "euclidean"]
ASSIGN_VALUES = 1 << 23
PLUS_PLUS_ROWS = 8  # k-means++ draws from a seeded sample of this many rows for each centroid,
PLUS_PLUS_LEAST = 16384  # and at least this many
TAIL = 20.0  # 8 bits serve while no number is beyond this many root mean squares
STEP_ROWS = 4096  # that the step is found with
PACK_WORK = 1 << 30  # rows x dims x centroids below which packing does not pay

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class KMeans:
    """centroids: (k, dim) float32, unit rows for cosine; labels: (n,) int32; sizes: (k,) int64 rows of each cluster; inertia: sum
    of squared distances to the own centroid; iterations: updates done; converged: no label changed in the last; reseeded: how
    many times an empty cluster was given the worst-fitting row."""

    centroids: Array
    labels: Array
    sizes: Array
    inertia: float
    iterations: int
    converged: bool
    reseeded: int


def kmeans(
    x: Any,
    k: int,
    *,
    metric: Metric = "cosine",
    init: str | Any = "sample",
    iterations: int = 25,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: Literal["auto", "float32", "int8"] = "auto",
) -> KMeans:
    """Cluster the rows of x (n, dim), any float type, into ``k`` clusters; the same seed gives the same clusters.

    metric: "cosine" (rows and centroids made unit length) or "euclidean"; init: "sample" (distinct rows), "k-means++" (from a
    sample of 8 rows a centroid) or centroids (k, dim).
    Raises BiocosmosError when there are fewer rows than clusters, or rows that are zero (cosine) or not finite.
    """
    if metric not in ("cosine", "euclidean"):
        raise BiocosmosError(f"unknown metric {metric!r} of k-means: choose cosine or euclidean")
    rows = as_matrix(x, what="k-means rows").to(device or "cpu")
    if not 1 <= k <= len(rows):
        raise BiocosmosError(f"cannot make {k} clusters of {len(rows)} rows: choose k between 1 and the number of rows")
    squares = float(len(rows))  # of all rows' lengths
    if metric == "cosine":
        rows = unit_rows(rows, what="k-means")
    elif not np.isfinite(squares := float(row_norms(rows).square().sum())):
        raise BiocosmosError("k-means rows are not all finite: leave out those with NaN or infinity")
    centroids = _start(rows, k, metric, init, torch.Generator().manual_seed(seed))
    assigner = _assigner(rows, k, metric, precision)
    labels = torch.full((len(rows),), -1, dtype=torch.int64, device=rows.device)
    done, reseeded, converged = 0, 0, False
    for done in range(1, iterations + 1):
        found, fit = assigner.assign(centroids)
        converged = bool((found == labels).all())
        if converged:
            done -= 1
            break
        labels = found
        reseeded += _reseed(labels, fit, k)
        centroids = _means(rows, labels, k, metric)
    labels, fit = FloatAssigner(rows, metric).assign(centroids)
    return KMeans(
        centroids.cpu().numpy(),
        labels.to(torch.int32).cpu().numpy(),
        torch.bincount(labels, minlength=k).cpu().numpy(),
        _inertia(squares, fit, metric),
        done,
        converged,
        reseeded,
    )


class Assigner(Protocol):
    """Answers which centroid is nearest."""

    def assign(self, centroids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n,) int64 label, the first of equals, and (n,) float32 fit x.c - |c|^2 / 2 (x.c for cosine), of each row."""


class FloatAssigner:
    """By float32 matrix products, a block of rows at a time, on any device."""

    def __init__(self, rows: torch.Tensor, metric: Metric) -> None:
        self.rows, self.metric = rows, metric

    def assign(self, centroids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n, k = len(self.rows), len(centroids)
        half = centroids.square().sum(1) / 2 if self.metric == "euclidean" else None
        labels = torch.empty(n, dtype=torch.int64, device=self.rows.device)
        fit = torch.empty(n, dtype=torch.float32, device=self.rows.device)
        step = max(1, min(n, ASSIGN_VALUES // k))
        space = torch.empty(step, k, dtype=torch.float32, device=self.rows.device)
        for i in range(0, n, step):
            part = self.rows[i : i + step]
            products = torch.mm(part, centroids.T, out=space[: len(part)])
            if half is not None:
                products.sub_(half)
            torch.max(products, 1, out=(fit[i : i + step], labels[i : i + step]))
        return labels, fit


class PackedAssigner:
    """By 8-bit products of rows and centroids about the mean row, with the compiled kernel."""

    def __init__(self, rows: torch.Tensor, metric: Metric, mean: torch.Tensor, kernel: Kernel) -> None:
        self.metric, self.mean, self.kernel, self.count = metric, mean, kernel, len(rows)
        self.limits = kernel.isa.row_zero, kernel.isa.row_max
        self.step = best_step(rows[:: max(1, len(rows) // STEP_ROWS)] - mean, *self.limits)
        self.dim = -(-rows.shape[1] // DIM_STEP) * DIM_STEP
        self.packed = torch.empty(-(-len(rows) // GROUP), GROUP // TILE, self.dim // 4, TILE, 4, dtype=torch.uint8)
        for i in range(0, len(rows), BUILD_ROWS):
            codes = quantise(rows[i : i + BUILD_ROWS] - mean, self.step, *self.limits)
            pack(codes + self.limits[0], self.packed[i // GROUP : -(-(i + len(codes)) // GROUP)])
        self.best = torch.empty(len(self.packed) * GROUP, dtype=torch.int32)
        self.at = torch.empty(len(self.packed) * GROUP, dtype=torch.int32)

    def assign(self, centroids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.metric == "cosine":
            values, bias = centroids, centroids @ self.mean
        else:
            values = centroids - self.mean
            bias = values.square().sum(1) / -2
        zero, most = self.limits
        limit = self.kernel.isa.query_max
        scale = max(best_step(values, zero, most), 1e-30) * (most - zero) / limit
        codes = (values / scale).round_().clamp_(-limit, limit)
        unit = scale * self.step
        whole = -(-len(codes) // QUERY_TILE) * QUERY_TILE
        stored = torch.zeros(whole, self.dim, dtype=torch.int8)
        stored[: len(codes), : codes.shape[1]] = codes.to(torch.int8)
        offsets = torch.full((whole,), -(2**30), dtype=torch.int32)
        offsets[: len(codes)] = ((bias / unit).clamp_(-(2.0**28), 2.0**28) - codes.sum(1) * zero).round().int()
        self.kernel.assign(self.packed, stored, offsets, self.best, self.at)
        return self.at[: self.count].long(), self.best[: self.count].float() * unit


def _assigner(rows: torch.Tensor, k: int, metric: Metric, precision: str) -> Assigner:
    small = precision == "auto" and rows.numel() * k < PACK_WORK
    kernel = kernel_here() if rows.device.type == "cpu" and precision != "float32" and not small else None
    if kernel is None:
        if precision == "int8":
            raise BiocosmosError("k-means in int8 needs an x86 CPU with AVX2 and the llvmlite package: choose precision float32")
        return FloatAssigner(rows, metric)
    mean = rows.mean(0)
    centred = rows[:: max(1, len(rows) // STEP_ROWS)] - mean
    spread = float(centred.square().mean().sqrt())
    low, high = torch.aminmax(rows)
    if precision == "auto" and max(float(high - mean.min()), float(mean.max() - low)) > TAIL * spread:
        return FloatAssigner(rows, metric)
    return PackedAssigner(rows, metric, mean, kernel)


def _start(rows: torch.Tensor, k: int, metric: Metric, init: Any, generator: torch.Generator) -> torch.Tensor:
    if not isinstance(init, str):
        given = as_matrix(init, what="initial centroids").to(rows.device)
        if given.shape != (k, rows.shape[1]):
            raise BiocosmosError(f"initial centroids must be {(k, rows.shape[1])}, not {tuple(given.shape)}")
        return unit_rows(given, what="initial centroid") if metric == "cosine" else given.clone()
    if init == "sample":
        return rows[torch.randperm(len(rows), generator=generator)[:k].sort().values.to(rows.device)].clone()
    if init == "k-means++":
        return _plus_plus(rows, k, generator)
    raise BiocosmosError(f"unknown start {init!r} of k-means: choose sample, k-means++ or pass centroids")


def _plus_plus(rows: torch.Tensor, k: int, generator: torch.Generator) -> torch.Tensor:
    """Rows drawn one after another with probability in proportion to the squared distance to the nearest drawn so far."""
    count = min(len(rows), max(PLUS_PLUS_LEAST, PLUS_PLUS_ROWS * k))
    sample = rows[torch.randperm(len(rows), generator=generator)[:count].to(rows.device)]
    squares = sample.square().sum(1)
    chosen = int(torch.randint(count, (1,), generator=generator))
    picked = [chosen]
    distance = torch.full((count,), torch.inf, device=rows.device)
    for _ in range(1, k):
        step = (squares + squares[chosen] - 2 * (sample @ sample[chosen])).clamp_min_(0)
        step[chosen] = 0
        distance = torch.minimum(distance, step)
        total = distance.double().cumsum(0)
        if float(total[-1]) > 0:
            at = torch.searchsorted(
                total, torch.rand(1, generator=generator, dtype=torch.float64).to(total.device) * total[-1], right=True
            )
            chosen = min(int(at), count - 1)
        else:  # every row equals a centroid already
            chosen = len(picked)
        picked.append(chosen)
    return sample[torch.tensor(picked, device=rows.device)].clone()


def _reseed(labels: torch.Tensor, fit: torch.Tensor, k: int) -> int:
    """Give each empty cluster the worst-fitting row whose cluster keeps another, in place; returns how many."""
    sizes = torch.bincount(labels, minlength=k)
    empty = torch.nonzero(sizes == 0)[:, 0].tolist()
    if not empty:
        return 0
    worst = torch.argsort(fit, stable=True)
    place, count = 0, sizes.tolist()
    for cluster in empty:
        while count[int(labels[worst[place]])] < 2:
            place += 1
        row = worst[place]
        count[int(labels[row])] -= 1
        labels[row], count[cluster], place = cluster, 1, place + 1
    return len(empty)


def _means(rows: torch.Tensor, labels: torch.Tensor, k: int, metric: Metric) -> torch.Tensor:
    if rows.device.type == "cpu":
        sums = torch.zeros(k, rows.shape[1]).index_add_(0, labels, rows)
    else:  # index_add_ adds in any order on a GPU: sorted segments give the same sums every time
        order = torch.argsort(labels, stable=True)
        sums = torch.segment_reduce(rows[order], "sum", lengths=torch.bincount(labels, minlength=k), axis=0)
    if metric == "cosine":
        length = torch.linalg.vector_norm(sums, dim=1, keepdim=True)
        first = torch.zeros_like(sums)
        first[:, 0] = 1  # rows that cancel out have no mean direction: any will do
        return torch.where(length > 0, sums / length.clamp_min(1e-30), first)
    return sums / torch.bincount(labels, minlength=k).clamp_min(1)[:, None]


def _inertia(squares: float, fit: torch.Tensor, metric: Metric) -> float:
    """Sum of |x - c|^2 from the fits: |x|^2 - 2 (x.c - |c|^2 / 2), and 2 - 2 x.c for unit vectors."""
    fits = 2 * float(fit.sum(dtype=torch.float32 if fit.device.type == "mps" else torch.float64))
    return max(0.0, 2 * squares - fits if metric == "cosine" else squares - fits)
