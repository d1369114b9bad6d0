"""Sections of the page on where, when and how deep samples were taken; none where nothing is known of that."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from biocosmos.discover.communities.table import COUNT, Community
from biocosmos.evaluate.pages.blocks import Block, Section
from biocosmos.evaluate.pages.maps import map_of, map_table
from biocosmos.evaluate.pages.profiles import Layer, depth_profile, profile_table
from biocosmos.evaluate.pages.seasons import season_counts, season_table, season_wheel
from biocosmos.evaluate.pages.spots import Spot
from biocosmos.evaluate.pages.time_series import Moment, time_series, time_table
from biocosmos.evaluate.pages.words import Words
from biocosmos.places.days import days_of, span_of

Floats = npt.NDArray[np.float64]


def where(words: Words, community: Community) -> list[Section]:
    """A map of the samples."""
    of = "specimens"
    number = community.beside["specimens"].sum(axis=1)
    places = list(zip(community.fact("latitude"), community.fact("longitude")))
    spots = [
        Spot(latitude, longitude, float(count), 0, str(name))
        for (latitude, longitude), count, name in zip(places, number, community.samples)
        if latitude is not None and longitude is not None
    ]
    if not spots:
        return []
    figure = words.figure("where.figure", map_of("Where the samples were taken", spots, of=of), without=len(places) - len(spots))
    return [words.section("where", [figure, map_table(spots, of=of)], of=of)]


def when(words: Words, community: Community, top: Sequence[int], unit: str) -> list[Section]:
    """A time series of the commonest taxa, and the wheel of the year of the first one."""
    dates = [str(date) if date else "" for date in community.fact("date")]
    moments: dict[str, list[int]] = {}
    for i, date in enumerate(dates):
        if span_of(date) is not None:
            moments.setdefault(date, []).append(i)
    if not moments or not top:
        return []
    blocks: list[Block] = []
    if len(moments) > 1:
        ends = _ends(community)
        series = []
        for taxon in top:
            values = [_mean(community, rows, taxon, ends) for rows in moments.values()]
            series.append((str(community.taxa[taxon]), [Moment.of(date, *value) for date, value in zip(moments, values)]))
        alone = all(len(rows) == 1 for rows in moments.values()) and ends is not None
        blocks += [
            words.figure("when.series", time_series("The commonest taxa over time", series, unit), unit=unit, intervals=alone),
            time_table(series, unit),
        ]
    days = days_of(np.array([date or None for date in dates], dtype=object))
    taxon, specimens = top[0], community.beside["specimens"]
    mine = season_counts(days, weights=specimens[:, taxon])
    every = season_counts(days, weights=specimens.sum(axis=1))
    name = str(community.taxa[taxon])
    if every.sum() > 0:
        blocks += [
            words.figure("when.wheel", season_wheel(f"{name} around the year", mine.tolist(), every=every.tolist()), taxon=name),
            season_table([(name, mine.tolist()), ("everything", every.tolist())]),
        ]
    return [words.section("when", blocks)] if blocks else []


def deep(words: Words, community: Community, top: Sequence[int], unit: str) -> list[Section]:
    """Profiles of the commonest taxa over the layers of depth."""
    layers: dict[tuple[float, float], list[int]] = {}
    for i, (above, below) in enumerate(zip(community.fact("depth_min"), community.fact("depth_max"))):
        if above is not None and below is not None:
            layers.setdefault((above, below), []).append(i)
    if len(layers) < 2 or not top:
        return []
    profiles, ends = [], _ends(community)
    for taxon in top:
        steps = [Layer(*layer, *_mean(community, rows, taxon, ends)) for layer, rows in layers.items()]
        profiles.append((str(community.taxa[taxon]), steps))
    figure = words.figure("deep.figure", depth_profile("The commonest taxa by depth", profiles, unit), unit=unit)
    return [words.section("deep", [figure, profile_table(profiles, unit)])]


def _ends(community: Community) -> tuple[Floats, Floats] | None:
    """Of what is drawn."""
    main = (
        "" if community.unit == COUNT else next((p for p in ("per_m2_", "concentration_") if f"{p}low" in community.beside), None)
    )
    if main is None or f"{main}low" not in community.beside:
        return None
    return community.beside[f"{main}low"], community.beside[f"{main}high"]


def _mean(community: Community, rows: list[int], taxon: int, ends: tuple[Floats, Floats] | None) -> tuple[float, float, float]:
    """(mean over those of these samples that are known, low, high), the ends of a single sample; NaN where none is known."""
    values = community.counts[rows, taxon]
    if ends is None or len(values) != 1 or math.isnan(float(values[0])):
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else math.nan, math.nan, math.nan
    return float(values[0]), float(ends[0][rows, taxon][0]), float(ends[1][rows, taxon][0])


__all__ = ["deep", "when", "where"]
