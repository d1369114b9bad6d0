"""The clustering and the number of clusters of vectors, chosen without a label, with the reasons as a table.

Silhouettes choose where clusters stand apart, neighbour information where they run into one another: the silhouette of embeddings
whose classes touch is highest for a handful of clusters, however many classes there are. See docs/discover.md for how the rule
was found, and on what it was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.choice.among import Candidate, best_by, score_all
from biocosmos.discover.choice.background import LEVEL, share_of_references
from biocosmos.discover.choice.candidates import DIMS, LEAST_OF_UMAP, finer, settings_to_try
from biocosmos.discover.choice.embeddings import INFORMATION, LEAST_ROWS, RANK, effective_rank
from biocosmos.discover.choice.information import NEIGHBOURS
from biocosmos.discover.choice.internal import silhouettes
from biocosmos.discover.choice.partitions import Space, partitions, space_of
from biocosmos.discover.choice.reasons import APART, AXES, MAP, STABILITY, sentences, table_of
from biocosmos.discover.choice.stability import stability, subsamples
from biocosmos.discover.clusters.settings import ClusterSettings
from biocosmos.discover.clusters.spaces import space, standardised
from biocosmos.discover.extras import has
from biocosmos.errors import BiocosmosError
from biocosmos.progress import progress
from biocosmos.provenance import software
from biocosmos.search.graph import neighbour_graph

Array = npt.NDArray[Any]
Row = dict[str, Any]
ROWS = 4000
"""Rows that all scores are taken on, a seeded sample of more: 0.2 GB at most."""
_BLOCK = 1 << 16
LOPSIDED = 0.9
"""Share of the rows above which the largest cluster says that the others are strays, not clusters."""
_PCA = ClusterSettings(reducer="pca", dims=DIMS)
_UMAP = ClusterSettings(reducer="umap", dims=DIMS)


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and why.

    settings: ready for :func:`biocosmos.discover.clusters.cluster`; clusters: how many it made of the rows that were looked at
    (``settings.clusters``, where the method is told); by: the score that chose; reasons: a row for each candidate, the chosen one
    marked, with all its scores, higher is better; stands_out: whether there is more than a cloud; said: reasons and warnings as
    sentences.
    """

    settings: ClusterSettings
    clusters: int
    by: str
    reasons: pa.Table
    stands_out: bool
    said: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)


def choose(
    vectors: Any,
    candidates: Sequence[ClusterSettings] | None = None,
    *,
    seed: int = 0,
    rows: int = ROWS,
    umap: bool | None = None,
) -> Choice:
    """The candidate that clusters ``vectors`` (n, d) best, as far as that can be told without labels.

    Args:
        vectors: any float type; neighbours are those by cosine, as everywhere.
        candidates: settings to choose among; default Ward's trees, k-means and HDBSCAN in several spaces and numbers of clusters
            (:func:`biocosmos.discover.choice.candidates.settings_to_try`), and then the numbers about the best one.
        seed: of the sample, the subsamples and every candidate of the default; those that are given keep their own.
        rows: looked at, a seeded sample of more. The number of clusters is that of the sample.
        umap: whether UMAP is among the spaces, and silhouettes are taken in its space too; default where umap-learn is installed,
            from 100 rows on. It takes most of the time.

    Needs no extra. The same vectors and seed give the same choice.
    Raises BiocosmosError: under 8 rows, rows that are not finite or zero, all rows equal, no candidate, one that asks for more
    clusters than rows are looked at.
    """
    x = _sampled(np.asarray(vectors), rows, seed)
    whole = len(vectors)
    if not (x != x[0]).any():
        raise BiocosmosError(f"all {whole:,} vectors are the same: there is nothing to tell apart; look at the embedding")
    without = _why_no_map(umap, len(x))
    tried = settings_to_try(*x.shape, umap=without is None, seed=seed) if candidates is None else list(dict.fromkeys(candidates))
    _check_candidates(tried, len(x), whole)
    trial = _Trial(x, without is None, seed)
    trial.add(tried)
    scored, best, by = trial.verdict()
    if candidates is None:
        counted = best_by([row for row in scored if row["asked"] is not None], by)
        if counted is not None:
            trial.add(finer(trial.settings[scored.index(counted)], tried))
            scored, best, by = trial.verdict()
    settings = trial.settings[scored.index(best)]
    p = share_of_references(trial.axes, int(best["clusters"]), seed=seed)
    reasons = table_of([{**row, "chosen": row is best} for row in scored])
    said = sentences(scored, best, by, p, len(x), whole, without)
    provenance = {
        "choice": {
            "by": by,
            "rows": len(x),
            "of": whole,
            "seed": seed,
            "candidates": len(scored),
            "silhouettes in": "PCA" if without else "UMAP and PCA",
        },
        "stands_out_p": p,
        "settings": asdict(settings),
        "software": software(),
    }
    return Choice(settings, int(best["clusters"]), by, reasons, p <= LEVEL, said, provenance)


