"""How far the nearest known barcode is."""

from __future__ import annotations

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.detector import Detector, Float64, Hidden
from biocosmos.identify.predictions import Predictions


class BarcodeDistance(Detector):
    """Substitutions per base to the nearest known barcode, smoothed as the namer of barcodes does.

    It reads that namer's features: (n, 2 m), the distances of the m nearest taxa and then the columns of these among its classes,
    as a share of their number, below 0 where there is none.
    """

    name = "barcode-distance"
    says = "distance to the nearest known barcode, for the method 'barcode'"

    def _fit(self, train: Predictions, held_out: Predictions | None) -> None:
        if train.facts.get("namer") != "barcode":
            raise BiocosmosError(f"the novelty detector {self.name!r} is for the method 'barcode': choose another")

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        half = predictions.features.shape[1] // 2
        distance = predictions.features[:, :half].astype(np.float64)
        column = np.rint(predictions.features[:, half:] * len(predictions.classes)).astype(np.int64)
        gone = column < 0
        if hidden is not None:
            gone |= (column >= hidden[:, :1]) & (column < hidden[:, 1:])
        # where all near ones are hidden the next is at least as far as the farthest of them
        return np.asarray(np.where(gone, distance.max(axis=1, keepdims=True), distance).min(axis=1))
