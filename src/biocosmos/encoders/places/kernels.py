"""Places as random Fourier features: the cosine of two vectors is a Gaussian kernel of their distance, season and depth.

k = exp(-c²/2h²) · exp(-Δt²/2s²), wrapped around the year, · exp(-Δz²/2m²), with c the chord through the sphere, which is the
great-circle distance to 1 in 1,000 below 1,000 km. Frequencies are drawn from the kernel's spectrum (Rahimi and Recht 2007), for
the season from the whole turns of a year, so that no vector changes at New Year, at the antimeridian or at the poles.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.places.encoder import DAY, DEPTH, NOTHING, PLACE, PLACES_AT_ONCE, Vectors, known
from biocosmos.errors import BiocosmosError
from biocosmos.places import EARTH, YEAR, Places, on_sphere

FREQUENCIES = 512
SEED = 0
_UNITS = {"km": PLACE, "d": DAY, "m": DEPTH}
_SPEC = re.compile(r"(?:(?P<km>\d+(?:\.\d+)?)km)?(?:(?:^|-)(?P<d>\d+(?:\.\d+)?)d)?(?:(?:^|-)(?P<m>\d+(?:\.\d+)?)m)?")


class KernelPlaces:
    """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`. spec: "15km-15d-100m", the widths of the kernel.

    A cosine is the kernel up to an error of about 0.04, which is that of :data:`FREQUENCIES` draws.
    Raises BiocosmosError for a spec that says no width.
    """

    modality: Literal["place", "environment"] = "place"
    batch_size = PLACES_AT_ONCE

    def __init__(self, spec: str) -> None:
        found = _SPEC.fullmatch(spec)
        widths = {unit: float(width) for unit, width in (found.groupdict() if found else {}).items() if width is not None}
        if not widths or not all(widths.values()):
            raise BiocosmosError(
                f"encoder 'place:{spec}' is not known: say the widths of the kernel in km, days and metres of depth, such as "
                "place:15km, place:15km-15d, place:100km-30d-50m"
            )
        self.name, self.widths, self.dim = f"place:{spec}", widths, 2 * FREQUENCIES
        self.takes = tuple(_UNITS[unit] for unit in widths)
        told = f"random Fourier features, {FREQUENCIES}, seed {SEED}, of {sorted(widths.items())}"
        self.digest = hashlib.sha256(told.encode()).hexdigest()[:16]
        draws = np.random.default_rng(SEED)
        self._on_sphere = draws.standard_normal((3, FREQUENCIES)) * EARTH / widths.get("km", np.inf)
        self._turns = _turns(widths["d"], draws) if "d" in widths else np.zeros(FREQUENCIES)
        self._deep = draws.standard_normal(FREQUENCIES) / widths.get("m", np.inf)

    def __repr__(self) -> str:
        return f"<KernelPlaces {self.name}: {self.dim:,} numbers>"

    def metadata(self) -> dict[str, Any]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "preprocessing": {"takes": list(self.takes), "kernel": self.widths},
            "precision": "float32",
            "backend": "numpy",
            "device": "cpu",
            "source": "random Fourier features of a Gaussian kernel",
        }

    def encode_places(self, places: Places) -> Vectors:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        vectors = np.zeros((len(places), self.dim), np.float32)
        there = np.flatnonzero(known(places, self.takes))
        found = places.take(there)
        phase = np.zeros((len(found), FREQUENCIES))
        if PLACE in self.takes:
            phase += on_sphere(found.latitude, found.longitude) @ self._on_sphere
        if DAY in self.takes:
            phase += (2 * np.pi / YEAR * found.day)[:, None] * self._turns
        if DEPTH in self.takes:
            phase += found.depth[:, None] * self._deep
        vectors[there] = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) / np.sqrt(FREQUENCIES)
        return vectors

    def reasons(self, places: Places) -> list[str]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return [NOTHING] * len(places)


def _turns(days: float, draws: np.random.Generator) -> npt.NDArray[np.float64]:
    """Whole turns a year, drawn as often as the wrapped Gaussian of this width has them."""
    width = YEAR / (2 * np.pi * days)
    turns = np.arange(-np.ceil(6 * width), np.ceil(6 * width) + 1)
    weights = np.exp(-0.5 * (turns / width) ** 2)
    return draws.choice(turns, FREQUENCIES, p=weights / weights.sum())
