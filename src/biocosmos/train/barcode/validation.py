"""What is watched while barcodes are learnt: neighbours among training barcodes, or tokens that were hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.train.barcode.specimens import BarcodeRows

HELD, GALLERY = 500, 1500
"""Validation barcodes that are looked at after each epoch, and training barcodes they are looked for among: seeded samples."""

Array = npt.NDArray[Any]


class Neighbours:
    """Nearest training barcodes of the validation part: the species of the nearest; the genus of the nearest of another species.

    The second is what a new species of a known genus would meet, without a part that has such species.
    """

    def __init__(self, held: BarcodeRows, learnt: BarcodeRows, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.held = held.take(np.sort(rng.permutation(len(held))[:HELD]))
        akin = np.isin(learnt.labels("genus"), np.unique(self.held.labels("genus"))) & (learnt.labels("genus") >= 0)
        chosen = rng.permutation(len(learnt))
        chosen = chosen[np.argsort(~akin[chosen], kind="stable")][:GALLERY]
        self.gallery = learnt.take(np.sort(chosen))

    def figures(self, asked: Array, gallery: Array) -> dict[str, float]:
        """asked, gallery: (n, dim), (m, dim) float32 unit rows. "neighbours" is the mean of the others."""
        scores = asked @ gallery.T
        found: dict[str, float] = {}
        species, others = self.held.labels("species"), self.gallery.labels("species")
        known = np.isin(species, others) & (species >= 0)
        if known.any():
            found["species of the nearest"] = float((others[scores[known].argmax(1)] == species[known]).mean())
        genus, genera = self.held.labels("genus"), self.gallery.labels("genus")
        apart = np.where((species[:, None] == others[None]) & (species >= 0)[:, None], -2.0, scores)
        mates = ((genus[:, None] == genera[None]) & (apart > -2)).any(1) & (genus >= 0)
        if mates.any():
            found["genus of the nearest other species"] = float((genera[apart[mates].argmax(1)] == genus[mates]).mean())
        return {"neighbours": float(np.mean(list(found.values()))), **found} if found else {}
