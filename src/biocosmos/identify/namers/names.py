"""The names of the built-in namers, for whoever asks before anything heavy is imported."""

from __future__ import annotations

NAMES = (
    *("nearest", "class-mean", "nearest-euclidean", "class-mean-euclidean", "centroid", "simpleshot"),
    *("linear", "zero-shot", "barcode", "fused"),
)
OF_IMAGES, OF_BARCODES, OF_BOTH = "linear", "barcode", "fused"
"""Who names where no method is asked for; the last, who names by both, is never taken unasked."""
