"""Predictions made up for tests: a small tree with null ranks, class scores around the truth, features in clusters."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from biocosmos.identify.paths import CandidateTree
from biocosmos.identify.predictions import Predictions, node_log_p
from biocosmos.taxonomy import Taxonomy

PATHS = {
    "status": ["living"] * 7 + ["non-living"] * 2 + [None],
    "group": ["copepod"] * 3 + ["diatom"] * 2 + ["fish", "fish", "detritus", "detritus", None],
    "label": ["calanoid", "cyclopoid", "harpacticoid", "chain", "centric", "larva", "egg", "fluff", "fibre", "blob"],
}


def example(
    seed: int = 0, n: int = 600, *, noise: float = 1.5, dim: int = 16, left_out: tuple[str, ...] = (), with_levels: bool = True
) -> Predictions:
    """n specimens over ten classes of unequal size; ``noise`` makes mistakes, more often within a group than across.

    left_out: labels that are no class of the head, though specimens of them are asked about.
    """
    rng = np.random.default_rng(seed)
    tax = Taxonomy.from_table(PATHS, ("status", "group", "label"))
    labels = PATHS["label"]
    nodes = np.array([tax.find(f"label:{name}") for name in labels], np.int32)
    classes = np.sort(nodes[[name not in left_out for name in labels]])
    share = np.array([0.25, 0.15, 0.05, 0.15, 0.1, 0.08, 0.05, 0.09, 0.05, 0.03])
    truth = rng.choice(nodes, n, p=share / share.sum()).astype(np.int32)
    near = np.array([[len(set(_up(tax, int(a))) & set(_up(tax, int(b)))) for b in classes] for a in np.arange(len(tax))])
    logits = (1.5 * near[truth] + noise * rng.normal(size=(n, len(classes)))).astype(np.float32)
    centres = rng.normal(size=(len(tax), dim)) * 2
    features = (centres[truth] + 0.5 * centres[np.maximum(tax.parent[truth], 0)] + rng.normal(size=(n, dim))).astype(np.float32)
    tree = CandidateTree(tax, classes)
    levels, level_nodes = None, ()
    if with_levels:
        level_nodes = tuple(tree.nodes[tree.ranks == level].astype(np.int32) for level in range(3))
        log_p = node_log_p(tree, logits)
        raw = [log_p[:, nodes_] + 0.7 * rng.normal(size=(n, len(nodes_))) for nodes_ in level_nodes]
        levels = tuple((x - np.logaddexp.reduce(x, axis=1, keepdims=True)).astype(np.float32) for x in raw)
    return Predictions(
        ids=np.array([f"s{seed}-{i:05d}" for i in range(n)], object),
        taxonomy=tax,
        classes=classes,
        logits=logits,
        features=features,
        truth=truth,
        rank_scores=levels,
        rank_nodes=level_nodes,
        facts={"head": "made up", "encoder": "none", "part": "test"},
        columns=pa.table({"site": [f"site {i % 3}" for i in range(n)]}),
    )


def _up(tax: Taxonomy, node: int) -> list[int]:
    out = []
    while node > 0:
        out.append(node)
        node = int(tax.parent[node])
    return out
