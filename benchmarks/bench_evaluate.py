"""All-vs-all retrieval with per-species, per-genus and per-group recalls: biocosmos against loops in Python.

    python benchmarks/bench_evaluate.py            # 31,452 x 512; the loops run on a part of the queries, extrapolated
    python benchmarks/bench_evaluate.py --queries 31452   # the loops in full (more than half an hour)

The loops are what evaluation notebooks do: make the whole similarity matrix, then for every rank, every k, every class and every
query of the class sort its row and look at the first k. Both sides use the same vectors and labels, and must give equal numbers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa

from biocosmos import evaluate
from biocosmos.search.gallery import Gallery
from machine import peak_memory_gib, write_results

# The size and shape of VLM4Bio's image sets: 31,452 images of 743 species in 227 genera and three groups, long-tailed.
ROWS, DIM, LATENT, SPECIES, GENERA = 31_452, 512, 96, 743, 227
GROUPS = ("Fish", "Bird", "Butterfly")
KS = (1, 5, 10)
RANKS = ("genus", "species")


def data(rows: int, seed: int = 0) -> Gallery:
    """Embeddings as the search benchmark makes them: a latent space of 96 dimensions, and noise in all 512."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, SPECIES + 1) ** 0.6
    species = rng.choice(SPECIES, rows, p=weights / weights.sum())
    home = rng.integers(0, GENERA, SPECIES)
    centres = rng.normal(size=(GENERA, LATENT))[home] + 0.6 * rng.normal(size=(SPECIES, LATENT))
    latent = centres[species] + 1.5 * rng.normal(size=(rows, LATENT))
    x = (latent @ rng.normal(size=(LATENT, DIM)) / LATENT**0.5 + 0.3 * rng.normal(size=(rows, DIM))).astype(np.float32)
    table = pa.table({"genus": [f"Genus{home[s]}" for s in species], "species": [f"Genus{home[s]} species{s}" for s in species]})
    columns = pa.table({"group": [GROUPS[home[s] % 3] for s in species]})
    return Gallery.build([f"image{i}" for i in range(rows)], x, table=table, columns=columns)


def loops(gallery: Gallery, matrix: np.ndarray, queries: set[int]) -> dict[tuple[str, int], dict[str, float]]:
    """Recall of every class at every k, one query at a time, over ``queries``."""
    names = {rank: gallery.taxonomy.name(gallery.taxonomy.ancestor(gallery.taxa, rank)) for rank in RANKS}
    names["group"] = np.array(gallery.columns.column("group").to_pylist(), dtype=object)
    recalls: dict[tuple[str, int], dict[str, float]] = {}
    for rank, labels in names.items():
        members: dict[str, list[int]] = {}
        for i, label in enumerate(labels):
            if i in queries:
                members.setdefault(label, []).append(i)
        for k in KS:
            recalls[rank, k] = {}
            for label, mine in members.items():
                hits = 0
                for i in mine:
                    similarity = matrix[i].copy()
                    similarity[i] = -np.inf
                    nearest = np.argsort(-similarity, kind="stable")[:k]
                    hits += any(labels[j] == label for j in nearest)
                recalls[rank, k][label] = hits / len(mine)
    return recalls


def one_sort(gallery: Gallery, matrix: np.ndarray, queries: list[int]) -> float:
    """Seconds of the least that a loop over queries can do: sort each row once and look at it for every rank and k."""
    names = [gallery.taxonomy.name(gallery.taxonomy.ancestor(gallery.taxa, rank)) for rank in RANKS]
    names.append(np.array(gallery.columns.column("group").to_pylist(), dtype=object))
    start = time.perf_counter()
    for i in queries:
        similarity = matrix[i].copy()
        similarity[i] = -np.inf
        nearest = np.argsort(-similarity, kind="stable")[: max(KS)]
        for labels in names:
            for k in KS:
                any(labels[j] == labels[i] for j in nearest[:k])
    return time.perf_counter() - start


def hits_of(report: evaluate.Report, rank: str, k: int, rows: list[int]) -> list[bool]:
    first = report.table("queries").column(f"{rank} first right").to_pylist()
    return [first[i] is not None and first[i] <= k for i in rows]


def ours(rows: int) -> tuple[float, float, evaluate.Report, Gallery]:
    """Seconds of the whole report (search, hits, tables, intervals), peak memory, the report."""
    gallery = data(rows)
    start = time.perf_counter()
    report = evaluate.retrieval(gallery, ks=KS, groups=["group"])
    return time.perf_counter() - start, peak_memory_gib(), report, gallery


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument(
        "--queries", type=int, default=300, help="queries that the loops run on; fewer than --rows is extrapolated"
    )
    parser.add_argument("--only-ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_ours:
        seconds, memory, *_ = ours(options.rows)
        print(f"{seconds} {memory}")
        return
    # Memory of a process of its own, which never sees the loops' matrix.
    alone = subprocess.run(
        [sys.executable, __file__, "--only-ours", "--rows", str(options.rows)], capture_output=True, text=True, check=True
    ).stdout.split()
    seconds, _, report, gallery = ours(options.rows)
    seconds = min(seconds, float(alone[0]))

    start = time.perf_counter()
    matrix = gallery.vectors @ gallery.vectors.T
    matrix_seconds = time.perf_counter() - start
    some = sorted(np.random.default_rng(1).choice(options.rows, min(options.queries, options.rows), replace=False).tolist())
    start = time.perf_counter()
    recalls = loops(gallery, matrix, set(some))
    part = time.perf_counter() - start
    scale = options.rows / len(some)
    total = matrix_seconds + part * scale

    lean = one_sort(gallery, matrix, some) * scale + matrix_seconds

    compared = differing = 0
    for (rank, k), by_label in recalls.items():
        labels = report.table("queries").column(rank).to_pylist()
        right = dict(zip(some, hits_of(report, rank, k, some)))
        for label, recall in by_label.items():
            mine = [i for i in some if labels[i] == label]
            compared += 1
            differing += abs(recall - np.mean([right[i] for i in mine])) > 1e-12
    full = len(some) == options.rows
    how = "in full" if full else f"{len(some):,} queries measured ({part:.1f} s), extrapolated by {scale:.1f}"
    rows = [
        {"what": "biocosmos evaluate.retrieval, whole report with intervals", "seconds": seconds, "peak GiB": float(alone[1])},
        {"what": f"loops over classes and queries, {how}, and the matrix", "seconds": total, "peak GiB": matrix.nbytes / 2**30},
        {"what": "of which the full similarity matrix", "seconds": matrix_seconds},
        {"what": "loop over queries that sorts each row once for all ranks and k, extrapolated likewise", "seconds": lean},
        {"what": "times less than the loops over classes and queries", "seconds": total / seconds},
        {"what": "times less than the loop that sorts once", "seconds": lean / seconds},
    ]
    notes = (
        f"{options.rows:,} x {DIM} vectors, {SPECIES} species, {GENERA} genera, 3 groups, k = 1, 5, 10. "
        "Synthetic embeddings (96 latent dimensions and noise); the time of biocosmos is the better of two runs. "
        f"{compared:,} class recalls compared, {differing} differ. The peak of biocosmos is the whole process with Python, "
        "torch and the "
        "vectors; that of the loops is the matrix alone. Rows of the loops are sorted stably, so that equal cosines stand in "
        "row order "
        "on both sides."
    )
    print(write_results("evaluate", rows, notes).read_text())


if __name__ == "__main__":
    main()
