"""The names of the built-in novelty detectors, for whoever asks before anything heavy is imported."""

from __future__ import annotations

NAMES = (
    *("combined", "msp", "max-logit", "energy", "mahalanobis"),
    *("class-angle", "knn", "whitened-knn", "vim", "rank-outliers", "odin", "barcode-distance", "own-mass"),
)
