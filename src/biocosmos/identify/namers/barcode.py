"""The namer of DNA barcodes: which species, or that it is one nobody knows here, and of which genus, family or order then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.barcodes.placement import Marker
from biocosmos.errors import BiocosmosError
from biocosmos.identify.blocks import FloatArray, NodeArray
from biocosmos.identify.confidence.held_out import HeldOut, Part, largest_sample
from biocosmos.identify.namer import FitOptions, GalleryNamer, Said, Specimens
from biocosmos.identify.namers.barcodes.evidence import Evidence
from biocosmos.identify.namers.barcodes.references import Hidden, Near, References
from biocosmos.identify.namers.barcodes.weights import Choices, fit_weights
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.search.hits import Hits

Int64 = npt.NDArray[np.int64]

MOST_FITTED = 1200
"""Barcodes that the weights are fitted on; each is asked in as many ways as there are ranks to hide."""
HELD_OUT = 2000
"""Barcodes that confidence and promises rest on, none of which the weights were fitted on."""
UNSEEN_SHARE = 0.5
"""Share of these whose whole taxon is hidden, however many others it has."""
WAYS = (("own barcode", 1.0), ("species", 0.5), ("genus", 0.2), ("family", 0.05))
"""What is hidden from a barcode when the weights are fitted, and how much that counts: how often a species, a genus, a family
that nobody knows is to be expected. The promise does not rest on it."""
NEAREST = 24
"""Distinct taxa whose distances are kept as features."""
SHOWN = 20
"""Nearest known barcodes that are shown."""
_MOST_KNOWN = 300
"""Known specimens that a novelty detector is told of; that of barcodes learns nothing from them."""
BIN = "dna_bin"
"""The column of BINs (BOLD), of which that of the nearest barcode is shown."""
FAR = 1.0
"""A distance where there is no other taxon."""


class Barcode(GalleryNamer):
    """Nearest known barcodes, found by k-mers and compared base by base, weighed by a model learnt on hidden species.

    Every known taxon, and every taxon above it, is a class: the mass of an inner one is that of its members that nobody knows
    here. A barcode is compared with the references that share the most k-mers, each laid into the columns of the marker
    (:mod:`biocosmos.barcodes.placement`): substitutions per base, those that change slowly, by position in the codon. Nearest
    distances, gaps and votes of each taxon go into a conditional logit with weights for species, for every inner rank and for the
    root (:mod:`.barcodes.weights`), fitted on known barcodes whose own barcode, species, genus or family is hidden in turn.
    """

    name, says = "barcode", "the nearest DNA barcodes, base by base; knows species that nobody knows here, and places them"
    takes = "barcodes"
    hides_taxa = True
    options: ClassVar[frozenset[str]] = frozenset()
    own_scale, fallback_temperature = True, 1.0
    detectors: ClassVar[tuple[str, ...]] = ("barcode-distance", "msp", "max-logit", "energy")
    unknown_below = True

    # ------------------------------------------------------------------ make

    @classmethod
    def fit(cls, gallery: Gallery, options: FitOptions) -> Self:
        """Lay the known barcodes down and learn the weights. Raises BiocosmosError for a gallery without barcodes."""
        made = cls()._with(_references(gallery, None, options.seed), gallery)
        made._learn(options.seed)
        return made

    def _with(self, references: References, gallery: Gallery) -> Self:
        self.references, self.evidence = references, Evidence(references)
        taxonomy = references.taxonomy
        above = np.unique(references.paths)
        classes = np.unique(np.append(above[above >= 0], 0)).astype(np.int32)
        leaf = np.zeros(len(taxonomy), np.bool_)
        leaf[classes] = self.evidence.taxa_under[classes] == 1
        leaf[classes] &= np.isin(classes, references.taxa)
        self.kinds = np.where(leaf, 0, 1 + taxonomy.rank.astype(np.int64) + 1)  # 1 is the root, whose rank is -1
        self.weights = np.zeros((2 + len(taxonomy.ranks), 0), np.float32)
        self.column = np.full(len(taxonomy), -1, np.int64)
        self.column[classes] = np.arange(len(classes))
        return self.known(gallery, classes)

    def _learn(self, seed: int) -> None:
        fitted, _ = self.set_apart(seed)
        letters = self._letters
        said, truth, weight = [], [], []
        for way, counts in WAYS:
            hidden = self._hidden(fitted, way)
            for i, near in enumerate(self.references.near([letters[row] for row in fitted], hidden)):
                right = self._deepest(fitted[i], hidden, i, way)
                if near is not None and right is not None:
                    said.append(self.evidence.of(near, hidden, i))
                    truth.append(right)
                    weight.append(counts)
        if said:
            self.weights = fit_weights(Choices.of(said, self.kinds, truth, weight), len(self.weights))
        else:
            raise BiocosmosError(
                "barcode: no two known barcodes to compare: add specimens with barcodes, or choose method 'nearest'"
            )

    def set_apart(self, seed: int) -> tuple[Int64, Int64]:
        """References that the weights are fitted on, at most a third of all, and those that may be held out, in random order."""
        drawn = np.random.default_rng(seed).permutation(len(self.references))
        count = min(MOST_FITTED, (len(drawn) + 2) // 3)
        return np.sort(drawn[:count]), drawn[count:]

    def _hidden(self, rows: Int64, way: str) -> Hidden:
        """From each of some references its own barcode, and in other ways its taxon at a rank with all that is under it."""
        taxonomy, taxa = self.references.taxonomy, self.references.taxa[rows]
        first = last = np.zeros(len(rows), np.int64)
        if way == "species":
            first, last = taxa.astype(np.int64), taxonomy.end[taxa].astype(np.int64)
        elif way in taxonomy.ranks:
            at = taxonomy.ancestor(taxa, way)
            first, last = np.where(at > 0, at, 0).astype(np.int64), np.where(at > 0, taxonomy.end[np.maximum(at, 0)], 0)
        return Hidden(self.references.number[rows], first, np.asarray(last, np.int64))

    def _deepest(self, row: int, hidden: Hidden, i: int, way: str) -> int | None:
        """The deepest taxon of a reference that is still known, None where the way asks for nothing else than another does."""
        told = self.references.told(i, hidden)
        path = self.references.paths[row]
        own = path[path >= 0]
        known = [int(node) for node in own if _any_under(self.references, told, int(node))]
        if way == WAYS[0][0] and (not known or known[-1] != self.references.taxa[row]):
            return None
        if way not in (WAYS[0][0], "species") and hidden.last[i] <= hidden.first[i]:
            return None
        return known[-1] if known else 0

    # ------------------------------------------------------------------ say

    def said(self, specimens: Specimens) -> Said:
        """Log odds of the taxa near each barcode, -inf elsewhere; the distances of the nearest taxa as features."""
        return self._said(specimens, None)[0]

    def predict(self, specimens: Specimens, **facts: Any) -> Predictions:
        """With the nearest known barcodes of each in columns "barcode_rows", "identity" and "alignment_length"."""
        return self._predicted(specimens, None, **facts)

    def scores(self, vectors: FloatArray) -> FloatArray:
        """It looks at letters, not at vectors."""
        raise BiocosmosError("the namer 'barcode' takes barcodes, not vectors: give specimens with their sequences")

    def _predicted(self, specimens: Specimens, hidden: Hidden | None, **facts: Any) -> Predictions:
        self.refuse_without(specimens)
        found, nearest = self._said(specimens, hidden)
        columns = specimens.columns
        table = nearest if columns is None else _beside(columns, nearest)
        return self.predictions(specimens, found, table, **facts)

    def _said(self, specimens: Specimens, hidden: Hidden | None) -> tuple[Said, pa.Table]:
        assert specimens.barcodes is not None
        letters = ["" if each is None else str(each) for each in specimens.barcodes]
        logits = np.full((len(letters), len(self.classes)), -np.inf, np.float32)
        features = np.concatenate([np.full((len(letters), NEAREST), FAR), np.full((len(letters), NEAREST), -1.0)], axis=1)
        shown: list[tuple[list[int], list[float], list[int]]] = []
        for i, near in enumerate(self.references.near(letters, hidden)):
            if near is None:
                logits[i, self.column[0]] = 0.0  # nothing is known of it: no answer
                shown.append(([], [], []))
                continue
            said = self.evidence.of(near, hidden, i)
            score = np.einsum("mw,mw->m", said.numbers, self.weights[self.kinds[said.nodes]])
            logits[i, self.column[said.nodes]] = score
            leaf = self.kinds[said.nodes] == 0
            order = np.argsort(said.nearest[leaf], kind="stable")[:NEAREST]
            features[i, : len(order)] = said.nearest[leaf][order]
            features[i, NEAREST : NEAREST + len(order)] = self.column[said.nodes[leaf][order]] / len(self.classes)
            shown.append(self._shown(near))
        return Said(logits, features.astype(np.float32)), _table(shown)

    def _shown(self, near: Near) -> tuple[list[int], list[float], list[int]]:
        order = np.lexsort([near.rows, near.distances[1], near.distances[0]])[:SHOWN]
        rows = self.references.rows[near.rows[order]]
        return rows.tolist(), near.identity[order].astype(float).tolist(), near.length[order].tolist()

    def nearest(self, predictions: Predictions, known: Gallery) -> Hits | None:
        """The nearest known barcodes, as they were found; scores are identities."""
        columns = predictions.columns
        if columns is None or "barcode_rows" not in columns.column_names:
            return None
        rows, scores = np.full((len(predictions), SHOWN), -1, np.int64), np.full((len(predictions), SHOWN), -np.inf, np.float32)
        for i, (found, identity) in enumerate(zip(columns["barcode_rows"].to_pylist(), columns["identity"].to_pylist())):
            rows[i, : len(found)], scores[i, : len(found)] = found, identity
        return Hits(known, rows, scores, np.ones(len(rows), np.bool_), dict(known.provenance))

    def shown(self, predictions: Predictions, known: Gallery | None) -> dict[str, pa.Array]:
        """Of the nearest known barcode: identity in percent, over how many columns, and its BIN where one is known."""
        columns = predictions.columns
        has_bins = known is not None and known.columns is not None and BIN in known.columns.column_names
        if columns is None or "barcode_rows" not in columns.column_names:
            empty = [None] * len(predictions)
            none: dict[str, pa.Array] = {
                "identity": pa.array(empty, pa.float64()),
                "alignment_length": pa.array(empty, pa.int32()),
            }
            return none | ({"nearest_bin": pa.array(empty, pa.string())} if has_bins else {})
        first = [rows[0] if rows else None for rows in columns["barcode_rows"].to_pylist()]
        identity = [100 * each[0] if each and np.isfinite(each[0]) else None for each in columns["identity"].to_pylist()]
        length = [each[0] if each else None for each in columns["alignment_length"].to_pylist()]
        out = {"identity": pa.array(identity, pa.float64()), "alignment_length": pa.array(length, pa.int32())}
        if has_bins:
            assert known is not None and known.columns is not None
            out["nearest_bin"] = known.columns[BIN].combine_chunks().take(pa.array(first, pa.int64()))
        return out

    # ------------------------------------------------------------------ hold out

    def held_out(self, gallery: Gallery, seed: int) -> HeldOut:
        """Known barcodes that the weights were not fitted on: some without the same barcode, and as many, where there are,
        without their whole taxon. A barcode is held out, not a specimen: one that is known letter for letter proves nothing."""
        _, rest = self.set_apart(seed)
        rest = rest[self.kinds[self.references.taxa[rest]] == 0]
        most = min(HELD_OUT, largest_sample(self))
        others = np.array([self._has_another(row) for row in rest], np.bool_)
        most = min(most, len(rest))
        seen = rest[others][: round(most * (1 - UNSEEN_SHARE))]
        unseen = rest[~np.isin(rest, seen)][: round(most * UNSEEN_SHARE)]
        parts = [self._asked(gallery, seen, "own barcode"), self._asked(gallery, unseen, "species")]
        asked = Predictions.concatenate(parts)
        group = np.repeat([False, True], [len(seen), len(unseen)])
        source = (
            f"{len(seen):,} known barcodes of which no copy was known, and {len(unseen):,} of which no other of their species was"
        )
        part = Part(asked, asked.subset(np.arange(min(len(seen), _MOST_KNOWN))), group)
        return HeldOut((part,), source, False)

    def letters_at(self, references: Int64) -> npt.NDArray[np.object_]:
        """The barcodes of some references."""
        return np.array([self._letters[row] for row in references], object)

    def said_without(self, specimens: Specimens, references: Int64, way: str) -> Said:
        """What it says of specimens that are these references (n,), each without its own barcode, or all of its taxon."""
        return self._said(specimens, self._hidden(references, way))[0]

    def _has_another(self, row: int) -> bool:
        same = self.references.taxa == self.references.taxa[row]
        return bool((self.references.number[same] != self.references.number[row]).any())

    def _asked(self, gallery: Gallery, rows: Int64, way: str) -> Predictions:
        letters, taxa = self._letters, self.references.taxa
        hidden = self._hidden(rows, way)
        specimens = Specimens(
            gallery.ids[self.references.rows[rows]],
            truth=taxa[rows],
            barcodes=np.array([letters[row] for row in rows], object),
        )
        return self._predicted(specimens, hidden)

    # ------------------------------------------------------------------ keep

    @property
    def _letters(self) -> list[str]:
        return self._barcodes

    def known(self, gallery: Gallery, classes: NodeArray) -> Self:
        """See :class:`GalleryNamer`; keeps the letters of the references too."""
        barcodes = barcodes_of(gallery)
        self._barcodes = [barcodes[row] for row in self.references.rows]
        return super().known(gallery, classes)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Weights, the columns of the marker and the placed references."""
        references = self.references
        laid = {"codes": references.codes, "good": references.good}
        return {"weights": self.weights, **references.marker.arrays(), **laid}

    @classmethod
    def restore(cls, gallery: Gallery, classes: NodeArray, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """From its arrays and the gallery's barcodes."""
        placed = (Marker.restored(arrays), np.asarray(arrays["codes"], np.uint8), np.asarray(arrays["good"], np.bool_))
        made = cls()._with(_references(gallery, placed, 0), gallery)
        made.weights = np.asarray(arrays["weights"], np.float32)
        return made


def barcodes_of(gallery: Gallery) -> list[str]:
    """The letters of a gallery's rows. Raises BiocosmosError where it has none, or a row comes without."""
    columns = gallery.columns
    if columns is None or "barcode" not in columns.column_names:
        raise BiocosmosError(
            "the method 'barcode' compares DNA barcodes, and these specimens come without: name an embedding of "
            "barcodes (--encoder kmer:7; in Python collection.gallery('kmer:7', columns=('barcode',))), or another method"
        )
    letters: list[str | None] = columns["barcode"].to_pylist()
    bare = [i for i, each in enumerate(letters) if not each]
    if bare:
        raise BiocosmosError(f"{gallery.ids[bare[0]]}: no barcode, nor {len(bare) - 1:,} others: leave them out of the gallery")
    return [str(each) for each in letters]


def _references(gallery: Gallery, placed: Any, seed: int) -> References:
    assert gallery.taxa is not None and gallery.taxonomy is not None
    counts: KmerCounts | None = gallery.counts
    return References.of(gallery.taxonomy, gallery.taxa, barcodes_of(gallery), counts, placed, seed)


def _any_under(references: References, told: npt.NDArray[np.bool_], node: int) -> bool:
    first, last = np.searchsorted(references.taxa, [node, int(references.taxonomy.end[node])])
    return bool(told[first:last].any())


def _table(shown: list[tuple[list[int], list[float], list[int]]]) -> pa.Table:
    return pa.table(
        {
            "barcode_rows": pa.array([each[0] for each in shown], pa.list_(pa.int64())),
            "identity": pa.array([each[1] for each in shown], pa.list_(pa.float32())),
            "alignment_length": pa.array([each[2] for each in shown], pa.list_(pa.int32())),
        }
    )


def _beside(columns: pa.Table, more: pa.Table) -> pa.Table:
    for name in more.column_names:
        columns = columns.append_column(name, more[name])
    return columns
