"""Cluster labels: k-means of a collection's training part, to be learnt as if the clusters were classes.

    labels = argmin_c |x - c|        x: image vectors, text vectors, or both

An et al., Unicom: Universal and Compact Representation Learning for Image Retrieval, ICLR 2023, arXiv:2304.05884 (clusters of
the mean of the unit image and text vectors); An et al., Multi-label Cluster Discrimination for Visual Representation Learning,
ECCV 2024, arXiv:2407.17331 (the several nearest centres of a specimen as its labels).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError
from biocosmos.provenance import now, package_version
from biocosmos.search.exact import ExactIndex
from biocosmos.search.gallery import Gallery
from biocosmos.search.kmeans import kmeans
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing
from biocosmos.train.batches.views import mean_of_views
from biocosmos.train.loop.settings import refuse_held_out_part
from biocosmos.train.unicom.text_vectors import text_vectors
from biocosmos.train.unicom.whitening import whitened

Source = Literal["image", "text", "joint", "taxa"]
SOURCES = ("image", "text", "joint")
ITERATIONS = 25
NEAREST = 16
"""Nearest clusters kept with each specimen: MLCD learns 8."""

_KEY = b"biocosmos.clusters"
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ClusterLabels:
    """One class for each specimen of a training part.

    Attributes:
        ids: (n,) object array of str, ascending.
        labels: (n,) int32 in [0, k), every class used.
        near: (n, m) int32, the nearest classes of each specimen, its own first, then by falling similarity; m <= NEAREST.
        centroids: (k, dim) float32 unit vectors in the space that was clustered.
        facts: what made them: source, encoder and digest, split and hash, seed, clusters asked for, left out and so on.
        names: (k,) names of the classes when they are taxa, else None.
    """

    ids: Array
    labels: Array
    near: Array
    centroids: Array
    facts: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        valid = len(self.labels) > 0 and int(self.labels.min()) >= 0
        if not valid or not bool(self.sizes().all()) or len(self.sizes()) != self.count:
            raise BiocosmosError(f"cluster ids must be 0 to {self.count - 1}, every one of them used: number them anew")
        if not len(self.ids) == len(self.labels) == len(self.near):
            raise BiocosmosError(f"{len(self.ids)} ids cannot have {len(self.labels)} labels: pass one for each")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def count(self) -> int:
        """Number of classes k."""
        return len(self.centroids)

    def sizes(self) -> Array:
        """(k,) int64 specimens of each class."""
        return np.bincount(self.labels, minlength=self.count)

    def nearest(self, p: int) -> Array:
        """(n, p) int32: the ``p`` nearest classes of each specimen, its own first (labels for MLCD).

        Raises BiocosmosError when there are not so many classes, or fewer were kept.
        """
        if not 1 <= p <= self.near.shape[1]:
            raise BiocosmosError(
                f"cannot give each specimen its {p} nearest of {self.count} clusters: ask for 1 to {self.near.shape[1]}"
            )
        return np.ascontiguousarray(self.near[:, :p])

    def rows_of(self, ids: Sequence[str] | Array) -> Array:
        """(len(ids),) int64 row of each id, -1 for one that has no label."""
        at = np.searchsorted(self.ids.astype(str), np.asarray(ids, dtype=str))
        at = np.minimum(at, len(self.ids) - 1)
        return np.where(self.ids[at].astype(str) == np.asarray(ids, dtype=str), at, -1)

    @property
    def digest(self) -> str:
        """16 hex digits over every pair of id and label."""
        total = hashlib.sha256("\x1f".join(self.ids.tolist()).encode())
        total.update(np.ascontiguousarray(self.labels, np.int32).tobytes())
        return total.hexdigest()[:16]

    def save(self, path: str | Path) -> Path:
        """Write ids, labels and nearest classes as Parquet, the facts in its metadata, the centroids beside it (.npy)."""
        path = Path(path)
        near = pa.FixedSizeListArray.from_arrays(pa.array(self.near.reshape(-1), pa.int32()), self.near.shape[1])
        columns = {"id": pa.array(self.ids.tolist(), pa.string()), "cluster": pa.array(self.labels, pa.int32()), "nearest": near}
        facts = {"facts": self.facts, "names": self.names, "digest": self.digest, "count": self.count}
        table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(facts, default=str).encode()})
        with replacing(_centroid_path(path)) as temporary, temporary.open("wb") as file:
            np.save(file, self.centroids)
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return path

    @classmethod
    def load(cls, path: str | Path) -> ClusterLabels:
        """Read what :meth:`save` wrote. Raises BiocosmosError if a file is missing, or not whole."""
        path = Path(path)
        try:
            table = pq.read_table(path)
            stored = json.loads((table.schema.metadata or {})[_KEY])
            centroids = np.load(_centroid_path(path))
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise BiocosmosError(f"cannot read cluster labels from {path}: make them again ({type(error).__name__})") from error
        ids = np.array(table["id"].to_pylist(), dtype=object)
        near = table["nearest"].combine_chunks().flatten().to_numpy().reshape(len(ids), -1)
        names = None if stored["names"] is None else tuple(stored["names"])
        labels = cls(ids, table["cluster"].to_numpy(), near, centroids, stored["facts"], names)
        if labels.digest != stored["digest"] or labels.count != stored["count"]:
            raise BiocosmosError(f"{path}: the labels do not match their own digest, the file was changed: make them again")
        return labels


@dataclass(frozen=True, eq=False)
class TrainingVectors:
    """What is clustered. ids: (n,) object array of str, ascending; vectors: (n, dim) float32 unit rows; part: of the split;
    facts: what made them."""

    ids: Array
    vectors: Array
    part: str
    facts: dict[str, Any]


def training_vectors(
    collection: Collection,
    *,
    encoder: str | None = None,
    source: Source = "image",
    text_encoder: str | None = None,
    split: str = "train",
    views: int = 1,
    size: int | None = None,
    whiten: bool = False,
) -> TrainingVectors:
    """The vectors of the training part that :func:`cluster_labels` clusters; arguments as there."""
    if source not in SOURCES:
        raise BiocosmosError(f"no labels from '{source}': choose {', '.join(SOURCES)}")
    part = refuse_held_out_part(split)
    whole = collection.count(split=split)
    if source != "text" or encoder is not None:
        encoder = collection.encoder_name(encoder)
    facts: dict[str, Any] = {"source": source, "views": views, "size": size, "whiten": whiten}
    if source == "image":
        ids, vectors = _image_vectors(collection, encoder, split, views, size, facts)
        facts["left_out"] = {"without a vector": whole - len(ids)}
    else:
        ids, vectors = _with_text(collection, encoder, source, text_encoder or encoder, split, views, size, facts, whole)
    if whiten and len(ids):
        vectors = whitened(vectors)
    chosen = collection.split(split.rpartition(":")[0] or "default")
    facts["split"] = {"name": chosen.name, "part": part, "hash": chosen.hash}
    return TrainingVectors(ids, vectors, part, facts)


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

    Args:
        clusters: how many. Those that end up empty are dropped and the others numbered on.
        encoder: the stored embedding; may be left out when there is only one.
        source: "image"; "text", vectors of the column ``text``; "joint", both: the mean of the two unit vectors, made unit
            length, when one encoder makes them in one space, else one after the other, equally weighted.
        text_encoder: default ``encoder`` itself.
        split: the training part: "train", or of a named split "mine:train".
        views: 1: the stored vectors; 2 to 8: the mean over so many turned and mirrored views of each image, which costs as
            many embeddings but puts specimens together that lie differently in their picture.
        size: side of the input that views are made at, pixels; default the encoder's own.
        whiten: cluster whitened vectors (:mod:`biocosmos.train.unicom.whitening`), so that a few strong directions do not
            decide alone.
        vectors: of :func:`training_vectors`, to cluster them again in other numbers; the arguments that made them are not
            looked at then.

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
        **_made_by(gallery, "encoder"),
        "source": "taxa",
        "rank": rank or "lowest name",
        "clusters": len(classes),
        "left_out": {"unlabelled": len(gallery) - len(known)},
        "split": {"name": gallery.provenance["split"]["name"], "part": part, "hash": gallery.provenance["split"]["hash"]},
        "made": now(),
    }
    names = tuple(" / ".join(name for name in gallery.taxonomy.path(int(node)) if name) for node in classes)
    return labelled(gallery.ids[rows], gallery.vectors[rows], labels, means, facts, names)


def labelled(
    ids: Array,
    vectors: Array,
    labels: Array,
    centroids: Array,
    facts: Mapping[str, Any] | None = None,
    names: tuple[str, ...] | None = None,
) -> ClusterLabels:
    """Labels with the nearest classes of every specimen; the own class comes first even where another is as near."""
    count = min(NEAREST, len(centroids))
    found = ExactIndex(np.ascontiguousarray(centroids, np.float32)).search(vectors, count).rows
    own = np.asarray(labels, dtype=np.int64)
    near = np.concatenate([own[:, None], found], 1)
    again = near[:, 1:] == own[:, None]
    again[~again.any(1), -1] = True  # the own class was not among the nearest: the last gives way
    keep = np.concatenate([np.ones((len(near), 1), bool), ~again], 1)
    near = near[keep].reshape(len(near), count).astype(np.int32)
    return ClusterLabels(np.asarray(ids, object), own.astype(np.int32), near, centroids, dict(facts or {}), names)


def _image_vectors(
    collection: Collection, encoder: str | None, split: str, views: int, size: int | None, facts: dict[str, Any]
) -> tuple[Array, Array]:
    """(n,) ids ascending, (n, dim) float32 unit vectors."""
    gallery = collection.gallery(encoder, split=split, columns=())
    facts |= _made_by(gallery, "encoder")
    order = np.argsort(gallery.ids.astype(str), kind="stable")  # not the taxonomy's order: names must not steer the clusters
    if views == 1:
        return gallery.ids[order], gallery.vectors[order]
    return mean_of_views(collection, str(encoder), gallery.ids[order], views, facts["encoder_digest"], size)


def _with_text(
    collection: Collection,
    encoder: str | None,
    source: Source,
    text_encoder: str | None,
    split: str,
    views: int,
    size: int | None,
    facts: dict[str, Any],
    whole: int,
) -> tuple[Array, Array]:
    if text_encoder is None:
        raise BiocosmosError("labels from text need an encoder with a text tower: name one as the text encoder")
    table = collection.table(["id", "text"], split=split)
    texts = pc.utf8_trim_whitespace(table["text"])
    has = pc.fill_null(pc.not_equal(texts, ""), False)
    text_of = dict(zip(table["id"].filter(has).to_pylist(), texts.filter(has).to_pylist()))
    if not text_of:
        raise BiocosmosError(f"no specimen of {collection.path} has a text in this part: use source image, or ingest captions")
    facts["text_encoder"] = text_encoder
    if source == "text":
        ids = np.array(sorted(text_of), dtype=object)
        facts["left_out"] = {"without text": whole - len(ids)}
        return ids, text_vectors(text_encoder, [text_of[id_] for id_ in ids], None, facts)
    every, vectors = _image_vectors(collection, encoder, split, views, size, facts)
    rows = np.array([row for row, id_ in enumerate(every) if id_ in text_of], dtype=np.int64)
    # A lone image vector beside joint ones would be clustered by having no text, so such specimens are left out.
    facts["left_out"] = {"without a vector": whole - len(every), "without text": len(every) - len(rows)}
    one_space = text_encoder == encoder
    words = text_vectors(
        text_encoder, [text_of[id_] for id_ in every[rows]], facts["encoder_digest"] if one_space else None, facts
    )
    facts["joined"] = "mean of unit vectors" if one_space else "concatenation"
    if not one_space:
        return every[rows], np.concatenate([vectors[rows], words], 1) * np.float32(np.sqrt(0.5))
    both = vectors[rows] + words
    return every[rows], both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12)


def _made_by(gallery: Gallery, what: str) -> dict[str, Any]:
    return {what: gallery.provenance["encoder"], f"{what}_digest": gallery.provenance.get("digest")}


def _centroid_path(path: Path) -> Path:
    return path.with_name(path.stem + ".centroids.npy")
