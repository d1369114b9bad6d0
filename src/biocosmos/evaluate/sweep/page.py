"""The page of a sweep over numbers of clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import WIDTH
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import ends, interval, pick
from biocosmos.evaluate.pages.svg import Drawing, Scale, axes, number, percent, points_of
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
BASE, REFERENCE = "base", "true taxa"
PARTS = {"test": "test against training part", "val": "validation against training part"}
STYLES = {BASE: "l2", REFERENCE: "l3"}
GROUP_CHARTS = 12
LEVEL_GAP = 15.0  # px between two words at the right edge
MARGIN = 0.15  # of the spread above and below the lines
LEAST_SPREAD = 0.02


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the sweep page shows."""
    known = report.provenance
    main, chosen = known["main_target"], (known["chosen"] or {}).get("clusters")
    rows = report.rows("summary")
    shown = next((part for part in PARTS if any(row["part"] == part for row in rows)), None)
    sections = [
        *([_recall(rows, main, chosen)] if shown else []),
        *([_ranks(rows, shown, chosen)] if shown else []),
        *_groups(report, shown, main, chosen),
        *_choice(report, chosen),
        *_labels(report, main),
        *_skipped(report),
    ]
    return Page(_lead(report, rows, main, shown, chosen), _cards(report, rows, main, chosen), sections, TERMS)


TERMS = [
    ("cluster", "a group of training images whose vectors lie together (k-means); training takes it for a class"),
    ("base", "the encoder as it was before training"),
    ("true taxa", "the supervised reference: the same training with the true taxa as classes in place of clusters"),
    ("recall@1", "share of queries whose nearest specimen of the training part is of the same taxon"),
    ("micro, macro", "every query counts alike; every taxon counts alike, however many queries it has"),
    ("label-free", "computed without a single name, so that it can be used where nothing is labelled"),
    ("purity", "share of the specimens that are of the most common taxon of their cluster; more clusters raise it by themselves"),
    ("adjusted mutual information", "agreement of clusters and taxa: 0 as by chance, 1 the same partition"),
]


def _of(rows: Sequence[Row], model: str, part: str, target: str | None, average: str = "micro") -> Row | None:
    over = "queries" if average == "micro" else target
    return pick(rows, model=model, part=part, target=target, average=average, averaged_over=over)


def _trained(rows: Sequence[Row], part: str, target: str | None, average: str = "micro") -> list[Row]:
    found = [_of(rows, name, part, target, average) for name in dict.fromkeys(r["model"] for r in rows if r["clusters"])]
    return [row for row in found if row is not None]


def _name(chosen: int | None) -> str:
    return "" if chosen is None else f"{chosen:,} clusters"


def _lead(report: Report, rows: Sequence[Row], main: str | None, part: str | None, chosen: int | None) -> str:
    if chosen is None:
        return "Trainings on different numbers of clusters, measured alike. None was chosen: there is no validation part."
    by = report.provenance["chosen"]["by"]
    said = f"Of the numbers tried, {chosen:,} clusters score best without labels on the validation part ({by})."
    base, own = (_of(rows, name, part or "", main) for name in (BASE, _name(chosen)))
    if base and own:
        best = max(_trained(rows, part or "", main), key=lambda row: float(row["value"]))
        said += (
            f" On the {part} part its encoder finds the right {main} first for {percent(own['value'])} of the queries, the base "
            f"for {percent(base['value'])} ({points_of(own['value'] - base['value'])} points)."
        )
        if best["clusters"] != chosen:
            said += f" With labels one would have found {best['clusters']:,} clusters best, at {percent(best['value'])}."
        else:
            said += " No other number does better there."
    return said


def _cards(report: Report, rows: Sequence[Row], main: str | None, chosen: int | None) -> list[Card]:
    cards = []
    if chosen is not None:
        cards.append(Card("clusters chosen", f"{chosen:,}", f"without labels, by {report.provenance['chosen']['by']}"))
    for part in PARTS:
        base = _of(rows, BASE, part, main)
        for name, words in ((BASE, "base"), (_name(chosen), f"{chosen or 0:,} clusters"), (REFERENCE, "true taxa (reference)")):
            row = _of(rows, name, part, main)
            if row is None or base is None or (part == "val" and name == REFERENCE):
                continue
            gain = "" if name == BASE else f"{points_of(row['value'] - base['value'])} points; "
            cards.append(Card(f"recall@1 {words}, {part}", percent(row["value"]), f"{gain}{ends(row)}"))
    return cards


# ---------------------------------------------------------------------------------------------------- sections


