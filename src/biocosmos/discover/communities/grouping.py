"""What was counted, as a table of samples by taxa: at a rank, over stations or months, per m³ and per m²."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.communities.counting import BETWEEN, DEPTH, SAMPLE, Cell, Counted
from biocosmos.discover.communities.table import COUNT, PER_M2, PER_M3, Community
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.writers.surveys.found import Sample
from biocosmos.specimens.writers.surveys.gathering import few, in_time

LABEL = "label"
Floats = npt.NDArray[np.float64]
Unnamed = tuple[npt.NDArray[np.int64], Floats, Floats]


@dataclass(frozen=True)
class Grouped:
    """A community and the n specimens it is made of.

    group, taxon: (n,) int64, row and column of ``community``; weight: (n,) float64, what a specimen adds to the concentration
    (to what is below a m² where the community is per m²); volume: (n,) float64, what it adds to the biovolume; NaN: not known.
    not_zero: (s,) bool, where what was not found is not known to be 0. machine: (n,) bool. also: columns of the names that were
    to be there whether or not they count. unnamed: group, weight and volume of the specimens that a machine had no name for.
    """

    community: Community
    group: npt.NDArray[np.int64]
    taxon: npt.NDArray[np.int64]
    weight: Floats
    volume: Floats
    machine: npt.NDArray[np.bool_]
    not_zero: npt.NDArray[np.bool_]
    also: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    unnamed: Unnamed = field(default_factory=lambda: (np.zeros(0, np.int64), np.zeros(0), np.zeros(0)))

    def totals(self, values: Floats) -> Floats:
        """(s, t) the sum of (n,) values over the specimens of each sample and taxon."""
        shape = self.community.counts.shape
        at = self.group * shape[1] + self.taxon
        found: Floats = np.bincount(at, values, shape[0] * shape[1]).astype(np.float64).reshape(shape)
        return found

    def of_volume(self, values: Floats) -> Floats:
        """As :meth:`totals`, of what goes by the volume: NaN for what was not found where that is not known to be none."""
        found = self.totals(values)
        none = self.totals(np.ones(len(self.group))) == 0
        found[none & self.not_zero[:, None]] = np.nan
        return found


def group(counted: Counted, *, rank: str | None = None, also: Sequence[tuple[str, tuple[tuple[str, str], ...]]] = ()) -> Grouped:
    """Samples, or what ``by`` makes of them, by taxa at ``rank`` (None: the names as they were given).

    Where a group holds several samples, specimens add up, and what is per m³ is the mean of its samples, those without the taxon
    as 0. A name that is coarser than ``rank`` stays a taxon of its own, of its own rank. also: further names (label, path) whose
    taxa are columns. Raises BiocosmosError for another rank.
    """
    if rank not in (None, LABEL, *counted.ranks):
        raise BiocosmosError(f"there is no rank {rank!r}: the names have {', '.join((*counted.ranks, LABEL))}")
    ordered = sorted({cell.key for cell in counted.cells}, key=lambda key: _order(key, counted))
    keys = {key: i for i, key in enumerate(ordered)}
    of_cell = np.array([keys[cell.key] for cell in counted.cells], np.int64)
    number = np.bincount(of_cell, minlength=len(keys))
    named = [*counted.names, *also]
    names, ranks, taxon = _taxa(named, rank, counted.ranks)
    rows = of_cell[counted.cell] if len(counted.cell) else np.zeros(0, np.int64)
    weight = counted.weight / number[rows]
    facts = _facts(counted, of_cell, list(keys))
    bare = Community(_names(facts, counted.by), names, rank or LABEL, np.zeros((len(keys), len(names))), COUNT, facts)
    not_zero = np.zeros(len(keys), bool)
    np.logical_or.at(not_zero, of_cell, counted.not_zero)
    columns = taxon[counted.taxon] if len(counted.taxon) else np.zeros(0, np.int64)
    volume, others = weight * counted.volume, taxon[len(counted.names) :]
    open_cell, open_weight, open_volume = counted.unnamed
    open_rows = of_cell[open_cell]
    open_weight = open_weight / number[open_rows]
    unnamed = (open_rows, open_weight, open_weight * open_volume)
    grouped = Grouped(bare, rows, columns, weight, volume, counted.machine, not_zero, others, unnamed)
    several = ranks if rank is None or set(ranks) != {rank} else None
    return _filled(grouped, counted.has_volume, counted.has_biovolume, several, ("concentration", "biovolume"))


def names_of_cells(cells: Mapping[str, Cell], by: Sequence[str]) -> dict[str, str]:
    """Id of a cell -> the sample of :func:`group` that it is in, as that is called."""
    keys = list(dict.fromkeys(cell.key for cell in cells.values()))
    table = pa.table({name: pa.array([key[i] for key in keys], pa.string()) for i, name in enumerate(by)})
    names = dict(zip(keys, _names(table, by)))
    return {id: str(names[cell.key]) for id, cell in cells.items()}


def _order(key: Sequence[str | None], counted: Counted) -> tuple[tuple[bool, float, str], ...]:
    """By name, depths from the surface down, what is not known at the end."""
    parts = []
    for name, value in zip(counted.by, key):
        deep = counted.layers[value][0] if name == DEPTH and value is not None else 0.0
        parts.append((value is None, deep, value or ""))
    return tuple(parts)


def per_area(grouped: Grouped, counted: Counted, failures: Failures) -> Grouped:
    """Below a m² of the surface: Σ c Δz over the depth layers of each station, cast or month that ``by`` has beside depth.

    Samples of one layer are repeats of it: their mean stands for it. Where one has no layer nothing is known per m², and a gap
    counts nothing: both are told. Raises BiocosmosError without volumes, without depths, and for layers that overlap.
    """
    facts, names = grouped.community.facts, grouped.community.samples
    others = [name for name in counted.by if name not in (DEPTH, SAMPLE)]
    if not counted.has_volume:
        raise BiocosmosError("--per-m2 needs concentrations: tell the volume with --volume COLUMN=UNIT")
    if DEPTH not in counted.by or not others:
        raise BiocosmosError("--per-m2 adds up the depths of a place: give --by station,depth, or another column and depth")
    assert facts is not None
    tops, bottoms = (np.array(facts[name].to_pylist(), np.float64) for name in ("depth_min", "depth_max"))
    thick = np.where(bottoms > tops, bottoms - tops, np.nan)
    if flat := [str(name) for name, each in zip(names, thick) if math.isnan(each)]:
        if len(flat) == len(names):
            raise BiocosmosError("--per-m2 needs layers, from one depth to another; no sample has one: give --layers 0,50,100")
        reason = f"{len(flat):,} samples have no layer from one depth to another ({few(flat)}): nothing is known per m² there"
        failures.add(reason, stage="summarize", severity="warning")
    told = list(zip(*(facts[name].to_pylist() for name in others)))
    keys = {key: i for i, key in enumerate(sorted(set(told), key=lambda key: [(part is None, part or "") for part in key]))}
    of_row = np.array([keys[key] for key in told], np.int64)
    layers = [(int(at), float(top), float(bottom)) for at, top, bottom in zip(of_row, tops, bottoms)]
    factor = thick / np.array([layers.count(each) for each in layers], np.float64)
    ends = [_ends_of(key, [layer[1:] for layer in layers if layer[0] == at], failures) for key, at in keys.items()]
    first = [int(np.flatnonzero(of_row == at)[0]) for at in range(len(keys))]
    columns: dict[str, Any] = {name: pa.array([key[i] for key in keys], pa.string()) for i, name in enumerate(others)}
    columns |= {name: facts[name].take(pa.array(first)) for name in ("latitude", "longitude", "date")}
    columns |= {"depth_min": _floats([top for top, _ in ends]), "depth_max": _floats([bottom for _, bottom in ends])}
    table = pa.table(columns)
    old = grouped.community
    zeros = np.zeros((len(keys), len(old.taxa)))
    bare = replace(old, samples=_names(table, others), counts=zeros, unit=COUNT, facts=table, beside={})
    not_zero = np.zeros(len(keys), bool)
    np.logical_or.at(not_zero, of_row, grouped.not_zero | np.isnan(factor))
    weight, volume = (values * factor[grouped.group] for values in (grouped.weight, grouped.volume))
    rows, *values_of = grouped.unnamed
    unnamed = (of_row[rows], values_of[0] * factor[rows], values_of[1] * factor[rows])
    found = Grouped(bare, of_row[grouped.group], grouped.taxon, weight, volume, grouped.machine, not_zero, grouped.also, unnamed)
    ranks = None if old.taxon_ranks is None else list(old.taxon_ranks)
    return _filled(found, True, counted.has_biovolume, ranks, ("per_m2", "biovolume_per_m2"))


def _ends_of(key: Sequence[str | None], layers: Sequence[tuple[float, float]], failures: Failures) -> tuple[float, float]:
    """The shallowest and deepest metres; raises BiocosmosError where layers overlap, tells where they leave a gap."""
    known, name = sorted({each for each in layers if each[1] > each[0]}), BETWEEN.join(map(str, key))
    for (top, bottom), (below, _) in pairwise(known):
        if below < bottom:
            raise BiocosmosError(
                f"layers of {name} overlap: {top:g} to {bottom:g} m, then from {below:g} m: tell them apart in --by (station,day,"
                "depth), or give --layers"
            )
        if below > bottom:
            reason = f"{name} has no sample between {bottom:g} and {below:g} m: nothing is counted there per m²"
            failures.add(reason, stage="summarize", severity="warning")
    return (known[0][0], max(bottom for _, bottom in known)) if known else (math.nan, math.nan)


def _filled(
    grouped: Grouped, has_volume: bool, has_biovolume: bool, ranks: Sequence[str] | None, called: tuple[str, str]
) -> Grouped:
    """With counts, and what goes by the volume beside them."""
    counts = grouped.totals(np.ones(len(grouped.group)))
    beside = {"specimens": counts}
    unit = COUNT
    if has_volume:
        beside[called[0]] = grouped.of_volume(grouped.weight)
        unit = PER_M2 if called[0] == "per_m2" else PER_M3
    if has_biovolume:
        beside[called[1]] = grouped.of_volume(grouped.volume)
    told = None
    if ranks is not None:
        told = np.empty(len(ranks), object)
        told[:] = list(ranks)
    counted = beside[called[0]] if has_volume else counts
    community = replace(
        grouped.community,
        counts=counted,
        unit=unit,
        beside=beside,
        predicted=bool(grouped.machine.any()),
        taxon_ranks=told,
    )
    return replace(grouped, community=community)


def _taxa(
    named: Sequence[tuple[str, tuple[tuple[str, str], ...]]], rank: str | None, order: Sequence[str]
) -> tuple[npt.NDArray[np.object_], list[str], npt.NDArray[np.int64]]:
    """(names, their ranks, which of them each counted name is): homonyms are told apart by what is above them."""
    keys: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    ranks: list[str] = []
    of = []
    for label, path in named:
        if rank is None:
            down, name, its = path, label, _own_rank(label, path)
        else:
            down, name, its = _at_rank(label, path, rank, order)
        at = keys.setdefault((name, down), len(keys))
        if at == len(ranks):
            ranks.append(its)
        of.append(at)
    names: list[str] = [name for name, _ in keys]
    spelt = [
        name if names.count(name) == 1 else f"{name} ({'>'.join(part for _, part in path if part != name) or '?'})"
        for name, path in keys
    ]
    for i, each in enumerate(spelt):  # the same name and the same path, of two ranks
        if each in spelt[:i]:
            spelt[i] = f"{each} {spelt[:i].count(each) + 1}"
    by_name = sorted(range(len(spelt)), key=lambda i: spelt[i].lower())
    place = np.argsort(np.array(by_name, np.int64)) if by_name else np.zeros(0, np.int64)
    found = np.empty(len(spelt), object)
    found[:] = [spelt[i] for i in by_name]
    return found, [ranks[i] for i in by_name], place[np.array(of, np.int64)] if of else np.zeros(0, np.int64)


def _at_rank(
    label: str, path: Sequence[tuple[str, str]], rank: str, ranks: Sequence[str]
) -> tuple[tuple[tuple[str, str], ...], str, str]:
    """(path down to it, name, rank) at ``rank``, or at the finest one above it, or the name as it was given."""
    if rank == LABEL:
        return tuple(path), label, _own_rank(label, path)
    names = [name for name, _ in path]
    if rank in names:
        down = tuple(path[: names.index(rank) + 1])
        return down, down[-1][1], rank
    above = [i for i, name in enumerate(names) if ranks.index(name) < ranks.index(rank)]
    if above:
        down = tuple(path[: above[-1] + 1])
        return down, down[-1][1], down[-1][0]
    return tuple(path), label, _own_rank(label, path)


def _own_rank(label: str, path: Sequence[tuple[str, str]]) -> str:
    return next((rank for rank, name in reversed(path) if name == label), LABEL)


def _names(facts: pa.Table, by: Sequence[str]) -> npt.NDArray[np.object_]:
    alone = facts[SAMPLE].to_pylist() if SAMPLE in by else []
    if alone and len(set(alone)) == len(alone):
        by = (SAMPLE,)
    columns = [facts[name].to_pylist() for name in by]
    found = np.empty(len(facts), object)
    found[:] = [BETWEEN.join("?" if part is None else str(part) for part in parts) for parts in zip(*columns)]
    return found


def _facts(counted: Counted, of_cell: npt.NDArray[np.int64], keys: Sequence[tuple[str | None, ...]]) -> pa.Table:
    """What is known of each group: ``by``, how many samples, where, how deep, when."""
    members: list[list[Cell]] = [[] for _ in keys]
    for cell, at in zip(counted.cells, of_cell.tolist()):
        members[at].append(cell)
    columns: dict[str, pa.Array] = {name: pa.array([key[i] for key in keys], pa.string()) for i, name in enumerate(counted.by)}
    if SAMPLE not in counted.by:
        columns["samples"] = pa.array([len({cell.name for cell in each}) for each in members], pa.int64())
    of: list[list[Sample]] = [[cell.sample for cell in each] for each in members]
    columns["latitude"] = _mean([[sample.latitude for sample in each] for each in of])
    columns["longitude"] = _mean_longitude([[sample.longitude for sample in each] for each in of])
    layers = [_layer(key, counted, samples) for key, samples in zip(keys, of)]
    columns["depth_min"] = _floats([top for top, _ in layers])
    columns["depth_max"] = _floats([bottom for _, bottom in layers])
    firsts = [min((s.first for s in each if s.first), key=in_time, default="") for each in of]
    lasts = [max((s.last for s in each if s.last), key=in_time, default="") for each in of]
    dates = [first if first == last else f"{first}/{last}" for first, last in zip(firsts, lasts)]
    columns["date"] = pa.array([date or None for date in dates], pa.string())
    return pa.table(columns)


def _layer(key: Sequence[str | None], counted: Counted, samples: Sequence[Sample]) -> tuple[float, float]:
    """Metres of the top and the bottom: of the layer where depth is in ``by``, else of all samples."""
    if DEPTH in counted.by and (told := key[counted.by.index(DEPTH)]) is not None:
        return counted.layers[told]
    tops = [sample.shallow for sample in samples if math.isfinite(sample.shallow)]
    bottoms = [sample.deep for sample in samples if math.isfinite(sample.deep)]
    return min(tops, default=math.nan), max(bottoms, default=math.nan)


def _mean(values: Sequence[Sequence[float]]) -> pa.Array:
    known = [[value for value in each if math.isfinite(value)] for each in values]
    return _floats([sum(each) / len(each) if each else math.nan for each in known])


def _mean_longitude(values: Sequence[Sequence[float]]) -> pa.Array:
    """Around the sphere: 179 and -179 are 180."""
    found = []
    for each in values:
        known = [value for value in each if math.isfinite(value)]
        start = known[0] if known else math.nan
        apart = [(value - start + 180) % 360 - 180 for value in known]
        middle = start + (sum(apart) / len(apart) if apart else math.nan)
        found.append(start if len(set(known)) == 1 else (middle + 180) % 360 - 180)
    return _floats(found)


def _floats(values: Sequence[float]) -> pa.Array:
    return pa.array([None if math.isnan(value) else value for value in values], pa.float64())


__all__ = ["Grouped", "group", "per_area"]
