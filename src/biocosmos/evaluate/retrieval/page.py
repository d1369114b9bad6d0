"""The page of a retrieval report: from its tables to cards, charts and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.numbers.tallies import SPECIMENS
from biocosmos.evaluate.pages.blocks import Block, Card, Page, Paragraph, Picture, Section, Strip
from biocosmos.evaluate.pages.charts import Bar, Point, bars, scatter, stacked
from biocosmos.evaluate.pages.confusion import confusion_section
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import ENOUGH, EXTREMES, Row, ends, interval, main_target, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
GROUP_BARS = 20
CONFUSED = "The query (left) and its nearest neighbour (right), which is of a sister taxon."


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the retrieval page shows."""
    rows = report.rows("summary", finder=SPECIMENS)
    able = {row["target"]: row for row in report.rows("answerable")}
    ks = sorted({row["k"] for row in rows})
    main = main_target(able)
    sections = [
        _by_rank(rows, list(able), ks, main),
        _answerable(able),
        *_per_taxon(report, main, ks[0]),
        *_groups(report, main, ks[0]),
        *_rules(report, ks[0]),
        *_examples(report, pictures),
        *confusion_section(report.rows("confusion"), list(able), pictures, CONFUSED),
    ]
    return Page(_lead(report, rows, able[main], main, ks), _cards(rows, able, main, ks), sections, WORDS.terms)


def _share(rows: Sequence[Row], target: str, k: int, over: str = "answerable", by: str | None = None) -> Row | None:
    return pick(rows, target=target, k=k, over=over, averaged_over=by or "queries")


def _lead(report: Report, rows: Sequence[Row], able: Row, main: str, ks: Sequence[int]) -> str:
    first, last = _share(rows, main, ks[0]), _share(rows, main, ks[-1])
    all_vs_all = report.provenance["protocol"].startswith("all-vs-all")
    size = report.provenance["gallery"]["specimens"]
    return WORDS("lead", able=able, main=main, ks=ks, first=first, last=last, all_vs_all=all_vs_all, gallery=size)


def _cards(rows: Sequence[Row], able: dict[str, Row], main: str, ks: Sequence[int]) -> list[Card]:
    cards: list[Card] = []

    def add(kind: str, row: Row | None, target: str, k: int) -> None:
        value, known = ("–", "") if row is None else (percent(row["value"]), row["value"] is not None and ends(row))
        words = f"; interval {known}" if known else ""
        taxa = 0 if row is None else row["taxa"]
        cards.append(WORDS.card(f"cards.{kind}", value, k=k, target=target, able=able[target], taxa=taxa, interval=words))

    add("micro", _share(rows, main, ks[0]), main, ks[0])
    add("macro", _share(rows, main, ks[0], by=main), main, ks[0])
    if ks[-1] != ks[0]:
        add("last", _share(rows, main, ks[-1]), main, ks[-1])
    cards.append(WORDS.card("cards.able", percent(able[main]["answerable_share"]), able=able[main], target=main))
    coarser = [name for name, row in able.items() if row["kind"] == "rank" and row["taxa"] > 1 and name != main]
    for name in coarser[:1]:
        add("coarse", _share(rows, name, ks[0]), name, ks[0])
    return cards


def _bar(row: Row | None, what: str) -> Bar:
    if row is None or row["value"] is None:
        return Bar(float("nan"))
    tip = f"{what}: {interval(row)}, {row['queries']:,} queries, {row['taxa']:,} taxa"
    return Bar(row["value"], row["low"], row["high"], tip)


def _by_rank(rows: Sequence[Row], targets: Sequence[str], ks: Sequence[int], main: str) -> Section:
    blocks: list[Block] = []
    for average, title in (("micro", "Every query counts the same"), ("macro", "Every taxon counts the same")):
        by = {target: target if average == "macro" else None for target in targets}
        groups = [(t, [_bar(_share(rows, t, k, by=by[t]), f"{t}, k = {k}") for k in ks]) for t in targets]
        blocks.append(WORDS.figure(f"ranks.{average}", bars(title, groups, [f"k = {k}" for k in ks], shades=True)))
    shown = [
        first
        for target in targets
        for by in dict.fromkeys(row["averaged_over"] for row in rows if row["target"] == target)
        for over in ("all", "answerable")
        if (first := _share(rows, target, ks[0], over, by))
    ]
    columns: Columns = [("target", "target"), ("averaged over", "averaged_over"), ("over", "over")]
    columns = [*columns, *((f"hit@{k} (interval)", _at(rows, k)) for k in ks), ("queries", "queries"), ("taxa", "taxa")]
    blocks += [WORDS.grid("ranks.grid", shown, columns, fold=True, left=3), Paragraph(WORDS("ranks.below", main=main))]
    return WORDS.section("ranks", blocks)


