"""The neighbour graph beside faiss and pynndescent: CPU seconds, side by side in one run.

    python benchmarks/bench_graph.py                   # 100,000 x 512, k = 15, two kinds of vectors, one thread
    python benchmarks/bench_graph.py --million WORK    # ours alone, 1,000,000 x 512 on all cores; goes on where it was killed
    python benchmarks/bench_graph.py --collection plankton.cosmos     # the vectors of a collection

Vectors: "long-tailed" and "isotropic" as benchmarks/bench_search.py makes them, with as many classes as the rows allow. faiss
(IndexFlatIP) answers a sample of the rows, and its time is scaled up; recall is of the k neighbours of 1,000 rows,
judged in float64.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bench_search
from bench_search import isotropic, long_tailed
from biocosmos.search.graph import neighbour_graph
from machine import write_results

NOTES = "CPU seconds, medians of the rounds, both sides in turn in one process. faiss: IndexFlatIP, a sample of rows scaled up."
ROWS, K, ASKED, JUDGED, ROUNDS = 100_000, 15, 10_000, 1000, 3


def measured(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """(CPU seconds, wall seconds, what it gave)."""
    cpu, wall = time.process_time(), time.monotonic()
    found = work()
    return time.process_time() - cpu, time.monotonic() - wall, found


def recall(x: np.ndarray, rows: np.ndarray, asked: np.ndarray) -> float:
    """Share of ``rows`` (len(asked), k) whose cosine reaches the k-th of all other rows, in float64."""
    right = 0
    for i in range(0, len(asked), 100):
        part = asked[i : i + 100]
        cosines = x[part].astype(np.float64) @ x.T.astype(np.float64)
        cosines[np.arange(len(part)), part] = -np.inf
        least = np.partition(cosines, -K, axis=1)[:, -K]
        given = np.take_along_axis(cosines, rows[i : i + 100].astype(np.int64), 1)
        right += int((given >= least[:, None] - 1e-7).sum())
    return right / (len(asked) * K)


def beside(name: str, x: np.ndarray, rounds: int) -> dict[str, Any]:
    """Ours, faiss and pynndescent, in turn."""
    import faiss
    import pynndescent

    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    judged = np.sort(rng.choice(len(x), min(JUDGED, len(x)), replace=False))
    some = np.sort(rng.choice(len(x), min(ASKED, len(x)), replace=False))
    times: dict[str, list[float]] = {"biocosmos": [], "faiss": [], "pynndescent": []}
    found: dict[str, np.ndarray] = {}
    pynndescent.NNDescent(x[:500], metric="dot", n_neighbors=K + 1, n_jobs=1)  # compiled before it is timed
    for _ in range(rounds):
        cpu, _, graph = measured(lambda: neighbour_graph(x, K))
        times["biocosmos"].append(cpu)
        found["biocosmos"] = graph.rows[judged]
        index = faiss.IndexFlatIP(x.shape[1])
        index.add(x)
        cpu, _, _ = measured(partial(index.search, x[some], K + 1))
        times["faiss"].append(cpu * len(x) / len(some))
    cpu, _, made = measured(lambda: pynndescent.NNDescent(x, metric="dot", n_neighbors=K + 1, n_jobs=1, random_state=0))
    times["pynndescent"].append(cpu)
    rows = made.neighbor_graph[0][judged]
    own = rows == judged[:, None]
    own[~own.any(axis=1), -1] = True
    found["pynndescent"] = rows[~own].reshape(len(judged), K)
    ours = float(np.median(times["biocosmos"]))
    line = {
        "vectors": name,
        "rows": len(x),
        "dims": x.shape[1],
        "k": K,
        "ours, CPU s": round(ours, 1),
        "faiss, CPU s": round(float(np.median(times["faiss"])), 1),
        "times faiss": round(float(np.median(np.array(times["faiss"]) / np.array(times["biocosmos"]))), 2),
        "our recall": recall(x, found["biocosmos"], judged),
        "pynndescent, CPU s": round(times["pynndescent"][0], 1),
        "its recall": round(recall(x, found["pynndescent"], judged), 4),
    }
    print(line, flush=True)
    return line


def million(work: Path, asked: int) -> dict[str, Any]:
    """1,000,000 x 512 on all cores, resumable; CPU and wall seconds of this run alone, of the rows that are asked about."""
    x = long_tailed(1_000_000, 1, 0.1)[0]
    if asked < len(x):
        some = np.ascontiguousarray(x[:: len(x) // asked][:asked])
        cpu, wall, _ = measured(lambda: neighbour_graph(some, K + 1, others=x, folder=work))
    else:
        cpu, wall, _ = measured(lambda: neighbour_graph(x, K, folder=work))
    line = {"vectors": "long-tailed", "rows": len(x), "asked": asked, "dims": x.shape[1], "k": K}
    line |= {"CPU s": round(cpu), "wall s": round(wall), "CPU s for all, scaled": round(cpu * len(x) / asked)}
    print(line, flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", type=Path, metavar="WORK")
    parser.add_argument("--asked", type=int, default=1_000_000, help="with --million: neighbours of so many rows, evenly spaced")
    parser.add_argument("--collection", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    if given.million:
        write_results("graph_million", [million(given.million, given.asked)], NOTES)
        return
    if given.collection:
        import biocosmos as bc

        x = bc.Collection.open(given.collection).gallery(columns=[]).vectors
        write_results("graph_collection", [beside(given.collection.stem, x, given.rounds)], NOTES)
        return
    bench_search.CLASSES = max(bench_search.CLASSES * given.rows // 1_000_000, 50)
    makers = {"long-tailed": long_tailed(given.rows, 1, 0.1)[0], "isotropic": isotropic(given.rows, 1)[0]}
    write_results("graph", [beside(name, x, given.rounds) for name, x in makers.items()], NOTES)


if __name__ == "__main__":
    main()
