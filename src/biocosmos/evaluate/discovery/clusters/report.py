"""The report on clusters that were found, and on the taxa that they hold where specimens have names."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.clusters import Clustering
from biocosmos.discover.clusters.representatives import cluster_means, medoids, typicality
from biocosmos.evaluate.clustering.scores import ami
from biocosmos.evaluate.discovery.clusters.dendrogram import links_of
from biocosmos.evaluate.discovery.clusters.page import BORDER, BRANCHES, TYPICAL, page
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
AGREED = 0.9
"""Of the named specimens of a cluster, the share that its common taxon holds."""

_CLUSTERS = pa.schema(
    [
        ("cluster", pa.int32()),
        ("specimens", pa.int64()),
        ("share", pa.float64()),
        ("medoid", pa.string()),
        ("mean_typicality", pa.float64()),
        ("least_typicality", pa.float64()),
        ("nearest", pa.int32()),
        ("nearest_cosine", pa.float64()),
        ("named", pa.int64()),
        ("taxon", pa.string()),
        ("purity", pa.float64()),
        ("common_taxon", pa.string()),
        ("common_rank", pa.string()),
        ("typical", pa.list_(pa.string())),
        ("border", pa.list_(pa.string())),
    ]
)
_AGREEMENT = pa.schema([("rank", pa.string()), ("specimens", pa.int64()), ("taxa", pa.int64()), ("ami", pa.float64())])


def members(gallery: Gallery, clustering: Clustering) -> pa.Table:
    """A row a specimen: id, cluster (-1 for none), typicality (cosine to the cluster's mean, null for none), medoid."""
    chosen = np.zeros(len(gallery), bool)
    chosen[[row for row in medoids(gallery.vectors, clustering.labels) if row >= 0]] = True
    typical = typicality(gallery.vectors, clustering.labels)
    return pa.table(
        {
            "id": pa.array(gallery.ids.tolist(), pa.string()),
            "cluster": pa.array(clustering.labels, pa.int32()),
            "typicality": pa.array(typical, pa.float32(), mask=np.isnan(typical)),
            "medoid": pa.array(chosen),
        }
    )


def clusters_report(
    gallery: Gallery,
    clustering: Clustering,
    *,
    title: str,
    reasons: pa.Table | None = None,
    caveats: list[str] | None = None,
    provenance: dict[str, Any] | None = None,
) -> Report:
    """Tables ``clusters``, ``agreement`` (with the taxa, per rank), ``tree`` (scipy's linkage of the largest clusters' means) and
    ``reasons`` (of a setting chosen without labels).

    gallery: the specimens that were clustered, in their order. Names are looked at after the clusters were made.
    """
    tables = {"clusters": _clusters(gallery, clustering), "agreement": _agreement(gallery, clustering.labels)}
    if clustering.count > 1:
        links = links_of(cluster_means(gallery.vectors, clustering.labels)[:BRANCHES])
        tables["tree"] = pa.table({name: links[:, i] for i, name in enumerate(("first", "second", "distance", "clusters"))})
    if reasons is not None:
        tables["reasons"] = reasons
    said = list(caveats or ())
    said.append("A cluster is what the encoder sees as alike: it may hold several species, or one species in several clusters.")
    if clustering.noise:
        said.append(
            f"{clustering.noise:,} of {len(gallery):,} specimens are in no cluster: too unlike the others, or too few of a kind."
        )
    if tables["agreement"].num_rows:
        said.append("Names were not used to make the clusters; what is said of names is for a person who looks at them.")
    facts = {
        "gallery": gallery.provenance,
        "split_hash": split_hash(gallery.provenance),
        **clustering.provenance,
        "setting": clustering.settings.said,
        "specimens": len(gallery),
        "clusters": clustering.count,
        "noise": clustering.noise,
        **(provenance or {}),
    }
    return Report("clusters", title, tables, said, facts, page)


def _clusters(gallery: Gallery, clustering: Clustering) -> pa.Table:
    labels, x = clustering.labels, gallery.vectors
    means = cluster_means(x, labels)
    near, cosines = _nearest(means)
    typical = typicality(x, labels)
    rows = np.flatnonzero(labels >= 0)
    order = rows[np.lexsort((rows, -typical[rows], labels[rows]))]
    bounds = np.searchsorted(labels[order], np.arange(clustering.count + 1))
    found = []
    for cluster, (start, stop) in enumerate(pairwise(bounds)):
        mine = order[start:stop]
        inner = mine[:TYPICAL]
        found.append(
            {
                "cluster": cluster,
                "specimens": len(mine),
                "share": len(mine) / len(gallery),
                "medoid": gallery.ids[mine[0]],
                "mean_typicality": float(typical[mine].mean()),
                "least_typicality": float(typical[mine[-1]]),
                "nearest": int(near[cluster]) if near[cluster] >= 0 else None,
                "nearest_cosine": float(cosines[cluster]) if near[cluster] >= 0 else None,
                **_taxa(gallery, mine),
                "typical": gallery.ids[inner].tolist(),
                "border": gallery.ids[mine[max(len(inner), len(mine) - BORDER) :]].tolist(),
            }
        )
    return pa.Table.from_pylist(found, schema=_CLUSTERS)


def _nearest(means: Array) -> tuple[Array, Array]:
    """(c,) the cluster whose mean is nearest to each one's, -1 where there is none, and their cosine."""
    near, cosines = np.full(len(means), -1), np.full(len(means), np.nan)
    for start in range(0, len(means), 1024) if len(means) > 1 else ():
        part = np.arange(start, min(start + 1024, len(means)))
        found = means[part] @ means.T
        found[np.arange(len(part)), part] = -np.inf
        near[part] = found.argmax(axis=1)
        cosines[part] = found.max(axis=1)
    return near, cosines


def _taxa(gallery: Gallery, rows: Array) -> dict[str, Any]:
    """The most frequent name of some specimens, its share among those that have one, and the deepest taxon nearly all are in."""
    tree = gallery.taxonomy
    taxa = np.empty(0, np.int64) if gallery.taxa is None or tree is None else gallery.taxa[rows]
    taxa = taxa[taxa > 0]
    if not len(taxa):
        return {"named": 0, "taxon": None, "purity": None, "common_taxon": None, "common_rank": None}
    assert tree is not None
    nodes, counts = np.unique(taxa, return_counts=True)
    first = int(counts.argmax())
    common = None
    lineage = tree.lineage(nodes)
    for rank in reversed(range(len(tree.ranks))):
        there = lineage[:, rank] >= 0
        sums = np.bincount(lineage[there, rank], weights=counts[there], minlength=1)
        if sums.max(initial=0) >= AGREED * len(taxa):
            common = int(sums.argmax())
            break
    return {
        "named": len(taxa),
        "taxon": str(tree.names[nodes[first]]),
        "purity": float(counts[first] / len(taxa)),
        "common_taxon": None if common is None else str(tree.names[common]),
        "common_rank": None if common is None else str(tree.ranks[int(tree.rank[common])]),
    }


def _agreement(gallery: Gallery, labels: Array) -> pa.Table:
    rows = []
    if gallery.taxa is not None and gallery.taxonomy is not None and (gallery.taxa > 0).any():
        lineage = gallery.taxonomy.lineage(gallery.taxa)
        for i, rank in enumerate(gallery.taxonomy.ranks):
            named = lineage[:, i] >= 0
            if len(taxa := np.unique(lineage[named, i])) > 1:
                score = ami(lineage[:, i], labels)
                rows.append({"rank": rank, "specimens": int(named.sum()), "taxa": len(taxa), "ami": score})
    return pa.Table.from_pylist(rows, schema=_AGREEMENT)
