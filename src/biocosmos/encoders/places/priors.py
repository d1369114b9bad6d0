"""A kernel prior as an encoder of places: the square roots of the shares of the taxa there.

The cosine of two vectors is Bhattacharyya's coefficient of the shares of both places: 1 where the same was collected, 0 where
nothing of the one was collected at the other.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from biocosmos.encoders.places.encoder import DAY, DEPTH, NOTHING, PLACE, PLACES_AT_ONCE, Vectors, known
from biocosmos.encoders.spaces import space_facts
from biocosmos.places import Places
from biocosmos.places.kernel import KERNEL, KernelPrior
from biocosmos.provenance import encoder_name


class SharesOfPlaces:
    """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`; (n, C) vectors of the C taxa of a prior."""

    modality: Literal["place", "environment"] = "place"
    batch_size = PLACES_AT_ONCE

    def __init__(self, name: str, prior: KernelPrior, digest: str) -> None:
        self.name, self.prior, self.digest, self.dim = encoder_name(name), prior, digest, len(prior.taxa)
        h = prior.bandwidths
        asked = [what for what, width in ((PLACE, h.kilometres), (DAY, h.days), (DEPTH, h.metres)) if np.isfinite(width)]
        self.takes = tuple(asked[:1]) or (PLACE,)

    def metadata(self) -> dict[str, Any]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        h = self.prior.bandwidths
        widths = {unit: width for unit, width in (("km", h.kilometres), ("d", h.days), ("m", h.metres)) if np.isfinite(width)}
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "preprocessing": {"takes": list(self.takes), "kernel": widths},
            "source": f"shares of {self.dim:,} taxa that {len(self.prior.learnt):,} specimens were collected of",
            "precision": "float32",
            "backend": "numpy",
            "device": "cpu",
            **space_facts(self.name, self.digest),
        }

    def encode_places(self, places: Places) -> Vectors:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        vectors = np.zeros((len(places), self.dim), np.float32)
        there = np.flatnonzero(known(places, self.takes))
        if len(there):
            vectors[there] = np.sqrt(self.prior.shares(places.take(there)))
        return vectors

    def reasons(self, places: Places) -> list[str]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return [NOTHING] * len(places)


def load_shares(name: str, folder: Path) -> SharesOfPlaces:
    """The encoder in the folder of a kernel prior, under this name. Raises BiocosmosError for a missing or broken file."""
    prior = KernelPrior.load(folder)
    return SharesOfPlaces(name, prior, hashlib.sha256((folder / KERNEL).read_bytes()).hexdigest()[:16])


__all__ = ["SharesOfPlaces", "load_shares"]