def _sampled(vectors: Array, rows: int, seed: int) -> Array:
    """(at most ``rows``, d) float32: all rows, or a seeded sample of them in their order. Raises BiocosmosError."""
    if vectors.ndim != 2:
        raise BiocosmosError(f"a clustering is chosen for a matrix (rows, dimensions), not for a shape of {vectors.shape}")
    if len(vectors) < LEAST_ROWS:
        raise BiocosmosError(
            f"{len(vectors)} vectors are too few to choose a clustering without labels: give at least {LEAST_ROWS}"
        )
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        for what, bad in (
            ("has a number that is not finite", ~np.isfinite(block).all(axis=1)),
            ("is zero and has no direction", ~block.any(axis=1)),
        ):
            if bad.any():
                row = start + int(np.flatnonzero(bad)[0])
                raise BiocosmosError(f"row {row} of the vectors {what}: leave it out, or embed it again")
    if len(vectors) > (most := max(rows, LEAST_ROWS)):
        vectors = vectors[np.sort(np.random.default_rng(seed).choice(len(vectors), most, replace=False))]
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _why_no_map(umap: bool | None, rows: int) -> str | None:
    """None where UMAP is used."""
    if umap is False:
        return "UMAP was not wanted"
    if rows < LEAST_OF_UMAP:
        return f"under {LEAST_OF_UMAP} vectors are too few for UMAP"
    return None if umap or has("umap") else "umap-learn is not installed"


class _Trial:
    """Clusterings of a sample x (n, d) float32 and their scores; spaces are made once."""

    def __init__(self, x: Array, umap: bool, seed: int) -> None:
        self.x, self.seed = x, seed
        self.spaces: dict[Space, Array] = {}
        self.near = neighbour_graph(np.ascontiguousarray(standardised(x, "l2")), min(NEIGHBOURS, len(x) - 1)).rows
        self.samples = subsamples(len(x), seed)
        self.axes = self._space(replace(_PCA, seed=seed))
        self.map = self._space(replace(_UMAP, seed=seed)) if umap else None
        self.settings: list[ClusterSettings] = []
        self.candidates: list[Candidate] = []
        self._of_space: dict[Space, tuple[Array, float]] = {}

    def _space(self, settings: ClusterSettings) -> Array:
        name = space_of(settings)
        if name not in self.spaces:
            self.spaces[name] = space(self.x, settings)
        return self.spaces[name]

    def add(self, settings: Sequence[ClusterSettings]) -> None:
        """Cluster in each of the settings, on the whole sample and on its subsamples, and score what looks at one clustering."""
        groups: dict[Space, list[ClusterSettings]] = {}
        for each in settings:
            groups.setdefault(space_of(each), []).append(each)
        with progress("choosing", len(settings), "clusterings") as shown:
            for group in groups.values():
                self._cluster(group)
                shown.advance(len(group))

    def _cluster(self, settings: Sequence[ClusterSettings]) -> None:
        """In one space."""
        reduced = self._space(settings[0])
        first, rank = self._about(settings[0], reduced)
        labels = partitions(reduced, settings)
        again = [partitions(reduced[rows], _that_fit(settings, len(rows))) for rows in self.samples]
        widths = {AXES: silhouettes(self.axes, labels, noise="cluster")}
        if self.map is not None:
            widths[MAP] = silhouettes(self.map, labels, noise="cluster")
        for at, one in enumerate(settings):
            scores = {name: float(found[at].mean()) for name, found in widths.items() if len(found[at])}
            scores |= {STABILITY: stability(self.samples, [found[at] for found in again], seed=self.seed), RANK: rank}
            self.candidates.append(Candidate(self._name(one), labels[at], first, scores, told=_told(one, labels[at])))
            self.settings.append(one)

    def _name(self, settings: ClusterSettings) -> str:
        """What they say of themselves; settings that say the same are counted."""
        alike = sum(each.said == settings.said for each in self.settings)
        return settings.said + (f" ({alike + 1})" if alike else "")

    def _about(self, settings: ClusterSettings, reduced: Array) -> tuple[Array, float]:
        """((n,) nearest other row, effective rank) of a space."""
        name = space_of(settings)
        if name not in self._of_space:
            from sklearn.neighbors import NearestNeighbors

            first = NearestNeighbors(n_neighbors=1).fit(reduced).kneighbors(return_distance=False)[:, 0]
            self._of_space[name] = first, effective_rank(reduced)
        return self._of_space[name]

    def verdict(self) -> tuple[list[Row], Row, str]:
        """(a row for each candidate, the best one, the score that says so)."""
        scored = score_all(self.candidates, self.near, seed=self.seed)
        parted = [row for row in scored if row["clusters"] > 1] or scored  # HDBSCAN may find noise alone
        apart = best_by([row for row in parted if row["largest"] <= LOPSIDED], AXES)
        if apart is not None and apart[AXES] >= APART:
            return scored, apart, AXES
        best = best_by(parted, INFORMATION)
        assert best is not None  # every candidate has clusters, and a score of them
        return scored, best, INFORMATION


def _check_candidates(tried: Sequence[ClusterSettings], rows: int, whole: int) -> None:
    if not tried:
        raise BiocosmosError("there is no clustering to choose: name at least one, or none to try the usual ones")
    for each in tried:
        if each.clusters is not None and each.clusters > rows:
            remedy = f"look at more of the {whole:,} rows (rows=), or ask for fewer" if rows < whole else "ask for fewer"
            raise BiocosmosError(f"{each.said}: cannot make them of the {rows:,} rows that are looked at; {remedy}")


def _that_fit(settings: Sequence[ClusterSettings], rows: int) -> list[ClusterSettings]:
    """The same for a subsample, which cannot have more clusters than rows."""
    return [each if each.clusters is None or each.clusters <= rows else replace(each, clusters=rows) for each in settings]


def _told(settings: ClusterSettings, labels: Array) -> Row:
    sizes = np.bincount(labels[labels >= 0])
    return {
        **{name: getattr(settings, name) for name in ("standardise", "reducer", "method")},
        "asked": settings.clusters,
        "clustered": float((labels >= 0).mean()),
        "largest": float(sizes.max(initial=0) / len(labels)),
    }