def _recall(rows: Sequence[Row], main: str | None, chosen: int | None) -> Section:
    blocks: list[Block] = []
    for part, words in PARTS.items():
        for average in ("micro", "macro"):
            if figure := _curve(rows, part, main, average, chosen, f"{main}, {words}, {average} average"):
                blocks.append(figure)
    columns, table = ["training"], []
    cells = [(part, average) for part in PARTS for average in ("micro", "macro") if _of(rows, BASE, part, main, average)]
    columns += [f"{part}, {average}" for part, average in cells]
    for name in dict.fromkeys(row["model"] for row in rows):
        mark = " (chosen)" if name == _name(chosen) else ""
        table.append([f"{name}{mark}", *(interval(_of(rows, name, part, main, average)) for part, average in cells)])
    blocks.append(Grid(columns, table, f"Recall@1 at {main} with 95 % intervals."))
    lead = (
        f"Recall@1 at {main} by encoders trained on different numbers of clusters. The dashed lines are the encoder as it is "
        "stored and a training on the true taxa with the same settings, its best epoch found with validation labels. A training "
        "may begin by whitening the stored vectors: what that alone gains is part of every point. The vertical axis does not "
        "begin at zero."
    )
    return Section("Recall against the number of clusters", lead, blocks)


def _ranks(rows: Sequence[Row], part: str | None, chosen: int | None) -> Section:
    targets = list(dict.fromkeys(row["target"] for row in rows))
    blocks: list[Block] = []
    for target in targets:
        if figure := _curve(rows, part or "", target, "micro", chosen, f"{target}: {PARTS[part or 'val']}"):
            blocks.append(figure)
    names = list(dict.fromkeys(row["model"] for row in rows))
    table = [[name, *(percent((_of(rows, name, part or "", t) or {}).get("value")) for t in targets)] for name in names]
    blocks.append(Grid(["training", *targets], table, "Recall@1, every query alike."))
    lead = "The same at every rank. A query without a name at a rank is not asked there, so that the queries differ by rank."
    return Section("Every rank", lead, blocks)


def _groups(report: Report, part: str | None, main: str | None, chosen: int | None) -> list[Section]:
    rows = [row for row in report.rows("by_group") if row["part"] == part]
    sections = []
    for group in dict.fromkeys(row["group"] for row in rows):
        values: dict[str, int] = {r["value_of_group"]: r["queries"] for r in rows if r["group"] == group}
        order = sorted(values, key=lambda value: (-values[value], value))
        blocks: list[Block] = []
        for value in order[:GROUP_CHARTS]:
            own = [row for row in rows if row["group"] == group and row["value_of_group"] == value]
            words = f"{value}: {values[value]:,} queries"
            if figure := _curve(own, part or "", main, "micro", chosen, words):
                blocks.append(figure)
        names = list(dict.fromkeys(row["model"] for row in rows))
        cell = {(r["value_of_group"], r["model"]): percent(r["value"]) for r in rows if r["group"] == group}
        table = [[value, f"{values[value]:,}", *(cell.get((value, name), "–") for name in names)] for value in order]
        blocks.append(Grid([group, "queries", *names], table, f"Recall@1 at {main} of the {part} part within each {group}."))
        most = f" Drawn are the {GROUP_CHARTS} with most queries." if len(order) > GROUP_CHARTS else ""
        lead = f"Recall@1 at {main} of the queries of each {group}; the neighbour may come from any {group}.{most}"
        sections.append(Section(f"Every {group}", lead, blocks))
    return sections


def _choice(report: Report, chosen: int | None) -> list[Section]:
    rows = report.rows("choice")
    if chosen is None:
        return []
    blocks: list[Block] = []
    checks = {row["criterion"]: row for row in report.rows("criteria")}
    for name, check in checks.items():
        points = [
            (row["clusters"], row[name], f"{row['clusters']:,} clusters: {row[name]:.4g}")
            for row in rows
            if row["clusters"] and row[name] is not None
        ]
        if not points:
            continue
        levels = [(row["model"], row[name]) for row in rows if not row["clusters"] and row[name] is not None]
        chart = _against_count(f"{name} against the number of clusters", points, levels, name, check["chooses"], share=False)
        blocks.append(Figure(chart, _verdict(name, check)))
    names = list(checks)
    table = [
        [
            row["model"] + (" (chosen)" if row["chosen"] else ""),
            *("–" if row[name] is None else f"{row[name]:.4g}" for name in names),
        ]
        for row in rows
    ]
    blocks.append(Grid(["training", *names], table, "Scores on the validation part, computed without labels; higher is better."))
    used = next(name for name, check in checks.items() if check["used"])
    lead = (
        f"No label was looked at to choose: the number with the highest {used} is taken. Cross-scale recall is how well a "
        "training finds the validation clusters of the other trainings, 1 being as well as they do. Neighbour information is "
        "what the clusters of a specimen's neighbours tell of its own, in nats beyond chance. Effective rank (RankMe, "
        "arXiv:2210.02885) is how many directions the validation vectors use; neighbour agreement is the share of the 10 nearest "
        "training specimens that two random halves of the features both find; neighbour margin is how far the nearest stands "
        "out from the next nine. Where the validation part has names, it is said how well each would have done; that check "
        "comes after the choice."
    )
    return [Section("How the number was chosen", lead, blocks)]


