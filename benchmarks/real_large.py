"""Clusters of many rows beside the exact methods, on all images of PlanktonSet: AMI with the taxa of both, and of one with the
other.

    python benchmarks/real_large.py plankton.cosmos [--rank label] [--million]

Exact: scikit-learn's AgglomerativeClustering (Ward) and HDBSCAN, which need pairs of rows (7 GB) or minutes. --million: ours
alone on 1,000,000 rows of 50 dimensions, with the peak of memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import biocosmos as bc
from biocosmos.discover.clusters.large import large_hdbscan, two_level_ward
from biocosmos.discover.clusters.settings import ClusterSettings
from biocosmos.discover.clusters.spaces import space
from biocosmos.evaluate.clustering.scores import ami
from machine import write_results

LEAST, SAMPLES, LARGEST = 15, 5, 0.2
NOTES = "AMI with the taxa, noise counted as one cluster as the study does; CPU seconds of one run on a loaded machine."


def timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def beside(name: str, x: np.ndarray, truth: np.ndarray, count: int) -> list[dict[str, Any]]:
    """Ward and HDBSCAN of one space, exact and ours."""
    from sklearn.cluster import HDBSCAN, AgglomerativeClustering

    exact_dense = HDBSCAN(LEAST, min_samples=SAMPLES, max_cluster_size=int(LARGEST * len(x)), copy=True)
    pairs: dict[str, tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]] = {
        f"ward of {count}": (
            lambda: AgglomerativeClustering(count).fit_predict(x),
            lambda: two_level_ward(x, clusters=count),
        ),
        f"hdbscan of at least {LEAST}": (
            lambda: exact_dense.fit_predict(x),
            lambda: large_hdbscan(x, min_cluster_size=LEAST, min_samples=SAMPLES, largest=LARGEST),
        ),
    }
    rows = []
    for method, (exact, ours) in pairs.items():
        (theirs, their_time), (found, time_of_ours) = timed(exact), timed(ours)
        rows.append(
            {
                "space": name,
                "method": method,
                "AMI exact": round(ami(truth, theirs), 4),
                "AMI ours": round(ami(truth, found), 4),
                "AMI of one with the other": round(ami(theirs - theirs.min(), found), 4),
                "noise exact": round(float((theirs < 0).mean()), 3),
                "noise ours": round(float((found < 0).mean()), 3),
                "CPU s exact": round(their_time, 1),
                "CPU s ours": round(time_of_ours, 1),
            }
        )
        print(rows[-1], flush=True)
    return rows


def million() -> list[dict[str, Any]]:
    """A mixture of 2,000 clusters of Zipf sizes in 50 dimensions."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, 2001)
    which = rng.choice(2000, 1_000_000, p=share / share.sum())
    x = (rng.normal(size=(2000, 50))[which] + 0.35 * rng.normal(size=(len(which), 50))).astype(np.float32)
    rows = []
    for method, work in {
        "ward of 2,000": lambda: two_level_ward(x, clusters=2000),
        f"hdbscan of at least {LEAST}": lambda: large_hdbscan(x, min_cluster_size=LEAST, min_samples=SAMPLES),
    }.items():
        wall = time.monotonic()
        found, seconds = timed(work)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        row = {"method": method, "rows": len(x), "AMI": round(ami(which, found), 4), "CPU s": round(seconds)}
        rows.append({**row, "wall s": round(time.monotonic() - wall), "peak GiB": round(peak, 1)})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path, nargs="?")
    parser.add_argument("--rank", default="label")
    parser.add_argument("--million", action="store_true")
    given = parser.parse_args()
    if given.million:
        write_results("large_million", million(), NOTES)
        return
    gallery = bc.Collection.open(given.collection).gallery(columns=[])
    assert gallery.taxa is not None and gallery.taxonomy is not None
    truth = gallery.taxonomy.ancestor(gallery.taxa, given.rank)
    count = len(np.unique(truth[truth >= 0]))
    rows = []
    for name, settings in {
        "pca 50": ClusterSettings(reducer="pca", dims=50),
        "umap 50": ClusterSettings(reducer="umap"),
    }.items():
        rows += beside(name, space(gallery.vectors, settings), truth, count)
    write_results("large", rows, NOTES)


if __name__ == "__main__":
    main()
