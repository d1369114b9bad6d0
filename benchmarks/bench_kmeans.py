"""k-means side by side with faiss, scikit-learn and torch: same data, same start, same number of iterations.

python benchmarks/bench_kmeans.py                              # 200,000 x 512, k = 2,000: about eight minutes on two cores
python benchmarks/bench_kmeans.py --rows 20000 --clusters 200  # a quick look
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import faiss
import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from bench_search import DIM, avx2_only, long_tailed
from biocosmos.search.kmeans import kmeans
from machine import peak_memory_gib, write_results


def inertia(x: np.ndarray, centroids: np.ndarray) -> float:
    """Sum of squared distances to the nearest centroid, the same for every engine: float32 products, float64 sum."""
    c, total = torch.from_numpy(np.ascontiguousarray(centroids, dtype=np.float32)), 0.0
    half = c.square().sum(1) / 2
    for i in range(0, len(x), 8192):
        part = torch.from_numpy(x[i : i + 8192])
        total += float((part.square().sum(1) - 2 * (part @ c.T - half).max(1).values).double().sum())
    return total


CHUNK = 8192


def plain_torch(x: np.ndarray, start: np.ndarray, iterations: int) -> np.ndarray:
    """Lloyd as one would write it: chunked float32 products, argmax, index_add_."""
    rows, centroids = torch.from_numpy(x), torch.from_numpy(start)
    labels = torch.empty(len(rows), dtype=torch.int64)
    for _ in range(iterations):
        half = centroids.square().sum(1) / 2
        for i in range(0, len(rows), CHUNK):
            labels[i : i + CHUNK] = (rows[i : i + CHUNK] @ centroids.T - half).argmax(1)
        sums = torch.zeros_like(centroids).index_add_(0, labels, rows)
        count = torch.bincount(labels, minlength=len(centroids))[:, None]
        centroids = torch.where(count > 0, sums / count.clamp_min(1), centroids)
    return centroids.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--clusters", type=int, default=2_000)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    faiss.omp_set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", ConvergenceWarning)
    n, k, iterations = arguments.rows, arguments.clusters, arguments.iterations
    x, _ = long_tailed(n, 1, 0.1)
    start = x[np.sort(np.random.default_rng(0).choice(n, k, replace=False))].copy()

    def with_faiss() -> np.ndarray:
        made = faiss.Kmeans(DIM, k, niter=iterations, max_points_per_centroid=n, min_points_per_centroid=1, seed=0)
        made.train(x, init_centroids=start)
        return np.asarray(made.centroids)

    def with_sklearn() -> np.ndarray:
        made = KMeans(k, init=start, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd", copy_x=False)
        return np.asarray(made.fit(x).cluster_centers_)

    def mine(precision: Any) -> Callable[[], np.ndarray]:
        return lambda: kmeans(x, k, metric="euclidean", init=start, iterations=iterations, precision=precision).centroids

    def with_avx2() -> np.ndarray:
        with avx2_only():
            return mine("auto")()

    peers = {
        "faiss.Kmeans": with_faiss,
        "scikit-learn lloyd": with_sklearn,
        "torch, plain": lambda: plain_torch(x, start, iterations),
    }
    engines = {
        **peers,
        "biocosmos": mine("auto"),
        "biocosmos, AVX2 only": with_avx2,
        "biocosmos, float32": mine("float32"),
    }
    for only in (nullcontext, avx2_only):  # compile, and choose the kernel, before the clock starts
        with only():
            kmeans(x[:512], 4, precision="int8", metric="euclidean", iterations=1)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    ends: dict[str, float] = {}
    for _ in range(arguments.repeats):
        for name, run in engines.items():
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            centroids = run()
            times[name].append((time.process_time() - cpu_start, time.perf_counter() - wall_start))
            ends[name] = inertia(x, centroids)
            print(name, times[name][-1], ends[name], flush=True)
    cpu = {name: statistics.median(t[0] for t in each) for name, each in times.items()}
    wall = {name: statistics.median(t[1] for t in each) for name, each in times.items()}
    best = min(peers, key=lambda name: cpu[name])
    rows = [
        {
            "engine": name,
            "CPU s": cpu[name],
            "s": wall[name],
            "CPU, share of best peer's": cpu[name] / cpu[best],
            "best peer": best,
            "inertia": ends[name],
            "inertia, % over best peer": 100 * (ends[name] / ends[best] - 1),
        }
        for name in engines
    ]
    write_results(
        "kmeans",
        rows,
        f"{n:,} x {DIM}, k = {k:,}, {iterations} iterations of Lloyd (Euclidean) from the same rows, {arguments.threads} "
        f"threads, medians of {arguments.repeats} rounds. faiss with max_points_per_centroid = n, or it would use 256 rows a "
        "centroid. The times of biocosmos and scikit-learn assign once more for the labels, which the others do not. "
        "AVX2 only: as on a processor without AVX-512 (BIOCOSMOS_ISA=avx2), beside peers that use all of this one. "
        f"Inertia of all by one float32 pass over their centroids. Peak memory {peak_memory_gib():.1f} GiB.",
    )


if __name__ == "__main__":
    main()
