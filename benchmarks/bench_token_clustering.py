"""Clustering the tokens of images beside the published way and scipy: milliseconds an image, side by side in one run.

    python benchmarks/bench_token_clustering.py               # 196 tokens to 98 in batches of 32, 1,369 to 684 in batches of 4
    python benchmarks/bench_token_clustering.py --linkages average --rounds 5
    python benchmarks/bench_token_clustering.py --forward     # what the three steps of ATC take of a forward pass of ViT-S

The published way (github.com/JoakimHaurum/ATC): the matrix of cosine distances by torch, over to numpy, scikit-learn's
AgglomerativeClustering one image after another, labels back to torch. "scipy": the same with scipy's linkage and a cut of its
tree after as many merges as are wanted. Keys, 64 numbers each: "smooth" (a coarse random field between which patches lie, and
15 % noise), "alike" (the same far from the origin, as in late blocks and on flat backgrounds: distances about 0.002) and
"random" (isotropic). Every partition is compared with scikit-learn's from distances in float64.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy.cluster.hierarchy import linkage as scipy_tree
from scipy.spatial.distance import squareform
from sklearn.cluster import AgglomerativeClustering
from torch.nn import functional as F

from biocosmos.encoders.reduction.clustering import LINKAGES, agglomerate
from machine import write_results

DIMS, COARSE, NOISE, COMMON, THREADS = 64, 6, 0.15, 25.0, 2
CASES = (("196 to 98", 14, 98, 32), ("1,369 to 684", 37, 684, 4))
"""name, patches on a side, clusters, images in a batch."""
PUBLISHED, OURS = "published (scikit-learn)", "biocosmos, compiled"
NOTES = """Milliseconds an image on two threads, the least of all rounds, all ways in turn in one process. The published way and
scipy cluster on one thread, for they cannot do otherwise, and are timed image by image, the least of each: a busy machine
lengthens their long calls more than our short ones. "CPU" is processor time of all threads, the least too. "as in
float64": images with scikit-learn's partition from distances in float64. Ours is one call for the batch, from keys to labels;
distances are included on all sides."""
REPEATS = 20
"""Of ours in a round, so that its few milliseconds for a batch are once not interrupted, as the published way's for an image."""
SLOW_ROUNDS = 1
"""The rounds in torch are for other devices than this: timed so often here."""


def keys_of(kind: str, side: int, images: int) -> torch.Tensor:
    """(images, side * side, DIMS) float32."""
    made = torch.Generator().manual_seed(0)
    if kind == "random":
        return torch.randn(images, side * side, DIMS, generator=made)
    coarse = torch.randn(images, DIMS, COARSE, COARSE, generator=made)
    fine = F.interpolate(coarse, size=(side, side), mode="bicubic")
    keys = (fine + NOISE * torch.randn(images, DIMS, side, side, generator=made)).flatten(2).mT.contiguous()
    return keys if kind == "smooth" else keys + COMMON * torch.randn(DIMS, generator=made)


def matrices(keys: torch.Tensor) -> torch.Tensor:
    unit = keys / keys.norm(dim=-1, keepdim=True)
    return 1 - unit @ unit.transpose(-1, -2)


def published(distances: np.ndarray, count: int, linkage: str) -> np.ndarray:
    return AgglomerativeClustering(metric="precomputed", linkage=linkage, n_clusters=count).fit_predict(distances)


def by_scipy(distances: np.ndarray, count: int, linkage: str) -> np.ndarray:
    n = len(distances)
    tree = scipy_tree(squareform(distances, checks=False), linkage)
    parent = np.arange(2 * n - count)
    for made, pair in enumerate(tree[: n - count, :2].astype(np.int64)):
        parent[pair] = n + made
    for node in range(len(parent) - 1, -1, -1):
        parent[node] = parent[parent[node]]
    return np.unique(parent[:n], return_inverse=True)[1]


