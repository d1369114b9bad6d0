"""Names for tracks with a promise on tracks: of the individuals that get a name at most a stated share gets a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from biocosmos.identify.answers import BestPaths, answer_table
from biocosmos.identify.confidence.calibration import Calibration
from biocosmos.identify.confidence.promises import DEFAULT_ALPHA, DEFAULT_DELTA, Kind, Promise, set_apart
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.tracks.fusion import Fusion, track_truth

Int64 = NDArray[np.int64]
LEFT_OUT = ("id", "image_path", "novelty", "novelty_p", "novel", "neighbours", "method")
"""Columns of a table of answers that say nothing of a track."""


@dataclass(frozen=True)
class TrackNaming:
    """Fuses the crops of tracks, and stops where answers can no longer be trusted.

    fusion; calibration, threshold: of fused predictions; promise: what the threshold promises of tracks, None where no held-out
    track could tell; notes: sentences that go with the answers.
    """

    fusion: Fusion
    calibration: Calibration
    threshold: float
    promise: Promise | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        predictions: Predictions,
        track: Int64,
        names: Sequence[str],
        *,
        kind: Kind = "answered",
        alpha: float = DEFAULT_ALPHA,
        delta: float = DEFAULT_DELTA,
        seed: int = 0,
    ) -> TrackNaming:
        """On tracks whose crops the namer was neither fitted nor chosen on.

        predictions: of n crops with their truth; track (n,) int64 from 0, -1 for none; names (t,) of the tracks. What is promised
        is promised of tracks as the tracker made them, its mistakes included: a track of two animals has the truth of most of its
        crops. A quarter of the tracks fits the fusion and the calibration, the others set the threshold
        (:class:`biocosmos.identify.confidence.promises.Promise`). Tracks are exchangeable where nights and sites are alike.

        Raises BiocosmosError where no track has a known taxon, and for a share that so few tracks cannot vouch for.
        """
        known = np.flatnonzero(track_truth(predictions, track, len(names)) != 0)
        kept = np.zeros(len(names), np.bool_)
        kept[set_apart(np.array(list(names), object), known, seed)[0]] = True
        fusion = Fusion.fit(predictions, track, kept)
        promise = Promise.fit(fusion(predictions, track, names), kind, alpha, delta=delta, seed=seed)
        notes = tuple(note.replace("calibration specimens", "calibration tracks") for note in promise.notes)
        return cls(fusion, promise.calibration, promise.threshold, promise, notes)

    @classmethod
    def of_crops(cls, calibration: Calibration, threshold: float, why: str) -> TrackNaming:
        """Without held-out tracks: a track is as sure as one of its crops, and nothing is promised. why: no track could tell."""
        return cls(Fusion.usual(calibration.ranks), calibration, threshold, None, (f"nothing is promised of individuals: {why}",))

    def table(self, predictions: Predictions, track: Int64, names: Sequence[str]) -> pa.Table:
        """One row a track: ``track``; every rank and ``<rank>_confidence``; taxon, rank, confidence: the answer, null where
        nothing is sure enough; best_guess, best_guess_confidence; crops: how many were named."""
        fused = self.fusion(predictions, track, names)
        nodes, confidence = self.calibration.best_path(fused)
        nothing = np.full(len(names), np.nan)
        paths = BestPaths(list(names), [None] * len(names), nodes, confidence, nothing, nothing, None)
        facts: dict[str, Any] = {"threshold": self.threshold}
        said = answer_table(
            paths, fused.taxonomy, threshold=self.threshold, false_alarm_rate=0.0, method="", provenance=facts
        ).drop_columns(list(LEFT_OUT))
        counts = np.bincount(track[track >= 0], minlength=len(names))
        return said.add_column(0, "track", pa.array(list(names), pa.string())).append_column(
            "crops", pa.array(counts, pa.int64())
        )

    def describe(self) -> str:
        """What is promised, in one sentence."""
        if self.promise is None:
            return self.notes[0]
        return "of individuals: " + self.promise.describe().replace("calibration specimens", "held-out tracks").replace(
            "all specimens", "all tracks"
        )
