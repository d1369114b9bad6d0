"""The barcode gap: is the largest distance within a species smaller than the smallest one to another species?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.barcode.distances import LEAST_OVERLAP, MEASURES, Distance, Measure, distance
from biocosmos.progress import progress

Array = npt.NDArray[Any]
Row = dict[str, Any]
Near = Callable[[Array, Array | None], Array]
"""(rows (q,), mask (n,) bool of barcodes that may be found or None) -> (q, k) int64 rows of the nearest ones, -1 for none."""
MOST = 60
"""Different barcodes of a species that are compared with each other, a seeded sample of more: 1,770 pairs."""
ALIGNED = 10
"""Nearest barcodes of other species by k-mers that are aligned with each barcode; the closest of these counts."""
GAP, NO_GAP, ALONE, APART = "gap", "no gap", "one specimen", "not compared"
BIN_WIDTH = 0.005
"""Of the histogram."""

GAPS = pa.schema(
    [("species", pa.string()), ("path", pa.string()), ("verdict", pa.string())]
    + [(name, pa.int64()) for name in ("specimens", "barcodes", "compared")]
    + [(f"{name}_{measure}", pa.float64()) for name in ("max_within", "min_between") for measure in MEASURES]
    + [(name, pa.string()) for name in ("within_id", "within_other_id", "nearest", "nearest_path", "id", "nearest_id")]
)
SPREAD = pa.schema([("low", pa.float64()), ("high", pa.float64()), ("within", pa.int64()), ("between", pa.int64())])


@dataclass(frozen=True)
class Barcodes:
    """n labelled barcodes: ids (n,), text (n,), species (n,) codes from 0 into names and paths."""

    ids: Sequence[str]
    text: Sequence[str]
    species: Array
    names: Sequence[str]
    paths: Sequence[str]


@dataclass
class _Extreme:
    """The largest or the smallest of the distances offered, by each measure; the pair is that of the chosen one."""

    sign: int
    by: Measure
    values: dict[str, float] = field(default_factory=lambda: dict.fromkeys(MEASURES, math.nan))
    pair: tuple[int, int] | None = None

    def offer(self, found: Distance, pair: tuple[int, int]) -> None:
        for measure in MEASURES:
            value, before = found.by(measure), self.values[measure]
            if not math.isnan(value) and (math.isnan(before) or self.sign * value > self.sign * before):
                self.values[measure] = value
                if measure == self.by:
                    self.pair = pair


def distinct(barcodes: Barcodes, most: int = MOST, seed: int = 0) -> tuple[dict[int, Array], Array, set[int]]:
    """The different barcodes of each species.

    Returns (species -> their places in ascending order, at most ``most`` of them drawn by the seed; (species,) how many different
    ones there are; the places whose barcode several specimens of the species have).
    """
    first: dict[tuple[int, str], int] = {}
    several = set()
    for place, (code, text) in enumerate(zip(barcodes.species.tolist(), barcodes.text)):
        if code >= 0 and first.setdefault((code, text), place) != place:
            several.add(first[code, text])
    held: dict[int, list[int]] = {}
    for (code, _), place in first.items():
        held.setdefault(code, []).append(place)
    counts = np.zeros(len(barcodes.names), np.int64)
    found = {}
    for code in sorted(held):
        places, counts[code] = np.array(held[code]), len(held[code])
        if len(places) > most:
            places = np.sort(np.random.default_rng((seed, code)).choice(places, most, replace=False))
        found[code] = places
    return found, counts, several


def barcode_gaps(
    barcodes: Barcodes, near: Near, measure: Measure = "p", *, seed: int = 0, least: int = LEAST_OVERLAP
) -> tuple[list[Row], list[Row]]:
    """(a row a species, the histogram of all distances within and of each barcode's smallest to another species).

    near: finds the barcodes that are aligned. Barcodes that are the same letters are one. Verdicts: gap, the largest distance
    within is smaller than the smallest to another species (Meyer and Paulay 2005, https://doi.org/10.1371/journal.pbio.0030422);
    no gap, it is not, or another species has the very barcode; one specimen, nothing is known of the distance within; not
    compared, no other species overlaps enough.
    """
    held, counts, several = distinct(barcodes, seed=seed)
    specimens = np.bincount(barcodes.species[barcodes.species >= 0], minlength=len(barcodes.names))
    others = _others(barcodes, held, near)
    rows: list[Row] = []
    spread: tuple[list[float], list[float]] = ([], [])
    with progress("distances", total=len(held), unit="species") as bar:
        for code, places in held.items():
            within, between = _Extreme(1, measure), _Extreme(-1, measure)
            for i, place in enumerate(places.tolist()):
                for other in [*places[:i].tolist(), *([place] if place in several else [])]:
                    found = distance(barcodes.text[place], barcodes.text[other], least)
                    within.offer(found, (other, place))
                    spread[0].append(found.by(measure))
                smallest = _Extreme(-1, measure)
                for other in others[place].tolist():
                    found = distance(barcodes.text[place], barcodes.text[other], least)
                    between.offer(found, (place, other))
                    smallest.offer(found, (place, other))
                spread[1].append(smallest.values[measure])
            rows.append(_row(barcodes, code, specimens, counts, places, within, between, measure))
            bar.advance()
    return rows, _histogram(*spread)


def _others(barcodes: Barcodes, held: dict[int, Array], near: Near) -> dict[int, Array]:
    """place -> the nearest places of other species, at most :data:`ALIGNED`, by k-mers."""
    rows = np.concatenate([*held.values(), np.empty(0, np.int64)]).astype(np.int64)
    mask = np.zeros(len(barcodes.text), bool)
    mask[rows] = True
    out, alone = {}, []
    for place, found in zip(rows.tolist(), near(rows, mask)):
        found = found[(found >= 0)]
        found = found[barcodes.species[found] != barcodes.species[place]][:ALIGNED]
        out[place] = found
        if not len(found):
            alone.append(place)
    for code in np.unique(barcodes.species[alone]).tolist() if alone else ():
        mine = np.array([place for place in alone if barcodes.species[place] == code])
        for place, found in zip(mine.tolist(), near(mine, mask & (barcodes.species != code))):
            out[place] = found[found >= 0][:ALIGNED]
    return out


def _row(
    barcodes: Barcodes,
    code: int,
    specimens: Array,
    counts: Array,
    places: Array,
    within: _Extreme,
    between: _Extreme,
    measure: Measure,
) -> Row:
    inside, outside = within.values[measure], between.values[measure]
    if math.isnan(outside):
        verdict = APART
    elif outside == 0:
        verdict = NO_GAP
    elif math.isnan(inside):
        verdict = ALONE if specimens[code] == 1 else APART
    else:
        verdict = GAP if outside > inside else NO_GAP
    row: Row = {"species": barcodes.names[code], "path": barcodes.paths[code], "verdict": verdict}
    row |= {"specimens": int(specimens[code]), "barcodes": int(counts[code]), "compared": len(places)}
    for name, extreme in (("max_within", within), ("min_between", between)):
        row |= {f"{name}_{each}": None if math.isnan(value) else value for each, value in extreme.values.items()}
    if within.pair is not None and within.pair[0] != within.pair[1]:
        row |= {"within_id": barcodes.ids[within.pair[0]], "within_other_id": barcodes.ids[within.pair[1]]}
    if between.pair is not None:
        mine, theirs = between.pair
        other = int(barcodes.species[theirs])
        row |= {"nearest": barcodes.names[other], "nearest_path": barcodes.paths[other]}
        row |= {"id": barcodes.ids[mine], "nearest_id": barcodes.ids[theirs]}
    return row


def _histogram(within: Sequence[float], between: Sequence[float]) -> list[Row]:
    values = [np.array([value for value in side if not math.isnan(value)]) for side in (within, between)]
    most = max([float(side.max()) for side in values if len(side)], default=0.0)
    edges = np.arange(math.floor(most / BIN_WIDTH) + 2) * BIN_WIDTH
    counts = [np.histogram(side, edges)[0] for side in values]
    return [
        {"low": float(low), "high": float(high), "within": int(a), "between": int(b)}
        for low, high, a, b in zip(edges[:-1], edges[1:], *counts)
    ]
