"""The tables of a study of token reductions: what each costs and keeps, how alike they are, and whether that tells anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval, paired_interval, wilson
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.tokens.depth import depths, likeness, mean_map
from biocosmos.evaluate.tokens.features import Distances, Prepared, distances
from biocosmos.evaluate.tokens.kept import Moments, chance, moments
from biocosmos.evaluate.tokens.page import page
from biocosmos.evaluate.tokens.proxy import proxy
from biocosmos.evaluate.tokens.settings import (
    DENSE,
    HERE,
    IMAGES,
    MEAN,
    LeftOut,
    Measured,
    Overlaid,
    Traced,
    kept_alike,
    label_or_recall,
    merged_alike,
    pairs,
)

Array = npt.NDArray[Any]
ALIKE = {"iou": "kept", "iou_above_chance": "kept", "homogeneity": "groups", "completeness": "groups", "v_measure": "groups"}
"""Measures that are higher the more alike, and what they compare."""
FAR = dict.fromkeys(Distances._fields, "features")
"""Measures that are lower the more alike."""
MEASURES = ALIKE | FAR
_ENDS = ("", "_low", "_high")
SETTINGS = pa.schema(
    [
        *((name, pa.string()) for name in ("setting", "encoder", "method", "keep", "kind", "status", "why", "judged_by")),
        *((f"{name}{end}", pa.float64()) for name in ("accuracy", "lost", "recall", "label") for end in _ENDS),
        ("queries", pa.int64()),
        *((name, pa.float64()) for name in ("cosine", "cosine_lowest", "images_s", "speedup", "dense_images_s")),
        ("tokens", pa.string()),
        ("front", pa.bool_()),
    ]
)
PATTERNS = pa.schema(
    [
        *((name, pa.string()) for name in ("measure", "of", "stage", "first", "second", "differ_in")),
        *((name, pa.float64()) for name in ("value", "std")),
        ("images", pa.int64()),
    ]
)
MAPS = pa.schema(
    [("setting", pa.string()), ("images", pa.string()), ("row", pa.int64()), ("column", pa.int64()), ("depth", pa.float64())]
)
ALIKE_MAPS = pa.schema(
    [
        *((name, pa.string()) for name in ("first", "second", "differ_in")),
        *((name, pa.float64()) for name in ("kl", "js", "emd", "sim", "pearson", "spearman")),
    ]
)
PROXY = pa.schema(
    [
        *((name, pa.string()) for name in ("measure", "stage", "over")),
        ("settings", pa.int64()),
        ("pairs", pa.int64()),
        *((f"{name}{end}", pa.float64()) for name in ("spearman", "kendall") for end in _ENDS),
    ]
)
DIFFERENT_METHODS, ALL = "methods at one keep rate", "all pairs"
"""Which pairs the proxy is tested on."""


def study(
    measured: Sequence[Measured],
    left_out: Sequence[LeftOut] = (),
    *,
    title: str,
    pictures: Sequence[Overlaid] = (),
    elsewhere: Mapping[str, Mapping[str, Traced]] | None = None,
    boot: Bootstrap | None = None,
    caveats: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> Report:
    """A report of kind "tokens" on settings that answered the same queries; dense encoders among them are what is compared with.

    pictures: some of the traced images, to draw on; elsewhere: other collections -> settings by name -> what they do to images
    there, whose maps are compared with those here. Raises BiocosmosError without a measured setting, and for settings of other
    queries.
    """
    if not measured:
        raise BiocosmosError("no setting was measured: name methods that need no training, or folders trained with --reduce")
    if len({len(one.recall) for one in measured}) > 1:
        raise BiocosmosError("settings that answered other queries cannot be put side by side: measure them again")
    boot = boot or Bootstrap()
    by = label_or_recall(measured)
    settings = _settings(measured, left_out, by)
    patterns, squares = _patterns(measured)
    tables = {
        "settings": pa.Table.from_pylist(settings, SETTINGS),
        "patterns": pa.Table.from_pylist(patterns, PATTERNS),
        **_depth(measured, elsewhere or {}),
        "proxy": pa.Table.from_pylist(_proxies(measured, settings, squares, boot), PROXY),
    }
    facts = dict(provenance or {}) | {"judged_by": by}
    said = [*caveats, *_caveats(measured, by)]
    drawn = partial(page, measured=tuple(measured), pictures_of=tuple(pictures))
    return Report("tokens", title, tables, said, facts, drawn)


# ---------------------------------------------------------------------------------------------------- settings


def _settings(measured: Sequence[Measured], left_out: Sequence[LeftOut], by: str) -> list[dict[str, Any]]:
    dense = {one.encoder: one for one in measured if one.method == DENSE}
    rows = []
    for one in measured:
        row: dict[str, Any] = {
            "setting": one.name,
            "encoder": one.encoder,
            "method": one.method,
            "keep": one.keep,
            "kind": one.kind,
            "status": "measured",
            "why": "; ".join(one.notes),
            "judged_by": by,
            "images_s": one.images_s,
            "speedup": one.speedup,
            "dense_images_s": one.dense_images_s,
            "tokens": _tokens(one),
            "cosine": float(one.cosine.mean()) if len(one.cosine) else None,
            "cosine_lowest": float(one.cosine.min()) if len(one.cosine) else None,
        }
        for name, right in (("recall", one.recall), ("label", one.label)):
            row |= _ended(name, _share(right))
        row |= _ended("accuracy", _share(one.label if by == "label" else one.recall))
        right = one.label if by == "label" else one.recall
        row["queries"] = 0 if right is None else int(np.isfinite(right).sum())
        before = dense.get(one.encoder) or (next(iter(dense.values())) if len(dense) == 1 else None)
        if before is not None and one is not before:
            row |= _ended("lost", _lost(before, one, by))
        rows.append(row)
    for row in rows:
        row["front"] = not any(_beats(other, row) for other in rows)
    rows += [
        {
            "setting": one.name,
            "encoder": one.encoder,
            "method": one.method,
            "keep": one.keep,
            "status": "left out",
            "why": one.why,
        }
        for one in left_out
    ]
    return rows


def _tokens(one: Measured) -> str:
    """ "98/49/24"; of the dense encoder all."""
    if one.tokens or one.traced is None:
        return "/".join(f"{count:.4g}" for count in one.tokens)
    return str(one.traced.grid[0] * one.traced.grid[1])


def _share(right: Array | None) -> Interval | None:
    """Share of right answers with Wilson's interval."""
    if right is None or not np.isfinite(right).any():
        return None
    right = right[np.isfinite(right)]
    low, high = wilson(np.array([right.sum()]), np.array([len(right)]))
    return Interval(float(right.mean()), float(low[0]), float(high[0]))


