"""Where, when and how deep the specimens of a view were found, as the charts that reports have too."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.pages.blocks import Grid
from biocosmos.evaluate.pages.maps import Spot, Spots, map_of, map_table
from biocosmos.evaluate.pages.profiles import depth_profile, layers_of, profile_table
from biocosmos.evaluate.pages.seasons import season_table, season_wheel
from biocosmos.evaluate.pages.spots import gathered
from biocosmos.serve.catalogue import Catalogue, View
from biocosmos.serve.catalogue.days import NONE, day_text
from biocosmos.serve.catalogue.state import Moment
from biocosmos.specimens.dates import MONTHS

LONGEST_SPAN = 31
"""Days that a date may span and still has a month."""
MOST_PLACES = 200
MAP, DEEP = 500.0, 400.0
"""Pixels of a map and of a profile across, so that their words are as large as those of the page."""
SAMPLED = "How dense they are there depends on how much water was sampled."
SAID = "It says where people collected, not where taxa live."
Bool = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chart:
    """kind: "map", "season" or "depth"; svg; caption; the same as a table."""

    kind: str
    svg: str
    caption: str
    table: Grid


@dataclass(frozen=True)
class Found:
    """Of some specimens: their number; spots: of those with a place; months: (12,) of those with a month; depths: (d,) metres of
    those with a depth."""

    total: int
    spots: Spots
    months: Int64
    depths: npt.NDArray[np.float32]

    @classmethod
    def of(cls, moment: Moment, mask: Bool | None) -> Found:
        """mask: (n,) which specimens; None for all."""
        stored = moment.stored
        rows = np.arange(len(stored)) if mask is None else np.flatnonzero(mask)
        spots = Spots.at(stored.latitude[rows], stored.longitude[rows]).placed()
        month = months_of(stored.days[0][rows], stored.days[1][rows])
        depths = stored.depths[rows]
        return cls(len(rows), spots, np.bincount(month[month >= 0], minlength=12), depths[np.isfinite(depths)])


def months_of(first: npt.NDArray[np.int32], last: npt.NDArray[np.int32]) -> Int64:
    """(n,) month from 0 of the middle of each span of days since 1970-01-01; -1 where it is not dated or spans more than one."""
    known = (first != NONE) & (last.astype(np.int64) - first < LONGEST_SPAN)
    middle = np.where(known, (first.astype(np.int64) + last) // 2, 0)
    months = middle.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    return np.where(known, months, -1)


def charts_of(catalogue: Catalogue, view: View) -> tuple[list[Chart], int]:
    """A map, a season wheel and a depth profile of a view, each where something is known for it; and how many specimens it has.

    Behind the wheel of a taxon stands what was collected of all taxa.
    """
    moment = catalogue.now
    found, every = _found(catalogue, view, moment), None
    if view.taxon is not None:
        every = _found(catalogue, replace(view, taxon=None), moment).months
    of, charts = f"of {found.total:,} specimens have", []
    if len(found.spots):
        svg, table = map_of("Where", found.spots, width=MAP), map_table(found.spots)
        charts.append(Chart("map", svg, f"{len(found.spots):,} {of} a place. {SAID}", table))
    if found.months.sum():
        wheels = [("specimens", found.months.tolist())] + ([] if every is None else [("of all taxa", every.tolist())])
        svg = season_wheel("Season", wheels[0][1], every=None if every is None else wheels[1][1])
        what = f"{int(found.months.sum()):,} {of} a month; the area of a wedge goes by their number."
        charts.append(Chart("season", svg, what, season_table(wheels)))
    if len(found.depths):
        profiles = [("specimens", layers_of(found.depths))]
        what = f"{len(found.depths):,} {of} a depth, counted by the middle of each. {SAMPLED}"
        svg, table = depth_profile("Depth", profiles, "specimens", width=DEEP), profile_table(profiles, "specimens")
        charts.append(Chart("depth", svg, what, table))
    return charts, found.total


def charts_around(catalogue: Catalogue, row: int) -> list[Chart]:
    """The same for a specimen among all that are called as it is: only what is known of itself."""
    moment = catalogue.now
    stored, node = moment.stored, int(moment.nodes[row])
    mask = np.ones(len(moment), bool)
    if node:
        mask = np.asarray((moment.nodes >= node) & (moment.nodes < int(moment.taxonomy.end[node])))
    name = str(moment.taxonomy.names[node]) if node else "all taxa"
    found = Found.of(moment, mask)
    latitude, longitude, depth = (float(each[row]) for each in (stored.latitude, stored.longitude, stored.depths))
    first, last = (int(each[row]) for each in stored.days)
    charts = []
    if np.isfinite(latitude + longitude):
        mask[row] = False
        others = Spots.at(stored.latitude[mask], stored.longitude[mask]).placed()
        svg = map_of("Where", others, names=[name], marked=(latitude, longitude, "this specimen"), width=MAP)
        table = map_table([Spot(latitude, longitude, 1, 0, "this specimen"), *gathered(others, MOST_PLACES)[0]])
        what = f"This specimen and {len(others):,} others of {name} that have a place. {SAID}"
        charts.append(Chart("map", svg, what, table))
    if months_of(*(each[row : row + 1] for each in stored.days))[0] >= 0:
        words = f"this specimen, {_day_words(first) if first == last else day_text(first)[:7]}"
        svg = season_wheel("Season", found.months.tolist(), marked=(_phase((first + last) // 2), words))
        what = f"Months of the {int(found.months.sum()):,} specimens of {name} that have one."
        charts.append(Chart("season", svg, what, season_table([(name, found.months.tolist())])))
    if np.isfinite(depth):
        profiles = [(name, layers_of(found.depths))]
        svg = depth_profile("Depth", profiles, "specimens", marked=(depth, f"this specimen, {depth:g} m"), width=DEEP)
        what = f"Depths of the {len(found.depths):,} specimens of {name} that have one. {SAMPLED}"
        charts.append(Chart("depth", svg, what, profile_table(profiles, "specimens")))
    return charts


def numbers_of(catalogue: Catalogue, view: View) -> dict[str, object]:
    """What the charts of a view show, for programs: places (those with most), months, layers of depth."""
    found = _found(catalogue, view, catalogue.now)
    places, distinct = gathered(found.spots, MOST_PLACES)
    return {
        "specimens": found.total,
        "with_place": len(found.spots),
        "distinct_places": distinct,
        "places": [{"latitude": at.latitude, "longitude": at.longitude, "specimens": int(at.count)} for at in places],
        "with_month": int(found.months.sum()),
        "months": found.months.tolist(),
        "with_depth": len(found.depths),
        "layers": [{"top": at.top, "bottom": at.bottom, "specimens": int(at.value)} for at in layers_of(found.depths)],
    }


def _found(catalogue: Catalogue, view: View, moment: Moment) -> Found:
    return Found.of(moment, catalogue.mask(view, moment) if view.filters else None)


def _phase(day: int) -> float:
    """Of noon of a day since 1970-01-01, in a year of 365.25 days."""
    year = np.datetime64(day, "D").astype("datetime64[Y]")
    start, end = (int(each.astype("datetime64[D]").astype(np.int64)) for each in (year, year + 1))
    return (day - start + 0.5) / (end - start) * 365.25


def _day_words(day: int) -> str:
    year, month, number = day_text(day).split("-")
    return f"{int(number)} {MONTHS[int(month) - 1].capitalize()} {year}"
