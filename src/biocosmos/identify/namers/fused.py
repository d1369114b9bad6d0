"""The namer of image and DNA barcode together: one distribution over one tree, and whether the two contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.identify.answers import EVIDENCE, NEIGHBOURS
from biocosmos.identify.blocks import FloatArray, NodeArray
from biocosmos.identify.confidence.held_out import HeldOut, Part
from biocosmos.identify.namer import FitOptions, GalleryNamer, Said, Specimens
from biocosmos.identify.namers.barcode import Barcode
from biocosmos.identify.namers.fusion.contradictions import UNTESTED, Reliable, disagree
from biocosmos.identify.namers.fusion.lessons import Lessons, in_columns, learn_lessons
from biocosmos.identify.namers.fusion.modalities import BOTH, DNA, IMAGE, Modalities, has_letters
from biocosmos.identify.namers.fusion.pool import (
    PRIOR,
    Asked,
    Float32,
    Float64,
    Int64,
    Nodes,
    Opinion,
    Pool,
    prior_of,
    with_doubt,
)
from biocosmos.identify.namers.fusion.whitened import WhitenedPrototypes
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.search.hits import Hits

UNSEEN_COUNTS = 0.5
"""How much a specimen of a hidden taxon counts where weights are fitted: as many are expected of taxa that nobody knows, for each
of a known one. The promise does not rest on it."""
ROWS = 128
"""Specimens at a time: several tables of (specimens, classes) in float64 are held."""
SAID = ("evidence", "image_says", "dna_says", "agree_down_to", "disagree")
"""Columns of answers beside those of the namer of barcodes."""
_KNOWN = 300
"""Known specimens that a novelty detector is told of; that of own masses learns nothing from them."""


class Fused(GalleryNamer):
    """A namer of images and one of barcodes, each fitted on the specimens that have one; a pool of what they say, by rank.

    The namer of images is :class:`.fusion.whitened.WhitenedPrototypes`, that of barcodes :class:`Barcode`. How much each
    counts (:class:`.fusion.pool.Pool`) is learnt from known specimens that have both, without their own image and barcode, of
    some the whole taxon hidden. A specimen that has one alone is named by that one: by the barcode exactly as
    :class:`Barcode` names it; by the image with a pool of its own, so that it knows of taxa that nobody knows here. What each
    says by itself is shown beside the name, as far down as it can be relied upon, and whether they contradict each other: a
    mislabelled image, a barcode of another specimen.
    """

    name, says = "fused", "image and DNA barcode together, weighed by rank; says where they contradict each other"
    takes = "both"
    hides_taxa = True
    options: ClassVar[frozenset[str]] = frozenset()
    own_scale, fallback_temperature = True, 1.0
    detectors: ClassVar[tuple[str, ...]] = ("own-mass", "msp", "max-logit", "energy")
    unknown_below = True

    # ------------------------------------------------------------------ make

    @classmethod
    def fit(cls, gallery: Gallery, options: FitOptions) -> Self:
        """Fit both namers, then the weights. Raises BiocosmosError for a gallery without one specimen that has both."""
        has = Modalities.of(gallery)
        image, dna = WhitenedPrototypes.fit(has.of_images(gallery), options), Barcode.fit(has.of_barcodes(gallery), options)
        made = cls()._with(gallery, has, image, dna)
        made._learn(learn_lessons(gallery, has, made.tree, image, dna, options))
        return made

    def _with(self, gallery: Gallery, has: Modalities, image: GalleryNamer, dna: Barcode) -> Self:
        assert gallery.taxonomy is not None and gallery.taxa is not None
        self.has, self.image, self.dna = has, image, dna
        self.tree = Nodes.over(gallery.taxonomy, np.union1d(image.classes, dna.classes).astype(np.int32))
        self.prior = prior_of(self.tree, gallery.taxa)
        self.of_prior = Opinion.of(self.tree, self.prior[None])
        self.pools = {
            BOTH: Pool.independent(self.tree, (IMAGE, DNA, PRIOR), (False, True, True)),
            IMAGE: Pool.independent(self.tree, (IMAGE, PRIOR), (False, True)),
        }
        self.reliable = {IMAGE: Reliable(UNTESTED), DNA: Reliable(UNTESTED)}
        self._lessons: Lessons | None = None
        return self.known(gallery, self.tree.nodes)

    def _learn(self, lessons: Lessons) -> None:
        apart, truth = lessons.apart, self._truth(lessons)
        mine = np.flatnonzero(apart.fitted)
        asked = Asked(lessons.right[mine], lessons.gone[mine], np.where(apart.unseen[mine], UNSEEN_COUNTS, 1.0))
        image, dna, prior = self._opinions(lessons.image[mine], lessons.dna[mine])
        self.pools = {BOTH: self.pools[BOTH].fit([image, dna, prior], asked), IMAGE: self.pools[IMAGE].fit([image, prior], asked)}
        for kind in (IMAGE, DNA):
            scores = self._all_scores(lessons, kind)
            self.reliable[kind] = Reliable.fit(self.tree, scores, truth, apart.fitted, apart.unseen)
        self._lessons = lessons

    def _truth(self, lessons: Lessons) -> NodeArray:
        return self._taxa[lessons.apart.rows]

    # ------------------------------------------------------------------ say

    def refuse_without(self, specimens: Specimens) -> None:
        """Raise BiocosmosError for a block without images and barcodes, or with a specimen that has neither."""
        image, dna = _there(specimens)
        bare = np.flatnonzero(~image & ~dna)
        if len(bare):
            raise BiocosmosError(
                f"{specimens.ids[bare[0]]}: neither a vector of an image nor a barcode, one of which the namer 'fused' takes"
            )

    def said(self, specimens: Specimens) -> Said:
        """Log scores over the tree; vector of the image and distances of the barcode as features, zero where there is none."""
        predictions = self.predict(specimens)
        return Said(predictions.logits, predictions.features)

    def predict(self, specimens: Specimens, **facts: Any) -> Predictions:
        """With columns: by what each was named ("evidence"), what each says by itself, and the nearest known barcodes."""
        self.refuse_without(specimens)
        image, dna = _there(specimens)
        letters = np.full(len(specimens), "", object) if specimens.barcodes is None else specimens.barcodes
        of_dna = self.dna.predict(Specimens(specimens.ids, barcodes=np.where(dna, letters, "")))
        assert of_dna.columns is not None
        dna &= np.array([len(rows) > 0 for rows in of_dna.columns["barcode_rows"].to_pylist()], np.bool_)  # without a k-mer: none
        vectors = np.zeros((len(specimens), self._dim), np.float32) if specimens.vectors is None else specimens.vectors
        scores = np.full((len(specimens), len(self.image.classes)), -np.inf, np.float32)
        scores[image] = self.image.scores(vectors[image]) / np.float32(self.image.temperature)
        logits, says = self._named(scores, of_dna.logits, image, dna)
        columns = of_dna.columns
        for name, values in self._columns(image, dna, says).items():
            columns = columns.append_column(name, values)
        for name in [] if specimens.columns is None else specimens.columns.column_names:
            assert specimens.columns is not None
            columns = columns.append_column(name, specimens.columns[name])
        features = np.concatenate([np.where(image[:, None], vectors, 0), of_dna.features], axis=1).astype(np.float32)
        return self.predictions(specimens, Said(logits, features), columns, **facts)

    def scores(self, vectors: FloatArray) -> FloatArray:
        """It looks at barcodes too."""
        raise BiocosmosError("the namer 'fused' takes images and barcodes: give specimens with vectors, barcodes or both")

    def _named(
        self, image: Float32, dna: Float32, has_image: npt.NDArray[np.bool_], has_dna: npt.NDArray[np.bool_]
    ) -> tuple[Float32, dict[str, NodeArray]]:
        """Logits (n, m), and what each modality says by itself, nodes (n,), 0 nothing."""
        logits = np.empty((len(image), len(self.tree)), np.float32)
        says = {kind: np.zeros(len(image), np.int32) for kind in (IMAGE, DNA)}
        for start in range(0, len(image), ROWS):
            rows = np.arange(start, min(start + ROWS, len(image)))
            of_image = in_columns(image[rows], self.tree.place(self.image.classes), len(self.tree))
            of_dna = in_columns(dna[rows], self.tree.place(self.dna.classes), len(self.tree))
            for kind, mask in ((IMAGE, has_image[rows]), (DNA, has_dna[rows]), (BOTH, (has_image & has_dna)[rows])):
                here = np.flatnonzero(mask)
                if len(here):
                    scores = self._scores(kind, of_image[here], of_dna[here], None)
                    logits[rows[here]] = scores - scores.max(axis=1, keepdims=True)
                    if kind != BOTH:
                        says[kind][rows[here]] = self.reliable[kind].says(self.tree, scores)
        return logits, says

    def _scores(self, kind: str, image: Float32, dna: Float32, gone: Int64 | None) -> Float64:
        """(n, m) by image, barcode or both; a barcode alone is named as its namer says."""
        if kind == DNA:
            return dna.astype(np.float64)
        of_image, of_dna, prior = self._opinions(image, dna)
        opinions = [of_image, prior] if kind == IMAGE else [of_image, of_dna, prior]
        return self.pools[kind].scores(opinions, gone)

    def _opinions(self, image: Float32, dna: Float32) -> list[Opinion]:
        said = [Opinion.of(self.tree, with_doubt(each, self.prior)) for each in (image, dna)]
        shape = (len(image), len(self.tree))
        prior = Opinion(np.broadcast_to(self.of_prior.taken, shape), np.broadcast_to(self.of_prior.kept, shape))
        return [*said, prior]

    def _columns(
        self, image: npt.NDArray[np.bool_], dna: npt.NDArray[np.bool_], says: Mapping[str, NodeArray]
    ) -> dict[str, pa.Array]:
        kinds = np.where(image & dna, BOTH, np.where(dna, DNA, IMAGE))
        parts = disagree(self.taxonomy, says[IMAGE], says[DNA])
        shared = np.where((says[IMAGE] > 0) & (says[DNA] > 0), self.taxonomy.lowest_common(says[IMAGE], says[DNA]), 0)
        ranks = np.array([*self.taxonomy.ranks, None], object)
        return {
            "evidence": pa.array(kinds, pa.string()),
            "image_says": _names(self.taxonomy.name(says[IMAGE]), says[IMAGE] > 0),
            "dna_says": _names(self.taxonomy.name(says[DNA]), says[DNA] > 0),
            "agree_down_to": pa.array(ranks[np.where(shared > 0, self.taxonomy.rank[shared], len(ranks) - 1)], pa.string()),
            "disagree": pa.array(parts, pa.bool_(), mask=~(image & dna)),
        }

    def no_deeper(self, predictions: Predictions) -> Int64 | None:
        """Where image and barcode contradict each other, the rank down to which they agree."""
        columns = predictions.columns
        if columns is None or "disagree" not in columns.column_names:
            return None
        ranks = {rank: i for i, rank in enumerate(self.taxonomy.ranks)}
        parted = zip(columns["disagree"].to_pylist(), columns["agree_down_to"].to_pylist(), strict=True)
        return np.array([ranks.get(rank, -1) if parts else len(ranks) - 1 for parts, rank in parted], np.int64)

    # ------------------------------------------------------------------ evidence

    def nearest(self, predictions: Predictions, known: Gallery) -> Hits | None:
        """The nearest known barcodes; the nearest images of a specimen without one."""
        columns = predictions.columns
        if columns is None or "barcode_rows" not in columns.column_names:
            return None
        found = self.dna.nearest(predictions, known)
        assert found is not None
        rows = np.where(found.rows >= 0, self.has.dna_rows[np.maximum(found.rows, 0)], -1)
        scores = found.scores.copy()
        alone = np.flatnonzero((rows < 0).all(axis=1))
        images = self._nearest_images(predictions, known, alone, rows.shape[1])
        if images is not None:
            rows[alone, : images.rows.shape[1]], scores[alone, : images.rows.shape[1]] = images.rows, images.scores
        return Hits(known, rows, scores, found.certified, found.provenance)

    def shown(self, predictions: Predictions, known: Gallery | None) -> dict[str, pa.Array]:
        """By what it was named, what each modality says, the nearest images, and what the namer of barcodes shows."""
        of_dna = None if known is None else self.has.of_barcodes(known)
        columns, n = predictions.columns, len(predictions)
        if columns is None or "evidence" not in columns.column_names:
            types = {**dict.fromkeys(SAID, pa.string()), "disagree": pa.bool_()}
            said: dict[str, pa.Array] = {name: pa.nulls(n, types[name]) for name in SAID}
        else:
            said = {name: columns[name].combine_chunks() for name in SAID}
        said["nearest_images"] = self._image_neighbours(predictions, known)
        return said | self.dna.shown(predictions, of_dna)

    def _image_neighbours(self, predictions: Predictions, known: Gallery | None) -> pa.Array:
        lists: list[list[dict[str, Any]]] = [[] for _ in range(len(predictions))]
        there = np.flatnonzero(predictions.features[:, : self._dim].any(axis=1)) if len(predictions) else np.empty(0, np.int64)
        hits = None if known is None else self._nearest_images(predictions, known, there, EVIDENCE)
        if hits is not None:
            for i, ids, names, scores in zip(there, hits.ids, self.taxonomy.name(hits.taxa), hits.scores, strict=True):
                found = zip(ids, names, scores.tolist(), strict=True)
                lists[i] = [{"id": id_, "taxon": name, "score": score} for id_, name, score in found if id_ is not None]
        return pa.array(lists, NEIGHBOURS)

    def _nearest_images(self, predictions: Predictions, known: Gallery, rows: Int64, count: int) -> Hits | None:
        rows = rows[predictions.features[rows, : self._dim].any(axis=1)] if len(rows) else rows
        if not len(rows):
            return None
        return known.search(predictions.features[rows, : self._dim], min(count, int(self.has.image.sum())), mask=self.has.image)

    # ------------------------------------------------------------------ hold out

    def held_out(self, gallery: Gallery, seed: int) -> HeldOut:
        """Known specimens with both that neither their namers nor the weights were fitted on; of half the whole taxon hidden."""
        return self._held(gallery, BOTH)

    def held_out_alone(self, gallery: Gallery, seed: int) -> dict[str, HeldOut]:
        """The same specimens as they are named by one of the two alone."""
        return {kind: self._held(gallery, kind) for kind in (IMAGE, DNA)}

    def _held(self, gallery: Gallery, kind: str) -> HeldOut:
        lessons = self._lessons
        assert lessons is not None, "only a namer that was just fitted holds out"
        apart, mine = lessons.apart, np.flatnonzero(~lessons.apart.fitted)
        scores = self._all_scores(lessons, kind, mine)
        rows = apart.rows[mine]
        features = np.concatenate([gallery.vectors[rows], lessons.features[mine]], axis=1)
        specimens = Specimens(gallery.ids[rows], truth=self._truth(lessons)[mine])
        columns = self._held_columns(lessons, mine) if kind == BOTH else None
        asked = self.predictions(specimens, Said(scores.astype(np.float32), features.astype(np.float32)), columns)
        unseen = apart.unseen[mine]
        what = {BOTH: "specimens with image and barcode", IMAGE: "images", DNA: "barcodes"}[kind]
        source = (
            f"{int((~unseen).sum()):,} known {what} that were hidden by themselves, and {int(unseen.sum()):,} with all of their "
            "taxon"
        )
        return HeldOut((Part(asked, asked.subset(np.arange(min(len(mine), _KNOWN))), unseen),), source, False)

    def _held_columns(self, lessons: Lessons, mine: Int64) -> pa.Table:
        says = {kind: self.reliable[kind].says(self.tree, self._all_scores(lessons, kind, mine)) for kind in (IMAGE, DNA)}
        both = np.ones(len(mine), np.bool_)
        return pa.table(self._columns(both, both, says))

    def _all_scores(self, lessons: Lessons, kind: str, mine: Int64 | None = None) -> Float64:
        mine = np.arange(len(lessons.apart)) if mine is None else mine
        blocks = [mine[start : start + ROWS] for start in range(0, len(mine), ROWS)]
        found = [self._scores(kind, lessons.image[rows], lessons.dna[rows], lessons.gone[rows]) for rows in blocks]
        return np.concatenate(found) if found else np.empty((0, len(self.tree)))

    # ------------------------------------------------------------------ keep

    def known(self, gallery: Gallery, classes: NodeArray) -> Self:
        """See :class:`GalleryNamer`."""
        assert gallery.taxa is not None
        self._taxa, self._dim = gallery.taxa, gallery.dim
        return super().known(gallery, classes)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Of both namers, the weights, and from where on each is relied upon."""
        out: dict[str, npt.NDArray[Any]] = {"image/classes": self.image.classes, "dna/classes": self.dna.classes}
        out |= {f"image/{name}": array for name, array in self.image.arrays().items()}
        out |= {f"dna/{name}": array for name, array in self.dna.arrays().items()}
        out["image/temperature"] = np.array(self.image.temperature)
        for kind, pool in self.pools.items():
            out |= {f"pool/{kind}/{name}": array for name, array in pool.arrays().items()}
        return out | {f"reliable/{kind}": np.array(each.threshold) for kind, each in self.reliable.items()}

    @classmethod
    def restore(cls, gallery: Gallery, classes: NodeArray, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """From its arrays and the gallery's vectors and barcodes."""
        has = Modalities.of(gallery)
        of = {kind: _under(f"{kind}/", arrays) for kind in (IMAGE, DNA)}
        image = WhitenedPrototypes.restore(has.of_images(gallery), of[IMAGE].pop("classes").astype(np.int32), of[IMAGE])
        image.temperature = float(of[IMAGE]["temperature"])
        dna = Barcode.restore(has.of_barcodes(gallery), of[DNA].pop("classes").astype(np.int32), of[DNA])
        made = cls()._with(gallery, has, image, dna)
        made.pools = {kind: pool.restored(_under(f"pool/{kind}/", arrays)) for kind, pool in made.pools.items()}
        made.reliable = {kind: Reliable(float(arrays[f"reliable/{kind}"])) for kind in made.reliable}
        return made


def _there(specimens: Specimens) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(n,) bool each: which of a block has a vector of an image, and which a barcode."""
    none = np.zeros(len(specimens), np.bool_)
    image = none if specimens.vectors is None else np.asarray(specimens.vectors.any(axis=1), np.bool_)
    return image, none if specimens.barcodes is None else has_letters(specimens.barcodes)


def _names(names: Any, told: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(np.asarray(names, object), pa.string(), mask=~told)


def _under(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
