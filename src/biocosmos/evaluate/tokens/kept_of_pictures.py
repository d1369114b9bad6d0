"""What reductions leave of some pictures, drawn on them: the section of the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biocosmos.evaluate.pages.blocks import Block, Picture, Section, Sheet, Strip, Strips
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.tokens.overlays import overlay, plain
from biocosmos.evaluate.tokens.settings import DENSE, Measured, Overlaid, called, keeps_in_order

STAGES_SHOWN = 12
"""Methods whose stages are shown one by one."""


def overlays(measured: Sequence[Measured], pictures: Sequence[Overlaid], words: Words) -> list[Section]:
    """Every picture at every keep rate, and the first one stage by stage."""
    reduced = [one for one in measured if one.traced is not None and one.method != DENSE]
    if not reduced or not pictures:
        return []
    several = len({one.encoder for one in measured}) > 1
    blocks: list[Block] = []
    for keep in keeps_in_order(one.keep for one in reduced):
        own = [one for one in reduced if one.keep == keep]
        for picture in pictures:
            if all(_row(one, picture) is not None for one in own):
                drawn = [Picture(_drawn(one, picture, -1), called(one, several), _left(one, picture, -1)) for one in own]
                heading = words("overlays.keep", keep=keep, id=picture.id)
                blocks.append(Sheet(heading, [Picture(plain(picture.pixels), picture.taxon, "as it is", ""), *drawn]))
    blocks += _stages(reduced, pictures[0], several, words)
    return [words.section("overlays", blocks)] if blocks else []


def _stages(reduced: Sequence[Measured], picture: Overlaid, several: bool, words: Words) -> list[Strips]:
    """One picture after each stage, at the middle keep rate."""
    keeps = keeps_in_order(one.keep for one in reduced)
    keep = "0.5" if "0.5" in keeps else keeps[len(keeps) // 2]
    strips = []
    for one in [one for one in reduced if one.keep == keep][:STAGES_SHOWN]:
        if one.traced is None or _row(one, picture) is None:
            continue
        found = [
            Picture(_drawn(one, picture, stage), f"stage {stage + 1}", _left(one, picture, stage))
            for stage in range(len(one.traced.blocks))
        ]
        strips.append(Strip(Picture(plain(picture.pixels), called(one, several), picture.id), found))
    return [words.strips("overlays.stages", strips, wide=False, keep=keep, id=picture.id)] if strips else []


def _row(one: Measured, picture: Overlaid) -> int | None:
    assert one.traced is not None
    ids = list(one.traced.ids)
    return ids.index(picture.id) if picture.id in ids else None


def _drawn(one: Measured, picture: Overlaid, stage: int) -> str:
    row = _row(one, picture)
    assert one.traced is not None and row is not None
    kept = one.traced.kept[stage][row] if one.traced.kept else None
    return overlay(picture.pixels, one.traced.sources[stage][row], one.traced.grid, kept=kept)


def _left(one: Measured, picture: Overlaid, stage: int) -> str:
    row = _row(one, picture)
    assert one.traced is not None and row is not None
    source = one.traced.sources[stage][row]
    if one.traced.kept:
        return f"{int(one.traced.kept[stage][row].sum())} of {len(source)} kept"
    groups = len(np.unique(source[source >= 0]))
    return f"{groups} group{'' if groups == 1 else 's'}"
