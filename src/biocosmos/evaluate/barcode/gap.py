"""The barcode gap: is the largest distance within a species smaller than the smallest one to another species?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.barcodes.alignment import Letters
from biocosmos.evaluate.barcode.distances import LEAST_OVERLAP, MEASURES, Distances, Measure, between
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
AT_ONCE = 64
"""Species whose pairs are aligned together."""
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
    letters = Letters(barcodes.text)
    rows: list[Row] = []
    spread: tuple[list[Array], list[Array]] = ([], [])
    with progress("distances", total=len(held), unit="species") as bar:
        for codes in _chunks(held):
            within = [_pairs_within(held[code], several) for code in codes]
            outside = [[(place, int(other)) for place in held[code].tolist() for other in others[place]] for code in codes]
            sides = [np.array([pair for pairs in side for pair in pairs], np.int64).reshape(-1, 2) for side in (within, outside)]
            found = [between(letters, side, least) for side in sides]
            ends = [np.cumsum([0, *map(len, side)]) for side in (within, outside)]
            spread[0].append(found[0].by(measure)[sides[0][:, 0] != sides[0][:, 1]])
            spread[1].append(_smallest(sides[1][:, 0], found[1].by(measure)))
            for i, code in enumerate(codes):
                row: Row = {"species": barcodes.names[code], "path": barcodes.paths[code], "specimens": int(specimens[code])}
                row |= {"barcodes": int(counts[code]), "compared": len(held[code])}
                parts = [slice(int(end[i]), int(end[i + 1])) for end in ends]
                rows.append(row | _extremes(barcodes, found, sides, parts, measure, row["specimens"]))
            bar.advance(len(codes))
    return rows, _histogram(*(np.concatenate([*side, np.empty(0)]) for side in spread))


def _chunks(held: dict[int, Array]) -> Iterator[list[int]]:
    """Species, so many at a time that their pairs fit in memory whatever there are."""
    codes = list(held)
    for start in range(0, len(codes), AT_ONCE):
        yield codes[start : start + AT_ONCE]


def _pairs_within(places: Array, several: set[int]) -> list[tuple[int, int]]:
    """All pairs of different barcodes, and a barcode with itself where several specimens have it."""
    rows, columns = np.triu_indices(len(places), 1)
    pairs = list(zip(places[rows].tolist(), places[columns].tolist()))
    return pairs + [(place, place) for place in places.tolist() if place in several]


def _smallest(places: Array, values: Array) -> Array:
    """The smallest of each place's values, NaN left out; places stand together."""
    kept = ~np.isnan(values)
    places, values = places[kept], values[kept]
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    return np.minimum.reduceat(values, starts) if len(starts) else np.empty(0)


def _extremes(
    barcodes: Barcodes,
    found: Sequence[Distances],
    sides: Sequence[Array],
    parts: Sequence[slice],
    measure: Measure,
    specimens: int,
) -> Row:
    """The largest distance within and the smallest to another species by each measure, whose they are, and the verdict."""
    row: Row = {}
    pairs: list[tuple[int, int] | None] = [None, None]
    for side, (name, pick) in enumerate((("max_within", np.nanargmax), ("min_between", np.nanargmin))):
        for each in MEASURES:
            values = found[side].by(each)[parts[side]]
            at = None if np.isnan(values).all() else int(pick(values))
            row[f"{name}_{each}"] = None if at is None else float(values[at])
            if each == measure and at is not None:
                first, second = sides[side][parts[side]][at].tolist()
                pairs[side] = (first, second)
    row["verdict"] = _verdict(row[f"max_within_{measure}"], row[f"min_between_{measure}"], specimens)
    if pairs[0] is not None and pairs[0][0] != pairs[0][1]:
        row |= {"within_id": barcodes.ids[pairs[0][0]], "within_other_id": barcodes.ids[pairs[0][1]]}
    if pairs[1] is not None:
        other = int(barcodes.species[pairs[1][1]])
        row |= {"nearest": barcodes.names[other], "nearest_path": barcodes.paths[other]}
        row |= {"id": barcodes.ids[pairs[1][0]], "nearest_id": barcodes.ids[pairs[1][1]]}
    return row


def _verdict(inside: float | None, outside: float | None, specimens: int) -> str:
    if outside is None:
        return APART
    if outside == 0:
        return NO_GAP
    if inside is None:
        return ALONE if specimens == 1 else APART
    return GAP if outside > inside else NO_GAP


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


def _histogram(within: Array, between_: Array) -> list[Row]:
    values = [side[~np.isnan(side)] for side in (within, between_)]
    most = max([float(side.max()) for side in values if len(side)], default=0.0)
    edges = np.arange(math.floor(most / BIN_WIDTH) + 2) * BIN_WIDTH
    counts = [np.histogram(side, edges)[0] for side in values]
    return [
        {"low": float(low), "high": float(high), "within": int(a), "between": int(b)}
        for low, high, a, b in zip(edges[:-1], edges[1:], *counts)
    ]
