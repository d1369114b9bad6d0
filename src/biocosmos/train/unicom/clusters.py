"""Cluster labels: k-means of a collection's training part, to be learnt as if the clusters were classes.

    labels = argmin_c |x - c|        x: image vectors, text vectors, or both

An et al., Unicom: Universal and Compact Representation Learning for Image Retrieval, ICLR 2023, arXiv:2304.05884 (clusters of
the mean of the unit image and text vectors); An et al., Multi-label Cluster Discrimination for Visual Representation Learning,
ECCV 2024, arXiv:2407.17331 (the several nearest centres of a specimen as its labels).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.provenance import now, package_version
from biocosmos.search.kmeans import kmeans
from biocosmos.specimens.collection import Collection
from biocosmos.train.loop.settings import refuse_held_out_part
from biocosmos.train.unicom.labels import ClusterLabels, labelled
from biocosmos.train.unicom.vectors import Source, TrainingVectors, made_by, training_vectors

ITERATIONS = 25

Array = npt.NDArray[Any]


def cluster_labels(
    collection: Collection,
    *,
    clusters: int,
    encoder: str | None = None,
    source: Source = "image",
    text_encoder: str | None = None,
    split: str = "train",
    seed: int = 0,
    iterations: int = ITERATIONS,
    views: int = 1,
    size: int | None = None,
    whiten: bool = False,
    vectors: TrainingVectors | None = None,
) -> ClusterLabels:
    """k-means (cosine) of the training part's vectors; the same specimens give the same labels in whatever order they lie.

    clusters: how many; those that end up empty are dropped and the others numbered on. vectors: of :func:`training_vectors`, to
    cluster them again in other numbers; the arguments that make them, which are described there, are not looked at then.

    Specimens without a vector, or without text where it is needed, are left out and counted in the facts.
    Raises BiocosmosError: fewer images than clusters; a part that is held out; no such embedding; no text tower.
    """
    given = vectors or training_vectors(
        collection,
        encoder=encoder,
        source=source,
        text_encoder=text_encoder,
        split=split,
        views=views,
        size=size,
        whiten=whiten,
    )
    refuse_too_many(clusters, len(given.ids), "texts" if given.facts["source"] == "text" else "images", given.part)
    found = kmeans(given.vectors, clusters, metric="cosine", iterations=iterations, seed=seed)
    used, labels = np.unique(found.labels, return_inverse=True)
    facts = {
        **given.facts,
        "clusters_asked": clusters,
        "clusters": len(used),
        "dropped_empty": clusters - len(used),
        "seed": seed,
        "iterations": iterations,
        "reseeded": found.reseeded,
        "updates": found.iterations,
        "converged": found.converged,
        "inertia_per_specimen": found.inertia / len(given.ids),
        "made": now(),
        "biocosmos": package_version(),
    }
    return labelled(given.ids, given.vectors, labels.reshape(-1), found.centroids[used], facts)


def refuse_too_many(clusters: int, count: int, what: str, part: str) -> None:
    """Raise BiocosmosError unless ``clusters`` can be made of ``count`` specimens of ``part``."""
    if 1 <= clusters <= count:
        return
    remedy = f"ask for at most {count:,}, better a tenth of it" if count else "embed them first"
    raise BiocosmosError(
        f"cannot make {clusters:,} clusters: there are only {count:,} {what} in part '{part}' to make them of; {remedy}"
    )


def taxon_labels(
    collection: Collection, *, encoder: str | None = None, rank: str | None = None, split: str = "train"
) -> ClusterLabels:
    """The true taxa of the training part as classes, for a supervised reference; unlabelled specimens are left out.

    rank: whose taxa; default the lowest name of each specimen. The centroids are the unit class means of the embedding.
    """
    part = refuse_held_out_part(split)
    gallery = collection.gallery(encoder, split=split, columns=())
    if gallery.taxa is None or gallery.taxonomy is None:
        raise BiocosmosError(f"{collection.path} has no names at any rank: a supervised reference needs labels")
    nodes = gallery.taxa if rank is None else gallery.taxonomy.ancestor(np.maximum(gallery.taxa, 0), rank)
    known = np.flatnonzero(nodes > 0)
    if not len(known):
        raise BiocosmosError(f"no specimen of part '{part}' has a name{'' if rank is None else f' at rank {rank}'}: label some")
    rows = known[np.argsort(gallery.ids[known].astype(str), kind="stable")]
    classes, labels = np.unique(nodes[rows], return_inverse=True)
    sums = np.zeros((len(classes), gallery.dim), np.float64)
    np.add.at(sums, labels, gallery.vectors[rows])
    means = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-30)).astype(np.float32)
    facts = {
        **made_by(gallery, "encoder"),
        "source": "taxa",
        "rank": rank or "lowest name",
        "clusters": len(classes),
        "left_out": {"unlabelled": len(gallery) - len(known)},
        "split": {"name": gallery.provenance["split"]["name"], "part": part, "hash": gallery.provenance["split"]["hash"]},
        "made": now(),
    }
    names = tuple(gallery.taxonomy.path_text(int(node), " / ") for node in classes)
    return labelled(gallery.ids[rows], gallery.vectors[rows], labels, means, facts, names)
