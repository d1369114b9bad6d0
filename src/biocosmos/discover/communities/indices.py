"""What samples come to: diversity of each, as a table, and how they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.communities import diversity
from biocosmos.discover.communities.table import Community
from biocosmos.discover.communities.uncertainty import Doubt

Floats = npt.NDArray[np.float64]
CHAO1_WARNING = (
    "Chao1 rests on the taxa that were found once or twice, and of those that a classifier found once most are its errors: of "
    "predicted names it counts errors as hidden taxa"
)


def diversity_table(
    community: Community, doubt: Doubt | None = None, *, size: int | None = None, chao1: bool = False
) -> pa.Table:
    """One row a sample: what tells it apart, specimens, richness, D1, D2, shannon, simpson, coverage, rarefied, rarefied_to, and
    chao1 where it is asked for; ends of D1, D2 and shannon where there are draws.

    Shannon, Simpson, D1 and D2 are of concentrations where these are known, since parts of a sample may have been looked at in
    different shares; the others are of specimens. size: specimens to rarefy to, None: those of the smallest sample that has any.
    """
    counts, amounts = community.beside["specimens"], community.counts
    number = counts.sum(axis=1)
    to = rarefied_to(community) if size is None else size
    columns: dict[str, Any] = {}
    facts = community.facts
    assert facts is not None
    columns |= {name: facts[name] for name in facts.column_names}
    values = {
        "specimens": number,
        "richness": diversity.richness(counts),
        "D1": diversity.hill(amounts, 1),
        "D2": diversity.hill(amounts, 2),
        "shannon": diversity.shannon(amounts),
        "simpson": diversity.simpson(amounts),
        "coverage": diversity.coverage(counts),
    }
    if to:
        values |= {"rarefied": diversity.rarefied(counts, to), "rarefied_to": np.full(len(number), float(to))}
    if chao1:
        values["chao1"] = diversity.chao1(counts)
    for name, numbers in values.items():
        columns[name] = _column(numbers, whole=name in ("specimens", "richness", "rarefied_to"))
        if doubt is not None and doubt.corrected is not None and name in doubt.indices:
            main = next(table for table in ("per_m2", "concentration", "specimens") if table in doubt.corrected)
            true = doubt.corrected[main]
            index = diversity.shannon(true) if name == "shannon" else diversity.hill(true, float(name[1:]))
            columns[f"{name}_corrected"] = _column(index)
        if doubt is not None and name in doubt.indices:
            for end, ends in zip(("low", "high"), doubt.indices[name]):
                columns[f"{name}_{end}"] = _column(ends)
    return pa.table(columns)


def rarefied_to(community: Community) -> int:
    """Specimens of the smallest sample that has any; 0 where none has."""
    number = community.beside["specimens"].sum(axis=1)
    return int(number[number > 0].min(initial=np.inf)) if (number > 0).any() else 0


def distances(community: Community) -> tuple[npt.NDArray[np.int64], Floats, list[str]]:
    """(rows of the samples that can be compared, their Bray-Curtis distances, why others cannot)."""
    amounts = community.counts
    unknown, empty = np.isnan(amounts).any(axis=1), np.nan_to_num(amounts).sum(axis=1) == 0
    rows = np.flatnonzero(~unknown & ~empty)
    why = []
    if unknown.any():
        why.append(f"{int(unknown.sum()):,} samples have something that is not known {community.unit}")
    if (empty & ~unknown).any():
        why.append(f"{int((empty & ~unknown).sum()):,} samples are empty")
    return rows, diversity.bray_curtis(amounts[rows]), why


def distance_table(community: Community, rows: npt.NDArray[np.int64], apart: Floats) -> pa.Table:
    """A row for each two samples, rows and apart as of :func:`distances`: Bray-Curtis of what is counted, and of shares."""
    shares = diversity.bray_curtis(community.shares()[rows])
    at, to = np.triu_indices(len(rows), 1)
    names = community.samples[rows]
    return pa.table(
        {
            "sample": pa.array([str(names[i]) for i in at], pa.string()),
            "other": pa.array([str(names[i]) for i in to], pa.string()),
            "bray_curtis": pa.array(apart[at, to]),
            "bray_curtis_of_shares": pa.array(shares[at, to]),
        }
    )


def _column(values: Floats, *, whole: bool = False) -> pa.Array:
    cells = pa.array([float(f"{value:.12g}") for value in values.tolist()], pa.float64(), mask=np.isnan(values))
    return cells.cast(pa.int64()) if whole else cells


__all__ = ["CHAO1_WARNING", "distance_table", "distances", "diversity_table", "rarefied_to"]