def _at(rows: Sequence[Row], k: int) -> Any:
    return lambda row: interval(_share(rows, row["target"], k, row["over"], row["averaged_over"]))


def _answerable(able: dict[str, Row]) -> Section:
    rows = [(name, [row["answerable"], row["unanswerable"], row["null"]]) for name, row in able.items()]
    names = ["answerable", "unanswerable", "no name at this rank"]
    chart = stacked("What could be answered", rows, names, ["c1", "bad", "none"])
    return WORDS.section("answerable", [WORDS.figure("answerable.chart", chart)])


def _per_taxon(report: Report, main: str, k: int) -> list[Section]:
    rows = [row for row in report.rows("per_taxon", target=main, finder=SPECIMENS) if row["answerable"]]
    if len(rows) < 2:
        return []
    hit, low, high = f"hit@{k}", f"low@{k}", f"high@{k}"
    points = [
        Point(
            row["gallery"],
            row[hit],
            f"{row['taxon']}: {percent(row[hit])} ({percent(row[low])} to {percent(row[high])}), {row['queries']} queries",
        )
        for row in rows
    ]
    words = "specimens of the taxon in the gallery (log scale)"
    chart = scatter("Share right against gallery size", points, words, hit, y_range=(0, 1))
    blocks: list[Block] = [WORDS.figure("taxa.chart", chart, main=main, taxa=len(rows))]
    enough = sorted((row for row in rows if row["queries"] >= ENOUGH), key=lambda row: (row[hit], -row["queries"], row["path"]))
    worst = enough[:EXTREMES]
    columns: Columns = [
        *((main, "taxon"), (hit, lambda row: percent(row[hit], 0))),
        ("interval (Wilson)", lambda row: f"{percent(row[low], 0)} to {percent(row[high], 0)}"),
        *(("queries", "queries"), ("in gallery", "gallery")),
    ]
    for words, part in (("hardest", worst), ("easiest", enough[len(worst) :][::-1][:EXTREMES])):
        if part:
            blocks.append(WORDS.grid(f"taxa.{words}", part, columns, enough=ENOUGH))
    return [WORDS.section("taxa", blocks, main=main, k=k)]


def _groups(report: Report, main: str, k: int) -> list[Section]:
    rows = [row for row in report.rows("by_group") if row["target"] == main and row["over"] == "answerable" and row["k"] == k]
    sections = []
    for group in dict.fromkeys(row["group"] for row in rows):
        part = [row for row in rows if row["group"] == group]
        size: dict[str, int] = {}
        for row in part:
            size[row["value_of_group"]] = max(size.get(row["value_of_group"], 0), row["queries"])
        values = sorted(size, key=lambda value: -size[value])
        shown = values[:GROUP_BARS]
        groups = [
            (v, [_bar(pick(part, value_of_group=v, average=average), f"{v}, {average}") for average in ("micro", "macro")])
            for v in shown
        ]
        chart = bars(f"{main} by {group}", groups, ["per query", "per taxon"])
        facts = {"main": main, "k": k, "group": group, "shown": len(shown), "values": len(values)}
        sections.append(WORDS.section("groups", [WORDS.figure("groups.chart", chart, **facts)], group=group))
    return sections


def _rules(report: Report, k: int) -> list[Section]:
    rows = [row for row in report.rows("summary") if row["over"] == "answerable" and row["k"] == k]
    finders = list(dict.fromkeys(row["finder"] for row in rows))
    if len(finders) < 2:
        return []
    blocks: list[Block] = []
    for average in ("micro", "macro"):
        groups = []
        for target in dict.fromkeys(row["target"] for row in rows):
            by = "queries" if average == "micro" else target
            found = [pick(rows, target=target, finder=finder, averaged_over=by) for finder in finders]
            groups.append((target, [_bar(row, f"{target}, {finder}") for row, finder in zip(found, finders)]))
        blocks.append(WORDS.figure(f"rules.{average}", bars(f"Rules, {average}", groups, finders)))
    return [WORDS.section("rules", blocks)]


def _examples(report: Report, pictures: Pictures) -> list[Section]:
    rows = report.rows("examples")
    if not rows:
        return []
    blocks: list[Block] = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        blocks.append(WORDS.strips(f"examples.{kind}", [_strip(row, pictures) for row in rows if row["kind"] == kind]))
    return [WORDS.section("examples", blocks or [Paragraph(WORDS("examples.none"))], target=rows[0]["target"])]


def _strip(row: Row, pictures: Pictures) -> Strip:
    found = [
        Picture(
            pictures(near["id"]), near["taxon"] or "no name", f"cosine {near['score']:.3f}", "right" if near["right"] else "wrong"
        )
        for near in row["neighbours"]
    ]
    late = row["kind"] == "right later" and row["first_right"]
    query = Picture(pictures(row["id"]), row["taxon"], f"query {row['id']}")
    return Strip(query, found, f"first right: number {row['first_right']}" if late else "")
