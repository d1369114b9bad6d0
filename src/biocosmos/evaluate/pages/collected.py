"""Where and when the specimens of a report were collected: a map, a season wheel and a profile as one section of its page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biocosmos.evaluate.pages.blocks import Block, Figure, Section
from biocosmos.evaluate.pages.maps import map_of, map_table
from biocosmos.evaluate.pages.profiles import depth_profile, layers_of, profile_table
from biocosmos.evaluate.pages.seasons import season_counts, season_table, season_wheel
from biocosmos.evaluate.pages.spots import Spots
from biocosmos.evaluate.pages.svg import percent
from biocosmos.places import Places, cells

TITLE = "Where and when they were collected"
DEGREES = 0.1
MAP = 560.0


def collected(groups: Sequence[tuple[str, Places]]) -> Section | None:
    """A section on one or several groups of specimens, each with what it is called; None where nothing is known of any.

    Of two groups, the first those that are asked about and the second those that answer, it says how many of the first were
    collected where the second were: what holds at known places may not hold at others.
    """
    names = [name for name, _ in groups]
    blocks: list[Block] = []
    placed = [places.take(places.has_place) for _, places in groups]
    if any(len(places) for places in placed):
        series = np.repeat(np.arange(len(groups)), [len(places) for places in placed])
        latitude, longitude = (np.concatenate([getattr(p, axis) for p in placed]) for axis in ("latitude", "longitude"))
        spots = Spots.at(latitude, longitude, series)
        said = "; ".join(f"{name}: {len(p):,} of {len(whole):,} have a place" for p, (name, whole) in zip(placed, groups))
        blocks.append(Figure(map_of(TITLE, spots, names=names, width=MAP), f"{said}."))
    months = [season_counts(places.day) for _, places in groups]
    for i, (name, counts) in enumerate(zip(names, months)):
        if counts.sum():
            words = f"{name}: {int(counts.sum()):,} of {len(groups[i][1]):,} have a day of the year."
            blocks.append(Figure(season_wheel(name, counts.tolist(), css=f"c{i + 1}"), words))
    profiles = [(name, layers_of(places.depth)) for name, places in groups]
    if any(layers for _, layers in profiles):
        words = "Specimens by depth, each at the middle of its least and greatest one."
        blocks.append(Figure(depth_profile("Depth", profiles, "specimens"), words))
    if not blocks:
        return None
    if any(len(places) for places in placed):
        blocks.append(map_table(spots, names=names))
    if any(counts.sum() for counts in months):
        blocks.append(season_table([(name, counts.tolist()) for name, counts in zip(names, months)]))
    if any(layers for _, layers in profiles):
        blocks.append(profile_table(profiles, "specimens"))
    return Section(TITLE, _lead(names, placed), blocks)


def _lead(names: Sequence[str], placed: Sequence[Places]) -> str:
    lead = "Where people collected, which is not where taxa live."
    if len(placed) < 2 or not len(placed[0]) or not len(placed[1]):
        return lead
    asked, answering = (cells(places.latitude, places.longitude, DEGREES) for places in placed[:2])
    share = float(np.isin(asked, answering).mean())
    return (
        f"{percent(share)} of “{names[0]}” lie in a square of {DEGREES:g} degree in which some of “{names[1]}” lie too"
        f"{': what is found here holds for known places, and says little of others' if share > 0.5 else ''}. {lead}"
    )


__all__ = ["collected"]
