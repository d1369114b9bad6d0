"""Scores of an embedding that need no label, to choose between embeddings of the same specimens on validation data.

Each takes the vectors of a gallery (n, d) and of queries (q, d), float32 unit rows, and gives one number, higher is better.
How well they order embeddings by recall differs from collection to collection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.errors import BiocosmosError
from biocosmos.search.exact import ExactIndex

Array = npt.NDArray[Any]
MOST = 2000
"""Queries that are looked at, a seeded sample of more."""
NEIGHBOURS = 10
HALVINGS = 4
LEAST_ROWS = 8


@dataclass(frozen=True)
class Criterion:
    """A score with its words.

    name: in tables; title: for people; meaning: one sentence; score: (gallery, queries, seed) -> float, or None for one that
    looks at all embeddings together.
    """

    name: str
    title: str
    meaning: str
    score: Callable[[Array, Array, int], float] | None


def neighbour_agreement(gallery: Array, queries: Array, seed: int = 0) -> float:
    """Share of the 10 nearest gallery rows that two disjoint random halves of the features find alike, 0..1.

    A neighbour that both halves name is one because of what the specimen is, not of a few features that happen to be near:
    the agreement of independent views of a sample (stability: von Luxburg, Clustering stability, 2010; views that are feature
    subspaces: Ho, The random subspace method, 1998). Mean of 4 random halvings.
    """
    _check(gallery, queries)
    rng = np.random.default_rng(seed)
    k = min(NEIGHBOURS, len(gallery))
    shares = []
    for _ in range(HALVINGS):
        order = rng.permutation(gallery.shape[1])
        halves = np.array_split(order, 2)
        first, second = (_nearest(_unit(gallery[:, half]), _unit(queries[:, half]), k) for half in halves)
        shares.append(float((first[:, :, None] == second[:, None, :]).any(2).mean()))
    return float(np.mean(shares))


def rank_me(gallery: Array, queries: Array, seed: int = 0) -> float:
    """Effective rank of the queries' vectors: exp(entropy of the singular values over their sum), 1..min(q, d).

    Garrido et al., RankMe: Assessing the downstream performance of pretrained self-supervised representations by their rank,
    ICML 2023, arXiv:2210.02885.
    """
    _check(gallery, queries)
    return effective_rank(queries)


def effective_rank(vectors: Array) -> float:
    """RankMe of vectors (n, d) float32, above; 0 where all are zero."""
    values = torch.linalg.svdvals(torch.from_numpy(np.ascontiguousarray(vectors))).double()
    share = values / values.sum()
    share = share[share > 0]
    return float(torch.exp(-(share * share.log()).sum())) if len(share) else 0.0


def neighbour_margin(gallery: Array, queries: Array, seed: int = 0) -> float:
    """How far the nearest gallery row stands out: mean of (nearest cosine - mean cosine of ranks 2 to 10) / (1 - that mean)."""
    _check(gallery, queries)
    k = min(NEIGHBOURS, len(gallery))
    scores = ExactIndex(np.ascontiguousarray(gallery)).search(queries, k).scores
    rest = scores[:, 1:].mean(1)
    return float(((scores[:, 0] - rest) / np.maximum(1 - rest, 1e-6)).mean())


def cross_scale_recall(first: Mapping[str, Array], clusters: Mapping[str, Array]) -> dict[str, float]:
    """How well each training finds the clusters of the others; higher is better, 1 is as well as they do.

    A training on k clusters makes just those easy to find. What it has learnt of the specimens shows in the clusters it was not
    trained on, coarser and finer ones: the mean over them of its recall@1, divided by the mean recall of all trainings that
    were not trained on them either.

    first: name of a training -> (n,) nearest other row of each validation specimen. clusters: name -> (n,) the clusters it was
    trained on, as the validation specimens belong to them.
    Returns: name -> ratio; nothing for fewer than :data:`LEAST_TRAININGS`, which would be judged on too different clusters.
    """
    if len(clusters) < LEAST_TRAININGS:
        return {}
    found = {
        name: {other: share_alike(first[name], codes) for other, codes in clusters.items() if other != name} for name in clusters
    }
    usual = {other: float(np.mean([row[other] for row in found.values() if other in row])) for other in clusters}
    ratios = {name: [value / usual[other] for other, value in row.items() if usual[other]] for name, row in found.items()}
    return {name: float(np.mean(values)) for name, values in ratios.items() if values}


LEAST_TRAININGS = 3
CROSS_SCALE = "cross-scale recall"
INFORMATION = "neighbour information"
RANK = "effective rank"
CRITERIA = (
    Criterion(
        CROSS_SCALE,
        "Recall of the other clusterings",
        "How well it finds the clusters of the other trainings, 1 is as well as they do.",
        None,
    ),
    Criterion(
        INFORMATION,
        "Neighbour information",
        "How much the clusters of a specimen's neighbours tell of its own, beyond chance, in nats.",
        None,
    ),
    Criterion(
        "neighbour agreement",
        "Neighbour agreement",
        "Share of the 10 nearest specimens that two random halves of the features find alike.",
        neighbour_agreement,
    ),
    Criterion(RANK, "Effective rank (RankMe)", "How many directions the vectors make use of.", rank_me),
    Criterion(
        "neighbour margin",
        "Neighbour margin",
        "How far the nearest specimen stands out from the next nine.",
        neighbour_margin,
    ),
)


def label_free_scores(gallery: Array, queries: Array, *, seed: int = 0) -> dict[str, float]:
    """Every criterion's score of one embedding alone: vectors of the training part (n, d) and of the validation part (q, d).

    The same seed looks at the same queries and halves the features alike, so that scores of embeddings of the same specimens
    can be compared. Raises BiocosmosError with fewer than 8 rows of either.
    """
    _check(gallery, queries)
    if len(queries) > MOST:
        queries = queries[np.sort(np.random.default_rng(seed).permutation(len(queries))[:MOST])]
    return {criterion.name: criterion.score(gallery, queries, seed) for criterion in CRITERIA if criterion.score}


def _check(gallery: Array, queries: Array) -> None:
    if min(len(gallery), len(queries)) < LEAST_ROWS or gallery.shape[1] < 2:
        raise BiocosmosError(
            f"{len(queries)} validation and {len(gallery)} training vectors are too few to score without labels: "
            f"give each part at least {LEAST_ROWS}"
        )


def _nearest(gallery: Array, queries: Array, k: int) -> Array:
    """(q, k) int64 gallery rows."""
    return ExactIndex(gallery).search(queries, k).rows.astype(np.int64)


def _unit(x: Array) -> Array:
    return np.ascontiguousarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def nearest_other(vectors: Array) -> Array:
    """(n,) int64: the row nearest to each row of ``vectors`` (n, dim) float32 unit rows, itself left out."""
    near = ExactIndex(vectors).search(vectors, 2).rows
    return np.where(near[:, 0] == np.arange(len(vectors)), near[:, 1], near[:, 0])


def asked_rows(target: Array) -> Array:
    """(n,) bool: rows with a ``target`` of at least 0 that another row has too."""
    _, code, counts = np.unique(target, return_inverse=True, return_counts=True)
    asked: Array = (target >= 0) & (counts[code] > 1)
    return asked


def share_alike(first: Array, target: Array) -> float:
    """Share of rows whose neighbour ``first`` (n,) has their own ``target`` (n,), among those for which there is another row.

    Rows whose target is below 0 are not asked.
    """
    asked = asked_rows(target)
    return float((target[first] == target)[asked].mean()) if asked.any() else 0.0
