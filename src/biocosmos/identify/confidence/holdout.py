"""Held-out scores to calibrate on: a calibration gallery, leave one out, or folds; never what a scorer was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.identify.blocks import FloatArray, NodeArray, RowArray, block_rows
from biocosmos.identify.folds import FOLDS, class_sizes, fold_numbers
from biocosmos.identify.namer import GalleryNamer
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard

# More held-out specimens than this no longer change a curve of one variable; a seeded sample is taken.
LARGEST_SAMPLE = 5000
# Folds are fitted until this many specimens are held out: a large gallery needs one fold, a small one all five.
ENOUGH = 2000


@dataclass(frozen=True)
class HeldOut:
    """Specimens with their true taxa, and a scorer for each part of them that has not seen that part.

    ``parts``: (scorer, rows) where rows index ``gallery``; ``leave_out``: each row is hidden from its own scoring.
    """

    gallery: Gallery
    parts: tuple[tuple[GalleryNamer, RowArray], ...]
    leave_out: bool
    source: str

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.parts)

    def rows(self) -> RowArray:
        """Rows of ``gallery``, in the order of :meth:`chunks`."""
        return np.concatenate([rows for _, rows in self.parts]) if self.parts else np.empty(0, np.int64)

    def chunks(self) -> Iterator[tuple[FloatArray, NodeArray]]:
        """Yield (scores (q, C) float32, true taxa (q,) int32)."""
        assert self.gallery.taxa is not None
        for scorer, rows in self.parts:
            size = block_rows(len(scorer.classes))
            for a in range(0, len(rows), size):
                some = rows[a : a + size]
                queries = self.gallery.vectors[some]
                scores = scorer.hidden_scores(queries, some) if self.leave_out else scorer.scores(queries)
                yield scores, self.gallery.taxa[some]

    def part(self, keep: NDArray[np.bool_]) -> HeldOut:
        """Only the specimens where ``keep`` (n,), in the order of :meth:`rows`, is True."""
        parts, start = [], 0
        for scorer, rows in self.parts:
            parts.append((scorer, rows[keep[start : start + len(rows)]]))
            start += len(rows)
        return HeldOut(self.gallery, tuple(parts), self.leave_out, self.source)


def from_gallery(
    scorer: GalleryNamer, gallery: Gallery, calibration: Gallery, allowed: NDArray[np.bool_] | None, seed: int
) -> HeldOut:
    """Hold out a calibration gallery: its labelled specimens under the allowed taxa.

    Raises BiocosmosError when it shares ids with ``gallery``, has another taxonomy, or nothing is left.
    """
    if calibration.taxonomy is None or calibration.taxa is None:
        raise BiocosmosError("the calibration gallery has no taxa: calibrate on labelled specimens")
    assert gallery.taxonomy is not None
    if calibration.taxonomy.digest != gallery.taxonomy.digest:
        raise BiocosmosError("the calibration gallery has another taxonomy than the gallery: take both from one collection")
    guard.refuse_shared(
        calibration.ids, gallery.ids, "calibration specimens are also in the gallery", "calibrate on another part of the split"
    )
    known = calibration.taxa > 0
    if allowed is not None:
        known &= allowed[calibration.taxa]
    if not known.any():
        raise BiocosmosError("no calibration specimen is labelled with one of the asked taxa: calibrate on others, or on none")
    rows = _sample(np.flatnonzero(known), seed)
    return HeldOut(calibration, ((scorer, rows),), False, f"{len(rows):,} specimens of the calibration gallery")


def leave_one_out(scorer: GalleryNamer, gallery: Gallery, seed: int) -> HeldOut:
    """Each gallery specimen in turn, hidden from its own scoring by id.

    Specimens that are alone in their taxon are left out: hidden, their taxon is no candidate at all, which says nothing about
    how sure an answer among known taxa is.
    """
    rows = _sample(np.flatnonzero(class_sizes(gallery) > 1), seed)
    return HeldOut(gallery, ((scorer, rows),), True, f"leave-one-out by id over {len(rows):,} gallery specimens")


def unseen(scorer: GalleryNamer, gallery: Gallery, seed: int) -> HeldOut:
    """Every gallery specimen, for a scorer that was fitted on none of them (zero-shot)."""
    rows = _sample(np.arange(len(gallery)), seed)
    return HeldOut(gallery, ((scorer, rows),), False, f"{len(rows):,} gallery specimens (zero-shot is fitted on none)")


def folds(fit: Callable[[Gallery], GalleryNamer], gallery: Gallery, seed: int) -> HeldOut:
    """K-fold within each class: fit without a fold, score the fold; as many of the folds as :data:`ENOUGH` asks for.

    A specimen alone in its taxon stays in every training part, so that each fold has the same candidates.
    """
    fold = fold_numbers(gallery, seed)
    parts: list[tuple[GalleryNamer, RowArray]] = []
    held = 0
    for number in range(FOLDS):
        rows = np.flatnonzero(fold == number)
        if not len(rows):
            continue
        parts.append((fit(gallery.subset(fold != number)), _sample(rows, seed)))
        held += len(parts[-1][1])
        if held >= ENOUGH:
            break
    return HeldOut(gallery, tuple(parts), False, f"{len(parts)} of {FOLDS} folds by class, {held:,} gallery specimens")


def _sample(rows: RowArray, seed: int) -> RowArray:
    if len(rows) <= LARGEST_SAMPLE:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, LARGEST_SAMPLE, replace=False))
