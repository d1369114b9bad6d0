"""What image and barcode say of the specimens set apart, by namers that know neither these nor, of some, their taxon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from biocosmos.identify.confidence.temperature import fit_score_temperature
from biocosmos.identify.namer import FitOptions, GalleryNamer, Specimens
from biocosmos.identify.namers.barcode import NEAREST, Barcode
from biocosmos.identify.namers.fusion.apart import Apart, Candidates, set_apart
from biocosmos.identify.namers.fusion.modalities import Modalities
from biocosmos.identify.namers.fusion.pool import Float32, Int64, Nodes
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery


@dataclass(frozen=True, eq=False)
class Lessons:
    """apart: the specimens; image, dna: (k, m) float32 what is said of each place of the tree, -inf nothing; features: (k, f)
    float32 of the barcodes; right: (k,) int64 the deepest place that is known; gone: (k, 2) int64 the places that are hidden."""

    apart: Apart
    image: Float32
    dna: Float32
    features: Float32
    right: Int64
    gone: Int64


def learn_lessons(
    gallery: Gallery, has: Modalities, tree: Nodes, image: GalleryNamer, dna: Barcode, options: FitOptions
) -> Lessons:
    """Set specimens apart and ask; also fits the temperature of the namer of images, where its scores are no logits."""
    apart = set_apart(_candidates(gallery, has, dna, options.seed), len(tree), options.seed)
    said, features = _of_barcodes(gallery, dna, apart)
    scores = _of_images(gallery, has, image, apart, options)
    if not image.own_scale:
        image.temperature = _temperature(gallery, image, apart, scores)
    right, gone = _what_is_known(gallery, tree, apart)
    return Lessons(
        apart,
        in_columns(scores / np.float32(image.temperature), tree.place(image.classes), len(tree)),
        in_columns(said, tree.place(dna.classes), len(tree)),
        features,
        right,
        gone,
    )


def in_columns(logits: Float32, columns: Int64, width: int) -> Float32:
    """(n, width) float32 with logits (n, C) in some columns and -inf in the others."""
    out = np.full((len(logits), width), -np.inf, np.float32)
    out[:, columns] = logits
    return out


def _candidates(gallery: Gallery, has: Modalities, dna: Barcode, seed: int) -> Candidates:
    assert gallery.taxa is not None
    references = dna.references
    _, rest = dna.set_apart(seed)
    rest = np.sort(rest[dna.kinds[references.taxa[rest]] == 0])
    rows = has.dna_rows[references.rows[rest]]
    rest, rows = rest[has.image[rows]], rows[has.image[rows]]
    taxa, nodes = references.taxa[rest], len(references.taxonomy)
    barcodes = np.bincount(references.taxa, minlength=nodes)[taxa]
    images = np.bincount(gallery.taxa[has.image], minlength=nodes)[taxa]
    return Candidates(rows, rest, taxa, (barcodes > 1) & (images > 1))


def _of_barcodes(gallery: Gallery, dna: Barcode, apart: Apart) -> tuple[Float32, Float32]:
    """Of each its own barcode is hidden, or all of its taxon."""
    said = np.zeros((len(apart), len(dna.classes)), np.float32)
    features: list[Any] = [None] * len(apart)
    for unseen, way in ((False, "own barcode"), (True, "species")):
        mine = np.flatnonzero(apart.unseen == unseen)
        if len(mine):
            letters = dna.letters_at(apart.references[mine])
            found = dna.said_without(Specimens(gallery.ids[apart.rows[mine]], barcodes=letters), apart.references[mine], way)
            said[mine] = found.logits
            for i, row in zip(mine, found.features, strict=True):
                features[i] = row
    return said, np.array(features, np.float32).reshape(len(apart), 2 * NEAREST)


def _of_images(gallery: Gallery, has: Modalities, image: GalleryNamer, apart: Apart, options: FitOptions) -> Float32:
    """By namers that were fitted without the fold's specimens and all of its hidden taxa."""
    assert gallery.taxa is not None
    scores = np.full((len(apart), len(image.classes)), -np.inf, np.float32)
    for number in np.unique(apart.fold):
        now = np.flatnonzero(apart.fold == number)
        away = np.isin(gallery.taxa, gallery.taxa[apart.rows[now[apart.unseen[now]]]])
        away[apart.rows[now]] = True
        if (has.image & ~away).any():
            stand_in = image.refitted(has.of_images(gallery, away), options)
            columns = np.searchsorted(image.classes, stand_in.classes)
            scores[np.ix_(now, columns)] = stand_in.scores(gallery.vectors[apart.rows[now]])
    return scores


def _temperature(gallery: Gallery, image: GalleryNamer, apart: Apart, scores: Float32) -> float:
    told = np.flatnonzero(~apart.unseen & np.isfinite(scores).any(axis=1))
    if not len(told):
        return image.fallback_temperature
    rows = apart.rows[told]
    assert gallery.taxa is not None
    none = np.empty((len(told), 0), np.float32)
    return fit_score_temperature(
        Predictions(gallery.ids[rows], image.taxonomy, image.classes, scores[told], none, gallery.taxa[rows])
    )


def _what_is_known(gallery: Gallery, tree: Nodes, apart: Apart) -> tuple[Int64, Int64]:
    """The place of each, or where its taxon is hidden the deepest above with other known taxa; and the places below that are
    hidden then."""
    assert gallery.taxa is not None
    known = np.zeros(len(tree) + 1, np.int64)
    known[1:] = np.cumsum(np.isin(tree.nodes, gallery.taxa))
    taxa_under = known[tree.stop] - known[:-1]
    right, gone = tree.place(gallery.taxa[apart.rows]), np.zeros((len(apart), 2), np.int64)
    for i in np.flatnonzero(apart.unseen):
        place = right[i]
        alone = taxa_under[place]
        while tree.parent[place] > 0 and taxa_under[tree.parent[place]] == alone:
            place = tree.parent[place]
        gone[i], right[i] = (place, tree.stop[place]), max(tree.parent[place], 0)
    return right, gone
