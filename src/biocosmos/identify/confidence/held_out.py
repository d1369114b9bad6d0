"""Specimens with known names as a namer sees them that was not fitted on them: what confidence, promises and novelty rest on.

They are a calibration gallery's, or the known gallery's own, cross-fitted: a fold of it is asked of a namer (and scored by a
detector) that was fitted without it, fold after fold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.identify.blocks import BLOCK_ELEMENTS, NodeArray, RowArray
from biocosmos.identify.confidence.temperature import fit_score_temperature
from biocosmos.identify.folds import FOLDS, fold_numbers
from biocosmos.identify.namer import FitOptions, GalleryNamer, Specimens, Takes
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard

LARGEST_SAMPLE = 5000
"""More held-out specimens than this no longer change a curve of three numbers; a seeded sample is taken."""
ENOUGH = 1000
"""Folds are fitted until this many specimens are held out: a large gallery needs one fold, a small one all five."""
MOST_KNOWN = 20_000
"""Specimens that a novelty detector learns from, a seeded sample of more: scores over all taxa are held for each of them."""


@dataclass(frozen=True)
class Part:
    """asked: predictions of held-out specimens; known: of (a sample of) the specimens that their namer was fitted on; unseen:
    (n,) bool, of which the whole taxon was hidden; None for none."""

    asked: Predictions
    known: Predictions
    unseen: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class HeldOut:
    """Parts of held-out specimens; source: which they are, in words; outside: whether they are none of the known specimens."""

    parts: tuple[Part, ...]
    source: str
    outside: bool

    def __len__(self) -> int:
        return sum(len(part.asked) for part in self.parts)

    @property
    def predictions(self) -> Predictions:
        """Those of all parts."""
        return Predictions.concatenate(part.asked for part in self.parts)

    @property
    def unseen(self) -> NDArray[np.bool_] | None:
        """(n,) bool of all parts, None where no taxon was hidden."""
        if all(part.unseen is None for part in self.parts):
            return None
        return np.concatenate([np.zeros(len(p.asked), np.bool_) if p.unseen is None else p.unseen for p in self.parts])

    def subset(self, kept: NDArray[np.bool_]) -> HeldOut:
        """Those of a mask (n,) over the specimens of all parts; parts without any are left out."""
        parts, start = [], 0
        for part in self.parts:
            mine = kept[start : start + len(part.asked)]
            start += len(part.asked)
            if mine.any():
                unseen = None if part.unseen is None else part.unseen[mine]
                parts.append(Part(part.asked.subset(mine), part.known, unseen))
        return replace(self, parts=tuple(parts))

    def tempered(self, temperature: float) -> HeldOut:
        """The same with all scores over a temperature."""
        parts = (Part(_over(part.asked, temperature), _over(part.known, temperature), part.unseen) for part in self.parts)
        return replace(self, parts=tuple(parts))

    def score_temperature(self, kept: NDArray[np.bool_] | None = None) -> float:
        """The temperature that makes logits of scores: least mean -log p(true taxon) over the specimens of a mask (n,)."""
        found = self.predictions
        return fit_score_temperature(found if kept is None else found.subset(kept))


def _over(predictions: Predictions, temperature: float) -> Predictions:
    return replace(predictions, logits=(predictions.logits / np.float32(temperature)).astype(np.float32))


def calibration_gallery(
    namer: GalleryNamer, gallery: Gallery, calibration: Gallery, allowed: NDArray[np.bool_] | None, seed: int
) -> HeldOut:
    """The labelled specimens of a calibration gallery that are under the allowed taxa.

    Raises BiocosmosError when it shares ids with ``gallery``, has another taxonomy, or nothing is left.
    """
    if calibration.taxonomy is None or calibration.taxa is None:
        raise BiocosmosError("the calibration gallery has no taxa: calibrate on labelled specimens")
    if calibration.taxonomy.digest != namer.taxonomy.digest:
        raise BiocosmosError("the calibration gallery has another taxonomy than the gallery: take both from one collection")
    guard.refuse_shared(
        calibration.ids, gallery.ids, "calibration specimens are also in the gallery", "calibrate on another part of the split"
    )
    known = calibration.taxa > 0
    if allowed is not None:
        known &= allowed[calibration.taxa]
    if not known.any():
        raise BiocosmosError("no calibration specimen is labelled with one of the asked taxa: calibrate on others, or on none")
    rows = _sample(np.flatnonzero(known), largest_sample(namer), seed)
    part = Part(ask(namer, calibration, rows), ask(namer, gallery, _sample(np.arange(len(gallery)), MOST_KNOWN, seed)))
    return HeldOut((part,), f"{len(rows):,} specimens of the calibration gallery", True)


def cross_fitted(namer: GalleryNamer, gallery: Gallery, options: FitOptions) -> HeldOut:
    """The gallery's own specimens, fold by fold within each taxon, as many of the folds as :data:`ENOUGH` asks for.

    A specimen alone in its taxon stays in what is fitted on and takes no part: without it, its taxon would be no answer at all.
    A namer that can tell the unknown holds out in its own way (:meth:`~biocosmos.identify.namer.GalleryNamer.held_out`).
    """
    own = namer.held_out(gallery, options.seed)
    if own is not None:
        return own
    fold = fold_numbers(gallery, options.seed)
    parts: list[Part] = []
    held, largest = 0, largest_sample(namer)
    for number in range(FOLDS):
        rows = np.flatnonzero(fold == number)
        if not len(rows):
            continue
        kept = gallery.subset(fold != number)
        fitted = namer.refitted(kept, options)
        rows = _sample(rows, max(1, largest // FOLDS) if held else largest, options.seed)
        known = ask(fitted, kept, _sample(np.arange(len(kept)), MOST_KNOWN, options.seed))
        # a fold's namer stands in for the one fitted on all, and the detectors that it calibrates will judge what that one says
        asked = ask(fitted, gallery, rows)
        parts.append(Part(asked.described(digest=namer.digest), known.described(digest=namer.digest)))
        held += len(rows)
        if held >= min(ENOUGH, largest):
            break
    return HeldOut(tuple(parts), f"{held:,} known specimens, cross-fitted ({len(parts)} of {FOLDS} folds)", False)


def largest_sample(namer: GalleryNamer) -> int:
    """Held-out specimens whose scores over all taxa are held at once."""
    return min(LARGEST_SAMPLE, max(FOLDS * 100, 4 * BLOCK_ELEMENTS // max(1, len(namer.classes))))


def ask(namer: GalleryNamer, gallery: Gallery, rows: RowArray) -> Predictions:
    """What a namer says of some rows of a gallery, with their names as truth."""
    return Predictions.concatenate(namer.stream(gallery_blocks(gallery, rows, namer.takes)))


def gallery_blocks(gallery: Gallery, rows: RowArray, takes: Takes = "vectors") -> Iterable[Specimens]:
    """Rows of a gallery as one block of specimens, with what a namer takes, which cuts it."""
    taxa: NodeArray | None = None if gallery.taxa is None else gallery.taxa[rows]
    if takes in ("barcodes", "both"):
        assert gallery.columns is not None
        letters = gallery.columns["barcode"].take(pa.array(rows)).to_numpy(zero_copy_only=False)
        vectors = gallery.vectors[rows] if takes == "both" else None
        yield Specimens(gallery.ids[rows], vectors=vectors, truth=taxa, barcodes=letters)
        return
    yield Specimens(gallery.ids[rows], vectors=gallery.vectors[rows], truth=taxa)


def _sample(rows: RowArray, most: int, seed: int) -> RowArray:
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