def _verdict(name: str, check: Row) -> str:
    """What a score would have chosen and, where labels allow to say so, how good that is."""
    said = f"{name[0].upper()}{name[1:]}: highest at {check['chooses']:,} clusters{', the choice' if check['used'] else ''}."
    rho, lost = check["spearman_with_val_recall"], check["val_recall_given_away"]
    if rho is not None:
        correlation = f"{rho:+.2f}".replace("-", "−")
        said += f" Rank correlation with validation recall over {check['trainings']} trainings: {correlation}"
        said += f"; its choice gives away {100 * lost:.1f} points of it." if lost else "; its choice has the highest."
    return said


def _labels(report: Report, main: str | None) -> list[Section]:
    rows = [row for row in report.rows("labels") if row["rank"] in (main, None) and row["clusters"]]
    if not rows:
        return []
    table = [
        [
            f"{row['clusters']:,}",
            number(row["median_size"]),
            f"{row['single']:,}",
            percent(row["purity"]),
            "–" if row["ami"] is None else f"{row['ami']:.3f}",
        ]
        for row in rows
    ]
    columns = ["clusters", "median size", "with one image", "purity", "adjusted mutual information"]
    lead = (
        f"What was learnt as classes, compared with the names at {main}. Purity rises with the number of clusters by itself."
        if main
        else "What was learnt as classes."
    )
    return [Section("The clusters", lead, [Grid(columns, table)])]


def _skipped(report: Report) -> list[Section]:
    rows = report.rows("skipped")
    if not rows:
        return []
    grid = Grid(["left out", "why"], [[row["what"], row["reason"]] for row in rows], left=2)
    return [Section("Left out", "What the data did not allow.", [grid])]


# ---------------------------------------------------------------------------------------------------- charts


def _curve(rows: Sequence[Row], part: str, target: str | None, average: str, chosen: int | None, words: str) -> Figure | None:
    points = [
        (row["clusters"], row["value"], f"{row['clusters']:,} clusters: {interval(row)}")
        for row in _trained(rows, part, target, average)
        if row["value"] is not None
    ]
    levels = [(name, row["value"]) for name in (BASE, REFERENCE) if (row := _of(rows, name, part, target, average))]
    levels = [(name, value) for name, value in levels if value is not None]
    if not points or not levels:
        return None
    chart = _against_count(f"recall@1 against the number of clusters, {words}", points, levels, "recall@1", chosen, share=True)
    return Figure(chart, f"{words[0].upper()}{words[1:]}.")


def _against_count(
    title: str,
    points: Sequence[tuple[int, float, str]],
    levels: Sequence[tuple[str, float]],
    y_name: str,
    chosen: int | None,
    *,
    share: bool,
) -> str:
    """A line over a log number of clusters with a ring at the chosen one, beside dashed lines with their names at the right."""
    drawing = Drawing(WIDTH, 300, title, f"{len(points)} numbers of clusters.")
    counts = [count for count, _, _ in points]
    values = [value for _, value, _ in points] + [value for _, value in levels]
    low, high = min(values), max(values)
    spread = max(high - low, LEAST_SPREAD if share else 1e-3 * max(abs(high), 1e-6))
    bottom, top = low - MARGIN * spread, high + MARGIN * spread
    if share:
        bottom, top = max(bottom, 0.0), min(top, 1.0)
    x = Scale(min(counts) * 0.85, max(counts) * 1.18, 78, WIDTH - 84, log=True)
    y = Scale(bottom, top, 246, 12)
    axes(drawing, x, y, "number of clusters (log scale)", y_name, y_percent=share)
    words: list[tuple[float, str]] = []
    for name, value in levels:
        drawing.add('<g stroke-dasharray="5 4">')
        drawing.path([(x.start, y(value)), (x.stop, y(value))], STYLES.get(name, "l4"))
        drawing.add("</g>")
        words.append((y(value), name))
    _words(drawing, x.stop + 6, words)
    drawing.path([(x(count), y(value)) for count, value, _ in points], "l1")
    for count, value, tip in points:
        if count == chosen:
            drawing.dot(x(count), y(value), 7.5, "c1 ring", tip)
            drawing.text(x(count), y(value) - 12 if y(value) > 40 else y(value) + 22, "chosen", "tick", "middle")
        else:
            drawing.dot(x(count), y(value), 4, "c1", tip)
    return drawing.render()


def _words(drawing: Drawing, left: float, words: Sequence[tuple[float, str]]) -> None:
    """The names of lines at their height, moved down where they would lie on each other."""
    last = -math.inf
    for height, name in sorted(words):
        last = max(height + 4, last + LEVEL_GAP)
        drawing.text(left, last, name, "tick")
