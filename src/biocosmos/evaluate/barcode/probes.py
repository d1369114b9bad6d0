"""What an embedding of barcodes is worth, by the three probes of the BarcodeBERT papers.

    linear_probe(...)       species of known ones, by a softmax on frozen vectors
    nearest_probe(...)      genus of unseen species, by the nearest vector
    clustering_probe(...)   zero-shot clustering: UMAP, Ward, adjusted mutual information at every rank

Arias et al., BarcodeBERT, 2023 (arXiv:2311.02401); Gharaee et al., BIOSCAN-5M, NeurIPS 2024 (arXiv:2406.12723); Lowe et al., 2024
(arXiv:2406.02465). The caller sees to it that no encoder is asked about what it learnt (:mod:`biocosmos.specimens.guard`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.discover.extras import load
from biocosmos.errors import BiocosmosError
from biocosmos.search.exact import ExactIndex
from biocosmos.search.sparse.index import SparseIndex

Array = npt.NDArray[Any]
Names = Sequence[str | None] | npt.NDArray[np.object_]
"""None: no name at the rank; such specimens are not asked about, and teach nothing."""


@dataclass(frozen=True)
class LinearRecipe:
    """SGD on a softmax. BarcodeBERT trains its own frozen encoder by "encoder" and other encoders' vectors by "vectors"."""

    lr: float
    momentum: float
    weight_decay: float
    epochs: int = 200
    batch_size: int = 1024


RECIPES = {"encoder": LinearRecipe(0.01, 0.9, 1e-5), "vectors": LinearRecipe(1.0, 0.95, 1e-9)}
UMAP = {"n_components": 50, "n_neighbors": 5, "metric": "cosine", "random_state": 42}
"""Of BIOSCAN-5M's zero-shot clustering; min_dist is UMAP's own."""
PROJECTED = 512
_DENSE_ROWS = 512
MOST_CLUSTERED = 20_000
"""Ward's linkage holds a distance of every pair: 1.6 GB for so many."""


@dataclass(frozen=True)
class ProbeFigures:
    """What a probe found.

    queries: asked about; answerable: of them those whose name is among the keys or classes, the others count as wrong; accuracy;
    balanced: mean over true names; f1_micro, f1_macro, f1_weighted: as scikit-learn's, over the names asked about (an answer
    outside them counts against its own name alone, which is not averaged).
    """

    queries: int
    answerable: int
    accuracy: float
    balanced: float
    f1_micro: float
    f1_macro: float
    f1_weighted: float

    @classmethod
    def of(cls, true: Array, said: Array, known: Array) -> ProbeFigures:
        """From names (n,), answers (n,) and whether each name could be answered (n,) bool."""
        from sklearn.metrics import f1_score

        if not len(true):
            raise BiocosmosError("no query has a name at this rank: there is nothing to measure")
        right = true == said
        names = np.unique(true)
        scores = {
            how: float(f1_score(true, said, labels=names, average=how, zero_division=0)) for how in ("micro", "macro", "weighted")
        }
        balanced = float(np.mean([right[true == name].mean() for name in names]))
        return cls(
            len(true), int(known.sum()), float(right.mean()), balanced, scores["micro"], scores["macro"], scores["weighted"]
        )


def nearest_probe(keys: KmerCounts | Array, key_names: Names, queries: KmerCounts | Array, query_names: Names) -> ProbeFigures:
    """Names by the nearest key, by cosine (BarcodeBERT: 1-NN, keys of the training part, unseen species, their genus).

    keys, queries: counts of k-mers, or (m, dim), (n, dim) float32 unit rows. Ties go to the first key.
    """
    theirs, mine = _names(key_names), _names(query_names)
    kept, asked = np.flatnonzero(theirs != ""), np.flatnonzero(mine != "")
    if not len(kept):
        raise BiocosmosError("no key has a name at this rank: there is nothing to answer with")
    if isinstance(keys, KmerCounts) and isinstance(queries, KmerCounts):
        rows = SparseIndex(keys.take(kept)).search(queries.take(asked), 1).rows[:, 0]
    elif isinstance(keys, KmerCounts) or isinstance(queries, KmerCounts):
        raise BiocosmosError("keys and queries must both be counts of k-mers, or both be vectors of one encoder")
    else:
        index = ExactIndex(np.ascontiguousarray(keys[kept], np.float32))
        rows = index.search(np.ascontiguousarray(queries[asked], np.float32), 1).rows[:, 0]
    said = np.where(rows >= 0, theirs[kept][np.maximum(rows, 0)], "")  # a query without k-mers finds nothing
    return ProbeFigures.of(mine[asked], said, np.isin(mine[asked], theirs[kept]))


