"""The table of a community: samples by taxa."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError

COUNT, PER_M3, PER_M2, VOLUME_PER_M3 = "specimens", "per m³", "per m²", "mm³ per m³"
"""Units of ``counts``."""
UNITS_OF = {
    "specimens": COUNT,
    "concentration": PER_M3,
    "biovolume": VOLUME_PER_M3,
    "per_m2": PER_M2,
    "biovolume_per_m2": "mm³ per m²",
}
COUNTS = ("specimens", "low", "high", "corrected")
"""What stands ``beside`` in specimens."""


@dataclass(frozen=True)
class Community:
    """s samples by t taxa. Samples without specimens are kept: their row is 0.

    Attributes:
        samples: (s,) object, the name of each sample, each once.
        taxa: (t,) object, the name of each taxon at ``rank``, each once; rolled-back names are taxa of their own.
        rank: of the taxa; "label" where they are the labels as their source gave them.
        counts: (s, t) float64, at least 0; nan = not known, as a concentration without a volume is.
        unit: of ``counts``: "specimens", "per m³", "per m²" or "mm³ per m³".
        facts: one row a sample, in the order of ``samples``: what is known of each (latitude, longitude, depth_min, depth_max,
            date, station, volume in m³, ...); ``sample`` its name.
        beside: name -> (s, t) float64 of the same shape: specimens, concentration, biovolume, low, high.
        predicted: whether any count is of names that a classifier gave.
        taxon_ranks: (t,) object, rank of each taxon where it is not ``rank`` for all.
    """

    samples: NDArray[np.object_]
    taxa: NDArray[np.object_]
    rank: str
    counts: NDArray[np.float64]
    unit: str = COUNT
    facts: pa.Table | None = None
    beside: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    predicted: bool = False
    taxon_ranks: NDArray[np.object_] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.samples), len(self.taxa))
        for name, values in (("counts", self.counts), *self.beside.items()):
            if values.shape != shape:
                raise BiocosmosError(f"a community of {shape[0]} samples by {shape[1]} taxa has {name} of shape {values.shape}")
        for kind, names in (("sample", self.samples), ("taxon", self.taxa)):
            if len(set(names)) != len(names):
                twice = next(name for at, name in enumerate(names) if name in set(names[:at]))
                raise BiocosmosError(f"the {kind} '{twice}' stands twice in a community: give each a name of its own")
        if np.any(self.counts < 0):
            raise BiocosmosError(f"a community has a negative number in {self.unit}: counts are 0 or more")
        if self.facts is None:
            object.__setattr__(self, "facts", pa.table({"sample": pa.array(list(self.samples), pa.string())}))
        if len(self.facts) != shape[0]:  # type: ignore[arg-type]
            raise BiocosmosError(f"a community of {shape[0]} samples has facts of {len(self.facts)}")  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.samples)

    def fact(self, name: str) -> list[Any]:
        """What ``facts`` says under this name, one a sample; None where it is not known or there is no such column."""
        facts = self.facts
        if facts is None or name not in facts.column_names:
            return [None] * len(self)
        return list(facts[name].to_pylist())

    def shares(self) -> NDArray[np.float64]:
        """(s, t) each row divided by its sum; 0 where a sample is empty."""
        known = np.nan_to_num(self.counts)
        sums = known.sum(axis=1, keepdims=True)
        shares: NDArray[np.float64] = np.divide(known, sums, out=np.zeros_like(known), where=sums > 0)
        return shares

    def of(self, name: str) -> Community:
        """The community whose ``counts`` are another of its tables: "specimens", "concentration", "biovolume"."""
        if name not in self.beside:
            raise BiocosmosError(f"this community has no {name}: it has {', '.join(self.beside) or 'its counts alone'}")
        return replace(self, counts=self.beside[name], unit=UNITS_OF.get(name, self.unit))

    def tidy(self) -> pa.Table:
        """One row for each sample and taxon that was found in it, and one with an empty taxon for each sample without any: the
        facts of the sample, taxon, rank, n and what stands ``beside``, null where it is not known."""
        facts = self.facts
        assert facts is not None
        tables = [np.nan_to_num(values) for values in self.beside.values()] or [np.nan_to_num(self.counts, nan=1.0)]
        found: NDArray[np.bool_] = np.logical_or.reduce([values > 0 for values in tables])
        at, of = np.nonzero(found)
        bare = np.flatnonzero(~found.any(axis=1))
        at, of = np.append(at, bare), np.append(of, np.full(len(bare), -1))
        order = np.lexsort((of, at))
        at, of = at[order], of[order]
        columns: dict[str, Any] = {name: facts[name].take(pa.array(at)) for name in facts.column_names}
        ranks = np.array([self.rank] * len(self.taxa) if self.taxon_ranks is None else list(self.taxon_ranks), dtype=object)
        for name, words in (("taxon", self.taxa), ("rank", ranks)):
            told = [None if t < 0 else str(words[t]) for t in of.tolist()]
            columns[name] = pa.array(told, pa.string())
        whole = "specimens" in self.beside or self.unit == COUNT
        for name, values in (("specimens", self.beside.get("specimens", self.counts)), *self.beside.items()):
            wide = np.hstack([values, np.zeros((len(self), 1))])
            if name not in COUNTS:  # of a sample without anything: 0, unless what is not there is not known either
                wide[:, -1] = np.where(np.isnan(values).all(axis=1) & (values.shape[1] > 0), np.nan, 0.0)
            picked = _short(wide[at, of])
            cells = pa.array(picked, mask=np.isnan(picked))
            name = "n" if name == "specimens" else name
            columns[name] = cells.cast(pa.int64()) if name == "n" and whole else cells
        return pa.table(columns)


def _short(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To twelve digits: sums of many small numbers end in noise."""
    return np.array([float(f"{value:.12g}") for value in values.tolist()], np.float64)
