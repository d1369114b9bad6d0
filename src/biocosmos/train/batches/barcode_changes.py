"""How a barcode is changed in training, as barcodes in the wild are: ends are lost, bases misread, the frame moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHORTEST, LONGEST = 200, 600
"""Bases that a barcode keeps that loses ends: in BOLD they are 100 and more."""


@dataclass(frozen=True)
class BarcodeChanges:
    """crop: share of the barcodes that lose ends, 0..1; mutate: bases are substituted up to this share of a barcode, 0..1; frame:
    so many bases of the start may be left out, less one: k, so that the frame of k-mers side by side moves; 1 for none."""

    crop: float = 0.0
    mutate: float = 0.0
    frame: int = 1

    def __call__(self, barcode: str, rng: np.random.Generator) -> str:
        """The barcode changed; all that is random comes from ``rng``."""
        if self.crop and rng.random() < self.crop and len(barcode) > SHORTEST:
            kept = int(rng.integers(SHORTEST, min(LONGEST, len(barcode)) + 1))
            first = int(rng.integers(len(barcode) - kept + 1))
            barcode = barcode[first : first + kept]
        if self.mutate:
            letters = np.frombuffer(barcode.encode("ascii", "replace"), np.uint8).copy()
            hit = rng.random(len(letters)) < self.mutate * rng.random()
            letters[hit] = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, int(hit.sum()))]
            barcode = letters.tobytes().decode("ascii")
        return barcode[int(rng.integers(self.frame)) :] if self.frame > 1 else barcode