def linear_probe(
    features: Array,
    names: Names,
    asked_features: Array,
    asked_names: Names,
    *,
    recipe: LinearRecipe | Literal["encoder", "vectors"] = "encoder",
    seed: int = 0,
    device: str = "cpu",
) -> ProbeFigures:
    """Names by a softmax trained on frozen features (BarcodeBERT: species of the test part).

    features, asked_features: (m, dim), (n, dim) float32, not made unit length. Both are standardised by the one mean and the one
    standard deviation of all numbers of ``features``, as published.
    """
    import torch
    from torch import nn

    how = RECIPES[recipe] if isinstance(recipe, str) else recipe
    theirs, mine = _names(names), _names(asked_names)
    kept, asked = np.flatnonzero(theirs != ""), np.flatnonzero(mine != "")
    classes, targets = np.unique(theirs[kept], return_inverse=True)
    if len(classes) < 2:
        raise BiocosmosError(f"a linear probe needs two names at least, not {len(classes)}: name another rank or part")
    mean, deviation = float(features[kept].mean()), float(features[kept].std()) or 1.0
    x = torch.from_numpy(((features[kept] - mean) / deviation).astype(np.float32)).to(device)
    y = torch.from_numpy(targets.astype(np.int64)).to(device)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        linear = nn.Linear(x.shape[1], len(classes)).to(device)
    optimizer = torch.optim.SGD(linear.parameters(), lr=how.lr, momentum=how.momentum, weight_decay=how.weight_decay)
    for _ in range(how.epochs):
        order = torch.randperm(len(x), generator=generator).to(device)
        for start in range(0, len(order), how.batch_size):
            rows = order[start : start + how.batch_size]
            loss = nn.functional.cross_entropy(linear(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        asked_x = torch.from_numpy(((asked_features[asked] - mean) / deviation).astype(np.float32)).to(device)
        said = classes[linear(asked_x).argmax(1).cpu().numpy()]
    return ProbeFigures.of(mine[asked], said, np.isin(mine[asked], classes))


def projected(vectors: KmerCounts | Array, dim: int = PROJECTED, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """(n, dim) float32: counts of k-mers projected at random, which keeps their cosines about; vectors as they are.

    A linear probe on the 8,192 numbers and more of long k-mers takes a processor hours.
    """
    if not isinstance(vectors, KmerCounts):
        return np.asarray(vectors, np.float32)
    directions = np.random.default_rng(seed).normal(size=(vectors.dim, dim)).astype(np.float32) / np.float32(dim**0.5)
    starts = range(0, len(vectors), _DENSE_ROWS)
    blocks = [vectors.dense(np.arange(i, min(i + _DENSE_ROWS, len(vectors)))) @ directions for i in starts]
    return np.concatenate(blocks) if blocks else np.zeros((0, dim), np.float32)


def clustering_probe(
    vectors: KmerCounts | Array,
    names: Mapping[str, Names],
    *,
    clusters: int | None = None,
    count_by: str = "species",
    reduce: Literal["umap", "none"] = "umap",
    most: int = MOST_CLUSTERED,
    seed: int = 0,
) -> dict[str, float]:
    """Rank -> adjusted mutual information of Ward's clusters with the names, over the specimens that have one.

    vectors: (n, dim) float32, or counts of k-mers, which are made dense; names: rank (or "dna_bin") -> (n,); clusters: how
    many, by default the true number of names at ``count_by`` (BIOSCAN-5M: 3,479 species); reduce: "umap", as published, or
    "none", which is better for few specimens a species; most: of more, a seeded sample is clustered. Raises BiocosmosError
    without umap-learn.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import adjusted_mutual_info_score

    rows = np.arange(len(vectors))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
    labels = {rank: _names(of)[rows] for rank, of in names.items()}
    if clusters is None:
        if count_by not in labels:
            raise BiocosmosError(f"the number of clusters is that of names at '{count_by}', which are not given: give it")
        clusters = len(np.unique(labels[count_by][labels[count_by] != ""]))
    if not 2 <= clusters <= len(rows):
        raise BiocosmosError(f"{len(rows):,} barcodes cannot be in {clusters:,} clusters: give a number of 2 to {len(rows):,}")
    x = vectors.take(rows).dense() if isinstance(vectors, KmerCounts) else np.asarray(vectors[rows], np.float32)
    if reduce == "umap":
        settings = dict(UMAP)
        settings["n_components"] = min(50, len(rows) - 2)  # UMAP's start needs fewer directions than rows
        x = load("umap", "zero-shot clustering").UMAP(**settings).fit_transform(x)
    found = AgglomerativeClustering(n_clusters=clusters, linkage="ward").fit_predict(x)
    return {
        rank: float(adjusted_mutual_info_score(of[of != ""], found[of != ""])) if (of != "").any() else float("nan")
        for rank, of in labels.items()
    }


def _names(of: Names) -> Array:
    """(n,) str, "" for None."""
    return np.array(["" if name is None else str(name) for name in of], dtype=str)
