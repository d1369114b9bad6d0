"""The page of a study of token reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Page, Section
from biocosmos.evaluate.pages.charts import Point, scatter
from biocosmos.evaluate.pages.heat import heat
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row
from biocosmos.evaluate.pages.svg import percent, points_of
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.tokens.charts import Setting, front, maps
from biocosmos.evaluate.tokens.kept import chance
from biocosmos.evaluate.tokens.kept_of_pictures import overlays
from biocosmos.evaluate.tokens.settings import DENSE, HERE, MEAN, Measured, Overlaid, called, keeps_in_order

WORDS = Words(__package__)
RATE_WHOLE = 100
MOST_LOST = 0.01
"""What the headline setting loses at most, by the upper end of its interval."""
SHOWN = ("iou", "v_measure", "cka")
"""Measures that get a matrix."""
NAMED = {
    "iou": "IoU of kept patches",
    "iou_above_chance": "IoU above chance",
    "homogeneity": "homogeneity",
    "completeness": "completeness",
    "v_measure": "V-measure",
    "cka": "CKA distance",
    "pwcca": "PWCCA distance",
    "cca": "mean CCA distance",
    "squared_cca": "mean squared CCA distance",
    "procrustes": "Procrustes",
}


def page(report: Report, pictures: Pictures, *, measured: Sequence[Measured], pictures_of: Sequence[Overlaid]) -> Page:
    """Everything the page shows; measured, pictures_of: as :func:`biocosmos.evaluate.tokens.report.study` was given them."""
    by = _by(report)
    sections = [
        _front(report, by),
        *overlays(measured, pictures_of, WORDS),
        *_depth(report, measured),
        *_alike(report, measured),
        *_proxy(report),
    ]
    return Page(_lead(report, by), _cards(report, by), sections, WORDS.terms)


def _by(report: Report) -> str:
    return "names of the trained head" if report.provenance["judged_by"] == "label" else "recall@1"


def _rows(report: Report) -> list[Row]:
    return report.rows("settings", status="measured")


def _best(report: Report) -> Row | None:
    """The fastest setting whose loss is surely under :data:`MOST_LOST`; None where none is faster than dense."""
    rows = [row for row in _rows(report) if row["lost_high"] is not None and row["lost_high"] <= MOST_LOST and row["speedup"] > 1]
    return max(rows, key=lambda row: row["images_s"], default=None)


def _lead(report: Report, by: str) -> str:
    rows = [row for row in _rows(report) if row["method"] != DENSE]
    keeps = keeps_in_order(row["keep"] for row in rows)
    return WORDS(
        "lead",
        reduced=bool(rows),
        methods=len({row["method"] for row in rows}),
        keeps="keep rates " + ", ".join(keeps) if len(keeps) > 1 else f"keep {''.join(keeps)}",
        encoders=", ".join(report.provenance.get("encoders") or dict.fromkeys(row["encoder"] for row in _rows(report))),
        settings=len(rows),
        best=_best(report),
        most=MOST_LOST,
        by=by,
    )


def _cards(report: Report, by: str) -> list[Card]:
    cards = []
    for row in _rows(report):
        if row["method"] == DENSE:
            told = {"by": by, "row": row, "ends": _ends(row, "accuracy"), "rate": _rate(row["images_s"])}
            cards.append(WORDS.card("cards.dense", percent(row["accuracy"]), **told))
    if best := _best(report):
        facts: dict[str, Any] = {"row": best, "most": MOST_LOST, "lost": _points(best, "lost"), "rate": _rate(best["images_s"])}
        cards.append(WORDS.card("cards.best", f"{best['speedup']:.2f} ×", **facts))
    means = [row for row in report.rows("proxy", stage=MEAN) if row["measure"] == "cka"]
    if means:
        row = means[0]
        ends = f"{_signed(row['spearman_low'])} to {_signed(row['spearman_high'])}"
        cards.append(WORDS.card("cards.proxy", _signed(row["spearman"]), name=NAMED["cka"], row=row, ends=ends))
    return cards


# ---------------------------------------------------------------------------------------------------- cost and gain


def _front(report: Report, by: str) -> Section:
    rows = _rows(report)
    series = []
    several = len({row["encoder"] for row in rows}) > 1
    for encoder, method in dict.fromkeys((row["encoder"], row["method"]) for row in rows):
        own = [row for row in rows if (row["encoder"], row["method"]) == (encoder, method) and row["accuracy"] is not None]
        if own:
            name = f"{encoder} {method}" if several else method
            series.append((name, [_setting(row) for row in _by_keep(own)]))
    blocks: list[Block] = []
    if series:
        blocks.append(WORDS.figure("front.chart", front("Accuracy against images a second", series, f"right ({by})")))
        blocks[-1] = Figure(blocks[-1].svg, blocks[-1].caption, wide=True)  # type: ignore[union-attr]
    columns: Columns = [
        ("setting", _named),
        ("right (interval)", lambda row: percent(row["accuracy"]) + (f" ({_ends(row, 'accuracy')})" if row["accuracy"] else "")),
        ("lost (interval)", lambda row: "–" if row["lost"] is None else f"{points_of(row['lost'])} ({_points(row, 'lost')})"),
        ("recall@1", "recall"),
        ("names", "label"),
        ("images/s", ("images_s", _rate)),
        ("speed-up", ("speedup", "{:.2f}".format)),
        ("tokens", "tokens"),
        ("cosine", lambda row: "–" if row["cosine"] is None else f"{row['cosine']:.3f} ({row['cosine_lowest']:.3f})"),
        ("queries", "queries"),
        ("", "why"),
    ]
    by_label = report.provenance["judged_by"] == "label"
    unused = [] if any(row["why"] for row in rows) else [""]
    unused += ["names"] if by_label or all(row["label"] is None for row in rows) else []
    unused += [] if by_label else ["recall@1"]
    columns = [column for column in columns if column[0] not in unused]
    blocks.append(WORDS.grid("front.grid", rows, columns))
    left_out = report.rows("settings", status="left out")
    if left_out:
        blocks.append(WORDS.grid("front.left_out", left_out, [("setting", "setting"), ("why", "why")], left=2))
    return WORDS.section(
        "front", blocks, by=report.provenance["judged_by"], gallery=report.provenance.get("gallery_part", "train")
    )


def _named(row: Row) -> str:
    """A setting; of a folder that was trained with its reduction, that too; a star where nothing beats it."""
    own = f"{row['method']}-{row['keep']}"
    what = "" if row["method"] == DENSE or row["setting"].endswith(own) else f" ({own})"
    return f"{row['setting']}{what}{' *' if row['front'] else ''}"


def _by_keep(rows: Sequence[Row]) -> list[Row]:
    order = keeps_in_order(row["keep"] for row in rows)
    return sorted(rows, key=lambda row: order.index(row["keep"]) if row["keep"] else -1)


def _setting(row: Row) -> Setting:
    tip = (
        f"{row['setting']}: {percent(row['accuracy'])} right ({_ends(row, 'accuracy')}), {_rate(row['images_s'])} images a "
        f"second, {row['speedup']:.2f} times dense"
    )
    low, high = (math.nan if row[name] is None else row[name] for name in ("accuracy_low", "accuracy_high"))
    label = row["method"] if row["method"] == DENSE else f"{row['method']} {row['keep']}"
    return Setting(row["images_s"], row["accuracy"], low, high, tip, row["front"], label)


# ---------------------------------------------------------------------------------------------------- depth


def _depth(report: Report, measured: Sequence[Measured]) -> list[Section]:
    places = report.table("depth")
    if not places.num_rows:
        return []
    traced = {one.name: one for one in measured if one.traced is not None}
    several = len({one.encoder for one in measured}) > 1
    panels: dict[str, list[tuple[str, Any]]] = {}
    values = places["depth"].to_numpy()
    which = np.array(list(zip(places["setting"].to_pylist(), places["images"].to_pylist())), object)
    for name, images in dict.fromkeys(map(tuple, which.tolist())):
        one = traced[name]
        assert one.traced is not None
        name_of = called(one, several) + ("" if images == HERE else f", {images}")
        found = values[(which == (name, images)).all(1)].reshape(one.traced.grid)
        panels.setdefault(one.keep, []).append((name_of, found))
    some = next(one.traced for one in traced.values() if one.traced is not None and one.method != DENSE)
    low = math.floor(float(values.min()))
    figures: list[Block] = [
        WORDS.figure("depth.maps", maps(f"Mean depth at keep {keep}", panels[keep], low, some.depth), keep=keep)
        for keep in keeps_in_order(panels)
    ]
    alike = report.rows("depth_alike")
    columns: Columns = [
        *((name, name) for name in ("first", "second")),
        *((name, (name, "{:.3f}".format)) for name in ("kl", "js", "emd", "sim", "pearson", "spearman")),
    ]
    if alike:
        figures.append(WORDS.grid("depth.grid", alike, columns, fold=True, left=2))
    return [WORDS.section("depth", figures, images=len(some.ids), depth=some.depth)]


# ---------------------------------------------------------------------------------------------------- alike


def _alike(report: Report, measured: Sequence[Measured]) -> list[Section]:
    rows = report.rows("patterns", stage=MEAN)
    if not rows:
        return []
    by_name = {one.name: one for one in measured}
    several = len({one.encoder for one in measured}) > 1
    blocks: list[Block] = []
    for measure in SHOWN:
        for keep in keeps_in_order(one.keep for one in measured if one.method != DENSE):
            own = [
                row
                for row in rows
                if row["measure"] == measure
                and row["value"] is not None
                and row["differ_in"] == "method"
                and by_name[row["first"]].keep == keep
            ]
            names = [name for name in by_name if any(name in (row["first"], row["second"]) for row in own)]
            if len(names) > 1:
                blocks.append(_matrix(measure, keep, own, [by_name[name] for name in names], several))
    columns: Columns = [
        *((name, name) for name in ("first", "second")),
        ("measure", lambda row: NAMED[row["measure"]]),
        ("value", ("value", "{:.4f}".format)),
        ("deviation over images", ("std", "{:.3f}".format)),
    ]
    shown = [row for row in rows if row["value"] is not None]
    blocks.append(WORDS.grid("alike.grid", shown, columns, fold=True, left=3))
    images = next((row["images"] for row in rows), 0)
    return [WORDS.section("alike", blocks, images=images)]


def _matrix(measure: str, keep: str, rows: Sequence[Row], settings: Sequence[Measured], several: bool) -> Figure:
    cell = {(row["first"], row["second"]): row for row in rows}
    values, tips = [], []
    for one in settings:
        found = [cell.get((one.name, two.name)) or cell.get((two.name, one.name)) for two in settings]
        values.append([math.nan if row is None else row["value"] for row in found])
        tips.append([_tip(row) for row in found])
    names = [called(one, several) for one in settings]
    svg = heat(f"{NAMED[measure]} at keep {keep}", names, names, values, tips)
    facts: dict[str, Any] = {"keep": keep}
    if measure == "iou":
        some = [one.traced for one in settings if one.traced is not None and one.traced.kept]
        by_chance = [
            float(chance(one.kept[stage], two.kept[stage]).mean())
            for one, two in combinations(some, 2)
            for stage in range(len(one.kept))
        ]
        facts["chance"] = percent(float(np.mean(by_chance)))
    return WORDS.figure(f"alike.{measure}", svg, **facts)


def _tip(row: Row | None) -> str:
    return "" if row is None else f"{row['first']} and {row['second']}: {row['value']:.4f}"


# ---------------------------------------------------------------------------------------------------- proxy


def _proxy(report: Report) -> list[Section]:
    rows = report.rows("proxy")
    if not rows:
        return []
    columns: Columns = [
        ("measure", lambda row: NAMED[row["measure"]]),
        ("pairs of", "over"),
        ("Spearman (interval)", lambda row: _correlation(row, "spearman")),
        ("Kendall (interval)", lambda row: _correlation(row, "kendall")),
        ("settings", "settings"),
        ("pairs", "pairs"),
    ]
    means = [row for row in rows if row["stage"] == MEAN]
    blocks: list[Block] = []
    for measure in SHOWN:
        if figure := _pairs(report, measure):
            blocks.append(figure)
    blocks.append(WORDS.grid("proxy.grid", means, columns, left=2, tested=len(rows)))
    single = [row for row in rows if row["stage"] != MEAN]
    staged: Columns = [columns[0], ("stage", "stage"), *columns[1:]]
    blocks.append(WORDS.grid("proxy.grid_stages", single, staged, fold=True, left=3))
    return [WORDS.section("proxy", blocks)]


def _pairs(report: Report, measure: str) -> Figure | None:
    """Distance of two methods at one keep rate against the difference of their accuracy."""
    accuracy = {row["setting"]: row["accuracy"] for row in _rows(report)}
    rows = report.rows("patterns", measure=measure, stage=MEAN, differ_in="method")
    found = []
    for row in rows:
        one, two = accuracy.get(row["first"]), accuracy.get(row["second"])
        if one is None or two is None or row["value"] is None:
            continue
        value = row["value"] if measure == "cka" else 1 - row["value"]
        apart = abs(one - two)
        found.append(Point(value, apart, f"{row['first']} and {row['second']}: {value:.3f} apart, {100 * apart:.1f} points"))
    if len(found) < 3:
        return None
    name = NAMED[measure] if measure == "cka" else f"1 − {NAMED[measure]}"
    most = max(point.y for point in found)
    svg = scatter(
        f"Difference of accuracy over {name}",
        found,
        name,
        "difference of accuracy",
        y_range=(0.0, max(most * 1.08, 0.01)),
        x_range=(0.0, max(point.x for point in found) * 1.05 or 1.0),
    )
    return WORDS.figure("proxy.chart", svg, name=name)


# ---------------------------------------------------------------------------------------------------- words


def _ends(row: Row, name: str) -> str:
    return "" if row[f"{name}_low"] is None else f"{percent(row[f'{name}_low'])} to {percent(row[f'{name}_high'])}"


def _points(row: Row, name: str) -> str:
    return "" if row[f"{name}_low"] is None else f"{points_of(row[f'{name}_low'])} to {points_of(row[f'{name}_high'])}"


def _correlation(row: Row, name: str) -> str:
    ends = "" if row[f"{name}_low"] is None else f" ({_signed(row[f'{name}_low'])} to {_signed(row[f'{name}_high'])})"
    return _signed(row[name]) + ends


def _rate(value: float) -> str:
    """Images a second."""
    return f"{value:,.0f}" if value >= RATE_WHOLE else f"{value:.3g}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")
