"""The vectors of a training part that are clustered: of its images, of its texts, or of both together.

The mean of the unit image and text vectors is what UNICOM clusters (An et al., ICLR 2023, arXiv:2304.05884).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.text_vectors import text_vectors
from biocosmos.train.batches.views import mean_of_views
from biocosmos.train.loop.settings import refuse_held_out_part
from biocosmos.train.unicom.whitening import whitened

Source = Literal["image", "text", "joint", "taxa"]
SOURCES = ("image", "text", "joint")

Array = npt.NDArray[Any]


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
    """The vectors of the training part that :func:`biocosmos.train.unicom.clusters.cluster_labels` clusters.

    Args:
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

    Specimens without a vector, or without text where it is needed, are left out and counted in the facts. Raises BiocosmosError:
    a part that is held out; no such embedding; no text tower.
    """
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
    chosen = collection.split_of(split)
    facts["split"] = {"name": chosen.name, "part": part, "hash": chosen.hash}
    return TrainingVectors(ids, vectors, part, facts)


def _image_vectors(
    collection: Collection, encoder: str | None, split: str, views: int, size: int | None, facts: dict[str, Any]
) -> tuple[Array, Array]:
    """(n,) ids ascending, (n, dim) float32 unit vectors."""
    gallery = collection.gallery(encoder, split=split, columns=())
    facts |= made_by(gallery, "encoder")
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


def made_by(gallery: Gallery, what: str) -> dict[str, Any]:
    return {what: gallery.provenance["encoder"], f"{what}_digest": gallery.provenance.get("digest")}