class Timer:
    """The least wall and CPU milliseconds of a way over the rounds; where images go one after another, the least of each."""

    def __init__(self) -> None:
        self.wall: dict[str, dict[int, float]] = {}
        self.cpu: dict[str, dict[int, float]] = {}

    def __call__(self, name: str, part: int, work: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        found = work()
        for kept, spent in ((self.wall, time.perf_counter() - wall), (self.cpu, time.process_time() - cpu)):
            parts = kept.setdefault(name, {})
            parts[part] = min(parts.get(part, np.inf), spent)
        return found

    def milliseconds(self, kept: dict[str, dict[int, float]], name: str, images: int) -> float:
        return sum(kept[name].values()) / images * 1e3


def measured(case: str, kind: str, linkage: Any, rounds: int) -> list[dict[str, Any]]:
    """A line a way."""
    _, side, count, images = next(c for c in CASES if c[0] == case)
    keys, timer = keys_of(kind, side, images), Timer()
    batched = {OURS: "compiled", "biocosmos, rounds in torch": "rounds"}
    found: dict[str, np.ndarray] = {}
    for number in range(rounds):
        for name, how in batched.items():
            if how == "rounds" and number >= SLOW_ROUNDS:
                continue
            for _ in range(REPEATS if how == "compiled" else 1):
                found[name] = timer(name, 0, partial(agglomerate, keys, count, linkage, how=how)).numpy()
        for name, one in ((PUBLISHED, published), ("scipy", by_scipy)):
            distances = timer(name, -1, lambda: matrices(keys).numpy())
            labels = [timer(name, i, partial(one, d, count, linkage)) for i, d in enumerate(distances)]
            found[name] = timer(name, images, partial(np.stack, labels))
    exact = [published(distances, count, linkage) for distances in matrices(keys.double()).numpy()]
    lines = []
    for name, labels in found.items():
        wall, cpu = (timer.milliseconds(kept, name, images) for kept in (timer.wall, timer.cpu))
        lines.append(
            {
                "tokens": case,
                "batch": images,
                "keys": kind,
                "linkage": linkage,
                "way": name,
                "ms an image": round(wall, 3),
                "CPU ms an image": round(cpu, 3),
                "times the published way": round(timer.milliseconds(timer.wall, PUBLISHED, images) / wall, 1),
                "CPU, times": round(timer.milliseconds(timer.cpu, PUBLISHED, images) / cpu, 1),
                "as in float64": f"{sum(same(a, b) for a, b in zip(labels, exact))} of {images}",
            }
        )
        print(lines[-1], flush=True)
    return lines


FORWARD_NOTES = """CPU milliseconds an image of one thread, batches of 16, 224 px, the fastest of the rounds. ViT-S/16 with random
weights, images of smooth noise. "steps": the three reductions, of which "clustering" is agglomerate alone."""


def forward(reduction: str, dtype: torch.dtype, rounds: int) -> dict[str, Any]:
    """What the steps of a reduced ViT-S take of its forward pass."""
    import timm

    from biocosmos.encoders.reduction import atc
    from biocosmos.encoders.reduction.network import ReducedVit
    from biocosmos.encoders.reduction.spec import Reduction

    torch.manual_seed(0)
    vit = timm.create_model("vit_small_patch16_224", num_classes=0).eval().to(dtype)
    network = ReducedVit(vit, Reduction.parse(reduction), 224).eval()
    images = F.interpolate(torch.randn(16, 3, 28, 28), size=224, mode="bicubic").to(dtype)
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            start = time.thread_time()
            found = work(*given, **named)
            spent[name] = spent.get(name, 0) + time.thread_time() - start
            return found

        return call

    best: dict[str, float] = {}
    with patch.object(atc, "agglomerate", timed("clustering", agglomerate)), torch.inference_mode():
        for step in network.steps.values():
            step.forward = timed("steps", step.forward)
        for _ in range(rounds):
            spent.clear()
            timed("forward", network)(images)
            best = min(best or spent, spent, key=lambda one: one["forward"]).copy()
    line: dict[str, Any] = {"network": "ViT-S/16", "reduction": reduction, "precision": str(dtype).removeprefix("torch.")}
    line |= {f"{name}, CPU ms": round(best[name] / len(images) * 1e3, 3) for name in ("forward", "steps", "clustering")}
    line |= {f"{name}, %": round(best[name] / best["forward"] * 100, 2) for name in ("steps", "clustering")}
    print(line, flush=True)
    return line


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two labellings are one partition."""
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--linkages", nargs="+", default=list(LINKAGES), choices=LINKAGES)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--forward", action="store_true")
    given = parser.parse_args()
    if given.forward:
        torch.set_num_threads(1)
        kinds = ["atc-0.5" if linkage == "average" else f"atc.{linkage}-0.5" for linkage in given.linkages]
        wanted = [(kind, dtype) for dtype in (torch.float32, torch.bfloat16) for kind in kinds]
        write_results("token_clustering_share", [forward(*one, given.rounds) for one in wanted], FORWARD_NOTES)
        return
    torch.set_num_threads(THREADS)
    lines = []
    for name, *_ in CASES:
        for kind in ("smooth", "alike", "random"):
            for linkage in given.linkages:
                agglomerate(keys_of(kind, 4, 2), 3, linkage)  # compiled before it is timed
                lines += measured(name, kind, linkage, given.rounds)
                write_results("token_clustering", lines, NOTES)  # what there is so far


if __name__ == "__main__":
    main()