def _lost(dense: Measured, one: Measured, by: str) -> Interval | None:
    """Dense less reduced, on the same queries."""
    before, after = ((side.label if by == "label" else side.recall) for side in (dense, one))
    if before is None or after is None:
        return None
    asked = np.isfinite(before) & np.isfinite(after)
    if not asked.any():
        return None
    gains, losses = ((a[asked] > b[asked]).sum() for a, b in ((before, after), (after, before)))
    low, high = paired_interval(np.array([gains]), np.array([losses]), np.array([asked.sum()]))
    return Interval(float((before[asked] - after[asked]).mean()), float(low[0]), float(high[0]))


def _ended(name: str, found: Interval | None) -> dict[str, float | None]:
    """Three columns of an interval."""
    values = found or (None, None, None)
    return {f"{name}{end}": None if value is None or value != value else float(value) for end, value in zip(_ENDS, values)}


def _beats(other: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether another setting is at least as good and as fast, and better in one."""
    if row["accuracy"] is None or other["accuracy"] is None:
        return row["accuracy"] is None and other["accuracy"] is not None
    one, two = (other["accuracy"], other["images_s"]), (row["accuracy"], row["images_s"])
    return one[0] >= two[0] and one[1] >= two[1] and one != two


# ---------------------------------------------------------------------------------------------------- patterns


def _patterns(measured: Sequence[Measured]) -> tuple[list[dict[str, Any]], dict[tuple[str, str], Array]]:
    """Rows of :data:`PATTERNS`; and (measure, stage) -> (m, m) distances, for the proxy."""
    ready = [None if one.traced is None else [Prepared.of(features) for features in one.traced.features] for one in measured]
    rows: list[dict[str, Any]] = []
    squares: dict[tuple[str, str], Array] = {}
    for i, j, over in pairs(measured):
        one, two = measured[i], measured[j]
        if one.traced is None or two.traced is None:
            continue
        found = _kept_alike(one, two) if over != DENSE else {}
        mine, theirs = ready[i], ready[j]
        if mine and theirs and len(mine) == len(theirs):
            for stage, a, b in zip(one.traced.stages(), mine, theirs):
                for name, value in distances(a, b)._asdict().items():
                    found.setdefault(name, {})[stage] = Moments(value, float("nan"), len(one.traced.ids))
        for name, stages in found.items():
            if MEAN not in stages:
                stages[MEAN] = _mean(list(stages.values()))
            for stage, moment in stages.items():
                rows.append(
                    {
                        "measure": name,
                        "of": MEASURES[name],
                        "stage": stage,
                        "first": one.name,
                        "second": two.name,
                        "differ_in": over,
                        "value": _number(moment.mean),
                        "std": _number(moment.std),
                        "images": moment.images,
                    }
                )
                square = squares.setdefault((name, stage), np.full((len(measured), len(measured)), np.nan))
                square[i, j] = moment.mean if name in FAR else -moment.mean
    return rows, squares


def _kept_alike(one: Measured, two: Measured) -> dict[str, dict[str, Moments]]:
    """measure -> stage, and the mean over stages -> over images, of the kept sets or of the groups."""
    assert one.traced is not None and two.traced is not None
    by_image: dict[str, list[Array]] = {}
    for stage, values in enumerate(kept_alike(one.traced, two.traced)):
        by_chance = chance(one.traced.kept[stage], two.traced.kept[stage])
        above = np.where(by_chance < 1, (values - by_chance) / np.maximum(1 - by_chance, 1e-12), np.nan)
        by_image.setdefault("iou", []).append(values)
        by_image.setdefault("iou_above_chance", []).append(above)
    for scores in merged_alike(one.traced, two.traced):
        for name, values in scores.items():
            by_image.setdefault(name, []).append(values)
    return {
        name: {str(stage + 1): moments(values) for stage, values in enumerate(stages)} | {MEAN: moments(np.mean(stages, axis=0))}
        for name, stages in by_image.items()
    }


def _mean(stages: Sequence[Moments]) -> Moments:
    means = np.array([moment.mean for moment in stages])
    means = means[np.isfinite(means)]
    return Moments(float(means.mean()) if len(means) else float("nan"), float("nan"), stages[0].images)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


# ---------------------------------------------------------------------------------------------------- depth


def _depth(measured: Sequence[Measured], elsewhere: Mapping[str, Mapping[str, Traced]]) -> dict[str, pa.Table]:
    maps = {one.name: _map(one.traced) for one in measured if one.traced is not None and one.traced.kept and one.method != DENSE}
    others = {(name, place): _map(traced) for place, found in elsewhere.items() for name, traced in found.items() if traced.kept}
    places = [
        {"setting": name, "images": images, "row": row, "column": column, "depth": float(value)}
        for (name, images), found in [*(((name, HERE), found) for name, found in maps.items()), *others.items()]
        for (row, column), value in np.ndenumerate(found)
    ]
    compared = [(measured[i].name, measured[j].name, over) for i, j, over in pairs(measured)]
    couples = [(one, two, over, maps[one], maps[two]) for one, two, over in compared if one in maps and two in maps]
    couples += [
        (name, f"{name} on {place}", IMAGES, maps[name], found) for (name, place), found in others.items() if name in maps
    ]
    alike = [
        {"first": one, "second": two, "differ_in": over}
        | {name: _number(value) for name, value in likeness(first, second)._asdict().items()}
        for one, two, over, first, second in couples
        if first.shape == second.shape
    ]
    return {"depth": pa.Table.from_pylist(places, MAPS), "depth_alike": pa.Table.from_pylist(alike, ALIKE_MAPS)}


def _map(traced: Traced) -> Array:
    return mean_map(depths(traced.kept, traced.blocks, traced.depth), traced.grid)


# ---------------------------------------------------------------------------------------------------- proxy


def _proxies(
    measured: Sequence[Measured],
    settings: Sequence[Mapping[str, Any]],
    squares: Mapping[tuple[str, str], Array],
    boot: Bootstrap,
) -> list[dict[str, Any]]:
    accuracy = np.array([np.nan if row["accuracy"] is None else row["accuracy"] for row in settings[: len(measured)]])
    same_keep = np.zeros((len(measured), len(measured)), bool)
    for i, j, over in pairs(measured):
        same_keep[i, j] = over == "method"
    rows = []
    for (name, stage), square in squares.items():
        for over, told in ((DIFFERENT_METHODS, np.where(same_keep, square, np.nan)), (ALL, square)):
            found = proxy(told, accuracy, boot)
            if found.spearman is None or found.kendall is None:
                continue
            rows.append(
                {"measure": name, "stage": stage, "over": over, "settings": found.settings, "pairs": found.pairs}
                | _ended("spearman", found.spearman)
                | _ended("kendall", found.kendall)
            )
    return rows


def _caveats(measured: Sequence[Measured], by: str) -> list[str]:
    traced = next((one.traced for one in measured if one.traced is not None), None)
    queries = len(measured[0].recall)
    said = [
        f"Every setting answered the same {queries:,} queries, and the best of many looks better than it is: choose on one part "
        "and measure the choice on another.",
        "Speeds are of this machine, in float32 with torch, timed in turn with the dense encoder; another machine, precision or "
        "runtime has others.",
    ]
    if by == "label" and any(one.method != DENSE for one in measured):
        said.append(
            "The head was trained on features of the encoder as it stands in its folder: a reduction that was put on afterwards "
            "is judged off the shelf, and a training with it (biocosmos train heads --reduce) may mend most of what it loses."
        )
    if traced is not None:
        said.append(
            f"Patterns were traced on {len(traced.ids):,} images. A rank correlation over pairs of settings says nothing about "
            "cause: a lower keep rate makes both patterns and accuracy differ, so that pairs of methods at one "
            "keep rate are told apart."
        )
        if len(traced.ids) - 1 <= (wide := traced.features[-1].shape[1]):
            said.append(
                f"CCA and PWCCA are left out: {len(traced.ids):,} images are too few for {wide:,} features, where any two "
                "encoders correlate perfectly; trace more (--traced)."
            )
    return said
